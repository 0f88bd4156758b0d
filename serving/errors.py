"""Every error a client can see, as plain data; each transport maps it in one place.

::

    ServingError            500  INTERNAL            the server's fault
    +-- InferenceFailed     500  INTERNAL            ONNX Runtime refused or failed
    +-- InvalidInput        400  INVALID_ARGUMENT    the client's fault, and retrying will not help
    +-- MethodNotAllowed    405  UNIMPLEMENTED       REST only
    +-- NotAcceptable       406  INVALID_ARGUMENT    REST only
    +-- PayloadTooLarge     413  RESOURCE_EXHAUSTED
    +-- UnsupportedEncoding 415  UNIMPLEMENTED
    +-- ModelNotFound       404  NOT_FOUND
    +-- SessionNotFound     404  NOT_FOUND
    +-- Conflict            409  ABORTED             a session in use, a receipt of other weights
    +-- QueueFull           429  RESOURCE_EXHAUSTED  retry after ``retry_after_s``
    +-- DeadlineExceeded    504  DEADLINE_EXCEEDED
    +-- Cancelled           499  CANCELLED           the client left
    +-- ModelNotReady       503  UNAVAILABLE         loading, or failed to load
    +-- ShuttingDown        503  UNAVAILABLE
    +-- NotSupported        501  UNIMPLEMENTED

The pairs follow google/rpc/code.proto. A message is written for the client. Any other exception
becomes "internal error" with a request id, and its traceback goes to the log alone.
"""

from typing import ClassVar


class ServingError(Exception):
    """Root of all errors whose message a client may read."""

    http_status: ClassVar[int] = 500
    """HTTP status code."""
    grpc_code: ClassVar[str] = "INTERNAL"
    """Name of the gRPC status code."""
    outcome: ClassVar[str] = "error"
    """Value of the metrics label ``outcome``."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_s = retry_after_s
        """When trying again may help, seconds from now; None: no idea."""
        self.counted = False
        """Whether the metrics have it. A transport counts what never reached the service."""


def internal_error(request_id: str) -> ServingError:
    """What a client learns of a fault that is not its own."""
    return ServingError(f"internal error; the server's log has it under request id {request_id}")


class InferenceFailed(ServingError):
    """The engine raised while running an accepted request."""


class InvalidInput(ServingError):
    """The request contradicts the protocol or the model."""

    http_status = 400
    grpc_code = "INVALID_ARGUMENT"
    outcome = "invalid"


class MethodNotAllowed(ServingError):
    """The path exists, but not for this HTTP method."""

    http_status = 405
    grpc_code = "UNIMPLEMENTED"
    outcome = "invalid"

    def __init__(self, allowed: str) -> None:
        super().__init__(f"Method Not Allowed; this path takes {allowed}")
        self.allowed = allowed
        """The methods that are, as the header ``Allow`` wants them (RFC 9110, 15.5.6)."""


class NotAcceptable(ServingError):
    """The answer has none of the media types that the client takes (RFC 9110, 15.5.7)."""

    http_status = 406
    grpc_code = "INVALID_ARGUMENT"
    outcome = "invalid"


class PayloadTooLarge(ServingError):
    """The body, decompressed data or an image is over its limit."""

    http_status = 413
    grpc_code = "RESOURCE_EXHAUSTED"
    outcome = "invalid"


class UnsupportedEncoding(ServingError):
    """A Content-Encoding or media type that is not served."""

    http_status = 415
    grpc_code = "UNIMPLEMENTED"
    outcome = "invalid"


class ModelNotFound(ServingError):
    """No such model or version."""

    http_status = 404
    grpc_code = "NOT_FOUND"
    outcome = "not_found"


class SessionNotFound(ServingError):
    """No such session, or its time has run out."""

    http_status = 404
    grpc_code = "NOT_FOUND"
    outcome = "not_found"


class Conflict(ServingError):
    """The request does not fit what the server holds now: a session in use, other weights."""

    http_status = 409
    grpc_code = "ABORTED"
    outcome = "invalid"


class QueueFull(ServingError):
    """The model's queue is at its limit."""

    http_status = 429
    grpc_code = "RESOURCE_EXHAUSTED"
    outcome = "rejected"


class DeadlineExceeded(ServingError):
    """The request's time ran out before its batch was run."""

    http_status = 504
    grpc_code = "DEADLINE_EXCEEDED"
    outcome = "deadline"


class Cancelled(ServingError):
    """The client left before the answer was ready."""

    http_status = 499
    grpc_code = "CANCELLED"
    outcome = "cancelled"


class ModelNotReady(ServingError):
    """The model is known but is loading or failed to load."""

    http_status = 503
    grpc_code = "UNAVAILABLE"
    outcome = "unavailable"


class ShuttingDown(ServingError):
    """The server drains and takes no new work."""

    http_status = 503
    grpc_code = "UNAVAILABLE"
    outcome = "unavailable"


class NotSupported(ServingError):
    """Valid, but this server or model does not do it."""

    http_status = 501
    grpc_code = "UNIMPLEMENTED"
    outcome = "invalid"
