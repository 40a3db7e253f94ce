"""`tailrace config`, as typed."""

import json
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tailrace.cli import main


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "tailrace.toml"


def run(*words: str, **environ: str) -> Result:
    return CliRunner().invoke(main, ["config", *words], env=environ)


def test_a_configuration_without_fault(file: Path) -> None:
    (file.parent / "traces").mkdir()
    file.write_text('[sources.ezcast]\npaths = ["traces/**/*.trace"]\n')
    done = run("check")
    assert done.exit_code == 0
    assert done.output == "usable: configuration file tailrace.toml; sources: ezcast (ezcast); 0 errors, 0 warnings\n"


def test_every_fault_is_told_at_once(file: Path) -> None:
    (file.parent / "agents.txt").write_text("curl\n^$|robot\n")
    (file.parent / "networks.txt").write_text("not a network\n")
    (file.parent / "state").write_text("a file")
    file.write_text("""
state_dir = "state/deeper"
[ship]
seal_after = "soon"
monitor = "9464"
[kafka]
sasl_password_file = "gone.secret"
ssl_ca_location = "gone.pem"
[sources.ezcast]
paths = ["gone/*.trace"]
timezone = "Brussels"
[sources.dataone]
own_networks = "networks.txt"
robot_networks = "gone.txt"
machine_user_agents = "agents.txt"
geoip_city = "gone.mmdb"
[sources.shop]
format = "regex"
paths = ["*.log"]
pattern = "("
""")
    done = run("check")
    assert done.exit_code == 78
    lines = done.output.splitlines()
    for severity, key in [
        ("error", 'ship.monitor = "9464" is no address: write host:port'),
        ("error", "kafka.sasl_password_file: cannot read gone.secret"),
        ("error", 'kafka.ssl_ca_location = "gone.pem": cannot read it'),
        ("error", 'state_dir = "state/deeper": cannot be made'),
        ("error", 'ship.seal_after = "soon" is no duration'),
        ("warning", 'sources.ezcast.paths: "gone/*.trace": there is no folder gone'),
        ("error", 'sources.ezcast.timezone: "Brussels" is no zone'),
        ("warning", "sources.dataone.paths: names no file"),
        ("error", 'sources.dataone.own_networks = "networks.txt": '),
        ("error", 'sources.dataone.robot_networks = "gone.txt": cannot read it'),
        ("error", 'sources.dataone.machine_user_agents = "agents.txt": '),
        ("warning", 'sources.dataone.geoip_city = "gone.mmdb": there is no such file'),
        ("error", "sources.shop.pattern: no regular expression"),
    ]:
        assert [line for line in lines if line.startswith(f"{severity}: {key}")], (severity, key, done.output)
    assert lines[-1].startswith("NOT usable: ")
    assert "10 errors, 3 warnings" in lines[-1]
    assert len(lines) == 14


def test_no_source_at_all_is_a_warning(file: Path) -> None:
    file.write_text("[sources]\n")
    done = run("check")
    assert done.exit_code == 0
    assert done.output.startswith("warning: sources: none is configured")


def test_a_key_that_does_not_exist_ends_it_with_78(file: Path) -> None:
    file.write_text("[kafka]\nbootstrap_server = 'x'\n")
    assert run("check").exit_code == 78
    assert run("show").exit_code == 78


def test_show_is_toml_of_what_is_in_force(file: Path) -> None:
    file.write_text('[kafka]\nsasl_password = "hush"\n[sources.dataone]\nfields = { env = "test", "a b" = "\\u007f" }\n')
    done = run("show", TAILRACE_KAFKA_PARTITIONS="7", TAILRACE_ELASTICSEARCH_API_KEY="hush")
    assert done.exit_code == 0
    assert "hush" not in done.output
    shown = tomllib.loads(done.output)
    assert (shown["kafka"]["partitions"], shown["kafka"]["sasl_password"]) == (7, "********")
    assert shown["elasticsearch"]["api_key"] == "********"
    assert shown["sources"]["dataone"]["fields"] == {"env": "test", "a b": "\x7f"}
    assert shown["state_dir"] == "state"
    assert "partitions = 7  # from TAILRACE_KAFKA_PARTITIONS\n" in done.output
    assert 'sasl_password = "********"  # from tailrace.toml\n' in done.output
    assert 'state_dir = "state"\n' in done.output


def test_a_password_in_a_url_is_refused_and_not_repeated(file: Path) -> None:
    done = run("show", TAILRACE_ELASTICSEARCH_URL="https://user:hush@search:9200/p")
    assert done.exit_code == 78
    assert "TAILRACE_ELASTICSEARCH_PASSWORD" in done.output
    assert "hush" not in done.output


def test_what_show_writes_is_a_configuration(file: Path) -> None:
    first = run("show").output
    file.write_text(first)
    assert tomllib.loads(run("show").output) == tomllib.loads(first)
    shown = json.loads(run("show", "--format", "json").output)
    assert shown["sources"]["ezcast"]["timezone"] == "Europe/Brussels"
    assert shown["host"] is None


def test_a_file_of_actions_is_read_as_the_workers_will(file: Path) -> None:
    (file.parent / "actions.toml").write_text('[types]\ninteger = ["album"]\n')
    file.write_text('[sources.ezcast]\npaths = ["*.trace"]\nactions = "actions.toml"\n')
    done = run("check")
    assert done.exit_code == 78
    assert 'error: sources.ezcast.actions = "actions.toml": types: album is both keyword and integer' in done.output


PRIVATE = """
[kafka]
raw_retention = "30d"
[sources.dataone]
paths = ["*.log"]
pseudonymize = true
"""


@pytest.mark.parametrize(
    ("change", "key", "messages"),
    [
        (("", ""), "0123456789abcdef", []),
        (("", ""), "short", ["error: TAILRACE_HASH_KEY: a key of 5 characters is too short", "error: sources.dataone.pseudonymize"]),
        (("", ""), None, ["error: sources.dataone.pseudonymize: no key for `tailrace stream`"]),
        (('"30d"', '"soon"'), "0123456789abcdef", ["error: kafka.raw_retention"]),
        (('raw_retention = "30d"', ""), "0123456789abcdef", ["warning: kafka.raw_retention: not set"]),
        (("[kafka]", 'hash_key_file = "gone"\n[kafka]'), None, ["error: hash_key_file: cannot read gone", "error: sources.dataone"]),
    ],
)
def test_privacy_needs_a_key_and_an_end_of_raw_topics(file: Path, change: tuple[str, str], key: str | None, messages: list[str]) -> None:
    file.write_text(PRIVATE.replace(*change) if change[0] else PRIVATE)
    done = run("check", **({"TAILRACE_HASH_KEY": key} if key else {}))
    findings = done.output.splitlines()[:-1]
    assert len(findings) == len(messages), findings
    for finding, message in zip(findings, messages, strict=True):
        assert finding.startswith(message)
    assert done.exit_code == (78 if any(message.startswith("error") for message in messages) else 0)


def test_the_key_stands_in_no_output(file: Path) -> None:
    file.write_text(PRIVATE)
    assert "0123456789abcdef" not in run("show", TAILRACE_HASH_KEY="0123456789abcdef").output
