"""Exported sessions: signed, and refused if a byte is not as it was signed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from serving.errors import InvalidInput
from serving.session_blob import MAGIC, ExportedSession, decode_session, encode_session
from serving.session_types import TextState
from serving.types import Array

KEY = b"0123456789abcdef"
DTYPES = (np.float32, np.float16, np.int64, np.uint8)


def session(state: dict[str, Array]) -> ExportedSession:
    return ExportedSession(
        model="obama",
        version="2",
        sha256="ab" * 32,
        point=TextState(
            state=state, token=3, symbols=17, text='"Fine" \n\u00e9', seed=2**63 - 1, position=12
        ),
    )


def blob(key: bytes = KEY) -> bytes:
    return encode_session(session({"h": np.arange(6, dtype=np.float32).reshape(2, 3)}), key)


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=5),
        st.sampled_from(DTYPES).flatmap(
            lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=0, min_side=0))
        ),
        max_size=3,
    )
)
def test_decode_undoes_encode(state: dict[str, Array]) -> None:
    before = session(state)
    after = decode_session(encode_session(before, KEY), KEY)
    assert (after.model, after.version, after.sha256) == ("obama", "2", "ab" * 32)
    assert after.point.state.keys() == state.keys()
    for name, array in state.items():
        found = after.point.state[name]
        assert (found.dtype, found.shape) == (array.dtype, array.shape)
        assert found.tobytes() == array.tobytes()
    for field in ("token", "symbols", "text", "seed", "position"):
        assert getattr(after.point, field) == getattr(before.point, field)


def test_the_tensors_are_little_endian_whatever_wrote_them() -> None:
    wrong_way = np.arange(3).astype(">f4")
    exported = encode_session(session({"h": wrong_way}), KEY)
    assert wrong_way.astype("<f4").tobytes() in exported
    assert decode_session(exported, KEY).point.state["h"].tolist() == [0, 1, 2]


def test_the_tensors_do_not_keep_the_blob_in_memory() -> None:
    assert decode_session(blob(), KEY).point.state["h"].base is None


@given(place=st.integers(0, len(blob()) - 1), bit=st.integers(0, 7))
def test_decode_refuses_a_changed_bit(place: int, bit: int) -> None:
    changed = bytearray(blob())
    changed[place] ^= 1 << bit
    with pytest.raises(InvalidInput):
        decode_session(bytes(changed), KEY)


@given(st.integers(0, len(blob()) - 1))
def test_decode_refuses_what_was_cut_short(length: int) -> None:
    with pytest.raises(InvalidInput):
        decode_session(blob()[:length], KEY)


@given(st.binary(max_size=200))
def test_decode_refuses_any_other_bytes(data: bytes) -> None:
    for given_bytes in (data, MAGIC + data, blob() + data[:1] + b"x"):
        with pytest.raises(InvalidInput):
            decode_session(given_bytes, KEY)


def test_decode_refuses_another_servers_key() -> None:
    with pytest.raises(InvalidInput, match="signed with another key, changed, or cut short"):
        decode_session(blob(b"another key 1234"), KEY)


def test_decode_tells_what_is_no_session_at_all() -> None:
    with pytest.raises(InvalidInput, match="not an exported session"):
        decode_session(b"\x89PNG\r\n\x1a\n" + bytes(100), KEY)


def test_decode_tells_a_format_it_does_not_know() -> None:
    other = MAGIC[:-1] + b"\x02" + blob()[len(MAGIC) :]
    with pytest.raises(InvalidInput, match=r"has format \[2\], expected \[1\]"):
        decode_session(other, KEY)
