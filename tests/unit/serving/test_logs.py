import io
import json
import logging
from collections.abc import Iterator

import pytest

from serving.logs import configure_logging


@pytest.fixture(autouse=True)
def root_as_it_was() -> Iterator[None]:
    """The process's own logging, whatever a test makes of it."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def logged(log_format: str, level: str = "info") -> tuple[logging.Logger, io.StringIO]:
    stream = io.StringIO()
    configure_logging(log_format, level, stream)
    return logging.getLogger("test"), stream


def test_json_lines_are_one_object_each_with_extras() -> None:
    logger, stream = logged("json")
    logger.info("model %s\nis ready", "é", extra={"request_id": "r", "path": object})
    logger.warning("second")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert first["message"] == "model é\nis ready"
    assert (first["level"], first["logger"], first["request_id"]) == ("info", "test", "r")
    assert second["level"] == "warning"
    assert "request_id" not in second


def test_json_lines_carry_time_in_utc_with_milliseconds() -> None:
    logger, stream = logged("json")
    record = logger.makeRecord("test", logging.INFO, "", 0, "m", (), None)
    record.created = 1.25
    logger.handle(record)
    assert json.loads(stream.getvalue())["time"] == "1970-01-01T00:00:01.250Z"


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_lines_carry_the_traceback_of_an_exception(log_format: str) -> None:
    logger, stream = logged(log_format)
    try:
        raise ZeroDivisionError("inside")
    except ZeroDivisionError:
        logger.exception("crashed")
    assert "ZeroDivisionError: inside" in stream.getvalue()
    assert "crashed" in stream.getvalue()


def test_text_lines_are_for_people() -> None:
    logger, stream = logged("text")
    logger.info("ready", extra={"http": 8000})
    assert stream.getvalue().endswith(" INFO ready http=8000\n")


def test_lines_below_the_level_are_left_out() -> None:
    logger, stream = logged("json", "error")
    logger.warning("left out")
    assert stream.getvalue() == ""


def test_configure_logging_replaces_what_was_configured_before() -> None:
    logger, first = logged("json")
    _, second = logged("json")
    logger.info("once")
    assert (first.getvalue(), len(second.getvalue().splitlines())) == ("", 1)
