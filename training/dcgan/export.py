"""Hands a trained run of family ``dcgan`` to the exporter."""

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from quartet.artifact import (
    CRITIC_FILE,
    CRITIC_GOLDEN_FILE,
    GOLDEN_FILE,
    METADATA_KEY,
    MODEL_FILE,
    dump_task,
)
from quartet.image_generation import ImageGenerationTask
from training.dcgan import card
from training.dcgan.declaration import (
    IMAGE,
    LATENT,
    PROBABILITY,
    declare,
    declared_direction,
    read_directions,
)
from training.dcgan.proof import PictureReport, Proved, prove_critic, prove_generator
from training.dcgan.samples import noise
from training.dcgan.served import (
    PictureCritic,
    PictureGenerator,
    served_critic,
    served_generator,
)
from training.dcgan.trained_networks import TrainedDcgan, load_trained
from training.evaluation.runner import stored_evaluation
from training.export.engine import onnx_predict
from training.export.errors import ExportError
from training.export.model_config import config_text
from training.export.predict import Arrays
from training.export.spec import CardFacts, ExportGraph, Metric, Variant
from training.export.timing import BatchTime, time_batches
from training.rundir import RunDirectory
from training.runtime import one_thread

KERNEL_DISTANCE = Metric(name="kernel_distance", higher_is_better=False, max_drop=0.0, decimals=4)
"""Of the samples to held-out pictures, in the features of the scorer (KID)."""
CRITIC_AUC = Metric(name="critic_auc", higher_is_better=False, max_drop=0.0, decimals=3)
"""How well the discriminator tells samples from held-out pictures; where there is no scorer."""
LONGEST_RUN_US = 25_000.0
"""A batch should not hold a core for longer, for a picture that is asked for meanwhile waits."""
_GOLDEN_ROWS = 16
_LIMIT = (
    "# As many pictures as take a core of the exporting machine 25 ms, for who comes meanwhile "
    "waits.\n# Rows were proved alike in batches of up to 64, should a GPU want more.\n"
)


class DcganRun:
    """One run directory of family ``dcgan``. No data are read: figures are those it holds.

    Args:
        run_dir: what ``quartet train dcgan`` wrote, evaluated on both held-out splits;
            directions.json beside it, if any, becomes part of the declaration.

    Raises:
        ConfigError: ``run_dir`` is no run of this family, or files in it do not fit its networks.
        CheckpointError: its weights are missing or damaged.
    """

    def __init__(self, run_dir: Path) -> None:
        self._trained = load_trained(run_dir)
        self._figures = stored_evaluation(run_dir)["splits"]
        scored = all("kernel_distance" in figures for figures in self._figures.values())
        self.metric = KERNEL_DISTANCE if scored else CRITIC_AUC
        """The distance that a scorer finds, or the discriminator's own opinion without one."""
        self._directions = read_directions(run_dir)
        summary = RunDirectory(run_dir).summary
        self._summary = json.loads(summary.read_text(encoding="utf-8")) if summary.is_file() else {}
        self.task = declare(
            self._trained, self._summary, tuple(map(declared_direction, self._directions))
        )
        """What the graph declares."""

    def float32(self) -> Variant:
        """Generator and critic, held to PyTorch.

        Raises ExportError, also for a run that was not evaluated on the validation split.
        """
        return self._proved

    def test_figure(self, variant: Variant) -> float:
        """As it was evaluated: in PyTorch, whose pictures the graph gives."""
        return self._figure("test")

    def labels(self) -> tuple[str, ...]:
        """None: the classes of a condition are part of the declaration."""
        return ()

    def config_text(self, name: str, variant: Variant) -> str:
        """Batched as far as that costs no one time."""
        text = config_text(name, variant.model, max_batch_size=largest_batch(variant.times))
        return text.replace("max_batch_size:", f"{_LIMIT}max_batch_size:")

    def card_section(self, figures: Mapping[str, Any]) -> str:
        """Distances beside their floor, scores, agreement and directions."""
        return card.section(figures, self._directions)

    def card(self) -> CardFacts:
        """Facts for the model card."""
        report = cast(PictureReport, self._proved.parity[MODEL_FILE])
        return card.facts(self._trained, self.task, report)

    @cached_property
    def _proved(self) -> Variant:
        validation = self._figure("validation")
        with one_thread():
            generator, critic = prove_graphs(self._trained, self.task)
            predict = onnx_predict(generator.model)
            return Variant(
                precision="float32",
                graphs={MODEL_FILE: generator.model, CRITIC_FILE: critic.model},
                goldens={GOLDEN_FILE: generator.golden, CRITIC_GOLDEN_FILE: critic.golden},
                parity={MODEL_FILE: generator.report, CRITIC_FILE: critic.report},
                validation=validation,
                times=time_batches(predict, generator.golden.inputs),
            )

    def _figure(self, split: str) -> float:
        if split not in self._figures:
            raise ExportError(
                f"the run has no {split} figures for its present weights; "
                f"run: quartet evaluate RUN --split {split}"
            )
        figures = self._figures[split]
        if self.metric is KERNEL_DISTANCE:
            return float(figures["kernel_distance"]["samples"])
        return float(figures["critic"]["auc"])


