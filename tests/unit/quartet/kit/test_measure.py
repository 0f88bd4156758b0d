from pathlib import Path

import pytest

from quartet.kit.errors import KitError
from quartet.kit.measure import measure
from quartet.kit.measurements import ModelFigures
from tests.unit.quartet.kit import fake_server
from tests.unit.quartet.kit.fake_server import Fake, one_model, serving
from tests.unit.quartet.kit.figures import options


@pytest.fixture(autouse=True)
def _few_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quartet.kit.model_load.CLIENTS", (1, 4))
    # The tiny server shares this process, and is not kept up with.
    monkeypatch.setattr("quartet.kit.model_load.TRIES", 1)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "m" / "3").mkdir(parents=True)
    return tmp_path


def test_running_server_is_measured_over_http(repository: Path) -> None:
    with serving(Fake(one_model())) as fake:
        found = measure(options(model_repo=repository, url=fake.url, seconds=0.1))
    (figures,) = found.models
    assert (figures.name, figures.version, figures.kind) == ("m", "3", "tensors")
    assert found.environment.provider == "CPUExecutionProvider"
    assert found.environment.engine_threads == fake_server.THREADS
    assert found.latency_bounds_s == (0.01, 0.1)
    assert found.ready_s is None
    assert found.rest_bytes == fake_server.REST_BYTES
    assert found.peak_bytes == fake_server.REST_BYTES + len(fake.requests)
    assert {path for path, *_ in fake.requests} == {"/v2/models/m/versions/3/infer"}
    check_steady(figures)


def check_steady(figures: ModelFigures) -> None:
    """Resources follow from counters that move by round numbers a request."""
    steady = figures.steady
    rate = steady.offered_rps
    assert rate is not None
    assert rate == pytest.approx(0.7 * figures.capacity_rps, rel=1e-3)

    def busy(seconds: float) -> object:
        return pytest.approx(min(1.0, rate * seconds), rel=1e-3)

    assert steady.utilization == busy(fake_server.ENGINE_S / fake_server.THREADS)
    assert steady.loop_utilization == busy(fake_server.LOOP_S)
    assert steady.cpu_cores == pytest.approx(rate * fake_server.PROCESS_S, rel=1e-3)
    assert steady.mean_waiting_rows == pytest.approx(rate * fake_server.QUEUE_S, rel=1e-3)
    assert steady.mean_batch_rows == fake_server.ROWS_A_RUN
    assert steady.first_symbol_p99_s is None


def test_folder_of_models_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(KitError, match=r"no such folder of models: .*nowhere"):
        measure(options(model_repo=tmp_path / "nowhere"))


def test_models_that_failed_to_load_are_named_with_the_reason(repository: Path) -> None:
    documents = one_model() | {"/v2/models/m/ready": (503, {"error": "bad graph"})}
    with serving(Fake(documents)) as fake, pytest.raises(KitError, match="m: HTTP 503: bad graph"):
        measure(options(model_repo=repository, url=fake.url))


def test_server_that_is_not_ready_is_not_measured(repository: Path) -> None:
    documents = one_model() | {"/v2/health/ready": (503, {"error": "draining"})}
    with serving(Fake(documents)) as fake, pytest.raises(KitError, match=r"not ready: .*draining"):
        measure(options(model_repo=repository, url=fake.url))


def test_requests_that_the_model_refuses_are_reported_with_the_model(repository: Path) -> None:
    with serving(Fake(one_model(), status=400)) as fake, pytest.raises(KitError) as caught:
        measure(options(model_repo=repository, url=fake.url, seconds=0.1))
    assert "model m version 3, 1 row(s) made from the metadata" in str(caught.value)
    assert "HTTP 400: no" in str(caught.value)


def test_server_that_refuses_everything_for_overload_gives_no_figures(repository: Path) -> None:
    with serving(Fake(one_model(), status=429)) as fake, pytest.raises(KitError) as caught:
        measure(options(model_repo=repository, url=fake.url, seconds=0.1))
    assert "no request was answered" in str(caught.value)


def test_model_that_is_not_served_is_named(repository: Path) -> None:
    with serving(Fake(one_model())) as fake, pytest.raises(KitError, match=r"--models x: .* has m"):
        measure(options(model_repo=repository, url=fake.url, models=["x"]))


def test_one_model_in_two_versions_is_refused(repository: Path) -> None:
    wanted = options(model_repo=repository, models=["m:2", "m:3"])
    with serving(Fake(one_model())) as fake, pytest.raises(KitError, match="one version of it"):
        measure(wanted.model_copy(update={"url": fake.url}))


def test_server_without_the_metrics_is_named_as_another_one(repository: Path) -> None:
    with serving(Fake(one_model(), metrics="up 1\n")) as fake, pytest.raises(KitError) as caught:
        measure(options(model_repo=repository, url=fake.url))
    assert "exports no metric 'quartet_engine_threads'" in str(caught.value)
