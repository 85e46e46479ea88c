"""token_kl and kl_rows against values worked out on paper."""

import math

import pytest
import torch

from espnet_kd.losses import kl_rows, token_kl
from espnet_kd.losses.divergence import real_log_softmax

LENGTHS = torch.tensor([4, 2, 1])


@pytest.fixture
def logits():
    gen = torch.Generator().manual_seed(0)
    return tuple(torch.randn(3, 4, 5, generator=gen).double() for _ in range(2))


def test_two_class_value_by_hand():
    # p = (3/4, 1/4), q = (1/2, 1/2): KL = 3/4 ln(3/2) + 1/4 ln(1/2) = 3/4 ln 3 - ln 2
    teacher = torch.tensor([[3.0, 1.0]]).double().log()
    value = kl_rows(torch.zeros(1, 2).double(), teacher, 1.0)
    assert value.item() == pytest.approx(0.75 * math.log(3) - math.log(2), abs=1e-12)


def test_temperature_by_hand():
    # tau = 2 takes the root: p ~ (sqrt 9, sqrt 1) = (3/4, 1/4); times tau^2 = 4
    teacher = torch.tensor([[9.0, 1.0]]).double().log()
    value = kl_rows(torch.zeros(1, 2).double(), teacher, 2.0)
    expected = 4 * (0.75 * math.log(3) - math.log(2))
    assert value.item() == pytest.approx(expected, abs=1e-12)


def test_tokens_the_teacher_excludes_cost_nothing():
    # p = (1, 0): KL = ln 2 against a uniform student, and a finite gradient q - p
    student = torch.zeros(1, 2, requires_grad=True)
    value = kl_rows(student, torch.tensor([[0.0, -math.inf]]), 1.0).sum()
    value.backward()
    assert value.item() == pytest.approx(math.log(2), abs=1e-6)
    torch.testing.assert_close(student.grad, torch.tensor([[-0.5, 0.5]]))


def test_both_excluding_a_token_is_no_nan():
    rows = torch.tensor([[0.0, -math.inf]])
    assert kl_rows(rows, rows, 1.0).item() == 0.0


@pytest.mark.parametrize(("reduction", "count"), [("batch", 3), ("token", 7)])
def test_reduction_divides_by_utterances_or_tokens(logits, reduction, count):
    student, teacher = logits
    mask = torch.arange(4) < LENGTHS[:, None]
    expected = kl_rows(student[mask], teacher[mask], 1.0).sum() / count
    value = token_kl(student, teacher, LENGTHS, reduction=reduction)
    torch.testing.assert_close(value, expected)


def test_gradient_is_the_closed_form(logits):
    # d loss / d z = tau (q - p) / B at real positions, 0 at padding
    student, teacher = logits
    student.requires_grad_()
    token_kl(student, teacher, LENGTHS, temperature=2.0).backward()
    q, p = (student.detach() / 2).softmax(-1), (teacher / 2).softmax(-1)
    real = (torch.arange(4) < LENGTHS[:, None])[..., None]
    torch.testing.assert_close(student.grad, 2 * (q - p) * real / 3)


def test_padding_of_a_log_softmax_is_zero_both_ways():
    """Also when what comes back is laid out otherwise, and reaches the padding."""
    logits = torch.randn(2, 3, 4, dtype=torch.float64)
    logits[1, 1:] = float("nan")
    logits.requires_grad_()
    mask = torch.tensor([[True, True, True], [True, False, False]])
    result = real_log_softmax(logits, mask)
    weight = torch.randn(3, 2, 4, dtype=torch.float64)
    (result.transpose(0, 1) * weight).sum().backward()
    assert result[1, 1:].eq(0).all()
    assert logits.grad[1, 1:].eq(0).all()
    clean = logits.detach()[mask].requires_grad_()
    expected = clean.log_softmax(-1)
    (expected * weight.transpose(0, 1)[mask]).sum().backward()
    torch.testing.assert_close(result.detach()[mask], expected.detach())
    torch.testing.assert_close(logits.grad[mask], clean.grad)
