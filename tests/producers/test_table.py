"""The table of situations in producers/README.md and the tests that it names."""

import re
from pathlib import Path

HERE = Path(__file__).parent
README = HERE.parent.parent / "producers" / "README.md"


def test_each_of_the_42_situations_names_its_tests_and_no_others() -> None:
    named: dict[int, set[str]] = {}
    for number, tests in re.findall(r"^\| (\d+) \|[^|]*\|([^|]*)\|", README.read_text(), re.MULTILINE):
        named[int(number)] = set(re.findall(r"`(test_\w+)`", tests))
    written: dict[int, set[str]] = {}
    for path in HERE.glob("test_*.py"):
        for number in re.findall(r"^def test_(\d\d)_", path.read_text(), re.MULTILINE):
            written.setdefault(int(number), set()).add(path.stem)
    assert named == written
    assert sorted(named) == list(range(1, 43))
