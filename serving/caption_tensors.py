"""Captioners under the inference protocol: encoded pictures in, captions out, as tensors."""

from serving.types import Datatype, TensorSpec

IMAGE = "image"
CAPTION = "caption"
LOG_PROBABILITY = "log_probability"
CAPTION_INPUTS = (TensorSpec(IMAGE, Datatype.BYTES, (-1,)),)
"""The input of every captioner: encoded pictures."""
CAPTION_OUTPUTS = (
    TensorSpec(CAPTION, Datatype.BYTES, (-1,)),
    TensorSpec(LOG_PROBABILITY, Datatype.FP32, (-1,)),
)
"""The outputs of every captioner: texts in UTF-8, and their log-probabilities in nats."""
