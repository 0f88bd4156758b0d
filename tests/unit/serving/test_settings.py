import re
from pathlib import Path
from typing import Any

import pytest

from quartet.config import ConfigError, load_config
from serving.settings import GenerationSettings, ServerSettings
from tests.kubernetes_links import service_links


def load(*argv: str) -> ServerSettings:
    return load_config(ServerSettings, argv, prog="quartet serve", env_prefix="QUARTET_")


def test_settings_have_the_protocols_ports_and_limits() -> None:
    settings = load()
    assert (settings.http_port, settings.grpc_port, settings.metrics_port) == (8000, 8001, 8002)
    assert settings.max_body_bytes == 64 * 2**20
    assert settings.drain_timeout_s == 30.0


def test_settings_read_flags_environment_and_file_in_that_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "serve.toml"
    file.write_text('http_port = 1\ngrpc_port = 1\nmetrics_port = 1\nrequired_models = ["mnist"]')
    monkeypatch.setenv("QUARTET_GRPC_PORT", "2")
    monkeypatch.setenv("QUARTET_HTTP_PORT", "2")
    settings = load("--http-port", "3", "--config", str(file))
    assert (settings.http_port, settings.grpc_port, settings.metrics_port) == (3, 2, 1)
    assert settings.required_models == ("mnist",)


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("http_port", "65536"),
        ("http_port", "-1"),
        ("device", "tpu"),
        ("threads", "0"),
        ("max_batch_size", "0"),
        ("max_queue_delay_us", "-1"),
        ("max_queue_rows", "0"),
        ("max_body_bytes", "0"),
        ("drain_timeout_s", "-1"),
        ("drain_timeout_s", "inf"),
        ("log_format", "xml"),
    ],
)
def test_settings_name_the_flag_whose_value_is_out_of_range(flag: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"{flag}: .*{re.escape(value)}"):
        load(f"--{flag.replace('_', '-')}={value}")


@pytest.mark.parametrize(
    ("flag", "value"),
    [("slots", "0"), ("slots", "4097"), ("steps", "257"), ("prefill_chunk", "0"),
     ("max_waiting_rows", "0"), ("session_ttl_s", "0"), ("max_sessions", "-1")],
)  # fmt: skip
def test_generation_settings_name_the_flag_whose_value_is_out_of_range(
    flag: str, value: str
) -> None:
    with pytest.raises(ConfigError, match=f"generation.{flag}: .*{re.escape(value)}"):
        load(f"--generation.{flag.replace('_', '-')}={value}")


def test_session_key_is_read_from_the_environment_and_shown_nowhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("QUARTET_GENERATION__SESSION_KEY", "correct horse battery")
    settings = load()
    assert settings.generation.session_key is not None
    assert settings.generation.session_key.get_secret_value() == "correct horse battery"
    assert "horse" not in f"{settings!r} {settings} {settings.model_dump_json()}"


def test_session_key_that_is_refused_is_not_shown_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUARTET_GENERATION__SESSION_KEY", "horse")
    with pytest.raises(ConfigError, match=r"session_key: .* at least 16 .*got a secret") as caught:
        load()
    assert "horse" not in str(caught.value)


@pytest.mark.parametrize("field", GenerationSettings.model_fields)
def test_every_setting_of_generation_is_explained(field: str) -> None:
    information: Any = GenerationSettings.model_fields[field]
    assert information.description


@pytest.mark.parametrize("field", ServerSettings.model_fields)
def test_every_setting_is_explained(field: str) -> None:
    information: Any = ServerSettings.model_fields[field]
    assert information.description


@pytest.mark.parametrize(
    "service",
    ["quartet", "quartet-http", "quartet-grpc", "quartet-metrics", "quartet-generation",
     "quartet-predictor", "quartet-model", "quartet-host", "quartet-threads"],
)  # fmt: skip
def test_settings_are_not_disturbed_by_services_of_that_name(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in service_links(service, {"http": 8000, "grpc": 8001}).items():
        monkeypatch.setenv(name, value)
    assert load() == ServerSettings()


def test_settings_take_flags_as_runtimes_of_kserve_pass_them() -> None:
    settings = load(
        "--model_name=digits", "--model_dir=/mnt/models", "--http_port=8080", "--grpc_port", "9000"
    )
    assert (settings.model_name, str(settings.model_repository)) == ("digits", "/mnt/models")
    assert (settings.http_port, settings.grpc_port) == (8080, 9000)
