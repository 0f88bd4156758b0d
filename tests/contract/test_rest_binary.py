"""The binary tensor extension and compression over REST, byte for byte."""

import gzip
import json
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.e2e.process import Answer, ServerProcess

pytestmark = pytest.mark.e2e
LENGTH = "Inference-Header-Content-Length"


def blob_input(
    size: int, datatype: str = "FP32", shape: tuple[int, ...] = (1, 2)
) -> dict[str, Any]:
    return {
        "name": "x",
        "shape": list(shape),
        "datatype": datatype,
        "parameters": {"binary_data_size": size},
    }


def post(
    server: ServerProcess,
    document: object,
    blobs: bytes,
    model: str = "identity_fp32",
    length: str | None = None,
) -> Answer:
    header = json.dumps(document).encode()
    headers = {LENGTH: str(len(header)) if length is None else length}
    return server.request("POST", f"/v2/models/{model}/infer", header + blobs, headers)


def split(answer: Answer) -> tuple[dict[str, Any], bytes]:
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"] == "application/octet-stream"
    length = int(answer.headers[LENGTH.lower()])
    return json.loads(answer.body[:length]), answer.body[length:]


def test_blob_in_and_blob_out_are_the_same_bytes(server: ServerProcess) -> None:
    blob = struct.pack("<2f", 1, 2)
    document = {"inputs": [blob_input(8)], "parameters": {"binary_data_output": True}}
    head, tail = split(post(server, document, blob))
    assert head["outputs"] == [
        {"name": "y", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": 8}}
    ]
    assert tail == blob


def test_answer_is_json_unless_asked_otherwise(server: ServerProcess) -> None:
    answer = post(server, {"inputs": [blob_input(8)]}, struct.pack("<2f", 1, 2))
    assert answer.json()["outputs"][0]["data"] == [1, 2]
    assert LENGTH.lower() not in answer.headers


def test_output_parameter_wins_over_that_of_the_request(server: ServerProcess) -> None:
    document = {
        "inputs": [
            {"name": n, "shape": [1, 2], "datatype": "FP32", "data": [3, 4]} for n in ("a", "b")
        ],
        "parameters": {"binary_data_output": True},
        "outputs": [{"name": "sum", "parameters": {"binary_data": False}}, {"name": "difference"}],
    }
    head, tail = split(post(server, document, b"", "sum_and_difference"))
    assert head["outputs"][0]["data"] == [6, 8]
    assert tail == bytes(8)


def test_json_and_blob_inputs_may_be_mixed_in_any_order(server: ServerProcess) -> None:
    document = {
        "inputs": [
            {"name": "b", "shape": [1, 2], "datatype": "FP32", "data": [[1, 2]]},
            blob_input(8) | {"name": "a"},
        ]
    }
    answer = post(server, document, struct.pack("<2f", 10, 20), "sum_and_difference")
    assert answer.json()["outputs"][0]["data"] == [11, 22]
    assert answer.json()["outputs"][1]["data"] == [9, 18]


def test_several_blobs_stand_in_the_order_of_the_inputs(server: ServerProcess) -> None:
    document = {"inputs": [blob_input(8) | {"name": "b"}, blob_input(8) | {"name": "a"}]}
    blobs = struct.pack("<4f", 1, 2, 10, 20)
    assert post(server, document, blobs, "sum_and_difference").json()["outputs"][1]["data"] == [
        9,
        18,
    ]


def test_text_of_every_length_survives(server: ServerProcess) -> None:
    elements = [b"", b"a\0b", "é".encode(), b"x" * 70_000]
    blob = b"".join(struct.pack("<I", len(e)) + e for e in elements)
    document = {
        "inputs": [blob_input(len(blob), "BYTES", (2, 2))],
        "parameters": {"binary_data_output": True},
    }
    assert split(post(server, document, blob, "identity_bytes"))[1] == blob


EIGHT = bytes(8)
BAD_LENGTHS: dict[str, tuple[str, str]] = {
    "beyond the body": ("100000", "inference header size should be in range"),
    "negative": ("-1", "inference header size should be in range"),
    "text": ("many", "Inference-Header-Content-Length"),
    "fraction": ("1.5", "Inference-Header-Content-Length"),
    "cuts the JSON": ("10", "JSON"),
}


@pytest.mark.parametrize("case", BAD_LENGTHS)
def test_bad_header_length_is_refused(server: ServerProcess, case: str) -> None:
    length, words = BAD_LENGTHS[case]
    answer = post(server, {"inputs": [blob_input(8)]}, EIGHT, length=length)
    assert answer.status == 400
    assert words in answer.error


def bytes_blob(blob: bytes, elements: int = 1) -> tuple[dict[str, Any], bytes, str]:
    return blob_input(len(blob), "BYTES", (1, elements)), blob, "identity_bytes"


BAD_BLOBS: dict[str, tuple[tuple[dict[str, Any], bytes, str], str]] = {
    "longer than declared": ((blob_input(8), bytes(9), ""), "unexpected additional input data"),
    "shorter than declared": ((blob_input(8), bytes(7), ""), "expecting 1 additional bytes"),
    "none": ((blob_input(8), b"", ""), "expecting 8 additional bytes"),
    "size against shape": ((blob_input(12), bytes(12), ""), "Expected 8, got 12"),
    "size negative": ((blob_input(-8), b"", ""), "binary_data_size"),
    "boolean that is none": (
        (blob_input(2, "BOOL"), b"\x01\x02", "identity_bool"),
        "BOOL",
    ),
    "text cut": (bytes_blob(struct.pack("<I", 999) + b"a"), "string of length 999"),
    "prefix cut": (bytes_blob(b"\1\0"), "incomplete string length"),
    "too few texts": (bytes_blob(struct.pack("<I", 0), 2), "expected 2 string elements"),
    "too many texts": (bytes_blob(bytes(12), 2), "unexpected number of string elements"),
}


@pytest.mark.parametrize("case", BAD_BLOBS)
def test_bad_blob_is_refused(server: ServerProcess, case: str) -> None:
    (entry, blob, model), words = BAD_BLOBS[case]
    answer = post(server, {"inputs": [entry]}, blob, model or "identity_fp32")
    assert answer.status == 400
    assert words in answer.error


def test_raw_request_is_one_row_and_all_outputs_are_blobs(server: ServerProcess) -> None:
    blob = struct.pack("<2f", 1, 2)
    answer = server.request("POST", "/v2/models/configured/infer", blob, {LENGTH: "0"})
    head, tail = split(answer)
    assert head["outputs"][0]["shape"] == [1, 2]
    assert tail == struct.pack("<2f", 4, 5)


def test_raw_request_finds_the_one_free_axis(server: ServerProcess) -> None:
    blob = np.arange(5, dtype="<i2").tobytes()
    head, tail = split(
        server.request("POST", "/v2/models/identity_int16/infer", blob, {LENGTH: "0"})
    )
    assert head["outputs"][0]["shape"] == [1, 5]
    assert tail == blob


@pytest.mark.parametrize(
    ("model", "size"),
    [("configured", 7), ("configured", 16), ("sum_and_difference", 8), ("identity_bytes", 8)],
)
def test_raw_request_that_cannot_be_read_is_refused(
    server: ServerProcess, model: str, size: int
) -> None:
    answer = server.request("POST", f"/v2/models/{model}/infer", bytes(size), {LENGTH: "0"})
    assert answer.status == 400
    assert answer.error


def test_raw_request_of_an_unknown_model_is_not_found(server: ServerProcess) -> None:
    answer = server.request("POST", "/v2/models/nobody/infer", bytes(8), {LENGTH: "0"})
    assert answer.status == 404
    assert "nobody" in answer.error


COMPRESSORS: dict[str, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]] = {
    "gzip": (gzip.compress, gzip.decompress),
    "deflate": (zlib.compress, zlib.decompress),
}


