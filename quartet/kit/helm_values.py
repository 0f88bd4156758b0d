"""The same numbers as values of the Helm chart."""

import json
from collections.abc import Mapping
from typing import Any

import yaml

from quartet.kit.manifests import image_parts, server_settings
from quartet.kit.measurements import Measurements
from quartet.kit.options import KitOptions
from quartet.kit.quantities import cpu, memory
from quartet.kit.sizing import Sizing

HEAD = """\
# Written by `quartet kit`; SIZING.md says where each number comes from.
#   helm install quartet deploy/helm/quartet -f helm-values.yaml
"""


def helm_values(
    measurements: Measurements, sizing: Sizing, options: KitOptions, rule: Mapping[str, Any]
) -> str:
    """A values file; ``rule`` is the PrometheusRule, which takes the place of the chart's own."""
    name, tag, digest = image_parts(options)
    values: dict[str, Any] = {
        "image": {"repository": name, "tag": tag, "digest": digest},
        "settings": {k: _typed(v) for k, v in server_settings(measurements, sizing).items()},
        "resources": {
            "requests": {
                "cpu": cpu(sizing.cpu_request_milli),
                "memory": memory(sizing.memory_request_mib),
            },
            "limits": {
                "cpu": cpu(sizing.cpu_limit_milli),
                "memory": memory(sizing.memory_limit_mib),
            },
        },
        "autoscaling": _autoscaling(sizing, options),
        "probes": {"startup": {"periodSeconds": 1, "failureThreshold": sizing.startup_s}},
        "serviceMonitor": {"enabled": options.prometheus_operator},
    }
    if options.prometheus_operator:
        values["extraObjects"] = [rule]
    if options.gpu:
        values["gpu"] = {"enabled": True}
    if options.model_claim is not None:
        volume = {"enabled": True, "existingClaim": options.model_claim}
        values["models"] = {"persistentVolume": volume}
    return HEAD + yaml.safe_dump(values, sort_keys=False)


def _typed(text: str) -> Any:
    """A setting as the chart's schema wants it: numbers, booleans and lists as such."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _autoscaling(sizing: Sizing, options: KitOptions) -> dict[str, Any]:
    keda = options.scaler == "keda"
    values: dict[str, Any] = {
        "minReplicas": sizing.min_replicas,
        "maxReplicas": sizing.max_replicas,
        "targets": {
            "queueSize": sizing.queue_target_rows,
            "utilization": sizing.utilization_target,
            "loopUtilization": sizing.loop_target,
        },
        "hpa": {"enabled": not keda},
    }
    if keda:
        values["keda"] = {
            "enabled": True,
            "serverAddress": options.prometheus_address,
            "scaleToZero": options.scale_to_zero,
            "fallback": {"replicas": max(sizing.min_replicas, sizing.replicas or 0)},
        }
    return values
