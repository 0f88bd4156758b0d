"""The running server, for every test of this folder."""

from tests.e2e.fixtures import mnist_server, repository, server, slow_steps, start_server

__all__ = ["mnist_server", "repository", "server", "slow_steps", "start_server"]
