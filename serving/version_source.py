"""What one version is built from: its folder, its configuration, its first graph, its threads."""

from dataclasses import dataclass
from pathlib import Path

from quartet.artifact import METADATA_KEY, MODEL_FILE, ArtifactError, TaskDeclaration, parse_task
from quartet.config import ConfigError
from serving.layout import version_folder
from serving.loaded_model import Engines
from serving.model_config import ModelConfig
from serving.session import OnnxSession, SessionOptions
from serving.threads import ThreadPlan, plan_threads


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionSource:
    """One version's folder, opened."""

    name: str
    version: int
    folder: Path
    """The model's folder, the parent of the version's."""
    config: ModelConfig
    engines: Engines
    plan: ThreadPlan
    path: Path
    """The graph that ``session`` runs."""
    session: OnnxSession

    @property
    def files(self) -> Path:
        """The version's folder."""
        return version_folder(self.folder, self.version)

    def open_beside(self, file: str) -> OnnxSession:
        """Another graph of the same version. Raises ConfigError."""
        path = self.path.parent / file
        if not path.is_file():
            raise ConfigError(f"{self.folder.name}/{self.version} has no file {file!r}")
        return _open(path, self.config, self.plan, self.engines)

    def declared_task(self) -> TaskDeclaration | None:
        """What the model says it is for: a parameter of the file wins over the graph's metadata.

        Raises:
            ConfigError: the declaration cannot be read.
        """
        text = self.config.parameters.get(METADATA_KEY) or self.session.metadata.get(METADATA_KEY)
        if text is None:
            return None
        try:
            return parse_task(text)
        except ArtifactError as error:
            raise ConfigError(str(error)) from error


def open_version(
    name: str, version: int, folder: Path, config: ModelConfig, engines: Engines
) -> VersionSource:
    """Open the first graph of ``folder``/``version``.

    Raises:
        ConfigError: the file is missing or no model, or the configuration plans threads wrongly.
    """
    path = _model_path(version_folder(folder, version), config)
    plan = _thread_plan(config, engines)
    return VersionSource(
        name=name,
        version=version,
        folder=folder,
        config=config,
        engines=engines,
        plan=plan,
        path=path,
        session=_open(path, config, plan, engines),
    )


def _open(path: Path, config: ModelConfig, plan: ThreadPlan, engines: Engines) -> OnnxSession:
    session = OnnxSession(path, engines.device, _session_options(config, plan))
    return engines.interrupter.add(session)


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
