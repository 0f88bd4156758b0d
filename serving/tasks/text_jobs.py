"""The rows of one request: what the scheduler is asked to run, and where its results go."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from quartet.beam_search import BeamRules, Hypothesis
from quartet.generation import TextGenerationTask
from serving.beam_search import SearchSink, drawn_of
from serving.generation_types import GenerateRequest, Symbol
from serving.prompt_scores import PromptScores
from serving.session_types import TextState
from serving.stop_strings import StopStrings
from serving.tasks.best_of import BestOf
from serving.tasks.generation_plan import GenerationPlan
from serving.tasks.text_answer import TextAnswer
from serving.text_sink import TAIL_CHARACTERS, TextListener, TextRules, TextSink
from serving.token_scheduler import BeamSearch, Job, Row, RowSink, RowState
from serving.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class TextPlan:
    """What all texts of one request have in common."""

    request: GenerateRequest
    plan: GenerationPlan
    prompt: tuple[int, ...]
    """Symbols of the request's prompt."""
    resumed: TextState | None
    """The text that the prompt goes on with."""
    answer: TextAnswer
    """Takes the texts."""


class JobBuilder:
    """Makes the jobs of one model's requests."""

    def __init__(self, task: TextGenerationTask, vocabulary: Vocabulary, top: int) -> None:
        """``top``: alternatives that the model offers at each step."""
        self._vocabulary = vocabulary
        self._top = top
        self._begin = vocabulary.id_of(task.begin)
        self._stop_symbols = frozenset(map(vocabulary.id_of, task.stop))

    def _prompt(self, text: TextPlan) -> tuple[int, ...]:
        """What a row reads: the prompt behind what it goes on with."""
        if text.resumed is not None:
            return text.resumed.token, *text.prompt
        return text.prompt or (self._begin,)

    def echo(self, text: TextPlan) -> list[Job]:
        """Give the prompt back; the job is to score it."""
        request, answer = text.request, text.answer
        if not request.echo:
            return []
        if request.logprobs is None or not text.prompt:
            answer.echo(())
            return []
        symbols, prompt = self._vocabulary.symbols, self._prompt(text)
        first = () if text.resumed is not None else (Symbol(symbols[prompt[0]], None),)
        if len(prompt) == 1:
            answer.echo(first)
            return []
        answer.await_echo()
        scores = PromptScores(
            prompt,
            symbols,
            request.logprobs,
            done=lambda scored: answer.echo(first + scored),
            failed=answer.failed,
        )
        job = self._row(text, scores, max_tokens=0)
        job.score_prompt = True
        return [job]

    def rows(self, text: TextPlan, keep: Callable[[TextState], None] | None) -> list[Job]:
        """A row for each text; their random numbers do not depend on how many there are."""
        plan, answer = text.plan, text.answer
        chosen = BestOf(answer, plan.n) if plan.texts > plan.n else None
        listener: TextListener = chosen or answer
        rules = self._rules(text, keep_state=keep is not None, sum_scores=chosen is not None)
        sinks = [TextSink(rules, index, listener) for index in range(plan.texts)]
        if chosen is not None:
            chosen.sinks = sinks
        rows: list[Job] = []
        for index, sink in enumerate(sinks):
            row = self._row(text, sink, max_tokens=plan.max_tokens)
            row.stream = index
            row.alternatives = text.request.logprobs or 0
            row.keep_state = keep is not None
            rows.append(row)
        if keep is not None:
            answer.on_state = partial(_keep, keep, text, sinks[0])
        return rows

    def _row(self, text: TextPlan, sink: RowSink, *, max_tokens: int) -> Row:
        request, resumed = text.request, text.resumed
        return Row(
            sink=sink,
            prompt=self._prompt(text),
            sampling=text.plan.sampling,
            max_tokens=max_tokens,
            seed=text.answer.receipt.seed,
            position=resumed.position if resumed else 0,
            state=resumed.state if resumed else None,
            client=request.client,
            deadline=request.deadline,
        )

    def beams(self, text: TextPlan, width: int) -> BeamSearch:
        """The search for the likeliest texts."""
        request, plan, answer = text.request, text.plan, text.answer
        rules = self._rules(text, keep_state=False, sum_scores=False)

        def finish(found: list[Hypothesis]) -> None:
            answer.expect(len(found))
            for index, one in enumerate(found):
                TextSink(rules, index, answer).accept(drawn_of(one))

        searcher = SearchSink(
            BeamRules(
                width=width,
                n=plan.n,
                max_tokens=plan.max_tokens,
                length_penalty=request.length_penalty,
                symbols=self._vocabulary.symbols,
                stop=request.stop,
                stop_symbols=self._stop_symbols,
                alternatives=bool(request.logprobs),
            ),
            done=finish,
            failed=answer.failed,
        )
        # Enough to find ``width`` that go on behind all that may end a text.
        wanted = width + len(self._stop_symbols) + len(request.stop)
        return BeamSearch(
            sink=searcher,
            prompt=self._prompt(text),
            width=width,
            top=min(self._top, max(wanted, request.logprobs or 0)),
            state=text.resumed.state if text.resumed else None,
            client=request.client,
            deadline=request.deadline,
        )

    def _rules(self, text: TextPlan, *, keep_state: bool, sum_scores: bool) -> TextRules:
        request = text.request
        return TextRules(
            symbols=self._vocabulary.symbols,
            max_tokens=text.plan.max_tokens,
            stop=StopStrings(request.stop) if request.stop else None,
            stop_symbols=self._stop_symbols,
            logprobs=request.logprobs,
            keep_state=keep_state,
            sum_scores=sum_scores,
        )


def _keep(
    keep: Callable[[TextState], None],
    text: TextPlan,
    sink: TextSink,
    state: RowState,
    token: int,
) -> None:
    """Hand on where the text of ``sink`` stands."""
    before = text.resumed
    tail = (before.text if before else "") + text.answer.prompt + sink.tail
    keep(
        TextState(
            state=state,
            token=token,
            symbols=(before.symbols if before else 0) + len(text.prompt) + sink.written,
            text=tail[-TAIL_CHARACTERS:],
            seed=text.answer.receipt.seed,
            position=(before.position if before else 0) + sink.written,
        )
    )
