import json

import pytest

from benchmarks.serving.http_wire import HttpWire, http_body, http_post, infer_post
from benchmarks.serving.wire import WireError

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"


@pytest.mark.parametrize("step", [1, 10, 1000])
def test_receive_gives_the_answer_when_its_last_byte_is_there(step: int) -> None:
    wire = HttpWire()
    pieces = [ANSWER[i : i + step] for i in range(0, len(ANSWER), step)]
    assert [wire.receive(p) for p in pieces] == [None] * (len(pieces) - 1) + [ANSWER]


def test_receive_begins_anew_with_the_next_answer() -> None:
    wire = HttpWire()
    assert [wire.receive(ANSWER), wire.receive(ANSWER)] == [ANSWER, ANSWER]


@pytest.mark.parametrize(
    "data",
    [
        ANSWER.replace(b"200 OK", b"503 Service Unavailable"),
        ANSWER + b"more",
        b"HTTP/1.1 200 OK\r\n\r\n",
    ],
    ids=["status", "surplus", "no length"],
)
def test_receive_refuses_an_answer_that_is_not_due(data: bytes) -> None:
    with pytest.raises(WireError):
        HttpWire().receive(data)


def test_http_post_declares_the_length_of_its_body() -> None:
    head, _, body = http_post("/x", {"A": "b"}, b"1234").partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        b"POST /x HTTP/1.1",
        b"Host: 127.0.0.1",
        b"Content-Length: 4",
        b"A: b",
    ]
    assert body == b"1234"


def test_infer_post_puts_the_blob_behind_as_much_json_as_it_declares() -> None:
    head, _, body = infer_post("m", "x", "y", (1, 2), b"12345678").partition(b"\r\n\r\n")
    declared = int(head.rpartition(b"Inference-Header-Content-Length: ")[2])
    document = json.loads(body[:declared])
    assert document["inputs"][0]["parameters"] == {"binary_data_size": 8}
    assert body[declared:] == b"12345678"


def test_http_body_leaves_the_json_header_of_a_binary_answer_out() -> None:
    head = b"HTTP/1.1 200 OK\r\nInference-Header-Content-Length: 2\r\ncontent-length: 6\r\n\r\n"
    assert http_body(head + b"{}blob") == b"blob"


def test_http_body_is_the_whole_body_without_a_json_header() -> None:
    assert http_body(ANSWER) == b"hello"
