"""What is simulated is what is shipped."""

from pathlib import Path

import pytest
import yaml

from benchmarks.autoscaling.keda import Trigger
from benchmarks.autoscaling.manifests import read_hpa, read_scaled_object
from benchmarks.autoscaling.run_times import RunTimes
from benchmarks.autoscaling.service import Service
from benchmarks.autoscaling.strategies import shipped
from tests.conftest import REPOSITORY_ROOT

KUBERNETES = REPOSITORY_ROOT / "deploy" / "kubernetes"
NAMES = {
    "queue": "quartet_queue_size",
    "utilization": "quartet_utilization",
    "loop": "quartet_loop_utilization",
}
FLAT = Service(
    name="flat",
    description="",
    instances=1,
    request_rows=2,
    max_batch=4,
    sizes=[1, 4],
    run_s=[0.01, 0.02],
    loop_s=0,
    cpu_share=1,
    beyond_s=0,
    cpu_limit=1,
)


def test_the_simulated_autoscaler_is_the_shipped_one() -> None:
    file = KUBERNETES / "base" / "horizontalpodautoscaler.yaml"
    spec, targets = read_hpa(yaml.safe_load(file.read_text()))

    simulated = shipped()
    assert simulated.spec(spec.max_replicas) == spec
    assert [(NAMES[signal], target) for signal, target in simulated.targets] == [
        (target.metric, target.target) for target in targets
    ]


def test_the_scaled_object_is_read() -> None:
    file = KUBERNETES / "components" / "keda" / "scaledobject.yaml"
    scaled, queries = read_scaled_object(yaml.safe_load(file.read_text()))

    assert (scaled.idle_replicas, scaled.hpa.min_replicas, scaled.cooldown_s) == (0, 2, 900)
    assert queries[2].trigger == Trigger(threshold=0.7, activation_threshold=0.1)


def test_a_metric_of_another_type_is_refused(tmp_path: Path) -> None:
    metric = {"type": "Resource", "resource": {"name": "cpu"}}
    with pytest.raises(ValueError, match="Pods metric"):
        read_hpa({"spec": {"maxReplicas": 2, "metrics": [metric]}})


def test_a_trigger_of_another_type_is_refused() -> None:
    with pytest.raises(ValueError, match="prometheus trigger"):
        read_scaled_object({"spec": {"triggers": [{"type": "cron", "metadata": {}}]}})


def test_runs_that_were_seen_replace_the_measured_curve() -> None:
    seen = RunTimes({2: (1000, 12.0), 4: (500, 7.5), 8: (1, 9.0)})
    earlier = RunTimes({2: (500, 6.0)})

    curve = seen.since(earlier).as_curve(FLAT)

    # Requests of two rows: 500 runs of one in 6 s, 500 of two in 7.5 s; the one of four is no
    # measure, and goes on from that of two as the curve does (13.3 ms to 20 ms).
    assert curve == {"sizes": [1, 2, 4], "run_s": pytest.approx([0.012, 0.015, 0.0225])}
