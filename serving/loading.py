"""Builds one servable model version from its folder. Slow and blocking: call it on a thread."""

from pathlib import Path

from quartet.artifact import ImageCaptioningTask
from quartet.generation import TextGenerationTask
from quartet.image_generation import ImageGenerationTask
from serving.loaded_model import Engines, LoadedModel
from serving.loading_caption import load_captioner
from serving.loading_images import load_image_generator
from serving.loading_tensors import load_tensor_model
from serving.loading_text import load_generator
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
    task = source.declared_task()
    if isinstance(task, ImageCaptioningTask):
        return load_captioner(source, task)
    if isinstance(task, TextGenerationTask):
        return load_generator(source, task)
    if isinstance(task, ImageGenerationTask):
        return load_image_generator(source, task)
    return load_tensor_model(source, task)
