"""The server's own way without a wire: N tasks that each caption photos.

``python -m benchmarks.captions.inside`` takes an ``InsideSpec`` as JSON on standard input and gives
an ``Inside`` on standard output. A caption that is not the one expected ends it with an error.
"""

import asyncio
import sys
from pathlib import Path

import uvloop
from prometheus_client import CollectorRegistry
from pydantic import BaseModel

from benchmarks.captions.photos import draw_photos
from benchmarks.serving.usage import measure_usage
from serving.app import Server
from serving.caption_types import CaptionOptions, CaptionRequest, collect_captions
from serving.settings import ServerSettings


class InsideSpec(BaseModel):
    """What to call."""

    repository: Path
    model: str
    clients: int
    width: int
    """Of the search."""
    expected: list[str]
    """The caption of each photo."""
    warm_s: float
    measured_s: float


class Inside(BaseModel):
    """What was measured, inside the window."""

    captions_per_s: float
    cores: float
    foreign_cores: float


class _Clients:
    """Tasks that count their answers."""

    def __init__(self, server: Server, spec: InsideSpec) -> None:
        self._service = server.service
        self._spec = spec
        self._photos = draw_photos(len(spec.expected))
        self.captions = 0

    async def run(self, number: int) -> None:
        spec, photos = self._spec, self._photos
        turn = number * len(photos) // spec.clients
        while True:
            request = CaptionRequest(
                model_name=spec.model,
                images=(photos[turn % len(photos)],),
                options=CaptionOptions(beam_width=spec.width),
                client=str(number),
            )
            response = await collect_captions(await self._service.caption(request))
            got, expected = response.results[0][0].text, spec.expected[turn % len(photos)]
            if got != expected:
                raise RuntimeError(f"photo {turn % len(photos)}: {got!r}, alone {expected!r}")
            self.captions += 1
            turn += 1


async def measure(spec: InsideSpec) -> Inside:
    """Run ``spec``. Raises RuntimeError for a wrong caption."""
    settings = ServerSettings(
        model_repository=spec.repository, host="127.0.0.1", http_port=0, grpc_port=0, metrics_port=0
    )
    server = Server(settings, CollectorRegistry())
    await server.start()
    await server.load_models()
    clients = _Clients(server, spec)
    window = asyncio.ensure_future(_window(clients, spec))
    tasks = [asyncio.ensure_future(clients.run(number)) for number in range(spec.clients)]
    # A client ends only by an error, which is raised here.
    await asyncio.wait({window, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        if task.done():
            window.cancel()
            task.result()
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await server.stop()
    return window.result()


async def _window(clients: _Clients, spec: InsideSpec) -> Inside:
    await asyncio.sleep(spec.warm_s)
    before, counted = measure_usage(None), clients.captions
    await asyncio.sleep(spec.measured_s)
    usage, captions = measure_usage(None).since(before), clients.captions - counted
    return Inside(
        captions_per_s=captions / usage.time_s,
        cores=usage.own_s / usage.time_s,
        foreign_cores=usage.foreign_cores,
    )


if __name__ == "__main__":
    wanted = InsideSpec.model_validate_json(sys.stdin.read())
    sys.stdout.write(uvloop.run(measure(wanted)).model_dump_json())
