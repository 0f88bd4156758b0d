"""What to send to each model: requests that are like those of its users.

- Tensors: rows of ``golden.npz`` where the version folder has one. Else made from the metadata:
  numbers uniform in [0, 1), integers and booleans 0, texts "quartet"; a free axis other than the
  batch's is ``FREE_AXIS`` long.
- Captions: pictures of ``captions.golden.npz``, else a made one, as JPEGs of ``PICTURE_SIDE``.
- Text: ``TEXT_SYMBOLS`` symbols after a short prompt, each request with a seed of its own.
- Pictures: one PNG each, of a seed of its own.

Everything is drawn with fixed seeds: the same repository gets the same requests.
"""

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import numpy as np
import numpy.typing as npt
from PIL import Image

from quartet.artifact import (
    CAPTION_GOLDEN_FILE,
    GOLDEN_FILE,
    ArtifactError,
    load_caption_golden,
    load_golden,
)
from quartet.kit.connection import Address, fetch, request_bytes
from quartet.kit.errors import KitError
from quartet.kit.measurements import Kind
from quartet.kit.tensors import from_metadata, infer_body

REQUESTS = 64
"""Different requests of a model; a load goes through them in turn."""
SEQUENCES = 2048
"""Requests of a stateful model, each a sequence of one step, so that none waits for another."""
PICTURE_SIDE = 640
"""Longest side of a picture to be captioned, as photos from the web have it, pixels."""
TEXT_SYMBOLS = 100
PROMPT = "The first thing that he said was "

