"""Validators of pictures, and who may keep them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from serving.image_types import GivenLatents, ImageOptions, LatentSource, Samples, SeedList
from serving.rest.images_cache import (
    cache_headers,
    entity_tag,
    has_already,
    is_repeatable,
    not_modified,
)
from serving.rest.images_form import AnswerForm, Wishes
from serving.rest.images_request import ImagesCall

FORM = AnswerForm("png", "sheet", columns=2)


def call(source: LatentSource = Samples(1, 4), **options: Any) -> ImagesCall:  # noqa: B008  frozen
    return ImagesCall(source=source, options=ImageOptions(**options), wishes=Wishes())


def tag(
    request: ImagesCall, form: AnswerForm = FORM, fingerprint: str = "f", version: str = "1"
) -> str:
    return entity_tag(request, form, fingerprint, version)


def latents(*rows: list[float]) -> GivenLatents:
    return GivenLatents(np.array(rows, np.float32))


def test_tag_is_strong_and_the_same_for_the_same_request() -> None:
    found = tag(call(truncation=0.5, directions={"a": 1.0, "b": 2.0}))
    assert found == tag(call(truncation=0.5, directions={"b": 2.0, "a": 1.0}))
    assert found[0] == found[-1] == '"'


def test_everything_that_changes_the_bytes_changes_the_tag() -> None:
    requests = [
        *(call(), call(Samples(2, 4)), call(Samples(1, 5)), call(Samples(1, 4, 1))),
        *(call(SeedList((1,))), call(latents([1, 2])), call(latents([1, 3]))),
        *(call(latents([1], [2])), call(truncation=1.0), call(class_name="3"), call(prompt="3")),
        *(call(directions={"a": 1.0}), call(directions={"a": 2.0})),
    ]
    forms = [replace(FORM, columns=3), replace(FORM, format="webp"), replace(FORM, quality=3)]
    tags = [tag(request) for request in requests] + [tag(call(), form) for form in forms]
    tags += [tag(call(), fingerprint="g"), tag(call(), version="2")]
    assert len(set(tags)) == len(tags)


def test_tag_of_numbers_that_no_model_takes_is_no_error() -> None:
    assert tag(call(Samples(10**30)))


def test_only_a_seed_that_the_server_draws_cannot_be_repeated() -> None:
    assert not is_repeatable(Samples())
    assert all(is_repeatable(s) for s in (Samples(0), SeedList((1,)), latents([1.0])))


@pytest.mark.parametrize("given", ['"a"', 'W/"a"', '"b", "a"', "*", '"b",W/"a"'])
def test_client_that_names_the_tag_has_the_answer(given: str) -> None:
    assert has_already(given, '"a"')


@pytest.mark.parametrize("given", [None, "", '"b"', "a", '"A"'])
def test_client_that_names_another_tag_has_not(given: str | None) -> None:
    assert not has_already(given, '"a"')


def test_answers_are_kept_as_long_as_their_address_means_the_same() -> None:
    immutable = dict(cache_headers('"a"', pinned=True, negotiated=True))
    assert immutable == {
        b"etag": b'"a"',
        b"cache-control": b"public, max-age=31536000, immutable",
        b"vary": b"accept",
    }
    asked_again = dict(cache_headers('"a"', pinned=False, negotiated=False))
    assert asked_again == {b"etag": b'"a"', b"cache-control": b"public, no-cache"}
    assert dict(cache_headers(None, pinned=True, negotiated=False)) == {
        b"cache-control": b"no-store"
    }


def test_not_modified_says_what_the_whole_answer_would() -> None:
    headers = cache_headers('"a"', pinned=True, negotiated=True)
    reply = not_modified(headers)
    assert (reply.status, reply.body, reply.headers) == (304, b"", headers)
