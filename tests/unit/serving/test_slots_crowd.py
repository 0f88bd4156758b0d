"""Any crowd of texts and searches gets, row by row, exactly what each would get alone."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from serving.errors import DeadlineExceeded, InferenceFailed, QueueFull
from serving.generation_types import Sampling
from serving.slot_units import Phase
from serving.slots import Planned, PlannedRun, SlotRules, SlotScheduler
from serving.token_scheduler import BeamSearch, Job, Row, RowState, Run
from tests.generation_sinks import RecordingSearch, RecordingSink
from tests.step_engines import (
    PLACES,
    SYMBOLS,
    TOP,
    HashEngine,
    attention_of,
    begun_state,
    initial_state,
    read_symbols,
    scores_after,
    search_alone,
    write_alone,
)

POISON = Sampling(top_k=13)
"""A run that draws for a row with this sampling fails."""

prompts = st.lists(st.integers(0, SYMBOLS - 1), min_size=1, max_size=9).map(tuple)
waits = st.none() | st.integers(1, 12)
keys = st.none() | st.integers(1, 4)
"""Constants of a request; none: it leaves them out."""


def state_of(key: int | None, read_before: tuple[int, ...] | None = None) -> RowState | None:
    """What a row begins with: of a text that goes on all, else the constant alone."""
    if read_before is not None:
        return read_symbols(initial_state(key or 0), read_before)
    return None if key is None else {"key": initial_state(key)["key"]}


def poisoned(run: Run) -> Exception | None:
    if run.kind == "decode" and POISON in run.sampling:
        return InferenceFailed("poison")
    return None


@dataclass(slots=True)
class Under:
    """A run that the engine has begun."""

    planned: Planned
    jobs: tuple[Job, ...]


class CrowdMachine(RuleBasedStateMachine):
    """Requests come, go and run out of time while runs begin, end and fail in any order."""

    @initialize(
        slots=st.integers(1, 7),
        lanes=st.integers(1, 3),
        steps=st.integers(1, 6),
        chunk=st.integers(1, 5),
        prefill_rows=st.integers(1, 4),
        waiting=st.integers(0, 8),
        max_rows=st.none() | st.integers(1, 5),
    )
    def begin(
        self,
        slots: int,
        lanes: int,
        steps: int,
        chunk: int,
        prefill_rows: int,
        waiting: int,
        max_rows: int | None,
    ) -> None:
        self.slot_rules = SlotRules(
            slots=slots,
            lanes=lanes,
            steps=steps,
            prefill_chunk=chunk,
            prefill_rows=prefill_rows,
            max_waiting_rows=waiting,
            max_rows=max_rows,
        )
        self.core = SlotScheduler(self.slot_rules)
        self.engine = HashEngine(slots, fault=poisoned)
        self.now = 0.0
        self.under: list[Under] = []
        self.jobs: list[Job] = []
        """All that were taken."""
        self.gone: set[Job] = set()
        """Cancelled."""
        self.expired: set[Job] = set()
        self.largest = 0
        """Rows of the largest request."""
        self.idle_plans: Counter[Job] = Counter()
        """Runs that left without a job which has a slot, since it last took part in one."""

    @rule(
        prompt=prompts,
        count=st.integers(1, 4),
        limit=st.integers(0, 15),
        stop=st.none() | st.integers(0, SYMBOLS - 1),
        stop_counts=st.booleans(),
        keep_state=st.booleans(),
        score_prompt=st.booleans(),
        alternatives=st.sampled_from((0, 0, 3)),
        attention=st.booleans(),
        min_tokens=st.sampled_from((0, 0, 1, 7, 20)),
        key=keys,
        continued=st.none() | prompts,
        poison=st.integers(0, 9),
        client=st.sampled_from("abc"),
        wait=waits,
        data=st.data(),
    )
    def submit_rows(
        self,
        prompt: tuple[int, ...],
        count: int,
        limit: int,
        stop: int | None,
        stop_counts: bool,
        keep_state: bool,
        score_prompt: bool,
        alternatives: int,
        attention: bool,
        min_tokens: int,
        key: int | None,
        continued: tuple[int, ...] | None,
        poison: int,
        client: str,
        wait: int | None,
        data: Any,
    ) -> None:
        state = state_of(key, continued)
        seed = data.draw(st.integers(0, 2**64 - 1))
        rows = [
            Row(
                sink=RecordingSink(
                    limit=limit,
                    stop=stop,
                    stop_counts=stop_counts,
                    keeps_state=keep_state,
                ),
                prompt=prompt,
                sampling=POISON if poison == index else Sampling(top_k=index),
                max_tokens=limit,
                min_tokens=min_tokens,
                seed=seed,
                stream=index,
                position=0 if continued is None else 3,
                state=state,
                keep_state=keep_state,
                alternatives=alternatives,
                attention=attention,
                score_prompt=score_prompt,
                client=client,
                deadline=None if wait is None else self.now + wait,
            )
            for index in range(count)
        ]
        self.submit(rows, count)

    @rule(
        prompt=prompts,
        width=st.integers(1, 4),
        top=st.integers(1, TOP),
        steps=st.integers(1, 8),
        attention=st.booleans(),
        key=keys,
        scored=st.booleans(),
        client=st.sampled_from("abc"),
        wait=waits,
    )
    def submit_search(
        self,
        prompt: tuple[int, ...],
        width: int,
        top: int,
        steps: int,
        attention: bool,
        key: int | None,
        scored: bool,
        client: str,
        wait: int | None,
    ) -> None:
        """A search, and perhaps a row beside it that tells what its prompt is worth."""
        state, deadline = state_of(key), None if wait is None else self.now + wait
        width = min(width, self.slot_rules.widest_run)
        search = BeamSearch(
            sink=RecordingSearch(width=width, steps=steps),
            prompt=prompt,
            width=width,
            top=top,
            attention=attention,
            state=state,
            client=client,
            deadline=deadline,
        )
        scores = Row(
            sink=RecordingSink(limit=0),
            prompt=prompt,
            sampling=Sampling(),
            max_tokens=0,
            seed=0,
            state=state,
            attention=attention,
            score_prompt=True,
            client=client,
            deadline=deadline,
        )
        jobs = [scores, search] if scored else [search]
        self.submit(jobs, width + scored)

    def submit(self, jobs: list[Any], rows: int) -> None:
        waiting, active = self.core.waiting_rows, self.core.active_rows
        try:
            self.core.submit(jobs, self.now)
        except QueueFull:
            assert waiting > 0
            assert waiting + rows > self.slot_rules.max_waiting_rows
            assert (self.core.waiting_rows, self.core.active_rows) == (waiting, active)
            return
        self.jobs += jobs
        self.largest = max(self.largest, rows)

    @rule()
    def plan(self) -> None:
        planned = self.core.plan(self.now)
        if planned is None:
            return
        assert len(self.under) < self.slot_rules.lanes
        jobs = tuple(unit.job for unit in planned.units)
        assert not self.gone & set(jobs), "a cancelled job runs on"
        assert not self.expired & set(jobs), "an expired job runs on"
        if isinstance(planned, PlannedRun):
            self.check_run(planned)
            self.engine.begin(planned.run)
            self.count_idle_plans(set(jobs))
        self.under.append(Under(planned, jobs))

    def check_run(self, planned: PlannedRun) -> None:
        rules, run = self.slot_rules, planned.run
        assert len(run.slots) <= rules.widest_run
        if run.kind == "prefill":
            assert run.tokens.shape[1] <= rules.prefill_chunk
            assert len(run.slots) <= rules.prefill_rows
        else:
            assert run.uniform.shape[1] <= rules.steps

    def count_idle_plans(self, took_part: set[Job]) -> None:
        """Whoever writes waits for a bounded number of runs of others: it does not starve."""
        for unit in self.core._lives.units.values():
            ready = unit.phase is Phase.WRITING and unit.seated and not unit.running
            if unit.job in took_part or not ready:
                self.idle_plans[unit.job] = 0
            else:
                self.idle_plans[unit.job] += 1
                # At worst, each run of its kind takes one unit, and the other two kinds have turns.
                assert self.idle_plans[unit.job] <= 3 * self.slot_rules.slots

    @precondition(lambda self: self.under)
    @rule(data=st.data())
    def finish(self, data: Any) -> None:
        under = self.under.pop(data.draw(st.integers(0, len(self.under) - 1)))
        self.deliver(under.planned)

    def deliver(self, planned: Planned) -> None:
        if not isinstance(planned, PlannedRun):
            states = [self.engine.read_state(slot) for slot in planned.slots]
            self.core.settle(planned, states, self.now)
            return
        try:
            result = self.engine.end(planned.run)
        except InferenceFailed as error:
            self.core.fail(planned, error)
        else:
            self.core.apply(planned, result, self.now)

    @precondition(lambda self: self.under)
    @rule(data=st.data(), moved=st.booleans())
    def fail_by_chance(self, data: Any, moved: bool) -> None:
        """A run of several fails without anybody's fault: all of them go on."""
        index = data.draw(st.integers(0, len(self.under) - 1))
        under = self.under[index]
        if len(under.jobs) == 1:
            return
        del self.under[index]
        error = InferenceFailed("bad luck")
        if isinstance(under.planned, PlannedRun):
            with pytest.raises(InferenceFailed, match="bad luck"):
                self.engine.end(under.planned.run, fail=error, moved=moved)
        self.core.fail(under.planned, error)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def cancel(self, data: Any) -> None:
        job = data.draw(st.sampled_from(self.jobs))
        assert isinstance(job.sink, RecordingSink | RecordingSearch)
        self.core.cancel(job)
        job.sink.deaf = True
        if not job.sink.over:
            self.gone.add(job)

    @rule(ticks=st.integers(0, 5))
    def time_passes(self, ticks: int) -> None:
        self.now += ticks
        self.core.expire(self.now)
        next_expiry = self.core.next_expiry()
        assert next_expiry is None or next_expiry > self.now
        self.expired = {job for job in self.jobs if isinstance(error_of(job), DeadlineExceeded)}

    @invariant()
    def slots_are_accounted_for(self) -> None:
        if not hasattr(self, "core"):
            return
        rules, lives = self.slot_rules, self.core._lives
        assert 0 <= self.core.active_rows <= rules.slots
        assert self.core.waiting_rows <= max(rules.max_waiting_rows, self.largest)
        held = [slot for unit in lives.units.values() for slot in unit.slots]
        held += [
            s
            for u in self.under
            for unit in u.planned.units
            if unit.job not in lives.units
            for s in unit.slots
        ]
        assert len(held) == len(set(held)) == self.core.active_rows

    def teardown(self) -> None:
        if not hasattr(self, "core"):
            return
        rounds = 0
        while not self.core.idle:
            rounds += 1
            assert rounds < 10_000, "it never ends"
            self.plan()
            if self.under and (len(self.under) == self.slot_rules.lanes or rounds % 3):
                self.deliver(self.under.pop(0).planned)
        assert (self.core.active_rows, self.core.waiting_rows) == (0, 0)
        assert self.core.next_expiry() is None
        for job in self.jobs:
            if isinstance(job, Row):
                check_row(job, cancelled=job in self.gone)
            else:
                check_search(job, cancelled=job in self.gone)


