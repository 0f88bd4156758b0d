"""The Prometheus that other tests ask: it scrapes real servers and says what they say."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.prometheus import Prometheus, QueryError, Target, started_prometheus
from tests.deploy.replicas import as_targets, started_replicas
from tests.e2e.graphs import plus, write_model
from tests.e2e.process import ServerProcess

RULES = """
groups:
  - name: test
    rules:
      - record: quartet:ready:sum
        expr: sum(quartet_ready)
"""
Scraped = tuple[Prometheus, list[ServerProcess]]


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    """Two replicas and a Prometheus with one rule."""
    folder = tmp_path_factory.mktemp("prometheus")
    write_model(folder / "models", "plus", plus(1))
    (folder / "rules.yml").write_text(RULES)
    with (
        started_replicas(folder / "models", 2) as servers,
        started_prometheus(
            folder / "prometheus", as_targets(servers), rules=[folder / "rules.yml"]
        ) as prometheus,
    ):
        yield prometheus, servers


def test_samples_carry_the_labels_of_their_pods(scraped: Scraped) -> None:
    found = {labels["pod"]: labels for labels, _ in scraped[0].query("quartet_ready")}

    assert sorted(found) == ["quartet-0", "quartet-1"]
    assert {(one["job"], one["namespace"], one["container"]) for one in found.values()} == {
        ("quartet", "default", "quartet")
    }


def test_a_count_is_seen_once_scraped_again(scraped: Scraped) -> None:
    prometheus, servers = scraped
    expression = 'quartet_requests_total{model="plus",outcome="ok",protocol="http"}'
    row = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [0, 0]}

    assert servers[1].infer_json("plus", {"inputs": [row]}).status == 200
    prometheus.wait_scraped()

    counts = {labels["pod"]: value for labels, value in prometheus.query(expression)}
    assert counts == {"quartet-0": 0.0, "quartet-1": 1.0}


def test_rules_are_evaluated(scraped: Scraped) -> None:
    assert scraped[0].wait_query("quartet:ready:sum", lambda value: value == 2) == 2


def test_an_invalid_expression_is_an_error(scraped: Scraped) -> None:
    with pytest.raises(QueryError, match="parse error"):
        scraped[0].query("sum(")


def test_targets_that_are_left_out_are_scraped_no_more(tmp_path: Path, scraped: Scraped) -> None:
    targets = as_targets(scraped[1], job="other")
    with started_prometheus(tmp_path, targets) as prometheus:
        prometheus.scrape(targets[:1])
        left = prometheus.wait_query("count(up)", lambda value: value == 1)

    assert left == 1


def test_a_target_that_does_not_answer_is_down(tmp_path: Path) -> None:
    with started_prometheus(tmp_path) as prometheus:
        entry = Target("127.0.0.1:1", "gone").as_file_sd()
        (tmp_path / "targets.json").write_text(json.dumps([entry]))
        assert prometheus.wait_query('up{pod="gone"}', lambda value: value == 0) == 0
