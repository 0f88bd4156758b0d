"""Hands a trained run of family ``caption`` to the exporter."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor

from quartet.artifact import (
    ENCODER_FILE,
    METADATA_KEY,
    MODEL_FILE,
    PREFILL_FILE,
    CaptionDefaults,
    ImageCaptioningTask,
    ImageSpec,
    dump_task,
)
from quartet.beam_search import Hypothesis
from training.caption import card
from training.caption.cider import CiderD
from training.caption.conversion import HIDDEN, rules_of, weights_of
from training.caption.decoding import BeamSettings, beam_rules, caption_pictures, words_of
from training.caption.encoder_graph import encoder_graph, grid_of
from training.caption.forms import (
    ENCODER_GOLDEN,
    ENCODER_GOLDEN_INT8,
    Files,
    Held,
    Material,
    prove,
    runnable,
)
from training.caption.graphs.build import build_graphs
from training.caption.graphs.network import IMAGE
from training.caption.proof import BATCH_SIZES
from training.caption.report import card_section
from training.caption.task import load_trained
from training.caption.timing import timed_search
from training.caption.torch_reference import TorchReference
from training.data.caption_text import BEGIN, END, tokenize
from training.data.captioned_images import CaptionedImages, CaptionedSplit, load_captioned_images
from training.evaluation.runner import stored_evaluation
from training.export import golden
from training.export.engine import onnx_predict, torch_predict
from training.export.format import check
from training.export.graph import to_onnx
from training.export.model_config import captioner_config_text
from training.export.parity import FLOAT32, Tolerance
from training.export.predict import Arrays
from training.export.quantize import after_convolutions, quantize_int8
from training.export.spec import CardFacts, ExportGraph, Metric, Variant
from training.export.timing import Comparison, compare_speed
from training.graphs.products import Precision
from training.graphs.proof import Pair
from training.graphs.stepping import graph_step
from training.graphs.weights import Floats
from training.runtime import one_thread
from training.vision.drawings import Pixels, draw_pictures

CIDER = Metric(name="cider_d", higher_is_better=True, max_drop=0.005, step="of CIDEr-D")
"""CIDEr-D of the search by default, over at most ``JUDGED`` pictures."""
JUDGED = 1000
BEAMS = 3
"""Width of the search by default."""
MAX_TOKENS = 40
"""Most words that one request may ask for."""
STEPS = 8
"""Of one run: most captions are drawn in two."""
_CALIBRATION = 256
"""Training pictures that set the ranges of the encoder's int8 form."""
_DRAWN = 48
"""Pictures drawn for golden files."""
_GRAIN = 64
"""Constants and states in them are multiples of 1/64, which makes the files a fraction as large."""
_INT8_GRAPHS = Tolerance(atol=1e-3, rtol=0.0)
"""int8 against its own graph unfused: the integers are the same, the float steps between nearly."""
_INT8_ENCODER = Tolerance(atol=ENCODER_GOLDEN_INT8.atol * golden.HEADROOM, rtol=0.0)
"""The same of the encoder, whose fused kernels round an activation now and then to the next."""
_TIMED_ROUNDS = 7


