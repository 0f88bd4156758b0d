"""The rows and searches of one picture: what the scheduler is asked to run for its captions."""

from dataclasses import dataclass

import numpy as np

from quartet.artifact import ImageCaptioningTask
from quartet.beam_search import BeamRules, Hypothesis
from serving.beam_search import SearchSink, drawn_of
from serving.generation_types import Sampling
from serving.tasks.caption_answer import Captions, PictureCaptions
from serving.tasks.caption_plan import CaptionPlan
from serving.tasks.caption_sinks import BeginningSink, CaptionSearchSink, CaptionSink, WordRules
from serving.token_scheduler import BeamSearch, Job, Row, RowSink, RowState


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionCall:
    """What all pictures of one request have in common."""

    plan: CaptionPlan
    answer: Captions
    """Takes the captions."""
    client: str
    deadline: float | None


class CaptionJobs:
    """Makes the jobs of one model's pictures."""

    def __init__(self, task: ImageCaptioningTask, top: int) -> None:
        """``top``: candidates that the model offers at each step."""
        self._top = top
        index = task.vocabulary.index
        self._begin = index(task.begin)
        self._rules = WordRules(
            symbols=task.vocabulary,
            stop_symbols=frozenset(map(index, task.stop)),
            hidden=np.array([index(symbol) for symbol in task.hidden], np.int64),
            grid=task.grid,
        )

    def make(self, call: CaptionCall, image: int, state: RowState) -> list[Job]:
        """All jobs of picture ``image``, whose encoding is ``state``."""
        plan = call.plan
        captions = PictureCaptions(call.answer, image, awaits_beginning=bool(plan.beginning))
        jobs: list[Job] = []
        if plan.beginning:
            sink = BeginningSink(self._rules, captions, plan.beginning)
            row = self._row(call, state, sink)
            row.score_prompt = True
            jobs.append(row)
        if plan.width is not None:
            return [*jobs, self._search(call, captions, state, plan.width)]
        return jobs + [self._caption(call, captions, state, n) for n in range(plan.captions)]

    def _prompt(self, plan: CaptionPlan) -> tuple[int, ...]:
        return self._begin, *plan.beginning

    def _row(self, call: CaptionCall, state: RowState, sink: RowSink) -> Row:
        """A row that reads the beginning and writes nothing."""
        return Row(
            sink=sink,
            prompt=self._prompt(call.plan),
            sampling=Sampling(),
            max_tokens=0,
            seed=call.plan.seed or 0,
            state=state,
            attention=call.plan.attention,
            client=call.client,
            deadline=call.deadline,
        )

    def _caption(
        self, call: CaptionCall, captions: PictureCaptions, state: RowState, number: int
    ) -> Row:
        """A row that writes caption ``number``; its random numbers depend on nothing else."""
        plan = call.plan
        row = self._row(call, state, CaptionSink(self._rules, captions, number, plan.max_tokens))
        row.sampling = plan.sampling
        row.max_tokens = plan.max_tokens
        row.min_tokens = plan.min_tokens
        row.stream = captions.image * plan.captions + number
        return row

    def _search(
        self, call: CaptionCall, captions: PictureCaptions, state: RowState, width: int
    ) -> BeamSearch:
        plan, rules, answer = call.plan, self._rules, call.answer

        def finish(found: list[Hypothesis]) -> None:
            answer.lacks(plan.captions - len(found))
            for number, one in enumerate(found):
                CaptionSink(rules, captions, number, plan.max_tokens).accept(drawn_of(one))

        search = SearchSink(
            BeamRules(
                width=width,
                n=plan.captions,
                max_tokens=plan.max_tokens,
                min_tokens=plan.min_tokens,
                length_penalty=plan.length_penalty,
                symbols=rules.symbols,
                stop_symbols=rules.stop_symbols,
                until_full=True,
            ),
            done=finish,
            failed=answer.failed,
        )
        # Enough to find ``width`` that go on behind all that may end a caption or must not be seen.
        wanted = width + len(rules.stop_symbols) + len(rules.hidden)
        return BeamSearch(
            sink=CaptionSearchSink(search, rules.hidden),
            prompt=self._prompt(plan),
            width=width,
            top=min(self._top, wanted),
            attention=plan.attention,
            state=state,
            client=call.client,
            deadline=call.deadline,
        )
