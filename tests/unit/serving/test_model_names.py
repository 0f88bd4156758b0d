"""Under which names the models of a repository answer when the operator gives one."""

import logging
import shutil
from pathlib import Path

import pytest

from serving.errors import ModelNotFound
from serving.readiness import Readiness
from serving.repository import ModelRepository
from tests.e2e.graphs import plus, write_model
from tests.serving_parts import make_engines


async def load(root: Path, name: str) -> ModelRepository:
    repository = ModelRepository(root, make_engines(), name=name)
    await repository.load_all()
    return repository


async def test_the_only_model_answers_to_both_names(tmp_path: Path) -> None:
    write_model(tmp_path, "mnist", plus(1))
    repository = await load(tmp_path, "digits")
    assert repository.get("digits") is repository.get("mnist") is repository.get("digits", "1")
    assert repository.get("digits").name == "mnist"
    assert repository.ready_versions("digits") == [1]
    assert repository.ready_matches("digits") == [repository.get("mnist")]
    assert list(repository.models) == ["mnist"]
    with pytest.raises(ModelNotFound):
        repository.get("letters")


async def test_folder_of_versions_answers_to_the_name_given_alone(tmp_path: Path) -> None:
    write_model(tmp_path, "mnist", plus(1), config='name: "mnist"')
    write_model(tmp_path, "mnist", plus(2), version=2)
    repository = await load(tmp_path / "mnist", "digits")
    assert (repository.get("digits").name, repository.get("digits").version) == ("digits", 2)
    with pytest.raises(ModelNotFound):
        repository.get("mnist")


async def test_bare_graph_is_version_1_under_the_name_given(tmp_path: Path) -> None:
    version = write_model(tmp_path, "m", plus(1))
    flat = tmp_path / "flat"
    flat.mkdir()
    shutil.copy(version / "model.onnx", flat / "adder.onnx")
    repository = await load(flat, "digits")
    assert (repository.get("digits").name, repository.get("digits").version) == ("digits", 1)


async def test_several_models_keep_their_names_and_a_stranger_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a", "b"):
        write_model(tmp_path, name, plus(1))
    with caplog.at_level(logging.WARNING):
        repository = await load(tmp_path, "digits")
    assert sorted(repository.models) == ["a", "b"]
    assert "no model is called digits; the models are: a, b" in caplog.text
    assert Readiness(repository, ()).ready()
    with pytest.raises(ModelNotFound):
        repository.get("digits")


async def test_server_is_not_ready_without_the_one_of_several_that_was_named(
    tmp_path: Path,
) -> None:
    write_model(tmp_path, "a", plus(1))
    (write_model(tmp_path, "b", plus(1)) / "model.onnx").write_bytes(b"no graph")
    named_well, named_broken = await load(tmp_path, "a"), await load(tmp_path, "b")
    assert Readiness(named_well, ()).ready()
    readiness = Readiness(named_broken, ())
    assert not readiness.ready()
    assert readiness.why_not() == "required models are not ready: ['b']"


async def test_required_model_may_be_called_by_its_other_name(tmp_path: Path) -> None:
    write_model(tmp_path, "mnist", plus(1))
    assert Readiness(await load(tmp_path, "digits"), ("digits", "mnist")).ready()
    assert not Readiness(await load(tmp_path, "digits"), ("letters",)).ready()
