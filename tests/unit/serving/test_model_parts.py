"""Parts of models under names of their own, through the repository."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from serving.errors import InvalidInput, ModelNotFound, ModelNotReady
from serving.repository import ModelRepository
from serving.service import InferenceService
from serving.settings import GenerationSettings
from tests.caption_models import make_caption_model
from tests.e2e.graphs import plus, write_model
from tests.serving_parts import infer_request, make_engines, running_service

Parts = tuple[InferenceService, ModelRepository]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two versions of a captioner, a broken one, and a model named like a part."""
    folder = tmp_path_factory.mktemp("models")
    make_caption_model(folder / "m", goldens=False)
    make_caption_model(folder / "m", goldens=False, version=2, attention=False)
    (folder / "m" / "config.pbtxt").write_text("version_policy { all {} }")
    make_caption_model(folder / "broken", goldens=False, grid=(9, 9))
    write_model(folder, "m.decode", plus(1))
    return folder


@pytest.fixture
async def parts(root: Path) -> AsyncIterator[Parts]:
    engines = make_engines(generation=GenerationSettings(slots=4))
    with running_service(root, engines=engines) as (service, repository, _):
        await repository.load_all()
        yield service, repository


async def test_a_part_is_that_of_the_version_meant(parts: Parts) -> None:
    _, repository = parts
    assert repository.get("m.encoder").version == 2
    assert repository.get("m.encoder", "1") is repository.get("m", "1").parts["encoder"]
    assert repository.ready_versions("m.encoder") == [1, 2]
    with pytest.raises(ModelNotFound):
        repository.get("m.encoder", "3")
    with pytest.raises(InvalidInput):
        repository.get("m.encoder", "first")


async def test_metadata_of_a_part_has_all_its_versions(parts: Parts) -> None:
    service, _ = parts
    assert service.model_metadata("m.encoder").versions == ("1", "2")
    first = service.model_metadata("m.encoder", "1")
    assert first.versions == ("1",)
    assert "values" in {output.name for output in first.outputs}


async def test_a_part_of_a_model_that_is_not_ready_is_not_ready(parts: Parts) -> None:
    _, repository = parts
    with pytest.raises(ModelNotReady, match="grid: 9 x 9"):
        repository.get("broken.encoder")
    assert repository.ready_versions("broken.encoder") == []


async def test_a_folder_of_that_name_wins(parts: Parts) -> None:
    service, repository = parts
    response = await service.infer(infer_request("m.decode", x=[[1.0, 2.0]]))
    assert response.outputs["y"].data.tolist() == [[2.0, 3.0]]
    assert repository.ready_versions("m.decode") == [1]
    assert [one["name"] for one in service.model_statistics("m.decode")] == ["m.decode"]


async def test_statistics_of_all_have_every_name_and_version_once(parts: Parts) -> None:
    service, _ = parts
    found = [(one["name"], one["version"]) for one in service.model_statistics()]
    assert sorted(found) == [
        ("m", "1"),
        ("m", "2"),
        ("m.decode", "1"),
        ("m.encoder", "1"),
        ("m.encoder", "2"),
        ("m.prefill", "1"),
        ("m.prefill", "2"),
    ]
