"""Groups of commands that live in several rooms: each is loaded only when it is asked for."""

import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import click

from tailrace.errors import TailraceError

EXTRA = {"streams": "streams", "sinks": "sinks", "reports": "reports", "infra": "servers"}


def needs(command: str, package: str, extra: str) -> TailraceError:
    """For a command that a package is missing for: says which extra brings it."""
    return TailraceError(f"`{command}` needs the package {package}: install tailrace[{extra}]")


class Command(NamedTuple):
    module: str
    attribute: str
    help: str
    """One line, kept here so that --help loads nothing."""


class LazyGroup(click.Group):
    """A group of commands by name, in the order in which they stand."""

    def __init__(self, *args: Any, lazy: Mapping[str, Command], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._lazy)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in self._lazy:
            return None
        module, attribute, _ = self._lazy[name]
        try:
            command: click.Command = getattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError as error:
            room = module.partition(".")[0]
            if error.name and error.name.partition(".")[0] in {*EXTRA, "tailrace", "producers", "schemas"}:
                raise
            raise needs(f"{ctx.command_path} {name}", str(error.name), EXTRA.get(room, "all")) from None
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.help) for name, command in self._lazy.items()])
