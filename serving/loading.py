"""Builds one servable model version from its folder. Slow and blocking: call it on a thread."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from quartet.artifact import (
    GOLDEN_FILE,
    METADATA_KEY,
    MODEL_FILE,
    ArtifactError,
    ClassificationTask,
    load_golden,
    parse_task,
)
from quartet.config import ConfigError
from serving.config_message import config_message
from serving.dynamic_batcher import DynamicBatcher
from serving.effective_config import BatchingDefaults, EffectiveConfig, resolve_config
from serving.errors import InferenceFailed
from serving.golden_check import check_golden
from serving.metrics import Metrics, ModelMetrics
from serving.model_config import ModelConfig
from serving.pb.inference import model_config_pb2 as pb
from serving.providers import Device
from serving.request_check import RequestChecker
from serving.scheduler import Scheduler
from serving.session import OnnxSession, SessionOptions
from serving.tasks.image_classification import ImageClassifier, infer_task
from serving.threads import ThreadPlan, plan_threads
from serving.warmup import run_warmup, zero_inputs
from serving.workers import WorkerPool

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Engines:
    """What all models of a server share."""

    device: Device
    pool: WorkerPool
    threads: int
    """Engine threads of the server."""
    instances: int | None
    """Batches of one model at once where the model is silent; None: one a thread."""
    defaults: BatchingDefaults
    metrics: Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """One version that is ready to serve."""

    name: str
    version: int
    config: EffectiveConfig
    checker: RequestChecker
    scheduler: Scheduler
    interrupt: Callable[[], None]
    """Ends what runs, and whatever would still run."""
    metrics: ModelMetrics
    provider: str
    """The execution provider that really runs."""
    classifier: ImageClassifier | None
    """Turns pictures into tensors and scores into labels, if the model declares how."""
    properties: dict[str, str]
    """Facts for the model's metadata."""
    message: pb.ModelConfig
    """The effective configuration, for clients."""


def load_version(
    name: str, version: int, folder: Path, config: ModelConfig, engines: Engines
) -> LoadedModel:
    """Load ``folder``/``version``, prove it on its golden inputs and warm it up.

    Raises:
        ConfigError: the files, the configuration and the graph do not fit together, or the golden
            check failed; the text names what was wrong and what was expected.
    """
    path = _model_path(folder / str(version), config)
    plan = _thread_plan(config, engines)
    session = OnnxSession(path, engines.device, _session_options(config, plan))
    effective = resolve_config(config, session.inputs, session.outputs, engines.defaults)
    for output, kind in session.hidden_outputs.items():
        logger.warning("model %s: output %r is %s, not a tensor: not served", name, output, kind)
    proof = _prove(name, session, effective, config, folder, version)
    classifier = _classifier(session, effective, config, folder)
    # Nothing fails from here on: only versions that serve may show in the metrics.
    metrics = engines.metrics.for_model(name, str(version), session.provider)
    batcher = DynamicBatcher(
        session, effective.rules, engines.pool, instances=plan.instances, observer=metrics
    )
    metrics.watch_queue(batcher.queued_rows, batcher.queued_requests)
    return LoadedModel(
        name=name,
        version=version,
        config=effective,
        checker=RequestChecker(name, effective),
        scheduler=batcher,
        interrupt=session.interrupt,
        metrics=metrics,
        provider=session.provider,
        classifier=classifier,
        properties={
            "provider": session.provider,
            "instances": str(plan.instances),
            "intra_op_threads": str(plan.intra_op),
            "max_batch_size": str(effective.max_batch_size),
            "golden_check": proof,
        },
        message=config_message(
            name,
            config,
            effective,
            instances=plan.instances,
            gpu=engines.device.kind == "cuda",
        ),
    )


def _model_path(folder: Path, config: ModelConfig) -> Path:
    """The ONNX file; a folder of that name holds a model with external weights."""
    path = folder / (config.default_model_filename or MODEL_FILE)
    if path.is_dir():
        path = path / MODEL_FILE
    if not path.is_file():
        raise ConfigError(f"{folder.parent.name}/{folder.name} has no file {path.name!r}")
    return path


def _thread_plan(config: ModelConfig, engines: Engines) -> ThreadPlan:
    intra_op = _count_parameter(config, "intra_op_thread_count")
    if config.batching is not None and config.batching.preserve_ordering:
        # One batch at a time is what keeps answers in the order of arrival.
        return plan_threads(engines.threads, instances=1, intra_op=intra_op or 1)
    wanted = sum(group.count for group in config.instances) or engines.instances
    if engines.device.kind == "cuda" and wanted is None:
        wanted = 1
    if wanted is not None:
        # More batches at once than threads would only wait for each other.
        wanted = min(wanted, engines.threads)
    return plan_threads(engines.threads, instances=wanted, intra_op=intra_op)


def _session_options(config: ModelConfig, plan: ThreadPlan) -> SessionOptions:
    return SessionOptions(
        intra_op_threads=plan.intra_op,
        inter_op_threads=_count_parameter(config, "inter_op_thread_count") or 1,
        memory_arena=config.parameters.get("enable_mem_arena", "1") != "0",
        memory_pattern=config.parameters.get("enable_mem_pattern", "1") != "0",
    )


def _count_parameter(config: ModelConfig, key: str) -> int | None:
    """A thread count among the parameters; 0 or absent leaves the choice to the server."""
    text = config.parameters.get(key, "0")
    try:
        count = int(text)
    except ValueError:
        count = -1
    if count < 0:
        raise ConfigError(f"parameter {key!r} is a whole number >= 0, got {text!r}")
    return count or None


def _prove(
    name: str,
    session: OnnxSession,
    effective: EffectiveConfig,
    config: ModelConfig,
    folder: Path,
    version: int,
) -> str:
    """Golden check and warm-up; what was proved, in words."""
    golden_file = folder / str(version) / GOLDEN_FILE
    proof = "no golden file"
    if golden_file.is_file():
        try:
            worst = check_golden(session, effective, load_golden(golden_file))
        except (ArtifactError, InferenceFailed) as error:
            raise ConfigError(str(error)) from error
        proof = f"passed, largest difference {worst:.2g}"
    elif not config.warmup:
        _try_zeros(name, session, effective)
    for warmup in config.warmup:
        run_warmup(session, effective, warmup, folder)
    return proof


def _try_zeros(name: str, session: OnnxSession, effective: EffectiveConfig) -> None:
    """Warm up with zeros. A model that refuses zeros may yet take real inputs."""
    try:
        session.run(zero_inputs(effective), [spec.name for spec in effective.outputs])
    except InferenceFailed as error:
        logger.info("model %s: no warm-up, it refuses zeros: %s", name, error)


def _classifier(
    session: OnnxSession, effective: EffectiveConfig, config: ModelConfig, folder: Path
) -> ImageClassifier | None:
    """The declared task (a parameter of the file wins over the graph's), or the one made out."""
    declaration = config.parameters.get(METADATA_KEY) or session.metadata.get(METADATA_KEY)
    if declaration is None:
        task = infer_task(effective.inputs, effective.outputs)
    else:
        try:
            task = parse_task(declaration)
        except ArtifactError as error:
            raise ConfigError(str(error)) from error
    if not isinstance(task, ClassificationTask):
        return None
    labels = _label_file(task, config, folder)
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
