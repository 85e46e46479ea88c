"""A teacher, its data, and a shard of its targets, for the commands about caches."""

import pytest
from conftest import asr_options, build_asr, write_exp, write_features

from espnet_kd.bin import cache_teacher


@pytest.fixture
def teacher_command(tmp_path):
    """Arguments that write a teacher's CTC posteriors of three utterances."""
    exp = write_exp(tmp_path / "teacher", build_asr(1), asr_options())
    speech = write_features(tmp_path, {"a": 60, "b": 45, "c": 33})
    (tmp_path / "text").write_text("a ab\nb c\nc d\n")
    return [
        *("--exp", str(exp), "--data_path_and_name_and_type", speech),
        *("--key_file", str(tmp_path / "text"), "--output_dir", str(tmp_path / "cache")),
    ]


@pytest.fixture
def shard(teacher_command, tmp_path):
    """The directory of one shard that holds all three utterances."""
    cache_teacher.main(teacher_command)
    return tmp_path / "cache"
