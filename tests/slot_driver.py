"""Drives a ``SlotScheduler`` by hand, and makes jobs for it."""

from typing import Any

from serving.errors import ServingError
from serving.generation_types import Sampling
from serving.slots import Planned, PlannedRun, SlotRules, SlotScheduler
from serving.token_scheduler import BeamSearch, DecodeRun, Job, PrefillRun, Row, Run
from tests.generation_sinks import RecordingSearch, RecordingSink
from tests.step_engines import HashEngine, write_alone


class SlotDriver:
    """A scheduler, an engine that checks every run, and a time that is set by hand."""

    def __init__(self, **rules: Any) -> None:
        self.rules = SlotRules(**rules)
        self.core = SlotScheduler(self.rules)
        self.engine = HashEngine(self.rules.slots)
        self.now = 0.0

    def submit(self, *jobs: Job) -> None:
        """One request."""
        self.core.submit(jobs, self.now)

    def plan(self) -> Planned | None:
        """What a lane is to do; the engine has begun it."""
        planned = self.core.plan(self.now)
        if isinstance(planned, PlannedRun):
            self.engine.begin(planned.run)
        return planned

    def run(self) -> Run:
        """A run that a lane must have got."""
        planned = self.plan()
        assert isinstance(planned, PlannedRun)
        self.finish(planned)
        return planned.run

    def decode(self) -> DecodeRun:
        """The next run, made; it must decode."""
        run = self.run()
        assert isinstance(run, DecodeRun)
        return run

    def prefill(self) -> PrefillRun:
        """The next run, made; it must prefill."""
        run = self.run()
        assert isinstance(run, PrefillRun)
        return run

    def finish(self, planned: Planned | None) -> None:
        """Let the engine be done with ``planned``."""
        assert planned is not None
        if not isinstance(planned, PlannedRun):
            states = [self.engine.read_state(slot) for slot in planned.slots]
            self.core.settle(planned, states, self.now)
            return
        try:
            result = self.engine.end(planned.run)
        except ServingError as error:
            self.core.fail(planned, error)
        else:
            self.core.apply(planned, result, self.now)

    def run_all(self) -> None:
        """Work until there is none, one run at a time; nothing may be left."""
        while (planned := self.plan()) is not None:
            self.finish(planned)
        assert self.core.idle
        assert (self.core.active_rows, self.core.waiting_rows) == (0, 0)


def make_row(prompt: tuple[int, ...] = (1,), max_tokens: int = 4, **fields: Any) -> Row:
    """A row with a sink of its own; its seed makes its text its own."""
    keep_state = fields.get("keep_state", False)
    defaults: dict[str, Any] = {
        "sink": RecordingSink(limit=max_tokens, keeps_state=keep_state),
        "sampling": Sampling(),
        "seed": 5,
    }
    return Row(prompt=prompt, max_tokens=max_tokens, **{**defaults, **fields})


def make_rows(count: int, **fields: Any) -> list[Row]:
    """Rows of one request."""
    return [make_row(stream=stream, **fields) for stream in range(count)]


def make_search(
    width: int, *, steps: int = 4, prompt: tuple[int, ...] = (1,), **fields: Any
) -> BeamSearch:
    """A search with a sink of its own."""
    sink = RecordingSearch(width=width, steps=steps)
    return BeamSearch(sink=sink, prompt=prompt, width=width, top=3, **fields)


def sink_of(row: Row) -> RecordingSink:
    """What ``row`` heard."""
    assert isinstance(row.sink, RecordingSink)
    return row.sink


def search_sink_of(search: BeamSearch) -> RecordingSearch:
    """What ``search`` heard."""
    assert isinstance(search.sink, RecordingSearch)
    return search.sink


def text_of(row: Row) -> list[int]:
    """What ``row`` would have written alone, up to ``max_tokens``."""
    tokens: list[int] = write_alone(row).tokens.tolist()
    return tokens


def is_whole(row: Row) -> bool:
    """Whether ``row`` has got its whole text, and nothing else."""
    sink = sink_of(row)
    return sink.ended and sink.error is None and sink.tokens == text_of(row)
