import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from quartet.artifact import CaptionGolden, Golden, save_caption_golden, save_golden
from quartet.kit.errors import KitError
from quartet.kit.samples import Plan, plan_model
from quartet.kit.tensors import from_metadata, infer_body
from tests.unit.quartet.kit.fake_server import Fake, one_model, serving


async def plan(documents: dict[str, tuple[int, Any]], repository: Path, rows: int = 1) -> Plan:
    with serving(Fake(documents)) as fake:
        return await plan_model(fake.address, "m", "", repository, rows)


def body_of(request: bytes) -> bytes:
    return request.partition(b"\r\n\r\n")[2]


def infer_of(request: bytes) -> tuple[dict[str, Any], bytes]:
    """JSON and blobs of an infer request."""
    head, _, body = request.partition(b"\r\n\r\n")
    lines = dict(line.split(": ") for line in head.decode().split("\r\n")[1:])
    length = int(lines["inference-header-content-length"])
    return json.loads(body[:length]), body[length:]


async def test_tensors_take_rows_of_the_golden_file(tmp_path: Path) -> None:
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    (tmp_path / "m" / "3").mkdir(parents=True)
    save_golden(tmp_path / "m" / "3" / "golden.npz", Golden(inputs={"x": x}, outputs={"y": x}))
    made = await plan(one_model(), tmp_path)
    assert made.sample == "1 row(s) of golden.npz"
    blobs = [infer_of(request)[1] for request in made.requests]
    assert blobs == [x[:1].tobytes(), x[1:].tobytes()]


async def test_rows_of_a_request_are_consecutive_golden_ones(tmp_path: Path) -> None:
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    (tmp_path / "m" / "3").mkdir(parents=True)
    save_golden(tmp_path / "m" / "3" / "golden.npz", Golden(inputs={"x": x}, outputs={"y": x}))
    made = await plan(one_model(), tmp_path, rows=2)
    assert made.rows_per_request == 2
    assert infer_of(made.requests[1])[1] == x[[1, 0]].tobytes()


async def test_rows_of_a_request_are_no_more_than_the_model_takes(tmp_path: Path) -> None:
    made = await plan(one_model(max_batch_size=4), tmp_path, rows=100)
    assert made.rows_per_request == 4
    assert infer_of(made.requests[0])[0]["inputs"][0]["shape"] == [4, 3]


async def test_model_without_a_batch_gets_its_whole_shape(tmp_path: Path) -> None:
    made = await plan(one_model(max_batch_size=0), tmp_path, rows=5)
    assert made.rows_per_request == 1
    # The free axis is no batch then.
    assert infer_of(made.requests[0])[0]["inputs"][0]["shape"] == [16, 3]


async def test_damaged_golden_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "m" / "3").mkdir(parents=True)
    (tmp_path / "m" / "3" / "golden.npz").write_bytes(b"no zip")
    with pytest.raises(KitError, match=r"golden\.npz is not a golden file"):
        await plan(one_model(), tmp_path)


async def test_stateful_model_gets_sequences_of_one_step(tmp_path: Path) -> None:
    made = await plan(one_model(sequence_batching={}), tmp_path)
    lives = [infer_of(request)[0]["parameters"] for request in made.requests]
    assert len({life["sequence_id"] for life in lives}) == len(lives) >= 1024
    assert all(life["sequence_start"] and life["sequence_end"] for life in lives)


async def test_captioner_gets_jpegs_of_its_golden_pictures(tmp_path: Path) -> None:
    (tmp_path / "m" / "3").mkdir(parents=True)
    golden = CaptionGolden(
        images=np.full((1, 4, 8, 3), 200, np.uint8),
        tokens=(np.zeros(1, np.int64),),
        log_probabilities=(np.zeros(1, np.float32),),
        beam_width=1,
        length_penalty=1.0,
        min_tokens=0,
        max_tokens=1,
        atol=0.1,
    )
    save_caption_golden(tmp_path / "m" / "3" / "captions.golden.npz", golden)
    made = await plan(task("image", "caption"), tmp_path)
    assert made.kind == "captions"
    (request,) = made.requests
    assert request.startswith(b"POST /v1/captions/m/versions/3 HTTP/1.1\r\n")
    assert Image.open(io.BytesIO(body_of(request))).size == (640, 320)


