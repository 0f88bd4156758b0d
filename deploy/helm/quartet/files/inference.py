"""Waits until a Quartet server is ready and asks it for one inference; status 0 if both succeed.

Usage: inference.py BASE_URL [MODEL]. Without MODEL, the first ready one that takes zeros. Standard
library only: it runs in the server's image.
"""

import json
import sys
import time
import urllib.error
import urllib.request
from typing import Any

READY_WITHIN_S = 120.0
TIMEOUT_S = 30.0


def call(url: str, body: dict[str, Any] | None = None) -> Any:
    """The JSON answer of GET, or of POST where there is a body; empty where the answer is.

    Raises:
        OSError: nobody answers, or the server refuses (urllib.error.HTTPError).
    """
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        text = answer.read()
    return json.loads(text) if text else {}


def reason(error: OSError) -> str:
    """What went wrong, in the server's words if it gave any."""
    if isinstance(error, urllib.error.HTTPError):
        return f"{error.code} {error.read().decode(errors='replace')}"
    return str(error)


def is_ready(base: str, within_s: float) -> bool:
    """Whether the server is ready, now or soon."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            call(f"{base}/v2/health/ready")
        except OSError as error:
            if time.monotonic() >= deadline:
                print(f"{base}: not ready after {within_s:g} s: {reason(error)}")
                return False
            time.sleep(1.0)
        else:
            print(f"{base}: ready")
            return True


def ready_models(base: str) -> list[str]:
    """Names of the models that have a ready version, in the server's order."""
    return [entry["id"] for entry in call(f"{base}/v1/models")["data"]]


def zeros(declared: dict[str, Any]) -> dict[str, Any]:
    """Zeros, false or empty texts as a declared input's type asks; free axes get one element."""
    shape = [max(int(length), 1) for length in declared["shape"]]
    size = 1
    for length in shape:
        size *= length
    element = {"BYTES": "", "BOOL": False}.get(declared["datatype"], 0)
    return {
        "name": declared["name"],
        "datatype": declared["datatype"],
        "shape": shape,
        "data": [element] * size,
    }


def infer(base: str, model: str) -> bool:
    """Whether the model answers zeros."""
    try:
        metadata = call(f"{base}/v2/models/{model}")
        inputs = [zeros(declared) for declared in metadata["inputs"]]
        answer = call(f"{base}/v2/models/{model}/infer", {"inputs": inputs})
    except OSError as error:
        print(f"{model}: {reason(error)}")
        return False
    print(f"{model}: {', '.join(str(output['name']) for output in answer['outputs'])}")
    return bool(answer["outputs"])


def main(base: str, model: str = "", within_s: float = READY_WITHIN_S) -> int:
    """Exit status."""
    if not is_ready(base, within_s):
        return 1
    models = [model] if model else ready_models(base)
    if any(infer(base, name) for name in models):
        return 0
    print(f"{base}: no inference succeeded; tried {', '.join(models) or 'no model'}")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""))