def error_of(job: Job) -> Exception | None:
    assert isinstance(job.sink, RecordingSink | RecordingSearch)
    return job.sink.error


def check_row(row: Row, *, cancelled: bool) -> None:
    """What its sink heard is what it would have heard alone, as far as it got."""
    sink = row.sink
    assert isinstance(sink, RecordingSink)
    alone = write_alone(row)
    tokens = alone.tokens.tolist()
    taken = RecordingSink(row.max_tokens, sink.stop, sink.stop_counts).taken_of(0, tokens)
    text = tokens[:taken]
    length = len(sink.tokens)
    assert cancelled or sink.over
    if row.sampling is POISON and row.max_tokens:
        assert not sink.tokens
        assert cancelled or sink.error is not None
    elif sink.error is not None:
        assert isinstance(sink.error, DeadlineExceeded)
    written = min(length, row.max_tokens)
    assert sink.tokens[:written] == text[:written]
    if sink.over and sink.error is None:
        assert written == len(text)
    assert sink.scores[:written] == alone.log_probabilities[:written].tolist()
    assert sink.near[:written] == alone.top_tokens[:written].tolist()
    seen = [] if alone.attention is None else alone.attention[:written].tolist()
    assert sink.attention[:written] == seen
    check_prompt_scores(row, sink)
    if sink.state is not None:
        symbols = (*row.prompt, *text)
        expected = read_symbols(begun_state(row.state), symbols[:-1])
        assert sink.state["hash"].tolist() == expected["hash"].tolist()
        assert sink.state["key"].tolist() == expected["key"].tolist()
        assert sink.last == symbols[-1]


