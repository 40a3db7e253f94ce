"""The configuration file and the environment: what they set, and that each refusal names the key and the way out."""

from pathlib import Path

import pytest

from tailrace.errors import ConfigError
from tailrace.settings import Settings, hash_key, load, origins, seconds, secret
from tailrace.sources import load_source, load_sources


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tailrace.toml"


def refused(file: Path | None, text: str | None = None, environ: dict[str, str] | None = None) -> str:
    if file and text is not None:
        file.write_text(text)
    with pytest.raises(ConfigError) as error:
        load(file, environ or {})
    assert error.value.exit_code == 78
    return error.value.message


def test_without_a_file_there_are_defaults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load(None, {})
    assert settings.kafka.bootstrap_servers == "127.0.0.1:9092"
    assert {name: block.format for name, block in settings.sources.items()} == {"ezcast": "ezcast", "dataone": "dataone"}
    assert settings.sources["dataone"].index == "eventlog"


def test_a_file_in_the_working_folder_is_found(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    monkeypatch.chdir(file.parent)
    file.write_text('state_dir = "here"\n')
    assert load(None, {}).state_dir == "here"


def test_a_variable_names_the_file_and_the_command_line_goes_first(file: Path, tmp_path: Path) -> None:
    file.write_text('state_dir = "variable"\n')
    other = tmp_path / "other.toml"
    other.write_text('state_dir = "option"\n')
    assert load(None, {"TAILRACE_CONFIG": str(file)}).state_dir == "variable"
    assert load(other, {"TAILRACE_CONFIG": str(file)}).state_dir == "option"


def test_a_source_named_like_its_format_needs_no_format(file: Path) -> None:
    file.write_text('[sources.ezcast]\npaths = ["/traces/*.trace"]\n[sources.old]\nformat = "ezcast"\ntimezone = "UTC"\n')
    sources = load(file, {}).sources
    assert [(block.format, block.timezone) for block in sources.values()] == [("ezcast", "Europe/Brussels"), ("ezcast", "UTC")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[kafka]\nbootstrap_server = 'x'\n", ["kafka.bootstrap_server", "did you mean kafka.bootstrap_servers?"]),
        (
            "zzz = 1\n",
            [
                "unknown key zzz",
                "known keys: elasticsearch, harvest, hash_key_file, host, kafka, max_dead_share, ship, sink, sources, state_dir",
            ],
        ),
        ("[sources.ezcast]\npath = ['x']\n", ["sources.ezcast.path;", "did you mean sources.ezcast.paths?"]),
        ("[kafka]\npartitions = 'four'\n", ["kafka.partitions", "Expected `int`, got `str`"]),
        ("[kafka]\ncompression = 'rar'\n", ["kafka.compression", "rar"]),
        ("[kafka]\npartitions = 0\n", ["kafka.partitions", ">= 1"]),
        ("[ship]\nbytes_per_second = -1\n", ["ship.bytes_per_second", ">= 0"]),
        ("kafka = 1\n", ["kafka = 1 is no block; write [kafka]"]),
        ("sources = 1\n", ["sources = 1 is no block; write [sources]"]),
        ("[sources]\nezcast = 1\n", ["sources.ezcast = 1 is no block; write [sources.ezcast]"]),
        ("[sources.ezcast]\npaths = 'x'\n", ["sources.ezcast.paths: Expected `array`, got `str`; write a list, as in"]),
        ("[sources.ezcast]\nsession_days = 0\n", ["sources.ezcast.session_days: Expected `int` >= 1"]),
        ("[sources.ezcast]\nfields = { a = 1 }\n", ["sources.ezcast.fields", "Expected `str`, got `int`"]),
        ("[sources.ezcast]\nformat = 'csv'\n", ["sources.ezcast.format", "csv", 'write one of "ezcast", "dataone", "delimited"']),
        (
            "[sources.ezcast]\ntypes = { a = 'int' }\n",
            ["sources.ezcast.types[...]", 'for each of its keys one of "keyword", "text"'],
        ),
        ("[sources.ezcast]\nretention = 400\n", ["sources.ezcast.retention", "got `int`; write text in quotes"]),
        ("[sources.shop]\npaths = ['x']\n", ["sources.shop.format is missing", "delimited"]),
        ("[sources.Shop]\nformat = 'json'\n", ["sources.Shop", "lower-case letters"]),
        ("[elasticsearch]\nurl = '127.0.0.1:9200'\n", ["elasticsearch.url", "no URL with scheme, host and port"]),
        ("[elasticsearch]\nurl = 'http://a:9200,https://b'\n", ["https://b", "no URL with scheme, host and port"]),
        ("[kafka\n", ["is not TOML", "line 1"]),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(file: Path, text: str, words: list[str]) -> None:
    message = refused(file, text)
    assert message.startswith(str(file))
    for word in words:
        assert word in message


def test_a_missing_or_unreadable_file_is_refused(file: Path) -> None:
    assert "does not exist: give --config the path" in refused(file)
    file.write_bytes(b'state_dir = "\xff"')
    assert f"cannot read {file}" in refused(file)


def test_variables_override_the_file(file: Path) -> None:
    file.write_text('[kafka]\npartitions = 3\n[sources.my-shop]\nformat = "json"\n')
    settings = load(
        file,
        {
            "TAILRACE_KAFKA_PARTITIONS": "7",
            "TAILRACE_KAFKA_TOPIC_PREFIX": "7",
            "TAILRACE_SOURCES_MY_SHOP_PATHS": '["a", "b"]',
            "TAILRACE_SOURCES_MY_SHOP_FIELDS": '{ env = "test" }',
            "PATH": "ignored",
            "TAILRACE_LOG_LEVEL": "debug",
        },
    )
    assert (settings.kafka.partitions, settings.kafka.topic_prefix) == (7, "7")
    assert (settings.sources["my-shop"].paths, settings.sources["my-shop"].fields) == (["a", "b"], {"env": "test"})


def test_urls_of_several_nodes(file: Path) -> None:
    urls = "https://a.example.org:9200/behind, http://[::1]:9200"
    assert load(None, {"TAILRACE_ELASTICSEARCH_URL": urls}).elasticsearch.url == urls


def test_events_may_not_stand_among_the_sessions_of_another_source(file: Path) -> None:
    file.write_text('[sources.shop]\nformat = "json"\nclient = ["who"]\n[sources.shop-sessions]\nformat = "json"\n')
    settings = load(file, {})
    with pytest.raises(ConfigError, match=r'sources.shop-sessions.index: "shop-sessions" is where the sessions of sources.shop stand'):
        load_sources(settings, settings.sources)


def test_variables_override_the_sources_that_stand_in_no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    sources = load(None, {"TAILRACE_SOURCES_EZCAST_TIMEZONE": "UTC"}).sources
    assert sources["ezcast"].timezone == "UTC"
    assert sources["dataone"].index == "eventlog"


@pytest.mark.parametrize(
    ("variable", "text", "words"),
    [
        ("TAILRACE_KAFKA_PARTITION", "7", ["TAILRACE_KAFKA_PARTITION is no setting", "did you mean TAILRACE_KAFKA_PARTITIONS?"]),
        ("TAILRACE_KAFKA_PARTITIONS", "many", ["TAILRACE_KAFKA_PARTITIONS='many'", "Expected `int`, got `str`; write a whole number"]),
        ("TAILRACE_KAFKA_PARTITIONS", "0", ["TAILRACE_KAFKA_PARTITIONS='0'", ">= 1"]),
        ("TAILRACE_KAFKA_PARTITIONS", "[7]", ["TAILRACE_KAFKA_PARTITIONS='[7]'", "Expected `int`, got `array`"]),
    ],
)
def test_variables_that_cannot_be_meant_are_refused(file: Path, variable: str, text: str, words: list[str]) -> None:
    message = refused(file, "", {variable: text})
    for word in ["environment: ", *words]:
        assert word in message


def test_a_secret_may_stand_in_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hush\n")
    assert secret(None, str(tmp_path / "password"), "kafka.sasl_password") == "hush"
    assert secret("loud", str(tmp_path / "none"), "kafka.sasl_password") == "loud"
    assert secret(None, None, "kafka.sasl_password") is None
    with pytest.raises(ConfigError, match=r"kafka\.sasl_password_file: cannot read .*none: No such file"):
        secret(None, str(tmp_path / "none"), "kafka.sasl_password")


def test_durations() -> None:
    assert [seconds(text) for text in ("250ms", "5s", "1.5m", "2h", " 1d ")] == [0.25, 5.0, 90.0, 7200.0, 86400.0]
    with pytest.raises(ConfigError, match='session_gap = "60" is no duration: write a number and a unit'):
        seconds("60", "session_gap")


def test_what_set_each_key(file: Path) -> None:
    file.write_text('state_dir = "s"\n[kafka]\npartitions = 3\n[sources.shop]\nformat = "json"\n')
    environ = {"TAILRACE_KAFKA_PARTITIONS": "4", "TAILRACE_SOURCES_SHOP_PATHS": "[]"}
    assert origins(file, environ) == {
        ("state_dir",): str(file),
        ("kafka", "partitions"): "TAILRACE_KAFKA_PARTITIONS",
        ("sources", "shop", "format"): str(file),
        ("sources", "shop", "paths"): "TAILRACE_SOURCES_SHOP_PATHS",
    }


def test_sources_are_built_by_name(file: Path) -> None:
    file.write_text('[sources.ezcast]\n[sources.shop]\nformat = "delimited"\n')
    settings = load(file, {})
    assert {name: source.index for name, source in load_sources(settings, ["ezcast"]).items()} == {"ezcast": "ezcast"}
    with pytest.raises(ConfigError, match=r"sources\.shop\.columns: missing; name the columns"):
        load_source(settings, "shop")


def test_the_key_comes_from_its_variable_else_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("a key of a file of its own\n")
    named = Settings(hash_key_file=str(tmp_path / "key"))
    assert hash_key(Settings(), {}) == b""
    assert hash_key(named, {}) == b"a key of a file of its own"
    assert hash_key(named, {"TAILRACE_HASH_KEY": "a key of a variable"}) == b"a key of a variable"


def test_an_empty_key_file_is_no_key(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("\n")
    with pytest.raises(ConfigError, match="a key of 0 characters is too short; make one: openssl rand -hex 32"):
        hash_key(Settings(hash_key_file=str(tmp_path / "key")), {})
