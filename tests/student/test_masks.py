"""Pruning while training: the schedule, what goes, and that it stays gone."""

import pytest
import torch
from conftest import build_asr, clone
from torch import nn

from espnet_kd import attach, attachment_of, detach
from espnet_kd.config.schema import PruneConfig
from espnet_kd.errors import KDError
from espnet_kd.student.holes import least_zeroed
from espnet_kd.student.masks import Masks

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


def test_of_equals_as_many_go_as_are_asked_for():
    scores = {"a": torch.tensor([0.0, 0.0, 1.0, 0.0])}
    assert least_zeroed(scores, 0.5)["a"].tolist() == [False, False, True, True]
    sizes = {"a": torch.tensor([3.0, 1.0, 0.0, 2.0])}
    kept = least_zeroed(scores, 0.5, sizes=sizes)
    assert kept["a"].tolist() == [True, False, True, False]


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
    masks = Masks(model, PruneConfig(sparsity=0.5, importance="taylor", end=1, every=2))
    masks.step(1)
    assert zeros(model) == [[False, False]]  # nothing was heard yet
    # (w dL/dw)^2 of L = sum of outputs: (3 x 0.01)^2 and (0.1 x 5)^2
    update(model, [0.01, 5.0])
    masks.step(2)
    assert zeros(model) == [[True, False]]


