"""The Helm chart and what it renders to, by the Helm library (PyPI ``helm-python-sdk``)."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.tools import INSTALL

helm = pytest.importorskip("helm_python", reason=f"no Helm library on this machine; {INSTALL}")

CHART = Path(__file__).resolve().parents[2] / "deploy" / "helm" / "quartet"
EXAMPLES = CHART / "examples"
NOTES = "NOTES.txt"
INFO = 1
"""Severity of a finding of lint that asks for nothing."""

Values = Mapping[str, Any]
Manifest = dict[str, Any]


def texts(
    values: Values | None = None,
    *,
    release: str = "quartet",
    namespace: str = "default",
    chart: Path | str = CHART,
) -> dict[str, str]:
    """Path of each template -> what it renders to."""
    rendered = _loaded(str(chart)).render(dict(values or {}), name=release, namespace=namespace)
    return dict(rendered)


@functools.cache
def _loaded(chart: str) -> Any:
    """A chart, which no render changes. Loading takes longer than rendering."""
    return helm.Chart.load(chart)


def render(
    values: Values | None = None,
    *,
    release: str = "quartet",
    namespace: str = "default",
    chart: Path | str = CHART,
) -> list[Manifest]:
    """The manifests of a release, those of its tests included."""
    rendered = texts(values, release=release, namespace=namespace, chart=chart)
    return [
        document
        for path, text in rendered.items()
        if not path.endswith(NOTES)
        for document in yaml.safe_load_all(text)
        if document
    ]


def notes(values: Values | None = None, *, release: str = "quartet") -> str:
    """What an installation prints."""
    found = [t for p, t in texts(values, release=release).items() if p.endswith(NOTES)]
    assert len(found) == 1
    return found[0]


def objects(manifests: list[Manifest]) -> dict[str, Manifest]:
    """Manifests by ``Kind/name``; a name that is taken twice is a fault."""
    found: dict[str, Manifest] = {}
    for manifest in manifests:
        title = f"{manifest['kind']}/{manifest['metadata']['name']}"
        assert title not in found, f"{title} is rendered twice"
        found[title] = manifest
    return found


def refusal(values: Values, *, release: str = "quartet") -> str:
    """Why the values are refused: the schema's message or the templates'."""
    with pytest.raises(helm.HelmError) as caught:
        texts(values, release=release)
    return str(caught.value)


def lint(values: Values | None = None, chart: Path | str = CHART) -> list[str]:
    """What strict lint finds fault with."""
    report = helm.lint(chart, dict(values or {}), strict=True)
    findings = [m["error"] for m in report["messages"] if m["severity"] > INFO]
    return [*findings, *report["errors"]]


def example(name: str) -> dict[str, Any]:
    """Values of ``deploy/helm/quartet/examples/NAME.yaml``."""
    values: dict[str, Any] = yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text())
    return values
