"""Kept texts: sessions and sequences, their states, and when they are let go.

Pure: times are arguments, ids come from outside. A request holds the text that it goes on with, so
that two never write one text at once.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from serving.errors import Conflict, QueueFull
from serving.session_types import TextState


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Whose state it is."""

    model: str
    version: str
    sha256: str
    """A state fits any version of the same weights."""


@dataclass(slots=True, eq=False)
class Kept:
    """One kept text."""

    key: Hashable
    weights: Weights
    created: float
    point: TextState | None = None
    """None until the first request has ended."""
    used: float = 0.0
    """When it was last used."""
    in_use: bool = False
    before: "Kept | None" = None
    """The text of the same key that it replaces, until its first request is under way."""


@dataclass(slots=True)
class SessionStore:
    """At most ``capacity`` texts, each kept for ``ttl_s`` seconds after its last use.

    Those in use do not run out of time. A text is never let go of to make room for another.
    """

    ttl_s: float
    capacity: int
    _kept: "OrderedDict[Hashable, Kept]" = field(default_factory=OrderedDict)
    """Those not in use in the order of their last use, for they run out of time in that order."""

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, key: Hashable, now: float) -> Kept | None:
        """The text of ``key``; this is no use of it."""
        self.expire(now)
        return self._kept.get(key)

    def begin(self, key: Hashable, weights: Weights, now: float) -> Kept:
        """Make a place for a new text, in use at once; one of that key before is replaced.

        Raises:
            Conflict: the one before is in use.
            QueueFull: there is no place.
        """
        self.expire(now)
        before = self._kept.get(key)
        if before is not None and before.in_use:
            raise _in_use()
        if before is None and len(self._kept) >= self.capacity:
            raise QueueFull(
                f"Exceeds maximum number of sessions: {len(self._kept)} are kept, "
                f"{self.capacity} may",
                retry_after_s=self._next_expiry(now),
            )
        kept = Kept(key, weights, created=now, used=now, in_use=True, before=before)
        self._kept[key] = kept
        return kept

    def hold(self, kept: Kept, now: float) -> None:
        """Take ``kept`` into use. Raises Conflict if it is."""
        if kept.in_use:
            raise _in_use()
        kept.in_use = True
        kept.used = now

    def release(self, kept: Kept, now: float) -> None:
        """The request is over; a text that it did not get to begin is forgotten."""
        if self._kept.get(kept.key) is not kept:
            return
        kept.in_use = False
        kept.used = now
        if kept.point is None:
            del self._kept[kept.key]
        else:
            self._kept.move_to_end(kept.key)

    def undo(self, kept: Kept, now: float) -> None:
        """The request was refused: a text that it was to begin leaves its key to the one before."""
        if kept.point is not None or kept.before is None:
            self.release(kept, now)
        elif self._kept.get(kept.key) is kept:
            self._kept[kept.key] = kept.before

    def touch(self, kept: Kept, now: float) -> None:
        """``kept`` was used without being changed."""
        kept.used = now
        self._kept.move_to_end(kept.key)

    def drop(self, kept: Kept) -> None:
        """Forget ``kept``, whether or not a request holds it."""
        if self._kept.get(kept.key) is kept:
            del self._kept[kept.key]

    def expire(self, now: float) -> None:
        """Let go of all whose time has run out."""
        due = []
        for kept in self._kept.values():
            if kept.in_use:
                continue
            if kept.used + self.ttl_s > now:
                break
            due.append(kept.key)
        for key in due:
            del self._kept[key]

    def expires(self, kept: Kept) -> float:
        """When ``kept`` is let go of unless it is used before."""
        return kept.used + self.ttl_s

    def _next_expiry(self, now: float) -> float | None:
        """Seconds until a place is free at the latest; None if only requests can free one."""
        for kept in self._kept.values():
            if not kept.in_use:
                return max(self.expires(kept) - now, 0.0)
        return None


class Lease:
    """A kept text while one request goes on with it."""

    def __init__(self, store: SessionStore, kept: Kept, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._held = True
        self.kept = kept

    def keep(self, point: TextState) -> None:
        """The text stands at ``point`` now, and the next request may have it."""
        self.kept.point = point
        self.release()

    def undo(self) -> None:
        """The request was refused, and changes nothing."""
        if self._held:
            self._held = False
            self._store.undo(self.kept, self._clock())

    def begun(self) -> None:
        """The request is under way: what it replaces is gone."""
        self.kept.before = None

    def release(self) -> None:
        """The request is over; a second call changes nothing."""
        if self._held:
            self._held = False
            self._store.release(self.kept, self._clock())


def _in_use() -> Conflict:
    return Conflict("the session is in use by another request; wait for its end or fork it")
