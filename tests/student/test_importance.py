"""How much a unit matters, by hand and beside what autograd says."""

import pytest
import torch
from conftest import clone
from families import build

from espnet_kd.student.axes import Axes
from espnet_kd.student.importance import (
    KINDS,
    activation,
    importance_of,
    taylor,
    weight_norm,
)

NAME = "encoder.encoders.0.feed_forward"


def test_in_order_the_first_matter_most():
    axes = Axes({f"{NAME}.w_1.weight": torch.zeros(3, 2)})
    found = importance_of("order", torch.nn.Identity(), axes)
    assert found[NAME].argsort(descending=True).tolist() == [0, 1, 2]


def test_at_random_the_generator_decides():
    axes = Axes({f"{NAME}.w_1.weight": torch.zeros(300, 2)})
    found = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        found.append(importance_of("random", torch.nn.Identity(), axes)[NAME])
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_values_every_unit(kind, batch):
    model = build()
    axes = Axes(model.state_dict())
    found = importance_of(kind, model, axes, [clone(batch)])
    assert found[NAME].shape == (axes.sizes[NAME],)
    assert found[NAME].isfinite().all()


def test_a_frozen_model_is_measured_and_stays_frozen(batch):
    model = build()
    axes = Axes(model.state_dict())
    expected = taylor(model, axes, [clone(batch)])[NAME]
    model.requires_grad_(False)
    assert torch.equal(taylor(model, axes, [clone(batch)])[NAME], expected)
    assert not any(p.requires_grad or p.grad is not None for p in model.parameters())


def test_importance_by_hand():
    """One linear layer's worth: the axis sums rows here and columns there."""
    teacher = build()
    axes = Axes(teacher.state_dict())
    part = teacher.encoder.encoders[0].feed_forward
    expected = (part.w_1.weight**2).sum(1) + part.w_1.bias**2 + (part.w_2.weight**2).sum(0)
    found = weight_norm(teacher, axes)["encoder.encoders.0.feed_forward"]
    torch.testing.assert_close(found, expected.detach().double())


def test_activation_by_hand(batch):
    teacher, seen = build(), []
    hook = teacher.encoder.encoders[0].feed_forward.w_2.register_forward_pre_hook(
        lambda module, args: seen.append(args[0].detach())
    )
    axes = Axes(teacher.state_dict())
    found = activation(teacher, axes, [clone(batch)])["encoder.encoders.0.feed_forward"]
    hook.remove()
    torch.testing.assert_close(found, seen[0].abs().double().mean((0, 1)))


def test_taylor_by_hand(batch):
    teacher = build()
    part = teacher.encoder.encoders[0].feed_forward
    loss, *_ = teacher(**clone(batch))
    loss.sum().backward()
    grads = [
        (p.detach() * p.grad) for p in (part.w_1.weight, part.w_1.bias, part.w_2.weight)
    ]
    expected = (grads[0].sum(1) + grads[1] + grads[2].sum(0)) ** 2
    teacher.zero_grad()
    found = taylor(teacher, Axes(teacher.state_dict()), [clone(batch)])
    torch.testing.assert_close(
        found["encoder.encoders.0.feed_forward"], expected.double(), rtol=1e-4, atol=1e-9
    )
