"""Models of wild settings: built in their room, or refused by a sentence."""

import pytest
import torch
from conftest import asr_options
from torch import nn

from espnet_kd.errors import ExperimentError
from espnet_kd.host.building import Room, building
from espnet_kd.host.compat import build_model, task_class


def test_what_fits_is_built():
    with building("settings", Room(tensors=4, numbers=13)):
        layer = nn.Linear(3, 3)
    assert layer.weight.shape == (3, 3)


@pytest.mark.parametrize("room", [Room(tensors=2, numbers=99), Room(tensors=9, numbers=20)])
def test_what_grows_too_large_is_stopped_on_the_way(room):
    built, text = [], r"^settings \([23] parameters of \d+ numbers"
    with pytest.raises(ExperimentError, match=text), building("settings", room):
        built += [nn.Linear(3, 3) for _ in range(1000)]
    assert not built


def test_a_stopped_building_leaves_nothing_behind():
    with pytest.raises(ExperimentError), building("settings", Room(0, 0)):
        nn.Linear(3, 3)
    assert nn.Linear(3, 3).bias is not None


def test_room_is_counted_by_what_is_stored():
    weights = {"a": torch.ones(8), "b": torch.ones(1).expand(10**12)}
    assert Room.of(weights) == Room(1008, 1_000_036)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"encoder": "none_such"}, "ValueError"),
        ({"encoder_conf": {"output_size": "x"}}, "Error"),
        ({"encoder_conf": {"output_size": 8, "num_blocks": 10**9}}, "parameters of"),
        ({"token_list": 5}, "Error"),
    ],
)
def test_what_espnet_stumbles_over_is_a_sentence(change, reason):
    text, room = rf"^x\.yaml \(.*{reason}.*config\.yaml of", Room(1000, 1_000_000)
    with pytest.raises(ExperimentError, match=text), building("x.yaml", room):
        build_model(task_class("asr"), asr_options() | change)
