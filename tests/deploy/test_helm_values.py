"""The chart refuses values that cannot work, naming the value."""

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.deploy.helm_charts import CHART, helm, objects, refusal, render, texts
from tests.deploy.helm_settings import SCHEMA, settings_schema
from tests.deploy.schemas import validate

FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "unknown value": ({"replicas": 3}, "'replicas'"),
    "unknown value of a pool": ({"pools": {"a": {"replicas": 3}}}, "'/pools/a'"),
    "value of the release in a pool": ({"pools": {"a": {"service": {}}}}, "'service'"),
    "negative replicas": ({"replicaCount": -1}, "'/replicaCount'"),
    "text for a number": ({"replicaCount": "two"}, "'/replicaCount'"),
    "text for a boolean": ({"gpu": {"enabled": "yes"}}, "'/gpu/enabled'"),
    "unknown pull policy": ({"image": {"pullPolicy": "Sometimes"}}, "'/image/pullPolicy'"),
    "digest that is none": ({"image": {"digest": "sha256:12"}}, "'/image/digest'"),
    "digest in the repository": ({"image": {"repository": "a@sha256:1"}}, "'/image/repository'"),
    "misspelt setting": ({"settings": {"QUARTET_THREDS": 2}}, "'QUARTET_THREDS'"),
    "setting out of range": ({"settings": {"QUARTET_THREADS": 0}}, "'/settings/QUARTET_THREADS'"),
    "setting of another value": ({"settings": {"QUARTET_HTTP_PORT": 80}}, "'QUARTET_HTTP_PORT'"),
    "secret among the settings": (
        {"settings": {"QUARTET_GENERATION__SESSION_KEY": "0123456789abcdef"}},
        "'QUARTET_GENERATION__SESSION_KEY'",
    ),
    "secret in the store's configuration": (
        {"models": {"objectStore": {"remote": {"SECRET_ACCESS_KEY": "s"}}}},
        "'SECRET_ACCESS_KEY'",
    ),
    "short session key": ({"secret": {"sessionKey": "short"}}, "'/secret/sessionKey'"),
    "quantity with a space": ({"resources": {"limits": {"memory": "2 Gi"}}}, "limits/memory'"),
    "device of nobody": ({"gpu": {"resource": "nvidia.com/mig"}}, "'/gpu/resource'"),
    "utilization in percent": (
        {"autoscaling": {"targets": {"utilization": 70}}},
        "'/autoscaling/targets/utilization'",
    ),
    "no replica at most": ({"autoscaling": {"maxReplicas": 0}}, "'/autoscaling/maxReplicas'"),
    "no wait before the end": ({"drain": {"preStopSeconds": 0}}, "'/drain/preStopSeconds'"),
    "name of a pool in capitals": ({"pools": {"Vision": {}}}, "'Vision'"),
    "label that is none": ({"podLabels": {"a": "b c"}}, "'/podLabels/a'"),
    "toleration's effect": ({"tolerations": [{"effect": "No"}]}, "'/tolerations/0/effect'"),
    "type of a Service": ({"service": {"http": {"type": "External"}}}, "'/service/http/type'"),
    "port": ({"service": {"http": {"port": 70000}}}, "'/service/http/port'"),
    "interval without a unit": (
        {"serviceMonitor": {"interval": "15"}},
        "'/serviceMonitor/interval'",
    ),
}
"""Values and what the message must name."""
OFF = {"enabled": False}
TARGETS = ("queueSize", "utilization", "loopUtilization")
CONTRADICTIONS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "two autoscalers": (
        {"autoscaling": {"hpa": {"enabled": True}, "keda": {"enabled": True}}},
        ["autoscaling.hpa.enabled", "autoscaling.keda.enabled"],
    ),
    "two autoscalers of a pool": (
        {"pools": {"a": {"autoscaling": {"keda": {"enabled": True}}}}},
        ["pools.a.autoscaling.hpa.enabled", "pools.a.autoscaling.keda.enabled"],
    ),
    "two sources of models": (
        {
            "models": {
                "persistentVolume": {"enabled": True, "size": "1Gi"},
                "objectStore": {"enabled": True},
            }
        },
        ["models.persistentVolume.enabled", "models.objectStore.enabled"],
    ),
    "least above most": (
        {"autoscaling": {"minReplicas": 9}},
        ["autoscaling.minReplicas is 9", "maxReplicas, 8"],
    ),
    "no replica by HPA": ({"autoscaling": {"minReplicas": 0}}, ["autoscaling.minReplicas", "keda"]),
    "no claim": (
        {"models": {"persistentVolume": {"enabled": True}}},
        ["models.persistentVolume", "existingClaim", "size"],
    ),
    "pool named as another's object": ({"pools": {"grpc-a": {}}}, ["pools.grpc-a"]),
    "nothing to scale on": (
        {"autoscaling": {"targets": dict.fromkeys(TARGETS, 0)}},
        ["autoscaling.targets"],
    ),
    "nothing that wakes": (
        {
            "autoscaling": {
                "hpa": {"enabled": False},
                "keda": {"enabled": True, "scaleToZero": True},
            }
        },
        ["autoscaling.keda.scaleToZero", "httpRoute", "gatewayQuery"],
    ),
    "claim and size": (
        {"models": {"persistentVolume": {"enabled": True, "existingClaim": "a", "size": "1Gi"}}},
        ["models.persistentVolume", "existingClaim", "size"],
    ),
    "no path in the store": (
        {"models": {"objectStore": {"enabled": True}}},
        ["models.objectStore.path"],
    ),
    "rollout without steps": (
        {"strategy": {"rollingUpdate": {"maxSurge": 0}}},
        ["strategy.rollingUpdate", "maxSurge", "maxUnavailable"],
    ),
    "two pools for the rest": (
        {"pools": {"a": {"routing": {"default": True}}, "b": {"routing": {"default": True}}}},
        ["pools.a.routing.default", "pools.b.routing.default"],
    ),
    "gateway without listeners": ({"gateway": {"enabled": True}}, ["gateway.listeners"]),
    "ingress without hosts": ({"ingress": {"enabled": True}}, ["ingress.hosts"]),
    "headless load balancer": (
        {"service": {"grpc": {"type": "LoadBalancer"}}},
        ["service.grpc.type", "service.grpc.headless"],
    ),
    "two secrets": (
        {"secret": {"existingSecret": "mine", "sessionKey": "0123456789abcdef"}},
        ["secret.sessionKey", "secret.existingSecret"],
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_schema_refuses_a_fault_and_names_it(fault: str) -> None:
    values, named = FAULTS[fault]
    with helm.Chart.load(CHART) as chart, pytest.raises(helm.HelmValuesError) as caught:
        chart.validate_schema(values)
    assert named in str(caught.value)


@pytest.mark.parametrize("contradiction", CONTRADICTIONS)
def test_templates_refuse_a_contradiction_and_name_it(contradiction: str) -> None:
    values, named = CONTRADICTIONS[contradiction]
    message = refusal(values)
    for name in named:
        assert name in message


def test_null_takes_a_default_away() -> None:
    container = objects(render({"resources": {"limits": {"cpu": None}}}))["Deployment/quartet"][
        "spec"
    ]["template"]["spec"]["containers"][0]
    assert container["resources"]["limits"] == {"memory": "2Gi"}


def test_pool_that_changes_nothing_is_made() -> None:
    """``a:`` without a value, which is null in YAML."""
    assert "Deployment/quartet-a" in objects(render({"pools": {"a": None, "b": {}}}))


def test_recreation_has_no_steps() -> None:
    found = objects(render({"strategy": {"type": "Recreate"}}))
    assert found["Deployment/quartet"]["spec"]["strategy"] == {"type": "Recreate"}


def test_short_session_key_is_not_shown_when_refused() -> None:
    assert "s3cr3t" not in refusal({"secret": {"sessionKey": "s3cr3t"}})


def test_settings_of_the_schema_are_those_of_the_server() -> None:
    written = json.loads(SCHEMA.read_text())["$defs"]["settings"]
    assert written == settings_schema(), "python -m tests.deploy.helm_settings writes them anew"


def open_objects(schema: Any, path: str = "") -> Iterator[str]:
    """Where a schema takes any key although it lists some."""
    if isinstance(schema, dict):
        closed = schema.get("additionalProperties", schema.get("unevaluatedProperties"))
        if "properties" in schema and closed is None and "required" not in schema:
            yield path
        for key, value in schema.items():
            yield from open_objects(value, f"{path}/{key}")
    elif isinstance(schema, list):
        for index, value in enumerate(schema):
            yield from open_objects(value, f"{path}/{index}")


def test_schema_takes_no_unknown_key_anywhere() -> None:
    assert list(open_objects(json.loads(SCHEMA.read_text()))) == []


def value_paths(values: dict[str, Any], schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """Values that the schema knows but ``values.yaml`` does not list."""
    root = json.loads(SCHEMA.read_text())
    while "$ref" in schema:
        node: Any = root
        for part in schema["$ref"].removeprefix("#/").split("/"):
            node = node[part]
        schema = node
    for name, inner in schema.get("properties", {}).items():
        if name not in values:
            yield f"{path}{name}"
        elif isinstance(values[name], dict) and values[name]:
            yield from value_paths(values[name], inner, f"{path}{name}.")


def test_values_file_lists_every_value_of_the_schema() -> None:
    """So that it can be read instead of the templates. Settings are listed by the server."""
    with helm.Chart.load(CHART) as chart:
        values, schema = chart.values, chart.schema
    probes = ("initialDelaySeconds", "successThreshold")
    left = [
        path
        for path in value_paths(values, schema)
        if not path.startswith(("settings.", "global")) and not path.endswith(probes)
    ]
    assert left == []


NATIVE = {"resources", "strategy", "podSecurityContext", "securityContext"}
"""Values with the fields of Kubernetes' own objects, which are explained there."""


def unexplained(lines: list[str]) -> Iterator[str]:
    """Keys of the first three levels without a comment right above them."""
    native = ""
    for above, line in itertools.pairwise(["", *lines]):
        found = re.match(r"( *)([A-Za-z]\w*):", line)
        if not found or len(found[1]) > 4:
            continue
        if native and len(found[1]) > len(native) - len(native.lstrip()):
            continue
        native = line if found[2] in NATIVE else ""
        if not above.lstrip().startswith("#"):
            yield line.strip()


def test_every_value_is_explained() -> None:
    assert list(unexplained((CHART / "values.yaml").read_text().splitlines())) == []


def test_unexplained_value_is_found() -> None:
    assert list(unexplained(["# -- One.", "a: 1", "b: 2"])) == ["b: 2"]


def test_large_numbers_are_written_in_full() -> None:
    """Helm holds numbers as floating point, whose own form Kubernetes takes for no integer."""
    values = {
        "settings": {"QUARTET_MAX_BODY_BYTES": 100_000_000},
        "podSecurityContext": {"runAsUser": 1_000_660_000},
        "securityContext": {"runAsUser": 1_000_660_000},
        "tmpSizeLimit": 2_000_000_000,
        "resources": {"limits": {"memory": 4_000_000_000}},
        "serviceMonitor": {"enabled": True, "sampleLimit": 5_000_000},
        "models": {"persistentVolume": {"enabled": True, "size": 20_000_000_000}},
        "tolerations": [{"operator": "Exists", "tolerationSeconds": 1_000_000}],
    }
    rendered = "".join(texts(values).values())
    assert 'QUARTET_MAX_BODY_BYTES: "100000000"' in rendered
    assert re.findall(r"[0-9]e[+][0-9]+", rendered) == []
    assert validate(render(values)) == []
