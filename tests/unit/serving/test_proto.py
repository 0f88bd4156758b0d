import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format, text_format
from google.protobuf.descriptor import Descriptor
from tritonclient.grpc import model_config_pb2 as triton_config
from tritonclient.grpc import service_pb2 as triton

from serving.pb.inference import model_config_pb2, open_inference_grpc_pb2
from serving.pb.quartet.v1 import quartet_pb2

ROOT = Path(__file__).resolve().parents[3]
GENERATED = ROOT / "serving" / "pb"


def generated_files(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in folder.rglob("*_pb2*.py*")
        if path.suffix in {".py", ".pyi"}
    }


def test_generated_code_equals_what_make_proto_writes(tmp_path: Path) -> None:
    script = ROOT / "scripts" / "generate_protos.py"
    subprocess.run([sys.executable, str(script), "--out", str(tmp_path)], check=True)
    fresh, committed = generated_files(tmp_path), generated_files(GENERATED)
    assert sorted(fresh) == sorted(committed)
    stale = [name for name, text in fresh.items() if committed[name] != text]
    assert not stale, "run 'make proto'"


def walk(messages: dict[str, Descriptor]) -> Iterator[Descriptor]:
    for message in messages.values():
        yield message
        yield from walk(message.nested_types_by_name)


def fields(message: Descriptor) -> set[tuple[Any, ...]]:
    return {
        (
            field.name,
            field.number,
            field.type,
            field.is_repeated,
            field.message_type.full_name if field.message_type else "",
            field.enum_type.full_name if field.enum_type else "",
        )
        for field in message.fields
    }


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(open_inference_grpc_pb2, triton), (model_config_pb2, triton_config)],
    ids=["open_inference", "model_config"],
)
def test_messages_have_the_names_numbers_and_types_of_the_stock_client(
    ours: Any, theirs: Any
) -> None:
    reference = {m.full_name: fields(m) for m in walk(theirs.DESCRIPTOR.message_types_by_name)}
    found = {m.full_name: fields(m) for m in walk(ours.DESCRIPTOR.message_types_by_name)}
    assert found
    assert {name: reference.get(name) for name in found} == found


def test_model_config_declares_every_message_and_enum_of_the_stock_client() -> None:
    ours, theirs = model_config_pb2.DESCRIPTOR, triton_config.DESCRIPTOR
    assert set(theirs.message_types_by_name) <= set(ours.message_types_by_name)
    enums = {
        name: {value.name: value.number for value in enum.values}
        for name, enum in theirs.enum_types_by_name.items()
    }
    assert enums == {
        name: {value.name: value.number for value in enum.values}
        for name, enum in ours.enum_types_by_name.items()
    }


def test_methods_have_the_paths_and_types_of_the_stock_client() -> None:
    ours = open_inference_grpc_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    theirs = triton.DESCRIPTOR.services_by_name["GRPCInferenceService"]

    def signatures(service: Any) -> set[tuple[str, str, str]]:
        return {
            (method.full_name, method.input_type.full_name, method.output_type.full_name)
            for method in service.methods
        }

    assert len(signatures(ours)) == 9
    assert signatures(ours) <= signatures(theirs)


def test_infer_request_is_understood_by_the_stock_client_in_the_same_process() -> None:
    request = open_inference_grpc_pb2.ModelInferRequest(model_name="m", raw_input_contents=[b"x"])
    request.parameters["temperature"].double_param = 0.5
    request.inputs.add(name="x", datatype="FP32", shape=[1, 2]).contents.fp32_contents.append(1.5)
    parsed = triton.ModelInferRequest.FromString(request.SerializeToString())
    assert json_format.MessageToDict(parsed) == json_format.MessageToDict(request)


def test_text_format_reads_our_model_config_when_the_stock_client_is_loaded() -> None:
    config = text_format.Parse(
        'parameters { key: "a" value { string_value: "b" } } input { data_type: TYPE_FP32 }',
        model_config_pb2.ModelConfig(),
    )
    assert config.parameters["a"].string_value == "b"
    assert config.input[0].data_type == model_config_pb2.TYPE_FP32


def test_classify_tells_an_absent_top_k_from_zero() -> None:
    assert not quartet_pb2.ClassifyRequest().HasField("top_k")
    assert quartet_pb2.ClassifyRequest(top_k=0).HasField("top_k")
