"""Gradient norms and balanced weights, by hand."""

import pytest
import torch
from conftest import clone

import espnet_kd
from espnet_kd.config.schema import GradientConfig
from espnet_kd.objective.gradients import GradientMeter


def measured(meter, step, scale=1.0, weight=None):
    weight = torch.nn.Parameter(torch.tensor([3.0, 4.0])) if weight is None else weight
    losses = {
        "half": scale * weight.square().sum() / 4,  # gradient w / 2, norm 2.5
        "none": torch.tensor(1.0),  # does not reach the student
    }
    meter.measure(weight.square().sum(), losses, [weight], step)  # gradient 2 w, norm 10


def test_ratio_by_hand():
    meter = GradientMeter(GradientConfig(every=2))
    measured(meter, 0)
    assert meter.ratios == {"half": pytest.approx(0.25)}
    assert meter.pulls({"half": 4.0, "none": 1.0}) == {"grad_half": pytest.approx(1.0)}
    assert meter.factor("half") == 1.0, "measuring alone changes nothing"


def test_balanced_weights_are_ratios():
    meter = GradientMeter(GradientConfig(every=2, balance=True))
    measured(meter, 0)
    assert meter.factor("half") == pytest.approx(4.0)
    assert meter.factor("none") == 1.0
    # The running mean moves by 0.3 of the difference: 0.25 + 0.3 (0.5 - 0.25)
    measured(meter, 2, scale=2.0)
    assert meter.factor("half") == pytest.approx(1 / 0.325)


def test_a_term_that_hardly_pulls_is_not_blown_up():
    meter = GradientMeter(GradientConfig(every=1, balance=True))
    measured(meter, 0, scale=1e-9)
    assert meter.factor("half") == 1000.0


def test_it_is_due_once_in_so_many_updates():
    meter = GradientMeter(GradientConfig(every=3))
    due = []
    for step in (0, 0, 1, 2, 3, 3, 4):
        if meter.is_due(step):
            due.append(step)
            measured(meter, step)
    assert due == [0, 3]
    assert not GradientMeter(GradientConfig()).is_due(0)


def test_not_a_number_is_not_learnt():
    meter = GradientMeter(GradientConfig(every=1, balance=True))
    measured(meter, 0)
    measured(meter, 1, scale=float("nan"))
    measured(meter, 2, scale=float("inf"))
    assert meter.factor("half") == pytest.approx(4.0)


@pytest.mark.parametrize("weight", [0.5, 2.0])
def test_a_balanced_term_pulls_as_hard_as_its_weight_says(student, teacher, batch, weight):
    term = {"type": "token_kl", "weight": weight}
    balanced = {"losses": [term], "gradients": {"every": 1, "balance": True}}
    _, stats = pull(student, balanced, teacher, batch)
    assert stats["grad_token_kl"].item() == pytest.approx(weight, rel=1e-4)
    factor = stats["loss_kd"].item() / stats["loss_kd_token_kl"].item()
    # The same by plain backward passes: the task alone, and the term alone.
    task, _ = pull(student, {"losses": [term | {"weight": 0}]}, teacher, batch)
    alone = {"losses": [term | {"weight": factor}], "task_weight": 0.0}
    kd, _ = pull(student, alone, teacher, batch)
    assert kd == pytest.approx(weight * task, rel=1e-3)


def pull(student, conf, teacher, batch):
    """Norm of the gradient of one pass without dropout, and its stats."""
    espnet_kd.attach(student.eval(), conf, teacher)
    student.zero_grad()
    loss, stats, _ = student(**clone(batch))
    loss.sum().backward()
    espnet_kd.detach(student)
    return norm(student), stats


def norm(model):
    squares = [p.grad.square().sum() for p in model.parameters() if p.grad is not None]
    return torch.stack(squares).sum().sqrt().item()


def test_measuring_leaves_gradients_and_random_numbers_alone(student, teacher, batch):
    results = []
    for every in (0, 1):
        conf = {
            "losses": [{"type": "token_kl", "weight": 1.0}],
            "gradients": {"every": every},
        }
        espnet_kd.attach(student, conf, teacher)
        torch.manual_seed(3)
        student.zero_grad()
        student.train()(**clone(batch))[0].sum().backward()
        results.append(torch.cat([p.grad.flatten() for p in student.parameters()]))
        results.append(torch.rand(1))
        espnet_kd.detach(student)
    assert torch.equal(results[0], results[2])
    assert torch.equal(results[1], results[3])
