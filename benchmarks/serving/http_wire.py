"""The least of HTTP/1.1 that a load generator needs: requests made beforehand, answers measured."""

import json
from collections.abc import Mapping

from benchmarks.serving.wire import WireError

_END = b"\r\n\r\n"
_LENGTH = b"content-length:"
JSON_LENGTH = b"inference-header-content-length:"


class HttpWire:
    """One keep-alive connection with one request in flight."""

    def __init__(self) -> None:
        self._received = b""
        self._needed = 0

    def opening(self) -> bytes:
        """HTTP/1.1 needs none."""
        return b""

    def frame(self, request: bytes) -> bytes:
        """``request`` already is what goes onto the wire."""
        return request

    def take_control(self) -> bytes:
        """HTTP/1.1 has no control messages."""
        return b""

    def receive(self, data: bytes) -> bytes | None:
        """Head and body of the answer once both are there, else None.

        Raises:
            WireError: the status is not 200, or more came than one answer.
        """
        self._received += data
        if not self._needed:
            head = self._received.find(_END)
            if head < 0:
                return None
            self._needed = head + len(_END) + _content_length(self._received[:head])
        if len(self._received) < self._needed:
            return None
        answer, self._received = self._received, b""
        if len(answer) != self._needed or not answer.startswith(b"HTTP/1.1 200"):
            raise WireError(f"expected 200 and {self._needed} bytes, got {answer[:400]!r}")
        self._needed = 0
        return answer


def http_post(path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """A POST as it goes onto the wire."""
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + _END + body


def infer_post(model: str, tensor: str, output: str, shape: tuple[int, ...], blob: bytes) -> bytes:
    """An Open Inference Protocol request with the binary tensor data extension both ways."""
    document = {
        "inputs": [
            {
                "name": tensor,
                "shape": shape,
                "datatype": "FP32",
                "parameters": {"binary_data_size": len(blob)},
            }
        ],
        "outputs": [{"name": output, "parameters": {"binary_data": True}}],
    }
    text = json.dumps(document).encode()
    headers = {
        "Content-Type": "application/octet-stream",
        "Inference-Header-Content-Length": str(len(text)),
    }
    return http_post(f"/v2/models/{model}/infer", headers, text + blob)


def http_body(answer: bytes) -> bytes:
    """The body of an answer, behind its JSON header if it has one."""
    head, _, body = answer.partition(_END)
    found = head.lower().find(JSON_LENGTH)
    if found < 0:
        return body
    return body[int(head[found + len(JSON_LENGTH) :].split(b"\r\n", 1)[0]) :]


def _content_length(head: bytes) -> int:
    start = head.find(_LENGTH)
    if start < 0:
        raise WireError(f"the answer has no Content-Length: {head[:400]!r}")
    return int(head[start + len(_LENGTH) :].split(b"\r\n", 1)[0])
