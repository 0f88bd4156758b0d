"""The dashboard as Grafana's own types read it, and as somebody looks at it."""

import copy
import itertools
import json
import re
from typing import Any

import pytest

from quartet.monitoring.dashboard.build import COLUMNS
from tests.deploy.promql import metric_names, selectors
from tests.deploy.promtool_cases import DEPLOY
from tests.deploy.test_rules import headings
from tests.deploy.tools import REPOSITORY_ROOT

BOARD: dict[str, Any] = json.loads(
    (DEPLOY / "monitoring" / "dashboards" / "quartet.json").read_text()
)
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [target["expr"] for panel in PANELS for target in panel["targets"]]
BUILT_IN = {"__rate_interval"}
"""Variables that Grafana fills itself."""


def name_of(panel: dict[str, Any]) -> str:
    return f"{panel['id']} {panel['title']}"


def round_trip(board: dict[str, Any]) -> Any:
    """``board`` through the types of Grafana's own SDK and back."""
    pytest.importorskip("grafana_foundation_sdk", reason="the extra 'deploy' installs it")
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.plugins import register_default_plugins
    from grafana_foundation_sdk.models.dashboard import Dashboard

    register_default_plugins()
    return json.loads(JSONEncoder().encode(Dashboard.from_json(copy.deepcopy(board))))


def lost(mine: Any, theirs: Any, path: str = "") -> list[str]:
    """Paths of what ``mine`` has and ``theirs`` has not, or has otherwise."""
    if isinstance(mine, dict):
        if not isinstance(theirs, dict):
            return [path]
        return [
            fault
            for key, value in mine.items()
            for fault in (
                lost(value, theirs[key], f"{path}.{key}") if key in theirs else [f"{path}.{key}"]
            )
        ]
    if isinstance(mine, list):
        if not isinstance(theirs, list) or len(mine) != len(theirs):
            return [path]
        pairs = enumerate(zip(mine, theirs, strict=True))
        return [fault for n, pair in pairs for fault in lost(*pair, f"{path}[{n}]")]
    return [] if mine == theirs else [path]


def test_nothing_is_lost_in_the_types_of_grafana() -> None:
    assert lost(BOARD, round_trip(BOARD)) == []


def test_a_field_that_grafana_does_not_know_is_noticed() -> None:
    board = copy.deepcopy(BOARD)
    board["panels"][1]["fieldConfig"]["defaults"]["units"] = "s"
    board["panels"][1]["targets"][0]["expression"] = "up"

    assert lost(board, round_trip(board)) == [
        ".panels[1].targets[0].expression",
        ".panels[1].fieldConfig.defaults.units",
    ]


def test_the_round_trip_is_stable() -> None:
    once = round_trip(BOARD)

    assert round_trip(once) == once


def test_ids_are_unique() -> None:
    ids = [panel["id"] for panel in BOARD["panels"]]
    variables = [one["id"] for one in BOARD["templating"]["list"]]

    assert len(ids) == len(set(ids))
    assert len(variables) == len(set(variables))


def test_no_two_panels_overlap_and_none_is_too_wide() -> None:
    cells: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        at = panel["gridPos"]
        mine = set(
            itertools.product(range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"]))
        )
        assert not mine & cells, name_of(panel)
        assert at["x"] + at["w"] <= COLUMNS, name_of(panel)
        cells |= mine


@pytest.mark.parametrize("panel", PANELS, ids=name_of)
def test_panel_says_what_it_shows(panel: dict[str, Any]) -> None:
    units = pytest.importorskip("grafana_foundation_sdk.models.units")

    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"] in {
        value for value in vars(units).values() if isinstance(value, str)
    }
    references = [target["refId"] for target in panel["targets"]]
    assert references == sorted(set(references))


@pytest.mark.parametrize("panel", PANELS, ids=name_of)
def test_legend_uses_labels_that_the_expression_keeps(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        grouped = re.match(r"(?:sum|avg|max|group) by \(([^)]*)\)", target["expr"])
        if grouped:
            kept = set(re.split(r",\s*", grouped[1]))
            used = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            assert used <= kept, target


@pytest.mark.parametrize("panel", PANELS, ids=name_of)
def test_thresholds_ascend_from_one_without_a_value(panel: dict[str, Any]) -> None:
    steps = [step["value"] for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]]

    assert steps[0] is None
    assert steps[1:] == sorted(steps[1:])


def test_variables_are_defined_before_they_are_used() -> None:
    defined: set[str] = set()
    for variable in BOARD["templating"]["list"]:
        used = set(re.findall(r"\$(\w+)", json.dumps(variable.get("query", "")))) - {"__all"}
        assert used <= defined, variable["name"]
        defined.add(variable["name"])
    expressions = [*EXPRESSIONS, *(one["expr"] for one in BOARD["annotations"]["list"])]
    used = {name for expr in expressions for name in re.findall(r"\$(\w+)", expr)}

    assert used - BUILT_IN <= defined
    assert defined - used == {"datasource"}, "a choice that changes nothing"


def test_every_panel_is_narrowed_by_the_choices() -> None:
    # What a join with `quartet_ready` adds only chooses among what the other side has.
    chosen = [one for expr in EXPRESSIONS for one in selectors(expr) if one != "quartet_ready"]

    assert [one for one in chosen if 'namespace=~"$namespace",job=~"$job"' not in one] == []


def test_runbook_links_lead_to_sections() -> None:
    anchors = headings(REPOSITORY_ROOT / "docs" / "runbooks.md")
    urls = [link["url"] for panel in PANELS for link in panel["links"]]

    assert urls
    assert {url.partition("#")[2] for url in urls} <= anchors.keys()


def test_the_rows_are_those_that_operators_look_for() -> None:
    rows = [panel["title"] for panel in BOARD["panels"] if panel["type"] == "row"]

    assert rows == [
        "Overview",
        "Objectives",
        "Models",
        "Batching",
        "Generation",
        "Scaling",
        "Process",
        "GPU",
    ]


def test_expressions_are_told_apart_from_prose() -> None:
    names = set(itertools.chain.from_iterable(map(metric_names, EXPRESSIONS)))

    assert {name for name in names if not re.match(r"(quartet|nv|process|python)_|up$", name)} == {
        f"namespace_job_objective:quartet_bad_requests:ratio_rate{window}"
        for window in ("1h", "6h", "3d")
    }
