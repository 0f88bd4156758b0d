"""The kit of a real measurement: valid, and with the numbers that the measurement comes to."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from quartet.kit.measurements import load_measurements
from quartet.kit.sizing import Sizing
from tests.deploy.kits import (
    files_of,
    made_kit,
    mebibytes,
    milli,
    run_kit,
    sizing_of,
    small_repository,
    targets_of,
)
from tests.deploy.kustomizations import one
from tests.deploy.schemas import kustomize, validate
from tests.deploy.server_environment import container_of, environment_of
from tests.deploy.tools import require, run

FLAGS = ("--requests-per-second", "2000", "--mix", "mnist=3", "--mix", "sums=1")


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Measured once, in about ten seconds."""
    folder = tmp_path_factory.mktemp("kit")
    repository = small_repository(folder / "repo")
    return made_kit(folder / "out", repository, "--seconds", "1", *FLAGS)


@pytest.fixture(scope="module")
def sizing(kit: Path) -> Sizing:
    return sizing_of(kit, *FLAGS)


@pytest.fixture
def manifests(kit: Path) -> list[dict[str, Any]]:
    return kustomize(kit)


def again(kit: Path, out: Path, *words: str) -> Path:
    """Another kit of the same measurements."""
    return made_kit(out, kit.parent / "repo", "--measurements", kit / "measurements.json", *words)


def test_every_model_of_the_repository_was_measured(kit: Path) -> None:
    found = load_measurements(kit / "measurements.json")
    assert [(m.name, m.version) for m in found.models] == [("mnist", "2"), ("sums", "1")]
    assert [m.sample for m in found.models] == [
        "1 row(s) of golden.npz",
        "1 row(s) made from the metadata",
    ]
    assert found.ready_s is not None
    assert 0 < found.rest_bytes <= found.peak_bytes
    for model in found.models:
        assert model.curve[0].clients == 1
        assert 0 < model.steady.mean_batch_rows <= model.max_batch_rows
        assert 0 < model.steady.utilization <= 1
        assert 0 < model.steady.loop_utilization <= 1
        assert model.steady.cpu_cores > 0


def test_kit_is_valid_on_a_bare_cluster(manifests: list[dict[str, Any]]) -> None:
    assert validate(manifests) == []
    kinds = {document["apiVersion"].partition("/")[0] for document in manifests}
    assert kinds == {"v1", "apps", "autoscaling", "policy", "networking.k8s.io"}


