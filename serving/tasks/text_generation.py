"""Text generation: a request becomes rows of the token scheduler, and their symbols text."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from quartet.generation import TextGenerationTask
from serving.errors import InvalidInput
from serving.generation_metrics import GenerationMetrics
from serving.generation_types import FinishReason, GenerateRequest, Piece, Receipt
from serving.receipts import MAX_SEED, check_receipt, draw_seed
from serving.session_types import TextState
from serving.tasks.answer import cancel_jobs
from serving.tasks.generation_plan import (
    CONTROLS,
    MAX_PROMPT,
    GenerationLimits,
    check_scores,
    plan_generation,
)
from serving.tasks.option_checks import MAX_BEAMS
from serving.tasks.text_answer import AnswerFacts, TextAnswer
from serving.tasks.text_jobs import JobBuilder, TextPlan
from serving.token_scheduler import TokenScheduler
from serving.vocabulary import Encoded, Vocabulary


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorFacts:
    """What a generator's texts depend on, and what its graphs offer."""

    model: str
    version: str
    sha256: str
    """Hash over the version's graphs and weights, hexadecimal."""
    provider: str
    """Execution provider that runs."""
    top: int
    """Alternatives offered at each step."""
    controls: frozenset[str] = frozenset(CONTROLS)
    """Fields of ``Sampling`` that the decode graph heeds."""
    slots: int = MAX_BEAMS
    """Rows that run at once: no beam search can be wider."""


class TextGenerator:
    """One model version that writes text. Lives on the event loop."""

    def __init__(
        self,
        task: TextGenerationTask,
        scheduler: TokenScheduler,
        facts: GeneratorFacts,
        metrics: GenerationMetrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Put text on top of ``scheduler``; ``clock`` is the one of deadlines."""
        self.task = task
        self.facts = facts
        self.vocabulary = Vocabulary(task.vocabulary, task.unknown)
        self._scheduler = scheduler
        self._metrics = metrics
        self._clock = clock
        self._jobs = JobBuilder(task, self.vocabulary, facts.top)
        self._limits = GenerationLimits(
            model=facts.model,
            task=task,
            top=facts.top,
            controls=facts.controls,
            max_beams=min(facts.top, facts.slots, MAX_BEAMS),
        )

    def receipt(self, seed: int) -> Receipt:
        """Of a text that would be written now."""
        facts = self.facts
        return Receipt(
            seed=seed,
            model=facts.model,
            version=facts.version,
            sha256=facts.sha256,
            provider=facts.provider,
            precision=self.task.precision,
        )

    def start(
        self,
        request: GenerateRequest,
        *,
        resumed: TextState | None = None,
        keep: Callable[[TextState], None] | None = None,
    ) -> TextAnswer:
        """Begin to answer.

        Args:
            request: what is wanted; its model and session have been seen to.
            resumed: the text that the prompt goes on with; None: an empty one.
            keep: takes the text's state before its last piece comes; None: nobody wants it.

        Raises:
            InvalidInput: the request contradicts the model; the text names the field.
            Conflict: its receipt is of another model, version or engine.
            QueueFull, ShuttingDown: see ``TokenScheduler.submit``.
        """
        started = self._clock()
        plan = plan_generation(request, self._limits, keeps_state=keep is not None)
        receipt = self.receipt(_seed(request, resumed))
        if request.receipt is not None:
            check_receipt(request.receipt, receipt)
        encoded = self._encode(request)
        check_scores(request, plan.max_tokens, (len(encoded.ids),), top=self.facts.top)
        writes = plan.max_tokens > 0 or keep is not None
        facts = AnswerFacts(
            model_name=self.facts.model,
            model_version=self.facts.version,
            receipt=receipt,
            replaced=encoded.replaced,
            prompt=self.vocabulary.decode(encoded.ids),
            prompt_tokens=len(encoded.ids),
            n=plan.n,
            texts=plan.texts if writes else plan.n,
            started=started,
        )
        answer = TextAnswer(facts, self._metrics, self._clock)
        text = TextPlan(request, plan, encoded.ids, resumed, answer)
        jobs = self._jobs.echo(text)
        if not writes:
            for index in range(plan.n):
                answer.piece(Piece(index=index, text="", finish_reason=FinishReason.LENGTH))
        elif plan.beam_width is not None:
            jobs.append(self._jobs.beams(text, plan.beam_width))
        else:
            jobs += self._jobs.rows(text, keep)
        answer.stop_rows = partial(cancel_jobs, self._scheduler, jobs)
        if jobs:
            self._scheduler.submit(jobs)
        return answer

    def _encode(self, request: GenerateRequest) -> Encoded:
        """The prompt in symbols."""
        longest = MAX_PROMPT * max(map(len, self.vocabulary.symbols))
        if request.prompt_ids is not None:
            if request.prompt:
                raise InvalidInput("prompt: leave it out or leave out the symbols' ids")
            encoded = Encoded(request.prompt_ids, ())
            for index in encoded.ids:
                if not 0 <= index < len(self.vocabulary):
                    raise InvalidInput(
                        f"prompt: expected ids of 0 to {len(self.vocabulary) - 1}, got {index}"
                    )
        elif len(request.prompt) > longest:
            raise InvalidInput(
                f"prompt: expected at most {longest} characters, got {len(request.prompt)}"
            )
        else:
            encoded = self.vocabulary.encode(request.prompt, request.unknown)
        if len(encoded.ids) > MAX_PROMPT:
            raise InvalidInput(
                f"prompt: expected at most {MAX_PROMPT} symbols, got {len(encoded.ids)}"
            )
        return encoded


def _seed(request: GenerateRequest, resumed: TextState | None) -> int:
    """The request's, its receipt's, that of the text it goes on with, or one drawn now."""
    receipt = request.receipt
    if receipt is not None:
        if not 0 <= receipt.seed <= MAX_SEED:
            raise InvalidInput(f"receipt.seed: expected 0 to {MAX_SEED}, got {receipt.seed}")
        if request.seed not in (None, receipt.seed):
            raise InvalidInput(f"seed: {request.seed} differs from the receipt's {receipt.seed}")
        return receipt.seed
    if request.seed is not None:
        return request.seed
    return resumed.seed if resumed is not None else draw_seed()
