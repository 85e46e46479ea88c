"""Checkpoints: read safely, required to be whole."""

import pickle

import pytest
import torch
from pickles import Trap
from torch import nn

from espnet_kd.errors import ExperimentError
from espnet_kd.host.checkpoint import load_state, read_weights


@pytest.mark.parametrize("writer", ["torch", "pickle"])
def test_a_pickle_that_executes_code_is_refused_unexecuted(tmp_path, writer):
    mark, path = tmp_path / "executed", tmp_path / "bomb.pth"
    if writer == "torch":
        torch.save({"a": Trap(mark)}, path)
    else:
        path.write_bytes(pickle.dumps({"a": Trap(mark)}))
    with pytest.raises(ExperimentError, match="could execute code when loaded; refused"):
        read_weights(path)
    assert not mark.exists()


def test_resume_points_of_training_are_understood(tmp_path):
    torch.save({"model": {"w": torch.ones(1)}, "optimizers": []}, tmp_path / "c.pth")
    assert read_weights(tmp_path / "c.pth")["w"].item() == 1


def test_deepspeeds_form_is_understood(tmp_path):
    torch.save({"module": {"w": torch.ones(1)}}, tmp_path / "d.pth")
    assert read_weights(tmp_path / "d.pth")["w"].item() == 1


@pytest.mark.parametrize("prefix", ["", "model."])
def test_lightnings_form_is_understood(tmp_path, prefix):
    """ESPnet3's bears the model's own names, lightning_train's all behind 'model.'."""
    state = {f"{prefix}w": torch.ones(1), f"{prefix}model.w": torch.zeros(1)}
    torch.save({"state_dict": state, "global_step": 3}, tmp_path / "l.ckpt")
    found = read_weights(tmp_path / "l.ckpt")
    assert {name: value.item() for name, value in found.items()} == {"w": 1, "model.w": 0}


def test_a_whole_checkpoint_is_loaded_and_what_is_too_much_is_left(tmp_path):
    model, path = nn.Linear(2, 1), tmp_path / "m.pth"
    state = {"weight": torch.ones(1, 2), "bias": torch.zeros(1), "old": torch.ones(3)}
    torch.save(state, path)
    load_state(model, read_weights(path), path)
    assert model.weight.tolist() == [[1, 1]]


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (
            {"weight": torch.ones(1, 2)},
            r"lacks 1 of the .* \(first: bias\)",
        ),
        ({"weight": torch.ones(3, 2), "bias": torch.zeros(1)}, r"does not fit its config"),
    ],
)
def test_another_models_checkpoint_is_refused(tmp_path, state, text):
    path = tmp_path / "m.pth"
    torch.save(state, path)
    weights = read_weights(path)
    with pytest.raises(ExperimentError, match=text):
        load_state(nn.Linear(2, 1), weights, path)


def test_what_is_missing_or_damaged_is_named(tmp_path):
    path = tmp_path / "m.pth"
    with pytest.raises(ExperimentError, match=r"checkpoint .*m\.pth does not exist"):
        read_weights(path)
    path.write_text("hello, I am no model")
    with pytest.raises(ExperimentError, match=r"m\.pth is damaged or no checkpoint"):
        read_weights(path)
    torch.save({"w": torch.ones(999)}, path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ExperimentError, match=r"m\.pth is damaged"):
        read_weights(path)
