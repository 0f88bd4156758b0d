"""The project's own image, built once a run."""

import pytest

from tests.deploy.containers import Build, Store, build, open_store

IMAGE = "localhost/quartet:test"


@pytest.fixture(scope="session")
def container_store() -> Store:
    """Where images and containers of the tests are; skips where containers do not run."""
    return open_store()


@pytest.fixture(scope="session")
def cpu_image(container_store: Store) -> str:
    """The CPU image with its default arguments; its name."""
    build(
        container_store,
        Build(
            tag=IMAGE,
            arguments={"REVISION": "0123456789abcdef", "CREATED": "2026-01-02T03:04:05Z"},
        ),
    )
    return IMAGE
