"""Taps record what they say, and leave nothing behind."""

import pytest
import torch
from torch import nn

from espnet_kd.errors import KDError
from espnet_kd.model.taps import (
    Tap,
    Taps,
    check_rule_alone,
    check_unowned,
    find_module,
    first_tensor,
    parse_tap,
    select,
    split_owner,
)


class Net(nn.Module):
    """Two layers, one of them used twice; the front end's output is overwritten."""

    def __init__(self):
        super().__init__()
        self.frontend = nn.Identity()
        self.layers = nn.ModuleList([nn.Linear(2, 2) for _ in range(3)])

    def forward(self, x):
        x = self.frontend(x * 1)
        x += 100
        x = self.layers[0](x)
        return self.layers[1](self.layers[1](x))


def record(*paths):
    net, taps = Net(), Taps(paths)
    taps.start(net)
    net(torch.zeros(1, 2))
    return net, taps.stop()


def test_parse():
    assert parse_tap("encoder.encoders.5") == Tap("encoder.encoders.5")
    assert parse_tap("decoder:0.1@-1") == Tap("decoder", (0, 1), -1)
    assert str(parse_tap("decoder:0.1@-1")) == "decoder:0.1@-1"


def test_a_teachers_name_in_front_is_told_from_a_selector_behind():
    assert parse_tap("big:decoder:0@-1") == Tap("decoder", (0,), -1, owner="big")
    assert str(parse_tap("big:decoder:0@-1")) == "big:decoder:0@-1"
    assert parse_tap("decoder:attn@0") == Tap("decoder", None, 0, attn=True)
    assert parse_tap("big:a.self_attn:attn").owner == "big"
    assert split_owner("big:a.self_attn:attn") == ("big", "a.self_attn:attn")
    assert split_owner("attn.layer") == ("", "attn.layer")


def test_a_name_is_refused_where_there_is_nobody_to_choose_from():
    check_unowned(["encoder", "decoder:0", "decoder:attn"])
    with pytest.raises(
        KDError, match="'x:encoder' is of a teacher named 'x', and there are"
    ):
        check_unowned(["encoder", "x:encoder"])
    with pytest.raises(KDError, match="'x:uniform' is of a teacher named 'x'"):
        check_rule_alone("x")


@pytest.mark.parametrize("text", ["", "a b", "encoder:", "encoder@x", "a:1@"])
def test_malformed_taps_are_refused(text):
    with pytest.raises(KDError, match="is not a tap; write PATH"):
        parse_tap(text)


def test_records_each_call_and_removes_its_hooks():
    net, calls = record("layers.0", "layers.1")
    assert [len(calls[p]) for p in ("layers.0", "layers.1")] == [1, 2]
    assert not any(m._forward_hooks for m in net.modules())


def test_outputs_that_are_overwritten_are_copied():
    _, calls = record("frontend")
    assert calls["frontend"][0].output.tolist() == [[0.0, 0.0]]


def test_start_drops_what_an_interrupted_pass_left():
    net, taps = Net(), Taps(["layers.0"])
    taps.start(net)
    net(torch.zeros(1, 2))
    taps.start(net)
    net(torch.zeros(1, 2))
    assert len(taps.stop()["layers.0"]) == 1


def test_a_replaced_module_is_found_again():
    net, taps = Net(), Taps(["layers.0"])
    net.layers[0] = nn.Linear(2, 2)  # as adapters do after the model was built
    taps.start(net)
    net(torch.zeros(1, 2))
    assert len(taps.stop()["layers.0"]) == 1


def test_two_calls_need_a_choice():
    _, calls = record("layers.1")
    with pytest.raises(KDError, match=r"ran 2 times.*layers.1@0 or layers.1@-1"):
        select(parse_tap("layers.1"), calls["layers.1"])
    last = select(parse_tap("layers.1@-1"), calls["layers.1"])
    assert last is calls["layers.1"][1].output


def test_a_dropped_layer_gives_none():
    _, calls = record("layers.2")
    assert select(parse_tap("layers.2"), calls["layers.2"]) is None


def test_selector_beyond_the_output_is_named():
    _, calls = record("layers.0")
    with pytest.raises(KDError, match=r"'layers.0:7.1' points at nothing"):
        select(parse_tap("layers.0:7.1"), calls["layers.0"])


def test_missing_modules_name_what_is_there():
    net = nn.Module()
    net.encoders = nn.ModuleList([nn.Identity() for _ in range(12)])
    with pytest.raises(KDError, match=r"'encoders.12'; it has encoders.0 to encoders.11"):
        find_module(net, "encoders.12")
    with pytest.raises(KDError, match="no module 'decoder'; it has encoders"):
        find_module(net, "decoder")


def test_first_tensor_goes_depth_first():
    tensor = torch.ones(1)
    assert first_tensor(((tensor, None), torch.zeros(1))) is tensor
    assert first_tensor({"a": None, "b": [tensor]}) is tensor
    assert first_tensor((None, "text")) is None
