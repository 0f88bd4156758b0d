"""Names of the chart's objects: by release, by pool, and never longer than Kubernetes takes."""

import re

import pytest

from tests.deploy.helm_charts import objects, render
from tests.deploy.schemas import validate

DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
LONGEST_RELEASE = "a" * 53
"""Helm takes no longer name."""
TWO_POOLS: dict[str, dict[str, dict[str, str]]] = {
    "pools": {"vision-of-the-far-places": {}, "vision-of-the-far-plazas": {}}
}


def deployments(**arguments: object) -> list[str]:
    values = arguments.pop("values", {})
    manifests = render(values, **arguments)  # type: ignore[arg-type]
    return [m["metadata"]["name"] for m in manifests if m["kind"] == "Deployment"]


def test_name_is_the_release_when_it_says_quartet() -> None:
    assert deployments(release="my-quartet") == ["my-quartet"]


def test_name_has_the_chart_when_the_release_does_not_say_it() -> None:
    assert deployments(release="models") == ["models-quartet"]


def test_name_is_the_override_when_given() -> None:
    assert deployments(values={"fullnameOverride": "pictures"}) == ["pictures"]


def test_label_follows_the_override_of_the_name() -> None:
    manifests = render({"nameOverride": "pictures"}, release="models")
    assert {m["metadata"]["labels"]["app.kubernetes.io/name"] for m in manifests} == {"pictures"}
    assert validate(manifests) == []


def test_pools_are_named_after_the_release() -> None:
    assert deployments(values=TWO_POOLS) == [f"quartet-{pool}" for pool in TWO_POOLS["pools"]]


@pytest.mark.parametrize("values", [{}, TWO_POOLS, {"fullnameOverride": "b" * 63, **TWO_POOLS}])
def test_long_names_are_cut_and_stay_different(values: dict[str, object]) -> None:
    manifests = objects(render(values, release=LONGEST_RELEASE)).values()
    for manifest in manifests:
        assert DNS_LABEL.fullmatch(manifest["metadata"]["name"]), manifest["metadata"]["name"]
        for label in manifest["metadata"]["labels"].values():
            assert len(label) <= 63
    assert validate(list(manifests)) == []


def test_two_releases_select_no_pods_of_each_other() -> None:
    first, second = (objects(render(release=name)) for name in ("quartet-a", "quartet-b"))
    selector = first["Service/quartet-a"]["spec"]["selector"]
    labels = second["Deployment/quartet-b"]["spec"]["template"]["metadata"]["labels"]
    assert any(labels[key] != value for key, value in selector.items())


def test_pools_select_no_pods_of_each_other() -> None:
    found = objects(render({"pools": {"a": {}, "b": {}}}))
    selector = found["Service/quartet-a"]["spec"]["selector"]
    labels = found["Deployment/quartet-b"]["spec"]["template"]["metadata"]["labels"]
    assert any(labels[key] != value for key, value in selector.items())
