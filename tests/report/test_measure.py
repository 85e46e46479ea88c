"""Sizes of models and the gap, by hand."""

import math

import pytest
import torch
from conftest import asr_options, build_asr, write_exp
from torch import nn

from espnet_kd.host.compat import task_class
from espnet_kd.report.measure import gap_recovered, parameters_by_part, parameters_of


def test_gap_by_hand():
    assert gap_recovered(10, 30, 20) == 0.5
    assert gap_recovered(10, 30, 40) == -0.5
    assert math.isnan(gap_recovered(30, 30, 20))


def test_parameters_are_counted_by_part():
    model = build_asr(width=8, blocks=1)
    parts = parameters_by_part(model)
    assert parts["ctc"] == 8 * 11 + 11
    assert sum(parts.values()) == sum(p.numel() for p in model.parameters())


def test_a_shared_parameter_is_counted_once():
    model = nn.ModuleDict({"first": nn.Linear(2, 3), "second": nn.Linear(3, 5)})
    model["second"].bias = nn.Parameter(torch.zeros(5))
    model["third"] = model["second"]
    assert parameters_by_part(model) == {"first": 9, "second": 20}


def test_a_config_alone_tells_the_size(tmp_path):
    model = build_asr(1)
    exp = write_exp(tmp_path / "exp", model, asr_options())
    (exp / "valid.acc.ave.pth").unlink()
    expected = sum(p.numel() for p in model.parameters())
    assert parameters_of(exp / "config.yaml", task_class("asr")) == expected


@pytest.mark.parametrize(("teacher", "control"), [(30, 30), (30, 20)])
def test_without_a_gap_there_is_no_share(teacher, control):
    assert math.isnan(gap_recovered(teacher, control, 10))
