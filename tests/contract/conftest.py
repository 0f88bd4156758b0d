"""The running server, and every way to talk to it."""

from collections.abc import Iterator

import pytest

from tests.caption_models import make_caption_model
from tests.contract.transports import TRANSPORTS, Transport
from tests.e2e.fixtures import repository, server, slow_steps, start_server
from tests.e2e.graphs import plus, write_model
from tests.e2e.process import ServerProcess
from tests.image_models import make_image_model
from tests.text_models import make_text_model

__all__ = ["repository", "server", "slow_steps", "start_server"]


@pytest.fixture(scope="session")
def text_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Serves ``tiny`` and two versions of ``newer``, which write text, and ``plus``, which adds."""
    repository = tmp_path_factory.mktemp("texts")
    make_text_model(repository / "tiny", steps=8)
    make_text_model(repository / "newer", version=2, seed=1)
    make_text_model(repository / "newer", version=3, seed=2)
    (repository / "newer" / "config.pbtxt").write_text("version_policy { all {} }")
    write_model(repository, "plus", plus(1))
    process = ServerProcess(repository)
    try:
        yield process.wait_ready()
    finally:
        process.close()


@pytest.fixture(scope="session")
def caption_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Serves ``eye``, versions 1 and 2, ``blind`` without attention, and ``plus``, which adds."""
    repository = tmp_path_factory.mktemp("captions")
    make_caption_model(repository / "eye", goldens=False)
    make_caption_model(repository / "eye", seed=1, version=2, goldens=False)
    make_caption_model(repository / "blind", attention=False, goldens=False)
    (repository / "eye" / "config.pbtxt").write_text("version_policy { all {} }")
    write_model(repository, "plus", plus(1))
    process = ServerProcess(repository)
    try:
        yield process.wait_ready()
    finally:
        process.close()


@pytest.fixture(scope="session")
def image_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Serves pictures: ``faces``, versions 1 and 2, ``digits`` of classes, ``words`` of prompts.

    ``blind`` has no discriminator, and ``plus`` adds.
    """
    repository = tmp_path_factory.mktemp("images")
    make_image_model(repository / "faces", goldens=False)
    make_image_model(repository / "faces", version=2, seed=1, goldens=False)
    (repository / "faces" / "config.pbtxt").write_text("version_policy { all {} }")
    make_image_model(repository / "digits", condition="class", mode="L", goldens=False)
    make_image_model(repository / "words", condition="prompt", goldens=False)
    make_image_model(repository / "blind", critic=False, goldens=False)
    write_model(repository, "plus", plus(1))
    process = ServerProcess(repository)
    try:
        yield process.wait_ready()
    finally:
        process.close()


@pytest.fixture(scope="session")
def transports(server: ServerProcess) -> Iterator[dict[str, Transport]]:
    """One connected client of each kind."""
    clients = {name: connect(server) for name, connect in TRANSPORTS.items()}
    yield clients
    for client in clients.values():
        client.close()


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest, transports: dict[str, Transport]) -> Transport:
    """Each transport in turn."""
    return transports[request.param]
