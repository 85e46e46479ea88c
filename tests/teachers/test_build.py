"""Which teachers a configuration brings, and how much each of them counts."""

import json
from pathlib import Path

import pytest
from conftest import asr_options, build_asr, write_exp

from espnet_kd.config.parse import parse_config
from espnet_kd.errors import TeacherError
from espnet_kd.losses import LOSSES
from espnet_kd.teachers.build import build_teacher

LOSS = [{"type": "token_kl", "weight": 1.0}]


@pytest.fixture
def exp(tmp_path):
    """Makes a teacher's directory, with its error rate if it was measured."""

    def make(name, wer=None):
        settings = {"width": 8, "blocks": 1}
        folder = write_exp(tmp_path / name, build_asr(**settings), asr_options(**settings))
        if wer is not None:
            (folder / "gate.json").write_text(json.dumps({"wer": wer}))
        return str(folder)

    return make


def bring(teachers, student):
    return build_teacher(
        parse_config({"losses": LOSS, "teachers": teachers}, LOSSES), student
    )


def test_weights_by_error_rate_are_reciprocal(exp, student):
    """10 % and 30 %: 3 to 1. A perfect one counts as one of 0.1 %."""
    good, bad, best = exp("good", 10.0), exp("bad", 30.0), exp("best", 0.0)
    pair = bring([{"exp": e, "weight": "wer"} for e in (good, bad)], student)
    assert pair.weights.tolist() == pytest.approx([0.75, 0.25])
    pair = bring([{"exp": e, "weight": "wer"} for e in (best, good)], student)
    assert pair.weights.tolist() == pytest.approx([100 / 101, 1 / 101])


@pytest.mark.parametrize("content", [None, "{", "{}", "[]", '{"wer": "x"}'])
def test_an_error_rate_that_was_not_measured_is_asked_for(exp, student, content):
    folder = exp("t")
    if content is not None:
        (Path(folder) / "gate.json").write_text(content)
    with pytest.raises(TeacherError, match=r"check_teacher --exp .* --output .*gate.json"):
        bring([{"exp": folder, "weight": "wer"}, {"exp": folder}], student)