def open_run(run_dir: Path, data_dir: Path) -> DcganRun:
    """The family's entry for ``training.trained``; ``data_dir`` is of no use here."""
    return DcganRun(run_dir)


def largest_batch(times: tuple[BatchTime, ...]) -> int:
    """Pictures of the largest timed batch that takes no more than ``LONGEST_RUN_US``; at least 1.

    The graph gains little by larger batches (the card has the figures), but what the server does
    for each is shared by more pictures, and a request for thousands holds up no one for longer.
    """
    fitting = [t.batch_size for t in times if t.batch_size * t.us_per_row <= LONGEST_RUN_US]
    return max(fitting, default=1)


def prove_graphs(trained: TrainedDcgan, task: ImageGenerationTask) -> tuple[Proved, Proved]:
    """Generator, with the declaration, and critic. Raises ExportError."""
    z = noise(range(_GOLDEN_ROWS), task.latent_size)
    said = golden_conditions(task)
    given: dict[str, Tensor] = {} if said is None else {task.condition_input: said}
    generator = prove_generator(
        _graph(
            served_generator(trained.generator),
            {LATENT: z, **given},
            IMAGE,
            MODEL_FILE,
            {METADATA_KEY: dump_task(task)},
        ),
        _graph(PictureGenerator(trained.generator).eval(), {LATENT: z, **given}, IMAGE, MODEL_FILE),
    )
    images = torch.from_numpy(np.asarray(generator.golden.outputs[IMAGE]))
    seen = {IMAGE: images, **given}
    critic = prove_critic(
        _graph(served_critic(trained.discriminator), seen, PROBABILITY, CRITIC_FILE),
        _graph(PictureCritic(trained.discriminator).eval(), seen, PROBABILITY, CRITIC_FILE),
    )
    return generator, critic


def golden_conditions(task: ImageGenerationTask) -> Tensor | None:
    """Conditions of the golden rows: class numbers [N] or words [N, T], each class in turn."""
    if task.condition == "class":
        return torch.arange(_GOLDEN_ROWS) % len(task.classes)
    if task.condition == "prompt":
        asked = (task.default_prompt, *task.example_prompts, task.vocabulary[1])
        rows = [task.encode_prompt(asked[row % len(asked)]) for row in range(_GOLDEN_ROWS)]
        return torch.tensor(rows)
    return None


def _graph(
    module: nn.Module,
    golden: Mapping[str, Tensor],
    output: str,
    filename: str,
    metadata: Mapping[str, str] | None = None,
) -> ExportGraph:
    inputs: Arrays = {name: tensor.numpy() for name, tensor in golden.items()}
    return ExportGraph(
        module=module,
        inputs={name: tensor[:2].clone() for name, tensor in golden.items()},
        outputs=(output,),
        dynamic_axes={name: {0: "batch"} for name in (*golden, output)},
        golden_inputs=inputs,
        metadata=metadata or {},
        filename=filename,
    )
