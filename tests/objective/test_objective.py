"""Weights, warm-up and stats of the objective, by hand."""

import pytest
import torch
from conftest import clone

import espnet_kd
from espnet_kd.config.parse import parse_config
from espnet_kd.errors import KDError
from espnet_kd.losses import LOSSES
from espnet_kd.model.outputs import Hidden, ModelOutputs, TeacherTargets
from espnet_kd.objective.objective import Objective

MSE = {"type": "hidden_mse", "student": "layer", "teacher": "layer"}


def objective(*losses, **more) -> Objective:
    raw = {"losses": list(losses), **more}
    return Objective(parse_config(raw, LOSSES, teacher_given=True))


def sides(student: float, teacher: float):
    """One frame of one utterance: the mse is (student - teacher)^2."""
    made = []
    for kind, value in ((ModelOutputs, student), (TeacherTargets, teacher)):
        values, lengths = torch.full((1, 1, 1), value), torch.tensor([1])
        made.append(kind(lengths, hidden={"layer": Hidden(values, lengths)}))
    return made


def test_weighted_sum_and_stats_by_hand():
    goal = objective(
        MSE | {"weight": 0.5},
        MSE | {"weight": 2.0, "name": "again"},
        task_weight=0.25,
    )
    loss, stats = goal(torch.tensor([8.0]), *sides(3.0, 0.0), step=0)
    # 0.25 * 8 + (0.5 + 2) * 9
    assert loss.tolist() == [24.5]
    assert {key: value.item() for key, value in stats.items()} == {
        "loss_kd": 22.5,
        "loss_kd_hidden_mse": 9.0,
        "loss_kd_again": 9.0,
        "loss_task": 8.0,
    }


def test_stats_are_what_the_reporter_wants():
    student, teacher = sides(3.0, 0.0)
    student.hidden["layer"].values.requires_grad_()
    _, stats = objective(MSE | {"weight": 1})(torch.tensor([8.0]), student, teacher, 0)
    for value in stats.values():
        assert value.shape == (1,)
        assert value.dtype == torch.float32
        assert not value.requires_grad


def test_a_schedule_of_its_own_goes_before_the_common_one():
    goal = objective(
        MSE | {"weight": 1.0},
        MSE | {"weight": 1.0, "name": "own", "schedule": {"warmup_steps": 2}},
        schedule={"warmup_steps": 10},
    )
    loss, _ = goal(torch.tensor([8.0]), *sides(3.0, 0.0), step=0)
    assert loss.item() == pytest.approx(8 + 0.1 * 9 + 0.5 * 9)


def test_warm_up_scales_the_terms_and_not_the_task():
    goal = objective(MSE | {"weight": 1.0}, schedule={"warmup_steps": 10})
    loss, stats = goal(torch.tensor([8.0]), *sides(3.0, 0.0), step=4)
    assert loss.item() == pytest.approx(8 + 0.5 * 9)
    assert stats["loss_kd_hidden_mse"].item() == 9.0


def test_weight_zero_observes_and_returns_the_very_loss():
    task = torch.tensor([8.0], requires_grad=True)
    loss, stats = objective(MSE | {"weight": 0})(task, *sides(3.0, 0.0), step=0)
    assert loss is task
    assert stats["loss_kd"].item() == 0
    assert stats["loss_kd_hidden_mse"].item() == 9.0


def test_a_term_that_never_fired_is_named():
    goal = objective(MSE | {"weight": 1.0, "name": "idle"}, MSE | {"weight": 0})
    goal(torch.tensor([8.0]), *sides(2.0, 2.0), step=0)
    with pytest.raises(KDError, match=r"^idle: exactly 0 in every training step"):
        goal.check_fired()
    goal(torch.tensor([8.0]), *sides(3.0, 2.0), step=0)
    assert goal.check_fired() is None


def test_a_term_that_may_be_silent_is_not(monkeypatch):
    goal = objective(MSE | {"weight": 1.0})
    monkeypatch.setattr(type(goal.terms[0].loss), "may_be_silent", True)
    goal(torch.tensor([8.0]), *sides(2.0, 2.0), step=0)
    assert goal.check_fired() is None


