"""What a rules file of Prometheus is made of, and how it is written.

Source: https://prometheus.io/docs/prometheus/latest/configuration/recording_rules/.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

RUNBOOKS = "https://github.com/quartet-serving/quartet/blob/main/docs/runbooks.md"
"""Where the annotation ``runbook_url`` points to; its anchors are sections of that page."""

EVALUATION_S = 30
"""Seconds between two evaluations of a rule."""

Severity = Literal["critical", "warning", "info"]
"""Critical: wake somebody. Warning: look at it today. Info: look at it when you plan."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A series computed from others, named ``level:metric:operations``."""

    record: str
    """Name of the new series; the level lists the labels that it keeps."""
    expr: str
    """PromQL."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Labels that it gets besides."""

    def mapping(self) -> dict[str, Any]:
        """As it stands in a rules file."""
        labels = {"labels": dict(self.labels)} if self.labels else {}
        return {"record": self.record, "expr": self.expr, **labels}


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A condition that somebody should know of."""

    name: str
    """CamelCase, begins with ``Quartet``."""
    expr: str
    """PromQL; the alert is raised for each series that it gives."""
    wait: str = ""
    """How long it must hold, as Prometheus writes durations (``5m``); empty: not at all."""
    severity: Severity
    runbook: str
    """Anchor in ``docs/runbooks.md``."""
    summary: str
    """One line: what is wrong, and where."""
    description: str
    """What was measured, against which threshold, and what follows for clients."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Labels besides ``severity``."""

    def mapping(self) -> dict[str, Any]:
        """As it stands in a rules file."""
        return {
            "alert": self.name,
            "expr": self.expr,
            **({"for": self.wait} if self.wait else {}),
            "labels": {"severity": self.severity, **self.labels},
            "annotations": {
                "summary": self.summary,
                "description": self.description,
                "runbook_url": f"{RUNBOOKS}#{self.runbook}",
            },
        }


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are evaluated one after the other, at one time."""

    name: str
    rules: tuple[Recording | Alert, ...]

    def mapping(self) -> dict[str, Any]:
        """As it stands in a rules file."""
        return {
            "name": self.name,
            "interval": f"{EVALUATION_S}s",
            "rules": [rule.mapping() for rule in self.rules],
        }
