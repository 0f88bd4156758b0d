import asyncio
import threading

from serving.workers import WorkerPool


async def _result_of(pool: WorkerPool, number: int) -> int:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[int] = loop.create_future()
    pool.submit(lambda: number * 2, future.set_result, loop)
    return await future


async def test_submit_brings_each_result_to_its_own_callback() -> None:
    pool = WorkerPool(3)
    pool.start()
    try:
        results = await asyncio.gather(*(_result_of(pool, n) for n in range(50)))
    finally:
        pool.stop()
    assert results == [2 * n for n in range(50)]


async def test_submit_calls_back_on_the_loops_own_thread() -> None:
    pool = WorkerPool(1)
    pool.start()
    loop = asyncio.get_running_loop()
    ran_on: list[int] = []
    called_on: asyncio.Future[int] = loop.create_future()
    pool.submit(
        lambda: ran_on.append(threading.get_ident()),
        lambda _: called_on.set_result(threading.get_ident()),
        loop,
    )
    here = threading.get_ident()
    assert await called_on == here
    assert ran_on != [here]
    pool.stop()


async def test_stop_runs_what_was_submitted_before() -> None:
    pool = WorkerPool(1)
    ran: list[int] = []
    loop = asyncio.get_running_loop()
    for number in range(5):
        pool.submit(lambda n=number: ran.append(n), lambda _: None, loop)  # type: ignore[misc]  # mypy cannot infer a lambda with a default
    pool.start()
    pool.stop()
    assert ran == [0, 1, 2, 3, 4]


def test_stop_returns_when_the_pool_was_never_started() -> None:
    WorkerPool(2).stop()
