"""Requests made beforehand, and what a server says of itself."""

import json

import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.autoscaling.networks import DENSE, FEATURES, PICTURES
from benchmarks.serving.http_wire import http_post
from benchmarks.serving.processes import get

TENSORS = {
    PICTURES: ("image", "UINT8", (64, 64, 3), np.uint8),
    DENSE: ("x", "FP32", (FEATURES,), np.float32),
}
"""Model -> its input: name, datatype, shape of a row, the same as numpy's type."""


def infer_request(model: str, rows: int) -> bytes:
    """A POST of ``rows`` rows of small numbers, as it goes onto the wire."""
    name, datatype, shape, dtype = TENSORS[model]
    blob = np.ones((rows, *shape), dtype).tobytes()
    tensor = {
        "name": name,
        "shape": [rows, *shape],
        "datatype": datatype,
        "parameters": {"binary_data_size": len(blob)},
    }
    text = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    headers = {
        "Content-Type": "application/octet-stream",
        "Inference-Header-Content-Length": str(len(text)),
    }
    return http_post(f"/v2/models/{model}/infer", headers, text + blob)


def read_metric(port: int, name: str, model: str | None = None) -> float:
    """The sum of a server's samples called ``name``, of one model if it is given."""
    text = get(port, "/metrics")[1].decode()
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and (model is None or sample.labels.get("model") == model)
    )
