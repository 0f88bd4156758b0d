"""The id that ties a call to its log lines, its error and its answer."""

import re
import uuid

HEADER = "x-request-id"
"""HTTP header and gRPC metadata key, in and out."""

_ACCEPTED = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")


def request_id(offered: str | None) -> str:
    """The caller's id if it is harmless in a log line, else a new one."""
    if offered and _ACCEPTED.fullmatch(offered):
        return offered
    return uuid.uuid4().hex
