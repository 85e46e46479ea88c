"""Pruning while training: the schedule, what goes, and that it stays gone."""

import pytest
import torch
from conftest import build_asr, clone
from torch import nn

from espnet_kd import attach, attachment_of, detach
from espnet_kd.config.schema import PruneConfig
from espnet_kd.errors import KDError
from espnet_kd.student.masks import Masks, least_zeroed

CTC = [{"type": "ctc_frame_kl", "weight": 1.0}]


def layer(weights):
    model = nn.Linear(len(weights[0]), len(weights), bias=False)
    model.weight = nn.Parameter(torch.tensor(weights))
    return nn.Sequential(model)


def zeros(model):
    return (model[0].weight == 0).tolist()


def test_the_schedule_by_hand():
    masks = Masks(layer([[1.0]]), PruneConfig(sparsity=0.5, start=100, end=300))
    assert [masks.part_at(t) for t in (0, 100, 200, 300, 999)] == [0, 0, 0.875, 1, 1]


def test_the_least_go_and_no_more():
    scores = {"a": torch.tensor([[4.0, 1.0], [3.0, 8.0]]), "b": torch.tensor([2.0, 9.0])}
    kept = least_zeroed(scores, 0.5)
    assert kept["a"].tolist() == [[True, False], [False, True]]
    assert kept["b"].tolist() == [False, True]
    kept = least_zeroed(scores, 0.5, "layer")
    assert kept["a"].tolist() == [[True, False], [False, True]]
    assert all(mask.all() for mask in least_zeroed(scores, 0.0).values())


def test_it_is_chosen_when_due_and_grows():
    model = layer([[0.1, -0.2, 0.3, -0.4]])
    masks = Masks(model, PruneConfig(sparsity=0.75, start=2, end=10, every=4))
    gone = []
    for update in range(12):
        masks.step(update)
        gone.append(sum(zeros(model)[0]))
    # Chosen 4 after the start (7/8 of three quarters of 4: 2.6) and at the end (3).
    assert gone == [0] * 6 + [3] * 6
    assert masks.sparsity == 0.75


def test_what_is_gone_stays_gone_through_momentum_and_saving():
    torch.manual_seed(0)
    model = layer([[1.0, 0.01, 2.0, 0.02]])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    masks = Masks(model, PruneConfig(sparsity=0.5, start=0, end=3, every=1))
    for update in range(8):
        masks.step(update)
        optimizer.zero_grad()
        model(torch.randn(5, 4)).square().sum().backward()
        if update > 3:
            assert model[0].weight.grad[0, [1, 3]].tolist() == [0, 0]
        optimizer.step()
    assert model.state_dict()["0.weight"][0].ne(0).tolist() == [True, False, True, False]


def test_a_threshold_rises_to_its_value():
    model = layer([[0.1, -0.2, 0.3, -0.4]])
    masks = Masks(model, PruneConfig(threshold=0.3, start=0, end=2, every=1))
    masks.step(1)  # 7/8 of 0.3
    assert zeros(model) == [[True, True, False, False]]
    masks.step(2)
    assert zeros(model) == [[True, True, False, False]]
    assert masks.sparsity == 0.5


def test_taylor_takes_what_the_loss_does_not_feel():
    model = layer([[3.0, 0.1]])
    masks = Masks(model, PruneConfig(sparsity=0.5, importance="taylor", end=1, every=1))
    masks.step(1)
    assert zeros(model) == [[False, False]]  # nothing was heard yet
    # (w dL/dw)^2 of L = sum of outputs: (3 x 0.01)^2 and (0.1 x 5)^2
    model(torch.tensor([[0.01, 5.0]])).sum().backward()
    masks.step(2)
    assert zeros(model) == [[True, False]]


def test_holes_that_were_there_are_kept():
    model = layer([[0.0, 1.0, 2.0, 3.0]])
    masks = Masks(model, PruneConfig(sparsity=0.25, start=50, end=60))
    masks.step(0)
    with torch.no_grad():
        model[0].weight += 1.0
    masks.step(1)
    assert model[0].weight.tolist() == [[0.0, 2.0, 3.0, 4.0]]


