"""Kept texts through the service: real graphs and scheduler, a tiny model."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr

from serving.errors import (
    Conflict,
    InvalidInput,
    ModelNotFound,
    NotSupported,
    QueueFull,
    SessionNotFound,
    ShuttingDown,
)
from serving.generation_types import GenerateRequest, Replacement, collect
from serving.service import InferenceService
from serving.session_store import SessionStore
from serving.session_types import SessionInfo, SessionRequest
from serving.settings import GenerationSettings
from serving.text_sessions import SessionParts, make_sessions
from tests.e2e.graphs import plus, write_model
from tests.serving_parts import running_service
from tests.text_models import make_text_model

TTL = 60.0
UNIX = 1_700_000_000.0
"""Unix time when the test's clock shows 0."""


class Clock:
    """Shows what it is told."""

    def __init__(self) -> None:
        self.now = 0.0

    def parts(self, *, capacity: int = 4, key: bytes = b"0123456789abcdef") -> SessionParts:
        return SessionParts(
            store=SessionStore(ttl_s=TTL, capacity=capacity),
            key=key,
            clock=lambda: self.now,
            unix_clock=lambda: UNIX + self.now,
        )


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text model, and a model of tensors."""
    folder = tmp_path_factory.mktemp("models")
    make_text_model(folder / "poet", goldens=False)
    write_model(folder, "plus", plus(1))
    return folder


@asynccontextmanager
async def serving(root: Path, sessions: SessionParts) -> AsyncIterator[InferenceService]:
    with running_service(root, sessions=sessions) as (service, repository, _):
        await repository.load_all()
        yield service


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def service(root: Path, clock: Clock) -> AsyncIterator[InferenceService]:
    async with serving(root, clock.parts()) as made:
        yield made


async def create(service: InferenceService, prompt: str = "Hello", **fields: Any) -> SessionInfo:
    return await service.create_session(
        SessionRequest(**{"model_name": "poet", "prompt": prompt, "seed": 7, **fields})
    )


async def go_on(service: InferenceService, session: str, length: int = 10, **fields: Any) -> str:
    request = GenerateRequest(
        **{"model_name": "", "session": session, "max_tokens": length, **fields}
    )
    (text,) = await collect(await service.generate(request))
    return text.text


async def whole(service: InferenceService, length: int, **fields: Any) -> str:
    """What one request without a session writes."""
    request = GenerateRequest(
        **{"model_name": "poet", "prompt": "Hello", "seed": 7, "max_tokens": length, **fields}
    )
    (text,) = await collect(await service.generate(request))
    return text.text


# --- a session's text ----------------------------------------------------------------------------


async def test_a_new_session_tells_what_it_is(service: InferenceService, clock: Clock) -> None:
    clock.now = 5.0
    info = await create(service, "Hell\u00f6")
    poet = service.model_metadata("poet")
    assert info == SessionInfo(
        id=info.id,
        model="poet",
        version="1",
        sha256=poet.properties["sha256"],
        created=UNIX + 5,
        expires=UNIX + 5 + TTL,
        symbols=5,
        text="Hello",
        seed=7,
        position=0,
        in_use=False,
        replaced=(Replacement("\u00f6", "o", 1),),
    )
    assert len(info.id) >= 22, "128 random bits in base 64"


@pytest.mark.parametrize("lengths", [(40,), (1, 39), (16, 16, 8), (13, 0, 20, 7)])
async def test_a_session_writes_what_one_request_writes(
    service: InferenceService, lengths: tuple[int, ...]
) -> None:
    session = (await create(service)).id
    parts = [await go_on(service, session, length) for length in lengths]
    assert "".join(parts) == await whole(service, 40)


async def test_a_session_writes_the_same_in_a_crowd(service: InferenceService) -> None:
    async def chat() -> str:
        session = (await create(service)).id
        return "".join([await go_on(service, session, length) for length in (9, 3, 18)])

    noise = [whole(service, 100, seed=seed) for seed in range(8)]
    texts = await asyncio.gather(chat(), chat(), *noise)
    assert texts[0] == texts[1] == await whole(service, 30)


async def test_a_session_begun_without_a_prompt_writes_as_a_request_without(
    service: InferenceService,
) -> None:
    session = (await create(service, "")).id
    assert await go_on(service, session, 20) == await whole(service, 20, prompt="")


async def test_a_session_tells_where_its_text_stands(
    service: InferenceService, clock: Clock
) -> None:
    session = (await create(service)).id
    clock.now = 30.0
    text = await go_on(service, session, 12, seed=9)
    info = service.session(session)
    assert (info.symbols, info.position, info.seed) == (17, 12, 9)
    assert info.text == "Hello" + text
    assert (info.created, info.expires) == (UNIX, UNIX + 30 + TTL)


async def test_a_sessions_state_can_be_looked_at(service: InferenceService) -> None:
    session = (await create(service)).id
    before = service.session_state(session)
    assert all(array.dtype == np.float32 for array in before.values())
    await go_on(service, session)
    after = service.session_state(session)
    assert before.keys() == after.keys()
    assert any((before[name] != after[name]).any() for name in before)


async def test_a_session_may_be_named_with_its_model(service: InferenceService) -> None:
    session = (await create(service)).id
    assert len(await go_on(service, session, model_name="poet", model_version="1")) == 10
    with pytest.raises(Conflict, match="the session is of model 'poet', got 'plus'"):
        await go_on(service, session, model_name="plus")


# --- one request at a time -----------------------------------------------------------------------


async def test_a_session_in_use_is_refused_to_another_request(service: InferenceService) -> None:
    session = (await create(service)).id
    request = GenerateRequest(model_name="", session=session, max_tokens=5000)
    answer = await service.generate(request)
    await anext(aiter(answer))
    assert service.session(session).in_use
    with pytest.raises(Conflict, match="in use"):
        await go_on(service, session)
    await answer.aclose()
    assert not service.session(session).in_use


async def test_a_request_that_is_left_does_not_change_its_session(
    service: InferenceService,
) -> None:
    session = (await create(service)).id
    before = service.session_state(session)
    answer = await service.generate(
        GenerateRequest(model_name="", session=session, max_tokens=5000)
    )
    await anext(aiter(answer))
    await answer.aclose()
    assert service.session_state(session) is before
    assert await go_on(service, session, 20) == await whole(service, 20)


async def test_a_request_that_is_refused_does_not_hold_its_session(
    service: InferenceService,
) -> None:
    session = (await create(service)).id
    with pytest.raises(InvalidInput, match="n: a session has one text"):
        await go_on(service, session, n=2)
    assert len(await go_on(service, session)) == 10


async def test_a_session_is_free_once_its_last_piece_has_come(service: InferenceService) -> None:
    session = (await create(service)).id
    answer = await service.generate(GenerateRequest(model_name="", session=session, max_tokens=20))
    pieces = aiter(answer)
    while (await anext(pieces)).finish_reason is None:
        pass
    assert len(await go_on(service, session)) == 10
    await answer.aclose()


async def test_an_answer_that_ends_late_does_not_free_the_session_of_the_next(
    service: InferenceService,
) -> None:
    session = (await create(service)).id
    first = await service.generate(GenerateRequest(model_name="", session=session, max_tokens=5))
    while (await anext(aiter(first))).finish_reason is None:
        pass
    second = await service.generate(
        GenerateRequest(model_name="", session=session, max_tokens=5000)
    )
    await first.aclose()
    assert service.session(session).in_use
    await second.aclose()


# --- the life of a session -----------------------------------------------------------------------


async def test_a_session_runs_out_of_time(service: InferenceService, clock: Clock) -> None:
    session = (await create(service)).id
    clock.now = TTL - 1
    await go_on(service, session)
    clock.now = 2 * TTL - 2
    assert service.session(session).text
    clock.now = 2 * TTL - 1
    with pytest.raises(SessionNotFound, match="was not used for 60 s"):
        service.session(session)
    with pytest.raises(SessionNotFound):
        await go_on(service, session)


async def test_kept_texts_are_counted_and_let_go_of_when_the_metrics_are_read(
    root: Path, clock: Clock
) -> None:
    with running_service(root, sessions=clock.parts()) as (service, repository, metrics):
        await repository.load_all()
        await create(service)
        assert metrics.registry.get_sample_value("quartet_sessions") == 1
        clock.now = TTL
        assert metrics.registry.get_sample_value("quartet_sessions") == 0


async def test_a_deleted_session_is_gone(service: InferenceService) -> None:
    session = (await create(service)).id
    service.delete_session(session)
    with pytest.raises(SessionNotFound):
        service.session_state(session)
    with pytest.raises(SessionNotFound):
        service.delete_session(session)


async def test_a_session_deleted_while_it_is_written_stays_gone(
    service: InferenceService,
) -> None:
    session = (await create(service)).id
    answer = await service.generate(GenerateRequest(model_name="", session=session, max_tokens=20))
    service.delete_session(session)
    (text,) = await collect(answer)
    assert len(text.text) == 20
    with pytest.raises(SessionNotFound):
        service.session(session)


async def test_no_more_sessions_are_kept_than_may_be(
    service: InferenceService, clock: Clock
) -> None:
    sessions = [(await create(service)).id for _ in range(4)]
    with pytest.raises(QueueFull, match="4 are kept, 4 may") as refused:
        await create(service)
    assert refused.value.retry_after_s == TTL
    with pytest.raises(QueueFull):
        await service.fork_session(sessions[0])
    clock.now = TTL
    await create(service)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"model_name": "nobody"}, ModelNotFound),
        ({"model_name": "plus"}, NotSupported),
        ({"prompt": "\u4e2d", "unknown": "refuse"}, InvalidInput),
        ({"seed": -1}, InvalidInput),
    ],
)
async def test_a_session_that_cannot_begin_takes_no_place(
    service: InferenceService, fields: dict[str, Any], error: type[Exception]
) -> None:
    for _ in range(5):
        with pytest.raises(error):
            await create(service, **fields)
    assert len([await create(service) for _ in range(4)]) == 4


async def test_a_session_whose_creator_leaves_takes_no_place(service: InferenceService) -> None:
    creating = [asyncio.create_task(create(service, "Hello " * 2000)) for _ in range(4)]
    await asyncio.sleep(0)
    for task in creating:
        task.cancel()
    await asyncio.gather(*creating, return_exceptions=True)
    assert all(task.cancelled() for task in creating)
    assert len([await create(service) for _ in range(4)]) == 4
    await asyncio.wait_for(service.drained(), 1)


async def test_no_session_begins_while_the_server_drains(service: InferenceService) -> None:
    service.refuse_new()
    with pytest.raises(ShuttingDown):
        await create(service)


# --- forks ---------------------------------------------------------------------------------------


async def test_a_fork_writes_what_the_session_writes(service: InferenceService) -> None:
    session = (await create(service)).id
    await go_on(service, session, 10)
    fork = (await service.fork_session(session)).id
    assert fork != session
    rest = (await whole(service, 40))[10:]
    assert [await go_on(service, one, 30) for one in (session, fork)] == [rest, rest]


async def test_a_fork_is_a_use_of_the_session(service: InferenceService, clock: Clock) -> None:
    session = (await create(service)).id
    clock.now = TTL - 1
    await service.fork_session(session)
    assert service.session(session).expires == UNIX + 2 * TTL - 1


async def test_forks_take_their_own_ways(service: InferenceService) -> None:
    session = (await create(service)).id
    forks = [(await service.fork_session(session)).id for _ in range(2)]
    texts = [await go_on(service, one, 30, seed=seed) for seed, one in enumerate(forks)]
    assert texts[0] != texts[1]
    assert service.session(session).symbols == 5
    assert texts == [await whole(service, 30, seed=seed) for seed in range(2)]


async def test_a_session_in_use_is_forked_where_it_stood(service: InferenceService) -> None:
    session = (await create(service)).id
    answer = await service.generate(
        GenerateRequest(model_name="", session=session, max_tokens=5000)
    )
    fork = (await service.fork_session(session)).id
    assert await go_on(service, fork, 20) == await whole(service, 20)
    await answer.aclose()


# --- export and import ---------------------------------------------------------------------------


async def test_a_session_moves_to_another_server(root: Path, clock: Clock) -> None:
    async with serving(root, clock.parts()) as first, serving(root, clock.parts()) as second:
        session = (await create(first)).id
        begun = await go_on(first, session, 13)
        info = await second.import_session(first.export_session(session))
        assert info.id != session
        assert (info.text, info.position) == ("Hello" + begun, 13)
        rest = await go_on(second, info.id, 27)
        assert begun + rest == await whole(second, 40)


async def test_a_session_of_a_server_with_another_key_is_refused(
    root: Path, clock: Clock, service: InferenceService
) -> None:
    async with serving(root, clock.parts(key=b"another key 12345")) as other:
        blob = other.export_session((await create(other)).id)
    with pytest.raises(InvalidInput, match="signed with another key"):
        await service.import_session(blob)


async def test_a_session_of_other_weights_is_refused(
    tmp_path: Path, clock: Clock, service: InferenceService
) -> None:
    blob = service.export_session((await create(service)).id)
    make_text_model(tmp_path / "poet", goldens=False, seed=1)
    async with serving(tmp_path, clock.parts()) as other:
        with pytest.raises(Conflict, match="which no ready version of model 'poet' has"):
            await other.import_session(blob)


async def test_a_session_of_a_model_that_is_not_there_is_refused(
    tmp_path: Path, clock: Clock, service: InferenceService
) -> None:
    blob = service.export_session((await create(service)).id)
    async with serving(tmp_path, clock.parts()) as other:
        with pytest.raises(ModelNotFound):
            await other.import_session(blob)


async def test_a_session_goes_on_with_any_version_of_its_weights(
    root: Path, tmp_path: Path, clock: Clock, service: InferenceService
) -> None:
    """As after a deployment that gave the same weights another number."""
    session = (await create(service)).id
    begun = await go_on(service, session, 13)
    shutil.copytree(root / "poet" / "1", tmp_path / "poet" / "5")
    make_text_model(tmp_path / "poet", goldens=False, seed=1, version=6)
    shutil.copytree(root / "poet" / "1", tmp_path / "poet" / "4")
    (tmp_path / "poet" / "config.pbtxt").write_text("version_policy { all {} }")
    async with serving(tmp_path, clock.parts()) as other:
        moved = await other.import_session(service.export_session(session))
        answer = await other.generate(
            GenerateRequest(model_name="", session=moved.id, max_tokens=27)
        )
        assert answer.model_version == "5"
        (rest,) = await collect(answer)
        assert begun + rest.text == await whole(service, 40)
        assert len(await go_on(other, moved.id, model_version="4")) == 10
        assert len(await go_on(other, moved.id)) == 10
        assert other.session(moved.id).version == "4", "as last time, though 5 is newer"
        with pytest.raises(Conflict, match="which version 6 of model 'poet' does not have"):
            await go_on(other, moved.id, model_version="6")


# --- settings ------------------------------------------------------------------------------------


def test_servers_without_a_key_draw_different_ones() -> None:
    keys = {make_sessions().key for _ in range(5)}
    assert len(keys) == 5
    assert all(len(key) == 32 for key in keys)


def test_sessions_are_kept_as_the_settings_say() -> None:
    settings = GenerationSettings(
        session_ttl_s=5.0,
        max_sessions=7,
        session_key=SecretStr("0123456789abcdef"),
    )
    parts = make_sessions(settings)
    assert (parts.store.ttl_s, parts.store.capacity, parts.key) == (5.0, 7, b"0123456789abcdef")
