"""Learned maps: in the student while it trains, in no file of it."""

import pytest
import torch
from torch import nn

from espnet_kd.errors import KDError
from espnet_kd.hook.projections import PROJECTIONS, Projections, projections_of


def learned(*names):
    return nn.ModuleDict({name: nn.Linear(2, 3) for name in names})


def test_they_come_and_go_with_their_part():
    model = nn.Linear(2, 2)
    part = Projections(model, learned("a"))
    assert projections_of(model) is part.learned
    assert f"{PROJECTIONS}.a.weight" in dict(model.named_parameters())
    part.remove()
    assert projections_of(model) is None


def test_no_module_of_a_loss_is_saved_or_missed_whatever_it_is():
    model = nn.Linear(2, 2)
    keys = list(model.state_dict())
    Projections(model, nn.ModuleDict({"mine": nn.Sequential(nn.Linear(2, 3))}))
    assert list(model.state_dict()) == keys
    assert model.load_state_dict(nn.Linear(2, 2).state_dict(), strict=True)
    assert len(list(model.parameters())) == 4


def test_a_resumed_run_has_the_same_values():
    one, other = (Projections(nn.Linear(2, 2), learned("a")) for _ in range(2))
    state = one.state_dict()
    other.load_state_dict(state)
    for name, value in other.learned.named_parameters():
        assert torch.equal(value, state[name])
        assert value.requires_grad


def test_those_of_other_terms_are_refused():
    state = Projections(nn.Linear(2, 2), learned("a")).state_dict()
    other = Projections(nn.Linear(2, 2), learned("b"))
    with pytest.raises(KDError, match=r"has projections a.weight.*this run b.weight.*new"):
        other.load_state_dict(state)
