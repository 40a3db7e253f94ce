"""The manifests for Kubernetes say what the commands do."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from streams.worker import STOP_S
from tailrace.cli import main
from tailrace.settings import Settings, load
from tests.conftest import REPOSITORY


def of_kind(kind: str) -> list[dict[str, Any]]:
    everything = yaml.safe_load((REPOSITORY / "infra" / "kubernetes.yaml").read_text())
    return [item for item in everything["items"] if item["kind"] == kind]


DEPLOYMENTS = {item["spec"]["template"]["metadata"]["labels"]["role"]: item["spec"] for item in of_kind("Deployment")}


def container(role: str) -> dict[str, Any]:
    (found,) = DEPLOYMENTS[role]["template"]["spec"]["containers"]
    return dict(found)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """As a container has them."""
    (configuration,), (secret,) = of_kind("ConfigMap"), of_kind("Secret")
    (tmp_path / "tailrace.toml").write_text(configuration["data"]["tailrace.toml"])
    return load(tmp_path / "tailrace.toml", secret["stringData"])


def test_configuration_and_secret_are_understood(settings: Settings) -> None:
    assert settings.elasticsearch.password == "change-me"
    (configuration,) = of_kind("ConfigMap")
    for role in DEPLOYMENTS:
        mounted = {mount["mountPath"] for mount in container(role)["volumeMounts"]}
        assert {settings.state_dir, container(role)["workingDir"]} == mounted
        assert [*configuration["data"]] == ["tailrace.toml"], "found in the folder that a container starts in"


@pytest.mark.parametrize("role", ["parse", "sessionize", "sink"])
def test_a_role_is_started_watched_and_given_the_time_to_stop(settings: Settings, role: str) -> None:
    assert [*DEPLOYMENTS] == ["parse", "sessionize", "sink"]
    one, template = container(role), DEPLOYMENTS[role]["template"]
    assert role in one["args"]
    done = CliRunner().invoke(main, [*one["args"], "--help"])
    assert (done.exit_code, "--wait" in done.output) == (0, True)
    monitor = settings.sink.monitor if role == "sink" else settings.stream.monitor
    (port,) = one["ports"]
    assert monitor == f"0.0.0.0:{port['containerPort']}"
    assert one["readinessProbe"]["httpGet"] == {"path": "/health", "port": port["name"]}
    assert template["metadata"]["annotations"]["prometheus.io/port"] == str(port["containerPort"])
    assert template["spec"]["terminationGracePeriodSeconds"] > STOP_S
    assert DEPLOYMENTS[role]["selector"]["matchLabels"] == template["metadata"]["labels"]


def test_the_image_runs_as_a_user_who_may_write_the_state() -> None:
    (user,) = re.findall(r"^USER (\d+)$", (REPOSITORY / "infra" / "Containerfile").read_text(), re.MULTILINE)
    for role in DEPLOYMENTS:
        assert DEPLOYMENTS[role]["template"]["spec"]["securityContext"] == {"runAsNonRoot": True, "fsGroup": int(user)}
