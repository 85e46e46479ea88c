"""Files of compressed models: known apart, and refused by stock ESPnet."""

import subprocess
import sys

import pytest
import torch
from conftest import asr_options, build_asr, write_exp
from torch import nn

from espnet_kd.errors import KDError
from espnet_kd.student.compressed import (
    fill,
    is_compressed,
    read_compressed,
    write_compressed,
)
from espnet_kd.student.quantize import write_quantized

BIG = {"encoder": "conformer", "width": 16}


def test_what_is_written_is_read(tmp_path):
    content = {"state": {"a": torch.arange(3)}, "ranks": {"b": 2}}
    write_compressed(tmp_path / "w.pth", "some", content)
    found = read_compressed(tmp_path / "w.pth")
    assert found["form"] == "some"
    assert found["ranks"] == {"b": 2}
    assert found["state"]["a"].tolist() == [0, 1, 2]


def test_damage_and_other_versions_are_refused(tmp_path):
    path = tmp_path / "w.pth"
    write_compressed(path, "some", {"state": {"a": torch.zeros(999)}})
    content = torch.load(path, weights_only=True)
    torch.save(content | {"format": "espnet_kd compressed 0"}, path)
    with pytest.raises(KDError, match="another version; make it again"):
        read_compressed(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(KDError, match=r"w\.pth is damaged.*make it again"):
        read_compressed(path)


def test_weights_of_another_model_are_refused(tmp_path):
    model = nn.Linear(2, 3)
    state = {"weight": torch.ones(3, 2), "bias": torch.zeros(3)}
    fill(model, state, tmp_path)
    assert (model.weight == 1).all()
    with pytest.raises(KDError, match=r"not of the model in config\.yaml: Missing.*bias"):
        fill(model, {"weight": torch.ones(3, 2)}, tmp_path)


def test_files_are_known_apart(tmp_path):
    write_compressed(tmp_path / "w.pth", "some", {})
    torch.save(nn.Linear(1, 1).state_dict(), tmp_path / "f.pth")
    (tmp_path / "text.pth").write_text("no model")
    assert is_compressed(tmp_path / "w.pth")
    names = ("f.pth", "text.pth", "nowhere.pth")
    assert not any(is_compressed(tmp_path / name) for name in names)


def test_stock_espnet_refuses_the_file_rather_than_skip_it(tmp_path):
    model = build_asr(1, **BIG)
    exp = write_exp(tmp_path / "exp", model, asr_options(**BIG))
    write_quantized(exp / "w.pth", model, "float")
    code = "import sys; from espnet2.tasks.asr import ASRTask; "
    code += "ASRTask.build_model_from_file(*sys.argv[1:])"
    command = [sys.executable, "-c", code, str(exp / "config.yaml"), str(exp / "w.pth")]
    answer = subprocess.run(command, capture_output=True, text=True)
    assert answer.returncode == 1
    assert "Expected state_dict to be dict-like" in answer.stderr
