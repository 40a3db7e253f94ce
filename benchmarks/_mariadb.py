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
BUFFER_POOL = "2G"
"""Holds 1,000,000 rows with their indexes, so that no answer waits for the disk."""


def found() -> bool:
    return all(shutil.which(name) or shutil.which(name, path="/usr/sbin") for name in (INSTALL, SERVER))


@contextmanager
def server(folder: Path) -> Iterator[Any]:
    """A connection to a fresh server whose files are in `folder`, which is made. Raises OSError where it does not start."""
    account = unprivileged()
    data, socket = folder / "data", folder / "socket"
    folder.mkdir()
    hand_over(folder, account)
    install = [shutil.which(INSTALL) or "", "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal"]
    subprocess.run(install, check=True, capture_output=True, **credentials(account))
    options = [f"--datadir={data}", f"--socket={socket}", "--skip-networking", "--local-infile=1", f"--tmpdir={folder}"]
    command = [shutil.which(SERVER, path="/usr/sbin:/usr/bin") or "", "--no-defaults", *options, f"--innodb-buffer-pool-size={BUFFER_POOL}"]
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