def test_resources_and_startup_are_those_of_the_sizing(
    manifests: list[dict[str, Any]], sizing: Sizing
) -> None:
    container = container_of(manifests)
    requests, limits = (container["resources"][kind] for kind in ("requests", "limits"))
    assert milli(requests["cpu"]) == sizing.cpu_request_milli
    assert milli(limits["cpu"]) == sizing.cpu_limit_milli
    assert mebibytes(requests["memory"]) == sizing.memory_request_mib
    assert mebibytes(limits["memory"]) == sizing.memory_limit_mib
    probe = container["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] == sizing.startup_s
    deployment = one(manifests, "Deployment")["spec"]
    assert deployment["progressDeadlineSeconds"] > sizing.startup_s


def test_scaling_is_that_of_the_sizing(manifests: list[dict[str, Any]], sizing: Sizing) -> None:
    autoscaler = one(manifests, "HorizontalPodAutoscaler")
    assert sizing.replicas is not None
    assert autoscaler["spec"]["minReplicas"] == 2
    assert autoscaler["spec"]["maxReplicas"] == sizing.max_replicas > sizing.replicas
    assert targets_of(autoscaler) == {
        "quartet_queue_size": sizing.queue_target_rows * 1000,
        "quartet_utilization": round(sizing.utilization_target * 1000),
        "quartet_loop_utilization": round(sizing.loop_target * 1000),
    }


def test_server_understands_its_settings(manifests: list[dict[str, Any]], sizing: Sizing) -> None:
    environment = environment_of(manifests)
    assert environment["QUARTET_MAX_QUEUE_ROWS"] == str(sizing.max_queue_rows)
    assert environment["QUARTET_DEVICE"] == "cpu"
    assert "QUARTET_GENERATION__MAX_WAITING_ROWS" not in environment


def test_same_measurements_give_the_same_bytes(kit: Path, tmp_path: Path) -> None:
    assert files_of(again(kit, tmp_path / "again", *FLAGS)) == files_of(kit)


def test_prometheus_takes_the_rules(kit: Path) -> None:
    output = run(require("promtool"), "check", "rules", str(kit / "monitoring" / "rules.yaml"))
    assert "SUCCESS" in output


def test_prometheus_refuses_rules_with_a_fault(kit: Path, tmp_path: Path) -> None:
    text = (kit / "monitoring" / "rules.yaml").read_text()
    (tmp_path / "rules.yaml").write_text(text.replace("sum by (", "sum by by (", 1))
    command = [require("promtool"), "check", "rules", str(tmp_path / "rules.yaml")]
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0


def test_rules_of_the_operator_are_those_of_prometheus(kit: Path) -> None:
    plain = yaml.safe_load((kit / "monitoring" / "rules.yaml").read_text())
    component = kit / "components" / "prometheus-operator" / "prometheusrule.yaml"
    assert yaml.safe_load(component.read_text())["spec"] == plain


def test_rules_promise_what_the_sizing_promises(kit: Path, sizing: Sizing) -> None:
    rules = (kit / "monitoring" / "rules.yaml").read_text()
    for model in sizing.models:
        assert f'le="{model.alert_s!r}"' in rules
        assert f'model=~"{model.name}"' in rules


def test_dashboard_has_the_panels_of_the_usual_one(kit: Path) -> None:
    usual = Path("deploy/monitoring/dashboards/quartet.json")
    titles = [
        [panel["title"] for panel in json.loads(file.read_text())["panels"]]
        for file in (kit / "monitoring" / "dashboard.json", Path(__file__).parents[2] / usual)
    ]
    assert titles[0] == titles[1]


def test_page_tells_every_number(kit: Path, sizing: Sizing) -> None:
    page = (kit / "SIZING.md").read_text()
    for number in (
        f"| quartet_queue_size | {sizing.queue_target_rows} rows |",
        f"| QUARTET_MAX_QUEUE_ROWS | {sizing.max_queue_rows} |",
        f"| startup probe | {sizing.startup_s} s |",
        f"requests/s need {sizing.replicas};",
        "| mnist | 75% |",
    ):
        assert number in page


VARIANTS = {
    "operator": ("--prometheus-operator",),
    "keda": ("--scaler", "keda"),
    "to zero": ("--scaler", "keda", "--scale-to-zero", "--namespace", "models"),
    "gpu": ("--gpu",),
    "gpu keda": ("--gpu", "--scaler", "keda", "--prometheus-operator"),
    "claim": ("--model-claim", "big-models", "--scaler", "keda", "--prometheus-operator"),
    "image": ("--image", "reg.example:5000/team/quartet:7", "--namespace", "models"),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_variant_is_valid(name: str, kit: Path, tmp_path: Path) -> None:
    documents = kustomize(again(kit, tmp_path / "out", *VARIANTS[name]))
    assert validate(documents, existing=["PersistentVolumeClaim/big-models"]) == []


def test_image_and_namespace_are_those_asked_for(kit: Path, tmp_path: Path) -> None:
    documents = kustomize(again(kit, tmp_path / "out", *VARIANTS["image"]))
    assert container_of(documents)["image"] == "reg.example:5000/team/quartet:7"
    assert {document["metadata"]["namespace"] for document in documents} == {"models"}


def test_models_come_from_the_claim(kit: Path, tmp_path: Path) -> None:
    documents = kustomize(again(kit, tmp_path / "out", *VARIANTS["claim"]))
    pod = one(documents, "Deployment")["spec"]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    claim = volumes["models"]["persistentVolumeClaim"]
    assert claim == {"claimName": "big-models", "readOnly": True}
    mounts = {mount["name"]: mount for mount in container_of(documents)["volumeMounts"]}
    assert mounts["models"] == {"name": "models", "mountPath": "/models", "readOnly": True}


def test_gpu_is_asked_for_and_wanted_by_the_server(kit: Path, tmp_path: Path) -> None:
    documents = kustomize(again(kit, tmp_path / "out", *VARIANTS["gpu"]))
    container = container_of(documents)
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert container["image"].endswith("-gpu")
    assert environment_of(documents)["QUARTET_DEVICE"] == "cuda"


@pytest.mark.parametrize("name", ["keda", "to zero"])
def test_keda_has_the_targets_of_the_sizing(name: str, kit: Path, tmp_path: Path) -> None:
    documents = kustomize(again(kit, tmp_path / "out", *VARIANTS[name]))
    sized = sizing_of(kit, *VARIANTS[name])
    assert not [d for d in documents if d["kind"] == "HorizontalPodAutoscaler"]
    spec = one(documents, "ScaledObject")["spec"]
    thresholds = {t["name"]: float(t["metadata"]["threshold"]) for t in spec["triggers"]}
    wakes = thresholds.pop("gateway", None)
    assert thresholds == {
        "queue": sized.queue_target_rows,
        "utilization": sized.utilization_target,
        "loop": sized.loop_target,
    }
    # Without a trigger that wakes, a service at zero would stay there.
    assert (spec.get("idleReplicaCount") == 0) == (wakes is not None) == (name == "to zero")
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (2, sized.max_replicas)


def test_bounds_that_contradict_each_other_are_refused(kit: Path, tmp_path: Path) -> None:
    out = again(kit, tmp_path / "out")
    patch = out / "patches" / "horizontalpodautoscaler.yaml"
    patch.write_text(patch.read_text().replace("minReplicas: 2", "minReplicas: 99"))
    (fault,) = validate(kustomize(out))
    assert "HorizontalPodAutoscaler/quartet" in fault


def test_field_that_does_not_exist_is_refused(kit: Path, tmp_path: Path) -> None:
    out = again(kit, tmp_path / "out")
    patch = out / "patches" / "horizontalpodautoscaler.yaml"
    patch.write_text(patch.read_text().replace("averageValue:", "averageVolume:", 1))
    assert validate(kustomize(out))


def test_help_explains_every_flag() -> None:
    done = run_kit("--help")
    assert done.returncode == 0
    for flag in ("MODEL-REPO", "--measurements", "--latency-objective-ms", "--scaler {hpa,keda}"):
        assert flag in done.stdout
