"""What one writes in a quarter of an hour: FastAPI, one uvicorn process, a run a request.

The tensor is the raw body both ways, so that no JSON is parsed. The session has ONNX Runtime's
default threads (all cores for one run) and is called where the request is handled; ``uvicorn`` runs
on uvloop and httptools, without access log.

``python -m benchmarks.serving.plain_fastapi NETWORK PORT``
"""

import sys

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI, Request, Response

from benchmarks.serving.networks import SIDE


def build_app(network: str, threads: int) -> FastAPI:
    """The application: POST /infer, float32 [1, 28, 28] in, float32 [10] out; GET /health."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
    app = FastAPI()

    @app.post("/infer")
    async def infer(request: Request) -> Response:
        x = np.frombuffer(await request.body(), np.float32).reshape(1, 1, SIDE, SIDE)
        (y,) = session.run(None, {"x": x})
        return Response(y.tobytes(), media_type="application/octet-stream")

    @app.get("/health")
    async def health() -> Response:
        return Response(b"ok")

    return app


if __name__ == "__main__":
    uvicorn.run(
        build_app(sys.argv[1], int(sys.argv[3])),
        host="127.0.0.1",
        port=int(sys.argv[2]),
        access_log=False,
        log_level="warning",
    )
