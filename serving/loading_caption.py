"""Builds a model that captions pictures: an encoder before two graphs that write.

The encoder has a dynamic batcher, the others a scheduler of rows; captions of all requests go
through both. Each graph is a model of tensors of its own, too: ``<name>.encoder`` through the same
batcher as the captions, ``<name>.decode`` and ``<name>.prefill`` beside the rows.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

from quartet.artifact import (
    CAPTION_GOLDEN_FILE,
    ENCODER_FILE,
    ENCODER_GOLDEN_FILE,
    GOLDEN_FILE,
    MODEL_FILE,
    PREFILL_FILE,
    PREFILL_GOLDEN_FILE,
    ImageCaptioningTask,
)
from quartet.config import ConfigError
from serving.caption_golden import check_caption_file
from serving.caption_tensors import CAPTION_INPUTS, CAPTION_OUTPUTS
from serving.config_message import config_message
from serving.effective_config import EffectiveConfig, resolve_config
from serving.encoder_check import check_captioner
from serving.loaded_model import LoadedModel
from serving.loading_rows import (
    RowEngine,
    RowScheduling,
    hash_version,
    make_engine,
    prove_graph,
    row_properties,
    schedule_rows,
    warm_up,
)
from serving.loading_tensors import ProvedTensors, serve_tensors, try_zeros
from serving.model_config import ModelConfig
from serving.session import OnnxSession
from serving.tasks.captioning import Captioner, CaptionerFacts, CaptionerParts, PictureEncoder
from serving.tasks.picture_input import PictureInput
from serving.version_source import VersionSource

ENCODER = "encoder"
DECODE = "decode"
PREFILL = "prefill"

logger = logging.getLogger(__name__)


def load_captioner(source: VersionSource, task: ImageCaptioningTask) -> LoadedModel:
    """Check, prove and warm up ``source``, and put schedulers before its graphs.

    Args:
        source: the opened version; its graph is the one that writes.
        task: what it declares.

    Raises:
        ConfigError: see ``load_version``.
    """
    effective = _effective(source)
    encoder = source.open_beside(ENCODER_FILE)
    engine = make_engine(source, task, source.open_beside(PREFILL_FILE))
    try:
        pictures = PictureInput(task.image, encoder.inputs)
    except ConfigError as error:
        raise ConfigError(f"encoder graph: {error}") from error
    check_captioner(task, engine.layout, encoder.outputs)
    graphs = {
        ENCODER: _prove_encoder(source, encoder),
        DECODE: _prove_rows(source, DECODE, source.session, engine),
        PREFILL: _prove_rows(source, PREFILL, engine.prefill, engine),
    }
    captions = check_caption_file(
        task,
        encoder,
        [spec.name for spec in encoder.outputs],
        engine.decoder,
        source.files / CAPTION_GOLDEN_FILE,
    )
    warm_up(engine)
    proved = _Proved(engine, pictures, graphs, captions, hash_version(source))
    return _served(source, task, effective, proved)


@dataclass(frozen=True, slots=True)
class _Proved:
    """Graphs that work, and what is known of them."""

    engine: RowEngine
    pictures: PictureInput
    graphs: dict[str, ProvedTensors]
    captions: str
    """What was proved of all graphs together."""
    sha256: str


def _served(
    source: VersionSource, task: ImageCaptioningTask, effective: EffectiveConfig, proved: _Proved
) -> LoadedModel:
    """Nothing fails from here on: only versions that serve may show in the metrics."""
    engine, provider = proved.engine, source.session.provider
    parts = {name: serve_tensors(graph) for name, graph in proved.graphs.items()}
    rows = schedule_rows(source, engine)
    captioner = _captioner(source, task, proved, parts[ENCODER], rows)
    life = _Life(parts, rows, engine)
    grid = "none" if task.grid is None else "x".join(map(str, task.grid))
    return LoadedModel(
        name=source.name,
        version=source.version,
        config=effective,
        captioner=captioner,
        parts=parts,
        drain=life.drain,
        close=life.close,
        interrupt=life.interrupt,
        metrics=rows.metrics,
        provider=provider,
        properties={
            **row_properties(source, task, engine),
            "grid": grid,
            "sha256": proved.sha256,
            "golden_check": "; ".join(
                f"{name}: {graph.golden_check}" for name, graph in proved.graphs.items()
            ),
            "golden_captions": proved.captions,
        },
        message=config_message(
            source.name,
            source.config,
            effective,
            instances=source.plan.instances,
            gpu=source.engines.device.kind == "cuda",
        ),
    )


def _captioner(
    source: VersionSource,
    task: ImageCaptioningTask,
    proved: _Proved,
    encoder: LoadedModel,
    rows: RowScheduling,
) -> Captioner:
    engine = proved.engine
    return Captioner(
        CaptionerParts(
            task=task,
            facts=CaptionerFacts(
                model=source.name,
                version=str(source.version),
                sha256=proved.sha256,
                top=engine.layout.top,
                places=engine.layout.places,
                slots=engine.rules.slots,
                max_rows=engine.rules.max_waiting_rows,
            ),
            encoder=PictureEncoder(proved.pictures, *encoder.tensors()),
            scheduler=rows.scheduler,
            metrics=rows.observer,
        )
    )


@dataclass(frozen=True, slots=True)
class _Life:
    """The end of a captioner and its parts; see ``LoadedModel``."""

    parts: Mapping[str, LoadedModel]
    rows: RowScheduling
    engine: RowEngine

    async def drain(self) -> None:
        # In this order: what leaves the encoder goes on to the rows.
        for part in self.parts.values():
            await part.drain()
        await self.rows.scheduler.drain()

    def close(self) -> None:
        for part in self.parts.values():
            part.close()
        self.rows.scheduler.close()

    def interrupt(self) -> None:
        for part in self.parts.values():
            part.interrupt()
        self.engine.decoder.interrupt()


def _effective(source: VersionSource) -> EffectiveConfig:
    """The signature of every captioner, with which the file must agree if it names tensors."""
    config = source.config
    if config.sequences is not None:
        raise ConfigError("sequence_batching: a captioner keeps nothing between requests")
    if config.warmup:
        logger.warning("model %s: model_warmup has no effect on a captioner", source.name)
    # The file's batches are the encoder's; a request for captions is cut into pictures.
    alone = replace(config, batching=None, max_batch_size=0)
    return resolve_config(alone, CAPTION_INPUTS, CAPTION_OUTPUTS, source.engines.defaults)


def _prove_encoder(source: VersionSource, encoder: OnnxSession) -> ProvedTensors:
    """With the batches that the file asks for."""
    part = _part(
        source,
        ENCODER,
        encoder,
        replace(
            source.config,
            inputs=(),
            outputs=(),
            warmup=(),
            decoupled=None,
            default_model_filename=ENCODER_FILE,
        ),
    )
    effective = _tensors(part)
    proof = prove_graph(
        part, ENCODER, encoder, ENCODER_GOLDEN_FILE, rows=max(1, effective.max_batch_size)
    )
    try_zeros(part.name, encoder, effective)
    return ProvedTensors(source=part, effective=effective, golden_check=proof)


def _prove_rows(
    source: VersionSource, name: str, session: OnnxSession, engine: RowEngine
) -> ProvedTensors:
    """With batches up to all slots, as the scheduler of rows may make them."""
    files = {
        DECODE: (source.config.default_model_filename or MODEL_FILE, GOLDEN_FILE),
        PREFILL: (PREFILL_FILE, PREFILL_GOLDEN_FILE),
    }
    graph, golden = files[name]
    config = ModelConfig(
        default_model_filename=graph,
        version_policy=source.config.version_policy,
        instances=source.config.instances,
    )
    part = _part(source, name, session, config)
    proof = prove_graph(part, name, session, golden, rows=engine.rules.slots)
    return ProvedTensors(source=part, effective=_tensors(part), golden_check=proof)


def _part(
    source: VersionSource, name: str, session: OnnxSession, config: ModelConfig
) -> VersionSource:
    """One graph of the version, as if it were a model."""
    return replace(source, name=f"{source.name}.{name}", session=session, config=config)


def _tensors(part: VersionSource) -> EffectiveConfig:
    session = part.session
    return resolve_config(part.config, session.inputs, session.outputs, part.engines.defaults)
