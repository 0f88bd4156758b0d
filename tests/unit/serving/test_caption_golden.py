"""Golden captions at load: what passes and what is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from quartet.artifact import (
    ENCODER_FILE,
    METADATA_KEY,
    CaptionGolden,
    ImageCaptioningTask,
    parse_task,
    save_caption_golden,
)
from quartet.beam_search import BeamRules
from quartet.config import ConfigError
from serving.caption_golden import check_caption_file
from serving.decoder import OnnxDecoder
from serving.generator_check import check_generator
from serving.providers import Device
from serving.session import OnnxSession, SessionOptions
from serving.state_table import HostStateTable
from tests.caption_models import VOCABULARY, make_caption_model, photo_pixels
from tests.text_models import predict_with
from training.caption.graph_search import CaptionGraphs

RULES = BeamRules(
    width=3,
    n=1,
    max_tokens=9,
    min_tokens=1,
    length_penalty=0.7,
    symbols=VOCABULARY,
    stop_symbols=frozenset((1,)),
    until_full=True,
)


class Loaded:
    """A captioner, its sessions and golden captions found by the exporter's search."""

    def __init__(self, folder: Path, *, attention: bool, slots: int = 6) -> None:
        version = make_caption_model(folder / "model", attention=attention, goldens=False)
        self.file = folder / "captions.golden.npz"
        decode, prefill, self.encoder = (
            OnnxSession(version / file, Device("cpu", "a test"), SessionOptions())
            for file in ("model.onnx", "prefill.onnx", ENCODER_FILE)
        )
        task = parse_task(decode.metadata[METADATA_KEY])
        assert isinstance(task, ImageCaptioningTask)
        layout = check_generator(task, decode, prefill)
        self.task = task
        self.decoder = OnnxDecoder(decode, prefill, layout, HostStateTable(layout.row_specs, slots))
        self.golden = self._find(version)

    def _find(self, version: Path) -> CaptionGolden:
        images = np.stack([photo_pixels(seed) for seed in range(4)])
        graphs = CaptionGraphs(
            encoder=predict_with(onnx.load(version / ENCODER_FILE)),
            decode=predict_with(onnx.load(version / "model.onnx")),
            begin=0,
        )
        found = graphs.search(images, RULES)
        return CaptionGolden(
            images=images,
            tokens=tuple(one.tokens for one in found),
            log_probabilities=tuple(one.log_probabilities for one in found),
            beam_width=RULES.width,
            length_penalty=RULES.length_penalty,
            min_tokens=RULES.min_tokens,
            max_tokens=RULES.max_tokens,
            atol=1e-4,  # the same runtime: only sums of float32 differ
            source="onnxruntime",
        )

    def check(self, golden: CaptionGolden) -> str:
        save_caption_golden(self.file, golden)
        names = [spec.name for spec in self.encoder.outputs]
        return check_caption_file(self.task, self.encoder, names, self.decoder, self.file)


@pytest.fixture(params=[True, False], ids=["attention", "plain"])
def loaded(request: pytest.FixtureRequest, tmp_path: Path) -> Loaded:
    return Loaded(tmp_path, attention=request.param)


def test_captions_that_the_exporter_found_pass(loaded: Loaded) -> None:
    assert len({tokens.tobytes() for tokens in loaded.golden.tokens}) > 1
    assert loaded.check(loaded.golden).startswith("4 found, largest difference ")


def test_another_caption_is_refused_with_its_words(loaded: Loaded) -> None:
    first, *others = loaded.golden.tokens
    changed = first.copy()
    changed[0] = 3 if first[0] != 3 else 4
    word = loaded.task.vocabulary[changed[0]]
    with pytest.raises(ConfigError, match=f"caption 0 is '.*', expected '{word}"):
        loaded.check(replace(loaded.golden, tokens=(changed, *others)))


def test_other_log_probabilities_are_refused(loaded: Loaded) -> None:
    shifted = tuple(values + np.float32(1e-3) for values in loaded.golden.log_probabilities)
    with pytest.raises(ConfigError, match=r"caption 0 differ by up to 0\.001, allowed are 0\.0001"):
        loaded.check(replace(loaded.golden, log_probabilities=shifted))


def test_pictures_that_the_encoder_does_not_take_are_refused(loaded: Loaded) -> None:
    larger = np.zeros((4, 9, 9, 3), np.uint8)
    with pytest.raises(ConfigError):
        loaded.check(replace(loaded.golden, images=larger))


def test_a_damaged_file_is_refused(loaded: Loaded) -> None:
    loaded.check(loaded.golden)
    loaded.file.write_bytes(loaded.file.read_bytes()[:200])
    names = [spec.name for spec in loaded.encoder.outputs]
    with pytest.raises(ConfigError, match="not a golden file of captions"):
        check_caption_file(loaded.task, loaded.encoder, names, loaded.decoder, loaded.file)


def test_no_file_is_no_error(loaded: Loaded) -> None:
    missing = loaded.file.with_name("missing.npz")
    assert check_caption_file(loaded.task, loaded.encoder, [], loaded.decoder, missing) == (
        "no golden file"
    )


def test_a_table_of_fewer_slots_than_beams_is_no_error(tmp_path: Path) -> None:
    small = Loaded(tmp_path, attention=True, slots=2)
    assert small.check(small.golden) == "not tried: 3 beams, but 2 slots"
