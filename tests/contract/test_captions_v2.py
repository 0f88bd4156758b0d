"""Captioners under the inference protocol, with the stock clients: model and graphs."""

import base64
import io
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from PIL import Image
from tritonclient.utils import InferenceServerException

from tests.caption_models import BEGIN, END, VOCABULARY, WORDS, photo, photo_pixels
from tests.contract.test_grpc_streams import Stream
from tests.e2e.process import ServerProcess

pytestmark = pytest.mark.e2e
CLIENTS = {"grpc": tritonclient.grpc, "http": tritonclient.http}
NAMES = ("eye", "eye.encoder", "eye.decode", "eye.prefill")
STEPS = 8


@pytest.fixture(params=CLIENTS)
def stock(request: pytest.FixtureRequest, caption_server: ServerProcess) -> Iterator[Any]:
    """Each stock client in turn, which knows its own module."""
    module = CLIENTS[request.param]
    server = caption_server
    address = server.grpc_address if module is tritonclient.grpc else server.http_address
    with module.InferenceServerClient(address) as client:
        yield Stock(module, client)


class Stock:
    """A stock client, and arrays in place of its tensors."""

    def __init__(self, module: Any, client: Any) -> None:
        self._module = module
        self.client = client

    def infer(
        self,
        model: str,
        inputs: dict[str, Any],
        parameters: dict[str, Any] | None = None,
        outputs: tuple[str, ...] = (),
    ) -> dict[str, Any]:
        """The arrays that version 1 of a model makes of others."""
        result = self.client.infer(
            model,
            tensors_of(self._module, inputs),
            model_version="1",
            outputs=[self._module.InferRequestedOutput(name) for name in outputs] or None,
            parameters=parameters,
        )
        message = result.get_response()
        document = message if isinstance(message, dict) else _as_dict(message)
        return {entry["name"]: result.as_numpy(entry["name"]) for entry in document["outputs"]}

    def metadata(self, model: str) -> dict[str, Any]:
        message = self.client.get_model_metadata(model)
        return message if isinstance(message, dict) else _as_dict(message)


def _as_dict(message: Any) -> dict[str, Any]:
    names = ("inputs", "outputs")
    return {
        name: [
            {"name": one.name, "datatype": one.datatype, "shape": list(one.shape)}
            for one in getattr(message, name, ())
        ]
        for name in names
    }


def tensors_of(module: Any, inputs: dict[str, Any]) -> list[Any]:
    kinds = {"O": "BYTES", "f": "FP32", "i": "INT64", "u": "UINT8"}
    tensors = []
    for name, array in inputs.items():
        tensors.append(module.InferInput(name, list(array.shape), kinds[array.dtype.kind]))
        tensors[-1].set_data_from_numpy(array)
    return tensors


def files(*elements: bytes) -> dict[str, Any]:
    return {"image": np.array(elements, np.object_)}


def texts(outputs: dict[str, Any]) -> list[str]:
    return [text.decode() for text in outputs["caption"].tolist()]


def test_metadata_declares_the_model_and_its_graphs(stock: Stock) -> None:
    assert stock.metadata("eye")["inputs"] == [
        {"name": "image", "datatype": "BYTES", "shape": [-1]}
    ]
    assert stock.metadata("eye")["outputs"] == [
        {"name": "caption", "datatype": "BYTES", "shape": [-1]},
        {"name": "log_probability", "datatype": "FP32", "shape": [-1]},
    ]
    (pixels,) = stock.metadata("eye.encoder")["inputs"]
    assert pixels == {"name": "image", "datatype": "UINT8", "shape": [-1, 8, 8, 3]}
    given = {spec["name"] for spec in stock.metadata("eye.encoder")["outputs"]}
    for graph in ("eye.decode", "eye.prefill"):
        assert given < {spec["name"] for spec in stock.metadata(graph)["inputs"]}
    assert all(stock.client.is_model_ready(name) for name in NAMES)


def test_captions_of_several_pictures_stand_side_by_side(stock: Stock) -> None:
    options = {"captions": 3, "beam_width": 4}
    together = stock.infer("eye", files(photo(0), photo(1)), options)
    assert together["caption"].shape == together["log_probability"].shape == (6,)
    assert together["log_probability"].dtype == np.float32
    for picture in range(2):
        alone = stock.infer("eye", files(photo(picture)), options)
        part = slice(3 * picture, 3 * picture + 3)
        assert texts(alone) == texts(together)[part]
        np.testing.assert_array_equal(alone["log_probability"], together["log_probability"][part])


def test_parameters_reach_the_draw(stock: Stock) -> None:
    options = {"temperature": 1.0, "top_k": 6, "seed": 3, "min_tokens": 5, "max_tokens": 7}
    first, again, other = (
        texts(
            stock.infer(
                "eye",
                files(photo(0)),
                parameters={**options, "captions": 4, "seed": seed, "beginning": "the red"},
            )
        )
        for seed in (3, 3, 4)
    )
    assert first == again != other
    for text in first:
        assert text.startswith("the red")
        assert 5 <= len(text.split()) <= 7


def test_only_the_outputs_that_are_wanted_are_sent(stock: Stock) -> None:
    outputs = stock.infer("eye", files(photo(0)), outputs=("log_probability",))
    assert list(outputs) == ["log_probability"]


