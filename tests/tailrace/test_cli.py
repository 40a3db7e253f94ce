"""`tailrace` where only the base is installed: each command works, or says which extra brings what it lacks."""

import sys
from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from tailrace.cli import COMMANDS, main

FROM_EXTRAS = ("aiokafka", "cachetools", "elasticsearch", "fastavro", "faust", "maxminddb", "orjson", "rich", "ua_parser")
OURS = ("infra", "producers", "reports", "sinks", "streams")


@pytest.fixture
def base() -> Iterator[None]:
    """No package of an extra can be imported, and no room has been."""
    before = dict(sys.modules)
    for name in before:
        if name.partition(".")[0] in (*FROM_EXTRAS, *OURS):
            del sys.modules[name]
    sys.modules.update(dict.fromkeys(FROM_EXTRAS))  # type: ignore[arg-type]  # None: there is no such module
    yield
    sys.modules.clear()
    sys.modules.update(before)


@pytest.mark.usefixtures("base")
@pytest.mark.parametrize("command", ["ship", "harvest", "files", "rewind", "dead", "replay", "access", "config", "preview"])
def test_what_the_base_holds_works(command: str) -> None:
    done = CliRunner().invoke(main, [command, "--help"])
    assert done.exit_code == 0
    assert done.output.startswith("Usage:")


@pytest.mark.usefixtures("base")
@pytest.mark.parametrize(
    ("words", "extra"),
    [
        ("stream", "streams"),
        ("stream parse", "streams"),
        ("sink", "sinks"),
        ("sessions repair", "sinks"),
        ("replay compare v2", "reports"),
        ("replay switch v2", "sinks"),
        ("retention", "sinks"),
        ("report ezcast", "reports"),
        ("audit", "reports"),
        ("up", "servers"),
        ("down", "servers"),
        ("status", "servers"),
    ],
)
def test_what_needs_an_extra_names_it(words: str, extra: str) -> None:
    done = CliRunner().invoke(main, words.split())
    assert done.exit_code == 1
    assert f"install tailrace[{extra}]" in done.output


def test_each_command_has_its_line_in_the_list_of_them() -> None:
    shown = CliRunner().invoke(main, ["--help"]).output
    assert [name for name in COMMANDS if f"\n  {name} " not in shown] == []


def test_who_takes_a_source_for_a_report_is_told_what_to_type() -> None:
    done = CliRunner().invoke(main, ["report", "web"])
    assert done.exit_code == 2
    assert "No such report 'web'" in done.output
    assert "tailrace report events --source web" in done.output
