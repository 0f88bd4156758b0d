"""How Prometheus finds servers and Grafana finds Prometheus, as their own tools read it."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from quartet.monitoring.collection import SCALING_METRICS
from tests.deploy.promtool_cases import DEPLOY, PROMETHEUS
from tests.deploy.tools import require, run

MONITORING = DEPLOY / "monitoring"
PROVISIONING = MONITORING / "grafana" / "provisioning"


def configured(folder: Path, entry: dict[str, Any]) -> Path:
    """The shipped configuration in ``folder``, with one target of a host without Compose."""
    (folder / "targets").mkdir()
    (folder / "targets" / "hosts.yaml").write_text(yaml.safe_dump([entry]))
    shutil.copy(PROMETHEUS / "rules.yaml", folder)
    return Path(shutil.copy(PROMETHEUS / "prometheus.yaml", folder))


def discovered(folder: Path, entry: dict[str, Any]) -> dict[str, str]:
    """Labels that samples of ``entry`` get."""
    config = configured(folder, entry)
    command = [require("promtool"), "check", "service-discovery", "--timeout=1s"]
    done = subprocess.run(
        [*command, str(config), "quartet"], capture_output=True, text=True, timeout=60, check=True
    )
    found = [one["labels"] for one in json.loads(done.stdout)]
    return next(labels for labels in found if labels["__address__"] == entry["targets"][0])


def test_promtool_accepts_the_configuration(tmp_path: Path) -> None:
    config = configured(tmp_path, {"targets": ["10.0.0.1:8002"]})

    run(require("promtool"), "check", "config", str(config))


def test_promtool_refuses_a_configuration_with_an_unknown_field(tmp_path: Path) -> None:
    config = configured(tmp_path, {"targets": ["10.0.0.1:8002"]})
    config.write_text(config.read_text().replace("scrape_timeout", "scrape_time_out"))

    command = [require("promtool"), "check", "config", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode != 0
    assert "scrape_time_out" in done.stdout + done.stderr


def test_targets_have_the_labels_that_rules_and_dashboard_choose_by(tmp_path: Path) -> None:
    labels = discovered(tmp_path, {"targets": ["10.0.0.1:8002"]})

    assert (labels["job"], labels["instance"]) == ("quartet", "10.0.0.1:8002")
    assert (labels["namespace"], labels["pod"]) == ("default", "10.0.0.1:8002")


def test_labels_that_a_target_has_are_kept(tmp_path: Path) -> None:
    own = {"namespace": "models", "pod": "host-a"}
    labels = discovered(tmp_path, {"targets": ["10.0.0.1:8002"], "labels": own})

    assert {name: labels[name] for name in own} == own


def test_grafana_is_told_of_a_prometheus_and_of_a_folder() -> None:
    sources = yaml.safe_load((PROVISIONING / "datasources" / "prometheus.yaml").read_text())
    boards = yaml.safe_load((PROVISIONING / "dashboards" / "quartet.yaml").read_text())

    assert [one["type"] for one in sources["datasources"]] == ["prometheus"]
    assert [one["type"] for one in boards["providers"]] == ["file"]
    assert boards["providers"][0]["options"]["path"].startswith("/")


def test_the_adapter_serves_what_the_autoscaler_asks_for() -> None:
    values = yaml.safe_load((MONITORING / "prometheus-adapter" / "values.yaml").read_text())
    served = {rule["name"]["as"] for rule in values["rules"]["custom"]}
    scaler = yaml.safe_load(
        (DEPLOY / "kubernetes" / "base" / "horizontalpodautoscaler.yaml").read_text()
    )
    asked = {one["pods"]["metric"]["name"] for one in scaler["spec"]["metrics"]}

    assert served == asked == set(SCALING_METRICS)
