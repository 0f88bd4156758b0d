"""Publication into a model repository: all or nothing."""

from pathlib import Path

import pytest

from training.export.errors import ExportError
from training.export.publish import Publication, existing_versions


def publish(repository: Path, content: str, **files: str) -> tuple[int, ...]:
    """Publish one version whose model.onnx holds ``content``."""
    with Publication(repository, "m") as publication:
        _, folder = publication.add_version()
        (folder / "model.onnx").write_text(content)
        return publication.commit({"README.md": content}, files)


def everything(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_publish_makes_version_1_when_the_model_is_new(tmp_path: Path) -> None:
    assert publish(tmp_path / "repo", "one") == (1,)
    assert everything(tmp_path) == {
        "repo",
        "repo/m",
        "repo/m/1",
        "repo/m/1/model.onnx",
        "repo/m/README.md",
    }


def test_publish_takes_the_number_after_the_highest(tmp_path: Path) -> None:
    (tmp_path / "m" / "7").mkdir(parents=True)
    (tmp_path / "m" / "08").mkdir()
    assert publish(tmp_path, "next") == (8,)


def test_publish_shows_several_versions_together(tmp_path: Path) -> None:
    publish(tmp_path, "one")
    with Publication(tmp_path, "m") as publication:
        numbers = [publication.add_version()[0] for _ in range(2)]
        assert existing_versions(tmp_path / "m") == (1,)
        assert publication.commit({}) == (2, 3)
    assert numbers == [2, 3]
    assert existing_versions(tmp_path / "m") == (1, 2, 3)


def test_publish_replaces_the_card_and_keeps_an_edited_config(tmp_path: Path) -> None:
    publish(tmp_path, "one", config="exported")
    (tmp_path / "m" / "config").write_text("edited")
    publish(tmp_path, "two", config="exported")
    assert (tmp_path / "m" / "README.md").read_text() == "two"
    assert (tmp_path / "m" / "config").read_text() == "edited"


def publish_and_fail(repository: Path, error: Exception) -> None:
    with Publication(repository, "m") as publication:
        _, folder = publication.add_version()
        (folder / "model.onnx").write_text("half")
        raise error


def test_publish_leaves_nothing_when_writing_fails(tmp_path: Path) -> None:
    publish(tmp_path, "one")
    before = everything(tmp_path)
    with pytest.raises(OSError, match="disk full"):
        publish_and_fail(tmp_path, OSError("disk full"))
    assert everything(tmp_path) == before


def test_publish_leaves_no_repository_when_the_first_export_fails(tmp_path: Path) -> None:
    with pytest.raises(ExportError):
        publish_and_fail(tmp_path / "repo", ExportError("refused"))
    assert everything(tmp_path) == set()


def publish_two_while_version_3_appears(repository: Path) -> None:
    with Publication(repository, "m") as publication:
        publication.add_version()
        publication.add_version()
        (repository / "m" / "3").mkdir()
        publication.commit({"README.md": "two"})


def test_publish_withdraws_all_versions_when_one_number_was_taken(tmp_path: Path) -> None:
    publish(tmp_path, "one")
    with pytest.raises(ExportError, match="meanwhile"):
        publish_two_while_version_3_appears(tmp_path)
    assert existing_versions(tmp_path / "m") == (1, 3)
    assert (tmp_path / "m" / "README.md").read_text() == "one"


@pytest.mark.parametrize("name", ["", "../up", ".hidden", "a/b"])
def test_publish_refuses_a_name_that_is_no_plain_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ExportError, match="model name"):
        Publication(tmp_path, name)
