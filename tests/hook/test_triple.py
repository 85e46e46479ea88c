"""The loss, stats and weight of a training pass, in either form."""

import torch

from espnet_kd.hook.triple import Triple

LOSS = torch.tensor([2.0])


def test_what_is_no_training_output_is_none():
    for output in (LOSS, (LOSS, {}), (LOSS, LOSS, LOSS), {"loss": LOSS, "stats": {}}):
        assert Triple.of(output) is None


def test_a_tuple_stays_a_tuple_and_two_views_count_once():
    triple = Triple.of((LOSS, {"loss": LOSS, "acc": 1}, torch.tensor(6)))
    loss, stats, weight = triple.joined_by(LOSS + 1, {"loss_kd": LOSS}, True)
    assert loss.item() == stats["loss"].item() == 3.0
    assert stats["acc"] == 1
    assert weight.item() == 3


def test_a_dictionary_keeps_what_else_it_holds():
    output = {"loss": LOSS, "stats": {"acc": 1}, "weight": 4, "optim_idx": 0}
    joined = Triple.of(output).joined_by(LOSS, {"loss_kd": LOSS}, False)
    assert joined["optim_idx"] == 0
    assert joined["weight"] == 4
    assert set(joined["stats"]) == {"acc", "loss_kd"}, "no total where there was none"
