"""Kept texts of all models: sessions, which have ids that nobody can guess, and sequences.

A kept text belongs to weights: any ready version of them goes on with it, also one that was loaded
later. A request that fails or whose client leaves does not change the text it went on with.
"""

import secrets
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from serving.accounting import Accounting
from serving.errors import Conflict, InvalidInput, NotSupported, SessionNotFound
from serving.generation_types import GenerateRequest, Replacement
from serving.loaded_model import LoadedModel
from serving.repository import ModelRepository
from serving.scheduler import SequenceStep
from serving.session_blob import ExportedSession, decode_session, encode_session
from serving.session_store import Kept, Lease, SessionStore, Weights
from serving.session_types import SessionInfo, SessionRequest, TextState
from serving.settings import GenerationSettings
from serving.tasks.text_generation import TextGenerator
from serving.token_scheduler import RowState

ID_BYTES = 16
"""Randomness of a session's id."""
KEY_BYTES = 32
"""Of a key that is drawn: as long as the hash, which RFC 2104 recommends at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionParts:
    """How sessions are kept."""

    store: SessionStore
    key: bytes
    """Signs exports."""
    clock: Callable[[], float] = time.monotonic
    unix_clock: Callable[[], float] = time.time


def make_sessions(settings: GenerationSettings | None = None) -> SessionParts:
    """An empty store as the settings want it; where they have no key, one is drawn."""
    settings = settings or GenerationSettings()
    key = settings.session_key
    return SessionParts(
        store=SessionStore(ttl_s=settings.session_ttl_s, capacity=settings.max_sessions),
        key=secrets.token_bytes(KEY_BYTES) if key is None else key.get_secret_value().encode(),
    )


class TextSessions:
    """Finds, makes and moves kept texts. Lives on the event loop."""

    def __init__(
        self, repository: ModelRepository, accounting: Accounting, parts: SessionParts
    ) -> None:
        """Keep texts of the models of ``repository``."""
        self._repository = repository
        self._accounting = accounting
        self._store = parts.store
        self._key = parts.key
        self._clock = parts.clock
        self._to_unix = parts.unix_clock() - parts.clock()
        """Added to a time on the clock it gives Unix time; once, so that times do not waver."""

    async def create(self, request: SessionRequest) -> SessionInfo:
        """Let a model read the prompt, and keep its state.

        Raises:
            ServingError: see ``TextGenerator.start``; NotSupported if the model writes no text.
        """
        with self._accounting.counted(request) as entry:
            model = entry.model = self._repository.get(request.model_name, request.model_version)
            generator = generator_of(model)
            session_id = secrets.token_urlsafe(ID_BYTES)
            lease = self._begin(_session_key(session_id), generator)
            try:
                answer = generator.start(_reading(request), keep=lease.keep)
                try:
                    async for _ in answer:
                        pass
                finally:
                    await answer.aclose()
            finally:
                lease.release()
            return self._info(session_id, lease.kept, answer.replaced)

    def info(self, session_id: str) -> SessionInfo:
        """What is known of a session; this is no use of it. Raises SessionNotFound."""
        return self._info(session_id, self._find(session_id))

    def state(self, session_id: str) -> RowState:
        """Its hidden state, by the names of the model's inputs. Raises SessionNotFound."""
        return _point(self._find(session_id)).state

    def fork(self, session_id: str) -> SessionInfo:
        """A second session that stands where this one stands; a request under way does not count.

        Raises:
            SessionNotFound: there is none of this id.
            QueueFull: there is no place for one more.
        """
        kept = self._find(session_id)
        made = self._add(kept.weights, _point(kept))
        if not kept.in_use:
            self._store.touch(kept, self._clock())
        return made

    def delete(self, session_id: str) -> None:
        """Forget a session; a request under way ends as if it were still there.

        Raises:
            SessionNotFound: there is none of this id.
        """
        self._store.drop(self._find(session_id))

    def export(self, session_id: str) -> bytes:
        """The session as signed bytes. Raises SessionNotFound."""
        kept = self._find(session_id)
        weights = kept.weights
        return encode_session(
            ExportedSession(
                model=weights.model,
                version=weights.version,
                sha256=weights.sha256,
                point=_point(kept),
            ),
            self._key,
        )

    def take_in(self, blob: bytes) -> SessionInfo:
        """Keep an exported session, under a new id.

        Raises:
            InvalidInput: it is no blob that this server's key signed.
            Conflict: no ready version has its weights.
            ModelNotFound: there is no such model.
            QueueFull: there is no place for it.
        """
        exported = decode_session(blob, self._key)
        weights = Weights(model=exported.model, version=exported.version, sha256=exported.sha256)
        self._model_of(weights, "")
        return self._add(weights, exported.point)

    def resume(self, request: GenerateRequest) -> tuple[LoadedModel, Lease]:
        """The model and text of a request that names a session.

        Raises:
            SessionNotFound: there is none of this id.
            Conflict: it is in use, of another model, or of weights that no ready version has.
        """
        kept = self._find(request.session)
        weights = kept.weights
        if self._repository.real_name(request.model_name) not in ("", weights.model):
            raise Conflict(
                f"model: the session is of model {weights.model!r}, got {request.model_name!r}"
            )
        model = self._model_of(weights, request.model_version)
        return model, self._hold(kept, generator_of(model))

    def resume_sequence(self, model: LoadedModel, step: SequenceStep) -> Lease:
        """The text of a sequence of ``model``, an empty one if the step begins it.

        Raises:
            InvalidInput: it does not begin the sequence, and there is none of this id.
            Conflict: it is in use.
            QueueFull: there is no place for it.
        """
        generator = generator_of(model)
        key = ("sequence", model.name, step.id)
        if step.start:
            return self._begin(key, generator)
        kept = self._store.find(key, self._clock())
        if kept is None or (not kept.in_use and kept.weights.sha256 != generator.facts.sha256):
            raise InvalidInput(
                f"inference request for sequence {step.id} to model {model.name!r} must specify "
                "the START flag on the first request of the sequence"
            )
        return self._hold(kept, generator)

    def count(self) -> int:
        """Texts that are kept; those whose time has run out are let go of."""
        self._store.expire(self._clock())
        return len(self._store)

    def drop(self, lease: Lease) -> None:
        """Forget the text of a lease; the request that holds it goes on."""
        self._store.drop(lease.kept)

    def _begin(self, key: Hashable, generator: TextGenerator) -> Lease:
        now = self._clock()
        return Lease(self._store, self._store.begin(key, _weights(generator), now), self._clock)

    def _hold(self, kept: Kept, generator: TextGenerator) -> Lease:
        self._store.hold(kept, self._clock())
        kept.weights = _weights(generator)
        return Lease(self._store, kept, self._clock)

    def _find(self, session_id: str) -> Kept:
        kept = self._store.find(_session_key(session_id), self._clock())
        if kept is None or kept.point is None:
            raise SessionNotFound(
                f"no session {session_id[:80]!r}: it was never made here, was deleted, or was not "
                f"used for {self._store.ttl_s:g} s"
            )
        return kept

    def _add(self, weights: Weights, point: TextState) -> SessionInfo:
        now = self._clock()
        session_id = secrets.token_urlsafe(ID_BYTES)
        kept = self._store.begin(_session_key(session_id), weights, now)
        kept.point = point
        self._store.release(kept, now)
        return self._info(session_id, kept)

    def _model_of(self, weights: Weights, version: str) -> LoadedModel:
        """A ready version with these weights: the one asked for, that of last time, the newest."""
        asked = self._repository.get(weights.model, version)
        fitting = [
            model
            for model in self._repository.ready_models()
            if model.name == weights.model
            and model.generator is not None
            and model.generator.facts.sha256 == weights.sha256
            and (not version or model is asked)
        ]
        if not fitting:
            which = f"version {version}" if version else "no ready version"
            raise Conflict(
                f"the session is of weights with sha256 {weights.sha256}, which {which} of model "
                f"{weights.model!r} {'does not have' if version else 'has'}"
            )
        return max(fitting, key=lambda m: (str(m.version) == weights.version, m.version))

    def _info(
        self, session_id: str, kept: Kept, replaced: tuple[Replacement, ...] = ()
    ) -> SessionInfo:
        point, weights = _point(kept), kept.weights
        return SessionInfo(
            id=session_id,
            model=weights.model,
            version=weights.version,
            sha256=weights.sha256,
            created=kept.created + self._to_unix,
            expires=self._store.expires(kept) + self._to_unix,
            symbols=point.symbols,
            text=point.text,
            seed=point.seed,
            position=point.position,
            in_use=kept.in_use,
            replaced=replaced,
        )


def generator_of(model: LoadedModel) -> TextGenerator:
    """What writes text in ``model``. Raises NotSupported if nothing does."""
    if model.generator is None:
        raise NotSupported(
            f"model {model.name!r} does not write text: its task is "
            f"{model.task or 'not declared'}, expected text_generation"
        )
    return model.generator


def _session_key(session_id: str) -> Hashable:
    return "session", session_id


def _weights(generator: TextGenerator) -> Weights:
    facts = generator.facts
    return Weights(model=facts.model, version=facts.version, sha256=facts.sha256)


def _point(kept: Kept) -> TextState:
    if kept.point is None:
        raise RuntimeError("a session without a state was given out")
    return kept.point


def _reading(request: SessionRequest) -> GenerateRequest:
    """Reads the prompt and writes nothing."""
    return GenerateRequest(
        model_name=request.model_name,
        model_version=request.model_version,
        prompt=request.prompt,
        prompt_ids=request.prompt_ids,
        max_tokens=0,
        seed=request.seed,
        unknown=request.unknown,
        client=request.client,
        deadline=request.deadline,
        protocol=request.protocol,
        request_id=request.request_id,
    )
