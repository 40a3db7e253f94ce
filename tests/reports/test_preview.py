"""`tailrace preview`: no server is there, and none is asked."""

import gzip
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tailrace.cli import main

BLOCK = """
[sources.shop]
format = "regex"
paths = ["{folder}/*.log", "{folder}/*.gz"]
record_start = '\\d'
pattern = '(?s)(?P<at>\\S+) (?P<who>\\S+) (?P<what>\\S+) (?P<price>\\S+)(?P<further>.*)'
types = {{ price = "float" }}
time = "at"
client = ["who"]
kind = "what"
"""
LINES = b"""\
2026-11-22T08:00:00Z ada buy 1.5
2026-11-22T08:00:01Z ada buy 2.5
  and a second line
2026-11-22T08:00:02Z bob\x1b[31m look free
yesterday, somebody
2026-11-22 too few
2026-11-22T08:00:03Z eve buy 9.5"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tailrace.toml").write_text(BLOCK.format(folder=tmp_path))
    return tmp_path


def preview(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["--config", str(folder / "tailrace.toml"), "preview", *words])


def test_the_first_of_each_kind_and_reason_and_the_sums(folder: Path) -> None:
    (folder / "a.log").write_bytes(LINES)
    done = preview(folder, "shop")
    assert done.exit_code == 1
    for said in (
        "event at byte 0: 2026-11-22T08:00:00.000Z, kind buy, client ada\n",
        "  price    1.5\n",
        "kind look, client bob\N{REPLACEMENT CHARACTER}[31m\n",
        '  problems  ["price:not_a_number"]\n',
        "dead letter at byte 146, no_match: the pattern does not match the whole record\n  2026-11-22 too few\n",
        f"{folder}/a.log: 5 records, 4 events, 1 dead letter\n  kind buy: 3\n  kind look: 1\n  left out price:not_a_number: 1\n",
        "  dead letter no_match: 1\n",
    ):
        assert said in done.output
    assert "price    2.5" not in done.output
    assert "second line" in preview(folder, "shop", "--show", "2").output
    assert "a.log: 2 records, 2 events, 0 dead letters\n" in preview(folder, "shop", "--records", "2").output


def test_named_files_compressed_or_not(folder: Path) -> None:
    (folder / "b.gz").write_bytes(gzip.compress(LINES[:33]))
    (folder / "c.txt").write_bytes(LINES[:33])
    done = preview(folder, "shop", str(folder / "b.gz"), str(folder / "c.txt"))
    assert done.exit_code == 0, done.output
    assert done.output.count("1 record, 1 event, 0 dead letters") == 2


def test_what_cannot_be_read_is_said(folder: Path) -> None:
    none = preview(folder, "shop")
    assert (none.exit_code, "sources.shop.paths names no file that is there" in none.output) == (1, True)
    (folder / "b.gz").write_bytes(gzip.compress(LINES)[:40])
    cut = preview(folder, "shop")
    assert (cut.exit_code, "cannot read" in cut.output) == (1, True)
    other = preview(folder, "shops")
    assert (other.exit_code, "SOURCE: shops is not configured; configured: shop" in other.output) == (2, True)
