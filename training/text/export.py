"""Hands a trained run of family ``text`` to the exporter."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from torch import Tensor

from quartet.artifact import METADATA_KEY, MODEL_FILE, PREFILL_FILE, dump_task
from quartet.generation import ALTERNATIVES, TEMPERATURE, GenerationDefaults, TextGenerationTask
from training.export import golden
from training.export.engine import onnx_predict
from training.export.errors import ExportError
from training.export.format import check
from training.export.model_config import generator_config_text
from training.export.parity import FLOAT32, Tolerance
from training.export.spec import CardFacts, Metric, Variant
from training.export.timing import Comparison, compare_speed
from training.graphs.build import GeneratorGraphs
from training.graphs.goldens import ROWS, draw_inputs
from training.graphs.products import Precision
from training.graphs.proof import BATCH_SIZES, Pair, check_graphs, make_goldens
from training.graphs.reference import neutral_controls
from training.graphs.stepping import graph_step
from training.runtime import one_thread
from training.text import card
from training.text.conversion import weights_of
from training.text.data import UNKNOWN
from training.text.evaluation import TextEvaluation, card_section
from training.text.graph_loss import stream_loss
from training.text.graphs.build import build_graphs
from training.text.samples import begin_symbol
from training.text.streams import cut_streams
from training.text.torch_reference import TorchReference

LOSS = Metric(name="loss", higher_is_better=False, max_drop=0.001, unit=" nats")
"""Mean -ln p of a character."""
DEFAULTS = GenerationDefaults(temperature=0.8)
"""Fewer slips than the model's own distribution, and still no two texts alike."""
STEPS = 16
"""Of one run: a piece of text comes often enough to read along."""
_INT8_TOLERANCE = Tolerance(atol=1e-3, rtol=0.0)
"""int8 against its own graph unfused: the integers are the same, the float steps between nearly."""
_TIMED_ROUNDS = 21


class TextRun:
    """One run directory of family ``text``, with the text it is judged by.

    Args:
        run_dir: what ``quartet train text`` wrote.
        data_dir: folder of data sets; read when a split is first asked for.

    Raises:
        ConfigError: ``run_dir`` is no run of this family.
        CheckpointError: its weights are missing or damaged.
        DataError: (from the methods that read data) the text is missing, or not the one that the
            run was trained on.
    """

    metric = LOSS

    def __init__(self, run_dir: Path, data_dir: Path) -> None:
        self._run = TextEvaluation(run_dir, data_dir)
        self._model = self._run.model
        self._symbols = self._model.symbols
        self._reference = TorchReference(self._model)

    @one_thread()
    def float32(self) -> Variant:
        """Both graphs, held to PyTorch. Raises ExportError."""
        reference = Pair(self._reference.decode, self._reference.prefill)
        return self._variant("float32", reference, FLOAT32, "PyTorch, float32")

    @one_thread()
    def int8(self, float32: Variant) -> Variant:
        """Both graphs with integer products, held to what their operators mean.

        Raises ExportError if they stray from it, or if the model is no recurrent one.
        """
        return self._variant("int8", None, _INT8_TOLERANCE, "the same files, unfused")

    def speed(self, float32: Variant, int8: Variant) -> tuple[Comparison, ...]:
        """Runs of ``STEPS`` steps under the declared defaults."""
        before, after = onnx_predict(float32.model), onnx_predict(int8.model)
        inputs = draw_inputs(
            self._reference.step, self._reference.zeros(ROWS), len(self._symbols)
        ).decode
        plain = neutral_controls(ROWS)
        plain[TEMPERATURE] = np.full(ROWS, DEFAULTS.temperature, np.float32)
        plain[ALTERNATIVES] = np.zeros(ROWS, np.int64)
        return compare_speed(before, after, {**inputs, **plain}, rounds=_TIMED_ROUNDS)

    def test_figure(self, variant: Variant) -> float:
        """Loss on the test split."""
        return self._loss(variant.graphs[PREFILL_FILE], self._run.corpus.test)

    def labels(self) -> tuple[str, ...]:
        """None."""
        return ()

    def config_text(self, name: str, variant: Variant) -> str:
        """Decoupled: a request has many responses."""
        return generator_config_text(name)

    def card_section(self, figures: Mapping[str, Any]) -> str:
        """Losses beside the n-gram model's, and what is copied."""
        return card_section(dict(figures))

    @one_thread()
    def card(self) -> CardFacts:
        """Facts for the model card, with samples."""
        return card.facts(self._run.config, self._model)

    def _variant(
        self, precision: Precision, reference: Pair | None, tolerance: Tolerance, label: str
    ) -> Variant:
        """Build, prove and judge; without ``reference`` the graphs are held to themselves."""
        graphs = self._build(precision)
        candidate = _pair(graphs, optimize=True).without_ranking()
        if reference is None:
            reference = _pair(graphs, optimize=False).without_ranking()
            source, step = golden.int8_source(), graph_step(reference.prefill)
        else:
            source, step = golden.float32_source(), self._reference.step
        symbols, zeros = len(self._symbols), self._reference.zeros
        # Only PyTorch gives the scores themselves, which the repetition penalty depends on.
        true_scores = precision == "float32"
        proved = draw_inputs(step, zeros(BATCH_SIZES[-1]), symbols, repetition=true_scores)
        stored = draw_inputs(step, zeros(ROWS), symbols, repetition=true_scores)
        files = {MODEL_FILE: graphs.decode, PREFILL_FILE: graphs.prefill}
        return Variant(
            precision=precision,
            graphs=files,
            goldens=make_goldens(candidate, reference, stored, source),
            parity=check_graphs(candidate, reference, proved, tolerance, label),
            validation=self._loss(graphs.prefill, self._run.corpus.validation),
        )

    def _build(self, precision: Precision) -> GeneratorGraphs:
        try:
            graphs = build_graphs(weights_of(self._model), precision)
        except ValueError as error:
            raise ExportError(str(error)) from error
        task = TextGenerationTask(
            vocabulary=self._symbols,
            states=graphs.states,
            begin=begin_symbol(self._symbols),
            unknown=chr(UNKNOWN) if chr(UNKNOWN) in self._symbols else None,
            defaults=DEFAULTS,
            steps=STEPS,
            precision=precision,
        )
        onnx.helper.set_model_props(graphs.decode, {METADATA_KEY: dump_task(task)})
        check(graphs.decode)
        check(graphs.prefill)
        return graphs

    def _loss(self, prefill: onnx.ModelProto, ids: Tensor) -> float:
        """As ``training.text.streams.stream_loss``, by ONNX Runtime."""
        inputs, targets = cut_streams(ids, self._run.config.data.validation_streams)
        zeros = self._reference.zeros(len(inputs))
        streams = (inputs.numpy(), targets.numpy())
        return stream_loss(onnx_predict(prefill), zeros, streams) / (len(ids) - 1)


def open_run(run_dir: Path, data_dir: Path) -> TextRun:
    """The family's entry for ``training.trained``."""
    return TextRun(run_dir, data_dir)


def _pair(graphs: GeneratorGraphs, *, optimize: bool) -> Pair:
    return Pair(
        onnx_predict(graphs.decode, optimize=optimize),
        onnx_predict(graphs.prefill, optimize=optimize),
    )
