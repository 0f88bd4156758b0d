"""``/metrics``: what is counted agrees with what was asked, under names that dashboards know."""

import http.client
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.graphs import BATCHING_PBTXT, SLOW_PBTXT, look_up, plus, slow, write_model
from tests.e2e.process import ServerProcess, send_infer, slow_document, wait_until
from tests.patience import TIMEOUT_S

pytestmark = pytest.mark.e2e
TRITON_NAMES = {
    "nv_inference_request_success": "counter",
    "nv_inference_request_failure": "counter",
    "nv_inference_count": "counter",
    "nv_inference_exec_count": "counter",
    "nv_inference_request_duration_us": "counter",
    "nv_inference_queue_duration_us": "counter",
    "nv_inference_compute_input_duration_us": "counter",
    "nv_inference_compute_infer_duration_us": "counter",
    "nv_inference_compute_output_duration_us": "counter",
    "nv_inference_pending_request_count": "gauge",
}


@pytest.fixture(scope="module")
def counted(
    tmp_path_factory: pytest.TempPathFactory, slow_steps: Callable[[float], float]
) -> Iterator[ServerProcess]:
    """A server of its own, after a known set of requests."""
    folder = tmp_path_factory.mktemp("counted")
    write_model(folder, "batching", plus(1), config=BATCHING_PBTXT)
    write_model(folder, "look_up", look_up())
    write_model(folder, "slow", slow(), config=SLOW_PBTXT)
    process = ServerProcess(folder)
    try:
        process.wait_ready()
        make_requests(process, slow_steps)
        yield process
    finally:
        process.close()


def rows(count: int, name: str = "x") -> dict[str, object]:
    entry = {"name": name, "shape": [count, 2], "datatype": "FP32", "data": [0] * (2 * count)}
    return {"inputs": [entry]}


def make_requests(server: ServerProcess, slow_steps: Callable[[float], float]) -> None:
    """12 good HTTP requests of 1, 2 and 3 rows and 3 of gRPC; 2 invalid, 1 failed, 1 cancelled."""
    with ThreadPoolExecutor(4) as pool:
        sizes = [1, 2, 3] * 4
        answers = pool.map(lambda n: server.infer_json("batching", rows(n)).status, sizes)
        assert list(answers) == [200] * 12
    tensor = tritonclient.grpc.InferInput("x", [2, 2], "FP32")
    tensor.set_data_from_numpy(np.zeros((2, 2), np.float32))
    with tritonclient.grpc.InferenceServerClient(server.grpc_address) as client:
        for _ in range(3):
            client.infer("batching", [tensor])
    assert server.infer_json("batching", rows(9)).status == 400
    assert server.infer_json("batching", rows(1, "z")).status == 400
    assert server.request("POST", "/v2/models/batching/infer", "{").status == 400
    assert server.infer_json("nobody", rows(1)).status == 404
    index = {"name": "index", "shape": [1, 1], "datatype": "INT64", "data": [99]}
    assert server.infer_json("look_up", {"inputs": [index]}).status == 500
    with server.connection() as leaving:
        send_infer(leaving, "slow", slow_document(slow_steps(0.3)))
        assert server.request("GET", "/v2").status == 200
    labels = {"model": "slow", "outcome": "cancelled"}
    wait_until(lambda: server.metric("quartet_requests_total", **labels) == 1, "a cancellation")
    # The engine cannot be stopped; its run is counted when it ends.
    wait_until(lambda: server.metric("nv_inference_exec_count", model="slow") == 1, "its end")


ROWS = (1 + 2 + 3) * 4 + 3 * 2


def test_both_ports_serve_the_same_well_formed_text(counted: ServerProcess) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", counted.metrics_port, timeout=TIMEOUT_S)
    connection.request("GET", "/metrics")
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    assert response.getheader("content-type", "").startswith("text/plain; version=0.0.4")
    other = counted.request("GET", "/metrics").body.decode()
    names = [
        {(s.name, *sorted(s.labels.items())) for f in families for s in f.samples}
        for families in (text_string_to_metric_families(t) for t in (text, other))
    ]
    assert names[0] == names[1]
    assert len(names[0]) > 50


def test_metrics_port_serves_nothing_else(counted: ServerProcess) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", counted.metrics_port, timeout=TIMEOUT_S)
    connection.request("GET", "/v2")
    response = connection.getresponse()
    assert response.status == 404
    assert b'"error"' in response.read()
    connection.close()


def test_tritons_names_types_and_labels_are_kept(counted: ServerProcess) -> None:
    text = counted.request("GET", "/metrics").body.decode()
    for name, kind in TRITON_NAMES.items():
        assert f"# TYPE {name} {kind}\n" in text
        assert f'\n{name}{{model="batching",version="1"' in text
    for reason in ("REJECTED", "CANCELED", "BACKEND", "OTHER"):
        labels = f'model="look_up",version="1",reason="{reason}"'
        assert f"\nnv_inference_request_failure{{{labels}}}" in text


def test_requests_are_counted_by_protocol_and_outcome(counted: ServerProcess) -> None:
    def requests(**labels: str) -> float:
        return counted.metric("quartet_requests_total", **labels)

    assert requests(model="batching", protocol="http", outcome="ok") == 12
    assert requests(model="batching", protocol="grpc", outcome="ok") == 3
    assert requests(model="batching", protocol="http", outcome="invalid") == 2
    assert requests(model="look_up", outcome="error") == 1
    assert requests(model="slow", outcome="cancelled") == 1
    assert requests(model="", protocol="http", outcome="not_found") == 1
    assert requests(model="", protocol="http", outcome="invalid") == 1


