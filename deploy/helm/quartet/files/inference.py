"""Asks a Quartet server for its readiness and for one inference; exit status 0 if both succeed.

Usage: inference.py BASE_URL [MODEL]. Without MODEL, the first ready one that takes plain tensors.
Standard library only: it runs in the server's image.
"""

import json
import sys
import urllib.error
import urllib.request

TIMEOUT_S = 30.0
TEXT = "BYTES"


def call(url: str, body: object = None) -> object:
    """The JSON answer of GET, or of POST where there is a body; None where the body is empty."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def tensor(declared: dict) -> dict:
    """Zeros, or empty texts, of a declared input's type; axes of any length get one element."""
    shape = [max(int(length), 1) for length in declared["shape"]]
    size = 1
    for length in shape:
        size *= length
    element = "" if declared["datatype"] == TEXT else 0
    return {
        "name": declared["name"],
        "datatype": declared["datatype"],
        "shape": shape,
        "data": [element] * size,
    }


def ready_models(base: str) -> list[str]:
    """Names of the models that are ready, in the server's order."""
    index = call(f"{base}/v2/repository/index", {"ready": True})
    return list(dict.fromkeys(entry["name"] for entry in index))


def infer(base: str, model: str) -> None:
    """One inference on zeros.

    Raises:
        urllib.error.HTTPError: the server refused it.
    """
    metadata = call(f"{base}/v2/models/{model}")
    inputs = [tensor(declared) for declared in metadata["inputs"]]
    answer = call(f"{base}/v2/models/{model}/infer", {"inputs": inputs})
    names = ", ".join(f"{output['name']}{output['shape']}" for output in answer["outputs"])
    print(f"{model}: {names}")


def main(base: str, model: str = "") -> int:
    """Exit status."""
    call(f"{base}/v2/health/ready")
    print(f"{base}: ready")
    candidates = [model] if model else ready_models(base)
    for name in candidates:
        try:
            infer(base, name)
        except urllib.error.HTTPError as error:
            print(f"{name}: {error.code} {error.read().decode(errors='replace')}")
        else:
            return 0
    print(f"no inference succeeded on {base}; tried {candidates}")
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