def check_prompt_scores(row: Row, sink: RecordingSink) -> None:
    parts = sink.prompt_scores
    assert row.score_prompt or not parts
    heard = np.concatenate(parts) if parts else np.zeros((0, SYMBOLS), np.float32)
    if row.score_prompt and sink.ended:
        assert len(heard) == len(row.prompt) - 1
    seen = [part for part in sink.prompt_attention if part is not None]
    assert len(seen) == (len(parts) if row.attention else 0)
    attention = np.concatenate([np.zeros((0, PLACES), np.float32), *seen])
    assert len(attention) == (len(heard) if row.attention else 0)
    state: RowState = begun_state(row.state)
    for place, (symbol, scores) in enumerate(zip(row.prompt, heard, strict=False)):
        state = read_symbols(state, [symbol])
        np.testing.assert_array_equal(scores, scores_after(state))
        if row.attention:
            np.testing.assert_array_equal(attention[place], attention_of(state))


def check_search(search: BeamSearch, *, cancelled: bool) -> None:
    sink = search.sink
    assert isinstance(sink, RecordingSearch)
    alone = RecordingSearch(width=sink.width, steps=sink.steps)
    search_alone(search, alone)
    assert sink.shown == alone.shown[: len(sink.shown)]
    assert cancelled or sink.over
    if sink.error is not None:
        assert isinstance(sink.error, DeadlineExceeded)
    elif not cancelled:
        assert len(sink.shown) == sink.steps


CrowdMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
TestCrowdMachine = CrowdMachine.TestCase
