"""The whole dashboard: rows of panels, laid out from left to right."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from quartet.monitoring.dashboard.generation import generation
from quartet.monitoring.dashboard.machine import gpu, process, scaling
from quartet.monitoring.dashboard.models import batching, models
from quartet.monitoring.dashboard.overview import objectives, overview
from quartet.monitoring.dashboard.panels import Panel, link, panel_json
from quartet.monitoring.dashboard.variables import annotations, variables
from quartet.monitoring.rules.thresholds import Thresholds
from quartet.monitoring.rules.types import RUNBOOKS

COLUMNS = 24
"""Width of a dashboard of Grafana."""
SCHEMA_VERSION = 39
"""Of Grafana 10.4 and 11; older ones migrate it."""
Row = tuple[str, Sequence[Panel]]


def dashboard_rows(thresholds: Thresholds) -> tuple[Row, ...]:
    """Title and panels of each row."""
    return (
        ("Overview", overview(thresholds)),
        ("Objectives", objectives(thresholds)),
        ("Models", models(thresholds)),
        ("Batching", batching()),
        ("Generation", generation()),
        ("Scaling", scaling()),
        ("Process", process(thresholds)),
        ("GPU", gpu(thresholds)),
    )


def dashboard(thresholds: Thresholds) -> dict[str, Any]:
    """The dashboard as Grafana stores it."""
    return {
        "uid": "quartet-server",
        "title": "Quartet",
        "description": "Servers of models: load, latency, batching, generation and machines.",
        "tags": ["quartet", "inference"],
        "style": "dark",
        "timezone": "browser",
        "editable": True,
        "graphTooltip": 1,
        "time": {"from": "now-1h", "to": "now"},
        "refresh": "30s",
        "fiscalYearStartMonth": 0,
        "schemaVersion": SCHEMA_VERSION,
        "links": [link("Runbooks", RUNBOOKS)],
        "templating": {"list": variables()},
        "annotations": {"list": annotations()},
        "panels": list(placed(dashboard_rows(thresholds))),
    }


def dashboard_json(thresholds: Thresholds) -> str:
    """The same as text: the same bytes for the same thresholds."""
    return json.dumps(dashboard(thresholds), indent=2, ensure_ascii=False) + "\n"


def placed(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    """Panels in Grafana's JSON, each row's below its title, ids counted from 1.

    A panel stands right of the one before it, or below the highest so far where there is no room.
    """
    number, y = 1, 0
    for title, panels in rows:
        yield _row_json(title, number, y)
        number, y, x, tallest = number + 1, y + 1, 0, 0
        for panel in panels:
            if x + panel.width > COLUMNS:
                x, y, tallest = 0, y + tallest, 0
            yield panel_json(panel, number, x, y)
            number, x, tallest = number + 1, x + panel.width, max(tallest, panel.height)
        y += tallest


def _row_json(title: str, number: int, y: int) -> dict[str, Any]:
    return {
        "id": number,
        "type": "row",
        "title": title,
        "collapsed": False,
        "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1},
        "panels": [],
    }
