"""What a dashboard's panels are, and how each is written in Grafana's JSON.

Source: https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/
(dashboards of version 1, Grafana 10 and later).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from quartet.monitoring.rules.types import RUNBOOKS

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
Kind = Literal["timeseries", "stat", "heatmap"]
Step = tuple[float | None, str]
"""A value from which on a colour holds; None for the lowest."""


@dataclass(frozen=True, slots=True)
class Query:
    """One expression of a panel."""

    expr: str
    """PromQL with the dashboard's variables."""
    legend: str = ""
    """Name of its series; ``{{label}}`` stands for a label's value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel, without its place."""

    title: str
    description: str
    """What it shows and what is normal."""
    queries: tuple[Query, ...]
    unit: str
    """Grafana's name of the unit: ``s``, ``reqps``, ``percentunit``, ``bytes``, ``short``, ..."""
    kind: Kind = "timeseries"
    width: int = 8
    """Columns of 24."""
    height: int = 8
    """Rows of 30 pixels."""
    steps: tuple[Step, ...] = ()
    """Thresholds in ascending order; the first has no value. Those of time series are drawn."""
    minimum: float | None = 0
    maximum: float | None = None
    stacked: bool = False
    decimals: int | None = None
    runbook: str = ""
    """Anchor of the section of ``docs/runbooks.md`` that says what to do."""


def limits(warning: float, critical: float | None = None) -> tuple[Step, ...]:
    """Green, from ``warning`` on orange, from ``critical`` on red."""
    steps: tuple[Step, ...] = ((None, "green"), (warning, "orange" if critical else "red"))
    return steps if critical is None else (*steps, (critical, "red"))


def at_least(value: float) -> tuple[Step, ...]:
    """Red below ``value``, green from it on."""
    return ((None, "red"), (value, "green"))


def panel_json(panel: Panel, number: int, x: int, y: int) -> dict[str, Any]:
    """``panel`` with the id ``number`` at column ``x`` and row ``y``."""
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "transparent": False,
        "datasource": DATASOURCE,
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": panel.height},
        "links": [_runbook_link(panel.runbook)] if panel.runbook else [],
        "repeatDirection": "h",
        "transformations": [],
        "targets": [_target(panel, query, index) for index, query in enumerate(panel.queries)],
        "fieldConfig": {"defaults": _field(panel), "overrides": []},
        "options": _OPTIONS[panel.kind](panel),
    }


def _target(panel: Panel, query: Query, index: int) -> dict[str, Any]:
    stat = panel.kind == "stat"
    return {
        "refId": chr(ord("A") + index),
        "datasource": DATASOURCE,
        "expr": query.expr,
        "legendFormat": query.legend or "__auto",
        "format": "heatmap" if panel.kind == "heatmap" else "time_series",
        "editorMode": "code",
        "range": not stat,
        "instant": stat,
    }


def _runbook_link(anchor: str) -> dict[str, Any]:
    return link("Runbook", f"{RUNBOOKS}#{anchor}")


def link(title: str, url: str) -> dict[str, Any]:
    """A link of a panel or of the dashboard."""
    return {
        "title": title,
        "type": "link",
        "icon": "doc",
        "tooltip": "",
        "url": url,
        "tags": [],
        "asDropdown": False,
        "targetBlank": True,
        "includeVars": False,
        "keepTime": False,
    }


def _field(panel: Panel) -> dict[str, Any]:
    steps: Sequence[Step] = panel.steps or ((None, "green"),)
    colour = "thresholds" if panel.kind == "stat" else "palette-classic"
    field: dict[str, Any] = {
        "unit": panel.unit,
        "color": {"mode": colour},
        "thresholds": {
            "mode": "absolute",
            "steps": [{"value": value, "color": color} for value, color in steps],
        },
        "custom": _CUSTOM[panel.kind](panel),
    }
    optional = {"min": panel.minimum, "max": panel.maximum, "decimals": panel.decimals}
    return field | {name: value for name, value in optional.items() if value is not None}


def _line_style(panel: Panel) -> dict[str, Any]:
    return {
        "drawStyle": "line",
        "lineInterpolation": "linear",
        "lineWidth": 1,
        "fillOpacity": 25 if panel.stacked else 5,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if panel.steps else "off"},
        "axisPlacement": "auto",
        "scaleDistribution": {"type": "linear"},
    }


def _no_style(panel: Panel) -> dict[str, Any]:
    del panel
    return {}


def _line_options(panel: Panel) -> dict[str, Any]:
    del panel
    return {
        "legend": {
            "showLegend": True,
            "displayMode": "list",
            "placement": "bottom",
            "calcs": [],
        },
        "tooltip": {"mode": "multi", "sort": "desc"},
    }


def _stat_options(panel: Panel) -> dict[str, Any]:
    del panel
    return {
        "graphMode": "none",
        "colorMode": "value",
        "justifyMode": "auto",
        "textMode": "auto",
        "orientation": "auto",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    }


def _heatmap_options(panel: Panel) -> dict[str, Any]:
    return {
        "calculate": False,
        "cellGap": 1,
        "color": {
            "mode": "scheme",
            "scheme": "Oranges",
            "fill": "dark-orange",
            "scale": "exponential",
            "exponent": 0.5,
            "steps": 64,
            "reverse": False,
        },
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "filterValues": {"le": 1e-9},
        "legend": {"show": True},
        "rowsFrame": {"layout": "auto"},
        "showValue": "never",
        "tooltip": {"show": True, "yHistogram": False},
        "yAxis": {"axisPlacement": "left", "reverse": False, "unit": panel.unit},
    }


_OPTIONS = {"timeseries": _line_options, "stat": _stat_options, "heatmap": _heatmap_options}
_CUSTOM = {"timeseries": _line_style, "stat": _no_style, "heatmap": _no_style}
