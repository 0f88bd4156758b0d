"""Pictures through one model: decode off the loop, run in batches, name the classes."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor

import numpy as np

from serving.errors import NotSupported
from serving.images import ImageLimits
from serving.loaded_model import LoadedModel
from serving.picture_decoding import decode_pictures
from serving.scheduler import Finished, Scheduler, Work
from serving.tasks.image_classification import ImageClassifier, missing_declaration
from serving.types import ClassifyRequest, ClassifyResponse, InferRequest, Tensor


async def classify_images(
    model: LoadedModel, request: ClassifyRequest, limits: ImageLimits, pool: Executor
) -> ClassifyResponse:
    """The best classes of each picture, best first, and the times of the first batch.

    Args:
        model: the model to run.
        request: encoded pictures and how many classes are wanted.
        limits: of one picture.
        pool: threads that decode pictures.

    Raises:
        NotSupported: the model does not declare how a picture becomes its input.
        ServingError: a bad picture, or what the scheduler raises.
    """
    classifier = _classifier_of(model)
    tensor = await decode_pictures(classifier, request.images, limits, pool)
    works = _works(model, classifier, tensor, request.deadline)
    finished = await _submit_all(model.tensors()[1], works)
    scores = np.concatenate([one.outputs[classifier.output_name] for one in finished])
    return ClassifyResponse(
        model_name=model.name,
        model_version=str(model.version),
        results=classifier.postprocess(scores, request.top_k),
        timings=finished[0].timings,
    )


def _classifier_of(model: LoadedModel) -> ImageClassifier:
    if model.classifier is None and model.task is not None:
        raise NotSupported(
            f"model {model.name!r} does not classify pictures: its task is {model.task}, "
            "expected image_classification"
        )
    if model.classifier is None:
        raise NotSupported(
            missing_declaration(model.name, model.config.inputs, model.config.outputs)
        )
    return model.classifier


def _works(
    model: LoadedModel, classifier: ImageClassifier, tensor: Tensor, deadline: float | None
) -> list[Work]:
    """Requests of at most ``max_batch_size`` rows; of one row if the model does not batch."""
    checker, _ = model.tensors()
    step = max(1, model.config.max_batch_size)
    parts = [tensor.data[start : start + step] for start in range(0, len(tensor.data), step)]
    return [
        checker.check(
            InferRequest(
                model_name=model.name,
                inputs={classifier.input_name: Tensor(tensor.datatype, part)},
                outputs=(classifier.output_name,),
                deadline=deadline,
            )
        )
        for part in parts
    ]


async def _submit_all(scheduler: Scheduler, works: Sequence[Work]) -> list[Finished]:
    """Submit every work at once; if one fails, the others are taken back."""
    if len(works) == 1:
        return [await scheduler.submit(works[0])]
    tasks = [asyncio.ensure_future(scheduler.submit(work)) for work in works]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
