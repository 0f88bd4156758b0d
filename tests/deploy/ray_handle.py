"""Calls Quartet's deployment through a handle, as another deployment of the cluster would.

Runs in Ray's environment on the head. Arguments: the model, an .npz with tensors ``input:NAME``.
Writes the first output's bytes, hexadecimal, and the text of the error that a wrong input gives.
"""

import json
import sys

import numpy as np
import ray
from ray import serve

from serving.errors import ServingError

ROWS = 3


def main() -> None:
    """See the module."""
    model, tensors = sys.argv[1:]
    ray.init(address="auto", log_to_driver=False)
    handle = serve.get_app_handle("quartet")
    with np.load(tensors) as arrays:
        inputs = {
            name.removeprefix("input:"): arrays[name][:ROWS]
            for name in arrays.files
            if name.startswith("input:")
        }
    outputs = handle.infer.remote(model, inputs).result(timeout_s=60)
    try:
        handle.infer.remote(model, {"wrong": np.zeros((1, 1), np.float32)}).result(timeout_s=60)
        error = ""
    except ServingError as failure:
        error = str(failure)
    first = next(iter(outputs.values()))
    sys.stdout.write(json.dumps({"output": first.tobytes().hex(), "error": error}))


if __name__ == "__main__":
    main()
