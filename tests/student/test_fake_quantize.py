"""Training with the rounding of 8-bit arithmetic."""

import pytest
import torch
from conftest import build_asr, clone
from torch import nn

from espnet_kd import attach, detach
from espnet_kd.errors import KDError
from espnet_kd.student.fake_quantize import fake_quantize, undo_fake_quantize
from espnet_kd.student.forms import load_compressed
from espnet_kd.student.quantize import write_quantized

BIG = {"encoder": "conformer", "width": 16}


def test_a_layer_rounds_weight_and_input_by_hand():
    """Weights in steps of 2 / 127.5; an input of 0 to 2.55 in steps of 0.01."""
    model = nn.Sequential(nn.Linear(2, 1, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[2.0, 0.5]]))
    fake_quantize(model)
    step = 2 / 127.5
    first, second = 127 * step, round(0.5 / step) * step
    found = model(torch.tensor([[2.55, 0.014]]))
    assert found.item() == pytest.approx(2.55 * first + 0.01 * second, abs=1e-4)


def test_undone_the_layer_is_plain_and_has_learned():
    model = nn.Sequential(nn.Linear(3, 2))
    fake_quantize(model)
    with torch.no_grad():
        model[0].weight.fill_(0.125)
    undo_fake_quantize(model)
    assert type(model[0]) is nn.Linear
    assert (model[0].weight == 0.125).all()


def test_training_computes_as_the_integers_will(tmp_path):
    model, int8_model = (build_asr(seed, **BIG).eval() for seed in (1, 2))
    write_quantized(tmp_path / "w.pth", model, "int8")
    load_compressed(int8_model, tmp_path / "w.pth")
    names = list(model.state_dict())
    fake_quantize(model)
    assert list(model.state_dict()) == names
    x = torch.randn(5, 16)
    found, expected = model.ctc.ctc_lo(x), int8_model.ctc.ctc_lo(x)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    # Straight through: the weight learns as if nothing had been rounded but its input,
    # unless it is its row's largest and was cut to the range.
    found.sum().backward()
    weight = model.ctc.ctc_lo.weight
    straight = (weight.grad - x.sum(0)).abs() < 0.1
    largest = weight == weight.abs().amax(1, keepdim=True)
    assert (straight | (largest & (weight.grad == 0))).all()
    assert straight.float().mean() > 0.9


def test_distillation_rounds_its_student_and_leaves_a_stock_model(batch, tmp_path):
    student, teacher = build_asr(1, **BIG), build_asr(2, width=12, blocks=3)
    conf = {"losses": [{"type": "ctc_frame_kl", "weight": 1.0}], "quantize": "int8"}
    attach(student, conf, teacher)
    assert hasattr(student.ctc.ctc_lo, "weight_fake_quantizer")
    loss, stats, _ = student(**clone(batch))
    assert loss.isfinite()
    assert "loss_kd_ctc_frame_kl" in stats
    loss.backward()
    assert all(p.grad is not None for p in student.parameters() if p.requires_grad)
    build_asr(3, **BIG).load_state_dict(student.state_dict())
    weight = student.ctc.ctc_lo.weight
    detach(student)
    assert type(student.ctc.ctc_lo) is nn.Linear
    assert student.ctc.ctc_lo.weight is weight


def test_a_refused_student_keeps_its_layers(teacher):
    student = build_asr(1, **BIG)
    losses = [
        {"type": "hidden_mse", "weight": 1, "student": "nowhere", "teacher": "encoder"}
    ]
    with pytest.raises(KDError, match="nowhere"):
        attach(student, {"losses": losses, "quantize": "int8"}, teacher)
    assert type(student.ctc.ctc_lo) is nn.Linear


def test_another_rounding_is_refused(student, teacher):
    conf = {"losses": [{"type": "ctc_frame_kl", "weight": 1.0}], "quantize": "int4"}
    with pytest.raises(KDError, match=r"quantize: got 'int4'.*int8"):
        attach(student, conf, teacher)


def test_double_precision_is_refused_before_it_computes(batch):
    """ESPnet's train_dtype: the model is cast behind build_model."""
    model = build_asr(1)
    conf = {"losses": [{"type": "ctc_frame_kl", "weight": 1.0}], "quantize": "int8"}
    attach(model, conf, build_asr(2))
    model.double()
    with pytest.raises(KDError, match=r"int8.*float64.*--train_dtype float32"):
        model.train()(**clone(batch) | {"speech": batch["speech"].double()})
