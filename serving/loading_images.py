"""Builds a model that makes pictures: a generator and, if there is one, its discriminator.

Both are models of tensors as well, ``<name>`` and ``<name>.critic``: requests for pictures and
requests of tensors go through the same batcher.
"""

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnxruntime

from quartet.artifact import CRITIC_FILE, CRITIC_GOLDEN_FILE, GOLDEN_FILE
from quartet.config import ConfigError
from quartet.image_generation import ImageGenerationTask
from quartet.latents import latents
from serving.effective_config import resolve_config
from serving.errors import InferenceFailed
from serving.golden_check import check_golden_file
from serving.image_graph_check import check_critic_graph, check_generator_graph, critic_image
from serving.image_metrics import ImageMetrics
from serving.loaded_model import LoadedModel
from serving.loading_rows import hash_version
from serving.loading_tensors import ProvedTensors, serve_tensors
from serving.row_proof import differing_batch, rows_alone
from serving.session import OnnxSession
from serving.tasks.image_generation import (
    CRITIC_IMAGE,
    CRITIC_OUTPUT,
    Critic,
    GraphRows,
    ImageGenerator,
    ImageGeneratorFacts,
)
from serving.tasks.image_options import encoded_prompt
from serving.tasks.picture_input import PictureInput
from serving.types import Array
from serving.version_source import VersionSource
from serving.warmup import run_warmup

CRITIC = "critic"
PROBE_ROWS = 8
"""Pictures that are made to see what this machine computes."""
SCHEME = 1
"""To be raised when the same request comes to mean other noise or other pixels."""

logger = logging.getLogger(__name__)


def load_image_generator(source: VersionSource, task: ImageGenerationTask) -> LoadedModel:
    """Check, prove and warm up ``source``, and put batchers before its graphs.

    Args:
        source: the opened version; its graph is the generator.
        task: what it declares.

    Raises:
        ConfigError: see ``load_version``.
    """
    if source.config.sequences is not None:
        raise ConfigError(
            "sequence_batching: a generator of pictures keeps nothing between requests"
        )
    session = source.session
    check_generator_graph(task, session.inputs, session.outputs)
    generator = _prove("generator", source, GOLDEN_FILE)
    critic = _open_critic(source, task)
    try:
        inputs = _probe(task, max(PROBE_ROWS, generator.effective.max_batch_size))
        pictures = rows_alone(session, inputs, task.output)
        generator = _only_equal_batches(generator, inputs, task.output)
        if critic is not None:
            said = {name: array for name, array in inputs.items() if name != task.latent}
            critic = _only_equal_batches(critic, {CRITIC_IMAGE: pictures, **said}, CRITIC_OUTPUT)
    except InferenceFailed as error:
        raise ConfigError(f"the first runs failed: {error}") from error
    fingerprint = _fingerprint(hash_version(source), session, pictures[:PROBE_ROWS])
    return _served(task, _Proved(generator, critic, fingerprint))


@dataclass(frozen=True, slots=True)
class _Proved:
    """Graphs that work, and what is known of them."""

    generator: ProvedTensors
    critic: ProvedTensors | None
    fingerprint: str


def _served(task: ImageGenerationTask, proved: _Proved) -> LoadedModel:
    """Nothing fails from here on: only versions that serve may show in the metrics."""
    source = proved.generator.source
    model = serve_tensors(proved.generator)
    parts = {} if proved.critic is None else {CRITIC: serve_tensors(proved.critic)}
    facts = ImageGeneratorFacts(
        model=source.name,
        version=str(source.version),
        fingerprint=proved.fingerprint,
        max_batch_size=model.config.max_batch_size,
        instances=source.plan.instances,
        max_queued_rows=model.config.rules.max_queued_rows,
    )
    graph, metrics = GraphRows(*model.tensors(), task.output), _metrics(source)
    generator = ImageGenerator(task, facts, graph, _critic(task, parts), metrics)
    life = _Life(model, parts)
    return replace(
        model,
        image_generator=generator,
        parts=parts,
        drain=life.drain,
        close=life.close,
        interrupt=life.interrupt,
        properties={
            **model.properties,
            "condition": task.condition,
            "directions": ", ".join(direction.name for direction in task.directions) or "none",
            "critic": f"{source.name}.{CRITIC}" if parts else "none",
            "fingerprint": proved.fingerprint,
        },
    )


