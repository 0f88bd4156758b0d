"""Builds a model that writes text: two graphs, a table of states, and a scheduler of rows."""

import logging
from dataclasses import dataclass, replace

import numpy as np

from quartet.artifact import GOLDEN_FILE, PREFILL_FILE, PREFILL_GOLDEN_FILE
from quartet.config import ConfigError
from quartet.generation import TextGenerationTask
from serving.config_message import config_message
from serving.continuous_batcher import ContinuousBatcher
from serving.decoder import OnnxDecoder
from serving.device_state_table import DeviceStateTable
from serving.effective_config import EffectiveConfig, resolve_config
from serving.errors import InferenceFailed
from serving.generation_types import Sampling
from serving.generator_check import GeneratorLayout, check_generator
from serving.golden_check import check_golden_file
from serving.loaded_model import LoadedModel
from serving.model_config import ModelConfig
from serving.session import OnnxSession
from serving.slot_planning import SlotRules
from serving.state_table import HostStateTable, StateTable
from serving.tasks.text_generation import GeneratorFacts, TextGenerator
from serving.text_tensors import TEXT_INPUTS, TEXT_OUTPUTS
from serving.token_scheduler import DecodeRun, PrefillRun, Run
from serving.version_hash import version_sha256
from serving.version_source import VersionSource

WARM_UP_ROWS = 32
WARM_UP_SYMBOLS = 64
"""Largest first run of each graph: enough to touch its memory, whatever the settings allow."""

logger = logging.getLogger(__name__)


def load_generator(source: VersionSource, task: TextGenerationTask) -> LoadedModel:
    """Check, prove and warm up ``source``, and put a scheduler of rows before it.

    Args:
        source: the opened version; its graph is the one that writes.
        task: what it declares.

    Raises:
        ConfigError: see ``load_version``.
    """
    effective = _effective(source)
    rules = _rules(source, task)
    prefill = source.open_beside(PREFILL_FILE)
    layout = check_generator(task, source.session, prefill)
    if layout.constants:
        names = [spec.input for spec in layout.constants]
        raise ConfigError(f"constants: {names} are declared, but nothing gives a text any")
    table = _table(source, layout, rules)
    decoder = OnnxDecoder(source.session, prefill, layout, table)
    proof = _prove(source, prefill, rules)
    _warm_up(decoder, rules)
    table.zero(range(rules.slots))
    sha256 = _sha256(source)
    return _served(source, task, effective, _Proved(decoder, layout, rules, sha256, proof))


@dataclass(frozen=True, slots=True)
class _Proved:
    """An engine that works, and what is known of it."""

    decoder: OnnxDecoder
    layout: GeneratorLayout
    rules: SlotRules
    sha256: str
    golden_check: str


def _served(
    source: VersionSource, task: TextGenerationTask, effective: EffectiveConfig, proved: _Proved
) -> LoadedModel:
    """Nothing fails from here on: only versions that serve may show in the metrics."""
    name, version, engines = source.name, str(source.version), source.engines
    provider, rules = source.session.provider, proved.rules
    metrics = engines.metrics.for_model(name, version, provider)
    observer = engines.metrics.generation.for_model(name, version)
    scheduler = ContinuousBatcher(
        proved.decoder,
        engines.pool,
        rules,
        observer,
    )
    observer.watch(scheduler.active_rows, scheduler.waiting_rows, lambda: rules.slots)
    metrics.watch_queue(scheduler.waiting_rows, scheduler.waiting_rows)
    facts = GeneratorFacts(
        model=name,
        version=version,
        sha256=proved.sha256,
        provider=provider,
        top=proved.layout.top,
        controls=proved.layout.controls,
        slots=rules.slots,
    )
    return LoadedModel(
        name=name,
        version=source.version,
        config=effective,
        generator=TextGenerator(task, scheduler, facts, observer),
        drain=scheduler.drain,
        close=scheduler.close,
        interrupt=proved.decoder.interrupt,
        metrics=metrics,
        provider=provider,
        properties={
            "provider": provider,
            "instances": str(source.plan.instances),
            "intra_op_threads": str(source.plan.intra_op),
            "max_batch_size": "0",
            "slots": str(rules.slots),
            "steps": str(rules.steps),
            "precision": task.precision,
            "sha256": proved.sha256,
            "golden_check": proved.golden_check,
        },
        message=config_message(
            name,
            source.config,
            effective,
            instances=source.plan.instances,
            gpu=engines.device.kind == "cuda",
        ),
    )


