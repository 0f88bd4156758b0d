"""Captions as JSON: whole, as the events of a stream, and of the scenes of a video."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson

from serving.caption_types import (
    Caption,
    CaptionAnswer,
    CaptionPiece,
    CaptionResponse,
    Floats,
    VideoResponse,
    Word,
)
from serving.rest.sse import DONE, event


def render_captions(response: CaptionResponse, *, many: bool) -> bytes:
    """One object, or ``{"results": [...]}`` of them if ``many``, as the answers of classify."""
    results = [
        {**_made_by(response), "captions": [_caption(caption) for caption in captions]}
        for captions in response.results
    ]
    return _dump({"results": results} if many else results[0])


def render_video(response: VideoResponse) -> bytes:
    """One object, with a list of scenes."""
    scenes = [
        {
            "start_s": scene.start_s,
            "end_s": scene.end_s,
            "frame_s": scene.frame_s,
            "captions": [_caption(caption) for caption in scene.captions],
        }
        for scene in response.scenes
    ]
    times = {"duration_s": response.duration_s, "frames": response.frames}
    return _dump({**_made_by(response), **times, "scenes": scenes})


class CaptionEvents:
    """Writes the pieces of one answer as server-sent events.

    The first also tells the model, its version, and the seed if captions are drawn.
    """

    def __init__(self, answer: CaptionAnswer) -> None:
        self._first = _made_by(answer)

    def event(self, piece: CaptionPiece) -> bytes:
        """One event: a word, or a caption that is over.

        The attention of a whole caption's words is left out: the words before have told it.
        """
        document = {**self._first, "image": piece.image, "caption": piece.caption}
        self._first = {}
        if piece.word is not None:
            document["token"] = _token(piece.word)
        if piece.whole is not None:
            document["whole"] = _caption(piece.whole, attention=False)
        return event(_dump(document))

    def end(self) -> bytes:
        """What is behind the last piece: nothing was cut off."""
        return DONE


def _made_by(answer: CaptionResponse | CaptionAnswer | VideoResponse) -> dict[str, Any]:
    seed = {} if answer.seed is None else {"seed": answer.seed}
    return {"model_name": answer.model_name, "model_version": answer.model_version, **seed}


def _caption(caption: Caption, *, attention: bool = True) -> dict[str, Any]:
    return {
        "text": caption.text,
        "log_probability": caption.log_probability,
        "finish_reason": caption.finish_reason,
        "tokens": [_token(word, attention=attention) for word in caption.words],
    }


def _token(word: Word, *, attention: bool = True) -> dict[str, Any]:
    token: dict[str, Any] = {"text": word.text, "log_probability": word.log_probability}
    if attention and word.attention is not None:
        token["attention"] = _map(word.attention)
    return token


def _map(weights: Floats) -> dict[str, Any]:
    """Row by row from the upper left."""
    rows, columns = weights.shape
    values: Sequence[float] | Floats = np.ascontiguousarray(weights).reshape(-1)
    return {"rows": rows, "columns": columns, "values": values}


def _dump(document: dict[str, Any]) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