def _metrics(source: VersionSource) -> ImageMetrics:
    return source.engines.metrics.images.for_model(source.name, str(source.version))


def _critic(task: ImageGenerationTask, parts: Mapping[str, LoadedModel]) -> Critic | None:
    if CRITIC not in parts:
        return None
    part = parts[CRITIC]
    image = [spec for spec in part.config.inputs if spec.name == CRITIC_IMAGE]
    return Critic(
        pictures=PictureInput(critic_image(task), image),
        graph=GraphRows(*part.tensors(), CRITIC_OUTPUT),
        max_batch_size=part.config.max_batch_size,
    )


@dataclass(frozen=True, slots=True)
class _Life:
    """The end of a generator and its critic; see ``LoadedModel``."""

    model: LoadedModel
    parts: Mapping[str, LoadedModel]

    async def drain(self) -> None:
        await self.model.drain()
        for part in self.parts.values():
            await part.drain()

    def close(self) -> None:
        self.model.close()
        for part in self.parts.values():
            part.close()

    def interrupt(self) -> None:
        self.model.interrupt()
        for part in self.parts.values():
            part.interrupt()


def _open_critic(source: VersionSource, task: ImageGenerationTask) -> ProvedTensors | None:
    """The discriminator, with the batches that the file asks for; None if there is none."""
    if not (source.path.parent / CRITIC_FILE).is_file():
        return None
    session = source.open_beside(CRITIC_FILE)
    check_critic_graph(task, session.inputs, session.outputs)
    config = replace(
        source.config, inputs=(), outputs=(), warmup=(), default_model_filename=CRITIC_FILE
    )
    part = replace(source, name=f"{source.name}.{CRITIC}", session=session, config=config)
    return _prove(CRITIC, part, CRITIC_GOLDEN_FILE)


def _prove(graph: str, source: VersionSource, golden: str) -> ProvedTensors:
    """Golden check and warm-up. Raises ConfigError, whose text names ``graph``."""
    session = source.session
    try:
        effective = resolve_config(
            source.config, session.inputs, session.outputs, source.engines.defaults
        )
        if not effective.batches:
            raise ConfigError("max_batch_size: a generator of pictures batches, expected >= 1")
        proof = check_golden_file(session, effective, source.files / golden)
        for warmup in source.config.warmup:
            run_warmup(session, effective, warmup, source.folder)
    except ConfigError as error:
        raise ConfigError(f"{graph} graph: {error}") from error
    return ProvedTensors(source=source, effective=effective, golden_check=proof)


def _only_equal_batches(
    proved: ProvedTensors, inputs: Mapping[str, Array], output: str
) -> ProvedTensors:
    """The graph with its batches, or without if a row's result depends on its company.

    The same request must give the same pixels at any load.
    """
    effective, source = proved.effective, proved.source
    size = differing_batch(source.session, inputs, output, max_batch_size=effective.max_batch_size)
    if size is None:
        return proved
    logger.warning(
        "model %s: rows of %r in a batch of %d differ from rows alone, so that the same request "
        "would give other results at another load; it runs row by row",
        source.name,
        output,
        size,
    )
    rules = replace(effective.rules, max_rows=1, preferred_rows=(), join=False)
    return replace(proved, effective=replace(effective, max_batch_size=1, rules=rules))


def _probe(task: ImageGenerationTask, rows: int) -> dict[str, Array]:
    """Inputs of some pictures: the first ones of seed 0, of all classes in turn."""
    places = np.arange(rows)
    inputs: dict[str, Array] = {
        task.latent: latents(np.zeros(rows, np.uint64), places, task.latent_size)
    }
    if task.condition == "class":
        inputs[task.condition_input] = places % len(task.classes)
    elif task.condition == "prompt":
        words = encoded_prompt(task.default_prompt, task)
        inputs[task.condition_input] = np.tile(np.array(words, np.int64), (rows, 1))
    return inputs


def _fingerprint(sha256: str, session: OnnxSession, pictures: Array) -> str:
    """One number for what this server makes of a request.

    The last part is what this machine really computes: kernels differ between processors, and a
    pixel on the edge of two levels with them.
    """
    computed = hashlib.sha256(pictures.tobytes()).hexdigest()
    facts = [SCHEME, sha256, session.provider, onnxruntime.__version__, computed]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