@pytest.mark.parametrize("encoding", COMPRESSORS)
def test_compressed_request_counts_its_header_after_inflation(
    server: ServerProcess, encoding: str
) -> None:
    compress, _ = COMPRESSORS[encoding]
    blob = struct.pack("<2f", 1, 2)
    header = json.dumps(
        {"inputs": [blob_input(8)], "parameters": {"binary_data_output": True}}
    ).encode()
    answer = server.request(
        "POST",
        "/v2/models/identity_fp32/infer",
        compress(header + blob),
        {LENGTH: str(len(header)), "Content-Encoding": encoding},
    )
    assert split(answer)[1] == blob


@pytest.mark.parametrize("encoding", COMPRESSORS)
def test_answer_is_compressed_when_asked(server: ServerProcess, encoding: str) -> None:
    _, decompress = COMPRESSORS[encoding]
    blob = bytes(8000)
    header = json.dumps(
        {
            "inputs": [blob_input(8000, shape=(1, 2000))],
            "parameters": {"binary_data_output": True},
        }
    ).encode()
    answer = server.request(
        "POST",
        "/v2/models/identity_fp32/infer",
        header + blob,
        {LENGTH: str(len(header)), "Accept-Encoding": f"{encoding}, identity;q=0.5"},
    )
    assert answer.headers["content-encoding"] == encoding
    assert len(answer.body) < 1000
    body = decompress(answer.body)
    assert body[int(answer.headers[LENGTH.lower()]) :] == blob


def test_answer_is_not_compressed_when_not_asked(server: ServerProcess) -> None:
    document = {"inputs": [blob_input(8000, shape=(1, 2000))]}
    assert "content-encoding" not in post(server, document, bytes(8000)).headers


@pytest.mark.parametrize(
    ("encoding", "body", "status"),
    [
        ("gzip", b"no gzip at all", 400),
        ("deflate", b"no zlib at all", 400),
        ("gzip", gzip.compress(b"{}" * 1000)[:-10], 400),
        ("br", b"{}", 415),
        ("gzip, gzip", b"{}", 415),
    ],
)
def test_bad_compression_is_refused(
    server: ServerProcess, encoding: str, body: bytes, status: int
) -> None:
    answer = server.request(
        "POST", "/v2/models/identity_fp32/infer", body, {"Content-Encoding": encoding}
    )
    assert answer.status == status
    assert encoding in answer.error
    if status == 415:
        assert answer.headers["accept-encoding"] == "gzip, deflate"
