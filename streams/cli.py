"""`tailrace stream`."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Literal

import click

from tailrace import generations, kafka, kafka_access, options
from tailrace.lazy import needs
from tailrace.settings import Settings
from tailrace.sources import load_sources
from tailrace.supervisor import Supervisor

Role = Literal["parse", "sessionize"]
ROLES: tuple[Role, ...] = ("parse", "sessionize")


@click.command()
@click.argument("role", type=click.Choice(ROLES), required=False, metavar="[parse|sessionize]")
@options.sources
@options.wait
@generations.option
@options.pass_settings
def stream(settings: Settings, role: Role | None, source_names: tuple[str, ...], wait_s: float, generation: str | None) -> None:
    """Parse, enrich and sessionize with Faust workers.

    With `parse` or `sessionize` one worker runs in this process; more of them, here or elsewhere, share the partitions.
    Without, one of each runs under a supervisor that restarts what dies. Runs until SIGTERM, SIGHUP or Ctrl-C.
    """
    if find_spec("faust") is None:
        raise needs("tailrace stream", "faust", "streams")
    names = options.chosen(settings, source_names)
    if role is None:
        _run_both(names, wait_s, generation)
        return
    sources = load_sources(settings, names)
    admin = kafka.connect(settings.kafka, wait_s)
    settings = generations.resolve(settings, generation)
    kafka_access.require(admin, settings.kafka, role, names)
    # Faust takes a second to import, which neither --help nor the supervisor should cost.
    from streams import worker

    build = import_module(f"streams.{role}").build
    worker.run(settings, lambda: build(settings, list(sources.values())))


def _run_both(names: Sequence[str], wait_s: float, generation: str | None) -> None:
    context = click.get_current_context().find_root()
    command = [sys.executable, "-m", "tailrace.cli", "--log-level", context.params["log_level"]]
    if context.obj is not None:
        command += ["--config", str(context.obj)]
    chosen = [argument for name in names for argument in ("--source", name)]
    if generation is not None:
        chosen += ["--generation", generation]
    commands: dict[str, list[str]] = {role: [*command, "stream", role, *chosen, "--wait", f"{wait_s}s"] for role in ROLES}
    with Supervisor(commands, env={**os.environ, "PYTHONUNBUFFERED": "1"}) as children:
        children.run()
