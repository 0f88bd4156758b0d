"""Loads whose demand is known by construction, however fast or busy this machine is.

A client that pauses until its requests have taken a chosen part of all the time that has passed
keeps one instance busy for that part. Clients that never pause make a queue of a chosen length: all
of them but those whose requests run.
"""

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tests.e2e.process import ServerProcess, ask, slow_document
from tests.patience import TIMEOUT_S

OK = 200


@dataclass(frozen=True)
class Demand:
    """What one server is asked for, of the model ``slow``."""

    server: ServerProcess
    clients: int = 1
    busy: float = 1.0
    """Part of the time in which a client has a request in the server, above 0 and up to 1."""
    model: str = "slow"


@dataclass
class Load:
    """Clients at work; ``applied_load`` makes and ends it."""

    faults: list[BaseException] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)
    began_s: float = field(default_factory=time.monotonic)

    def wait(self, seconds: float) -> None:
        """Wait until it has lasted so long. Raises the first fault of a client."""
        while time.monotonic() < self.began_s + seconds and not self.stop.is_set():
            self.stop.wait(0.1)
        self.check()

    def check(self) -> None:
        """Raise the first fault of a client, if there is one."""
        if self.faults:
            raise self.faults[0]


def calibrate_steps(server: ServerProcess, seconds: float, model: str = "slow") -> float:
    """The input with which the model ``slow`` takes about ``seconds`` on this machine."""
    trial = 1000.0
    times = []
    with server.connection() as connection:
        for _ in range(4):
            started = time.perf_counter()
            _request(connection, model, trial)
            times.append(time.perf_counter() - started)
    return float(round(seconds * trial / min(times)))


@contextlib.contextmanager
def applied_load(demands: Sequence[Demand], steps: float) -> Iterator[Load]:
    """Clients of ``demands``, each with requests of ``steps``, until the block ends."""
    load = Load()
    threads = [
        threading.Thread(target=_client, args=(load, demand, steps), daemon=True)
        for demand in demands
        for _ in range(demand.clients)
    ]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        load.stop.set()
        for thread in threads:
            thread.join(TIMEOUT_S)
    load.check()


def _client(load: Load, demand: Demand, steps: float) -> None:
    try:
        with demand.server.connection() as connection:
            began_s = time.perf_counter()
            inside_s = 0.0
            while not load.stop.is_set():
                sent_s = time.perf_counter()
                _request(connection, demand.model, steps)
                now_s = time.perf_counter()
                inside_s += now_s - sent_s
                # Counted from the beginning: pauses that end late make the next ones shorter.
                load.stop.wait(max(0.0, began_s + inside_s / demand.busy - now_s))
    except BaseException as error:  # noqa: BLE001  handed to the test's own thread
        load.faults.append(error)
        load.stop.set()


def _request(connection: http.client.HTTPConnection, model: str, steps: float) -> None:
    answer = ask(connection, "POST", f"/v2/models/{model}/infer", json.dumps(slow_document(steps)))
    assert answer.status == OK, answer.body
