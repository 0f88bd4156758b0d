"""Work on the elements of a stream, several at once, whose results keep the elements' order."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable
from typing import TypeVar

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


async def in_order(
    items: AsyncIterable[ItemT], work: Callable[[ItemT], Awaitable[ResultT]], ahead: int
) -> AsyncGenerator[ResultT, None]:
    """The result of ``work`` for each item, as soon as it and those before it are there.

    Closing it cancels what is in work; it does not close ``items``. An error of ``items`` or of
    ``work`` is raised in its place, behind the results before it.

    Args:
        items: are read no further than there is room.
        work: called for each item, several at once.
        ahead: items in work, or worked on and not yet taken, at most; >= 1.
    """
    room = asyncio.Semaphore(ahead)
    begun: asyncio.Queue[asyncio.Future[ResultT] | None] = asyncio.Queue()
    pending: set[asyncio.Future[ResultT]] = set()

    async def read() -> None:
        await room.acquire()
        async for item in items:
            task = asyncio.ensure_future(work(item))
            pending.add(task)
            begun.put_nowait(task)
            await room.acquire()

    reader = asyncio.create_task(read())
    reader.add_done_callback(lambda _: begun.put_nowait(None))
    try:
        while (task := await begun.get()) is not None:
            result = await task
            pending.discard(task)
            yield result
            room.release()
        await reader
    finally:
        reader.cancel()
        for future in pending:
            future.cancel()
        await asyncio.gather(reader, *pending, return_exceptions=True)
