"""Several versions load at once, within bounds, and none disturbs another."""

import threading
from pathlib import Path
from typing import Any

import pytest

from serving.loaded_model import LoadedModel
from serving.loading import load_version
from serving.repository import MAX_LOADS, ModelRepository
from tests.e2e.graphs import plus, write_model
from tests.serving_parts import make_engines

PATIENCE_S = 20.0
"""Only a failing test waits that long."""


def make_repository(root: Path, *, threads: int) -> ModelRepository:
    return ModelRepository(root, make_engines(threads=threads))


def write_models(root: Path, count: int) -> list[str]:
    names = [f"m{number}" for number in range(count)]
    for name in names:
        write_model(root, name, plus(1))
    return names


async def test_two_versions_load_at_once_when_two_threads_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = write_models(tmp_path, 2)
    both = threading.Barrier(2)

    def meets_the_other(*arguments: Any) -> LoadedModel:
        both.wait(PATIENCE_S)  # raises if the other does not come
        return load_version(*arguments)

    monkeypatch.setattr("serving.repository.load_version", meets_the_other)
    repository = make_repository(tmp_path, threads=2)
    await repository.load_all()
    assert sorted(model.name for model in repository.ready_models()) == names


@pytest.mark.parametrize(("threads", "allowed"), [(1, 1), (3, 3), (64, MAX_LOADS)])
async def test_no_more_versions_load_at_once_than_threads_and_memory_allow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int, allowed: int
) -> None:
    write_models(tmp_path, MAX_LOADS + 2)
    counting = threading.Lock()
    now, most = 0, 0

    def counted(*arguments: Any) -> LoadedModel:
        nonlocal now, most
        with counting:
            now += 1
            most = max(most, now)
        try:
            return load_version(*arguments)
        finally:
            with counting:
                now -= 1

    monkeypatch.setattr("serving.repository.load_version", counted)
    repository = make_repository(tmp_path, threads=threads)
    await repository.load_all()
    assert len(repository.ready_models()) == MAX_LOADS + 2
    assert most <= allowed


async def test_largest_version_loads_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in (("a", 10), ("b", 30_000), ("c", 20_000)):
        (write_model(tmp_path, name, plus(1)) / "weights.bin").write_bytes(bytes(size))
    order: list[str] = []

    def noted(name: str, *rest: Any) -> LoadedModel:
        order.append(name)
        return load_version(name, *rest)

    monkeypatch.setattr("serving.repository.load_version", noted)
    await make_repository(tmp_path, threads=1).load_all()
    assert order == ["b", "c", "a"]


async def test_version_that_fails_while_others_load_leaves_them_and_their_metrics_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = write_models(tmp_path, 4)
    started = threading.Barrier(4)

    def fails_beside_others(name: str, *rest: Any) -> LoadedModel:
        started.wait(PATIENCE_S)
        if name == "m2":
            raise MemoryError("inside")
        return load_version(name, *rest)

    monkeypatch.setattr("serving.repository.load_version", fails_beside_others)
    engines = make_engines(threads=4)
    repository = ModelRepository(tmp_path, engines)
    await repository.load_all()

    ready = {
        sample.labels["model"]: sample.value
        for family in engines.metrics.model_ready.collect()
        for sample in family.samples
    }
    assert ready == {name: float(name != "m2") for name in names}
    assert sorted(model.name for model in repository.ready_models()) == ["m0", "m1", "m3"]
    assert repository.loaded
