"""Thin layers: the nearest there are, written, loaded, refused where they do not pay."""

import pytest
import torch
from conftest import build_asr
from torch import nn

from espnet_kd.errors import KDError
from espnet_kd.student.forms import load_compressed
from espnet_kd.student.low_rank import LowRankLinear, factorise, low_rank, write_low_rank


def of_rank_one(*names, width=16):
    """A model some of whose matrices are outer products."""
    model = build_asr(1, encoder="conformer", width=width).eval()
    with torch.no_grad():
        for name in names:
            weight = model.get_parameter(f"{name}.weight")
            weight.copy_(weight[:, :1] @ weight[:1])
    return model


def test_the_rank_is_the_least_that_keeps_the_energy():
    # Singular values 3, 2, 1: energies 9, 13, 14 of 14.
    weight = torch.diag(torch.tensor([2.0, 3.0, 1.0]))
    for energy, rank in (
        (0.6, 1),
        (9 / 14, 1),
        (0.65, 2),
        (13 / 14, 2),
        (0.95, 3),
        (1.0, 3),
    ):
        down, up = factorise(weight, energy)
        assert down.shape == (rank, 3), energy
    down, up = factorise(weight, 0.65)
    torch.testing.assert_close(up @ down, torch.diag(torch.tensor([2.0, 3.0, 0.0])))
    down, up = factorise(torch.zeros(2, 3), 0.9)
    assert not (up @ down).any()


def test_the_layer_by_hand():
    layer = LowRankLinear(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0], [4.0]]), None)
    assert layer(torch.tensor([[1.0, 1.0]])).tolist() == [[9.0, 12.0]]


def test_only_layers_where_it_pays_become_thin(tmp_path, batch):
    thin = ("encoder.encoders.0.feed_forward.w_1", "ctc.ctc_lo")
    model = of_rank_one(*thin)
    inputs = (batch["speech"], batch["speech_lengths"])
    with torch.no_grad():
        before = model.encode(*(x.clone() for x in inputs))[0]
    ranks = low_rank(model, 1 - 1e-9)
    assert ranks == dict.fromkeys(thin, 1)
    write_low_rank(tmp_path / "w.pth", model, ranks)
    loaded = build_asr(2, encoder="conformer", width=16).eval()
    load_compressed(loaded, tmp_path / "w.pth")
    assert loaded.ctc.ctc_lo.down.shape == (1, 16)
    assert type(loaded.encoder.encoders[1].feed_forward.w_1) is nn.Linear
    with torch.no_grad():
        after = loaded.encode(*(x.clone() for x in inputs))[0]
    torch.testing.assert_close(before, after, atol=1e-5, rtol=1e-4)


def test_what_does_not_pay_or_fit_is_refused(tmp_path):
    model = build_asr(1, encoder="conformer", width=16)
    with pytest.raises(KDError, match=r"makes no layer smaller.*quantise or prune"):
        low_rank(model, 1.0)
    thin = of_rank_one("encoder.encoders.1.feed_forward.w_1")
    write_low_rank(tmp_path / "w.pth", thin, low_rank(thin, 0.999999))
    shallow = build_asr(1, encoder="conformer", width=16, blocks=1)
    with pytest.raises(KDError, match=r"not of the model in config\.yaml: it has no layer"):
        load_compressed(shallow, tmp_path / "w.pth")
    with pytest.raises(KDError, match=r"not of the model in config\.yaml: "):
        load_compressed(build_asr(1, encoder="conformer", width=8), tmp_path / "w.pth")
