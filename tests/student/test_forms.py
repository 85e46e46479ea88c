"""Every form of a compressed model is loaded by what wrote it; others are refused."""

import pytest
import torch
from conftest import build_asr

from espnet_kd.errors import KDError
from espnet_kd.student.compressed import write_compressed
from espnet_kd.student.forms import LOADERS, load_compressed
from espnet_kd.student.low_rank import low_rank, write_low_rank
from espnet_kd.student.quantize import write_quantized


def rounded(path, model):
    write_quantized(path, model, "float")


def thin(path, model):
    with torch.no_grad():
        weight = model.ctc.ctc_lo.weight
        weight.copy_(weight[:, :1] @ weight[:1])
    write_low_rank(path, model, low_rank(model, 1 - 1e-9))


@pytest.mark.parametrize(("form", "write"), [("int8", rounded), ("low_rank", thin)])
def test_a_form_is_known_by_its_name(form, write, tmp_path):
    """Its biases are the written model's, which no form changes."""
    model, loaded = (build_asr(seed, width=16) for seed in (1, 2))
    with torch.no_grad():
        model.ctc.ctc_lo.bias.fill_(0.5)
    write(tmp_path / "w.pth", model)
    assert torch.load(tmp_path / "w.pth", weights_only=True)["form"] == form
    load_compressed(loaded, tmp_path / "w.pth")
    assert (loaded.ctc.ctc_lo.bias == 0.5).all()


def test_there_are_two_forms_and_another_is_refused(tmp_path):
    assert set(LOADERS) == {"int8", "low_rank"}
    write_compressed(tmp_path / "w.pth", "zip", {})
    with pytest.raises(KDError, match="another version; make it again"):
        load_compressed(torch.nn.Identity(), tmp_path / "w.pth")
