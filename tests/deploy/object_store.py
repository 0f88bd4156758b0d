"""A real S3 server on loopback (moto), and what it holds."""

import http.client
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.deploy.tools import require_python
from tests.e2e.process import wait_until
from tests.patience import TIMEOUT_S

LISTENING = re.compile(r"Running on http://127\.0\.0\.1:(\d+)")


class ObjectStore:
    """An S3 server that takes any credentials."""

    def __init__(self, port: int) -> None:
        self.endpoint = f"http://127.0.0.1:{port}"
        self._address = f"127.0.0.1:{port}"

    def put(self, path: str, body: bytes = b"") -> None:
        """Make a bucket (``name``) or an object (``bucket/key``)."""
        connection = http.client.HTTPConnection(self._address, timeout=TIMEOUT_S)
        try:
            connection.request("PUT", f"/{path}", body)
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
        finally:
            connection.close()

    def put_folder(self, path: str, folder: Path) -> None:
        """Every file below ``folder`` as an object below ``path``."""
        for file in sorted(f for f in folder.rglob("*") if f.is_file()):
            self.put(f"{path}/{file.relative_to(folder).as_posix()}", file.read_bytes())


@contextmanager
def started_object_store(folder: Path) -> Iterator[ObjectStore]:
    """A store that keeps its log in ``folder``, ended with the block; skips without moto."""
    log = folder / "moto.log"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [require_python("moto"), "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
            stdout=stream,
            stderr=subprocess.STDOUT,
            env=environment,
        )
    try:
        wait_until(
            lambda: LISTENING.search(log.read_text()) is not None or process.poll() is not None,
            "the object store to listen",
        )
        found = LISTENING.search(log.read_text())
        assert found is not None, log.read_text()
        yield ObjectStore(int(found[1]))
    finally:
        process.terminate()
        process.wait(TIMEOUT_S)
