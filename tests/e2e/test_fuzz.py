"""Whatever a stranger sends: never a 5xx, always an error in words, and the server goes on."""

import io
import json
import random
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import grpc
import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.e2e.process import ServerProcess
from tests.patience import TIMEOUT_S

pytestmark = pytest.mark.e2e
bounded = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
ANSWERS = {
    "OK",
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "RESOURCE_EXHAUSTED",
    "UNIMPLEMENTED",
    "FAILED_PRECONDITION",
}
GOOD: dict[str, Any] = {
    "id": "1",
    "inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}],
    "outputs": [{"name": "y", "parameters": {"binary_data": True}}],
    "parameters": {"p": 1},
}

leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**65), 2**65),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["x", "y", "FP32", "BYTES", "BF16", 0, 1, 2, -1, 2**31, 2**63]),
)
anything = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)
tensor = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["x", "z"]) | leaves,
        "shape": st.lists(leaves, max_size=3) | anything,
        "datatype": st.sampled_from(["FP32", "BYTES", "INT8", "FP16"]) | leaves,
        "data": anything,
        "parameters": st.dictionaries(st.sampled_from(["binary_data_size", "p"]), anything)
        | leaves,
    },
)
document = st.fixed_dictionaries(
    {},
    optional={
        "id": leaves,
        "inputs": st.lists(tensor | anything, max_size=3) | anything,
        "outputs": st.lists(tensor | anything, max_size=2) | anything,
        "parameters": anything,
        "unknown": anything,
    },
)
printable = st.characters(min_codepoint=32, max_codepoint=126)
header_value = st.text(printable, max_size=20).map(str.strip)
infer_headers = st.fixed_dictionaries(
    {},
    optional={
        "Inference-Header-Content-Length": st.integers(-5, 400).map(str) | header_value,
        "Content-Encoding": st.sampled_from(["gzip", "deflate", "identity", "br"]) | header_value,
        "Content-Type": st.sampled_from(["application/json", "application/octet-stream"])
        | header_value,
        "Accept-Encoding": st.sampled_from(["gzip", "deflate;q=0.1", "*;q=nonsense"])
        | header_value,
        "X-Request-Id": header_value,
    },
)


@pytest.fixture(scope="module")
def client(server: ServerProcess) -> Iterator[httpx.Client]:
    """One keep-alive connection; a server that hangs up is a failure of its own."""
    with httpx.Client(base_url=f"http://{server.http_address}", timeout=TIMEOUT_S) as opened:
        yield opened


def check(answer: httpx.Response) -> None:
    assert answer.status_code < 500, (answer.status_code, answer.text)
    assert "x-request-id" in answer.headers
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/json"
        assert isinstance(answer.json()["error"], str)
        assert "Traceback" not in answer.text


def post_infer(client: httpx.Client, body: bytes, headers: dict[str, str]) -> None:
    check(client.post("/v2/models/identity_fp32/infer", content=body, headers=headers))


@bounded
@given(body=st.binary(max_size=300), headers=infer_headers)
def test_random_bytes_to_infer(client: httpx.Client, body: bytes, headers: dict[str, str]) -> None:
    post_infer(client, body, headers)


@bounded
@given(content=document)
def test_random_documents_to_infer(client: httpx.Client, content: dict[str, Any]) -> None:
    text = json.dumps(content, ensure_ascii=True).encode()
    post_infer(client, text, {})


@bounded
@given(content=document, blob=st.binary(max_size=40), shift=st.integers(-2, 2))
def test_random_documents_with_blobs_to_infer(
    client: httpx.Client, content: dict[str, Any], blob: bytes, shift: int
) -> None:
    text = json.dumps(content).encode()
    length = {"Inference-Header-Content-Length": str(len(text) + shift)}
    post_infer(client, text + blob, length)


@bounded
@given(seed=st.integers(0, 2**32), flips=st.integers(1, 6))
def test_damaged_good_requests_to_infer(client: httpx.Client, seed: int, flips: int) -> None:
    post_infer(client, damaged(json.dumps(GOOD).encode(), seed, flips), {})


@bounded
@given(body=st.binary(max_size=300), headers=infer_headers)
def test_random_bytes_to_classify(
    client: httpx.Client, body: bytes, headers: dict[str, str]
) -> None:
    check(client.post("/v1/classify/brightness", content=body, headers=headers))


@bounded
@given(content=anything)
def test_random_documents_to_classify(client: httpx.Client, content: object) -> None:
    for document in (content, {"image": content}, {"images": content}):
        body = json.dumps(document)
        headers = {"Content-Type": "application/json"}
        check(client.post("/v1/classify/brightness", content=body, headers=headers))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP"])
@settings(bounded, max_examples=60)
@given(seed=st.integers(0, 2**32), flips=st.integers(1, 8), cut=st.floats(0, 1))
def test_damaged_pictures_to_classify(
    client: httpx.Client, kind: str, seed: int, flips: int, cut: float
) -> None:
    stream = io.BytesIO()
    Image.effect_noise((20, 20), 50).save(stream, kind)
    data = damaged(stream.getvalue(), seed, flips)
    if cut < 0.5:
        data = data[: int(len(data) * 2 * cut)]
    headers = {"Content-Type": "image/png"}
    check(client.post("/v1/classify/brightness", content=data, headers=headers))


@bounded
@given(body=st.binary(max_size=200), boundary=st.sampled_from(["b", "--", "x y", ""]))
def test_random_forms_to_classify(client: httpx.Client, body: bytes, boundary: str) -> None:
    framed = b"--b\r\n" + body + b"\r\n--b--\r\n"
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    check(client.post("/v1/classify/brightness", content=framed, headers=headers))


@bounded
@given(path=st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF), max_size=20))
def test_random_paths(client: httpx.Client, path: str) -> None:
    for prefix in ("/", "/v2/", "/v2/models/", "/v1/classify/", "/v2/models/fixed/versions/"):
        check(client.get(prefix + quote(path, safe="/%?&=.")))


@pytest.mark.parametrize(
    "method",
    [
        "inference.GRPCInferenceService/ModelInfer",
        "inference.GRPCInferenceService/ModelMetadata",
        "inference.GRPCInferenceService/ModelReady",
        "quartet.v1.Quartet/Classify",
    ],
)
def test_random_messages_over_grpc(server: ServerProcess, method: str) -> None:
    with grpc.insecure_channel(server.grpc_address) as channel:
        call = channel.unary_unary(f"/{method}", None, None)

        @bounded
        @given(data=st.binary(max_size=60) | st.binary(max_size=40).map(_named))
        def send(data: bytes) -> None:
            outcome = call.future(data, timeout=TIMEOUT_S)
            assert outcome.code().name in ANSWERS, outcome.details()

        send()


def test_server_still_works_afterwards(client: httpx.Client) -> None:
    answer = client.post("/v2/models/identity_fp32/infer", json=GOOD)
    assert answer.status_code == 200
    assert answer.content.endswith(b"\0\0\x80\x3f\0\0\0\x40")


def damaged(data: bytes, seed: int, flips: int) -> bytes:
    """``data`` with some bytes replaced."""
    chance = random.Random(seed)
    result = bytearray(data)
    for _ in range(flips):
        result[chance.randrange(len(result))] = chance.randrange(256)
    return bytes(result)


def _named(tail: bytes) -> bytes:
    """A message whose first field names a model that exists."""
    name = b"identity_fp32"
    return bytes([0x0A, len(name)]) + name + tail
