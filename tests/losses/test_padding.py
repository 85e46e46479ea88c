"""Frames that only a batch's padding made, on one side, are compared with nothing."""

from math import exp, log

import pytest
import torch

from espnet_kd.losses import LOSSES
from espnet_kd.model.outputs import Hidden, ModelOutputs, Path, TeacherTargets

WHOLE = {"student": "layer", "teacher": "layer"}
# Of an utterance with two frames; the side whose batch padded it has a third.
SCORES = {"student": [1.0, 2.0, 5.0], "teacher": [3.0, -1.0, 7.0]}


def kl(teacher, student):
    return sum(p * log(p / q) for p, q in zip(teacher, student, strict=True))


def shares(scores):
    total = sum(map(exp, scores))
    return [exp(score) / total for score in scores]


def given(kind, frames, tap, values):
    """Outputs of one utterance, with what a layer says of its first frames."""
    lens = torch.tensor([frames])
    return kind(encoder_out_lens=lens, hidden={tap: Hidden(values, lens)})


def compared(term, tap, make, frames):
    """The term on a student and a teacher that have so many frames each."""
    sides = zip((ModelOutputs, TeacherTargets), SCORES, frames, strict=True)
    return term(*(given(k, n, tap, make(name, n)) for k, name, n in sides)).item()


@pytest.mark.parametrize("frames", [(3, 2), (2, 3), (2, 2)])
def test_attention_is_of_the_real_keys_by_the_real_queries(frames):
    """Every query's scores of the keys are alike; the padded key would win by far."""

    def maps(name, count):
        row = torch.tensor(shares(SCORES[name][:count]))
        return row.expand(1, 1, count, count)

    term = LOSSES.get("attention_kl")(**WHOLE)
    teacher, student = (shares(SCORES[name][:2]) for name in ("teacher", "student"))
    expected = 2 * kl(teacher, student)
    assert compared(term, "layer:attn", maps, frames) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("frames", [(3, 2), (2, 3), (2, 2)])
def test_relations_are_among_the_real_frames(frames):
    def vectors(name, count):
        return torch.tensor(SCORES[name][:count])[None, :, None]  # (1, T, 1)

    term = LOSSES.get("relation_kl")(**WHOLE, heads=1, relations=["q"])
    expected = 0.0
    for query in range(2):
        teacher, student = (
            shares([SCORES[name][query] * key for key in SCORES[name][:2]])
            for name in ("teacher", "student")
        )
        expected += kl(teacher, student)
    found = compared(term, "layer.linear_q", vectors, frames)
    assert found == pytest.approx(expected, rel=1e-5)


def test_a_path_ends_with_the_frames_that_both_have():
    """Four nodes of a path through three frames; the last lies in the padded one."""
    gen = torch.Generator().manual_seed(0)
    student = torch.randn(1, 2, 2, 4, generator=gen)  # two frames, one label
    logits = torch.randn(1, 4, 4, generator=gen)
    at = [(0, 0), (0, 1), (1, 1), (2, 1)]
    frames, labels = (torch.tensor([list(one)]) for one in zip(*at, strict=True))
    path = Path(frames, labels, torch.tensor([4]), logits)
    term = LOSSES.get("transducer_path_kl")()
    found = term(
        ModelOutputs(torch.tensor([2]), joint_logits=student),
        TeacherTargets(torch.tensor([3]), path=path),
    )
    expected = sum(
        kl(shares(logits[0, node].tolist()), shares(student[0, t, u].tolist()))
        for node, (t, u) in enumerate(at[:3])
    )
    assert found.item() == pytest.approx(expected, rel=1e-5)
