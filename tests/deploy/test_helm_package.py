"""The packaged chart is the chart."""

import importlib.metadata
from pathlib import Path

import pytest

from tests.deploy.helm_charts import CHART, example, helm, lint, render


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