def test_clients_text_never_becomes_a_label(counted: ServerProcess) -> None:
    values = {value for sample in counted.samples() for value in sample.labels.values()}
    assert "nobody" not in values


def test_tritons_counts_add_up(counted: ServerProcess) -> None:
    assert counted.metric("nv_inference_request_success", model="batching") == 15
    assert counted.metric("nv_inference_request_failure", model="batching", reason="OTHER") == 2
    assert counted.metric("nv_inference_request_failure", model="batching") == 2
    assert counted.metric("nv_inference_request_failure", model="look_up", reason="BACKEND") == 1
    assert counted.metric("nv_inference_request_failure", model="slow", reason="CANCELED") == 1
    assert counted.metric("nv_inference_count", model="batching") == ROWS
    runs = counted.metric("nv_inference_exec_count", model="batching")
    assert ROWS / 8 <= runs <= 15


def test_histograms_add_up(counted: ServerProcess) -> None:
    batching = {"model": "batching", "version": "1"}
    assert counted.metric("quartet_batch_size_sum", **batching) == ROWS
    runs = counted.metric("nv_inference_exec_count", **batching)
    assert counted.metric("quartet_batch_size_count", **batching) == runs
    assert counted.metric("quartet_execution_duration_seconds_count", **batching) == runs
    assert counted.metric("quartet_queue_duration_seconds_count", **batching) == 15
    assert counted.metric("quartet_request_duration_seconds_count", **batching) == 17
    total = counted.metric("quartet_request_duration_seconds_sum", **batching)
    assert total == pytest.approx(
        counted.metric("nv_inference_request_duration_us", **batching) / 1e6, abs=1e-5
    )
    assert counted.metric("quartet_batch_size_bucket", le="8.0", **batching) == runs


def test_simultaneous_requests_share_a_run(counted: ServerProcess) -> None:
    """``batching`` waits 20 ms for company."""
    assert counted.metric("nv_inference_exec_count", model="batching") < 15


def test_a_full_engine_shows_in_its_utilization_and_the_age_of_its_queue(
    counted: ServerProcess, slow_steps: Callable[[float], float]
) -> None:
    busy_s = counted.metric("quartet_engine_busy_seconds_total")
    document = slow_document(slow_steps(0.5))
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(counted.infer_json, "slow", document) for _ in range(4)]
        wait_until(lambda: counted.metric("quartet_queue_age_seconds", model="slow") > 0, "a queue")
        assert [answer.result().status for answer in answers] == [200] * 4
    assert counted.metric("quartet_queue_age_seconds", model="slow") == 0
    ran_s = counted.metric("quartet_engine_busy_seconds_total") - busy_s
    assert ran_s > 0
    # One instance: what ran is seconds of the window's 15, or of the server's life if shorter.
    assert 0 < counted.metric("quartet_model_utilization", model="slow") <= 1
    assert (
        counted.metric("quartet_utilization")
        >= counted.metric("quartet_model_utilization", model="slow") * 0.9
    )
    assert 0 < counted.metric("quartet_loop_utilization") <= 1
    assert counted.metric("quartet_loop_cpu_seconds_total") > 0


def test_the_process_and_its_limits_are_told(counted: ServerProcess) -> None:
    resident = counted.metric("process_resident_memory_bytes")
    assert 0 < resident < counted.metric("quartet_memory_limit_bytes")
    assert counted.metric("process_open_fds") < counted.metric("process_max_fds")
    assert counted.metric("python_gc_collections_total") > 0
    assert counted.metric("python_info") == 1
    assert counted.metric("quartet_queue_limit", model="slow") >= 1
    for model in ("batching", "look_up", "slow"):
        assert counted.metric("quartet_model_ready", model=model) == 1
        assert counted.metric("quartet_model_load_seconds", model=model) > 0


def test_build_and_provider_are_told(counted: ServerProcess) -> None:
    labels = {"provider": "CPUExecutionProvider"}
    assert counted.metric("quartet_build_info", **labels) == 1
    assert counted.metric("quartet_model_info", model="batching", **labels) == 1
    assert counted.metric("quartet_ready") == 1
    assert counted.metric("quartet_queue_size") == 0


def test_statistics_agree_with_the_metrics(counted: ServerProcess) -> None:
    (stats,) = counted.request("GET", "/v2/models/batching/stats").json()["model_stats"]
    assert stats["inference_count"] == ROWS
    assert stats["execution_count"] == counted.metric("nv_inference_exec_count", model="batching")
    assert stats["inference_stats"]["success"]["count"] == 15
    assert stats["inference_stats"]["fail"]["count"] == 2
    if stats["batch_stats"]:
        total = sum(b["batch_size"] * b["compute_infer"]["count"] for b in stats["batch_stats"])
        assert total == ROWS


def test_log_tells_of_failures_with_their_request_id(counted: ServerProcess) -> None:
    index = {"name": "index", "shape": [1, 1], "datatype": "INT64", "data": [98]}
    headers = {"X-Request-Id": "to-be-found"}
    answer = counted.infer_json("look_up", {"inputs": [index]}, **headers)
    assert answer.json()["request_id"] == "to-be-found"

    def logged() -> list[dict[str, object]]:
        return [x for x in list(counted.lines) if x.get("request_id") == "to-be-found"]

    wait_until(logged, "a log line")
    assert logged()[0]["level"] in ("warning", "error")
    assert Path(__file__).name not in answer.error
    assert "Traceback" not in answer.error
