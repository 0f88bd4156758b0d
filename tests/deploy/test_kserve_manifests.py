"""The resources for KServe are valid, fit each other, and each validator refuses a seeded fault."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from quartet.monitoring import queries
from tests.deploy.kserve_resources import (
    KSERVE,
    merge_container,
    runtime_faults,
    runtime_of,
    schema_faults,
    service_faults,
)
from tests.deploy.schemas import kustomize, validate
from tests.deploy.server_environment import unknown_variables

Document = dict[str, Any]
KSERVE_GROUP = "serving.kserve.io/"


@pytest.fixture(scope="module")
def runtimes() -> list[Document]:
    return kustomize(KSERVE / "runtimes")


@pytest.fixture(scope="module")
def services() -> list[Document]:
    documents = kustomize(KSERVE / "examples")
    return [d for d in documents if d["apiVersion"].startswith(KSERVE_GROUP)]


def of_name(documents: Sequence[Document], name: str) -> Document:
    return next(d for d in documents if d["metadata"]["name"] == name)


def test_every_resource_is_valid() -> None:
    folders = ("runtimes", "cluster-runtimes", "examples")
    documents = [d for folder in folders for d in kustomize(KSERVE / folder)]
    ours = [d for d in documents if d["apiVersion"].startswith(KSERVE_GROUP)]
    assert schema_faults(ours) == [[]] * len(ours)
    # The target of the autoscaler is made by KServe.
    existing = ["Deployment/digits-hpa-predictor"]
    assert validate([d for d in documents if d not in ours], existing=existing) == []


def test_cluster_runtimes_are_the_runtimes_of_another_kind(runtimes: list[Document]) -> None:
    cluster = kustomize(KSERVE / "cluster-runtimes")
    assert {d["kind"] for d in runtimes} == {"ServingRuntime"}
    assert cluster == [{**d, "kind": "ClusterServingRuntime"} for d in runtimes]


def test_runtimes_suit_both_deployment_modes(runtimes: list[Document]) -> None:
    assert [fault for runtime in runtimes for fault in runtime_faults(runtime)] == []


def test_inference_services_are_admitted(services: list[Document]) -> None:
    assert [fault for service in services for fault in service_faults(service)] == []


def test_each_inference_service_gets_the_runtime_of_its_protocol(
    runtimes: list[Document], services: list[Document]
) -> None:
    chosen = {s["metadata"]["name"]: runtime_of(s, runtimes)["metadata"]["name"] for s in services}
    assert chosen.pop("digits-grpc") == "quartet-grpc"
    assert set(chosen.values()) == {"quartet"}


def test_no_runtime_is_selected_for_a_service_that_leaves_the_protocol_out(
    runtimes: list[Document], services: list[Document]
) -> None:
    service = copy.deepcopy(of_name(services, "digits-grpc"))
    del service["spec"]["predictor"]["model"]["protocolVersion"]
    with pytest.raises(LookupError):
        runtime_of(service, runtimes)


def test_settings_in_the_runtimes_are_the_servers(
    runtimes: list[Document], services: list[Document]
) -> None:
    containers = [merge_container(runtime_of(s, runtimes), s) for s in services]
    variables = {e["name"]: "" for container in containers for e in container["env"]}
    assert "QUARTET_DRAIN_DELAY_S" in variables
    assert unknown_variables(variables) == []
    assert unknown_variables({"QUARTET_DRAIN_DELAY": ""}) == ["QUARTET_DRAIN_DELAY"]


def test_container_of_a_service_is_the_runtimes_with_its_own_additions(
    runtimes: list[Document], services: list[Document]
) -> None:
    service = of_name(services, "shakespeare")
    container = merge_container(runtime_of(service, runtimes), service)
    assert container["args"][:2] == ["serve", "--model_name=shakespeare"]
    assert container["args"][-1] == "--required_models=obama"
    assert [p["containerPort"] for p in container["ports"]] == [8080, 9000]
    assert {"QUARTET_DRAIN_DELAY_S", "QUARTET_GENERATION__SESSION_KEY"} <= {
        e["name"] for e in container["env"]
    }
    faces = of_name(services, "faces")
    assert merge_container(runtime_of(faces, runtimes), faces)["image"] == "quartet:0.1.0-gpu"


def test_queries_of_the_scaled_service_are_those_that_everything_uses(
    services: list[Document],
) -> None:
    spec = of_name(services, "digits-keda")["spec"]["predictor"]["autoScaling"]
    selector = 'namespace="models",pod=~"digits-keda-predictor-.*"'
    asked = {
        m["external"]["metric"]["query"]: float(m["external"]["target"]["value"])
        for m in spec["metrics"]
    }
    assert asked == {
        queries.waiting_rows(selector): queries.QUEUE_TARGET_ROWS,
        queries.busy_engines(selector): queries.UTILIZATION_TARGET,
        queries.busy_loops(selector): queries.UTILIZATION_TARGET,
    }


def test_autoscaler_of_ones_own_is_that_of_the_base() -> None:
    documents = kustomize(KSERVE / "examples")
    (mine,) = (d for d in documents if d["kind"] == "HorizontalPodAutoscaler")
    base = kustomize(KSERVE.parent / "kubernetes" / "base")
    (theirs,) = (d for d in base if d["kind"] == "HorizontalPodAutoscaler")
    for field in ("metrics", "behavior", "minReplicas", "maxReplicas"):
        assert mine["spec"][field] == theirs["spec"][field]


def container_of(runtime: Document) -> Document:
    container: Document = runtime["spec"]["containers"][0]
    return container


def put(value: object, *path: str) -> Callable[[Document], None]:
    """An edit that sets what ``path`` leads to; ``container`` is the server's."""

    def edit(document: Document) -> None:
        place: Any = document
        for key in path[:-1]:
            place = container_of(place) if key == "container" else place[key]
        place[path[-1]] = value

    return edit


