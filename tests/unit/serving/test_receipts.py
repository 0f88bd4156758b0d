"""Receipts as JSON, and against what would answer now."""

import json
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import Conflict, InvalidInput
from serving.generation_types import Receipt
from serving.receipts import MAX_SEED, check_receipt, parse_receipt, receipt_json

RECEIPT = Receipt(
    seed=MAX_SEED,
    model="obama",
    version="3",
    sha256="ab" * 32,
    provider="CPUExecutionProvider",
    precision="int8",
)


@given(st.builds(Receipt, seed=st.integers(0, MAX_SEED), **dict.fromkeys(
    ("model", "version", "sha256", "provider", "precision"), st.text()
)))  # fmt: skip
def test_parse_undoes_json(receipt: Receipt) -> None:
    assert parse_receipt(receipt_json(receipt)) == receipt


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "not the JSON"),
        ("{", "not the JSON"),
        ("[" * 100_000, "not the JSON"),
        ("[]", "expected an object with seed, model, version, sha256, provider, precision"),
        ("{}", "expected an object with seed"),
        (receipt_json(RECEIPT)[:-1] + ',"more":1}', "expected an object with seed"),
    ],
)
def test_parse_refuses_what_is_no_receipt(text: str, complaint: str) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        parse_receipt(text)


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("seed", 1.0, "receipt.seed: expected a whole number, got 1.0"),
        ("seed", True, "receipt.seed: expected a whole number, got True"),
        ("model", None, "receipt.model: expected a string, got None"),
    ],
)
def test_parse_names_the_field_of_a_wrong_type(field: str, value: object, complaint: str) -> None:
    document = json.loads(receipt_json(RECEIPT))
    with pytest.raises(InvalidInput, match=complaint):
        parse_receipt(json.dumps({**document, field: value}))


def test_check_takes_any_seed() -> None:
    check_receipt(replace(RECEIPT, seed=1), RECEIPT)


def test_check_names_all_that_differs() -> None:
    here = replace(RECEIPT, version="4", sha256="cd" * 32)
    with pytest.raises(Conflict) as refused:
        check_receipt(RECEIPT, here)
    assert refused.value.message == (
        "receipt: the same text cannot be given again: version is '4' here, '3' in the receipt; "
        f"sha256 is '{'cd' * 32}' here, '{'ab' * 32}' in the receipt"
    )


@pytest.mark.parametrize("field", ["model", "version", "sha256", "provider", "precision"])
def test_check_refuses_another(field: str) -> None:
    with pytest.raises(Conflict, match=f"{field} is 'other' here"):
        check_receipt(RECEIPT, Receipt(**{**asdict(RECEIPT), field: "other"}))
