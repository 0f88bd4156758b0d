"""The running server, for every test of this folder."""

from tests.e2e.fixtures import repository, server, slow_steps, start_server

__all__ = ["repository", "server", "slow_steps", "start_server"]
