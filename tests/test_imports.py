"""Imports go one way, and a producer's host needs little: both held by reading and by running the code."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
ROOMS = ("tailrace", "producers", "schemas", "streams", "sinks", "reports", "infra")
MAY_IMPORT_ALL = {"demo", "tests", "benchmarks"}
SHARED = {"schemas", "tailrace"}

SHARED_LIGHT = ("tailrace.settings", "tailrace.errors", "tailrace.kafka", "tailrace.options", "tailrace.cli", "tailrace.dead")
HEAVY = {"schemas.envelope", "schemas.notes"}
"""All of producers, what is shared, and all of schemas but these is loaded on a producer's host, which has no extras."""

EXTRAS = (
    *("aiokafka", "cachetools", "cramjam", "elasticsearch", "fastavro", "faust", "maxminddb", "mode", "orjson", "rich"),
    *("ua_parser", "uvloop", "watchfiles"),
)
"""Modules that only extras install."""

BLOCKED = """
import importlib, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"{{name}} is blocked by this test", name=name)

sys.meta_path.insert(0, Blocker())
for module in {modules!r}:
    importlib.import_module(module)
"""


def _modules(room: str) -> Iterator[Path]:
    yield from sorted((REPOSITORY / room).rglob("*.py"))


def _names(room: str) -> list[str]:
    files = (file.relative_to(REPOSITORY).with_suffix("") for file in _modules(room))
    return [".".join(file.parts).removesuffix(".__init__") for file in files]


def _imported(file: Path) -> Iterator[tuple[int, str]]:
    """Line and top-level name of every import, those inside functions too."""
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.partition(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: a relative import hides which room it reaches into"
            yield node.lineno, (node.module or "").partition(".")[0]


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_only_what_is_shared(room: str) -> None:
    allowed = {"schemas"} if room == "schemas" else {room} | SHARED
    forbidden = ({*ROOMS} | MAY_IMPORT_ALL) - allowed
    assert list(_modules(room)), f"no modules in {room}"
    wrong = [
        f"{file.relative_to(REPOSITORY)}:{line} imports {name}"
        for file in _modules(room)
        for line, name in _imported(file)
        if name in forbidden
    ]
    assert not wrong, "\n".join(wrong)


def test_every_top_level_package_is_a_room_or_may_import_all() -> None:
    packages = {file.parent.name for file in REPOSITORY.glob("*/__init__.py")}
    assert packages <= {*ROOMS} | MAY_IMPORT_ALL


def _load(modules: tuple[str, ...], blocked: tuple[str, ...]) -> "subprocess.CompletedProcess[str]":
    program = BLOCKED.format(blocked=set(blocked), modules=modules)
    return subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, timeout=60)


def test_a_producer_loads_without_any_extra() -> None:
    light = (*_names("producers"), *SHARED_LIGHT, *(name for name in _names("schemas") if name not in HEAVY))
    done = _load(light, EXTRAS)
    assert done.returncode == 0, done.stderr


def test_the_blocker_blocks() -> None:
    done = _load(("tailrace.search",), EXTRAS)
    assert "elasticsearch is blocked by this test" in done.stderr


def test_a_producer_needs_only_its_dependencies() -> None:
    """Every import in `producers`, by name, whether or not a test reaches it."""
    allowed = {*sys.stdlib_module_names, "click", "confluent_kafka", "msgspec", "producers", *SHARED}
    wrong = [
        f"{file.relative_to(REPOSITORY)}:{line} imports {name}"
        for file in _modules("producers")
        for line, name in _imported(file)
        if name not in allowed and (file.name, name) != ("notice.py", "watchfiles")  # done without where it is missing
    ]
    assert not wrong, "\n".join(wrong)
