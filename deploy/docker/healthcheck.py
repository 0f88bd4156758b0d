"""Exit status 0 if the server of this container is ready, 1 if not; what HEALTHCHECK runs.

It starts every few seconds, so it loads no more than a socket.
"""

import os
import socket
import sys

TIMEOUT_S = 2.0


def ready(port: int) -> bool:
    """Whether GET /v2/health/ready on loopback is answered with 200."""
    try:
        with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as connection:
            connection.sendall(b"GET /v2/health/ready HTTP/1.0\r\nHost: localhost\r\n\r\n")
            with connection.makefile("rb") as answer:
                status = answer.readline().split(b" ")
    except OSError:
        return False
    return len(status) > 1 and status[1] == b"200"


if __name__ == "__main__":
    sys.exit(0 if ready(int(os.environ.get("QUARTET_HTTP_PORT", "8000"))) else 1)