class CaptionRun:
    """One run directory of family ``caption``, with the data it is judged by.

    Args:
        run_dir: what ``quartet train caption`` wrote. The length penalty is that which its stored
            evaluation chose on the validation split, 1 if it has none.
        data_dir: folder of data sets; read when a split is first asked for.

    Raises:
        ConfigError: ``run_dir`` is no run of this family.
        CheckpointError: its weights are missing or damaged.
        DataError: (from the methods that read data) a file is missing or damaged.
    """

    metric = CIDER

    def __init__(self, run_dir: Path, data_dir: Path) -> None:
        self._config, self._captioner = load_trained(run_dir)
        self._model, self._data_dir = self._captioner.model, data_dir
        self._symbols = self._model.symbols
        self._settings = BeamSettings(
            width=BEAMS,
            length_penalty=stored_penalty(run_dir, BEAMS),
            max_tokens=self._config.data.max_words,
        )
        self._reference = TorchReference(self._model)

    @cached_property
    def _images(self) -> CaptionedImages:
        config = self._config
        return load_captioned_images(
            self._data_dir, config.dataset, config.data.side, verify=config.data.verify
        )

    @cached_property
    def _drawn(self) -> Pixels:
        return draw_pictures(_DRAWN, self._config.data.side)

    @cached_property
    def _encoder(self) -> ExportGraph:
        return encoder_graph(self._captioner, torch.from_numpy(self._drawn))

    @cached_property
    def _grid(self) -> tuple[int, int]:
        return grid_of(self._captioner, self._config.data.side)

    @one_thread()
    def float32(self) -> Variant:
        """All graphs, held to PyTorch. Raises ExportError."""
        held = Held(
            encoder=torch_predict(self._encoder),
            rows=Pair(self._reference.decode, self._reference.prefill),
            step=self._reference.step,
            search=self._torch_search,
            true_scores=True,
            source=golden.float32_source(),
            label="PyTorch, float32",
            tolerance=FLOAT32,
            encoder_tolerance=FLOAT32,
            encoder_golden=ENCODER_GOLDEN,
        )
        files = {**self._row_graphs("float32"), ENCODER_FILE: to_onnx(self._encoder)}
        return self._variant("float32", files, held)

    @one_thread()
    def int8(self, float32: Variant) -> Variant:
        """All graphs with integer products, held to what their operators mean.

        Raises ExportError if they stray from it.
        """
        encoder = quantize_int8(
            float32.graphs[ENCODER_FILE], self._calibration(), after_convolutions
        )
        files = {**self._row_graphs("int8"), ENCODER_FILE: encoder}
        plain = runnable(files, self._symbols, optimize=False)
        prefill = onnx_predict(files[PREFILL_FILE], optimize=False)
        held = Held(
            encoder=plain.encoder,
            rows=Pair(plain.decode, prefill).without_ranking(),
            step=graph_step(prefill),
            search=lambda images: plain.search(images, beam_rules(self._settings, self._symbols)),
            true_scores=False,
            source=golden.int8_source(),
            label="the same files, unfused",
            tolerance=_INT8_GRAPHS,
            encoder_tolerance=_INT8_ENCODER,
            encoder_golden=ENCODER_GOLDEN_INT8,
        )
        return self._variant("int8", files, held)

    def speed(self, float32: Variant, int8: Variant) -> tuple[Comparison, ...]:
        """Whole searches, encoder included."""
        before, after = (
            timed_search(runnable(variant.graphs, self._symbols), len(self._symbols))
            for variant in (float32, int8)
        )
        return compare_speed(before, after, {IMAGE: self._drawn}, rounds=_TIMED_ROUNDS)

    def test_figure(self, variant: Variant) -> float:
        """CIDEr-D on the test split."""
        return self._score(variant.graphs, self._images.test)

    def labels(self) -> tuple[str, ...]:
        """None."""
        return ()

    def config_text(self, name: str, variant: Variant) -> str:
        """Batches of pictures."""
        return captioner_config_text(name)

    def card_section(self, figures: Mapping[str, Any]) -> str:
        """Scores beside floors and people, diversity, nouns."""
        return card_section(dict(figures))

    def card(self) -> CardFacts:
        """Facts for the model card."""
        return card.facts(self._config, self._captioner)

    def _variant(self, precision: Precision, files: Files, held: Held) -> Variant:
        """Prove and judge one form."""
        material = Material(
            images=self._drawn,
            start=self._start(),
            symbols=self._symbols,
            settings=self._settings,
        )
        proof = prove(files, held, material)
        return Variant(
            precision=precision,
            graphs=files,
            goldens=proof.goldens,
            captions=proof.captions,
            parity=proof.parity,
            validation=self._score(files, self._images.validation),
        )

    def _row_graphs(self, precision: Precision) -> dict[str, onnx.ModelProto]:
        """Decode, with the declaration, and prefill."""
        places = self._grid[0] * self._grid[1]
        graphs = build_graphs(weights_of(self._model, places), rules_of(self._symbols), precision)
        side, settings = self._config.data.side, self._settings
        task = ImageCaptioningTask(
            vocabulary=self._symbols,
            states=graphs.states,
            constants=graphs.constants,
            begin=BEGIN,
            stop=(END,),
            hidden=HIDDEN,
            image=ImageSpec(input=IMAGE, layout="HWC", height=side, width=side, mode="RGB"),
            grid=self._grid if graphs.constants else None,
            defaults=CaptionDefaults(
                beam_width=settings.width,
                length_penalty=settings.length_penalty,
                min_tokens=settings.min_tokens,
                max_tokens=settings.max_tokens,
            ),
            max_tokens=max(MAX_TOKENS, settings.max_tokens),
            steps=STEPS,
            precision=precision,
        )
        onnx.helper.set_model_props(graphs.decode, {METADATA_KEY: dump_task(task)})
        check(graphs.decode)
        check(graphs.prefill)
        return {MODEL_FILE: graphs.decode, PREFILL_FILE: graphs.prefill}

    def _start(self) -> dict[str, Floats]:
        """What captions of drawn pictures begin with, in coarse steps."""
        picture = torch_predict(self._encoder)({IMAGE: self._drawn[: BATCH_SIZES[-1]]})
        start = self._reference.start(picture)
        return {
            name: np.asarray(np.round(values * _GRAIN) / _GRAIN, np.float32)
            for name, values in start.items()
        }

    def _calibration(self) -> Iterator[Arrays]:
        """Training pictures drawn with a fixed seed, by up to 16."""
        images = self._images.train.images
        count = min(_CALIBRATION, len(images))
        rows = np.random.default_rng(0).choice(len(images), count, replace=False)
        for start in range(0, count, 16):
            yield {IMAGE: as_stored(images[rows[start : start + 16]])}

    def _torch_search(self, images: Pixels) -> list[Hypothesis]:
        pictures = torch.from_numpy(images).permute(0, 3, 1, 2)
        found = caption_pictures(self._captioner, pictures, self._settings)
        return [best[0] for best in found]

    def _score(self, files: Files, split: CaptionedSplit) -> float:
        """CIDEr-D by ONNX Runtime."""
        references = [[tokenize(text) for text in texts] for texts in split.captions[:JUDGED]]
        found = runnable(files, self._symbols).search(
            as_stored(split.images[:JUDGED]), beam_rules(self._settings, self._symbols)
        )
        captions = [words_of(one, self._symbols) for one in found]
        return float(CiderD(references).score(captions))


def open_run(run_dir: Path, data_dir: Path) -> CaptionRun:
    """The family's entry for ``training.trained``."""
    return CaptionRun(run_dir, data_dir)


def stored_penalty(run_dir: Path, width: int) -> float:
    """The length penalty that the stored evaluation chose for ``width``; 1 if there is none."""
    for figures in stored_evaluation(run_dir)["splits"].values():
        if str(width) in figures["widths"]:
            return float(figures["widths"][str(width)]["length_penalty"])
    return 1.0


def as_stored(images: Tensor) -> Pixels:
    """Pictures [N, 3, S, S] as the encoder graph takes them, [N, S, S, 3]."""
    return np.ascontiguousarray(images.permute(0, 2, 3, 1).numpy())
