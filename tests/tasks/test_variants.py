"""Each task has its variant, which other processes find by its name."""

import pickle
import subprocess
import sys

import pytest

from espnet_kd.host.compat import TASKS, stock_class, task_class
from espnet_kd.tasks import variants
from espnet_kd.tasks.kd_task import KDTask


@pytest.mark.parametrize("name", TASKS)
def test_a_row_of_the_table_is_all_that_a_task_needs(name):
    _, task = TASKS[name]
    variant = getattr(variants, f"KD{task}")
    assert variant.__mro__[1] is KDTask
    assert stock_class(variant) is task_class(name)
    assert getattr(variants, f"KD{task}") is variant
    assert pickle.loads(pickle.dumps(variant)) is variant


def test_a_new_process_finds_one_that_was_pickled(tmp_path):
    (tmp_path / "task").write_bytes(pickle.dumps(variants.KDASRTask))
    code = "import pickle, sys; print(pickle.load(open(sys.argv[1], 'rb')).__name__)"
    command = [sys.executable, "-c", code, str(tmp_path / "task")]
    assert subprocess.check_output(command, text=True).split()[-1] == "KDASRTask"


def test_what_is_no_task_has_no_variant():
    with pytest.raises(AttributeError, match="no attribute 'KDNoTask'"):
        _ = variants.KDNoTask
