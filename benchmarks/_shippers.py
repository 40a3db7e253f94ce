"""Other shippers from file to Kafka, as Debian packages them, told to do what ours does: acks=all, idempotent, lz4, 20 ms of linger.

Neither joins lines nor keys records, so each line is a record. They do not end by themselves.
"""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

RSYSLOG = """
global(workDirectory="{state}" maxMessageSize="64k")
module(load="imfile")
module(load="omkafka")
main_queue(queue.type="LinkedList" queue.size="100000" queue.dequeueBatchSize="1024")
template(name="line" type="string" string="%msg%")
input(type="imfile" file="{path}" tag="trace")
action(type="omkafka" broker=["{servers}"] topic="{topic}" template="line" partitions.auto="on" resubmitOnFailure="on"
  keepFailedMessages="on" failedMsgFile="{state}/failed" confParam=["acks=all", "enable.idempotence=true", "compression.codec=lz4",
  "queue.buffering.max.ms=20", "queue.buffering.max.messages=100000"])
"""

SYSLOG_NG = """
@version: 3.38
options {{ stats-freq(0); log-msg-size(65536); }};
source trace {{ file("{path}" flags(no-parse) follow-freq(1) log-fetch-limit(1000) log-iw-size(100000)); }};
destination kafka {{
  kafka-c(bootstrap-servers("{servers}") topic("{topic}") message("$MSG") sync-send({sync}) batch-lines(10000) log-fifo-size(200000)
    config(acks("all") enable.idempotence("true") compression.codec("lz4") linger.ms("20") queue.buffering.max.messages("100000")));
}};
log {{ source(trace); destination(kafka); flags(flow-control); }};
"""


class Shipper(NamedTuple):
    name: str
    program: str
    module: str
    """A part of a Debian package of its own, by a pattern under /usr/lib."""
    packages: str
    configuration: str
    command: Callable[[str, Path], list[str]]

    def found(self) -> bool:
        return _program(self.program) is not None and any(Path("/usr/lib").glob(self.module))

    def start(self, state: Path, path: Path, servers: str, topic: str) -> "subprocess.Popen[bytes]":
        """Ship a file. What it remembers is in `state`."""
        state.mkdir(exist_ok=True)
        file = state / "conf"
        file.write_text(self.configuration.format(state=state, path=path, servers=servers, topic=topic, sync="yes"))
        (state / "pid").unlink(missing_ok=True)  # a killed one leaves it
        with (state / "log").open("ab") as log:
            return subprocess.Popen(self.command(_program(self.program) or "", state), stdout=log, stderr=log)


def _program(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")


SHIPPERS = [
    Shipper(
        "rsyslog, imfile + omkafka",
        "rsyslogd",
        "**/rsyslog/omkafka.so",
        "rsyslog rsyslog-kafka",
        RSYSLOG,
        lambda program, state: [program, "-n", "-f", f"{state}/conf", "-i", f"{state}/pid"],
    ),
    Shipper(
        "syslog-ng, kafka-c",
        "syslog-ng",
        "**/syslog-ng/*/libkafka.so",
        "syslog-ng-core syslog-ng-mod-rdkafka",
        SYSLOG_NG,
        lambda program, state: [
            *(program, "-F", "--no-caps", "-f", f"{state}/conf"),
            *("-R", f"{state}/persist", "-p", f"{state}/pid", "-c", f"{state}/ctl"),
        ],
    ),
]


def peak_mb(pid: int | str = "self") -> float:
    """Of a process; 0 for one that has ended. What `wait4` says would include the process that started it."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


class Spent(NamedTuple):
    cpu_s: float
    peak_mb: float


def end(process: "subprocess.Popen[bytes]", number: int = signal.SIGTERM, within_s: float = 15.0) -> Spent:
    """Stop a process; what it took."""
    peak = peak_mb(process.pid)
    os.kill(process.pid, number)  # Popen's own would take what it left, if it has ended
    deadline = time.monotonic() + within_s
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return Spent(usage.ru_utime + usage.ru_stime, peak)
        if time.monotonic() > deadline:
            os.kill(process.pid, signal.SIGKILL)
        time.sleep(0.01)
