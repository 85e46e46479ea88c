"""One healthy world for all cases of a session."""

from pathlib import Path

import pytest
from hostile.world import write_world


@pytest.fixture(scope="session")
def healthy(tmp_path_factory) -> Path:
    """A folder with a tiny one of everything that a user can hand over."""
    root = tmp_path_factory.mktemp("healthy")
    write_world(root)
    return root
