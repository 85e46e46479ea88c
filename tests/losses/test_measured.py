"""Losses that are one function: options written once, a schema, one call."""

import copy
import inspect
import pickle
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import Literal

import pytest
import torch
from conftest import REPO

from espnet_kd.config.options import Count, Positive
from espnet_kd.errors import ArgumentsError, KDError
from espnet_kd.losses import LOSSES, Needs
from espnet_kd.losses.measured import MeasuredLoss
from espnet_kd.losses.token import TokenKL
from espnet_kd.model.outputs import ModelOutputs, TeacherTargets, given


def gap(
    student,
    teacher,
    *,
    power: Positive = 2.0,
    side: Literal["both", "above"] = "both",
    blank_id: int = 0,
    weights=None,
):
    """A power of the difference of two numbers."""
    apart = (student - teacher).clamp(min=0) if side == "above" else student - teacher
    return apart.abs() ** power


@dataclass(frozen=True, kw_only=True)
class Where:
    """What is compared."""

    row: Count


class Gap(MeasuredLoss, measure=gap, own=Where):
    """A loss of one number."""

    own: Where

    def check_together(self, check):
        if self.options["power"] == 1 and self.options["side"] == "above":
            check.add("power", "1 has no slope at 0")

    def forward(self, student, teacher):
        row = self.own.row
        return self.bound(gap)(student.ctc_logits[row], teacher.ctc_logits[row])


def test_the_schema_is_made_of_both():
    parameters = inspect.signature(Gap).parameters
    assert {name: p.default for name, p in parameters.items()} == {
        "row": inspect.Parameter.empty,
        "power": 2.0,
        "side": "both",
    }
    assert all(p.kind is p.KEYWORD_ONLY for p in parameters.values())


def test_the_function_is_called_with_the_options():
    sides = [ModelOutputs, TeacherTargets]
    values = [torch.tensor([1.0, 5.0]), torch.tensor([1.0, 2.0])]
    pair = [
        kind(encoder_out_lens=None, ctc_logits=v)
        for kind, v in zip(sides, values, strict=True)
    ]
    assert Gap(row=1)(*pair).item() == 9.0
    assert Gap(row=1, power=3)(*pair).item() == 27.0
    assert Gap(row=1, side="above")(*reversed(pair)).item() == 0.0


def test_all_that_is_wrong_is_raised_together():
    with pytest.raises(ArgumentsError) as error:
        Gap(row=-1, power=0, side="left")
    assert [problem.path for problem in error.value.problems] == ["row", "power", "side"]


def test_what_does_not_go_together_is_raised_when_each_is_right():
    with pytest.raises(ArgumentsError, match="power: 1 has no slope at 0"):
        Gap(row=0, power=1, side="above")


@pytest.mark.parametrize("options", [{}, {"row": 0, "colour": 1}, {"row": 0, "weights": 1}])
def test_missing_and_unknown_options_are_pythons_own_errors(options):
    with pytest.raises(TypeError):
        Gap(**options)


def test_options_of_its_own_are_frozen():
    with pytest.raises(AttributeError):
        Gap(row=0).own.row = 1


def test_a_subclass_inherits_the_measure_and_may_hand_options_on():
    class More(Gap):
        def __init__(self, **options):
            super().__init__(**options)
            self.more = 1

    assert inspect.signature(More) == inspect.signature(Gap)
    assert More(row=3).own.row == 3


def test_a_subclass_with_a_constructor_of_its_own_has_its_schema():
    class Fixed(Gap):
        def __init__(self, *, strength=1.0):
            super().__init__(row=0, power=strength)

    assert list(inspect.signature(Fixed).parameters) == ["strength"]
    assert Fixed(strength=3.0).options["power"] == 3.0


def test_copies_and_pickles_are_the_same_loss():
    loss = TokenKL(temperature=2.0)
    for found in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        assert found.options == {"temperature": 2.0, "reduction": "batch"}


def test_a_part_that_nobody_asked_for_is_named():
    assert given(0, "ctc_logits") == 0
    with pytest.raises(KDError, match=r"'ctc_logits' is read, and this pass gave none"):
        given(None, "ctc_logits")
    sides = [kind(encoder_out_lens=torch.tensor([1])) for kind in (ModelOutputs,) * 2]
    with pytest.raises(KDError, match="'decoder_logits' is read"):
        TokenKL()(*sides)


@pytest.mark.parametrize("name", LOSSES.names())
def test_every_loss_has_its_function_beside_it(name):
    loss = LOSSES.get(name)
    assert loss.function.__name__ == name
    assert loss.function.__module__ == loss.__module__


def test_needs_are_the_familys():
    assert isinstance(TokenKL().needs(), Needs)


MINE = '''
"""A loss that lies in one file."""

from torch import Tensor

from espnet_kd.config.options import Positive
from espnet_kd.losses.base import LOSSES
from espnet_kd.losses.token import TokenLoss


def token_mine(
    student: Tensor, teacher: Tensor, lengths: Tensor, *, top: Positive = 1.0, weights=None
) -> Tensor:
    return ((student - teacher) * top).sum()


@LOSSES.register("token_mine")
class TokenMine(TokenLoss, measure=token_mine):
    """``token_mine`` as a term."""
'''
ASK = (
    "from espnet_kd.config.parse import parse_config; from espnet_kd.losses import LOSSES; "
    "term = dict(type='token_mine', weight=1, top=-1); "
    "parse_config(dict(teachers=[dict(exp='a')], losses=[term]), LOSSES)"
)


def test_adding_a_loss_takes_one_file(tmp_path):
    package = tmp_path / "espnet_kd"
    shutil.copytree(REPO / "espnet_kd", package)
    (package / "losses" / "token_mine.py").write_text(MINE)
    command = [sys.executable, "-c", ASK]
    answer = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert answer.stderr.splitlines()[-2:] == [
        "espnet_kd.errors.ConfigError: 1 problem in kd_conf",
        "  losses[0].top: must be a positive number, got -1",
    ]
