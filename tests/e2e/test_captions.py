"""The shipped captioner: the whole test split over HTTP, and photos as people send them."""

import base64
import io
import json
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import pytest
from PIL import Image

from quartet.artifact import ENCODER_FILE, METADATA_KEY, MODEL_FILE, ImageCaptioningTask, parse_task
from tests.e2e.fixtures import MODEL_REPOSITORY
from tests.e2e.process import ServerProcess
from tests.patience import TIMEOUT_S
from training.caption.bleu import bleu
from training.caption.cider import CiderD
from training.caption.decoding import BeamSettings, beam_rules, words_of
from training.caption.forms import runnable
from training.data.caption_text import tokenize

pytestmark = pytest.mark.e2e
CAPTIONER = MODEL_REPOSITORY / "captioner"
CLIENTS = 8
SOME = 150
"""Pictures of which float32, which takes three times as long, is asked."""
OTHER_CPUS = 0.03
"""Share of captions that int8 may tell otherwise where its kernels round otherwise."""


@pytest.fixture(scope="module")
def server(mnist_server: ServerProcess) -> ServerProcess:
    if not CAPTIONER.is_dir():
        pytest.skip(f"no model at {CAPTIONER}")
    return mnist_server


@pytest.fixture(scope="module")
def test_photos(data_dir: Path) -> tuple[list[bytes], list[list[tuple[str, ...]]]]:
    """The files of Flickr8k's test split, and what people wrote of each."""
    archive = data_dir / "flickr8k.zip"
    if not archive.is_file():
        pytest.skip(f"no {archive}")
    with zipfile.ZipFile(archive) as opened:
        names = opened.read("Flickr_8k.testImages.txt").decode().split()
        written: dict[str, list[tuple[str, ...]]] = {name: [] for name in names}
        for line in opened.read("Flickr8k.token.txt").decode().splitlines():
            key, _, text = line.partition("\t")
            if key.partition("#")[0] in written:
                written[key.partition("#")[0]].append(tokenize(text))
        return [opened.read(f"Images/{name}") for name in names], list(written.values())


def declared(version: int) -> ImageCaptioningTask:
    model = onnx.load(CAPTIONER / str(version) / MODEL_FILE, load_external_data=False)
    task = parse_task({prop.key: prop.value for prop in model.metadata_props}[METADATA_KEY])
    assert isinstance(task, ImageCaptioningTask)
    return task


def decode_with_training(version: int, photos: Sequence[bytes]) -> list[str]:
    """What the training code writes: its own reading of pictures, its own search."""
    task = declared(version)
    folder = CAPTIONER / str(version)
    files = {name: onnx.load(folder / name) for name in (MODEL_FILE, ENCODER_FILE)}
    graphs = runnable(files, task.vocabulary)
    defaults = task.defaults
    settings = BeamSettings(
        width=defaults.beam_width,
        length_penalty=defaults.length_penalty,
        min_tokens=defaults.min_tokens,
        max_tokens=defaults.max_tokens,
    )
    pictures = [np.asarray(Image.open(io.BytesIO(data)).convert("RGB")) for data in photos]
    found = graphs.search(np.stack(pictures), beam_rules(settings, task.vocabulary))
    return [" ".join(words_of(one, task.vocabulary)) for one in found]


def ask(server: ServerProcess, photos: Sequence[bytes], version: int) -> list[str]:
    """The server's best captions, ``CLIENTS`` requests at a time."""
    url = f"http://{server.http_address}/v1/captions/captioner/versions/{version}"
    with httpx.Client(timeout=TIMEOUT_S) as client, ThreadPoolExecutor(CLIENTS) as pool:

        def caption(data: bytes) -> str:
            headers = {"content-type": "image/jpeg"}
            answer = client.post(url, content=data, headers=headers).raise_for_status().json()
            return str(answer["captions"][0]["text"])

        return list(pool.map(caption, photos))


@pytest.mark.data
@pytest.mark.parametrize(("version", "count"), [(1, SOME), (2, 1000)])
def test_the_test_split_is_captioned_as_by_the_training_code(
    server: ServerProcess,
    test_photos: tuple[list[bytes], list[list[tuple[str, ...]]]],
    version: int,
    count: int,
) -> None:
    photos, references = test_photos[0][:count], test_photos[1][:count]
    got = ask(server, photos, version)
    assert got == decode_with_training(version, photos)
    if count == len(test_photos[0]):
        record = json.loads((CAPTIONER / str(version) / "run.json").read_text())
        score = CiderD(references).score([tuple(text.split()) for text in got])
        assert score == pytest.approx(record["metrics"]["test"]["cider_d"], abs=OTHER_CPUS)
        assert bleu([tuple(text.split()) for text in got], references)[3] > 0.14


def drawn_photo() -> bytes:
    """Green below, blue above, something black between."""
    pixels = np.zeros((240, 320, 3), np.uint8)
    pixels[:120] = (120, 170, 230)
    pixels[120:] = (60, 140, 50)
    pixels[100:170, 120:220] = (15, 15, 15)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG")
    return stream.getvalue()


def post(server: ServerProcess, **body: Any) -> httpx.Response:
    photo = base64.b64encode(drawn_photo()).decode()
    return httpx.post(
        f"http://{server.http_address}/v1/captions/captioner",
        json={"image": photo, **body},
        timeout=TIMEOUT_S,
    )


def test_captions_come_best_first_with_their_words(server: ServerProcess) -> None:
    answer = post(server, captions=3).raise_for_status().json()
    assert len(answer["captions"]) == 3
    for caption in answer["captions"]:
        assert caption["text"].split() == [token["text"] for token in caption["tokens"]]
        assert "<" not in caption["text"]
    assert answer == post(server, captions=3).json()


def test_a_beginning_is_kept_and_attention_adds_up(server: ServerProcess) -> None:
    answer = post(server, beginning="Two dogs", attention=True).raise_for_status().json()
    [caption] = answer["captions"]
    assert caption["text"].startswith("two dogs ")
    for token in caption["tokens"]:
        attention = token["attention"]
        assert (attention["rows"], attention["columns"]) == (10, 10)
        assert sum(attention["values"]) == pytest.approx(1, abs=1e-4)


def test_a_seed_gives_the_same_captions_and_lengths_are_kept(server: ServerProcess) -> None:
    options = {"captions": 4, "temperature": 1.0, "seed": 5, "min_tokens": 6, "max_tokens": 9}
    answer = post(server, **options).raise_for_status().json()
    assert answer == post(server, **options).json()
    assert len({caption["text"] for caption in answer["captions"]}) > 1
    for caption in answer["captions"]:
        assert 6 <= len(caption["tokens"]) <= 9
