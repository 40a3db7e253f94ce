"""The unit for systemd says what the commands do."""

import re
import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from streams.worker import STOP_S
from tailrace.cli import COMMANDS, main
from tailrace.errors import ConfigError, Refused, TooManyDead
from tailrace.supervisor import GRACE_S
from tests.conftest import REPOSITORY

UNIT = REPOSITORY / "infra" / "tailrace@.service"


@pytest.fixture
def unit() -> ConfigParser:
    found = ConfigParser(interpolation=None, comment_prefixes="#")
    found.optionxform = str  # type: ignore[assignment,method-assign]  # systemd's names are in mixed case
    found.read(UNIT)
    return found


def test_every_role_that_it_names_takes_what_it_is_started_with(unit: ConfigParser) -> None:
    words = unit["Service"]["ExecStart"].split()
    assert words[1:] == ["--config", "/etc/tailrace/tailrace.toml", "%i", "--wait", "10m"]
    roles = set(re.findall(r"tailrace@(\w+)", UNIT.read_text()))
    assert roles == {"ship", "stream", "sink", "harvest"} <= COMMANDS.keys()
    for role in roles:
        assert "--wait" in CliRunner().invoke(main, [role, "--help"]).output


def test_what_a_restart_does_not_mend_is_not_restarted(unit: ConfigParser) -> None:
    hopeless = {int(code) for code in unit["Service"]["RestartPreventExitStatus"].split()}
    assert hopeless == {click.UsageError.exit_code, TooManyDead.exit_code, Refused.exit_code, ConfigError.exit_code}


def test_it_waits_for_a_clean_stop(unit: ConfigParser) -> None:
    assert int(unit["Service"]["TimeoutStopSec"]) > max(GRACE_S, STOP_S)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_understands_it(tmp_path: Path) -> None:
    copy = tmp_path / "tailrace@ship.service"
    copy.write_text(re.sub(r"ExecStart=\S+", f"ExecStart={shutil.which('true')}", UNIT.read_text()))
    done = subprocess.run(["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, timeout=30)
    assert "tailrace@" not in done.stderr