async def test_captioner_without_golden_pictures_gets_made_ones(tmp_path: Path) -> None:
    made = await plan(task("image", "caption"), tmp_path)
    sizes = {Image.open(io.BytesIO(body_of(request))).size for request in made.requests}
    assert sizes == {(640, 480)}
    assert made.sample.endswith("made pictures")


async def test_writer_of_text_gets_prompts_with_different_seeds(tmp_path: Path) -> None:
    made = await plan(task("text_input", "text_output"), tmp_path)
    documents = [json.loads(body_of(request)) for request in made.requests]
    assert made.kind == "text"
    assert {document["model"] for document in documents} == {"m:3"}
    assert len({document["seed"] for document in documents}) == len(documents)


@pytest.mark.parametrize(
    ("condition", "query"),
    [
        ({"condition": "none"}, "seed=0"),
        ({"condition": "class", "classes": ["a b", "c"]}, "seed=0&class=a+b"),
        ({"condition": "prompt", "example_prompts": ["a digit"]}, "seed=0&prompt=a+digit"),
        ({"condition": "prompt", "example_prompts": []}, "seed=0"),
    ],
)
async def test_generator_of_pictures_is_asked_as_its_condition_wants(
    condition: Mapping[str, Any], query: str, tmp_path: Path
) -> None:
    generators = {"models": [{"model_name": "m", **condition}]}
    made = await plan(one_model() | {"/v1/images": (200, generators)}, tmp_path)
    assert made.kind == "pictures"
    assert made.requests[0].startswith(f"GET /v1/images/m/versions/3?{query} HTTP".encode())


async def test_model_that_the_server_does_not_know_is_named(tmp_path: Path) -> None:
    documents = one_model() | {"/v2/models/m": (404, {"error": "unknown model 'm'"})}
    with pytest.raises(KitError, match="/v2/models/m: HTTP 404: unknown model 'm'"):
        await plan(documents, tmp_path)


def test_made_floats_are_in_range_and_integers_are_zero() -> None:
    inputs = [
        {"name": "f", "datatype": "FP16", "shape": [-1, -1, 2]},
        {"name": "i", "datatype": "INT64", "shape": [-1, 5]},
        {"name": "b", "datatype": "BOOL", "shape": [-1]},
        {"name": "t", "datatype": "BYTES", "shape": [-1, 1]},
    ]
    made = from_metadata(inputs, (2,), seed=1)
    assert {name: array.shape for name, array in made.items()} == {
        "f": (2, 16, 2),
        "i": (2, 5),
        "b": (2,),
        "t": (2, 1),
    }
    floats = made["f"].astype(np.float64)
    assert floats.min() >= 0
    assert floats.max() <= 1
    assert floats.std() > 0.1
    assert not made["i"].any()
    assert made["t"].tolist() == [[b"quartet"], [b"quartet"]]


def test_made_values_are_the_same_for_a_seed() -> None:
    inputs = [{"name": "f", "datatype": "FP32", "shape": [3]}]
    first, second, other = (from_metadata(inputs, (), seed)["f"] for seed in (1, 1, 2))
    assert first.tolist() == second.tolist() != other.tolist()


def test_datatype_without_a_rule_asks_for_golden_samples() -> None:
    inputs = [{"name": "f", "datatype": "BF16", "shape": [3]}]
    with pytest.raises(KitError, match=r"'f' of type BF16: .* add golden\.npz"):
        from_metadata(inputs, (), 0)


def test_infer_body_has_texts_after_their_lengths() -> None:
    texts = np.array([b"ab", b""], np.object_)
    body, length = infer_body({"t": texts}, {})
    (entry,) = json.loads(body[:length])["inputs"]
    assert (entry["datatype"], entry["parameters"]) == ("BYTES", {"binary_data_size": 10})
    assert body[length:] == b"\x02\0\0\0ab\0\0\0\0"


def task(given: str, made: str) -> dict[str, tuple[int, Any]]:
    """Documents of a model of texts in or out."""
    documents = one_model()
    metadata = {
        **documents["/v2/models/m"][1],
        "inputs": [{"name": given, "datatype": "BYTES", "shape": [1]}],
        "outputs": [{"name": made, "datatype": "BYTES", "shape": [1]}],
    }
    return documents | {"/v2/models/m": (200, metadata)}
