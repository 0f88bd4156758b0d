"""Exported sessions: bytes that another server with the same key and the same weights takes in.

All numbers are little-endian:

    8 bytes   magic and format version
    4 bytes   length of the header
    header    JSON: what the session is, and name, dtype and shape of each tensor of its state
    tensors   their bytes, in the header's order, C order
    32 bytes  HMAC-SHA256 (RFC 2104, FIPS 180-4) of everything before, under the server's key

Nothing is looked at before the signature is known to be right.
"""

import hashlib
import hmac
import json
import math
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

from serving.errors import InvalidInput
from serving.session_types import TextState
from serving.types import Array

MAGIC = b"QUARTET\x01"
"""How a blob of this format begins; the last byte is the format's version."""

_LENGTH = struct.Struct("<I")
_SIGNATURE_BYTES = hashlib.sha256().digest_size
_PREFIX_BYTES = len(MAGIC) + _LENGTH.size


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedSession:
    """What a blob holds."""

    model: str
    version: str
    """That wrote last; any version of the same weights goes on."""
    sha256: str
    """Of the weights that the state belongs to."""
    point: TextState


def encode_session(session: ExportedSession, key: bytes) -> bytes:
    """Write and sign a blob.

    Args:
        session: what to export.
        key: of the signature.
    """
    point = session.point
    arrays = {
        name: array.astype(array.dtype.newbyteorder("<"), copy=False)
        for name, array in point.state.items()
    }
    header = json.dumps(
        {
            "model": session.model,
            "version": session.version,
            "sha256": session.sha256,
            "token": point.token,
            "symbols": point.symbols,
            "text": point.text,
            "seed": point.seed,
            "position": point.position,
            "state": [[name, a.dtype.str, list(a.shape)] for name, a in arrays.items()],
        },
        separators=(",", ":"),
    ).encode()
    body = b"".join(
        (MAGIC, _LENGTH.pack(len(header)), header, *(a.tobytes() for a in arrays.values()))
    )
    return body + _signature(body, key)


def decode_session(blob: bytes, key: bytes) -> ExportedSession:
    """Check and read a blob.

    Raises:
        InvalidInput: it is no exported session, or this server's key did not sign just these bytes.
    """
    if blob[: len(MAGIC) - 1] != MAGIC[:-1]:
        raise InvalidInput("not an exported session: it begins with other bytes than one does")
    if blob[: len(MAGIC)] != MAGIC:
        raise InvalidInput(
            f"the exported session has format {list(blob[len(MAGIC) - 1 : len(MAGIC)])}, "
            f"expected {[MAGIC[-1]]}"
        )
    body, signature = blob[:-_SIGNATURE_BYTES], blob[-_SIGNATURE_BYTES:]
    if not hmac.compare_digest(signature, _signature(body, key)):
        raise InvalidInput(
            "the signature of the exported session is wrong: it was signed with another key, "
            "changed, or cut short"
        )
    return _parse(body)


def _signature(body: bytes, key: bytes) -> bytes:
    return hmac.digest(key, body, "sha256")


def _parse(body: bytes) -> ExportedSession:
    """Read what is signed, that is what ``encode_session`` wrote."""
    (length,) = _LENGTH.unpack_from(body, len(MAGIC))
    header: dict[str, Any] = json.loads(body[_PREFIX_BYTES : _PREFIX_BYTES + length])
    state: dict[str, Array] = {}
    offset = _PREFIX_BYTES + length
    for name, dtype, shape in header["state"]:
        count = math.prod(shape)
        array = np.frombuffer(body, dtype, count, offset).reshape(shape)
        offset += array.nbytes
        # A copy: aligned, and it does not keep the blob in memory.
        state[name] = array.astype(array.dtype.newbyteorder("="))
    return ExportedSession(
        model=header["model"],
        version=header["version"],
        sha256=header["sha256"],
        point=TextState(
            state=state,
            token=header["token"],
            symbols=header["symbols"],
            text=header["text"],
            seed=header["seed"],
            position=header["position"],
        ),
    )
