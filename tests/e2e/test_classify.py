"""Pictures through the front door: curl, multipart, raw bodies, JSON and ``quartet.v1``."""

import base64
import io
import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from PIL import Image

from serving.pb.quartet.v1 import quartet_pb2, quartet_pb2_grpc
from tests.e2e.process import ServerProcess
from tests.patience import TIMEOUT_S

pytestmark = pytest.mark.e2e
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")


def picture(value: int = 255, *, kind: str = "PNG", size: tuple[int, int] = (40, 30)) -> bytes:
    """A grey picture, encoded."""
    stream = io.BytesIO()
    Image.new("L", size, value).save(stream, kind)
    return stream.getvalue()


def enormous_png() -> bytes:
    """A valid 10,000 x 10,000 PNG of a few kilobytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    side = 10_000
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((1 + side // 8) * side), 9)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


def url(server: ServerProcess, model: str = "brightness", suffix: str = "") -> str:
    return f"http://{server.http_address}/v1/classify/{model}{suffix}"


def as_form(data: bytes) -> dict[str, Any]:
    return {"files": {"image": ("picture", data)}}


def as_raw(data: bytes) -> dict[str, Any]:
    return {"content": data, "headers": {"Content-Type": "image/png"}}


def as_json(data: bytes) -> dict[str, Any]:
    return {"json": {"image": base64.b64encode(data).decode()}}


REST_FORMS: Mapping[str, Callable[[bytes], dict[str, Any]]] = {
    "multipart": as_form,
    "raw": as_raw,
    "json": as_json,
}


def post(
    server: ServerProcess, form: str, data: bytes, model: str = "brightness"
) -> httpx.Response:
    return httpx.post(url(server, model), **REST_FORMS[form](data), timeout=TIMEOUT_S)


def classify_grpc(
    server: ServerProcess, *images: bytes, model: str = "brightness", **fields: Any
) -> quartet_pb2.ClassifyResponse:
    with grpc.insecure_channel(server.grpc_address) as channel:
        stub = quartet_pb2_grpc.QuartetStub(channel)  # type: ignore[no-untyped-call]  # generated
        request = quartet_pb2.ClassifyRequest(
            model_name=model, images=[quartet_pb2.Image(data=d) for d in images], **fields
        )
        answer: quartet_pb2.ClassifyResponse = stub.Classify(request, timeout=TIMEOUT_S)
        return answer


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_gets_a_label(server: ServerProcess, tmp_path: Path) -> None:
    file = tmp_path / "seven.png"
    file.write_bytes(picture(255))
    done = subprocess.run(
        ["curl", "--silent", "--fail", "-F", f"image=@{file}", url(server)],
        capture_output=True,
        check=True,
        timeout=TIMEOUT_S,
    )
    answer = httpx.Response(200, content=done.stdout).json()
    assert answer["model_name"] == "brightness"
    assert answer["model_version"] == "1"
    assert answer["predictions"][0] == {"label": "light", "index": 1, "probability": 1.0}


@pytest.mark.parametrize("form", REST_FORMS)
@pytest.mark.parametrize("kind", FORMATS)
def test_every_form_takes_every_format(server: ServerProcess, form: str, kind: str) -> None:
    answer = post(server, form, picture(0, kind=kind))
    assert answer.status_code == 200, answer.text
    assert [p["label"] for p in answer.json()["predictions"]] == ["dark", "light"]
    assert answer.json()["predictions"][0]["probability"] == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("kind", FORMATS)
def test_grpc_gives_what_rest_gives(server: ServerProcess, kind: str) -> None:
    data = picture(200, kind=kind)
    rest = post(server, "multipart", data).json()
    answer = classify_grpc(server, data)
    assert (answer.model_name, answer.model_version) == ("brightness", "1")
    (result,) = answer.results
    for got, expected in zip(result.predictions, rest["predictions"], strict=True):
        assert (got.label, got.index) == (expected["label"], expected["index"])
        assert got.probability == pytest.approx(expected["probability"], rel=1e-6)


def test_several_pictures_are_answered_in_order(server: ServerProcess) -> None:
    shades = [0, 255, 10, 240, 255]
    files = [("image", (f"{i}.png", picture(shade))) for i, shade in enumerate(shades)]
    answer = httpx.post(url(server), files=files, timeout=TIMEOUT_S).json()
    labels = [result["predictions"][0]["label"] for result in answer["results"]]
    assert labels == ["dark", "light", "dark", "light", "light"]
    typed = classify_grpc(server, *(picture(shade) for shade in shades))
    assert [result.predictions[0].label for result in typed.results] == labels


def test_more_pictures_than_a_batch_holds_are_all_answered(server: ServerProcess) -> None:
    images = [base64.b64encode(picture(255 * (i % 2), size=(8, 8))).decode() for i in range(64)]
    answer = httpx.post(url(server), json={"images": images}, timeout=TIMEOUT_S).json()
    labels = [result["predictions"][0]["label"] for result in answer["results"]]
    assert labels == ["dark", "light"] * 32


def test_top_k_limits_the_predictions(server: ServerProcess) -> None:
    answer = httpx.post(
        url(server, suffix="?top_k=1"), files={"image": ("p", picture())}, timeout=TIMEOUT_S
    )
    assert [p["label"] for p in answer.json()["predictions"]] == ["light"]
    assert len(classify_grpc(server, picture(), top_k=1).results[0].predictions) == 1


@pytest.mark.parametrize("version", ["1", "9"])
def test_version_may_be_named(server: ServerProcess, version: str) -> None:
    answer = httpx.post(
        url(server, suffix=f"/versions/{version}"), **as_form(picture()), timeout=TIMEOUT_S
    )
    assert answer.status_code == (200 if version == "1" else 404)


BAD_PICTURES: dict[str, tuple[bytes, int, str]] = {
    "no picture": (b"MZ this is a program, not a picture" * 10, 400, "PNG"),
    "text": (b"hello", 400, "PNG"),
    "truncated PNG": (picture(size=(300, 300), kind="BMP")[:5000], 400, "truncated"),
    "truncated JPEG": (picture(100, size=(300, 300), kind="JPEG")[:400], 400, "truncated"),
    "header alone": (picture()[:20], 400, ""),
    "0 bytes": (b"", 400, ""),
    "100 megapixels": (enormous_png(), 413, "10000"),
}


@pytest.mark.parametrize("form", REST_FORMS)
@pytest.mark.parametrize("case", BAD_PICTURES)
def test_bad_picture_is_refused_and_the_next_is_answered(
    server: ServerProcess, form: str, case: str
) -> None:
    data, status, words = BAD_PICTURES[case]
    answer = post(server, form, data)
    assert answer.status_code == status, answer.text
    assert words in answer.json()["error"]
    assert post(server, form, picture()).status_code == 200


@pytest.mark.parametrize("case", BAD_PICTURES)
def test_bad_picture_is_refused_over_grpc(server: ServerProcess, case: str) -> None:
    data, status, words = BAD_PICTURES[case]
    with pytest.raises(grpc.RpcError) as refusal:
        classify_grpc(server, data)
    code = refusal.value.code()
    assert code.name == ("INVALID_ARGUMENT" if status == 400 else "RESOURCE_EXHAUSTED")
    assert words in (refusal.value.details() or "")
    assert classify_grpc(server, picture()).results


def test_bad_picture_among_good_ones_is_named(server: ServerProcess) -> None:
    files = [("image", ("a", picture())), ("image", ("b", b"nothing")), ("image", ("c", picture()))]
    answer = httpx.post(url(server), files=files, timeout=TIMEOUT_S)
    assert answer.status_code == 400
    assert "image 2 of 3" in answer.json()["error"]


BAD_CALLS: dict[str, tuple[dict[str, Any], int, str]] = {
    "wrong field": ({"files": {"picture": ("p", picture())}}, 400, "'image'"),
    "no field": ({"data": {"top_k": "3"}, "files": {}}, 415, "multipart"),
    "file name for a file": ({"files": {"image": (None, "seven.png")}}, 400, "seven.png"),
    "top_k is no number": (as_form(picture()) | {"params": {"top_k": "all"}}, 400, "top_k"),
    "top_k of nothing": (as_form(picture()) | {"params": {"top_k": "0"}}, 400, "top_k"),
    "no boundary": (
        {"content": b"x", "headers": {"Content-Type": "multipart/form-data"}},
        400,
        "boundary",
    ),
    "cut form": (
        {
            "content": b'--b\r\nContent-Disposition: form-data; name="image"\r\n\r\nabc',
            "headers": {"Content-Type": "multipart/form-data; boundary=b"},
        },
        400,
        "boundary",
    ),
    "malformed JSON": (
        {"content": b"{", "headers": {"Content-Type": "application/json"}},
        400,
        "JSON",
    ),
    "no base64": ({"json": {"image": "$$$"}}, 400, "base64"),
    "JSON of no picture": ({"json": {"picture": "aaaa"}}, 400, "picture"),
    "no pictures": ({"json": {"images": []}}, 400, "images"),
    "other media type": (
        {"content": b"<a/>", "headers": {"Content-Type": "application/xml"}},
        415,
        "application/xml",
    ),
}


@pytest.mark.parametrize("case", BAD_CALLS)
def test_bad_call_is_refused_with_what_was_expected(server: ServerProcess, case: str) -> None:
    arguments, status, words = BAD_CALLS[case]
    answer = httpx.post(url(server), **arguments, timeout=TIMEOUT_S)
    assert answer.status_code == status, answer.text
    assert words in answer.json()["error"]


@pytest.mark.parametrize(
    ("model", "status", "code"),
    [("nobody", 404, "NOT_FOUND"), ("broken", 503, "UNAVAILABLE"), ("fixed", 501, "UNIMPLEMENTED")],
)
def test_model_that_cannot_classify_says_so(
    server: ServerProcess, model: str, status: int, code: str
) -> None:
    answer = post(server, "multipart", picture(), model)
    assert (answer.status_code, model in answer.json()["error"]) == (status, True)
    with pytest.raises(grpc.RpcError) as refusal:
        classify_grpc(server, picture(), model=model)
    assert refusal.value.code().name == code


@pytest.mark.parametrize(("images", "fields"), [((), {}), ((b"",), {}), ((b"x",), {"top_k": 0})])
def test_bad_typed_call_is_refused(
    server: ServerProcess, images: tuple[bytes, ...], fields: dict[str, Any]
) -> None:
    with pytest.raises(grpc.RpcError) as refusal:
        classify_grpc(server, *images, **fields)
    assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_noise_of_any_mode_is_a_picture(server: ServerProcess) -> None:
    noise = np.random.default_rng(0)
    for mode, channels in (("RGB", 3), ("RGBA", 4), ("L", 1), ("LA", 2)):
        pixels = noise.integers(0, 256, (9, 7, channels), np.uint8)
        stream = io.BytesIO()
        Image.fromarray(pixels.squeeze(), mode).save(stream, "PNG")
        assert post(server, "raw", stream.getvalue()).status_code == 200
