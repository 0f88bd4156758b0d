"""The load generator over gRPC: N clients that each read one endless stream of pictures.

``python -m benchmarks.images.stream_load`` takes a ``StreamSpec`` as JSON on standard input and
gives a ``benchmarks.images.load.Load`` on standard output; its latencies are those between two
pictures of a stream.
"""

import asyncio
import sys
import time
from collections.abc import Sequence

import grpc
from pydantic import BaseModel

from benchmarks.images.load import HOST, Load
from benchmarks.serving.figures import percentile
from benchmarks.serving.usage import measure_usage
from serving.pb.quartet.v1 import quartet_pb2, quartet_pb2_grpc

ENDLESS = 1_000_000
"""Pictures asked for; the streams are left when the time is over."""


class StreamSpec(BaseModel):
    """What to read."""

    port: int
    model: str
    format: int
    """``quartet_pb2.ImageFormat``."""
    clients: int
    server_pid: int
    warm_s: float
    measured_s: float


class _Readers:
    """Streams that are read as fast as they come."""

    def __init__(self, spec: StreamSpec) -> None:
        self._spec = spec
        self.gaps_s: list[float] = []

    async def read(self, stub: quartet_pb2_grpc.QuartetStub, seed: int) -> None:
        request = quartet_pb2.GenerateImagesRequest(
            model_name=self._spec.model,
            samples=quartet_pb2.ImageSamples(seed=seed, count=ENDLESS),
            format=quartet_pb2.ImageFormat.Name(self._spec.format),
        )
        before = time.perf_counter()
        async for event in stub.GenerateImages(request):
            if event.WhichOneof("event") == "image":
                now = time.perf_counter()
                self.gaps_s.append(now - before)
                before = now


async def measure(spec: StreamSpec) -> Load:
    """Run ``spec``. Raises RpcError if a stream fails."""
    readers = _Readers(spec)
    async with grpc.aio.insecure_channel(f"{HOST}:{spec.port}") as channel:
        stub = quartet_pb2_grpc.QuartetStub(channel)  # type: ignore[no-untyped-call]  # generated
        tasks = [asyncio.ensure_future(readers.read(stub, n)) for n in range(spec.clients)]
        await _sleep_unless_ended(tasks, spec.warm_s)
        readers.gaps_s.clear()
        before = measure_usage(spec.server_pid)
        await _sleep_unless_ended(tasks, spec.measured_s)
        usage, gaps = measure_usage(spec.server_pid).since(before), sorted(readers.gaps_s)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return Load(
        pictures_per_s=len(gaps) / usage.time_s,
        p50_s=percentile(gaps, 50),
        p95_s=percentile(gaps, 95),
        server_cores=usage.server_s / usage.time_s,
        load_cores=usage.own_s / usage.time_s,
        foreign_cores=usage.foreign_cores,
    )


async def _sleep_unless_ended(tasks: Sequence["asyncio.Future[None]"], seconds: float) -> None:
    """A stream ends only by an error, which is raised here."""
    done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


if __name__ == "__main__":
    spec_ = StreamSpec.model_validate_json(sys.stdin.read())
    sys.stdout.write(asyncio.run(measure(spec_)).model_dump_json())
