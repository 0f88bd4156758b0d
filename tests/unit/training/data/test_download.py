"""Downloads from mirrors on this machine."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from training.data.download import download
from training.data.idx import DataError

GOOD = b"the file"
SHA256 = hashlib.sha256(GOOD).hexdigest()


def test_download_takes_the_first_mirror_with_the_right_bytes(tmp_path: Path) -> None:
    absent, wrong, good = (tmp_path / name for name in ("absent", "wrong", "good"))
    wrong.write_bytes(b"another file")
    good.write_bytes(GOOD)
    target = tmp_path / "folder" / "target"
    download([path.as_uri() for path in (absent, wrong, good)], target, SHA256)
    assert target.read_bytes() == GOOD


class _BreakingOff(BaseHTTPRequestHandler):
    """Promises more bytes than it sends."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"half")

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


def test_download_goes_on_to_the_next_mirror_when_one_breaks_off(tmp_path: Path) -> None:
    good, target = tmp_path / "good", tmp_path / "target"
    good.write_bytes(GOOD)
    with HTTPServer(("127.0.0.1", 0), _BreakingOff) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/file"
        download([url, good.as_uri()], target, SHA256)
        thread.join()
    assert target.read_bytes() == GOOD


def test_download_leaves_nothing_when_no_mirror_is_right(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_bytes(b"another file")
    target = tmp_path / "folder" / "target"
    with pytest.raises(DataError, match=f"target could not be downloaded: .*expected.*{SHA256}"):
        download([wrong.as_uri()], target, SHA256)
    assert list(target.parent.iterdir()) == []
