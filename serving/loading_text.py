"""Builds a model that writes text: two graphs, a table of states, and a scheduler of rows."""

import logging
from dataclasses import dataclass, replace

from quartet.artifact import GOLDEN_FILE, PREFILL_FILE, PREFILL_GOLDEN_FILE
from quartet.config import ConfigError
from quartet.generation import TextGenerationTask
from serving.config_message import config_message
from serving.effective_config import EffectiveConfig, resolve_config
from serving.loaded_model import LoadedModel
from serving.loading_rows import (
    RowEngine,
    hash_version,
    make_engine,
    prove_graph,
    row_properties,
    schedule_rows,
    warm_up,
)
from serving.tasks.text_generation import GeneratorFacts, TextGenerator
from serving.text_tensors import TEXT_INPUTS, TEXT_OUTPUTS
from serving.version_source import VersionSource

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
    engine = make_engine(source, task, source.open_beside(PREFILL_FILE))
    if engine.layout.constants:
        names = [spec.input for spec in engine.layout.constants]
        raise ConfigError(f"constants: {names} are declared, but nothing gives a text any")
    proof = _prove(source, engine)
    warm_up(engine)
    return _served(source, task, effective, _Proved(engine, hash_version(source), proof))


@dataclass(frozen=True, slots=True)
class _Proved:
    """An engine that works, and what is known of it."""

    engine: RowEngine
    sha256: str
    golden_check: str


def _served(
    source: VersionSource, task: TextGenerationTask, effective: EffectiveConfig, proved: _Proved
) -> LoadedModel:
    """Nothing fails from here on: only versions that serve may show in the metrics."""
    engine, provider = proved.engine, source.session.provider
    rows = schedule_rows(source, engine)
    facts = GeneratorFacts(
        model=source.name,
        version=str(source.version),
        sha256=proved.sha256,
        provider=provider,
        top=engine.layout.top,
        controls=engine.layout.controls,
        slots=engine.rules.slots,
    )
    return LoadedModel(
        name=source.name,
        version=source.version,
        config=effective,
        generator=TextGenerator(task, rows.scheduler, facts, rows.observer),
        drain=rows.scheduler.drain,
        close=rows.scheduler.close,
        interrupt=engine.decoder.interrupt,
        metrics=rows.metrics,
        provider=provider,
        properties={
            **row_properties(source, task, engine),
            "sha256": proved.sha256,
            "golden_check": proved.golden_check,
        },
        message=config_message(
            source.name,
            source.config,
            effective,
            instances=source.plan.instances,
            gpu=source.engines.device.kind == "cuda",
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


def _prove(source: VersionSource, engine: RowEngine) -> str:
    """Golden check of both graphs; what was proved, in words."""
    rows = engine.rules.slots
    decode = prove_graph(source, "decode", source.session, GOLDEN_FILE, rows=rows)
    prefill = prove_graph(source, "prefill", engine.prefill, PREFILL_GOLDEN_FILE, rows=rows)
    return f"decode: {decode}; prefill: {prefill}"
