"""Fetches a file of a public data set and keeps it only if its checksum is right."""

import hashlib
import http.client
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from training.data.idx import DataError

TIMEOUT_S = 60.0
"""Longest silence of a mirror, seconds."""


def download(urls: Sequence[str], target: Path, sha256: str) -> None:
    """Store at ``target`` the first of ``urls`` whose bytes have the SHA-256 ``sha256``.

    Raises:
        DataError: no mirror gave the file; the text says what each of them gave.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    faults = []
    for url in urls:
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:
                content = response.read()
        except (OSError, http.client.HTTPException) as error:  # URLError is an OSError
            faults.append(f"{url}: {error}")
            continue
        got = hashlib.sha256(content).hexdigest()
        if got == sha256:
            partial = target.with_name(target.name + ".partial")
            partial.write_bytes(content)
            partial.replace(target)
            return
        faults.append(f"{url}: expected SHA-256 {sha256}, got {got}")
    raise DataError(f"{target.name} could not be downloaded: " + "; ".join(faults))
