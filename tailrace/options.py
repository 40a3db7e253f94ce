"""Options that several commands share, so that they read the same everywhere."""

from collections.abc import Callable
from datetime import datetime
from functools import update_wrapper
from typing import Any

import click

from tailrace.settings import Settings, load, seconds


def pass_settings(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give the command the checked settings as its first argument; `--help` works beside a broken file."""

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return command(load(click.get_current_context().find_root().obj), *args, **kwargs)

    return update_wrapper(wrapper, command)


class Duration(click.ParamType):
    """`30s`, `5m`; a bare number is seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, int | float):
            return float(value)
        try:
            return float(value)
        except ValueError:
            return seconds(value, param.opts[0] if param else "duration")


def wait(command: Callable[..., Any]) -> Callable[..., Any]:
    """--wait: how long to wait for servers that do not answer yet, as `wait_s` in seconds."""
    return click.option(
        "--wait",
        "wait_s",
        type=Duration(),
        default="15s",
        show_default=True,
        metavar="DURATION",
        help="Wait this long for servers that do not answer yet, then fail; 0s fails at once.",
    )(command)


def sources(command: Callable[..., Any]) -> Callable[..., Any]:
    """--source NAME, repeatable: which of the configured sources; all by default."""
    return click.option(
        "--source",
        "source_names",
        multiple=True,
        metavar="NAME",
        help="Only this source of the configuration (repeatable); all by default.",
    )(command)


DAY = click.DateTime(["%Y-%m-%d"])


def days(zone: str) -> Callable[..., Any]:
    """--from and --to, as `start` and `end`: the first day, and the one behind the last. `zone` says whose days they are."""

    def options(command: Callable[..., Any]) -> Callable[..., Any]:
        command = click.option("--to", "end", type=DAY, metavar="DAY", help="Only events before this day, which is not included.")(command)
        first = f"Only events of this day (YYYY-MM-DD, {zone}) and later."
        return click.option("--from", "start", type=DAY, metavar="DAY", help=first)(command)

    return options


def check_days(start: datetime | None, end: datetime | None) -> None:
    """Raises click.BadParameter where no day lies between --from and --to."""
    if start and end and end <= start:
        raise click.BadParameter(f"{end:%Y-%m-%d} is not after --from; the last day is not included", param_hint="--to")


def form(*forms: str) -> Callable[..., Any]:
    """--format, as `style`: how a command writes what it has to say; the first form by default."""
    return click.option("--format", "style", type=click.Choice(forms), default=forms[0], show_default=True, help="How to write it.")


def chosen(settings: Settings, source_names: tuple[str, ...], named_by: str = "--source") -> list[str]:
    """The sources that an option or argument names; all where it names none. Raises click.BadParameter for one that is not configured."""
    for name in source_names:
        if name not in settings.sources:
            raise click.BadParameter(f"{name} is not configured; configured: {', '.join(settings.sources) or 'none'}", param_hint=named_by)
    return list(source_names) or list(settings.sources)
