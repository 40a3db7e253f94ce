"""One answer in four forms."""

import io
import json

import pytest

from reports import render
from reports.table import Column, Table

COLUMNS = (Column("name", "text"), Column("play_time", "seconds"), Column("views"), Column("percent", "percent"))
VIDEOS = Table("videos", "Videos", COLUMNS, [("Été, « 1 »", 4000, 1234, 66.67), (None, 100_000, 2, 0.0)], left_out=1500)
EMPTY = Table("none", "Nothing", COLUMNS, [])


def test_json_is_rows_as_objects_under_the_tables_name() -> None:
    assert json.loads(render.as_json([VIDEOS, EMPTY])) == {
        "videos": [
            {"name": "Été, « 1 »", "play_time": 4000, "views": 1234, "percent": 66.67},
            {"name": None, "play_time": 100_000, "views": 2, "percent": 0.0},
        ],
        "none": [],
    }


def test_csv_is_a_heading_and_rows_with_an_empty_line_between_tables() -> None:
    assert render.as_csv([VIDEOS, EMPTY]).splitlines() == [
        "name,play_time,views,percent",
        '"Été, « 1 »",4000,1234,66.67',
        ",100000,2,0.0",
        "",
        "name,play_time,views,percent",
    ]


def test_plain_text_is_aligned() -> None:
    assert render.as_text([VIDEOS, EMPTY]).splitlines() == [
        "Videos",
        "  name        play time  views  percent",
        "  Été, « 1 »    1:06:40  1,234   66.7 %",
        "  (none)           28 h      2    0.0 %",
        "  1,500 more; --top shows them",
        "",
        "Nothing",
        "  none",
    ]


def test_wide_letters_are_aligned_by_the_cells_they_take() -> None:
    table = Table("t", "T", (Column("a", "text"), Column("b", "text")), [("日本", "x"), ("abcd", "y")])
    assert render.as_text([table]).splitlines()[2:] == ["  日本  x", "  abcd  y"]


def test_what_a_log_line_says_cannot_reach_the_terminal() -> None:
    table = Table("t", "T", (Column("a", "text"),), [("\x1b[31mred\r\nbell\x07\u202e",), ("[bold]x[/bold]",), ("",)])
    text = render.as_text([table])
    out = io.StringIO()
    render.draw([table], out)
    for shown in (text, out.getvalue()):
        assert "\x1b" not in shown
        assert "\x07" not in shown
        assert "\u202e" not in shown
        assert "[bold]x[/bold]" in shown
        assert '""' in shown


def test_a_drawn_table_has_the_same_cells() -> None:
    out = io.StringIO()
    render.draw([VIDEOS, EMPTY], out)
    drawn = out.getvalue()
    assert all(cell in drawn for cell in ("Videos", "play time", "Été, « 1 »", "1:06:40", "1,234", "66.7 %", "28 h", "1,500 more"))
    assert "Nothing: none" in drawn


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_figures_stay_whole_on_the_narrowest_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = (Column("path", "text"), *map(Column, ("bytes", "records", "events", "indexed")))
    table = Table("files", "Files", columns, [("2016/a-rather-long-name.trace", 1_234_567_890, 1_234_567, 1_234_568, 1_234_569)])
    monkeypatch.setenv("COLUMNS", str(width))
    out = io.StringIO()
    render.draw([table], out)
    for figure in ("1,234,567,890", "1,234,567 ", "1,234,568 ", "1,234,569"):
        assert figure in out.getvalue()
