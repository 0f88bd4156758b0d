"""Clients that go on while replicas come and go; every failed call is kept with its reason."""

import contextlib
import http.client
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import grpc
import numpy as np

from serving.pb.inference import open_inference_grpc_pb2 as pb
from serving.pb.inference import open_inference_grpc_pb2_grpc
from serving.pb.quartet.v1 import quartet_pb2, quartet_pb2_grpc
from tests.conftest import REPOSITORY_ROOT
from tests.deploy.rolling import DIGITS, IDENTITY, PICTURES, TEXT
from tests.e2e.process import wait_until
from tests.patience import TIMEOUT_S

SEVEN = REPOSITORY_ROOT / "docs" / "images" / "seven.png"
SYMBOLS = 500
"""Of one streamed text: some tenths of a second of one processor."""
PICTURES_OF_ONE_REQUEST = 100
STREAMED_REQUESTS = 80
"""Of one ModelStreamInfer, one after the other, with a pause between them: it lasts for longer than
a balancer needs to see that a replica ends."""
PAUSE_S = 0.05
"""Between calls of one client: the processor is to be shared by three replicas and a balancer."""
LONG_PAUSE_S = 0.5
"""After a call that costs the processor as much as a hundred others."""
Call = Callable[[], None]
"""One call and a look at its answer; raises whatever is wrong with it."""


class Load:
    """Threads of one call each, repeated until ``stop``."""

    def __init__(self) -> None:
        self.done: Counter[str] = Counter()
        """Calls that were answered, by name."""
        self.failures: list[str] = []
        """Name and reason of each call that was not."""
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def add(self, name: str, call: Call, pause_s: float = PAUSE_S) -> None:
        """One more client, which begins at once; ``pause_s``: after each of its calls."""
        thread = threading.Thread(target=self._repeat, args=(name, call, pause_s), name=name)
        self._threads.append(thread)
        thread.start()

    def wait_each(self, calls: int) -> None:
        """Wait until each kind of call was answered ``calls`` times more; none may have failed."""
        before = Counter(self.done)
        names = {thread.name for thread in self._threads}
        wait_until(
            lambda: self.failures or all(self.done[n] >= before[n] + calls for n in names),
            "answers to every kind of call",
        )
        assert not self.failures, self.failures[:3]

    def wait_failures(self, beginnings: Sequence[str]) -> None:
        """Wait until a call has failed of every kind whose name begins as one of these."""
        wait_until(
            lambda: all(any(f.startswith(b) for f in self.failures) for b in beginnings),
            f"failures of {beginnings}",
        )

    def report(self) -> str:
        """How many calls of each kind were answered, and how many of all failed."""
        kinds = "".join(f"\n{count:6} {name}" for name, count in sorted(self.done.items()))
        return f"{self.done.total()} calls, {len(self.failures)} failed{kinds}"

    def pause(self, seconds: float) -> bool:
        """Pass time, less if told to stop; whether to stop."""
        return self._stop.wait(seconds)

    def stop(self) -> None:
        """Let every client finish its call."""
        self._stop.set()
        for thread in self._threads:
            thread.join(TIMEOUT_S)
            assert not thread.is_alive(), f"a call of {thread.name} hangs"

    def _repeat(self, name: str, call: Call, pause_s: float) -> None:
        while not self._stop.is_set():
            try:
                call()
            except Exception as error:  # noqa: BLE001  # whatever it is, the test tells it
                self.failures.append(f"{name}: {type(error).__name__}: {error}")
            else:
                self.done[name] += 1
            self.pause(pause_s)


@contextlib.contextmanager
def running_load() -> Iterator[Load]:
    """A load, stopped with the block."""
    load = Load()
    try:
        yield load
    finally:
        load.stop()


def always(address: str) -> Callable[[], str]:
    """For ``Rest``: every connection goes to ``address``."""
    return lambda: address


class KeptConnection:
    """A connection of one thread that is used until the server asks for another."""

    def __init__(self, opened: Callable[[], http.client.HTTPConnection]) -> None:
        """``opened`` makes a new one."""
        self._opened = opened
        self._connection = opened()

    def get(self) -> http.client.HTTPConnection:
        """The same as before, unless it was closed after its last answer."""
        if self._connection.sock is None:
            self._connection = self._opened()
        return self._connection

    def close(self) -> None:
        """End it."""
        self._connection.close()


