"""What a dashboard's reader chooses, and what marks are drawn into every panel."""

from typing import Any

from quartet.monitoring.dashboard.panels import DATASOURCE

SERVER = 'namespace=~"$namespace",job=~"$job",pod=~"$pod"'
"""Chosen replicas: the inside of a label matcher."""
SERVICE = 'namespace=~"$namespace",job=~"$job"'
"""Chosen services, with all their replicas."""
MODEL = f'{SERVER},model=~"$model",version=~"$version"'
"""Chosen model versions on the chosen replicas."""
WINDOW = "$__rate_interval"
"""Range of a rate: Grafana's, four scrapes at least."""


def variables() -> list[dict[str, Any]]:
    """The choices at the top of the dashboard; each one narrows those after it."""
    return [
        _datasource(),
        _labels("namespace", "Namespace", "namespaces with servers", "quartet_build_info"),
        _labels(
            "job", "Job", "services of a namespace", 'quartet_build_info{namespace=~"$namespace"}'
        ),
        _labels("pod", "Replica", "replicas of a service", f"quartet_build_info{{{SERVICE}}}"),
        _labels("model", "Model", "models of the replicas", f"quartet_model_ready{{{SERVER}}}"),
        _labels(
            "version",
            "Version",
            "versions of the models",
            f'quartet_model_ready{{{SERVER},model=~"$model"}}',
        ),
    ]


def annotations() -> list[dict[str, Any]]:
    """Starts of servers, new releases, new versions of models, and alerts that fire."""
    start = f"process_start_time_seconds{{{SERVER}}}"
    joined = "and on (namespace, job, pod, instance) quartet_build_info"
    release = _new("version", f"quartet_build_info{{{SERVICE}}}")
    versions = _new("model, version", f"quartet_model_info{{{SERVICE}}}")
    return [
        _annotation("Start", "blue", f"group by (pod) (time() - {start} < 60 {joined})"),
        _annotation("New release", "purple", release),
        _annotation("New model version", "green", versions),
        _annotation(
            "Alert",
            "red",
            'group by (alertname) (ALERTS{alertname=~"Quartet.+",alertstate="firing"})',
        ),
    ]


def _new(labels: str, series: str) -> str:
    """Values of ``labels`` that ``series`` has and had not 5 minutes ago."""
    return f"group by ({labels}) ({series}) unless group by ({labels}) ({series} offset 5m)"


def _datasource() -> dict[str, Any]:
    return {
        "id": "00000000-0000-0000-0000-000000000001",
        "type": "datasource",
        "name": "datasource",
        "label": "Prometheus",
        "description": "the Prometheus that scrapes the servers",
        "query": "prometheus",
        "hide": 0,
        "skipUrlSync": False,
        "multi": False,
        "includeAll": False,
        "refresh": 1,
        "regex": "",
    }


def _labels(name: str, label: str, description: str, series: str) -> dict[str, Any]:
    """All values that the label ``name`` has on ``series``; every one is chosen at first.

    "All" is ``.*``, which holds for series without the label too: a Prometheus that gives its
    targets no namespace or pod needs no other dashboard.
    """
    return {
        "id": f"00000000-0000-0000-0000-{sum(map(ord, name)):012d}",
        "type": "query",
        "name": name,
        "label": label,
        "description": description,
        "datasource": DATASOURCE,
        "query": {"query": f"label_values({series}, {name})", "refId": f"Variable-{name}"},
        "hide": 0,
        "skipUrlSync": False,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "refresh": 2,
        "sort": 1,
        "regex": "",
    }


def _annotation(name: str, color: str, expr: str) -> dict[str, Any]:
    return {
        "name": name,
        "datasource": DATASOURCE,
        "enable": True,
        "hide": False,
        "iconColor": color,
        "expr": expr,
    }
