"""`tailrace dead`: what could not be shipped, parsed or indexed: listed, shown, sent again, or given up."""

import json
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import click

from tailrace import generations, kafka, options, retry
from tailrace.columns import echo_columns, printable
from tailrace.dead import Stage
from tailrace.errors import TailraceError
from tailrace.letters import Filter, Letter, read
from tailrace.settings import Settings
from tailrace.words import amount

SHOWN = 20
"""Letters that `list` shows where --limit does not say."""
HEAD = 60
"""Characters of a payload in a list."""

ADVICE = {
    "ship": "the file holds it, Kafka never did: shorten the record or raise the broker's limit, then `tailrace rewind FILE --to OFFSET`",
    "parse": "`tailrace dead retry` sends the raw record through parse again",
    "sessionize": "`tailrace dead retry` sends the record to sessionize again",
    "sink": "`tailrace dead retry` sends an event through sessionize to the sink again; for a patch or a document of a session or view "
    "`tailrace sessions repair` writes what is right now",
}


def filters(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which letters. They give the command `settings` and `wanted`, a list of letters."""
    moment = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"])

    @options.pass_settings
    def wrapper(settings: Settings, source_names: tuple[str, ...], wait_s: float, generation: str | None, **asked: Any) -> Any:
        own = {name: asked.pop(name) for name in Filter._fields if name in asked}
        own["since"], own["until"] = _utc(own["since"]), _utc(own["until"])
        kafka.connect(settings.kafka, wait_s)
        settings = generations.resolve(settings, generation)
        wanted = read(settings, options.chosen(settings, source_names), Filter(**own))
        for beginning in own["ids"]:
            if not any(letter.id.startswith(beginning) for letter in wanted):
                click.echo(f"no letter's id begins with {beginning}; --all looks at those that were retried or dropped, too", err=True)
        return command(settings, wanted, **asked)

    wrapper.__name__, wrapper.__doc__ = command.__name__, command.__doc__
    wrapper.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]
    for option in (
        options.wait,
        click.option("--all", "handled", is_flag=True, help="Letters that were retried or dropped, too."),
        click.option("--contains", metavar="TEXT", help="TEXT stands in the record, or (in any case) in the message."),
        click.option("--file", metavar="FILE", help="A part of the file's path, its id, or the place itself, PATH@OFFSET."),
        click.option("--until", type=moment, metavar="TIME", help="Written before this day or moment (UTC)."),
        click.option("--since", type=moment, metavar="TIME", help="Written at this day or moment (UTC) or later."),
        click.option("--reason", metavar="REASON", help="Such as `implausible_time`; `list` counts them."),
        click.option("--stage", type=click.Choice(get_args(Stage)), help="Where it failed."),
        generations.option,
        options.sources,
        click.argument("ids", nargs=-1, metavar="[ID]..."),
    ):
        wrapper = option(wrapper)
    return wrapper


def _utc(moment: datetime | None) -> datetime | None:
    return moment and moment.replace(tzinfo=UTC)


@click.group()
def dead() -> None:
    """List, show, retry and drop dead letters: what could not be shipped, parsed or indexed, with the reason.

    Letters are chosen by ID (its beginning will do) and by the options; a letter that was retried or dropped is left out
    unless --all is given.
    """


@dead.command("list", short_help="Count letters by reason, and list them.")
@click.option("--limit", type=click.IntRange(min=0), default=SHOWN, show_default=True, metavar="N", help="List the newest N.")
@options.form("table", "json")
@filters
def list_letters(settings: Settings, wanted: list[Letter], limit: int, style: str) -> None:
    """Count letters by reason, and list the newest."""
    counts = Counter((letter.source, letter.letter.stage, letter.letter.reason, letter.state) for letter in wanted)
    newest = sorted(wanted, key=lambda letter: -letter.time_ms)[:limit]
    if style == "json":
        names = ("source", "stage", "reason", "state")
        told = [{**dict(zip(names, kind, strict=True)), "letters": count} for kind, count in counts.most_common()]
        click.echo(json.dumps({"letters": len(wanted), "counts": told, "newest": list(map(as_json, newest))}, indent=2, ensure_ascii=False))
        return
    if not wanted:
        click.echo("no dead letters")
        return
    echo_columns(["letters", "source", "stage", "reason", "state"], [(f"{count:,}", *kind) for kind, count in counts.most_common()])
    if newest:
        click.echo()
        heading = ["id", "written", "source", "stage", "reason", "place", "record"]
        echo_columns(heading, [_row(letter) for letter in newest])
        if len(wanted) > len(newest):
            click.echo(f"{len(wanted) - len(newest):,} more; --limit shows them")


@dead.command(short_help="Everything about letters.")
@options.form("text", "json")
@filters
def show(settings: Settings, wanted: list[Letter], style: str) -> None:
    """Everything about letters: where, why, what was decided, what can be done, and the record."""
    if style == "json":
        click.echo(json.dumps(list(map(as_json, wanted)), indent=2, ensure_ascii=False))
        return
    if not wanted:
        click.echo("no dead letters")
    for letter in wanted:
        told = as_json(letter)
        record = told.pop("record")
        for name, value in {**told, "what to do": ADVICE.get(letter.letter.stage, "")}.items():
            if value not in (None, ""):
                click.echo(f"{click.style(name, bold=True)}: {printable(str(value))}")
        click.echo(printable(record, keep="\n") + "\n")


@dead.command("retry", short_help="Send letters through the stage that failed.")
@filters
def retry_letters(settings: Settings, wanted: list[Letter]) -> None:
    """Send letters through the stage that failed, after what made them fail is mended, and the workers are restarted with it.

    The same events under the same ids result, so that retrying twice changes nothing. What fails again is a dead letter again.
    What the producer could not ship cannot be retried from here, and what the sink could not patch would undo what came after it:
    both are told with what to do.
    """
    made = retry.plan(settings, wanted)
    sent = len(made.again) + len(made.from_letters)
    with click.progressbar(length=sent, label="sending again", file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:
        retry.send(settings.kafka, made, lambda: bar.update(1))
    click.echo(f"{sent:,} sent again")
    if made.from_letters:
        click.echo(f"{len(made.from_letters):,} of them from the letter itself, since the raw topic no longer holds the record")
    if made.never_held:
        click.echo(f"{len(made.never_held):,} not: {ADVICE['ship']}")
    if made.outdated:
        click.echo(
            f"{len(made.outdated):,} not, since newer patches and documents of sessions and views may stand: {_repair(made.outdated)}"
        )
    if made.lost:
        raise TailraceError(
            f"{len(made.lost):,} cannot be sent again, since Kafka has deleted the record; `tailrace replay start` makes them anew "
            "from the raw topic, `tailrace rewind` ships their file again"
        )


def _repair(outdated: list[tuple[Letter, int]]) -> str:
    """What to do about patches and summaries. A day more on either side: that of a view is a local one."""
    days = [datetime.fromtimestamp(time_ms / 1000, UTC) for _, time_ms in outdated]
    first, last = min(days) - timedelta(days=1), max(days) + timedelta(days=2)
    sources = "".join(f" --source {name}" for name in sorted({letter.source for letter, _ in outdated}))
    return f"`tailrace sessions repair{sources} --from {first:%Y-%m-%d} --to {last:%Y-%m-%d}` writes what is right now, then `drop` them"


@dead.command(short_help="Give letters up.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@filters
def drop(settings: Settings, wanted: list[Letter], yes: bool) -> None:
    """Give letters up: they are listed no longer and not sent again by `retry`.

    The records stay on the topic for as long as its retention says, and the audit goes on to account for them.
    """
    waiting = [letter for letter in wanted if letter.state != "dropped"]
    if waiting and not yes:
        click.confirm(f"Give up {amount(len(waiting), 'dead letter')}?", abort=True)
    retry.judge(settings.kafka, waiting, "dropped")
    click.echo(f"{len(waiting):,} dropped")


def as_json(letter: Letter) -> dict[str, Any]:
    """A letter with stable keys; bytes that are no UTF-8 are escaped as in Python."""
    failed = letter.letter
    found: dict[str, Any] = {
        "id": letter.id,
        "state": letter.state,
        "written": letter.written.isoformat(timespec="milliseconds"),
        "source": letter.source,
        "stage": failed.stage,
        "reason": failed.reason,
        "message": failed.message,
        "path": None,
        "file": None,
        "offset": None,
        "host": None,
        "topic": failed.topic,
        "partition": failed.partition,
        "record_offset": failed.offset,
    }
    if letter.place is not None:
        place, offset = letter.place
        found |= {"path": place.path, "file": place.file, "offset": offset, "host": place.host}
    return {**found, "record": failed.payload.decode(errors="backslashreplace")}


def _row(letter: Letter) -> tuple[str, ...]:
    failed = letter.letter
    where = f"{letter.place[0].path}@{letter.place[1]}" if letter.place else f"{failed.topic}[{failed.partition}]@{failed.offset}"
    record = failed.payload[: HEAD * 4].decode(errors="backslashreplace")[:HEAD]
    return (letter.id, f"{letter.written:%Y-%m-%d %H:%M:%S}", letter.source, failed.stage, failed.reason, where, record)
