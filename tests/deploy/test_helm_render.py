"""What the chart renders to is valid, safe and complete, whatever is switched on."""

import itertools
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.helm_charts import CHART, EXAMPLES, Values, example, lint, notes, objects, render
from tests.deploy.pod_security import restricted_faults
from tests.deploy.pods import pods_of
from tests.deploy.schemas import validate
from tests.deploy.server_environment import environment_of, unknown_variables

ON = {"enabled": True}
ROUTES = {"httpRoute": ON, "grpcRoute": ON}
FROM_ZERO = {"scaleToZero": True, "gatewayQuery": "sum(rate(requests_total[1m]))"}
KEDA = {
    "autoscaling": {
        "hpa": {"enabled": False},
        "keda": {**ON, **FROM_ZERO, "authenticationRef": "prometheus"},
    }
}
CHOICES: tuple[dict[str, Values], ...] = (
    {
        "models of the image": {},
        "models on a volume": {"models": {"persistentVolume": {**ON, "existingClaim": "mine"}}},
        "models on a claim of its own": {"models": {"persistentVolume": {**ON, "size": "5Gi"}}},
        "models in a store": {"models": {"objectStore": {**ON, "path": "a/b"}}},
    },
    {
        "HPA": {},
        "KEDA": KEDA,
        "no autoscaler": {"autoscaling": {"hpa": {"enabled": False}}},
    },
    {"CPU": {}, "GPU": {"gpu": ON}},
    {"one pool": {}, "two pools": {"pools": {"a": {"routing": {"default": True}}, "b": {}}}},
)
"""Decisions that are taken once each."""
SWITCHES: dict[str, Values] = {
    "routes": {**ROUTES, "gateway": {**ON, "listeners": [
        {"name": "http", "protocol": "HTTP", "port": 80}
    ], "podMonitor": ON}},
    "monitoring": {"serviceMonitor": ON, "prometheusRule": ON, "grafanaDashboard": ON},
    "ingress": {"ingress": {**ON, "hosts": ["models.example.com"], "className": "nginx"}},
    "secret": {"secret": {"sessionKey": "0123456789abcdef"}},
    "less": {
        "networkPolicy": {"enabled": False},
        "podDisruptionBudget": {"enabled": False},
        "serviceAccount": {"create": False},
        "topologySpread": {"enabled": False},
        "tests": {"enabled": False},
    },
    "node's choice": {
        "nodeSelector": {"pool": "inference"},
        "tolerations": [{"key": "inference", "operator": "Exists"}],
        "affinity": {"podAntiAffinity": {}},
        "priorityClassName": "high",
        "runtimeClassName": "nvidia",
        "imagePullSecrets": [{"name": "registry"}],
    },
    "more": {
        "commonLabels": {"team": "ml"},
        "podLabels": {"tier": "a"},
        "podAnnotations": {"example.com/a": "b"},
        "extraArgs": ["--log-requests"],
        "extraEnv": [{"name": "A", "value": "b"}],
        "extraEnvFrom": [{"secretRef": {"name": "other", "optional": True}}],
        "extraVolumes": [{"name": "cache", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "cache", "mountPath": "/cache"}],
        "extraObjects": [
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "extra"}, "data": {}}
        ],
    },
}  # fmt: skip
"""What can be added to any of them."""
EXISTING = (
    "PersistentVolumeClaim/mine",
    "PersistentVolumeClaim/quartet-models",
    "Secret/quartet-models",
    "TriggerAuthentication/prometheus",
)
EXAMPLE_NAMES = sorted(path.stem for path in EXAMPLES.glob("*.yaml"))


def merged(*parts: Values) -> dict[str, Any]:
    """Values laid over each other as Helm does."""
    whole: dict[str, Any] = {}
    for part in parts:
        for key, value in part.items():
            both = isinstance(value, dict) and isinstance(whole.get(key), dict)
            whole[key] = merged(whole[key], value) if both else value
    return whole


