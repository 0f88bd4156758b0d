import json

from quartet.monitoring.dashboard.build import dashboard_json, dashboard_rows, placed
from quartet.monitoring.dashboard.panels import Panel, Query, at_least, limits, panel_json
from quartet.monitoring.rules.thresholds import Objective, Thresholds


def panel(width: int, height: int = 8, **fields: object) -> Panel:
    return Panel(
        title="t",
        description="d.",
        queries=(Query("up", "{{pod}}"), Query("sum(up)")),
        unit="s",
        width=width,
        height=height,
        **fields,  # type: ignore[arg-type]
    )


def places(rows: list[tuple[str, list[Panel]]]) -> list[tuple[int, ...]]:
    return [tuple(one["gridPos"][key] for key in "xywh") for one in placed(rows)]


def test_panels_stand_side_by_side_while_there_is_room() -> None:
    assert places([("r", [panel(12), panel(12), panel(12)])]) == [
        (0, 0, 24, 1),
        (0, 1, 12, 8),
        (12, 1, 12, 8),
        (0, 9, 12, 8),
    ]


def test_the_next_row_begins_below_the_highest_panel() -> None:
    assert places([("r", [panel(12, 4), panel(12, 10)]), ("s", [panel(24)])])[-2:] == [
        (0, 11, 24, 1),
        (0, 12, 24, 8),
    ]


def test_queries_are_lettered_and_name_their_series() -> None:
    targets = panel_json(panel(8), 1, 0, 0)["targets"]

    assert [target["refId"] for target in targets] == ["A", "B"]
    assert [target["legendFormat"] for target in targets] == ["{{pod}}", "__auto"]


def test_figures_ask_for_one_moment_and_lines_for_a_range() -> None:
    stat = panel_json(panel(8, kind="stat"), 1, 0, 0)["targets"][0]
    line = panel_json(panel(8), 1, 0, 0)["targets"][0]

    assert (stat["instant"], stat["range"]) == (True, False)
    assert (line["instant"], line["range"]) == (False, True)


def test_heat_maps_get_buckets() -> None:
    assert panel_json(panel(8, kind="heatmap"), 1, 0, 0)["targets"][0]["format"] == "heatmap"


def test_limits_turn_worse_colours() -> None:
    assert limits(1) == ((None, "green"), (1, "red"))
    assert limits(1, 2) == ((None, "green"), (1, "orange"), (2, "red"))
    assert at_least(2) == ((None, "red"), (2, "green"))


def test_lines_show_their_thresholds_only_where_there_are_some() -> None:
    plain = panel_json(panel(8), 1, 0, 0)["fieldConfig"]["defaults"]["custom"]
    drawn = panel_json(panel(8, steps=limits(1)), 1, 0, 0)["fieldConfig"]["defaults"]["custom"]

    assert plain["thresholdsStyle"] == {"mode": "off"}
    assert drawn["thresholdsStyle"] == {"mode": "dashed"}


def test_the_same_thresholds_give_the_same_bytes() -> None:
    assert dashboard_json(Thresholds()) == dashboard_json(Thresholds())


def test_objectives_and_limits_are_those_of_the_thresholds() -> None:
    text = dashboard_json(Thresholds(availability=Objective(target=0.98), queue_age_s=77))
    panels = {one["title"]: one for one in json.loads(text)["panels"]}

    assert panels["Burn rate, 1h"]["targets"][0]["expr"].endswith("/ 0.02")
    steps = panels["Oldest waiting request"]["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert steps[-1] == {"value": 77, "color": "red"}


def test_every_row_has_panels() -> None:
    assert all(panels for _, panels in dashboard_rows(Thresholds()))
