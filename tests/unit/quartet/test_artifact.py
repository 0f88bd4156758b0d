"""Round trips of the contract's files, and what their damage is called."""

import io
import zipfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from quartet.artifact import (
    ArtifactError,
    CaptionGolden,
    ClassificationTask,
    Golden,
    ImageSpec,
    dump_task,
    load_caption_golden,
    load_golden,
    parse_task,
    save_caption_golden,
    save_golden,
)

TASK = ClassificationTask(
    image=ImageSpec(input="x", height=28, width=28, fit="digit", scale=1 / 255),
    activation="softmax",
    labels=("null", "eins", "zwei"),
)


def make_golden() -> Golden:
    return Golden(
        inputs={"x": np.arange(6, dtype=np.float32).reshape(3, 2)},
        outputs={"y": np.arange(3, dtype=np.int64)},
        atol=1e-3,
        rtol=1e-2,
        source="a test",
    )


@pytest.fixture(scope="module")
def golden_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    file = tmp_path_factory.mktemp("golden") / "golden.npz"
    save_golden(file, make_golden())
    return file.read_bytes()


def test_parse_task_returns_what_dump_task_wrote() -> None:
    assert parse_task(dump_task(TASK)) == TASK


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[]", r"'image_generation' or 'text_generation', got \[\]"),
        ("{}", "task must be 'image_classification' or 'image_captioning' or .*, got None"),
        ('{"task": "regression"}', "got 'regression'"),
        ('{"task": "image_classification"}', "image: Field required"),
        (
            '{"task": "image_classification", "image": {"height": 0, "width": 1}}',
            "image.height: .*greater than or equal to 1",
        ),
        (
            '{"task": "image_classification", "image": {"height": 1, "width": 1, "w": 1}}',
            "image.w: unknown key",
        ),
    ],
)
def test_parse_task_names_the_key_when_the_declaration_is_wrong(text: str, message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        parse_task(text)


ARRAYS = hnp.arrays(
    dtype=st.sampled_from([np.float32, np.float64, np.int64, np.uint8, np.bool_]),
    shape=hnp.array_shapes(max_dims=3, max_side=4),
)


@given(
    inputs=st.dictionaries(st.text("aé/:. -", min_size=1), ARRAYS, min_size=1),
    outputs=st.dictionaries(st.sampled_from(["y", "z/1", "a:b"]), ARRAYS, min_size=1),
)
@settings(max_examples=40, deadline=None)
def test_load_golden_returns_what_save_golden_wrote(
    tmp_path_factory: pytest.TempPathFactory, inputs: dict[str, Any], outputs: dict[str, Any]
) -> None:
    file = tmp_path_factory.mktemp("golden") / "golden.npz"
    save_golden(file, Golden(inputs=inputs, outputs=outputs, source="a test"))
    loaded = load_golden(file)
    for name, arrays in (("inputs", inputs), ("outputs", outputs)):
        stored = getattr(loaded, name)
        assert stored.keys() == arrays.keys()
        for key, array in arrays.items():
            assert stored[key].dtype == array.dtype
            np.testing.assert_array_equal(stored[key], array)


def test_load_golden_keeps_tolerances_and_source(tmp_path: Path, golden_bytes: bytes) -> None:
    file = tmp_path / "golden.npz"
    file.write_bytes(golden_bytes)
    loaded = load_golden(file)
    assert (loaded.atol, loaded.rtol, loaded.source) == (1e-3, 1e-2, "a test")


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_load_golden_raises_nothing_else_when_bytes_are_damaged(
    data: st.DataObject, golden_bytes: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.getbasetemp() / "damaged.npz"
    damaged = bytearray(golden_bytes[: data.draw(st.integers(0, len(golden_bytes)))])
    for _ in range(data.draw(st.integers(0, 3))):
        if damaged:
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    file.write_bytes(damaged)
    with suppress(ArtifactError):
        load_golden(file)


def _without(name: str) -> bytes:
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {
        "input:x": np.zeros(1),
        "output:y": np.zeros(1),
        "atol": np.float64(1),
        "rtol": np.float64(1),
        "source": np.asarray(""),
    }
    del arrays[name]
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def _plain_array() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    return buffer.getvalue()


def _pickled() -> bytes:
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {"input:x": np.array([{}], object)}
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def _not_an_array() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("input:x.npy", b"not an array")
    return buffer.getvalue()


def _vector_as_tolerance() -> bytes:
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {"input:x": np.zeros(1), "output:y": np.zeros(1), "atol": np.zeros(2)}
    np.savez(buffer, **arrays)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text",
        b"PK\x03\x04cut short",
        _plain_array(),
        _pickled(),
        _not_an_array(),
        _vector_as_tolerance(),
        *(_without(name) for name in ("input:x", "output:y", "atol", "rtol", "source")),
    ],
)
def test_load_golden_names_the_file_when_it_is_no_golden_file(
    tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "golden.npz"
    file.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"golden\.npz is not a golden file"):
        load_golden(file)


def test_load_golden_names_the_file_when_it_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"gone\.npz is not a golden file"):
        load_golden(tmp_path / "gone.npz")


def make_caption_golden() -> CaptionGolden:
    return CaptionGolden(
        images=np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3),
        tokens=(np.array([5, 6, 1], np.int64), np.array([4], np.int64)),
        log_probabilities=(np.array([-1, -2, -0.5], np.float32), np.array([-3], np.float32)),
        beam_width=3,
        length_penalty=0.75,
        min_tokens=1,
        max_tokens=24,
        atol=0.02,
        source="torch 2",
    )


def test_caption_golden_comes_back_as_it_was(tmp_path: Path) -> None:
    golden, file = make_caption_golden(), tmp_path / "captions.golden.npz"
    save_caption_golden(file, golden)
    found = load_caption_golden(file)
    np.testing.assert_array_equal(found.images, golden.images)
    for name in ("tokens", "log_probabilities"):
        pairs = zip(getattr(found, name), getattr(golden, name), strict=True)
        for got, wanted in pairs:
            assert got.dtype == wanted.dtype
            np.testing.assert_array_equal(got, wanted)
    for name in ("beam_width", "length_penalty", "min_tokens", "max_tokens", "atol", "source"):
        assert getattr(found, name) == getattr(golden, name)


@pytest.mark.parametrize("change", ["tokens", "images"])
def test_caption_golden_whose_parts_do_not_fit_is_refused(tmp_path: Path, change: str) -> None:
    golden, file = make_caption_golden(), tmp_path / "captions.golden.npz"
    save_caption_golden(file, replace(golden, **{change: getattr(golden, change)[:1]}))
    with np.load(file) as stored:
        arrays = dict(stored)
    arrays["lengths"] = np.array([3, 1])
    np.savez(file, **arrays)
    with pytest.raises(ArtifactError, match="captions of \\[3, 1\\] symbols"):
        load_caption_golden(file)


def test_another_golden_file_is_no_golden_file_of_captions(tmp_path: Path) -> None:
    file = tmp_path / "captions.golden.npz"
    np.savez(file, images=np.zeros((1, 2), np.uint8))
    with pytest.raises(
        ArtifactError, match=r"captions\.golden\.npz is not a golden file of captions"
    ):
        load_caption_golden(file)
