"""The Compose files, read by Compose itself."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from serving.settings import ServerSettings
from tests.deploy.tools import REPOSITORY_ROOT, require

FOLDER = REPOSITORY_ROOT / "deploy" / "docker"
COMPOSE = FOLDER / "compose.yaml"
GPU = FOLDER / "compose.gpu.yaml"
SERVICES = ("grafana", "prometheus", "quartet")
UNITS_S = {"h": 3600, "m": 60, "s": 1}


def compose(*files: Path) -> subprocess.CompletedProcess[str]:
    """Merge ``files`` and check them against Compose's own schema."""
    flags = [word for file in files for word in ("--file", str(file))]
    command = [require("docker-compose"), *flags, "config", "--format", "json"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def project(*files: Path) -> dict[str, Any]:
    done = compose(*files)
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def service(name: str) -> dict[str, Any]:
    found: dict[str, Any] = project(COMPOSE)["services"][name]
    return found


def seconds(duration: str) -> int:
    """Of a duration as Compose prints it: 1m30s."""
    return sum(int(n) * UNITS_S[unit] for n, unit in re.findall(r"(\d+)([hms])", duration))


def test_services_are_the_server_and_its_monitoring() -> None:
    assert sorted(project(COMPOSE)["services"]) == sorted(SERVICES)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("    stop_grace_period: 45s", "    stop_grace_periode: 45s"),
        ("    ports:\n", "    ports: 8000\n    x-ports:\n"),
        ("depends_on: [prometheus]", "depends_on: [prometheis]"),
        ("- prometheus:/prometheus", "- promethoos:/prometheus"),
    ],
)
def test_file_with_a_fault_is_refused(tmp_path: Path, right: str, wrong: str) -> None:
    text = COMPOSE.read_text()
    assert right in text
    faulty = tmp_path / "compose.yaml"
    faulty.write_text(text.replace(right, wrong, 1))
    assert compose(faulty).returncode != 0


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_restricted(name: str) -> None:
    found = service(name)
    assert found["read_only"] is True
    assert found["cap_drop"] == ["ALL"]
    assert found["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in found
    limits = found["deploy"]["resources"]["limits"]
    assert {"cpus", "memory", "pids"} <= set(limits)


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_pinned_checked_and_on_loopback(name: str) -> None:
    found = service(name)
    tag = found["image"].rpartition(":")[2]
    assert re.fullmatch(r"v?\d+\.\d+\.\d+", tag)
    assert found["healthcheck"]["test"][0] == "CMD"
    assert {port["host_ip"] for port in found["ports"]} == {"127.0.0.1"}


@pytest.mark.parametrize("name", SERVICES)
def test_every_mounted_folder_exists_and_is_read_only(name: str) -> None:
    mounts = [m for m in service(name).get("volumes", []) if m["type"] == "bind"]
    assert [m["source"] for m in mounts if not Path(m["source"]).is_dir()] == []
    assert all(m["read_only"] for m in mounts)


def test_health_check_is_the_image_s() -> None:
    words = ", ".join(f'"{word}"' for word in service("quartet")["healthcheck"]["test"][1:])
    assert f"CMD [{words}]" in (FOLDER / "Dockerfile").read_text()


def test_prometheus_and_grafana_find_their_files() -> None:
    prometheus, grafana = service("prometheus"), service("grafana")
    folders = {m["target"]: Path(m["source"]) for m in prometheus["volumes"] if m["type"] == "bind"}
    folders |= {m["target"]: Path(m["source"]) for m in grafana["volumes"] if m["type"] == "bind"}
    config = prometheus["command"][0].removeprefix("--config.file=")
    assert (folders["/etc/prometheus"] / Path(config).name).is_file()
    home = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert json.loads((folders[str(home.parent)] / home.name).read_text())["panels"]
    source = folders["/etc/grafana/provisioning"] / "datasources" / "prometheus.yaml"
    assert "http://prometheus:9090" in source.read_text()
    provider = folders["/etc/grafana/provisioning"] / "dashboards" / "quartet.yaml"
    assert str(home.parent) in provider.read_text()


def test_container_is_not_killed_while_the_server_drains() -> None:
    settings = ServerSettings()
    drain_s = settings.drain_delay_s + settings.drain_timeout_s
    assert seconds(service("quartet")["stop_grace_period"]) >= drain_s + 5


def test_gpu_file_asks_for_a_gpu_and_its_image() -> None:
    found = project(COMPOSE, GPU)["services"]["quartet"]
    assert found["image"] == "quartet:0.1.0-gpu"
    assert found["build"]["args"] == {"DEVICE": "gpu"}
    (device,) = found["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]
    assert found["read_only"] is True
