"""What stands between us and ESPnet's releases."""

import importlib.util
import sys

import pytest
import torch

from espnet_kd.errors import KDError
from espnet_kd.host.compat import provide_rnnt_loss, rnnt_loss_module


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
