"""KServe's own clients, driven by lines: a JSON command on standard input, its answer as a line.

Runs in the environment of KServe's package, beside the server that it calls. Arguments: base URL of
REST, address of gRPC, name of the model, and an .npz with the tensors ``input:NAME`` of requests.
"""

import asyncio
import json
import sys
from typing import Any

import httpx  # type: ignore[import-not-found,unused-ignore]  # of another environment
import numpy as np
from kserve import (  # type: ignore[import-not-found]  # of another environment
    InferenceGRPCClient,
    InferenceRESTClient,
    InferInput,
    InferRequest,
)
from kserve.inference_client import RESTConfig  # type: ignore[import-not-found]  # the same

DATATYPES = {"uint8": "UINT8", "float32": "FP32", "int64": "INT64"}
ROWS = 3


class Commands:
    """What can be asked."""

    def __init__(self, base_url: str, address: str, model: str, tensors: str) -> None:
        self._url, self._model = base_url, model
        self._rest = InferenceRESTClient(RESTConfig(protocol="v2", timeout=30))
        self._grpc = InferenceGRPCClient(address, retries=0)
        with np.load(tensors) as arrays:
            self._inputs = {
                name.removeprefix("input:"): arrays[name][:ROWS]
                for name in arrays.files
                if name.startswith("input:")
            }

    async def health(self) -> dict[str, Any]:
        """Liveness and readiness of server and model, over both protocols."""
        return {
            "rest": [
                await self._rest.is_server_live(self._url),
                await self._rest.is_server_ready(self._url),
                await self._rest.is_model_ready(self._url, self._model),
            ],
            "grpc": [
                await self._grpc.is_server_live(),
                await self._grpc.is_server_ready(),
                await self._grpc.is_model_ready(self._model),
            ],
        }

    async def ready(self) -> dict[str, Any]:
        """Readiness of the server, with the error of a client that raises one."""
        try:
            rest: Any = await self._rest.is_server_ready(self._url)
        except httpx.HTTPStatusError as error:
            rest = error.response.status_code
        return {"rest": rest, "grpc": await self._grpc.is_server_ready()}

    async def infer(self) -> dict[str, Any]:
        """The first output, as hexadecimal of its bytes, by each way; and the names answered."""
        answers = {
            "json": await self._rest.infer(self._url, self._request(binary=False), self._model),
            "binary": await self._rest.infer(self._url, self._request(binary=True), self._model),
            "grpc": await self._grpc.infer(self._request(binary=True)),
        }
        return {
            way: {
                "model": answer.model_name,
                "output": answer.outputs[0].as_numpy().astype("<f4").tobytes().hex(),
            }
            for way, answer in answers.items()
        }

    async def metadata(self) -> Any:
        """Of the model, which KServe's clients have no call for."""
        async with httpx.AsyncClient() as client:
            return (await client.get(f"{self._url}/v2/models/{self._model}")).json()

    def _request(self, *, binary: bool) -> InferRequest:
        tensors = []
        for name, array in self._inputs.items():
            tensor = InferInput(name, list(array.shape), DATATYPES[array.dtype.name])
            tensor.set_data_from_numpy(array, binary_data=binary)
            tensors.append(tensor)
        return InferRequest(model_name=self._model, infer_inputs=tensors)


async def main() -> None:
    """See the module."""
    commands = Commands(*sys.argv[1:])
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        answer = await getattr(commands, json.loads(line))()
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
