"""One world for all draws of a session."""

import pytest
from pairs.world import World


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> World:
    """Data, teachers and caches, each made when it is first asked for."""
    return World(tmp_path_factory.mktemp("world"))
