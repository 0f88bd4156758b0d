"""Several answers under way as one: the pieces of all prompts of a request, as they come."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from serving.generation_types import GeneratedText, Piece

MAX_UNREAD = 256
"""Pieces that are taken from the answers before anybody has read them."""


async def close_all(answers: Sequence[GeneratedText]) -> None:
    """Stop what still runs of ``answers``."""
    for answer in answers:
        await answer.aclose()


def merged(answers: Sequence[GeneratedText], n: int) -> AsyncIterator[Piece]:
    """The pieces of all ``answers``, in the order in which they come.

    Args:
        answers: one for each prompt.
        n: texts of each; text i of prompt p gets the index p * n + i.

    The iteration raises what that of an answer raises; closing the answers is the caller's.
    """
    if len(answers) == 1:
        return aiter(answers[0])
    return _interleaved(answers, n)


async def _interleaved(answers: Sequence[GeneratedText], n: int) -> AsyncIterator[Piece]:
    queue: asyncio.Queue[Piece | asyncio.Task[None]] = asyncio.Queue()
    # What does not fit waits in the answers, which keep it small.
    room = asyncio.Semaphore(MAX_UNREAD)

    async def pump(place: int, answer: GeneratedText) -> None:
        async for piece in answer:
            await room.acquire()
            queue.put_nowait(replace(piece, index=place * n + piece.index))

    tasks = [asyncio.create_task(pump(place, answer)) for place, answer in enumerate(answers)]
    for task in tasks:
        task.add_done_callback(queue.put_nowait)
    running = len(tasks)
    try:
        while running:
            item = await queue.get()
            if isinstance(item, Piece):
                room.release()
                yield item
            else:
                item.result()
                running -= 1
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
