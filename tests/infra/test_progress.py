import io

from infra.progress import Printer, seldom


def test_what_is_going_on_is_mentioned_seldom_and_results_always() -> None:
    lines: list[str] = []
    say = seldom(lines.append, every_s=3600)
    for line in ("fetching, 1 MB …", "fetching, 2 MB …", "fetched", "starting …", "answers"):
        say(line)
    assert lines == ["fetching, 1 MB …", "fetched", "answers"]

    say = seldom(lines.append, every_s=0)
    say("fetching, 3 MB …")
    say("fetching, 4 MB …")
    assert lines[-2:] == ["fetching, 3 MB …", "fetching, 4 MB …"]


def test_in_a_pipe_lines_are_plain() -> None:
    stream = io.StringIO()
    say = Printer(stream)
    say("waiting …")
    say("answers at http://[::1]:9200 after 2 s")
    assert stream.getvalue() == "waiting …\nanswers at http://[::1]:9200 after 2 s\n"
