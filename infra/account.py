"""The account that local servers run under: Elasticsearch refuses root, so root starts them as `nobody`."""

import os
import pwd
import stat
from pathlib import Path
from typing import Any, NamedTuple


class Account(NamedTuple):
    """Whom servers run as, where that is not whoever starts them."""

    name: str
    uid: int
    gid: int


def unprivileged() -> Account | None:
    """`nobody` for root; None for everyone else, whose own account will do."""
    if os.geteuid() != 0:
        return None
    entry = pwd.getpwnam("nobody")
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def credentials(account: Account | None) -> dict[str, Any]:
    """Arguments of subprocess.Popen that make the child run as the account."""
    return {} if account is None else {"user": account.uid, "group": account.gid, "extra_groups": []}


def barrier(path: Path, account: Account | None) -> Path | None:
    """The first folder on the way to `path` that the account may not pass; None where the way is free."""
    if account is None:
        return None
    path = path.absolute()
    for folder in (*reversed(path.parents), path):
        if not folder.is_dir():
            return None  # a file's own mode is its owner's affair; what does not exist yet is made passable
        info = folder.stat()
        passable = stat.S_IXUSR if info.st_uid == account.uid else stat.S_IXGRP if info.st_gid == account.gid else stat.S_IXOTH
        if not info.st_mode & passable:
            return folder
    return None


def hand_over(folder: Path, account: Account | None) -> None:
    """Make the account the owner of a folder and all that is in it."""
    if account is None:
        return
    os.chown(folder, account.uid, account.gid)
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.chown(os.path.join(parent, name), account.uid, account.gid, follow_symlinks=False)
