"""What one writes without a continuous batcher: a FastAPI application that streams completions.

``python -m benchmarks.generation.plain_server VERSION PORT POLICY LANES ROWS`` serves one version
of a generator on ``/v1/completions`` in the shape that the load generator sends and reads.

- ``single``: each lane (a thread) writes one text at a time, one run of the graph a symbol.
- ``static``: each lane collects up to ROWS requests, runs them together K steps at a time until the
  longest is done, and only then takes the next ones.

Both send what they have after every 16 symbols, as the server under test does.
"""

import asyncio
import queue
import sys
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import Response, StreamingResponse

from benchmarks.generation.artifact import Graphs, open_graphs

STEPS = 16
"""Symbols of one event."""
COLLECT_S = 0.01
"""How long a lane waits for company once a request is there."""


@dataclass(slots=True)
class Waiting:
    """One request and where its text goes."""

    prompt: list[int]
    max_tokens: int
    seed: int
    loop: asyncio.AbstractEventLoop
    pieces: "asyncio.Queue[str | None]"

    def send(self, piece: str | None) -> None:
        """Hand a piece to the event loop; None ends the text."""
        self.loop.call_soon_threadsafe(self.pieces.put_nowait, piece)


Inbox = queue.SimpleQueue[Waiting]


def write_single(graphs: Graphs, inbox: Inbox) -> None:
    """One text after the other, one symbol a run."""
    vocabulary = graphs.task.vocabulary
    while True:
        job = inbox.get()
        states = graphs.read(np.array([job.prompt[:-1]]), graphs.zero_states(1))
        token = np.array(job.prompt[-1:])
        uniforms = np.random.default_rng(job.seed).random(job.max_tokens, np.float32)
        text = ""
        for number, uniform in enumerate(uniforms, start=1):
            tokens, states = graphs.step(token, np.array([[uniform]]), states)
            token = tokens[:, 0]
            text += vocabulary[token[0]]
            if number % STEPS == 0 or number == job.max_tokens:
                job.send(text)
                text = ""
        job.send(None)


def write_static(graphs: Graphs, inbox: Inbox, rows: int) -> None:
    """Batches of up to ``rows`` texts, each run until its longest text is done."""
    while True:
        jobs = _collect(inbox, rows)
        _write_batch(graphs, jobs)


def _collect(inbox: Inbox, rows: int) -> list[Waiting]:
    jobs = [inbox.get()]
    end = time.monotonic() + COLLECT_S
    while len(jobs) < rows:
        try:
            jobs.append(inbox.get(timeout=max(0.0, end - time.monotonic())))
        except queue.Empty:
            break
    return jobs


def _write_batch(graphs: Graphs, jobs: list[Waiting]) -> None:
    vocabulary = graphs.task.vocabulary
    prompts = np.array([job.prompt for job in jobs])  # of one length, as the workload has them
    states = graphs.read(prompts[:, :-1], graphs.zero_states(len(jobs)))
    token = prompts[:, -1].copy()
    longest = max(job.max_tokens for job in jobs)
    generator = np.random.default_rng(jobs[0].seed)
    for done in range(0, longest, STEPS):
        steps = min(STEPS, longest - done)
        uniform = generator.random((len(jobs), steps), np.float32)
        tokens, states = graphs.step(token, uniform, states)
        token = tokens[:, -1].copy()
        for job, row in zip(jobs, tokens.tolist(), strict=True):
            left = job.max_tokens - done
            if left > 0:
                job.send("".join(vocabulary[t] for t in row[:left]))
                if left <= steps:
                    job.send(None)


def build(graphs: Graphs, inbox: Inbox) -> FastAPI:
    """The application."""
    app = FastAPI()
    ids = {symbol: number for number, symbol in enumerate(graphs.task.vocabulary)}

    @app.get("/health")
    async def health() -> dict[str, bool]:
        return {"ready": True}

    @app.post("/v1/completions")
    async def completions(request: Request) -> Response:
        body = orjson.loads(await request.body())
        loop, pieces = asyncio.get_running_loop(), asyncio.Queue[str | None]()
        prompt = [ids[character] for character in body["prompt"]]
        inbox.put(Waiting(prompt, body["max_tokens"], body["seed"], loop, pieces))
        return StreamingResponse(_events(pieces), media_type="text/event-stream")

    return app


async def _events(pieces: "asyncio.Queue[str | None]") -> AsyncIterator[bytes]:
    while (piece := await pieces.get()) is not None:
        document = {"object": "text_completion", "choices": [{"index": 0, "text": piece}]}
        yield b"data: " + orjson.dumps(document) + b"\n\n"
    yield b"data: [DONE]\n\n"


def main(version: str, port: str, policy: str, lanes: str, rows: str) -> None:
    """Serve until terminated."""
    graphs, inbox = open_graphs(Path(version)), Inbox()
    for _ in range(int(lanes)):
        work = (
            threading.Thread(target=write_single, args=(graphs, inbox), daemon=True)
            if policy == "single"
            else threading.Thread(target=write_static, args=(graphs, inbox, int(rows)), daemon=True)
        )
        work.start()
    uvicorn.run(build(graphs, inbox), host="127.0.0.1", port=int(port), log_level="warning")


if __name__ == "__main__":
    main(*sys.argv[1:])