def combinations() -> dict[str, dict[str, Any]]:
    """Decisions such that every pair of answers to two of them occurs together."""
    found = {}
    for models, scaler in itertools.product(range(4), range(3)):
        picks = (models, scaler, (models + scaler) % 2, (models // 2 + scaler) % 2)
        names = [list(choice)[pick] for choice, pick in zip(CHOICES, picks, strict=True)]
        parts = [choice[name] for choice, name in zip(CHOICES, names, strict=True)]
        found[", ".join(names)] = merged(*parts)
    return found


def test_every_pair_of_answers_occurs() -> None:
    rows = [name.split(", ") for name in combinations()]
    for first, second in itertools.combinations(range(len(CHOICES)), 2):
        pairs = {(row[first], row[second]) for row in rows}
        assert pairs == set(itertools.product(CHOICES[first], CHOICES[second]))


def test_lint_finds_nothing() -> None:
    assert lint() == []


def test_lint_finds_a_seeded_fault(tmp_path: Path) -> None:
    broken = shutil.copytree(CHART, tmp_path / "quartet")
    template = broken / "templates" / "services.yaml"
    template.write_text(template.read_text().replace("$pool.selector", "$pool.missing.selector"))
    assert any("services.yaml" in finding for finding in lint(chart=broken))


def test_validation_finds_a_seeded_fault() -> None:
    values = {"extraVolumeMounts": [{"name": "nothing", "mountPath": "/nothing"}]}
    faults = validate(render(values))
    assert len(faults) == 1
    assert "there is no volume 'nothing'" in faults[0]


@pytest.mark.parametrize("name", EXAMPLE_NAMES)
def test_example_is_valid(name: str) -> None:
    assert lint(example(name)) == []
    assert validate(render(example(name)), existing=EXISTING) == []


@pytest.mark.parametrize("decisions", combinations())
def test_combination_is_valid_and_restricted(decisions: str) -> None:
    """With every switch off, then with all on."""
    values = combinations()[decisions]
    for whole in (values, merged(values, *SWITCHES.values(), {"tests": ON})):
        manifests = render(whole)
        assert validate(manifests, existing=EXISTING) == []
        pods = [pod for manifest in manifests for pod in pods_of(manifest)]
        assert [fault for pod in pods for fault in restricted_faults(pod)] == []


@pytest.mark.parametrize("switch", SWITCHES)
def test_switch_alone_is_valid_and_changes_something(switch: str) -> None:
    manifests = render(SWITCHES[switch])
    assert validate(manifests) == []
    assert manifests != render()


@pytest.mark.parametrize("switch", ["networkPolicy", "podDisruptionBudget", "tests"])
def test_switched_off_object_is_not_rendered(switch: str) -> None:
    without = objects(render({switch: {"enabled": False}}))
    assert len(objects(render()).keys() - without.keys()) == 1


def test_test_pod_is_restricted_and_needs_no_token() -> None:
    pod = objects(render())["Pod/quartet-test"]
    assert [f for p in pods_of(pod) for f in restricted_faults(p)] == []
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"


def test_test_pod_is_let_in_where_only_some_clients_are() -> None:
    clients = [{"namespaceSelector": {"matchLabels": {"team": "a"}}}]
    found = objects(render({"networkPolicy": {"clients": clients}}))
    admitted = found["NetworkPolicy/quartet"]["spec"]["ingress"][0]["from"]
    assert admitted[0] == clients[0]
    labels = found["Pod/quartet-test"]["metadata"]["labels"]
    assert admitted[1]["podSelector"]["matchLabels"].items() <= labels.items()


def test_service_selects_no_test_pod() -> None:
    found = objects(render())
    labels = found["Pod/quartet-test"]["metadata"]["labels"]
    selector = found["Service/quartet"]["spec"]["selector"]
    assert any(labels[key] != value for key, value in selector.items())


@pytest.mark.parametrize("name", EXAMPLE_NAMES)
def test_server_knows_every_variable_of_an_example(name: str) -> None:
    manifests = render(example(name))
    for deployment in (m for m in manifests if m["kind"] == "Deployment"):
        environment = environment_of(manifests, deployment["metadata"]["name"])
        assert "QUARTET_MODEL_REPOSITORY" in environment
        assert unknown_variables(environment) == []


def annotations(values: Values) -> dict[str, str]:
    """Annotations of the pods of a release."""
    template = objects(render(values))["Deployment/quartet"]["spec"]["template"]
    found: dict[str, str] = template["metadata"]["annotations"]
    return found


STORE = {**ON, "path": "models/1"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"settings": {"QUARTET_THREADS": 3}}),
        ({}, {"secret": {"sessionKey": "0123456789abcdef"}}),
        (
            {"models": {"objectStore": STORE}},
            {"models": {"objectStore": {**STORE, "path": "models/2"}}},
        ),
    ],
)
def test_pods_roll_when_what_they_read_at_start_changes(before: Values, after: Values) -> None:
    assert annotations(before) != annotations(after)


def test_pods_do_not_roll_when_nothing_that_they_read_changes() -> None:
    assert annotations({}) == annotations({"service": {"http": {"port": 80}}})


def test_grace_period_is_the_sum_of_the_drain() -> None:
    drain = {"preStopSeconds": 20, "delaySeconds": 1.5, "timeoutSeconds": 60, "closingSeconds": 7}
    found = objects(render({"drain": drain}))
    assert found["ConfigMap/quartet"]["data"]["QUARTET_DRAIN_DELAY_S"] == "1.5"
    assert found["ConfigMap/quartet"]["data"]["QUARTET_DRAIN_TIMEOUT_S"] == "60"
    pod = found["Deployment/quartet"]["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] == 20 + 2 + 60 + 7


def test_digest_wins_over_the_tag() -> None:
    digest = "sha256:" + "a" * 64
    image = {"repository": "registry.example.com/quartet", "tag": "1", "digest": digest}
    found = objects(render({"image": image}))["Deployment/quartet"]["spec"]["template"]["spec"]
    assert found["containers"][0]["image"] == f"registry.example.com/quartet@{digest}"


def test_pool_lies_over_the_release() -> None:
    found = objects(
        render(
            {
                "settings": {"QUARTET_LOG_LEVEL": "debug", "QUARTET_LOG_REQUESTS": True},
                "pools": {"a": {"settings": {"QUARTET_LOG_REQUESTS": False}}, "b": {}},
            }
        )
    )
    settings = [found[f"ConfigMap/quartet-{pool}"]["data"] for pool in "ab"]
    assert [s["QUARTET_LOG_LEVEL"] for s in settings] == ["debug", "debug"]
    assert [s["QUARTET_LOG_REQUESTS"] for s in settings] == ["false", "true"]


def test_autoscaler_owns_the_number_of_replicas() -> None:
    assert "replicas" not in objects(render())["Deployment/quartet"]["spec"]


def test_notes_name_what_was_installed() -> None:
    told = notes(release="digits")
    for part in ("digits-quartet.default.svc:8000", "helm test digits", "custom.metrics.k8s.io"):
        assert part in told


def test_notes_of_pools_name_each() -> None:
    told = notes(example("multi-model"))
    assert all(f"Pool {pool}:" in told for pool in ("vision", "text", "images"))
