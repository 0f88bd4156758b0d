"""Which answers a client may keep, and what tells it that it has the right one (RFC 9110, 9111).

A picture of a given seed is the same for ever, so its answer has a strong validator that is known
before anything is made: it names the model, the request and the encoders.
"""

import hashlib

import numpy as np

from serving.image_types import GivenLatents, LatentSource, Samples
from serving.picture_files import ENCODERS
from serving.rest.http import NOT_MODIFIED, Reply
from serving.rest.images_form import AnswerForm
from serving.rest.images_request import ImagesCall

SCHEME = 1
"""To be raised when the same request comes to be answered by other bytes."""
PINNED = b"public, max-age=31536000, immutable"
"""Of an address that names the version and every noise: a year."""
REVALIDATED = b"public, no-cache"
"""Of one that names no version: it may be kept, and is asked for again by its validator."""
NEVER = b"no-store"
"""Of what the server has drawn, and of answers to POST."""

Headers = tuple[tuple[bytes, bytes], ...]


def is_repeatable(source: LatentSource) -> bool:
    """Whether the same request means the same pictures: no seed is left to the server."""
    return not (isinstance(source, Samples) and source.seed is None)


def entity_tag(call: ImagesCall, form: AnswerForm, fingerprint: str, version: str) -> str:
    """The strong validator of a repeatable answer, quotes included.

    Args:
        call: the request.
        form: of the answer.
        fingerprint: of the model; see ``ImageAnswer``.
        version: of the model; answers and their headers tell it.
    """
    said = [SCHEME, fingerprint, version, ENCODERS, _canonical(call), form]
    # Not JSON: numbers that no model takes must get as far as being refused, whatever their size.
    return f'"{hashlib.sha256(ascii(said).encode()).hexdigest()[:32]}"'


def has_already(if_none_match: str | None, tag: str) -> bool:
    """Whether the header names ``tag``, by weak comparison (RFC 9110, 13.1.2)."""
    if if_none_match is None:
        return False
    given = [item.strip().removeprefix("W/") for item in if_none_match.split(",")]
    return "*" in given or tag in given


def not_modified(headers: Headers) -> Reply:
    """The answer to a client that has the right one."""
    return Reply(b"", NOT_MODIFIED, headers=headers)


def cache_headers(tag: str | None, *, pinned: bool, negotiated: bool) -> Headers:
    """What an answer says of its keeping.

    Args:
        tag: its validator; None: it is not to be kept.
        pinned: the address names the version.
        negotiated: the header Accept chose the form.
    """
    vary: Headers = ((b"vary", b"accept"),) if negotiated else ()
    if tag is None:
        return ((b"cache-control", NEVER), *vary)
    control = PINNED if pinned else REVALIDATED
    return ((b"etag", tag.encode()), (b"cache-control", control), *vary)


def _canonical(call: ImagesCall) -> list[object]:
    source = call.source
    name = type(source).__name__
    said: object = source
    if isinstance(source, GivenLatents):
        z = np.ascontiguousarray(source.z)
        said = [list(z.shape), hashlib.sha256(z.tobytes()).hexdigest()]
    options = call.options
    directions = sorted(options.directions.items())
    return [name, said, options.truncation, options.class_name, options.prompt, directions]
