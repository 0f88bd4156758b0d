"""Builds a model that takes tensors and gives tensors, one run for each batch."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from quartet.artifact import GOLDEN_FILE, ClassificationTask, TaskDeclaration
from quartet.config import ConfigError
from serving.config_message import config_message
from serving.dynamic_batcher import DynamicBatcher, Engine
from serving.effective_config import EffectiveConfig, resolve_config
from serving.errors import InferenceFailed
from serving.golden_check import check_golden_file
from serving.loaded_model import LoadedModel
from serving.metrics import ModelMetrics
from serving.model_config import ModelConfig
from serving.request_check import RequestChecker
from serving.scheduler import Scheduler
from serving.sequence_batcher import SequenceBatcher
from serving.sequences import Sequences
from serving.state_table import HostStateTable
from serving.stateful_engine import StatefulEngine, WarmupEngine, initial_rows
from serving.tasks.image_classification import ImageClassifier, infer_task
from serving.types import Array
from serving.version_source import VersionSource
from serving.warmup import run_warmup, zero_inputs
from serving.workers import MeteredPool

logger = logging.getLogger(__name__)


def load_tensor_model(source: VersionSource, task: TaskDeclaration | None) -> LoadedModel:
    """Prove and warm up ``source``, and put a batcher before it.

    Args:
        source: the opened version.
        task: what it declares to be for; None: that is made out from its tensors.

    Raises:
        ConfigError: see ``load_version``.
    """
    config, session = source.config, source.session
    effective = resolve_config(config, session.inputs, session.outputs, source.engines.defaults)
    if config.decoupled:
        logger.warning(
            "model %s: each request has one response here, decoupled or not", source.name
        )
    for output, kind in session.hidden_outputs.items():
        logger.warning(
            "model %s: output %r is %s, not a tensor: not served", source.name, output, kind
        )
    initial = initial_rows(effective.sequences, source.folder) if effective.sequences else {}
    return serve_tensors(
        ProvedTensors(
            source=source,
            effective=effective,
            golden_check=_prove(source, effective, initial),
            classifier=_classifier(source, effective, task),
            initial=initial,
        )
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvedTensors:
    """A graph that works, and what is known of it."""

    source: VersionSource
    effective: EffectiveConfig
    golden_check: str
    classifier: ImageClassifier | None = None
    initial: Mapping[str, Array] = field(default_factory=dict)
    """States that sequences begin with."""


def serve_tensors(proved: ProvedTensors) -> LoadedModel:
    """Put a batcher before a graph. From here on it shows in the metrics."""
    source, effective, plan = proved.source, proved.effective, proved.source.plan
    session = source.session
    metrics = source.engines.metrics.for_model(source.name, str(source.version), session.provider)
    scheduler = _scheduler(source, effective, proved.initial, metrics)
    return LoadedModel(
        name=source.name,
        version=source.version,
        config=effective,
        checker=RequestChecker(source.name, effective),
        scheduler=scheduler,
        classifier=proved.classifier,
        drain=scheduler.drain,
        close=scheduler.close,
        interrupt=session.interrupt,
        metrics=metrics,
        provider=session.provider,
        properties={
            "provider": session.provider,
            "instances": str(plan.instances),
            "intra_op_threads": str(plan.intra_op),
            "max_batch_size": str(effective.max_batch_size),
            "golden_check": proved.golden_check,
        },
        message=config_message(
            source.name,
            source.config,
            effective,
            instances=plan.instances,
            gpu=source.engines.device.kind == "cuda",
        ),
    )


def _scheduler(
    source: VersionSource,
    effective: EffectiveConfig,
    initial: Mapping[str, Array],
    metrics: ModelMetrics,
) -> Scheduler:
    sequences, instances = effective.sequences, source.plan.instances
    pool = MeteredPool(source.engines.pool, metrics.watch_runs(instances))
    batcher: DynamicBatcher | SequenceBatcher
    if sequences is None:
        batcher = DynamicBatcher(
            source.session, effective.rules, pool, instances=instances, observer=metrics
        )
    else:
        table = HostStateTable(sequences.states, sequences.rules.slots)
        batcher = SequenceBatcher(
            StatefulEngine(source.session, sequences, table, initial, batches=effective.batches),
            Sequences(source.name, sequences.rules),
            pool,
            instances=instances,
            observer=metrics,
        )
        metrics.watch_sequences(batcher.live_sequences, batcher.waiting_sequences)
    limit = sequences.rules.max_queued_steps if sequences else effective.rules.max_queued_rows
    metrics.watch_queue(batcher.queued_rows, batcher.queued_requests, batcher.queue_age, limit)
    return batcher


def _prove(source: VersionSource, effective: EffectiveConfig, initial: Mapping[str, Array]) -> str:
    """Golden check and warm-up; what was proved, in words."""
    session, golden_file = source.session, source.files / GOLDEN_FILE
    engine: Engine = session
    if effective.sequences is not None:
        engine = WarmupEngine(engine, effective.sequences, initial, batches=effective.batches)
    # Golden inputs may set states, which are hidden from clients only.
    whole = replace(effective, inputs=session.inputs, outputs=session.outputs)
    proof = check_golden_file(engine, whole if effective.sequences else effective, golden_file)
    if not golden_file.is_file() and not source.config.warmup:
        try_zeros(source.name, engine, effective)
    for warmup in source.config.warmup:
        run_warmup(engine, effective, warmup, source.folder)
    return proof


def try_zeros(name: str, engine: Engine, effective: EffectiveConfig) -> None:
    """Warm up with zeros. A model that refuses zeros may yet take real inputs."""
    try:
        engine.run(zero_inputs(effective), [spec.name for spec in effective.outputs])
    except InferenceFailed as error:
        logger.info("model %s: no warm-up, it refuses zeros: %s", name, error)


def _classifier(
    source: VersionSource, effective: EffectiveConfig, task: TaskDeclaration | None
) -> ImageClassifier | None:
    if task is None:
        task = infer_task(effective.inputs, effective.outputs)
    if not isinstance(task, ClassificationTask):
        return None
    labels = _label_file(task, source.config, source.folder)
    return ImageClassifier(task, effective.inputs, effective.outputs, labels)


def _label_file(task: ClassificationTask, config: ModelConfig, folder: Path) -> tuple[str, ...]:
    for output in config.outputs:
        if output.name == task.output and output.label_filename:
            file = folder / output.label_filename
            try:
                return tuple(file.read_text(encoding="utf-8").splitlines())
            except OSError as error:
                raise ConfigError(f"output {output.name!r}: label_filename: {error}") from error
    return ()
