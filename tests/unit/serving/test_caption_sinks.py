"""From the symbols of rows and searches to the words of captions."""

from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from quartet.beam_search import BeamRules, Hypothesis
from serving.beam_search import SearchSink
from serving.caption_types import CaptionPiece, Floats
from serving.errors import InferenceFailed, ServingError
from serving.generation_metrics import GenerationFamilies
from serving.generation_types import FinishReason
from serving.tasks.caption_answer import CaptionEnd, CaptionFacts, Captions, PictureCaptions
from serving.tasks.caption_sinks import BeginningSink, CaptionSearchSink, CaptionSink, WordRules
from serving.token_scheduler import Drawn

SYMBOLS = ("<start>", "<end>", "<unk>", "a", "dog", "runs")
RULES = WordRules(
    symbols=SYMBOLS, stop_symbols=frozenset((1,)), hidden=np.array([0, 2]), grid=(1, 2)
)


class Answering:
    """An answer, and what its metrics say."""

    def __init__(self, *, captions: int = 1) -> None:
        self.registry = CollectorRegistry()
        self.answer = Captions(
            CaptionFacts(
                model_name="m",
                model_version="1",
                seed=None,
                images=1,
                captions=captions,
                prompt_tokens=3,
                started=0.0,
            ),
            GenerationFamilies(self.registry).for_model("m", "1"),
            lambda: 0.0,
        )

    def picture(self, *, awaits_beginning: bool = False) -> PictureCaptions:
        return PictureCaptions(self.answer, 0, awaits_beginning=awaits_beginning)

    async def pieces(self) -> list[CaptionPiece]:
        return [piece async for piece in self.answer]

    def sample(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(
            f"quartet_generation_{name}_total", {"model": "m", "version": "1", **labels}
        )


@pytest.fixture
async def answering() -> Answering:
    return Answering()


def drawn(*tokens: int, attention: Floats | None = None) -> Drawn:
    count = len(tokens)
    return Drawn(
        tokens=np.array(tokens, np.int64),
        log_probabilities=-np.arange(1, count + 1, dtype=np.float32),
        top_tokens=np.empty((count, 0), np.int64),
        top_log_probabilities=np.empty((count, 0), np.float32),
        attention=attention,
    )


async def test_words_come_one_by_one_and_the_whole_at_the_end(answering: Answering) -> None:
    sink = CaptionSink(RULES, answering.picture(), 0, max_tokens=9)
    assert sink.accept(drawn(3, 4)) is None
    assert sink.accept(drawn(5, 1, 3)) == 2
    *words, last = await answering.pieces()
    assert [piece.word.text for piece in words if piece.word] == ["a", "dog", "runs"]
    assert last.whole is not None
    assert last.whole.text == "a dog runs"
    assert last.whole.words == tuple(piece.word for piece in words)
    assert last.whole.finish_reason is FinishReason.STOP


async def test_the_sum_has_the_stop_symbol_and_the_words_have_not(answering: Answering) -> None:
    CaptionSink(RULES, answering.picture(), 0, max_tokens=9).accept(drawn(3, 1))
    whole = (await answering.pieces())[-1].whole
    assert whole is not None
    assert [word.log_probability for word in whole.words] == [-1.0]
    assert whole.log_probability == -3.0


async def test_a_caption_of_max_tokens_is_cut_there(answering: Answering) -> None:
    sink = CaptionSink(RULES, answering.picture(), 0, max_tokens=3)
    assert sink.accept(drawn(3, 4)) is None
    assert sink.accept(drawn(5, 1)) == 1
    whole = (await answering.pieces())[-1].whole
    assert whole is not None
    assert (whole.text, whole.finish_reason) == ("a dog runs", FinishReason.LENGTH)
    assert whole.log_probability == -4.0


async def test_a_caption_may_be_empty(answering: Answering) -> None:
    assert CaptionSink(RULES, answering.picture(), 0, max_tokens=3).accept(drawn(1)) == 1
    (last,) = await answering.pieces()
    assert last.whole is not None
    assert (last.whole.text, last.whole.words, last.whole.log_probability) == ("", (), -1.0)


async def test_each_word_has_the_attention_of_its_own_step(answering: Answering) -> None:
    shares = np.array([[0.25, 0.75], [0.5, 0.5], [1.0, 0.0]], np.float32)
    CaptionSink(RULES, answering.picture(), 0, max_tokens=9).accept(
        drawn(3, 4, 1, attention=shares)
    )
    words = [piece.word for piece in await answering.pieces() if piece.word]
    assert [word.attention.tolist() for word in words if word.attention is not None] == [
        [[0.25, 0.75]],
        [[0.5, 0.5]],
    ]
    shares[:] = 9.0
    assert words[0].attention is not None
    assert words[0].attention.sum() == 1.0


async def test_words_wait_for_the_scores_of_the_beginning(answering: Answering) -> None:
    picture = answering.picture(awaits_beginning=True)
    caption = CaptionSink(RULES, picture, 0, max_tokens=9)
    beginning = BeginningSink(RULES, picture, (3, 4))
    caption.accept(drawn(5, 1))
    scores = np.full((2, 6), -7.0, np.float32)
    scores[0, 3], scores[1, 4] = -0.5, -0.25
    shares = np.array([[0.0, 1.0], [1.0, 0.0]], np.float32)
    for step in range(2):  # in parts, as a chunked prefill gives them
        beginning.read(scores[step : step + 1], shares[step : step + 1])
    assert beginning.accept(drawn()) == 0
    *words, last = await answering.pieces()
    assert [piece.word.text for piece in words if piece.word] == ["a", "dog", "runs"]
    whole = last.whole
    assert whole is not None
    assert whole.text == "a dog runs"
    assert [word.log_probability for word in whole.words] == [-0.5, -0.25, -1.0]
    assert [w.attention.tolist() for w in whole.words if w.attention is not None] == [
        [[0.0, 1.0]],
        [[1.0, 0.0]],
    ]
    assert whole.log_probability == -3.75


async def test_a_picture_whose_search_found_fewer_does_not_hold_the_answer() -> None:
    answering = Answering(captions=3)
    picture = answering.picture()
    answering.answer.lacks(2)
    picture.add(0, (), CaptionEnd(FinishReason.STOP, -1.0))
    assert len(await answering.pieces()) == 1


async def test_a_failure_ends_the_answer(answering: Answering) -> None:
    stopped: list[bool] = []
    answering.answer.stop_rows = lambda: stopped.append(True)
    CaptionSink(RULES, answering.picture(), 0, max_tokens=9).failed(InferenceFailed("broken"))
    with pytest.raises(InferenceFailed, match="broken"):
        await answering.pieces()
    assert stopped == [True]
    assert answering.answer.over
    assert answering.sample("texts", reason="error") == 1


async def test_the_metrics_have_what_was_read_and_written(answering: Answering) -> None:
    CaptionSink(RULES, answering.picture(), 0, max_tokens=9).accept(drawn(3, 4, 1))
    await answering.pieces()
    assert answering.sample("symbols", kind="read") == 3
    assert answering.sample("symbols", kind="written") == 3
    assert answering.sample("texts", reason="stop") == 1


def search(found: list[Hypothesis], **rules: Any) -> CaptionSearchSink:
    failures: list[ServingError] = []
    sink = SearchSink(
        BeamRules(
            **{
                "width": 2,
                "n": 2,
                "max_tokens": 1,
                "length_penalty": 0.0,
                "symbols": SYMBOLS,
                "stop_symbols": frozenset((1,)),
                "until_full": True,
                **rules,
            }
        ),
        done=found.extend,
        failed=failures.append,
    )
    return CaptionSearchSink(sink, np.array([0, 2]))


def test_a_search_never_chooses_hidden_symbols() -> None:
    found: list[Hypothesis] = []
    tokens = np.array([[2, 3, 0, 4]], np.int64)
    scores = np.array([[-0.1, -1.0, -1.5, -2.0]], np.float32)
    assert search(found).choose(tokens, scores, None) is None
    assert [one.tokens.tolist() for one in found] == [[3], [4]]
    assert [one.log_probability for one in found] == [-1.0, -2.0]


def test_beams_with_and_without_hidden_candidates_are_ranked_together() -> None:
    found: list[Hypothesis] = []
    sink = search(found, max_tokens=2)
    beams = sink.choose(np.array([[3, 4, 5]]), np.array([[-1.0, -2.0, -3.0]], np.float32), None)
    assert beams is not None
    assert beams.tokens == (3, 4)
    sink.choose(
        np.array([[4, 5, 3], [2, 5, 3]]),
        np.array([[-1.0, -1.5, -9.0], [-0.1, -0.2, -9.0]], np.float32),
        None,
    )
    assert [one.tokens.tolist() for one in found] == [[3, 4], [4, 5]]
