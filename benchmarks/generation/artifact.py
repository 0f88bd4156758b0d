"""The two graphs of a generator, called without any server."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from quartet import generation as g
from quartet.artifact import METADATA_KEY, MODEL_FILE, PREFILL_FILE, parse_task
from quartet.generation import TextGenerationTask

Arrays = dict[str, npt.NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class Graphs:
    """One version of a generator."""

    task: TextGenerationTask
    decode: onnxruntime.InferenceSession
    prefill: onnxruntime.InferenceSession

    def zero_states(self, rows: int) -> Arrays:
        """The beginning of every text."""
        shapes = {node.name: node.shape[1:] for node in self.decode.get_inputs()}
        return {
            pair.input: np.zeros((rows, *shapes[pair.input]), np.float32)
            for pair in self.task.states
        }

    def read(self, prompts: npt.NDArray[np.int64], states: Arrays) -> Arrays:
        """The states after ``prompts`` [rows, time]."""
        lengths = np.full(len(prompts), prompts.shape[1], np.int64)
        feed = {g.TOKENS: prompts, g.LENGTH: lengths, **states}
        return self._states(self.prefill.run(self._state_outputs(), feed))

    def step(
        self, token: npt.NDArray[np.int64], uniform: npt.NDArray[np.float32], states: Arrays
    ) -> tuple[npt.NDArray[np.int64], Arrays]:
        """The symbols of ``uniform.shape[1]`` steps [rows, steps], and the states after them."""
        feed = {g.TOKEN: token, g.UNIFORM: uniform, **self.controls(len(token)), **states}
        tokens, *after = self.decode.run([g.TOKENS, *self._state_outputs()], feed)
        return np.asarray(tokens, np.int64), self._states(after)

    def controls(self, rows: int) -> Arrays:
        """Plain drawing at temperature 1, for the inputs that the graph has."""
        plain: Mapping[str, tuple[float, type[np.generic]]] = {
            g.TEMPERATURE: (1.0, np.float32),
            g.TOP_K: (0, np.int64),
            g.TOP_P: (1.0, np.float32),
            g.REPETITION_PENALTY: (1.0, np.float32),
            g.PRESENCE_PENALTY: (0.0, np.float32),
            g.FREQUENCY_PENALTY: (0.0, np.float32),
            g.ALTERNATIVES: (0, np.int64),
        }
        names = {node.name for node in self.decode.get_inputs()}
        return {n: np.full(rows, v, dtype) for n, (v, dtype) in plain.items() if n in names}

    def _state_outputs(self) -> list[str]:
        return [pair.output for pair in self.task.states]

    def _states(self, arrays: list[npt.NDArray[np.generic]]) -> Arrays:
        return {pair.input: a for pair, a in zip(self.task.states, arrays, strict=True)}


def open_graphs(version: Path) -> Graphs:
    """The graphs in a version's folder, each run on one thread as the server does it.

    Raises:
        ValueError: it is no generator.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    providers = ["CPUExecutionProvider"]
    decode = onnxruntime.InferenceSession(version / MODEL_FILE, options, providers=providers)
    metadata = decode.get_modelmeta().custom_metadata_map
    task = parse_task(metadata[METADATA_KEY])
    if not isinstance(task, TextGenerationTask):
        raise ValueError(f"{version} is a {task.task} model, expected text_generation")
    prefill = onnxruntime.InferenceSession(version / PREFILL_FILE, options, providers=providers)
    return Graphs(task, decode, prefill)


def find_versions(model: Path) -> tuple[Path, Path]:
    """The float32 version of a model folder, and its default one (the highest).

    Raises:
        ValueError: there is no float32 version.
    """
    folders = sorted((f for f in model.iterdir() if f.name.isdecimal()), key=lambda f: int(f.name))
    plain = [f for f in folders if open_graphs(f).task.precision == "float32"]
    if not plain:
        raise ValueError(f"{model} has no float32 version among {[f.name for f in folders]}")
    return plain[-1], folders[-1]
