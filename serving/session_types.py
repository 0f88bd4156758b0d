"""Sessions: texts whose state the server keeps, so that later requests go on with them."""

from dataclasses import dataclass
from typing import Literal

from serving.generation_types import Replacement
from serving.token_scheduler import RowState


@dataclass(slots=True, kw_only=True)
class SessionRequest:
    """A session wanted: the model reads the prompt, and its state is kept."""

    model_name: str
    model_version: str = ""
    prompt: str = ""
    prompt_ids: tuple[int, ...] | None = None
    """The prompt as symbols' ids, in place of ``prompt``."""
    seed: int | None = None
    """Of what will be written, unless a request says otherwise; None: the server draws one."""
    unknown: Literal["map", "refuse"] = "map"
    """See ``GenerateRequest.unknown``."""
    client: str = ""
    deadline: float | None = None
    """``time.monotonic()`` time after which nobody waits for the answer."""
    protocol: str = "http"
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionInfo:
    """What is known of a session. Times are Unix times, seconds."""

    id: str
    """Whoever knows it may use the session."""
    model: str
    version: str
    """The version that ran last; any of the same weights goes on."""
    sha256: str
    """Of the weights that the state belongs to."""
    created: float
    expires: float
    """When it is dropped unless it is used before."""
    symbols: int
    """Symbols of the text: all that were read and written."""
    text: str
    """The text's end, a few hundred characters at most."""
    seed: int
    """Of the symbols written next, unless a request says otherwise."""
    position: int
    """Symbols written, that is random numbers used."""
    in_use: bool
    """Whether a request is going on with it at this moment."""
    replaced: tuple[Replacement, ...] = ()
    """Of the prompt that it began with; only in the answer to its creation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextState:
    """Where a text stands: all that going on with it takes. Never changed once made."""

    state: RowState
    """Has read all of the text but its last symbol."""
    token: int
    """That last symbol."""
    symbols: int
    """Symbols of the text: all that were read and written, ``token`` included."""
    text: str
    """The end of the text."""
    seed: int
    position: int
    """Random numbers used."""
