import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.account import Account, barrier, credentials

STRANGER = Account("stranger", 424_242, 424_242)


@pytest.fixture
def folders() -> Iterator[tuple[Path, Path, Path]]:
    """open/closed/inner, where only the owner may enter `closed`; outside of pytest's own folders, which are closed too."""
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        inner = top / "closed" / "inner"
        inner.mkdir(parents=True)
        inner.chmod(0o755)
        inner.parent.chmod(0o700)
        top.chmod(0o755)
        yield top, inner.parent, inner


def test_the_first_closed_folder_on_the_way_is_named(folders: tuple[Path, Path, Path]) -> None:
    top, closed, inner = folders
    assert barrier(inner, STRANGER) == closed
    assert barrier(closed, STRANGER) == closed
    assert barrier(top, STRANGER) is None


def test_folders_that_do_not_exist_yet_are_no_barrier(folders: tuple[Path, Path, Path]) -> None:
    top, closed, _ = folders
    assert barrier(top / "new" / "newer", STRANGER) is None
    assert barrier(closed / "new", STRANGER) == closed


def test_the_owner_and_a_member_of_the_group_pass_by_their_own_bits(folders: tuple[Path, Path, Path]) -> None:
    _, closed, inner = folders
    assert barrier(inner, Account("owner", os.geteuid(), 424_242)) is None
    closed.chmod(0o710)
    assert barrier(inner, Account("member", 424_242, closed.stat().st_gid)) is None


def test_whoever_starts_servers_under_their_own_account_meets_no_barrier(folders: tuple[Path, Path, Path]) -> None:
    assert barrier(folders[2], None) is None
    assert credentials(None) == {}
