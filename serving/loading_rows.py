"""What all models that write have in common: graphs, a table of states, a scheduler of rows."""

from dataclasses import dataclass

import numpy as np

from quartet.config import ConfigError
from quartet.generation import GeneratorTask
from serving.continuous_batcher import ContinuousBatcher
from serving.decoder import OnnxDecoder
from serving.device_state_table import DeviceStateTable
from serving.effective_config import resolve_config
from serving.errors import InferenceFailed
from serving.generation_metrics import GenerationMetrics
from serving.generation_types import Sampling
from serving.generator_check import GeneratorLayout, check_generator
from serving.golden_check import check_golden_file
from serving.metrics import ModelMetrics
from serving.model_config import ModelConfig
from serving.session import OnnxSession
from serving.slot_planning import SlotRules
from serving.state_table import HostStateTable, StateTable
from serving.token_scheduler import DecodeRun, PrefillRun, Run
from serving.version_hash import version_sha256
from serving.version_source import VersionSource
from serving.workers import MeteredPool

WARM_UP_ROWS = 32
WARM_UP_SYMBOLS = 64
"""Largest first run of each graph: enough to touch its memory, whatever the settings allow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowEngine:
    """The two graphs of a generator, checked, with a table of states beside them."""

    prefill: OnnxSession
    """The graph that reads; the one that writes is the version's first."""
    layout: GeneratorLayout
    rules: SlotRules
    table: StateTable
    decoder: OnnxDecoder


@dataclass(frozen=True, slots=True, kw_only=True)
class RowScheduling:
    """A scheduler of rows, and what is told of its work."""

    scheduler: ContinuousBatcher
    metrics: ModelMetrics
    observer: GenerationMetrics


def make_engine(source: VersionSource, task: GeneratorTask, prefill: OnnxSession) -> RowEngine:
    """Check both graphs, and set memory aside.

    Args:
        source: the opened version; its graph is the one that writes.
        task: what it declares.
        prefill: the graph that reads.

    Raises:
        ConfigError: the graphs are not what is declared, or the memory does not suffice.
    """
    settings = source.engines.generation
    rules = SlotRules(
        slots=settings.slots,
        lanes=source.plan.instances,
        steps=settings.steps or task.steps,
        prefill_chunk=settings.prefill_chunk,
        max_waiting_rows=settings.max_waiting_rows,
    )
    layout = check_generator(task, source.session, prefill)
    table = _table(source, layout, rules)
    decoder = OnnxDecoder(source.session, prefill, layout, table)
    return RowEngine(prefill=prefill, layout=layout, rules=rules, table=table, decoder=decoder)


def prove_graph(
    source: VersionSource, graph: str, session: OnnxSession, file: str, *, rows: int
) -> str:
    """Golden check of one graph, alone and with up to ``rows`` rows; what was proved, in words.

    Raises:
        ConfigError: as ``check_golden_file``; the text begins with ``graph``, the graph's name.
    """
    # To the check a graph is a model of tensors whose rows are batched.
    tensors = resolve_config(
        ModelConfig(max_batch_size=rows), session.inputs, session.outputs, source.engines.defaults
    )
    try:
        return check_golden_file(session, tensors, source.files / file)
    except ConfigError as error:
        raise ConfigError(f"{graph} graph: {error}") from error


def warm_up(engine: RowEngine) -> None:
    """Run both graphs as they will be run: one row, and many. Raises ConfigError."""
    slots = engine.rules.slots
    try:
        for rows in (1, min(slots, WARM_UP_ROWS)):
            for run in _first_runs(rows, engine):
                engine.decoder.execute(run)
    except InferenceFailed as error:
        raise ConfigError(f"the first runs failed: {error}") from error
    engine.table.zero(range(slots))


def hash_version(source: VersionSource) -> str:
    """See ``version_sha256``. Raises ConfigError."""
    try:
        return version_sha256(source.path.parent)
    except OSError as error:
        raise ConfigError(f"cannot read the version's files: {error}") from error


def schedule_rows(source: VersionSource, engine: RowEngine) -> RowScheduling:
    """Put a scheduler before ``engine``. From here on the version shows in the metrics."""
    name, version, engines = source.name, str(source.version), source.engines
    metrics = engines.metrics.for_model(name, version, source.session.provider)
    observer = engines.metrics.generation.for_model(name, version)
    rules = engine.rules
    pool = MeteredPool(engines.pool, metrics.watch_runs(rules.lanes))
    scheduler = ContinuousBatcher(engine.decoder, pool, rules, observer)
    observer.watch(scheduler.active_rows, scheduler.waiting_rows, lambda: rules.slots)
    waiting = scheduler.waiting_rows
    metrics.watch_queue(waiting, waiting, scheduler.queue_age, rules.max_waiting_rows)
    return RowScheduling(scheduler=scheduler, metrics=metrics, observer=observer)


def row_properties(source: VersionSource, task: GeneratorTask, engine: RowEngine) -> dict[str, str]:
    """Facts for the metadata of a model that writes."""
    return {
        "provider": source.session.provider,
        "instances": str(source.plan.instances),
        "intra_op_threads": str(source.plan.intra_op),
        "max_batch_size": "0",
        "slots": str(engine.rules.slots),
        "steps": str(engine.rules.steps),
        "precision": task.precision,
    }


def _table(source: VersionSource, layout: GeneratorLayout, rules: SlotRules) -> StateTable:
    """In the memory that the graphs compute in."""
    device = source.engines.device
    if device.kind == "cuda":
        return DeviceStateTable(layout.row_specs, rules.slots, device)
    return HostStateTable(layout.row_specs, rules.slots)


def _first_runs(rows: int, engine: RowEngine) -> tuple[Run, ...]:
    """A prompt read, texts written, and a step of a search."""
    rules, attention = engine.rules, engine.layout.places > 0
    slots = tuple(range(rows))
    time = min(rules.prefill_chunk, WARM_UP_SYMBOLS)
    read = PrefillRun(
        moves=(),
        slots=slots,
        tokens=np.zeros((rows, time), np.int64),
        lengths=np.full(rows, time, np.int64),
        score=True,
        attention=attention,
    )
    written = (
        DecodeRun(
            moves=(),
            slots=slots,
            token=np.zeros(rows, np.int64),
            sampling=(Sampling(),) * rows,
            alternatives=np.full(rows, alternatives, np.int64),
            uniform=np.full((rows, steps), 0.5, np.float32),
            attention=attention,
        )
        for steps, alternatives in ((rules.steps, 0), (1, 1))
    )
    return (read, *written)
