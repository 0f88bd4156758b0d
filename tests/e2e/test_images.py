"""Generated pictures by the thousand: the same on every wire, at any load, for slow readers too."""

import base64
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http

from quartet.latents import latents
from serving.pb.quartet.v1 import quartet_pb2 as pb
from tests.e2e.fixtures import MODEL_REPOSITORY
from tests.e2e.process import ServerProcess, wait_until
from tests.e2e.test_abandoned_streams import resident_bytes
from tests.image_models import CLASSES, LATENT, SIDE, make_image_model
from tests.patience import TIMEOUT_S

pytestmark = pytest.mark.e2e
RAW, PNG = pb.IMAGE_FORMAT_RAW, pb.IMAGE_FORMAT_PNG
COUNT = 1000
CLIENTS = 8
ENDLESS = 100_000
"""Pictures asked for by a reader who stops after a few."""
AHEAD = 5_000
"""Pictures that may be made of these: those under way, some hundred, and those of 130 bytes that
fit into the transport's buffers of 64 KiB on both sides."""
SMALL_WINDOW = (("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65536))
"""Options of a client that takes in what it is told to, and no megabytes of it unasked."""
UNDER_WAY = 4 * 64
"""Pictures of one answer in work at once: ``MAX_AHEAD`` pieces of a full batch each."""
RESIDENT_SLACK_BYTES = 16 * 1024 * 1024
"""What the resident memory may grow by while nobody reads: allocators keep some free pages."""
V2 = {"grpc": tritonclient.grpc, "http": tritonclient.http}


@dataclass(frozen=True)
class Generator:
    """A model of a server."""

    server: ServerProcess
    name: str

    def stream(self, **fields: Any) -> Any:
        """GenerateImages on a connection of its own, which lives as long as the call is used."""
        return Stream(self.server, pb.GenerateImagesRequest(model_name=self.name, **fields))

    def over_grpc(self, **fields: Any) -> list[bytes]:
        """The pictures of a whole stream."""
        with self.stream(**fields) as messages:
            found = list(messages)
        assert found[-1].WhichOneof("event") == "finished"
        return [message.image.data for message in found[1:-1]]

    def over_rest(self, query: str, kind: str) -> bytes:
        """The body of a GET."""
        path = f"/v1/images/{self.name}?{query}"
        answer = self.server.request("GET", path, headers={"accept": kind})
        assert answer.status == 200, answer.body
        return answer.body

    def metric(self, name: str) -> float:
        return self.server.metric(name, model=self.name)


class Stream:
    """A call of GenerateImages: iterate over it, cancel it, close it."""

    def __init__(self, server: ServerProcess, request: pb.GenerateImagesRequest) -> None:
        self._channel = grpc.insecure_channel(server.grpc_address, options=SMALL_WINDOW)
        method = self._channel.unary_stream(
            "/quartet.v1.Quartet/GenerateImages",
            request_serializer=pb.GenerateImagesRequest.SerializeToString,
            response_deserializer=pb.GenerateImagesResponse.FromString,
        )
        self._call: Any = method(request, timeout=TIMEOUT_S)

    def __iter__(self) -> Iterator[pb.GenerateImagesResponse]:
        return iter(self._call)

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def take(self, pictures: int) -> None:
        """Read the start, and so many pictures."""
        messages = iter(self._call)
        assert next(messages).WhichOneof("event") == "started"
        for number in range(pictures):
            assert next(messages).image.number == number

    def cancel(self) -> None:
        self._call.cancel()


@pytest.fixture(scope="module")
def image_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Serves ``faces`` and ``digits``, which are told a class."""
    repository = tmp_path_factory.mktemp("images")
    make_image_model(repository / "faces")
    make_image_model(repository / "digits", condition="class", mode="L")
    process = ServerProcess(repository)
    try:
        yield process.wait_ready()
    finally:
        process.close()


@pytest.fixture
def faces(image_server: ServerProcess) -> Generator:
    """Random weights: a graph of no time, so that everything else shows."""
    return Generator(image_server, "faces")


@pytest.fixture(params=["faces", "dcgan-mnist", "dcgan-faces"])
def generator(request: pytest.FixtureRequest) -> Generator:
    """The random one, and those that are shipped."""
    if request.param == "faces":
        return Generator(request.getfixturevalue("image_server"), "faces")
    if not (MODEL_REPOSITORY / request.param).is_dir():
        pytest.skip(f"no model at {MODEL_REPOSITORY / request.param}")
    return Generator(request.getfixturevalue("mnist_server"), request.param)


def samples(seed: int, count: int = 1) -> pb.ImageSamples:
    return pb.ImageSamples(seed=seed, count=count)


def test_thousand_streamed_pictures_are_those_of_rest(generator: Generator) -> None:
    raw = b"".join(generator.over_grpc(samples=samples(7, COUNT), format=RAW))
    query = f"seed=7&n={COUNT}"
    assert raw == generator.over_rest(query, "application/octet-stream")
    files = generator.over_grpc(samples=samples(7, COUNT), format=PNG)
    document = json.loads(generator.over_rest(query, "application/json"))
    assert files == [base64.b64decode(one["image"]) for one in document["images"]]
    assert len(set(files)) == COUNT


def test_thousand_seeds_are_the_same_pictures_alone(generator: Generator) -> None:
    seeds = list(range(COUNT))
    files = generator.over_grpc(seeds=pb.SeedList(seeds=seeds))
    assert len(files) == COUNT
    for seed in seeds[:: COUNT // 20]:
        assert files[seed] == generator.over_rest(f"seed={seed}", "image/png")


@pytest.mark.parametrize("wire", V2)
def test_bare_generator_makes_of_z_the_picture_of_its_seed(generator: Generator, wire: str) -> None:
    rows = 7
    size = latent_size(generator)
    z = latents(np.full(rows, 9, np.uint64), np.arange(rows), size)
    found = infer(generator.server, wire, generator.name, {"z": z}, "image")
    assert found.dtype == np.uint8
    assert found.tobytes() == generator.over_rest(f"seed=9&n={rows}", "application/octet-stream")


@pytest.mark.parametrize("wire", V2)
def test_bare_generator_is_told_the_class_as_a_number(
    image_server: ServerProcess, wire: str
) -> None:
    digits = Generator(image_server, "digits")
    z = latents(np.full(3, 9, np.uint64), np.arange(3), LATENT)
    for number, name in enumerate(CLASSES):
        inputs = {"z": z, "label": np.full(3, number, np.int64)}
        found = infer(image_server, wire, "digits", inputs, "image")
        query = f"seed=9&n=3&class={name}"
        assert found.tobytes() == digits.over_rest(query, "application/octet-stream")


@pytest.mark.parametrize("wire", V2)
def test_bare_critic_thinks_of_pixels_what_critique_thinks_of_files(
    generator: Generator, wire: str
) -> None:
    rows = 3
    shape = picture_shape(generator)
    pixels = generator.over_rest(f"seed=9&n={rows}", "application/octet-stream")
    images = np.frombuffer(pixels, np.uint8).reshape(rows, *shape)
    critic = f"{generator.name}.critic"
    found = infer(generator.server, wire, critic, {"image": images}, "probability")
    document = json.loads(generator.over_rest(f"seed=9&n={rows}", "application/json"))
    answer = generator.server.request(
        "POST",
        f"/v1/images/{generator.name}/critique",
        json.dumps({"images": [one["image"] for one in document["images"]]}),
        {"content-type": "application/json"},
    )
    told = [np.float32(one["probability"]) for one in answer.json()["results"]]
    assert found.tolist() == told
    assert len(set(told)) == rows


def test_same_seed_is_the_same_picture_at_any_load(generator: Generator) -> None:
    wanted = samples(7, 5)
    alone = generator.over_grpc(samples=wanted)
    rest = generator.over_rest("seed=7&n=5", "application/octet-stream")
    together = threading.Barrier(CLIENTS)

    def ask(client: int) -> None:
        """Pictures of one's own, in groups of all sizes, and again and again those of seed 7."""
        together.wait(TIMEOUT_S)
        for turn in range(10):
            generator.over_grpc(samples=samples(100 + client, 1 + (client + turn) % 7))
            assert generator.over_grpc(samples=wanted) == alone
            assert generator.over_rest("seed=7&n=5", "application/octet-stream") == rest

    with ThreadPoolExecutor(CLIENTS) as pool:
        for done in [pool.submit(ask, client) for client in range(CLIENTS)]:
            done.result()


def test_one_picture_does_not_wait_for_ten_thousand(faces: Generator) -> None:
    begun, finished = threading.Event(), threading.Event()
    count = 10_000

    def read_all() -> int:
        pictures = 0
        with faces.stream(samples=samples(1, count)) as messages:
            for message in messages:
                pictures += message.WhichOneof("event") == "image"
                begun.set()
        finished.set()
        return pictures

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read_all)
        assert begun.wait(TIMEOUT_S)
        alone = faces.over_grpc(samples=samples(7))
        overtaken = not finished.is_set()
        assert reading.result() == count
    assert overtaken
    assert alone == faces.over_grpc(samples=samples(7))


def test_reader_who_stops_costs_nothing_and_holds_up_nobody(faces: Generator) -> None:
    generated = "quartet_images_generated_total"
    before = faces.metric(generated)

    def others(pictures: int) -> None:
        """Ask for a picture, again and again."""
        nonlocal before
        for seed in range(pictures):
            faces.over_rest(f"seed={seed}", "image/png")
        before += pictures

    def made() -> float:
        """Pictures made for the reader who stopped."""
        return faces.metric(generated) - before

    def others_alone() -> bool:
        """Whether nothing is made for the reader while others ask."""
        so_far = made()
        others(50)
        return made() == so_far

    with faces.stream(samples=samples(1, ENDLESS), format=RAW) as stream:
        stream.take(10)
        wait_until(others_alone, "the end of what is made for nobody")
        so_far, resident = made(), resident_bytes(faces.server.pid)
        assert 10 <= so_far < AHEAD
        others(300)
        assert made() == so_far
        assert resident_bytes(faces.server.pid) - resident < RESIDENT_SLACK_BYTES
        assert faces.metric("quartet_images_in_flight") > 0
        stream.cancel()
        wait_until(lambda: faces.metric("quartet_images_in_flight") == 0, "no picture in flight")
    others(20)
    # Nothing went on but the pieces that were under way.
    assert made() < so_far + UNDER_WAY + 1


def test_reader_who_goes_on_gets_all(faces: Generator) -> None:
    with faces.stream(samples=samples(3, 5000), format=RAW) as stream:
        stream.take(10)
        alone = faces.over_rest("seed=4", "image/png")
        rest = list(stream)
    assert [message.image.number for message in rest[:-1]] == list(range(10, 5000))
    assert rest[-1].WhichOneof("event") == "finished"
    assert alone


def test_clients_that_vanish_leave_nothing_in_flight(faces: Generator) -> None:
    cancelled = "quartet_requests_total"
    labels = {"outcome": "cancelled", "protocol": "grpc", "model": "faces"}
    before = faces.server.metric(cancelled, **labels)
    # One after another: only what they have ahead stays, which leaves room for the next.
    streams = []
    for seed in range(50):
        streams.append(faces.stream(samples=samples(seed, ENDLESS)))
        streams[-1].take(1)
    for stream in streams:
        stream.__exit__()
    wait_until(
        # A stream that an earlier test left may be counted meanwhile, too.
        lambda: faces.server.metric(cancelled, **labels) >= before + len(streams),
        "every abandoned stream counted as cancelled",
    )
    wait_until(lambda: faces.metric("quartet_images_in_flight") == 0, "no picture in flight")


def latent_size(generator: Generator) -> int:
    if generator.name == "faces":
        return LATENT
    metadata = generator.server.request("GET", f"/v2/models/{generator.name}").json()
    (z,) = (one for one in metadata["inputs"] if one["name"] == "z")
    return int(z["shape"][-1])


def picture_shape(generator: Generator) -> tuple[int, ...]:
    if generator.name == "faces":
        return (SIDE, SIDE, 3)
    metadata = generator.server.request("GET", f"/v2/models/{generator.name}").json()
    (image,) = metadata["outputs"]
    return tuple(image["shape"][1:])


def infer(
    server: ServerProcess, wire: str, model: str, inputs: dict[str, Any], output: str
) -> np.ndarray[Any, np.dtype[Any]]:
    """An output of a model by the stock client of ``wire``."""
    module = V2[wire]
    names = {"float32": "FP32", "int64": "INT64", "uint8": "UINT8"}
    tensors = []
    for name, array in inputs.items():
        tensor = module.InferInput(name, list(array.shape), names[str(array.dtype)])
        tensor.set_data_from_numpy(array)
        tensors.append(tensor)
    address = server.grpc_address if wire == "grpc" else server.http_address
    with module.InferenceServerClient(address) as client:
        found: np.ndarray[Any, np.dtype[Any]] = client.infer(model, tensors).as_numpy(output)
    return found