def test_validation_does_not_count_as_having_fired():
    goal = objective(MSE | {"weight": 1.0})
    with torch.no_grad():
        goal(torch.tensor([8.0]), *sides(3.0, 2.0), step=0)
    with pytest.raises(KDError, match="hidden_mse"):
        goal.check_fired()


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"warmup_steps": 10}, 8 + 0.5 * 9),
        ({"decay": "linear", "decay_steps": 4}, 8),
        ({"decay": "cosine", "decay_steps": 4, "final": 0.4}, 8 + 0.5 * 0.4 * 9),
    ],
)
def test_validations_are_of_the_objective_at_the_schedules_end(more, expected):
    goal = objective(MSE | {"weight": 0.5}, schedule=more)
    given = torch.tensor([8.0]), *sides(3.0, 0.0)
    with torch.no_grad():
        found = [goal(*given, step) for step in (0, 2, 99)]
    assert [loss.item() for loss, _ in found] == pytest.approx([expected] * 3)
    said = [stats["loss_kd"].item() for _, stats in found]
    assert said == pytest.approx([expected - 8] * 3)
    trained = [goal(*given, step)[0].item() for step in (0, 2)]
    assert trained[0] != pytest.approx(trained[1])


def test_validations_of_balanced_weights_are_of_the_task_alone():
    goal = objective(MSE | {"weight": 0.5}, gradients={"every": 1, "balance": True})
    goal.meter.ratios = {"hidden_mse": 3.0}
    task = torch.tensor([8.0])
    assert goal(task, *sides(3.0, 0.0), step=0)[0].item() == 8 + 0.5 * 9 / 3
    with torch.no_grad():
        loss, stats = goal(task, *sides(3.0, 0.0), step=0)
    assert loss.item() == stats["loss_task"].item() == 8
    assert stats["loss_kd_hidden_mse"].item() == 9
    assert "loss_kd" not in stats


def test_a_pass_counts_each_confidence_once(monkeypatch):
    asked = []

    def sure(teacher):
        asked.append(teacher)
        return torch.tensor([0.25])

    monkeypatch.setattr("espnet_kd.objective.objective.confidence", sure)
    goal = objective(
        MSE | {"weight": 1.0},
        MSE | {"weight": 1.0, "name": "root", "confidence": 0.5},
        MSE | {"weight": 1.0, "name": "whole", "confidence": 1},
    )
    _, stats = goal(torch.tensor([8.0]), *sides(3.0, 0.0), step=0)
    assert len(asked) == 1
    # 9 times 1, 0.25^0.5 and 0.25
    found = [stats[f"loss_kd_{name}"].item() for name in ("hidden_mse", "root", "whole")]
    assert found == [9.0, 4.5, 2.25]


def test_trained_terms_alone_bring_parameters():
    goal = objective(MSE | {"weight": 0}, MSE | {"weight": 1, "name": "kept"})
    student, _ = sides(1.0, 1.0)
    wide = torch.zeros(1, 1, 4)
    hidden = {"layer": Hidden(wide, torch.tensor([1]))}
    goal.build(student, TeacherTargets(torch.tensor([1]), hidden=hidden))
    assert list(goal.projections()) == ["kept"]
    assert [term.config.name for term in goal.terms] == ["hidden_mse", "kept"]


@pytest.mark.parametrize(
    "term", [{"type": "token_nbest"}, {"type": "token_kl", "prefix": "student"}]
)
def test_an_observed_term_that_runs_the_decoder_draws_none_of_the_students_numbers(
    term, student, teacher, batch
):
    """The student's decoder has dropout, and runs once more along the hypotheses."""
    conf = {"losses": [term | {"weight": 0, "name": "seen"}]}
    states = []
    for attached in (False, True):
        if attached:
            espnet_kd.attach(student, conf, teacher)
        torch.manual_seed(3)
        stats = student.train()(**clone(batch))[1]
        states.append(torch.random.get_rng_state())
    assert stats["loss_kd_seen"].item() > 0
    assert torch.equal(*states)
