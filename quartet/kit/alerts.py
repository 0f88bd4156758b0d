"""Rules and dashboard with the numbers of a sizing."""

import json
import re
from typing import Any

from quartet.kit.model_sizing import ModelSizing
from quartet.kit.options import KitOptions
from quartet.kit.sizing import Sizing
from quartet.monitoring import queries
from quartet.monitoring.dashboard.build import dashboard
from quartet.monitoring.dashboard.variables import SERVICE
from quartet.monitoring.rules.build import rule_groups
from quartet.monitoring.rules.thresholds import LatencyObjective, Objective, Thresholds

QUEUE_ALERT = 2
"""Waiting rows that raise an alert over those at which a replica is added: it was not enough."""
SATURATED = 0.9
"""Share of its busy fraction at full capacity above which a replica counts as full."""
DASHBOARD_UID = "quartet-kit"


def thresholds(sizing: Sizing, options: KitOptions) -> Thresholds:
    """What the alerts compare with."""
    fewest = 0 if options.scale_to_zero else sizing.min_replicas
    return Thresholds(
        # Rollouts on GPUs take one replica away before they bring the next.
        min_ready_replicas=max(min(1, fewest), fewest - options.gpu),
        queue_rows=QUEUE_ALERT * sizing.queue_target_rows,
        queue_age_s=options.queue_timeout_s,
        engine_utilization=_saturation(
            [m.utilization / m.load for m in sizing.models if m.engine_bound]
        ),
        loop_utilization=_saturation(
            [m.loop_utilization / m.load for m in sizing.models if not m.engine_bound]
        ),
        availability=Objective(target=options.availability),
        latency=tuple(_objective(m) for m in sizing.models if m.alert_s is not None),
    )


def _saturation(full: list[float]) -> float:
    """Busy fraction above which more load only waits; ``full``: each model's at its capacity."""
    return round(SATURATED * min([1.0, *full]), 2)


def _objective(model: ModelSizing) -> LatencyObjective:
    assert model.alert_s is not None
    if model.of_first_symbol:
        return LatencyObjective(
            name=f"first_symbol:{model.name}",
            metric="quartet_generation_first_symbol_seconds",
            threshold_s=model.alert_s,
            models=_pattern(model.name),
        )
    return LatencyObjective(
        name=f"latency:{model.name}", threshold_s=model.alert_s, models=_pattern(model.name)
    )


def _pattern(name: str) -> str:
    """A regular expression of RE2 for ``name``, in characters that PromQL's strings leave alone."""
    return re.sub(r"[^\w-]", lambda found: f"[{found[0]}]", name, flags=re.ASCII)


def rules(sizing: Sizing, options: KitOptions) -> dict[str, Any]:
    """A rules file of Prometheus."""
    return {"groups": [group.mapping() for group in rule_groups(thresholds(sizing, options))]}


def dashboard_text(sizing: Sizing, options: KitOptions) -> str:
    """A dashboard of Grafana for the sized models and their parts, as JSON."""
    board = dashboard(thresholds(sizing, options))
    names = "|".join(_pattern(model.name) for model in sizing.models)
    # Captioners and generators of pictures have parts: captioner.encoder.
    every = f"({names})([.].+)?"
    board |= {"uid": DASHBOARD_UID, "title": "Quartet, sized by quartet kit"}
    for variable in board["templating"]["list"]:
        if variable["name"] == "model":
            variable |= {"allValue": every, "regex": f"/^{every}$/"}
        elif variable["name"] == "namespace" and options.namespace is not None:
            chosen = {"selected": True, "text": [options.namespace], "value": [options.namespace]}
            variable["current"] = chosen
    text = json.dumps(board, indent=2, ensure_ascii=False)
    for old, new in _wanted_replicas(sizing).items():
        text = text.replace(json.dumps(old), json.dumps(new))
    return text + "\n"


def _wanted_replicas(sizing: Sizing) -> dict[str, str]:
    """Queries of the replicas that each signal wants: with the usual targets -> with these."""

    def wanted(load: str, target: float) -> str:
        return f"ceil({load} / {target:g})"

    return {
        queries.replicas_by_queue(SERVICE): wanted(
            queries.waiting_rows(SERVICE), sizing.queue_target_rows
        ),
        queries.replicas_by_engine(SERVICE): wanted(
            queries.busy_engines(SERVICE), sizing.utilization_target
        ),
        queries.replicas_by_loop(SERVICE): wanted(queries.busy_loops(SERVICE), sizing.loop_target),
    }
