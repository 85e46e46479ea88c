"""What stands between this package and ESPnet's releases."""

import importlib.util
import sys

import pytest
import torch
from conftest import asr_options

from espnet_kd.errors import KDError
from espnet_kd.host.compat import (
    TASKS,
    build_model,
    default_settings,
    provide_rnnt_loss,
    rnnt_loss_module,
    stock_class,
    task_class,
    versions,
)


@pytest.fixture
def absent(monkeypatch):
    monkeypatch.delitem(sys.modules, "warprnnt_pytorch", raising=False)
    if importlib.util.find_spec("warprnnt_pytorch") is not None:
        pytest.skip("warprnnt_pytorch itself is installed")


def test_the_stand_in_by_hand(absent):
    """One frame, one label of two classes: p(label) p(blank)."""
    logits = torch.tensor([[[[0.25, 0.75], [0.6, 0.4]]]]).log().requires_grad_()
    criterion = rnnt_loss_module().RNNTLoss(blank=0)
    one = torch.tensor([1])
    loss = criterion(logits, torch.tensor([[1]]), one, one)
    loss.backward()
    torch.testing.assert_close(loss.squeeze(), -torch.tensor(0.75 * 0.6).log())
    assert logits.grad.isfinite().all()


def test_half_precision_logits_are_widened(absent):
    logits = torch.randn(1, 3, 2, 4).bfloat16()
    lens = (torch.tensor([3]), torch.tensor([1]))
    loss = rnnt_loss_module().RNNTLoss()(logits, torch.tensor([[1]]), *lens)
    assert loss.dtype == torch.float32


def test_it_stands_in_where_there_is_none(absent):
    provide_rnnt_loss()
    from warprnnt_pytorch import RNNTLoss

    first = sys.modules["warprnnt_pytorch"]
    provide_rnnt_loss()
    assert sys.modules["warprnnt_pytorch"] is first
    assert RNNTLoss(fastemit_lambda=0.0).blank == 0


def test_what_torchaudio_cannot_do_is_said(absent):
    with pytest.raises(
        KDError, match=r"fastemit_lambda needs warprnnt_pytorch.*set it to 0"
    ):
        rnnt_loss_module().RNNTLoss(fastemit_lambda=0.01)


@pytest.mark.parametrize("name", TASKS)
def test_a_variant_leads_back_to_the_stock_class(name):
    stock = task_class(name)
    assert stock.__module__ == TASKS[name][0]
    assert stock_class(type("Variant", (stock,), {})) is stock


def test_an_unknown_task_is_named():
    with pytest.raises(KDError, match="unknown task 'asrr'; did you mean 'asr'"):
        task_class("asrr")


def test_settings_are_espnets_own_and_not_the_command_lines(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["x", "--max_epoch", "7"])
    assert default_settings(task_class("asr"))["max_epoch"] == 40


def test_a_model_is_built_from_settings():
    model = build_model(task_class("asr"), asr_options(width=12, blocks=3))
    assert len(model.encoder.encoders) == 3
    assert model.ctc.ctc_lo.weight.shape == (11, 12)


def test_versions_are_in_one_line():
    line = versions()
    assert line.startswith("espnet 20")
    assert "torch " in line
    assert f"python {sys.version.split()[0]}" in line
