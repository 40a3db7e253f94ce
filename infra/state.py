"""What `tailrace up` started, written down for `tailrace status` and `tailrace down`."""

import os
from pathlib import Path
from typing import Literal

import msgspec

from infra.processes import Process
from tailrace.errors import TailraceError

Way = Literal["java", "docker"]


class State(msgspec.Struct, frozen=True, kw_only=True):
    way: Way
    bootstrap_servers: str
    url: str
    place: str
    """Folder of data, settings and logs, or the name of the compose project."""
    processes: list[Process] = []
    stopped: bool = False
    """By `tailrace down`, which leaves the data."""


def file(folder: Path) -> Path:
    return folder / "servers.json"


def write(folder: Path, state: State) -> None:
    """Whole or not at all, also when the machine goes down."""
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / "servers.json.part"
    with part.open("wb") as out:
        out.write(msgspec.json.format(msgspec.json.encode(state)))
        out.flush()
        os.fsync(out.fileno())
    part.replace(file(folder))


def read(folder: Path) -> State | None:
    """None where nothing was started. Raises TailraceError for a file that is not ours."""
    try:
        return msgspec.json.decode(file(folder).read_bytes(), type=State)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise TailraceError(
            f"{file(folder)} does not say what was started ({error}); end the servers by hand if any run, then delete it"
        ) from None


def forget(folder: Path) -> None:
    file(folder).unlink(missing_ok=True)
