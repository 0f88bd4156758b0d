"""What the hot routes are made of: where a URL leads, and what serves it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from serving.errors import ServingError
from serving.rest.http import Receive, Reply, Scope, error_reply
from serving.rest.sse import EventStream


@dataclass(frozen=True, slots=True)
class Target:
    """What a URL names."""

    model: str = ""
    version: str = ""
    session: str = ""


Handler = Callable[[Scope, Receive, Target, str], Awaitable[Reply | EventStream[Any]]]


@dataclass(frozen=True, slots=True)
class Route:
    """How one request is served."""

    handler: Handler
    target: Target
    error_reply: Callable[[ServingError, str], Reply] = error_reply
    """Writes an error, given the request id."""
    methods: tuple[str, ...] = ("POST",)
    """HTTP methods that are taken."""


def is_version(text: str) -> bool:
    """Whether a part of a path can be the number of a version."""
    return text.isascii() and text.isdecimal()