def test_graphs_in_turn_write_the_greedy_caption(stock: Stock) -> None:
    """encoder, decode and prefill as a client would run them, against the model itself."""
    whole = stock.infer("eye", files(photo(2)), parameters={"beam_width": 1})
    start = stock.infer("eye.encoder", {"image": photo_pixels(2)[None]})
    start["counts"] = np.zeros((1, len(VOCABULARY)), np.float32)
    caption = decode_greedily(stock, start)
    assert " ".join(WORDS[i - 3] for i in caption if VOCABULARY[i] != END) == texts(whole)[0]
    tokens = np.array([[VOCABULARY.index(BEGIN), *caption[:-1]]])
    read = stock.infer(
        "eye.prefill", {"tokens": tokens, "length": np.array([len(caption)]), **start}
    )
    scores = read["log_probabilities"][0, range(len(caption)), caption]
    # Sums of float32 in different orders.
    assert float(scores.sum()) == pytest.approx(float(whole["log_probability"][0]), abs=1e-4)


def decode_greedily(stock: Stock, state: dict[str, Any]) -> list[int]:
    """The symbols of a caption, its end included."""
    ones, zero = np.ones(1, np.float32), np.zeros(1, np.float32)
    written = [VOCABULARY.index(BEGIN)]
    while VOCABULARY[written[-1]] != END and len(written) <= 24:
        outputs = stock.infer(
            "eye.decode",
            {
                **state,
                "token": np.array(written[-1:]),
                "temperature": zero,
                "top_k": np.zeros(1, np.int64),
                "top_p": ones,
                "repetition_penalty": ones,
                "presence_penalty": zero,
                "frequency_penalty": zero,
                "alternatives": np.zeros(1, np.int64),
                # A caption has one word at least unless it is told otherwise.
                "minimum": np.array([1 if len(written) == 1 else 0]),
                "uniform": np.full((1, 1), 0.5, np.float32),
            },
        )
        written.append(int(outputs["tokens"][0, 0]))
        state = {name: outputs.get(f"next_{name}", array) for name, array in state.items()}
    return written[1:]


def test_base64_in_json_is_the_picture(caption_server: ServerProcess) -> None:
    stream = io.BytesIO()
    Image.fromarray(photo_pixels(5)).save(stream, "WEBP", lossless=True)
    data = [base64.b64encode(file).decode() for file in (photo(5), stream.getvalue())]
    answer = caption_server.infer_json(
        "eye",
        {
            "inputs": [{"name": "image", "shape": [2], "datatype": "BYTES", "data": data}],
            "parameters": {"max_tokens": 6},
            "id": "call",
        },
    )
    assert answer.status == 200
    document = answer.json()
    assert (document["model_name"], document["id"]) == ("eye", "call")
    caption, probability = document["outputs"]
    assert (caption["name"], caption["datatype"], caption["shape"]) == ("caption", "BYTES", [2])
    assert caption["data"][0] == caption["data"][1] != ""
    assert (probability["name"], probability["datatype"]) == ("log_probability", "FP32")
    assert probability["data"][0] == probability["data"][1] < 0


def test_captions_that_a_search_does_not_find_are_empty(caption_server: ServerProcess) -> None:
    """One word may be written, and the model has fewer of them than captions are wanted."""
    data = [base64.b64encode(photo(5)).decode()]
    answer = caption_server.infer_json(
        "eye",
        {
            "inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": data}],
            "parameters": {"beam_width": 15, "captions": 15, "max_tokens": 1},
        },
    )
    caption, probability = answer.json()["outputs"]
    known = len(WORDS)
    assert sorted(caption["data"][:known]) == sorted(WORDS)
    assert caption["data"][known:] == [""] * 3
    assert sorted(probability["data"], reverse=True) == probability["data"]
    assert probability["data"][known:] == [-math.inf] * 3


def test_stream_gives_one_answer_to_each_request_in_order(caption_server: ServerProcess) -> None:
    with tritonclient.grpc.InferenceServerClient(caption_server.grpc_address) as client:
        stream = Stream(client)
        for number in range(6):
            inputs = tensors_of(tritonclient.grpc, files(photo(number)))
            stream.send("eye", inputs, request_id=str(number))
        answers = stream.finish()
    assert [error for _, error in answers if error] == []
    assert [result.get_response().id for result, _ in answers] == list(map(str, range(6)))
    assert all(
        result.get_response().parameters["triton_final_response"].bool_param
        for result, _ in answers
    )
    assert len({result.as_numpy("caption")[0] for result, _ in answers}) > 1


@pytest.mark.parametrize(
    ("inputs", "parameters", "complaint"),
    [
        (files(b"no picture"), {}, "not an image"),
        (files(photo(0), b""), {}, "image"),
        ({"image": np.array([[photo(0)]], np.object_)}, {}, r"Expected \[-1\], got \[1, 1\]"),
        ({"image": np.array([], np.object_)}, {}, "images: expected 1 to 64, got 0"),
        ({"image": np.zeros(4, np.uint8)}, {}, "'UINT8', but model 'eye' expects 'BYTES'"),
        ({"photo": np.array([photo(0)], np.object_)}, {}, "unexpected inference input 'photo'"),
        (files(photo(0)), {"beams": 3}, "unknown parameter 'beams'"),
        (files(photo(0)), {"captions": "3"}, "parameter 'captions': expected a whole number"),
        (files(photo(0)), {"max_tokens": 0}, "max_tokens: expected 1 to 40, got 0"),
    ],
)
def test_what_is_wrong_is_named(
    stock: Stock, inputs: dict[str, Any], parameters: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(InferenceServerException, match=complaint) as caught:
        stock.infer("eye", inputs, parameters)
    assert caught.value.status() in ("400", "StatusCode.INVALID_ARGUMENT")


def test_configuration_of_a_captioner_takes_no_batch_axis(stock: Stock) -> None:
    message = stock.client.get_model_config("eye")
    config = message if isinstance(message, dict) else _config_dict(message.config)
    assert config["max_batch_size"] == 0
    assert config["name"] == "eye"


def _config_dict(config: Any) -> dict[str, Any]:
    return {"name": config.name, "max_batch_size": config.max_batch_size}