def _effective(source: VersionSource) -> EffectiveConfig:
    """The signature of every text model, with which the file must agree if it names tensors."""
    config = source.config
    if config.decoupled is False:
        raise ConfigError(
            "model_transaction_policy: a model that writes text answers in pieces, "
            "expected decoupled: true"
        )
    for field, is_set in (("dynamic_batching", config.batching), ("model_warmup", config.warmup)):
        if is_set:
            logger.warning("model %s: %s has no effect on a text model", source.name, field)
    alone = replace(config, batching=None)
    effective = resolve_config(alone, TEXT_INPUTS, TEXT_OUTPUTS, source.engines.defaults)
    return replace(effective, decoupled=True)


def _rules(source: VersionSource, task: TextGenerationTask) -> SlotRules:
    settings = source.engines.generation
    return SlotRules(
        slots=settings.slots,
        lanes=source.plan.instances,
        steps=settings.steps or task.steps,
        prefill_chunk=settings.prefill_chunk,
        max_waiting_rows=settings.max_waiting_rows,
    )


def _table(source: VersionSource, layout: GeneratorLayout, rules: SlotRules) -> StateTable:
    """In the memory that the graphs compute in."""
    device = source.engines.device
    if device.kind == "cuda":
        return DeviceStateTable(layout.row_specs, rules.slots, device)
    return HostStateTable(layout.row_specs, rules.slots)


def _prove(source: VersionSource, prefill: OnnxSession, rules: SlotRules) -> str:
    """Golden check of both graphs; what was proved, in words."""
    proofs = []
    for graph, session, file in (
        ("decode", source.session, GOLDEN_FILE),
        ("prefill", prefill, PREFILL_GOLDEN_FILE),
    ):
        # To the check a graph is a model of tensors whose rows are batched.
        tensors = resolve_config(
            ModelConfig(max_batch_size=rules.slots),
            session.inputs,
            session.outputs,
            source.engines.defaults,
        )
        try:
            proof = check_golden_file(session, tensors, source.files / file)
        except ConfigError as error:
            raise ConfigError(f"{graph} graph: {error}") from error
        proofs.append(f"{graph}: {proof}")
    return "; ".join(proofs)


def _warm_up(decoder: OnnxDecoder, rules: SlotRules) -> None:
    """Run both graphs as they will be run: one row, and many."""
    try:
        for rows in (1, min(rules.slots, WARM_UP_ROWS)):
            for run in _runs(rows, rules):
                decoder.execute(run)
    except InferenceFailed as error:
        raise ConfigError(f"the first runs failed: {error}") from error


def _runs(rows: int, rules: SlotRules) -> tuple[Run, Run]:
    slots = tuple(range(rows))
    zeros = np.zeros(rows, np.int64)
    time = min(rules.prefill_chunk, WARM_UP_SYMBOLS)
    return (
        PrefillRun(
            moves=(),
            slots=slots,
            tokens=np.zeros((rows, time), np.int64),
            lengths=np.full(rows, time, np.int64),
            score=True,
        ),
        DecodeRun(
            moves=(),
            slots=slots,
            token=zeros,
            sampling=(Sampling(),) * rows,
            alternatives=zeros,
            uniform=np.full((rows, rules.steps), 0.5, np.float32),
        ),
    )


def _sha256(source: VersionSource) -> str:
    try:
        return version_sha256(source.path.parent)
    except OSError as error:
        raise ConfigError(f"cannot read the version's files: {error}") from error