class Rest:
    """Calls over HTTP/1.1."""

    def __init__(self, address: Callable[[], str]) -> None:
        """``address``: host and port for the next connection."""
        self._address = address
        self._kept = KeptConnection(self._connection)
        self._kept_for_pictures = KeptConnection(self._connection)

    def add_to(self, load: Load, prefix: str = "") -> None:
        """All of them; ``prefix``: of their names."""
        load.add(f"{prefix}rest: kept connection", self.infer_on_kept_connection)
        load.add(f"{prefix}rest: new connection", self.infer_on_new_connection)
        load.add(f"{prefix}rest: classify", self.classify)
        load.add(f"{prefix}rest: text stream", self.stream_text, LONG_PAUSE_S)
        load.add(f"{prefix}rest: pictures", self.make_pictures, LONG_PAUSE_S)

    def close(self) -> None:
        """End the connections that are kept."""
        self._kept.close()
        self._kept_for_pictures.close()

    def infer_on_kept_connection(self) -> None:
        """JSON, on one connection, which is made anew only if it was closed in good order."""
        self._infer(self._kept.get())

    def infer_on_new_connection(self) -> None:
        """JSON, each time on a connection of its own."""
        with contextlib.closing(self._connection()) as connection:
            self._infer(connection)

    def classify(self) -> None:
        """A picture of a seven."""
        with contextlib.closing(self._connection()) as connection:
            body = self._ask(connection, "POST", f"/v1/classify/{DIGITS}", SEVEN.read_bytes())
        assert json.loads(body)["predictions"][0]["label"] == "7", body

    def stream_text(self) -> None:
        """A text as server-sent events, read to its last one."""
        asked = {"model": TEXT, "prompt": "ROMEO:", "max_tokens": SYMBOLS, "stream": True}
        with contextlib.closing(self._connection()) as connection:
            events = self._ask(connection, "POST", "/v1/completions", json.dumps(asked))
        assert events.endswith(b"data: [DONE]\n\n"), events[-300:]

    def make_pictures(self) -> None:
        """Pictures of one seed, as bytes."""
        path = f"/v1/images/{PICTURES}?seed=7&n={PICTURES_OF_ONE_REQUEST}"
        form = {"accept": "application/octet-stream"}
        body = self._ask(self._kept_for_pictures.get(), "GET", path, None, form)
        assert len(body) % PICTURES_OF_ONE_REQUEST == 0, len(body)

    def _infer(self, connection: http.client.HTTPConnection) -> None:
        document = {"inputs": [{"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [4]}]}
        path = f"/v2/models/{IDENTITY}/infer"
        body = self._ask(connection, "POST", path, json.dumps(document))
        assert json.loads(body)["outputs"][0]["data"] == [4], body

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self._address(), timeout=TIMEOUT_S)

    @staticmethod
    def _ask(
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: bytes | str | None,
        headers: dict[str, str] | None = None,
    ) -> bytes:
        """The body of an answer of status 200. Raises AssertionError, HTTPException, OSError."""
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            content = response.read()
        except Exception:
            connection.close()
            raise
        assert response.status == 200, f"{response.status} {content[:300]!r}"
        return content


class Grpc:
    """Calls over gRPC to one target."""

    def __init__(self, target: str, options: Sequence[tuple[str, Any]] = ()) -> None:
        """``options``: of the channels."""
        self._target = target
        # Else channels to one target would share their connections.
        self._options = (*options, ("grpc.use_local_subchannel_pool", 1))
        self._channel = self._open()
        self._inference = _inference(self._channel)
        self._typed = quartet_pb2_grpc.QuartetStub(self._channel)  # type: ignore[no-untyped-call]

    def add_to(self, load: Load, prefix: str = "") -> None:
        """All of them; ``prefix``: of their names."""
        load.add(f"{prefix}grpc: kept channel", self.infer_on_kept_channel)
        load.add(f"{prefix}grpc: new channel", self.infer_on_new_channel)
        load.add(f"{prefix}grpc: requests on a stream", lambda: self.stream_infer(load))
        load.add(f"{prefix}grpc: pictures", self.stream_pictures, LONG_PAUSE_S)

    def close(self) -> None:
        """End the channel."""
        self._channel.close()

    def infer_on_kept_channel(self) -> None:
        """ModelInfer on one channel."""
        _check(self._inference.ModelInfer(_request(4), timeout=TIMEOUT_S), 4)

    def infer_on_new_channel(self) -> None:
        """ModelInfer, each time on a channel of its own."""
        with self._open() as channel:
            _check(_inference(channel).ModelInfer(_request(5), timeout=TIMEOUT_S), 5)

    def stream_infer(self, load: Load) -> None:
        """ModelStreamInfer: each request is sent when the one before it has been answered."""
        answered = threading.Semaphore()

        def requests() -> Iterator[pb.ModelInferRequest]:
            for value in range(STREAMED_REQUESTS):
                assert answered.acquire(timeout=TIMEOUT_S)
                if load.pause(PAUSE_S):
                    return
                yield _request(value)

        value = -1
        for value, answer in enumerate(self._inference.ModelStreamInfer(requests())):
            assert not answer.error_message, answer.error_message
            _check(answer.infer_response, value)
            answered.release()
        assert value == STREAMED_REQUESTS - 1 or load.pause(0), f"ended after {value + 1} answers"

    def stream_pictures(self) -> None:
        """GenerateImages, read to its end."""
        count = PICTURES_OF_ONE_REQUEST
        request = quartet_pb2.GenerateImagesRequest(
            model_name=PICTURES, samples=quartet_pb2.ImageSamples(seed=7, count=count)
        )
        messages = list(self._typed.GenerateImages(request, timeout=TIMEOUT_S))
        assert messages[-1].WhichOneof("event") == "finished"
        assert len(messages) == count + 2

    def _open(self) -> grpc.Channel:
        return grpc.insecure_channel(self._target, options=self._options)


def _inference(channel: grpc.Channel) -> Any:
    made: Any = open_inference_grpc_pb2_grpc.GRPCInferenceServiceStub
    return made(channel)


def _request(value: float) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name=IDENTITY)
    request.inputs.add(name="x", datatype="FP32", shape=[1, 1])
    request.raw_input_contents.append(np.array([[value]], "<f4").tobytes())
    return request


def _check(response: pb.ModelInferResponse, value: float) -> None:
    assert np.frombuffer(response.raw_output_contents[0], "<f4").tolist() == [value]