PREDICTOR = ("spec", "predictor")
SCHEMA_FAULTS: Sequence[tuple[str, Callable[[Document], None], str]] = (
    ("quartet", put("onnx", "spec", "modelFormat"), "spec.modelFormat: unknown field"),
    ("quartet", put("yes", "spec", "multiModel"), "spec.multiModel: expected bool, got 'yes'"),
    ("quartet", put("v2", "spec", "protocolVersions"), "protocolVersions: expected a list"),
    ("quartet", put(8080, "container", "arg"), "containers[0].arg: unknown field of V1Container"),
    ("quartet", put([{}], "container", "env"), "env.0.name Field required"),
    ("quartet", put("x", "container", "readinessProbe", "periodSeconds"), "expected int, got 'x'"),
    ("quartet", put("v1", "apiVersion"), "no model for v1 ServingRuntime"),
    ("digits", put(10, *PREDICTOR, "canaryTrafficPercentage"), "unknown field"),
    ("digits", put("1", *PREDICTOR, "minReplicas"), "expected int, got '1'"),
    ("digits", put({"runtime": "quartet"}, *PREDICTOR, "model"), "`model_format`, must not be"),
    ("digits", put("s3://m", *PREDICTOR, "model", "storageURI"), "unknown field"),
)


def test_schema_refuses_each_seeded_fault(
    runtimes: list[Document], services: list[Document]
) -> None:
    documents = []
    for name, edit, _ in SCHEMA_FAULTS:
        documents.append(copy.deepcopy(of_name([*runtimes, *services], name)))
        edit(documents[-1])
    for (_, _, fault), found in zip(SCHEMA_FAULTS, schema_faults(documents), strict=True):
        assert any(fault in text for text in found), (fault, found)


@pytest.mark.parametrize(
    ("edit", "fault"),
    [
        (put(["v3"], "spec", "protocolVersions"), "protocolVersions"),
        (put("server", "container", "name"), "must be called kserve-container"),
        (put([{"containerPort": 1}, {"containerPort": 2}], "container", "ports"), "one port"),
        (put([{"containerPort": 9000, "name": "grpc"}], "container", "ports"), "port names"),
        (put({"preStop": {}}, "container", "lifecycle"), "does not take lifecycle"),
        (put(8000, "container", "readinessProbe", "httpGet", "port"), "nothing listens on 8000"),
        (put(False, "container", "securityContext", "runAsNonRoot"), "runAsNonRoot"),
        (put({"drop": ["all"]}, "container", "securityContext", "capabilities"), "capabilities"),
        (put([], "spec", "volumes"), "volumes and their mounts differ"),
    ],
)
def test_rules_refuse_a_seeded_fault_of_a_runtime(
    runtimes: list[Document], edit: Callable[[Document], None], fault: str
) -> None:
    runtime = copy.deepcopy(of_name(runtimes, "quartet"))
    edit(runtime)
    (found,) = runtime_faults(runtime)
    assert fault in found


def test_rules_refuse_a_drain_that_outlasts_the_pod(runtimes: list[Document]) -> None:
    runtime = copy.deepcopy(runtimes[0])
    (delay,) = (e for e in container_of(runtime)["env"] if e["name"] == "QUARTET_DRAIN_DELAY_S")
    delay["value"] = "20"
    (found,) = runtime_faults(runtime)
    assert "draining may take 35 s and closing 5 s, more than the pod's 30 s" in found


ANNOTATIONS = ("metadata", "annotations")


@pytest.mark.parametrize(
    ("edit", "fault"),
    [
        (put("Digits", "metadata", "name"), "no name of an InferenceService"),
        (put("Raw", *ANNOTATIONS, "serving.kserve.io/deploymentMode"), "deploymentMode 'Raw'"),
        (put("kpa", *ANNOTATIONS, "serving.kserve.io/autoscalerClass"), "autoscalerClass 'kpa'"),
        (put("external", *ANNOTATIONS, "serving.kserve.io/autoscalerClass"), "minReplicas"),
        (put("v1", "spec", "predictor", "model", "protocolVersion"), "must be v2 or grpc-v2"),
        (put(10, "spec", "predictor", "canaryTrafficPercent"), "is for Knative"),
        (put([{"trafficPercent": 10, "predictor": {}}], "spec", "canary"), "a canary has a name"),
    ],
)
def test_rules_refuse_a_seeded_fault_of_an_inference_service(
    services: list[Document], edit: Callable[[Document], None], fault: str
) -> None:
    service = copy.deepcopy(of_name(services, "digits"))
    edit(service)
    (found,) = service_faults(service)
    assert fault in found