def test_what_is_frozen_stays_whole():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[0].requires_grad_(False)
    masks = Masks(model, PruneConfig(sparsity=0.5, end=1, every=1))
    masks.step(1)
    assert model[0].weight.all()
    assert (model[1].weight == 0).sum() == 8


def test_units_go_whole_and_alike_in_every_layer():
    model = build_asr(1, encoder="conformer", width=8, blocks=2)
    masks = Masks(model, PruneConfig(structure="units", sparsity=0.25, end=1, every=1))
    # Of 16 hidden units four go: make them the third to sixth of one layer.
    ff = model.encoder.encoders[1].feed_forward
    with torch.no_grad():
        for values in (ff.w_1.weight[2:6], ff.w_1.bias[2:6], ff.w_2.weight[:, 2:6]):
            values.mul_(1e-3)
    masks.step(1)
    assert not ff.w_1.weight[2:6].any()
    assert not ff.w_1.bias[2:6].any()
    assert not ff.w_2.weight[:, 2:6].any()
    assert ff.w_2.bias.any()
    for name, value in model.named_parameters():
        if name.endswith("w_1.weight"):
            assert (~value.any(1)).sum() == 4, name
        if "feed_forward" not in name and "weight" in name and "pos" not in name:
            assert value.any(), name


def test_distillation_prunes_its_student_and_says_so(batch, teacher):
    student = build_asr(1)
    prune = {"sparsity": 0.6, "end": 4, "every": 1}
    attach(student, {"losses": CTC, "prune": prune}, teacher)
    optimizer = torch.optim.Adam(student.parameters(), lr=0.01)
    said = []
    for _ in range(6):
        loss, stats, _ = student(**clone(batch))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        said.append(float(stats["kd_sparsity"]))
    assert said == sorted(said)
    assert said[-1] == pytest.approx(0.6, abs=1e-3)
    saved = student.state_dict()
    layers = [n for n, m in student.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    empty = sum(int((saved[f"{n}.weight"] == 0).sum()) for n in layers)
    whole = sum(saved[f"{n}.weight"].numel() for n in layers)
    assert empty / whole == pytest.approx(0.6, abs=1e-3)
    student.eval()
    with torch.no_grad():
        student(**clone(batch))
    masks = attachment_of(student).part("pruned")
    detach(student)
    with torch.no_grad():
        student.ctc.ctc_lo.weight += 1.0
    assert student.state_dict()["ctc.ctc_lo.weight"].all()
    assert masks.sparsity == pytest.approx(0.6, abs=1e-3)


@pytest.mark.parametrize(
    ("prune", "said"),
    [
        ({"end": 5}, "needs 'sparsity' or 'threshold'"),
        ({"sparsity": 0.5, "threshold": 0.1, "end": 5}, "needs 'sparsity' or"),
        ({"sparsity": 1.0, "end": 5}, r"prune\.sparsity: leaves nothing"),
        ({"sparsity": 0.5}, r"prune\.end: must come after 'start'"),
        ({"sparsity": 0.5, "end": 5, "every": 0}, r"prune\.every: .*at least 1"),
        ({"sparsity": 0.5, "end": 5, "structure": "unit"}, r"'unit'.*units"),
        ({"threshold": 0.5, "end": 5, "structure": "units"}, "give a sparsity instead"),
        (
            {"sparsity": 0.5, "end": 5, "structure": "units", "scope": "layer"},
            r"prune\.scope: is of single weights.*Remove it",
        ),
        ({"sparsty": 0.5, "end": 5}, r"sparsty.*sparsity"),
        (0.5, "must be a mapping with structure, sparsity"),
    ],
)
def test_what_cannot_be_meant_is_refused(student, teacher, prune, said):
    with pytest.raises(KDError, match=said):
        attach(student, {"losses": CTC, "prune": prune}, teacher)


def test_a_model_without_such_units_is_refused():
    with pytest.raises(KDError, match="no units that can be pruned"):
        Masks(layer([[1.0]]), PruneConfig(structure="units", sparsity=0.5))
