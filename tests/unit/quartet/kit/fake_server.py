"""A tiny HTTP server that answers as Quartet does and counts round numbers."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from quartet.kit.connection import Address

ENGINE_S, LOOP_S, PROCESS_S, QUEUE_S = 0.001, 0.0005, 0.002, 0.004
"""Of each request: busy time of engine and loop, CPU time, time in the queue."""
ROWS_A_RUN = 2
THREADS = 2
REST_BYTES = 100_000_000
METRICS = """\
quartet_build_info{{version="0.1.0",onnxruntime="1.22.0",provider="CPUExecutionProvider"}} 1
quartet_engine_threads {threads}
quartet_engine_busy_seconds_total {engine}
quartet_loop_cpu_seconds_total {loop}
process_cpu_seconds_total {process}
process_resident_memory_bytes {memory}
quartet_request_duration_seconds_bucket{{model="m",version="3",le="0.01"}} {count}
quartet_request_duration_seconds_bucket{{model="m",version="3",le="0.1"}} {count}
quartet_request_duration_seconds_bucket{{model="m",version="3",le="+Inf"}} {count}
quartet_execution_duration_seconds_sum{{model="m",version="3"}} {engine}
quartet_generation_run_duration_seconds_sum{{model="other",version="1"}} 0
quartet_queue_duration_seconds_sum{{model="m",version="3"}} {queue}
quartet_batch_size_sum{{model="m",version="3"}} {rows}
quartet_batch_size_count{{model="m",version="3"}} {count}
"""


@dataclass
class Fake:
    """What it says and what it was asked."""

    documents: dict[str, tuple[int, Any]]
    """Path of a GET -> status and JSON."""
    status: int = 200
    """Of every POST."""
    requests: list[tuple[str, Mapping[str, str], bytes]] = field(default_factory=list)
    """Path, headers with lower-case names and body of every POST."""
    metrics: str = METRICS
    address: Address = field(default_factory=lambda: Address("127.0.0.1", 0))

    @property
    def url(self) -> str:
        """For ``--url``."""
        return self.address.url("")

    def render(self) -> str:
        """The metrics now."""
        count = len(self.requests)
        return self.metrics.format(
            threads=THREADS,
            engine=count * ENGINE_S,
            loop=count * LOOP_S,
            process=count * PROCESS_S,
            queue=count * QUEUE_S,
            memory=REST_BYTES + count,
            rows=count * ROWS_A_RUN,
            count=count,
        )


def one_model(max_batch_size: int = 8, **config: Any) -> dict[str, tuple[int, Any]]:
    """Documents of a server with the model ``m`` of tensors."""
    tensor = {"name": "x", "datatype": "FP32", "shape": [-1, 3]}
    metadata = {
        "name": "m",
        "versions": ["2", "3"],
        "inputs": [tensor],
        "outputs": [{**tensor, "name": "y"}],
        "properties": {"instances": "2"},
    }
    return {
        "/v1/models": (200, {"data": [{"id": "m"}]}),
        "/v1/images": (200, {"models": []}),
        "/v2/health/ready": (200, {"ready": True}),
        "/v2/models/m": (200, metadata),
        "/v2/models/m/ready": (200, {"ready": True}),
        "/v2/models/m/config": (200, {"max_batch_size": max_batch_size, **config}),
    }


@contextmanager
def serving(fake: Fake) -> Iterator[Fake]:
    """Serve until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            if self.path == "/metrics":
                self.answer(200, fake.render().encode())
                return
            status, document = fake.documents.get(self.path, (404, {"error": "no such path"}))
            self.answer(status, json.dumps(document).encode())

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            fake.requests.append((self.path, headers, body))
            self.answer(fake.status, b'{"error":"no"}' if fake.status >= 400 else b"{}")

        def answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 512

        def handle_error(self, *_: object) -> None:
            """Clients that leave are none of its business."""

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        fake.address = Address("127.0.0.1", server.server_port)
        try:
            yield fake
        finally:
            server.shutdown()
            thread.join()
