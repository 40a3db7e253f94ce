from pathlib import Path

import pytest

from infra import java
from tailrace.errors import TailraceError

WHOLE = ("jdk.attach", "jdk.jdi", "jdk.jlink")


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that stands for /usr/lib/jvm."""
    folder = tmp_path / "jvm"
    folder.mkdir()
    monkeypatch.setattr(java, "FOLDERS", (folder, tmp_path / "absent"))
    return folder


def install(home: Path, version: str, *modules: str) -> Path:
    """A home whose `java --list-modules` answers as a JDK of that version does."""
    program = home / "bin" / "java"
    program.parent.mkdir(parents=True)
    lines = "\n".join(f"{module}@{version}" for module in ("java.base", *modules))
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{lines}\nEND\n")
    program.chmod(0o755)
    return home


def test_java_home_comes_first(tmp_path: Path, installed: Path) -> None:
    install(installed / "jdk-25", "25.0.1", *WHOLE)
    chosen = install(tmp_path / "mine", "21.0.9", *WHOLE)
    assert java.find(environ={"JAVA_HOME": str(chosen)}) == java.Jdk(chosen, 21)


def test_then_the_java_on_the_path_through_its_links(tmp_path: Path, installed: Path) -> None:
    install(installed / "jdk-30", "30", *WHOLE)
    home = install(tmp_path / "real", "25", *WHOLE)
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "java").symlink_to(home / "bin" / "java")
    assert java.find(environ={"PATH": str(tmp_path / "links")}).home == home


def test_then_the_newest_installed_by_number_not_by_letter(installed: Path) -> None:
    for version in ("9", "21", "100"):
        install(installed / f"jdk-{version}", version, *WHOLE)
    assert java.find(environ={}).version == 100


def test_what_will_not_do_is_passed_over_and_listed_with_the_reason(tmp_path: Path, installed: Path) -> None:
    old = install(installed / "java-17-openjdk", "17.0.15", *WHOLE)
    lean = install(tmp_path / "jre", "25.0.2", "jdk.attach")
    broken = install(installed / "broken-1", "25", *WHOLE)
    (broken / "bin" / "java").write_text("#!/nowhere/interpreter\n")
    with pytest.raises(TailraceError) as caught:
        java.find(environ={"JAVA_HOME": str(lean)})
    message = caught.value.message
    assert f"{lean}: lacks jdk.jdi, jdk.jlink" in message
    assert f"{old}: version 17" in message
    assert f"{broken}: does not run" in message
    assert "JAVA_HOME" in message

    good = install(installed / "jdk-2", "22", *WHOLE)
    assert java.find(environ={"JAVA_HOME": str(lean)}).home == good


def test_no_java_at_all_says_what_to_install() -> None:
    with pytest.raises(TailraceError, match=r"JDK 21 or newer.*No Java was found"):
        java.find(environ={})
