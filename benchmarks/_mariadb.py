"""A MariaDB server of Debian's package, for the length of a `with`: own data folder, own socket, no network."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pymysql

from infra.account import credentials, hand_over, unprivileged

INSTALL, SERVER = "mariadb-install-db", "mariadbd"
START_S = 60.0
LEAST_POOL_MB = 2_048
POOL_BYTES_A_ROW = 700
"""Rows with their indexes are held in memory, so that no answer waits for the disk."""
LOADING = ("--innodb-flush-log-at-trx-commit=0", "--skip-innodb-doublewrite", "--innodb-log-file-size=1G")
"""A table that is lost with its server needs no care while it is filled; answers do not depend on it."""


def found() -> bool:
    return all(shutil.which(name) or shutil.which(name, path="/usr/sbin") for name in (INSTALL, SERVER))


@contextmanager
def server(folder: Path, rows: int) -> Iterator[Any]:
    """A connection to a fresh server whose files are in `folder`, which is made, and which has memory for so many rows.

    Raises OSError where it does not start.
    """
    account = unprivileged()
    data, socket = folder / "data", folder / "socket"
    folder.mkdir()
    hand_over(folder, account)
    install = [shutil.which(INSTALL) or "", "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal"]
    subprocess.run(install, check=True, capture_output=True, **credentials(account))
    options = [f"--datadir={data}", f"--socket={socket}", "--skip-networking", "--local-infile=1", f"--tmpdir={folder}"]
    pool = max(LEAST_POOL_MB, rows * POOL_BYTES_A_ROW >> 20)
    command = [
        shutil.which(SERVER, path="/usr/sbin:/usr/bin") or "",
        "--no-defaults",
        *options,
        *LOADING,
        f"--innodb-buffer-pool-size={pool}M",
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, **credentials(account))
        try:
            with _connect(process, socket) as connection:
                yield connection
        finally:
            process.terminate()
            process.wait()


def _connect(process: "subprocess.Popen[bytes]", socket: Path) -> Any:
    deadline = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            return pymysql.connect(unix_socket=str(socket), user="root", local_infile=True, autocommit=True)
        except pymysql.OperationalError:
            time.sleep(0.2)
    raise OSError(f"{SERVER} did not start; it said: {(socket.parent / 'log').read_text(errors='replace')[-500:]}")
