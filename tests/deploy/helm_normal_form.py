"""What the chart's objects and kustomize's must differ in, each taken away with its reason."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import yaml

from tests.deploy.helm_charts import Manifest, objects

HELM_LABELS = {
    "app.kubernetes.io/instance",
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/version",
    "helm.sh/chart",
}


def of_chart(manifests: Iterable[Manifest]) -> dict[str, Manifest]:
    """The chart's objects without what kustomize cannot have."""
    kept = [m for m in manifests if not is_test(m)]
    for step in (without_helm_labels, without_checksums, without_pods_of_queries):
        kept = [step(m) for m in kept]
    return objects([as_matches(with_volumes_sorted(m)) for m in kept])


def of_kustomize(manifests: list[Manifest]) -> dict[str, Manifest]:
    """Kustomize's objects without what the chart cannot have."""
    kept = with_one_account([without_namespace(m) for m in without_hashes(manifests)])
    return objects([as_matches(with_volumes_sorted(m)) for m in kept])


def is_test(manifest: Manifest) -> bool:
    """``helm test`` has no counterpart in kustomize."""
    return "helm.sh/hook" in manifest["metadata"].get("annotations", {})


def without_helm_labels(manifest: Manifest) -> Manifest:
    """Helm tells releases apart by labels, in selectors too.

    kustomize has one installation a namespace and needs none.
    """

    def clean(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: clean(value) for key, value in node.items() if key not in HELM_LABELS}
        return [clean(item) for item in node] if isinstance(node, list) else node

    cleaned: Manifest = clean(manifest)
    return cleaned


def without_checksums(manifest: Manifest) -> Manifest:
    """A changed ConfigMap rolls the pods by an annotation with its hash.

    In kustomize the hash is in its name.
    """
    template = manifest.get("spec", {}).get("template", {})
    annotations = template.get("metadata", {}).get("annotations", {})
    for name in [name for name in annotations if name.startswith("checksum/")]:
        del annotations[name]
    return manifest


def without_pods_of_queries(manifest: Manifest) -> Manifest:
    """Several releases and pools of a namespace share a job, so the chart's queries name the pods.

    kustomize's have the namespace to themselves.
    """
    if manifest["kind"] == "ScaledObject":
        for trigger in manifest["spec"]["triggers"]:
            metadata = trigger["metadata"]
            metadata["query"] = re.sub(r',pod=~"[^"]*"', "", metadata["query"])
    return manifest


def without_hashes(manifests: list[Manifest]) -> list[Manifest]:
    """Kustomize's generators put the hash of the content into names; the chart has annotations."""
    text = yaml.safe_dump_all(manifests)
    for manifest in manifests:
        if manifest["kind"] == "ConfigMap":
            name = manifest["metadata"]["name"]
            text = text.replace(name, name.rpartition("-")[0])
    return list(yaml.safe_load_all(text))


def without_namespace(manifest: Manifest) -> Manifest:
    """A namespace is given to Helm, not written into the chart."""
    manifest["metadata"].pop("namespace", None)
    return manifest


def with_one_account(manifests: list[Manifest]) -> list[Manifest]:
    """A release has one ServiceAccount; kustomize makes one for each base that it takes."""
    accounts = [m["metadata"]["name"] for m in manifests if m["kind"] == "ServiceAccount"]
    first: Manifest | None = None
    kept = []
    for manifest in manifests:
        spec = manifest.get("spec", {}).get("template", {}).get("spec", {})
        if spec.get("serviceAccountName") in accounts:
            spec["serviceAccountName"] = "quartet"
        if manifest["kind"] == "ServiceAccount":
            if first is not None:
                continue
            first = manifest
            manifest["metadata"]["name"] = "quartet"
            manifest["metadata"]["labels"].pop("quartet.dev/pool", None)
        kept.append(manifest)
    return kept


def as_matches(manifest: Manifest) -> Manifest:
    """A route as what it means: each match with where it leads.

    Which matches share a rule is a question of the rule's size.
    """
    if manifest["kind"] in ("HTTPRoute", "GRPCRoute"):
        rules = manifest["spec"].pop("rules")
        matches = {yaml.safe_dump(m): rest(rule) for rule in rules for m in rule["matches"]}
        assert len(matches) == sum(len(rule["matches"]) for rule in rules), "matched twice"
        assert all(len(rule["matches"]) <= 8 for rule in rules), "more than Gateway API 1.0 takes"
        manifest["spec"]["matches"] = {m: to for m, to in matches.items() if not is_critics_card(m)}
    return manifest


def is_critics_card(match: str) -> bool:
    """Kustomize lists what clients call; the chart leads every path of a routed model.

    ``GET /v1/models/<critic>`` is the one that clients have no use for.
    """
    return "/v1/models/" in match and ".critic" in match


def rest(rule: Mapping[str, Any]) -> dict[str, Any]:
    """A rule without its matches."""
    return {key: value for key, value in rule.items() if key != "matches"}


def with_volumes_sorted(manifest: Manifest) -> Manifest:
    """The order of volumes and of mounts means nothing; kustomize puts added ones in front."""
    spec = manifest.get("spec", {}).get("template", {}).get("spec", {})
    spec.get("volumes", []).sort(key=lambda volume: volume["name"])
    for container in spec.get("containers", []):
        container["volumeMounts"].sort(key=lambda mount: mount["mountPath"])
    return manifest


def differences(chart: Any, folder: Any, path: str = "") -> Iterator[str]:
    """Where two manifests, or parts of them, are not the same."""
    if isinstance(chart, dict) and isinstance(folder, dict):
        for key in sorted(chart.keys() | folder.keys()):
            yield from differences(chart.get(key), folder.get(key), f"{path}.{key}")
    elif isinstance(chart, list) and isinstance(folder, list) and len(chart) == len(folder):
        for index, pair in enumerate(zip(chart, folder, strict=True)):
            yield from differences(*pair, f"{path}[{index}]")
    elif chart != folder:
        yield f"{path}: chart {chart!r}, kustomize {folder!r}"
