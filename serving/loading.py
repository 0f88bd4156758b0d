"""Builds one servable model version from its folder. Slow and blocking: call it on a thread."""

from pathlib import Path

from serving.loaded_model import Engines, LoadedModel
from serving.loading_tensors import load_tensor_model
from serving.model_config import ModelConfig
from serving.version_source import open_version


def load_version(
    name: str, version: int, folder: Path, config: ModelConfig, engines: Engines
) -> LoadedModel:
    """Load ``folder``/``version``, prove it on its golden inputs and warm it up.

    Raises:
        ConfigError: the files, the configuration and the graph do not fit together, or the golden
            check failed; the text names what was wrong and what was expected.
    """
    source = open_version(name, version, folder, config, engines)
    return load_tensor_model(source, source.declared_task())
