import pytest

from serving.request_id import request_id


@pytest.mark.parametrize("offered", ["a", "0af7651916cd43dd", "a-b_c.d:e/f+g=h@i", "x" * 128])
def test_request_id_keeps_what_is_harmless_in_a_log_line(offered: str) -> None:
    assert request_id(offered) == offered


@pytest.mark.parametrize(
    "offered", [None, "", "x" * 129, "two words", "line\nbreak", "end\n", '"', "é", "\x1b[31m"]
)
def test_request_id_makes_a_new_one_of_anything_else(offered: str | None) -> None:
    made = request_id(offered)
    assert made != offered
    assert len(made) == 32
    assert request_id(offered) != made
