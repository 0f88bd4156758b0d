"""The graphs of a captioner, called without any server: one picture at a time."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from quartet import generation as g
from quartet.artifact import (
    ENCODER_FILE,
    METADATA_KEY,
    MODEL_FILE,
    ImageCaptioningTask,
    parse_task,
)
from quartet.beam_search import BeamRules, BeamSearcher
from serving.images import ImageLimits
from serving.tasks.picture_input import PictureInput
from serving.types import Datatype, TensorSpec

Arrays = dict[str, npt.NDArray[Any]]

_LIMITS = ImageLimits()


@dataclass(slots=True)
class Costs:
    """Where the time of captions went, seconds."""

    prepare_s: float = 0.0
    """From the file to the encoder's input."""
    encode_s: float = 0.0
    decode_s: float = 0.0
    """All steps, and the search."""


@dataclass(frozen=True, slots=True)
class CaptionGraphs:
    """Encoder and decoder of one version."""

    task: ImageCaptioningTask
    encoder: onnxruntime.InferenceSession
    decode: onnxruntime.InferenceSession
    pictures: PictureInput
    top: int
    """Candidates that the decoder offers at each step."""

    def caption(self, file: bytes, width: int, costs: Costs) -> str:
        """The caption that a search of ``width`` finds; 1 always takes the likeliest word."""
        began = time.perf_counter()
        pixels = self.prepare(file)
        prepared = time.perf_counter()
        state = self.encode(pixels)
        encoded = time.perf_counter()
        words = self.greedy(state) if width == 1 else self.search(state, width)
        costs.prepare_s += prepared - began
        costs.encode_s += encoded - prepared
        costs.decode_s += time.perf_counter() - encoded
        vocabulary, stop = self.task.vocabulary, self.task.stop
        return " ".join(vocabulary[i] for i in words if vocabulary[i] not in stop)

    def prepare(self, file: bytes) -> npt.NDArray[Any]:
        """The encoder's input [1, ...]."""
        return self.pictures.preprocess((file,), _LIMITS).data

    def encode(self, pixels: npt.NDArray[Any]) -> Arrays:
        """What a caption begins with: constants and states of one row."""
        names = [node.name for node in self.encoder.get_outputs()]
        outputs = self.encoder.run(names, {self.task.image.input: pixels})
        return self._complete(dict(zip(names, outputs, strict=True)))

    def _complete(self, state: Arrays) -> Arrays:
        """States that the encoder does not give begin at zero."""
        shapes = {node.name: node.shape[1:] for node in self.decode.get_inputs()}
        missing = [pair.input for pair in self.task.states if pair.input not in state]
        return state | {name: np.zeros((1, *shapes[name]), np.float32) for name in missing}

    def greedy(self, state: Arrays) -> list[int]:
        """The likeliest word at each step, K steps a run; the end included."""
        defaults, steps = self.task.defaults, self.task.steps
        words = [self.task.vocabulary.index(self.task.begin)]
        stop = {self.task.vocabulary.index(symbol) for symbol in self.task.stop}
        while len(words) <= defaults.max_tokens:
            least = max(0, defaults.min_tokens + 1 - len(words))
            outputs = self._run(np.array(words[-1:]), state, steps=steps, minimum=least)
            state = self._after(state, outputs)
            for word in outputs[g.TOKENS][0].tolist():
                words.append(word)
                if word in stop or len(words) > defaults.max_tokens:
                    return words[1:]
        return words[1:]

    def search(self, state: Arrays, width: int) -> list[int]:
        """The best caption that a beam search finds, a step a run; the end included."""
        task, index = self.task, self.task.vocabulary.index
        rules = BeamRules(
            width=width,
            n=1,
            max_tokens=task.defaults.max_tokens,
            min_tokens=task.defaults.min_tokens,
            length_penalty=task.defaults.length_penalty,
            symbols=task.vocabulary,
            stop_symbols=frozenset(map(index, task.stop)),
            until_full=True,
        )
        search = BeamSearcher(rules)
        top = min(self.top, width + len(task.stop) + len(task.hidden))
        token = np.array([index(task.begin)])
        while True:
            outputs = self._run(token, state, steps=1, alternatives=top)
            near = outputs[g.TOP_TOKENS][:, 0, :top]
            beams = search.choose(near, outputs[g.TOP_LOG_PROBABILITIES][:, 0, :top])
            if beams is None:
                return [int(i) for i in search.results()[0].tokens]
            after, parents = self._after(state, outputs), list(beams.parents)
            state = {name: array[parents] for name, array in after.items()}
            token = np.array(beams.tokens)

    def _run(
        self,
        token: npt.NDArray[np.int64],
        state: Arrays,
        *,
        steps: int,
        minimum: int = 0,
        alternatives: int = 0,
    ) -> Arrays:
        values: dict[str, tuple[float, type[np.generic]]] = {
            g.TEMPERATURE: (0.0, np.float32),
            g.TOP_K: (0, np.int64),
            g.TOP_P: (1.0, np.float32),
            g.REPETITION_PENALTY: (1.0, np.float32),
            g.PRESENCE_PENALTY: (0.0, np.float32),
            g.FREQUENCY_PENALTY: (0.0, np.float32),
            g.MINIMUM: (minimum, np.int64),
            g.ALTERNATIVES: (alternatives, np.int64),
        }
        rows, inputs = len(token), {node.name for node in self.decode.get_inputs()}
        feed = {n: np.full(rows, v, kind) for n, (v, kind) in values.items() if n in inputs}
        uniform = np.full((rows, steps), 0.5, np.float32)
        names = [g.TOKENS, *(pair.output for pair in self.task.states)]
        if alternatives:
            names += [g.TOP_TOKENS, g.TOP_LOG_PROBABILITIES]
        outputs = self.decode.run(names, {g.TOKEN: token, g.UNIFORM: uniform, **feed, **state})
        return dict(zip(names, outputs, strict=True))

    def _after(self, state: Arrays, outputs: Arrays) -> Arrays:
        """The states after a run, the constants as they were."""
        return state | {pair.input: outputs[pair.output] for pair in self.task.states}


def open_graphs(version: Path) -> CaptionGraphs:
    """The graphs in a version's folder, each run on one thread as the server does it.

    Raises:
        ValueError: it is no captioner.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    encoder, decode = (
        onnxruntime.InferenceSession(version / file, options, providers=["CPUExecutionProvider"])
        for file in (ENCODER_FILE, MODEL_FILE)
    )
    task = parse_task(decode.get_modelmeta().custom_metadata_map[METADATA_KEY])
    if not isinstance(task, ImageCaptioningTask):
        raise ValueError(f"{version} is a {task.task} model, expected image_captioning")
    shape = next(n.shape for n in encoder.get_inputs() if n.name == task.image.input)
    spec = TensorSpec(task.image.input, Datatype.UINT8, (-1, *shape[1:]))
    near = next(n.shape for n in decode.get_outputs() if n.name == g.TOP_TOKENS)
    return CaptionGraphs(task, encoder, decode, PictureInput(task.image, (spec,)), near[-1])


def newest_version(model: Path) -> Path:
    """The folder that a server serves by default. Raises ValueError if there is none."""
    folders = [f for f in model.iterdir() if f.name.isdecimal()]
    if not folders:
        raise ValueError(f"{model} has no version")
    return max(folders, key=lambda folder: int(folder.name))
