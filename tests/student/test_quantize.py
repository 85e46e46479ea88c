"""8-bit weights: by hand, on disk, and in both arithmetics."""

import sys

import pytest
import torch
from conftest import build_asr
from torch import nn

from espnet_kd.errors import KDError
from espnet_kd.student.forms import load_compressed
from espnet_kd.student.quantize import quantize_weight, rounded_weights, write_quantized

BIG = {"encoder": "conformer", "width": 16}


@pytest.fixture
def model():
    return build_asr(1, **BIG).eval()


def reloaded(model, path, arithmetic):
    write_quantized(path, model, arithmetic)
    loaded = build_asr(2, **BIG).eval()
    load_compressed(loaded, path)
    return loaded


def sqnr(one, other):
    return float(10 * torch.log10(one.square().sum() / (one - other).square().sum()))


def test_a_weight_is_a_scale_times_whole_numbers():
    # The largest of each row, 2.55 and 0.51, take the end of the range: 127.5 steps.
    rounded, scale = quantize_weight(torch.tensor([[2.55, -1.0, 0.009], [0.0, 0.51, 0.1]]))
    assert scale.tolist() == pytest.approx([0.02, 0.004])
    assert rounded.tolist() == [[127, -50, 0], [0, 127, 25]]
    assert rounded.dtype == torch.int8


def test_rows_of_any_shape_keep_it_and_zeros_stay():
    weight = torch.randn(3, 2, 5)
    weight[1] = 0
    rounded, scale = quantize_weight(weight)
    assert rounded.shape == weight.shape
    assert scale.shape == (3,)
    assert not rounded[1].any()
    assert scale.isfinite().all()
    off = (weight - scale[:, None, None] * rounded).abs().amax((1, 2))
    # Half a step; the largest value, at 127.5 of 127, is off by that half as well.
    assert (off <= 0.501 * scale + 1e-9).all()


@pytest.mark.parametrize("arithmetic", ["float", "int8"])
def test_what_is_written_is_loaded(model, batch, tmp_path, arithmetic):
    loaded = reloaded(model, tmp_path / "w.pth", arithmetic)
    inputs = (batch["speech"], batch["speech_lengths"])
    with torch.no_grad():
        before, after = (m.encode(*(x.clone() for x in inputs))[0] for m in (model, loaded))
    assert 35 < sqnr(before, after) < 70
    kept = dict(loaded.state_dict())
    for name, value in model.state_dict().items():
        if name not in rounded_weights(model):
            assert torch.equal(kept[name], value), name


def test_float_arithmetic_is_the_product_of_what_is_on_disk(model, tmp_path):
    loaded = reloaded(model, tmp_path / "w.pth", "float")
    for name in rounded_weights(model):
        rounded, scale = quantize_weight(model.get_parameter(name))
        expected = rounded.flatten(1) * scale[:, None]
        assert torch.equal(loaded.get_parameter(name).flatten(1), expected), name


def test_linear_layers_compute_in_integers(model, tmp_path):
    loaded = reloaded(model, tmp_path / "w.pth", "int8")
    layer = loaded.ctc.ctc_lo
    assert layer.weight.qdata.dtype == torch.int8
    x = torch.randn(4, 16)
    # By hand: a frame's 256 steps span its values and zero, as the weight's do its row.
    low, high = x.amin(1, keepdim=True).clamp(max=0), x.amax(1, keepdim=True).clamp(min=0)
    step = (high - low) / 255
    zero = torch.round(-128 - low / step)
    whole = (torch.round(x / step) + zero).clamp(-128, 127)
    given = step * (whole - zero)
    rounded, scale = quantize_weight(model.ctc.ctc_lo.weight)
    expected = given @ (rounded * scale[:, None]).T + model.ctc.ctc_lo.bias
    torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=1e-5)


def test_most_weights_are_a_byte(model, tmp_path):
    write_quantized(tmp_path / "w.pth", model, "float")
    content = torch.load(tmp_path / "w.pth", weights_only=True)
    whole = sum(p.numel() for p in model.parameters())
    assert sum(q.numel() for q in content["int8"].values()) > 0.9 * whole
    assert {q.dtype for q in content["int8"].values()} == {torch.int8}
    names = content["int8"].keys() | content["rest"].keys()
    assert names == model.state_dict().keys()


def test_what_cannot_be_rounded_or_loaded_is_refused(model, tmp_path):
    path = tmp_path / "w.pth"
    with pytest.raises(KDError, match="no weight to round"):
        write_quantized(path, nn.LayerNorm(3), "float")
    write_quantized(path, model, "float")
    with pytest.raises(KDError, match=r"not of the model in config\.yaml.*Missing"):
        load_compressed(build_asr(1, encoder="conformer", width=16, blocks=3), path)
    with torch.no_grad():
        model.ctc.ctc_lo.weight[0, 0] = float("nan")
    with pytest.raises(KDError, match=r"ctc_lo\.weight holds nan"):
        write_quantized(path, model, "float")


def test_without_torchao_the_remedy_is_named(model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchao", None)
    monkeypatch.setitem(sys.modules, "torchao.quantization", None)
    with pytest.raises(KDError, match=r"pip install 'espnet_kd\[deploy\]'"):
        write_quantized(tmp_path / "w.pth", model, "float")
