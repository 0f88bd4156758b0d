from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quartet.config import ConfigError
from serving.model_config import (
    BatchingConfig,
    InstanceGroup,
    ModelConfig,
    TensorConfig,
    VersionPolicy,
    Warmup,
    WarmupInput,
)
from serving.pbtxt import read_config
from serving.types import Datatype

COMPLETE = """
# as an operator writes it
name: "mnist"
platform: "onnxruntime_onnx"
backend: "onnxruntime"
default_model_filename: "net.onnx"
max_batch_size: 64
input [ { name: "image" data_type: TYPE_UINT8 dims: [ 28, 28 ] optional: true } ]
output [
  { name: "probabilities", data_type: TYPE_FP32, dims: [ 10 ], label_filename: "labels.txt" },
  { name: "text" data_type: TYPE_STRING dims: -1 }
]
dynamic_batching {
  preferred_batch_size: [ 32, 16 ]
  max_queue_delay_microseconds: 2500
  preserve_ordering: true
  default_queue_policy {
    max_queue_size: 100 default_timeout_microseconds: 1500000 allow_timeout_override: true
  }
}
instance_group [ { name: "a" count: 2 kind: KIND_GPU gpus: [ 0, 1 ] }, { kind: KIND_CPU }, {} ]
version_policy: { specific { versions: [ 3, 1 ] } }
model_warmup [ {
  name: "one" batch_size: 4 count: 3
  inputs { key: "image" value { data_type: TYPE_UINT8 dims: [ 28, 28 ] random_data: true } }
  inputs { key: "b" value { data_type: TYPE_BF16 input_data_file: "b.raw" } }
} ]
parameters { key: "intra_op_thread_count" value: { string_value: "1" } }
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model = tmp_path / "mnist"
    (model / "warmup").mkdir(parents=True)
    (model / "labels.txt").write_text("0\n1\n")
    (model / "warmup" / "b.raw").write_bytes(bytes(2))
    return model


def read(folder: Path, text: str) -> ModelConfig:
    path = folder / "config.pbtxt"
    path.write_text(text)
    return read_config(path)


def test_read_config_reads_every_field_that_is_acted_upon(folder: Path) -> None:
    assert read(folder, COMPLETE) == ModelConfig(
        name="mnist",
        platform="onnxruntime_onnx",
        backend="onnxruntime",
        default_model_filename="net.onnx",
        max_batch_size=64,
        inputs=(TensorConfig(name="image", datatype=Datatype.UINT8, dims=(28, 28), optional=True),),
        outputs=(
            TensorConfig(
                name="probabilities",
                datatype=Datatype.FP32,
                dims=(10,),
                label_filename="labels.txt",
            ),
            TensorConfig(name="text", datatype=Datatype.BYTES, dims=(-1,)),
        ),
        batching=BatchingConfig(
            preferred_batch_size=(16, 32),
            max_queue_delay_s=0.0025,
            max_queue_rows=100,
            default_timeout_s=1.5,
            allow_timeout_override=True,
            preserve_ordering=True,
        ),
        instances=(
            InstanceGroup(count=2, kind="gpu", gpus=(0, 1)),
            InstanceGroup(count=1, kind="cpu"),
            InstanceGroup(count=1, kind="auto"),
        ),
        version_policy=VersionPolicy(kind="specific", versions=(3, 1)),
        warmup=(
            Warmup(
                name="one",
                batch_size=4,
                count=3,
                inputs=(
                    WarmupInput(
                        name="b", datatype=Datatype.BF16, dims=(), kind="file", file="b.raw"
                    ),
                    WarmupInput(
                        name="image", datatype=Datatype.UINT8, dims=(28, 28), kind="random"
                    ),
                ),
            ),
        ),
        parameters={"intra_op_thread_count": "1"},
        ignored=(),
    )


def test_read_config_leaves_all_to_the_graph_when_the_file_is_empty(folder: Path) -> None:
    assert read(folder, "") == ModelConfig()


def test_read_config_tells_max_batch_size_0_from_absent(folder: Path) -> None:
    assert read(folder, "max_batch_size: 0").max_batch_size == 0
    assert read(folder, 'name: "mnist"').max_batch_size is None


def test_read_config_has_no_limits_when_dynamic_batching_is_empty(folder: Path) -> None:
    assert read(folder, "dynamic_batching { }").batching == BatchingConfig()


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("version_policy { all { } }", VersionPolicy(kind="all")),
        ("version_policy { latest { num_versions: 2 } }", VersionPolicy(num_versions=2)),
        ("version_policy { latest { } }", VersionPolicy()),
        ("version_policy { }", VersionPolicy()),
    ],
)
def test_read_config_reads_version_policy(folder: Path, text: str, policy: VersionPolicy) -> None:
    assert read(folder, text).version_policy == policy


@pytest.mark.parametrize(
    ("text", "ignored"),
    [
        ("optimization { graph { level: 1 } }", ("optimization",)),
        (
            "sequence_batching { iterative_sequence: true }",
            ("sequence_batching.iterative_sequence",),
        ),
        ('ensemble_scheduling { step { model_name: "a" } }', ("ensemble_scheduling",)),
        ("response_cache { enable: true }", ("response_cache",)),
        ("response_cache { enable: false }", ()),
        ('metric_tags { key: "team" value: "a" }', ("metric_tags",)),
        ("dynamic_batching { priority_levels: 2 }", ("dynamic_batching.priority_levels",)),
        (
            "dynamic_batching { default_queue_policy { timeout_action: DELAY } }",
            ("dynamic_batching.default_queue_policy.timeout_action",),
        ),
        (
            "dynamic_batching { priority_queue_policy { key: 1 value { max_queue_size: 1 } } }",
            ("dynamic_batching.priority_queue_policy",),
        ),
        ('instance_group [ { host_policy: "a" } ]', ("instance_group.host_policy",)),
        (
            'input [ { name: "a" data_type: TYPE_FP32 dims: 1 format: FORMAT_NHWC },'
            ' { name: "b" data_type: TYPE_FP32 dims: 1 format: FORMAT_NCHW } ]',
            ("input.format",),
        ),
    ],
)
def test_read_config_names_valid_fields_that_have_no_effect(
    folder: Path, text: str, ignored: tuple[str, ...]
) -> None:
    assert read(folder, text).ignored == ignored


def test_read_config_takes_the_shape_of_the_graph_when_there_is_a_reshape(folder: Path) -> None:
    text = 'input { name: "x" data_type: TYPE_FP32 dims: [ 784 ] reshape { shape: [ 28, 28 ] } }'
    config = read(folder, text)
    assert config.inputs[0].dims == (28, 28)
    assert config.ignored == ("input.reshape",)


def test_read_config_accepts_a_reshape_to_a_scalar(folder: Path) -> None:
    text = 'output { name: "y" data_type: TYPE_FP32 dims: [ 1 ] reshape { shape: [ ] } }'
    assert read(folder, text).outputs[0].dims == ()


def test_read_config_runs_warmup_without_rows_when_the_model_does_not_batch(folder: Path) -> None:
    config = read(folder, 'max_batch_size: 0 model_warmup { name: "w" batch_size: 1 }')
    assert config.warmup[0].batch_size == 0


TENSOR = 'name: "x" data_type: TYPE_FP32 dims: [ 1 ]'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("max_batch_sise: 4", r":1:1: unknown field 'max_batch_sise', expected 'max_batch_size'\?"),
        ('\n\ninput { nam: "x" }', r":3:9: unknown field 'nam', expected 'name'\?"),
        ("input { zzz: 1 }", r":1:9: unknown field 'zzz', expected one of allow_ragged_batch, "),
        ('max_batch_size: "four"', r":1:\d+: .*max_batch_size.*integer"),
        ("max_batch_size: 99999999999", r":1:\d+: .*[Vv]alue out of range"),
        ("input { data_type: FP32 }", r":1:\d+: .*inference\.DataType.* no value named FP32"),
        ("dynamic_batching {", r":1:\d+: "),
        ('name: "other"', r"name: must be the folder's name 'mnist', got 'other'"),
        ('backend: "python"', r"backend: 'python' is not served, expected 'onnxruntime'"),
        (
            'platform: "tensorrt_plan"',
            r"platform: 'tensorrt_plan' is not served, expected 'onnxruntime_onnx'",
        ),
        ("max_batch_size: -1", r"max_batch_size: must be >= 0, got -1"),
        ('default_model_filename: "../m.onnx"', r"default_model_filename: must be a file name"),
        ('default_model_filename: ".."', r"default_model_filename: must be a file name"),
        ("input { dims: 1 }", r"input\[0\]\.name: must be given"),
        ('input { name: "x" dims: 1 }', r"input\[0\] 'x'\.data_type: must be given"),
        ('output { name: "x" data_type: TYPE_FP32 }', r"output\[0\] 'x'\.dims: must be given"),
        (
            'input { name: "x" data_type: TYPE_FP32 dims: [ 0, 2 ] }',
            r"input\[0\] 'x'\.dims: sizes must be >= 1, or -1 for any, got \[0, 2\]",
        ),
        (f"input [ {{ {TENSOR} }}, {{ {TENSOR} }} ]", r"input: must not repeat x"),
        (
            f"input {{ {TENSOR} reshape {{ shape: [ 2, 3 ] }} }}",
            r"reshape\.shape: must hold as many elements as dims \[1\], got \[2, 3\]",
        ),
        (
            f'output {{ {TENSOR} label_filename: "none.txt" }}',
            r"output\[0\] 'x'\.label_filename: no file 'none\.txt' in ",
        ),
        (
            f'output {{ {TENSOR} label_filename: "/etc/passwd" }}',
            r"label_filename: must be a file name without folders",
        ),
        (
            "max_batch_size: 8 dynamic_batching { preferred_batch_size: [ 4, 16 ] }",
            r"dynamic_batching\.preferred_batch_size: must be in 1\.\.8, got 16",
        ),
        (
            "dynamic_batching { preferred_batch_size: 0 }",
            r"preferred_batch_size: must be in 1\.\.max_batch_size, got 0",
        ),
        ("instance_group { count: -1 }", r"instance_group\[0\]\.count: must be >= 1, got -1"),
        ("instance_group { gpus: -1 }", r"instance_group\[0\]\.gpus: must be >= 0"),
        (
            "instance_group { kind: KIND_CPU gpus: 0 }",
            r"gpus: must be absent when kind is KIND_CPU",
        ),
        (
            "version_policy { specific { } }",
            r"specific\.versions: must be one or more integers >= 1",
        ),
        (
            "version_policy { specific { versions: [ 0 ] } }",
            r"versions: .* integers >= 1, got \[0\]",
        ),
        ("version_policy { specific { versions: [ 2, 2 ] } }", r"versions: must not repeat 2"),
        (
            "max_batch_size: 2 model_warmup { batch_size: 3 }",
            r"model_warmup\[0\]\.batch_size: must be <= 2, got 3",
        ),
        (
            'model_warmup { inputs { key: "x" value { data_type: TYPE_FP32 dims: 1 } } }',
            r"model_warmup\[0\]\.inputs 'x': must set one of zero_data, random_data, input_data",
        ),
        (
            'model_warmup { inputs { key: "x" value '
            "{ data_type: TYPE_FP32 dims: -1 zero_data: true } } }",
            r"model_warmup\[0\]\.inputs 'x'\.dims: sizes must be >= 1, got \[-1\]",
        ),
        (
            'model_warmup { inputs { key: "x" value '
            '{ data_type: TYPE_FP32 dims: 1 input_data_file: "a.raw" } } }',
            r"inputs 'x'\.input_data_file: no file 'a\.raw' in .*warmup",
        ),
    ],
)
def test_read_config_names_file_field_and_expectation_when_invalid(
    folder: Path, text: str, expected: str
) -> None:
    with pytest.raises(ConfigError, match=expected) as caught:
        read(folder, text)
    assert str(caught.value).startswith(str(folder / "config.pbtxt"))


def test_read_config_names_the_file_when_it_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"config\.pbtxt: cannot be read"):
        read_config(tmp_path / "config.pbtxt")


def test_read_config_names_the_file_when_it_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "config.pbtxt"
    path.write_bytes(b'name: "\xff"')
    with pytest.raises(ConfigError, match=r"config\.pbtxt: cannot be read"):
        read_config(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(position=st.integers(0, len(COMPLETE)), text=st.text('{}[]:"#,-0aT \n', max_size=4))
def test_read_config_answers_or_raises_config_error_when_the_file_is_damaged(
    folder: Path, position: int, text: str
) -> None:
    try:
        read(folder, COMPLETE[:position] + text + COMPLETE[position + 1 :])
    except ConfigError as error:
        message = str(error)
    else:
        return
    assert message.startswith(str(folder / "config.pbtxt"))


@pytest.mark.parametrize(
    ("text", "decoupled"),
    [
        ("", None),
        ("model_transaction_policy { decoupled: true }", True),
        ("model_transaction_policy { }", False),
    ],
)
def test_config_tells_whether_the_model_is_decoupled(
    folder: Path, text: str, decoupled: bool | None
) -> None:
    config = read(folder, text)
    assert (config.decoupled, config.ignored) == (decoupled, ())
