"""The command works from an installed wheel, and the Helm chart takes its values."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from quartet.kit.measurements import dump_measurements
from tests.deploy.kits import files_of, made_kit, run_kit
from tests.deploy.kustomizations import one
from tests.deploy.schemas import kustomize, validate
from tests.deploy.server_environment import container_of
from tests.deploy.tools import REPOSITORY_ROOT
from tests.unit.quartet.kit.figures import measurements, model

PACKAGED = ("quartet", "serving", "training", "deploy", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("measured") / "measurements.json"
    file.write_text(dump_measurements(measurements(model("a"), model("b"))))
    return file


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the wheel, where no checkout is near."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in PACKAGED:
        (source / name).symlink_to(REPOSITORY_ROOT / name)
    words = ("wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder), str(source))
    built = subprocess.run(
        [sys.executable, "-m", "pip", *words], capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = folder.glob("quartet-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_installed_command_makes_the_same_kit(
    installed: Path, measured: Path, tmp_path: Path
) -> None:
    # With everything that the package brings.
    words = ("repo", "--measurements", measured, "--gpu", "--scaler", "keda", "--model-claim", "c")
    # A folder named `deploy` of the user's own is not mistaken for the package's.
    (tmp_path / "deploy" / "kubernetes" / "base").mkdir(parents=True)
    done = run_kit(
        *words, "--out", tmp_path / "site", "--accept-doubts", package=installed, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert files_of(tmp_path / "site") == files_of(made_kit(tmp_path / "checkout", *words))


def test_installation_without_manifests_says_so(
    installed: Path, measured: Path, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "quartet").symlink_to(installed / "quartet")
    # Imported through a link, the package is where the link leads.
    (installed / "deploy").rename(installed / "elsewhere")
    try:
        done = run_kit("r", "--measurements", measured, "--out", tmp_path / "o", package=site)
    finally:
        (installed / "elsewhere").rename(installed / "deploy")
    assert done.returncode == 1
    assert "install quartet anew" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--scaler", "keda", "--prometheus-operator"),
        ("--gpu", "--model-claim", "c", "--image", "reg.example/quartet:7"),
    ],
)
def test_chart_says_the_same_as_the_manifests(
    words: tuple[str, ...], measured: Path, tmp_path: Path
) -> None:
    charts = pytest.importorskip("tests.deploy.helm_charts")
    kit = made_kit(tmp_path / "out", "repo", "--measurements", measured, *words)
    values = yaml.safe_load((kit / "helm-values.yaml").read_text())
    chart, manifests = charts.render(values), kustomize(kit)
    assert validate(chart, existing=["PersistentVolumeClaim/c"]) == []
    ours, theirs = container_of(manifests), container_of(chart)
    for part in ("image", "resources", "startupProbe"):
        assert theirs[part] == ours[part]
    if "keda" in words:
        assert thresholds(chart) == thresholds(manifests)
        rules = one(chart, "PrometheusRule")["spec"], one(manifests, "PrometheusRule")["spec"]
        assert rules[0] == rules[1]
    else:
        scalers = [one(documents, "HorizontalPodAutoscaler") for documents in (chart, manifests)]
        for part in ("minReplicas", "maxReplicas", "metrics"):
            assert scalers[0]["spec"][part] == scalers[1]["spec"][part]


def thresholds(documents: list[dict[str, object]]) -> dict[str, float]:
    """Of each trigger of the ScaledObject."""
    triggers = one(documents, "ScaledObject")["spec"]["triggers"]
    return {trigger["name"]: float(trigger["metadata"]["threshold"]) for trigger in triggers}
