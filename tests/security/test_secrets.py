"""No password or key is ever printed: at the most talkative level, in errors, in tracebacks, and not on any command line."""

import pytest

from tailrace.settings import Kafka
from tests.helpers import eventually
from tests.secured import password_of
from tests.security.stage import Stage

pytestmark = pytest.mark.timeout(600)

SECRET = password_of("")
"""The beginning of every password here."""


def in_variables(role: str, stage: Stage) -> dict[str, str]:
    """The same passwords, given as variables instead of files."""
    password = password_of(stage.user(role))
    return {
        "TAILRACE_LOG_LEVEL": "debug",
        "TAILRACE_KAFKA_SASL_PASSWORD": password,
        "TAILRACE_KAFKA_SASL_PASSWORD_FILE": "",
        "TAILRACE_ELASTICSEARCH_PASSWORD": password,
        "TAILRACE_ELASTICSEARCH_PASSWORD_FILE": "",
    }


def test_work_and_trouble_tell_no_secret(stage: Stage) -> None:
    stage.extra = {"TAILRACE_LOG_LEVEL": "debug"}
    stage.carry()
    for role in ("ship", "parse", "sink"):
        own = in_variables(role, stage)
        # Nobody by that name, a password that is another's, a server that is none.
        stage.start(role, "--wait", "1s", **own, TAILRACE_KAFKA_SASL_USERNAME="nobody").refused("refused the connection")
        if role == "sink":
            stage.start(role, "--wait", "1s", **own, TAILRACE_ELASTICSEARCH_USERNAME="nobody").refused("401")
            wrong = {"TAILRACE_ELASTICSEARCH_USERNAME": "", "TAILRACE_ELASTICSEARCH_API_KEY": SECRET}
            stage.start(role, "--wait", "1s", **own, **wrong).refused("401")
        assert stage.start(role, "--wait", "0s", **own, TAILRACE_KAFKA_SECURITY_PROTOCOL="PLAINTEXT").end() == 69
    printed = stage.printed()
    assert "DEBUG" in printed
    assert SECRET not in printed


def test_running_processes_and_their_settings_tell_no_secret(stage: Stage) -> None:
    stage.extra = in_variables("sink", stage)
    sink = stage.start("sink")
    eventually(lambda: "writing" in sink.said or sink.ended(), "its partitions")
    with open(f"/proc/{sink.process.pid}/cmdline") as line:
        assert SECRET not in line.read()
    sink.stop()
    for command in ("config show", "config show --format json", "config check", "access kafka", "access elasticsearch"):
        shown = stage.start(command)
        assert shown.end() == 0, shown.said
    assert "********" in stage.printed()
    assert SECRET not in stage.printed()


def test_a_defect_tells_no_secret(stage: Stage) -> None:
    stage.extra = in_variables("sink", stage)
    (stage.folder / "sitecustomize.py").write_text("import sinks.cli\nsinks.cli.Sink._take = None\n")
    broken = stage.start("sink", PYTHONPATH=str(stage.folder))
    assert broken.end() == 1
    assert "Traceback" in broken.said
    assert SECRET not in broken.said


def test_settings_do_not_show_their_secrets() -> None:
    assert SECRET not in repr(Kafka(sasl_password=SECRET))
