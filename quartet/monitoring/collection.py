"""How Prometheus finds servers, how Grafana finds Prometheus, and what an HPA is told of both.

Sources: https://prometheus.io/docs/prometheus/latest/configuration/configuration/,
https://grafana.com/docs/grafana/latest/administration/provisioning/,
https://github.com/kubernetes-sigs/prometheus-adapter/blob/master/docs/config.md.
"""

from typing import Any

SCRAPE_INTERVAL_S = 15
SCALING_METRICS = ("quartet_queue_size", "quartet_utilization", "quartet_loop_utilization")
"""What the HorizontalPodAutoscaler reads of each pod."""


def prometheus_config() -> dict[str, Any]:
    """Of a Prometheus beside the servers: Docker Compose, or hosts without Kubernetes."""
    return {
        "global": {
            "scrape_interval": f"{SCRAPE_INTERVAL_S}s",
            "scrape_timeout": "10s",
            "evaluation_interval": "30s",
        },
        "rule_files": ["rules.yaml"],
        "scrape_configs": [
            {
                "job_name": "quartet",
                "dns_sd_configs": [
                    {
                        "names": ["quartet"],
                        "type": "A",
                        "port": 8002,
                        "refresh_interval": "5s",
                    }
                ],
                "file_sd_configs": [{"files": ["targets/*.yaml"]}],
                "relabel_configs": [
                    _filled("pod", "__address__"),
                    _constant("namespace", "default"),
                ],
            }
        ],
    }


def _filled(label: str, source: str) -> dict[str, Any]:
    """Give targets without ``label`` the value of ``source``."""
    return {
        "source_labels": [label, source],
        "separator": ";",
        "regex": ";(.+)",
        "target_label": label,
        "replacement": "$1",
    }


def _constant(label: str, value: str) -> dict[str, Any]:
    """Give targets without ``label`` this ``value``."""
    return {
        "source_labels": [label],
        "regex": "",
        "target_label": label,
        "replacement": value,
    }


def grafana_datasources() -> dict[str, Any]:
    """The Prometheus of the same Compose project."""
    return {
        "apiVersion": 1,
        "datasources": [
            {
                "name": "Prometheus",
                "uid": "prometheus",
                "type": "prometheus",
                "access": "proxy",
                "url": "http://prometheus:9090",
                "isDefault": True,
                "jsonData": {"timeInterval": f"{SCRAPE_INTERVAL_S}s", "httpMethod": "POST"},
                "editable": False,
            }
        ],
    }


def grafana_dashboards() -> dict[str, Any]:
    """The dashboards in the folder where the Compose file mounts them."""
    return {
        "apiVersion": 1,
        "providers": [
            {
                "name": "quartet",
                "type": "file",
                "allowUiUpdates": False,
                "disableDeletion": True,
                "updateIntervalSeconds": 30,
                "options": {"path": "/var/lib/grafana/dashboards"},
            }
        ],
    }


def adapter_values() -> dict[str, Any]:
    """Values of the chart ``prometheus-community/prometheus-adapter``."""
    return {
        "metricsRelistInterval": "1m",
        "rules": {"default": False, "custom": [_adapter_rule(name) for name in SCALING_METRICS]},
    }


def _adapter_rule(metric: str) -> dict[str, Any]:
    """One metric of pods: ``<<.LabelMatchers>>`` names the pods, ``<<.GroupBy>>`` is ``pod``.

    A sum over the labels that are left: of a queue's models, and of a single series otherwise.
    """
    return {
        "seriesQuery": f'{metric}{{namespace!="",pod!=""}}',
        "resources": {
            "overrides": {"namespace": {"resource": "namespace"}, "pod": {"resource": "pod"}}
        },
        "name": {"matches": f"^{metric}$", "as": metric},
        "metricsQuery": "sum by (<<.GroupBy>>) (<<.Series>>{<<.LabelMatchers>>})",
    }
