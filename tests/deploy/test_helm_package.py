"""The packaged chart is the chart."""

import importlib.metadata
from pathlib import Path

import pytest
import yaml

from tests.deploy.helm_charts import CHART, example, helm, lint, objects, render


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(helm.package(CHART, destination=tmp_path_factory.mktemp("chart")))


def test_archive_is_named_after_name_and_version(archive: Path) -> None:
    assert archive.name == "quartet-0.1.0.tgz"


@pytest.mark.parametrize("name", [None, "multi-model", "full"])
def test_archive_renders_as_the_folder_does(archive: Path, name: str | None) -> None:
    values = example(name) if name else {}
    assert render(values, chart=archive) == render(values)


def test_archive_lints(archive: Path) -> None:
    assert lint(chart=archive) == []


def test_application_is_of_the_version_of_the_package() -> None:
    with helm.Chart.load(CHART) as chart:
        assert chart.metadata["appVersion"] == importlib.metadata.version("quartet")


def test_installation_is_what_is_rendered_without_the_test(tmp_path: Path) -> None:
    """By Helm's own install, which contacts no cluster in a dry run; `helm test` runs the rest."""
    with helm.Config(
        kubeconfig_path=tmp_path / "none", storage_driver="memory", namespace="models"
    ) as cluster:
        release = cluster.install(CHART, "quartet", {}, dry_run="client")
    installed = objects([m for m in yaml.safe_load_all(release["manifest"]) if m])
    rendered = objects(render(namespace="models"))
    assert rendered.pop("Pod/quartet-test")["metadata"]["annotations"]["helm.sh/hook"] == "test"
    assert installed == rendered
    assert "helm test quartet -n models" in release["notes"]
