from typing import Any

import grpc
import pytest

from serving.errors import NotSupported
from serving.pb.quartet.v1 import quartet_pb2 as pb
from serving.pb.quartet.v1 import quartet_pb2_grpc
from serving.types import MAX_IMAGES
from tests.patience import TIMEOUT_S


def classify(address: str, request: pb.ClassifyRequest) -> pb.ClassifyResponse:
    with grpc.insecure_channel(address) as channel:
        stub: Any = quartet_pb2_grpc.QuartetStub(channel)  # type: ignore[no-untyped-call]  # generated
        response: pb.ClassifyResponse = stub.Classify(request, timeout=TIMEOUT_S)
    return response


def test_classify_answers_each_picture_in_order(server: Any, service: Any) -> None:
    request = pb.ClassifyRequest(
        model_name="mnist",
        model_version="2",
        images=[pb.Image(data=b"abc"), pb.Image(data=b"a")],
        top_k=2,
    )
    response = classify(server.address, request)
    assert (response.model_name, response.model_version) == ("mnist", "1")
    found = [
        [(p.label, p.index, p.probability) for p in result.predictions]
        for result in response.results
    ]
    assert found == [[("3-0", 0, 1.0), ("3-1", 1, 0.5)], [("1-0", 0, 1.0), ("1-1", 1, 0.5)]]
    seen = service.classify_requests[0]
    assert (seen.model_version, seen.protocol, seen.images) == ("2", "grpc", (b"abc", b"a"))
    assert seen.deadline is not None


def test_classify_gives_five_classes_when_top_k_is_absent(server: Any) -> None:
    response = classify(server.address, pb.ClassifyRequest(images=[pb.Image(data=b"a")]))
    assert len(response.results[0].predictions) == 5


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (pb.ClassifyRequest(), f"0 images in one request, expected 1 to {MAX_IMAGES}"),
        (
            pb.ClassifyRequest(images=[pb.Image(data=b"a")] * (MAX_IMAGES + 1)),
            f"{MAX_IMAGES + 1} images in one request",
        ),
        (
            pb.ClassifyRequest(images=[pb.Image(data=b"a"), pb.Image()]),
            "images[1] has 0 bytes, expected an encoded picture",
        ),
        (
            pb.ClassifyRequest(images=[pb.Image(data=b"a")], top_k=0),
            "top_k: expected a whole number of at least 1, got 0",
        ),
    ],
)
def test_classify_says_what_was_expected_when_the_request_is_wrong(
    server: Any, request_: pb.ClassifyRequest, text: str
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        classify(server.address, request_)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert text in str(caught.value.details())


def test_classify_answers_unimplemented_when_the_model_takes_no_pictures(
    server: Any, service: Any
) -> None:
    service.error = NotSupported("model 'm' does not declare a picture")
    with pytest.raises(grpc.RpcError) as caught:
        classify(server.address, pb.ClassifyRequest(images=[pb.Image(data=b"a")]))
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
