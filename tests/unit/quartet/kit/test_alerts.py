import json
import re
from typing import Any

from quartet.kit.alerts import dashboard_text, rules, thresholds
from quartet.kit.sizing import Sizing, size
from quartet.monitoring import queries
from quartet.monitoring.dashboard.variables import SERVICE
from tests.unit.quartet.kit.figures import measurements, model, options


def sizing(*models: Any) -> Sizing:
    return size(measurements(*models), options())


def test_each_model_has_an_objective_of_its_own() -> None:
    sized = sizing(
        model("a.b", steady_p99_s=0.01),
        model("text", kind="text", first_symbol_p99_s=0.02),
        model("pictures", kind="pictures"),
    )
    found = {one.name: one for one in thresholds(sized, options()).latency}
    assert set(found) == {"latency:a.b", "first_symbol:text"}
    assert (found["latency:a.b"].threshold_s, found["latency:a.b"].models) == (0.02, "a[.]b")
    assert found["first_symbol:text"].metric == "quartet_generation_first_symbol_seconds"


def test_full_engine_is_what_the_measured_one_is_at_capacity() -> None:
    # Busy 0.56 at a load of 0.7 is 0.8 at capacity, which more load does not raise.
    limits = thresholds(sizing(model(utilization=0.56, loop_utilization=0.1)), options())
    assert limits.engine_utilization == 0.72
    assert limits.loop_utilization == 0.9


def test_queue_alert_is_twice_the_scaling_target() -> None:
    sized = sizing()
    assert thresholds(sized, options()).queue_rows == 2 * sized.queue_target_rows


def test_replicas_that_must_be_ready_follow_the_scaling() -> None:
    sized = sizing()
    assert thresholds(sized, options()).min_ready_replicas == 2
    assert thresholds(sized, options(gpu=True)).min_ready_replicas == 1
    to_zero = options(scaler="keda", namespace="n", scale_to_zero=True)
    assert thresholds(sized, to_zero).min_ready_replicas == 0


def test_rules_hold_the_stated_availability() -> None:
    text = json.dumps(rules(sizing(), options(availability=0.9375)))
    assert "14.4 * 0.0625" in text


def test_dashboard_offers_the_sized_models_and_their_parts_alone() -> None:
    board = json.loads(dashboard_text(sizing(model("a.b"), model("c")), options(namespace="n")))
    variables = {one["name"]: one for one in board["templating"]["list"]}
    pattern = re.compile(variables["model"]["regex"].strip("/"))
    assert [bool(pattern.search(name)) for name in ("a.b", "c", "c.encoder", "cc", "axb")] == [
        *(True, True, True),
        *(False, False),
    ]
    assert variables["model"]["allValue"] == variables["model"]["regex"].strip("/^$")
    assert variables["namespace"]["current"]["value"] == ["n"]


def test_dashboard_divides_by_the_sized_targets() -> None:
    sized = sizing(model(capacity=10_000))
    text = dashboard_text(sized, options())
    assert sized.queue_target_rows != queries.QUEUE_TARGET_ROWS
    wanted = f"ceil({queries.waiting_rows(SERVICE)} / {sized.queue_target_rows})"
    assert json.dumps(wanted) in text
    assert json.dumps(queries.replicas_by_queue(SERVICE)) not in text
    engine = f"ceil({queries.busy_engines(SERVICE)} / {sized.utilization_target:g})"
    loop = f"ceil({queries.busy_loops(SERVICE)} / {sized.loop_target:g})"
    assert json.dumps(engine) in text
    assert json.dumps(loop) in text