Arrays = Mapping[str, npt.NDArray[np.generic]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How to load one model."""

    name: str
    version: str
    kind: Kind
    sample: str
    """What is sent, in words."""
    requests: tuple[bytes, ...]
    rows_per_request: int
    instances: int
    """Runs at once."""
    max_batch_rows: int
    """0: the model does not batch."""


@dataclass(frozen=True, slots=True)
class _Model:
    """What the server says of a model, and where its files are."""

    address: Address
    name: str
    version: str
    metadata: Mapping[str, Any]
    config: Mapping[str, Any]
    folder: Path
    """Of its version; need not exist."""

    @property
    def max_batch_rows(self) -> int:
        return int(self.config.get("max_batch_size", 0))

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
        return request_bytes(self.address, "POST", path, body, headers)


async def plan_model(
    address: Address, name: str, version: str, repository: Path, rows: int
) -> Plan:
    """Find out what the model ``name`` is and make requests for it.

    Args:
        address: of the server.
        name: of the model.
        version: of it; empty for the one that is served by default.
        repository: where its golden samples are looked for.
        rows: rows of one request, for models of tensors that batch.

    Raises:
        KitError: the server does not serve it, or its golden file is damaged.
    """
    path = f"/v2/models/{quote(name)}" + (f"/versions/{quote(version)}" if version else "")
    metadata = await _get(address, path)
    served = version or max(metadata["versions"], key=int)
    config = await _get(address, f"{path}/config")
    model = _Model(address, name, served, metadata, config, repository / name / served)
    generators = {m["model_name"]: m for m in (await _get(address, "/v1/images"))["models"]}
    if name in generators:
        return _pictures(model, generators[name])
    if _has(metadata["inputs"], "text_input") and _has(metadata["outputs"], "text_output"):
        return _text(model)
    if _has(metadata["outputs"], "caption") and _has(metadata["inputs"], "image"):
        return _captions(model)
    return _tensors(model, rows)


async def _get(address: Address, path: str) -> Any:
    answer = await fetch(address, path)
    if answer.status != 200:
        raise KitError(f"GET {address.url(path)}: {answer.error}")
    return answer.json()


def _has(tensors: list[Mapping[str, Any]], name: str) -> bool:
    """Whether a tensor of texts is called so, as those of tasks are."""
    return any(t["name"] == name and t["datatype"] == "BYTES" for t in tensors)


def _plan(model: _Model, kind: Kind, sample: str, requests: tuple[bytes, ...], rows: int) -> Plan:
    return Plan(
        name=model.name,
        version=model.version,
        kind=kind,
        sample=sample,
        requests=requests,
        rows_per_request=rows,
        instances=int(model.metadata.get("properties", {}).get("instances", 1)),
        max_batch_rows=model.max_batch_rows,
    )


def _tensors(model: _Model, rows: int) -> Plan:
    rows = min(rows, model.max_batch_rows) or 1
    file = model.folder / GOLDEN_FILE
    if file.is_file():
        samples = list(_golden_rows(file, rows, batches=model.max_batch_rows > 0))
        sample = f"{rows} row(s) of {GOLDEN_FILE}"
    else:
        batch = (rows,) if model.max_batch_rows else ()
        samples = [from_metadata(model.metadata["inputs"], batch, seed) for seed in range(REQUESTS)]
        sample = f"{rows} row(s) made from the metadata"
    path = f"/v2/models/{quote(model.name)}/versions/{model.version}/infer"
    stateful = "sequence_batching" in model.config
    requests = []
    for number in range(SEQUENCES if stateful else len(samples)):
        life = {"sequence_id": number + 1, "sequence_start": True, "sequence_end": True}
        body, length = infer_body(samples[number % len(samples)], life if stateful else {})
        requests.append(model.post(path, body, {"inference-header-content-length": str(length)}))
    sample += ", sequences of one step" if stateful else ""
    return _plan(model, "tensors", sample, tuple(requests), rows)


def _golden_rows(file: Path, rows: int, *, batches: bool) -> Iterator[Arrays]:
    try:
        inputs = load_golden(file).inputs
    except ArtifactError as error:
        raise KitError(str(error)) from error
    if not batches:
        yield inputs
        return
    count = len(next(iter(inputs.values())))
    for start in range(min(count, REQUESTS)):
        places = (start + np.arange(rows)) % count
        yield {name: array[places] for name, array in inputs.items()}


def _captions(model: _Model) -> Plan:
    file = model.folder / CAPTION_GOLDEN_FILE
    if file.is_file():
        try:
            pictures = [_image(array) for array in load_caption_golden(file).images]
        except ArtifactError as error:
            raise KitError(str(error)) from error
        source = f"pictures of {CAPTION_GOLDEN_FILE}"
    else:
        pictures = [Image.fromarray(_made_picture(seed)) for seed in range(4)]
        source = "made pictures"
    path = f"/v1/captions/{quote(model.name)}/versions/{model.version}"
    requests = tuple(
        model.post(path, _jpeg(picture), {"content-type": "image/jpeg"}) for picture in pictures
    )
    return _plan(model, "captions", f"a JPEG of {PICTURE_SIDE} pixels, {source}", requests, 1)


def _image(array: npt.NDArray[np.uint8]) -> Image.Image:
    """A picture of layout HW, HWC or CHW."""
    if array.ndim == 3 and array.shape[0] in (1, 3) and array.shape[2] not in (1, 3):
        array = array.transpose(1, 2, 0)
    return Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array)


def _made_picture(seed: int) -> npt.NDArray[np.uint8]:
    """Soft patches of colour [480, 640, 3], which compress about as photos do."""
    patches = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(patches).resize((640, 480), Image.Resampling.BICUBIC))


def _jpeg(picture: Image.Image) -> bytes:
    scale = PICTURE_SIDE / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    stream = io.BytesIO()
    picture.convert("RGB").resize(size).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def _text(model: _Model) -> Plan:
    requests = []
    for seed in range(REQUESTS):
        document = {
            "model": f"{model.name}:{model.version}",
            "prompt": PROMPT,
            "max_tokens": TEXT_SYMBOLS,
            "seed": seed,
        }
        body = json.dumps(document).encode()
        requests.append(model.post("/v1/completions", body, {"content-type": "application/json"}))
    sample = f"one text of {TEXT_SYMBOLS} symbols after a prompt of {len(PROMPT)} characters"
    return _plan(model, "text", sample, tuple(requests), 1)


def _pictures(model: _Model, generator: Mapping[str, Any]) -> Plan:
    path = f"/v1/images/{quote(model.name)}/versions/{model.version}"
    wishes: list[dict[str, str]] = [{}]
    if generator.get("condition") == "class":
        wishes = [{"class": name} for name in generator["classes"]]
    elif generator.get("condition") == "prompt":
        wishes = [{"prompt": text} for text in generator["example_prompts"]] or wishes
    requests = []
    for seed in range(REQUESTS):
        query = urlencode({"seed": seed, **wishes[seed % len(wishes)]})
        requests.append(
            request_bytes(model.address, "GET", f"{path}?{query}", headers={"accept": "image/png"})
        )
    return _plan(model, "pictures", "one picture, as PNG", tuple(requests), 1)
