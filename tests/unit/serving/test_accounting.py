"""How a request ends is counted once, whatever it is that ends it."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from serving.accounting import OK, Accounting
from serving.errors import QueueFull, ServingError, ShuttingDown
from serving.metrics import Metrics
from serving.types import InferRequest

REQUEST = InferRequest(model_name="m", inputs={}, request_id="abc")


class Books:
    """An accounting and what it has written down."""

    def __init__(self) -> None:
        self.metrics = Metrics(CollectorRegistry())
        self.accounting = Accounting(self.metrics)

    def outcomes(self) -> dict[str, float]:
        families = self.metrics.registry.collect()
        return {
            sample.labels["outcome"]: sample.value
            for family in families
            for sample in family.samples
            if sample.name == "quartet_requests_total"
        }


@pytest.fixture
async def books() -> Books:
    return Books()


async def test_a_request_that_is_answered(books: Books) -> None:
    with books.accounting.counted(REQUEST):
        assert books.outcomes() == {}
    assert books.outcomes() == {OK: 1}


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (QueueFull("full"), "rejected"),
        (ServingError("broken"), "error"),
        (asyncio.CancelledError(), "cancelled"),
        (GeneratorExit(), "cancelled"),
        (KeyboardInterrupt(), "error"),
    ],
)
async def test_a_request_that_ends_otherwise(
    books: Books, error: BaseException, outcome: str
) -> None:
    with pytest.raises(type(error)), books.accounting.counted(REQUEST):
        raise error
    assert books.outcomes() == {outcome: 1}
    await asyncio.wait_for(books.accounting.drained(), 1)


async def test_a_fault_of_the_server_is_told_without_its_words(books: Books) -> None:
    with pytest.raises(ServingError) as told, books.accounting.counted(REQUEST):
        raise ValueError("secret")
    assert "secret" not in told.value.message
    assert "abc" in told.value.message
    assert isinstance(told.value.__cause__, ValueError)
    assert books.outcomes() == {"error": 1}


async def test_an_error_that_was_counted_is_not_counted_by_the_transport(books: Books) -> None:
    error = QueueFull("full")
    with pytest.raises(QueueFull), books.accounting.counted(REQUEST):
        raise error
    books.accounting.count_refused("http", error)
    assert books.outcomes() == {"rejected": 1}


async def test_an_entry_is_closed_once(books: Books) -> None:
    entry = books.accounting.open(REQUEST)
    entry.close(OK)
    with pytest.raises(QueueFull), entry.failing():
        raise QueueFull("full")
    assert books.outcomes() == {OK: 1}


async def test_drained_waits_for_every_entry(books: Books) -> None:
    entries = [books.accounting.open(REQUEST) for _ in range(2)]
    drained = asyncio.ensure_future(books.accounting.drained())
    for entry in entries:
        await asyncio.sleep(0)
        assert not drained.done()
        entry.close(OK)
    await asyncio.wait_for(drained, 1)


async def test_nothing_is_taken_once_new_requests_are_refused(books: Books) -> None:
    entry = books.accounting.open(REQUEST)
    books.accounting.refuse_new()
    with pytest.raises(ShuttingDown):
        books.accounting.open(REQUEST)
    entry.close(OK)
    assert books.outcomes() == {OK: 1}