def update(model, *inputs, scale=1.0):
    """An update by ``scale * input`` that moves nothing, skipped when ESPnet skips it."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    for values in inputs:
        (scale * model(torch.tensor([values])).sum()).backward()
    if torch.nn.utils.clip_grad_norm_(model.parameters(), 1e9).isfinite():
        optimizer.step()
    optimizer.zero_grad()


def test_an_update_that_was_skipped_says_nothing():
    model = layer([[1.0, 2.0, 3.0, 4.0]])
    masks = Masks(model, PruneConfig(sparsity=0.5, importance="taylor", end=2, every=1))
    masks.step(0)
    update(model, [4.0, 3.0, 0.1, 0.2])  # products 4, 6, 0.3, 0.8
    update(model, [1.0, 1.0, 1.0, 1.0], scale=float("inf"))
    update(model, [1.0, 1.0, 1.0, 1.0], scale=float("nan"))
    masks.step(2)
    assert zeros(model) == [[False, False, True, True]]


@pytest.mark.parametrize("fused", [False, True])
def test_an_overflow_of_a_gradient_scaler_says_nothing(fused):
    model = layer([[1.0, 2.0, 3.0, 4.0]])
    masks = Masks(model, PruneConfig(sparsity=0.5, importance="taylor", end=2, every=1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.0, fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=1e30)
    masks.step(0)
    for values in ([1e10, 1.0, 1.0, 1.0], [4e-10, 3e-10, 1e-11, 2e-11]):
        optimizer.zero_grad()
        scaler.scale(model(torch.tensor([values])).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
    masks.step(2)
    assert zeros(model) == [[False, False, True, True]]


def test_the_score_is_of_the_whole_gradient_of_an_update():
    model = layer([[1.0, 1.0]])
    masks = Masks(model, PruneConfig(sparsity=0.5, importance="taylor", end=1, every=1))
    masks.step(0)
    # (2 - 2)^2 and (1 + 0)^2; of the squares of both batches, 8 and 1
    update(model, [2.0, 1.0], [-2.0, 0.0])
    masks.step(1)
    assert zeros(model) == [[True, False]]


def test_an_optimizer_that_is_given_a_closure_is_heard():
    model = layer([[3.0, 0.1]])
    masks = Masks(model, PruneConfig(sparsity=0.5, importance="taylor", end=1, every=1))
    masks.step(0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)

    def closure():
        optimizer.zero_grad()
        loss = model(torch.tensor([[0.01, 5.0]])).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == pytest.approx(0.53)
    optimizer.step(closure=closure)
    masks.step(1)
    assert zeros(model) == [[True, False]]


def test_a_training_without_an_optimizer_is_told_so():
    model = layer([[3.0, 0.1]])
    masks = Masks(model, PruneConfig(sparsity=0.5, importance="taylor", end=2, every=3))
    for number in range(5):
        masks.step(number)
    with pytest.raises(KDError, match=r"prune: .*torch\.optim.*'importance: magnitude'"):
        masks.step(5)


def test_what_the_loss_does_not_feel_goes_first_and_no_further_than_asked():
    model = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    config = PruneConfig(sparsity=0.25, importance="taylor", end=1, every=1)
    masks = Masks(model, config)
    masks.step(0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    model[0](torch.ones(1, 4)).sum().backward()  # the second layer gets no gradient
    optimizer.step()
    least = model[1].weight.detach().abs().flatten().argsort()[:8]
    masks.step(1)
    assert masks.sparsity == 0.25
    assert model[0].weight.all()
    assert sorted((model[1].weight == 0).flatten().nonzero().flatten().tolist()) == sorted(
        least.tolist()
    )


def test_holes_that_were_there_are_kept():
    model = layer([[0.0, 1.0, 2.0, 3.0]])
    masks = Masks(model, PruneConfig(sparsity=0.25, start=50, end=60))
    masks.step(0)
    with torch.no_grad():
        model[0].weight += 1.0
    masks.step(1)
    assert model[0].weight.tolist() == [[0.0, 2.0, 3.0, 4.0]]


@pytest.mark.parametrize("importance", ["magnitude", "taylor"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_what_is_frozen_when_training_starts_stays_whole(importance, when):
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[0].requires_grad_(when == "after")
    masks = Masks(model, PruneConfig(sparsity=0.5, importance=importance, end=1, every=1))
    model[0].requires_grad_(False)  # as ESPnet does, after it has built the model
    masks.step(0)
    update(model, [1.0, 2.0, 3.0, 4.0])
    masks.step(1)
    assert model[0].weight.all()
    assert (model[1].weight == 0).sum() == 8


def test_a_training_in_which_all_is_frozen_is_told_so():
    model = layer([[3.0, 0.1]])
    masks = Masks(model, PruneConfig(sparsity=0.5))
    model.requires_grad_(False)
    with pytest.raises(KDError, match="prune: every weight that could go is frozen"):
        masks.step(0)


def test_biases_that_begin_at_zero_are_no_holes():
    model = build_asr(1, init="xavier_uniform")
    bias = model.encoder.encoders[0].feed_forward.w_1.bias
    assert not bias.any()
    masks = Masks(model, PruneConfig(structure="units", sparsity=0.25, start=9, end=99))
    masks.step(0)
    with torch.no_grad():
        bias += 1.0
    masks.step(1)
    assert bias.all()
    assert masks.sparsity == 0


def test_a_matrix_that_begins_at_zero_is_no_hole():
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    nn.init.zeros_(model[1].weight)
    masks = Masks(model, PruneConfig(sparsity=0.25, start=50, end=60))
    masks.step(0)
    assert masks.sparsity == 0


def test_a_model_that_was_pruned_by_units_keeps_its_holes():
    prune = PruneConfig(structure="units", sparsity=0.25, end=1, every=1)
    model = build_asr(1)
    Masks(model, prune).step(1)
    holes = {name: value == 0 for name, value in model.named_parameters()}
    first = "encoder.encoders.0.feed_forward.w_1"
    assert holes[f"{first}.bias"].sum() == 4
    masks = Masks(model, PruneConfig(structure="units", sparsity=0.25, start=9, end=99))
    masks.step(0)
    with torch.no_grad():
        for value in model.parameters():
            value += 1.0
    masks.apply()
    for name in (f"{first}.weight", f"{first}.bias"):
        assert torch.equal(model.get_parameter(name) == 0, holes[name]), name
    assert masks.sparsity == pytest.approx(0.25)


def test_a_resumed_run_has_the_masks_of_the_interrupted_one():
    config = PruneConfig(sparsity=0.5, importance="taylor", start=0, end=4, every=2)
    model, again = layer([[1.0, 2.0, 3.0, 4.0]]), layer([[0.0, 2.0, 3.0, 4.0]])
    masks, resumed = Masks(model, config), Masks(again, config)
    masks.step(0)
    update(model, [4.0, 3.0, 0.1, 0.2])
    masks.step(2)  # 7/8 of two
    update(model, [4.0, 1.0, 3.0, 3.0])
    state = masks.state_dict()
    assert state["chosen_at"] == 2
    resumed.load_state_dict(state)
    for one in (masks, resumed):
        one.step(4)
    again[0].weight.data += 1.0  # where it had come to 0 by itself as well
    resumed.apply()
    assert zeros(again) == zeros(model) == [[False, False, True, True]]


def test_a_resume_point_of_another_version_is_refused():
    masks = Masks(layer([[1.0, 2.0]]), PruneConfig(sparsity=0.5, end=4, every=2))
    with pytest.raises(KDError, match=r"written by another version.*new --output_dir"):
        masks.load_state_dict({"0.weight": torch.ones(2)})


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
