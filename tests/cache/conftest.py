"""A cache of two utterances."""

from pathlib import Path

import pytest
from targets import write_shard

from espnet_kd.cache.writer import merge


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """The directory of a cache of the utterances a and b."""
    write_shard(tmp_path / "c")
    merge(tmp_path / "c", ["a", "b"])
    return tmp_path / "c"
