"""A smaller form beside the model: what is said of it, and where it is written."""

import pytest
import torch
from conftest import asr_options, build_asr, write_exp

from espnet_kd.errors import KDError
from espnet_kd.host.compat import task_class
from espnet_kd.host.experiment import open_experiment
from espnet_kd.student.compress import comparison_speech, compress, path_beside
from espnet_kd.student.low_rank import write_low_rank


def test_sizes_distance_and_remark_are_told(tmp_path):
    """A model written as it is, with no thin layer, is no other model."""
    exp = write_exp(tmp_path / "exp", build_asr(1), asr_options())
    output, speech = tmp_path / "w.pth", [torch.randn(1, 60, 20)]

    def write(model, path):
        write_low_rank(path, model, {})
        return " and a remark"

    with open_experiment(exp) as experiment:
        found = compress(experiment, task_class("asr"), output, write, speech)
    before, after = ((p.stat().st_size / 1e6) for p in (exp / "valid.acc.ave.pth", output))
    assert found == (
        f"{output}: {after:.2f} of {before:.2f} MB ({after / before:.3f}); SQNR of the "
        "encoder's output inf dB and a remark"
    )


def test_without_data_nothing_is_compared(tmp_path):
    exp = write_exp(tmp_path / "exp", build_asr(1), asr_options())
    with open_experiment(exp) as experiment:
        assert comparison_speech(experiment, task_class("asr"), None, 3) == []


def test_a_file_goes_beside_its_checkpoint(tmp_path):
    found = path_beside(tmp_path / "valid.acc.ave.pth", tmp_path, "int8")
    assert found == tmp_path / "valid.acc.ave.int8.pth"
    with pytest.raises(KDError, match=r"no directory to write to: say --output FILE\.pth"):
        path_beside(tmp_path / "a.pth", tmp_path / "packed.zip", "int8")
