"""A text generator over a fake scheduler, for tests of what stands between them."""

from typing import Any

from prometheus_client import CollectorRegistry

from quartet.generation import StatePair, TextGenerationTask
from serving.generation_metrics import GenerationFamilies
from serving.generation_types import FinishedText, GenerateRequest, collect
from serving.session_types import TextState
from serving.tasks.text_answer import TextAnswer
from serving.tasks.text_generation import GeneratorFacts, TextGenerator
from tests.fake_token_scheduler import FakeTokenScheduler, draw

SYMBOLS = tuple("\n abcdefghijklmn$")
TASK = TextGenerationTask(
    vocabulary=SYMBOLS,
    states=(StatePair(input="h", output="h_out"),),
    stop=("$",),
    precision="int8",
    max_tokens=1000,
)
ENDLESS = TASK.model_copy(update={"stop": ()})
FACTS = GeneratorFacts(
    model="m", version="3", sha256="ab" * 32, provider="CPUExecutionProvider", top=5
)


class Generator:
    """A generator over a fake scheduler, and what its metrics say."""

    def __init__(self, task: TextGenerationTask = ENDLESS) -> None:
        self.registry = CollectorRegistry()
        self.scheduler = FakeTokenScheduler(len(SYMBOLS))
        self.now = 0.0
        self.generator = TextGenerator(
            task,
            self.scheduler,
            FACTS,
            GenerationFamilies(self.registry).for_model("m", "3"),
            lambda: self.now,
        )

    def start(
        self, prompt: str = "abc", *, resumed: TextState | None = None, **fields: Any
    ) -> TextAnswer:
        request = GenerateRequest(model_name="m", prompt=prompt, **{"seed": 5, **fields})
        return self.generator.start(request, resumed=resumed)

    async def texts(self, prompt: str = "abc", **fields: Any) -> tuple[FinishedText, ...]:
        return await collect(self.start(prompt, **fields))

    async def text(self, prompt: str = "abc", **fields: Any) -> str:
        (text,) = await self.texts(prompt, **fields)
        return text.text

    async def kept(
        self, prompt: str, resumed: TextState | None = None, **fields: Any
    ) -> tuple[str, TextState]:
        """A text whose state is kept, and the state."""
        states: list[TextState] = []
        request = GenerateRequest(model_name="m", prompt=prompt, **fields)
        answer = self.generator.start(request, resumed=resumed, keep=states.append)
        (text,) = await collect(answer)
        (state,) = states
        return text.text, state

    def sample(self, name: str, **labels: str) -> float:
        value = self.registry.get_sample_value(
            f"quartet_generation_{name}", {"model": "m", "version": "3", **labels}
        )
        assert value is not None
        return value


def ids(text: str) -> list[int]:
    return [SYMBOLS.index(character) for character in text]


def written_alone(
    prompt: str, length: int, seed: int = 5, stream: int = 0, position: int = 0
) -> str:
    """What the fake scheduler's model writes behind ``prompt``."""
    history = ids(prompt)
    for place in range(position, position + length):
        history.append(draw(history, seed, stream, place, len(SYMBOLS)))
    return "".join(SYMBOLS[index] for index in history[len(prompt) :])
