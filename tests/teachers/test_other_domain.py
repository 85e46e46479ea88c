"""A teacher whose labels do not fit the student's data teaches through its layers."""

import pytest
import torch
import yaml
from conftest import REPO, build_asr, clone

import espnet_kd
from espnet_kd.errors import AlignmentError

FOREIGN = ["<blank>", "<unk>", *"абвгдежзиклмн", "<sos/eos>"]


@pytest.fixture
def foreign():
    """Six layers, twice the student's, wider, over another alphabet."""
    return build_asr(seed=2, width=12, blocks=6, tokens=FOREIGN)


def test_the_shipped_config_teaches_from_another_alphabet(foreign, batch):
    conf = yaml.safe_load((REPO / "conf" / "kd" / "other_domain.yaml").read_text())
    del conf["teachers"], conf["schedule"]  # at once, not over thousands of updates
    student = build_asr(seed=1, width=8, blocks=3)
    keys = set(student.state_dict())
    example = {key: batch[key] for key in ("speech", "speech_lengths")}
    espnet_kd.attach(student.train(), conf | {"task_weight": 0.0}, foreign, example=example)
    optimizer = torch.optim.Adam(student.parameters(), 0.005)
    values = []
    for _ in range(60):
        optimizer.zero_grad()
        loss, stats, _ = student(**clone(batch))
        loss.sum().backward()
        optimizer.step()
        values.append([stats[f"loss_kd_{term['type']}"].item() for term in conf["losses"]])
    first, last = (torch.tensor(part).mean(0) for part in (values[:3], values[-3:]))
    assert (last < 0.8 * first).all(), (first, last)
    assert set(student.state_dict()) == keys


def test_posteriors_are_refused_with_the_ways_out(student, foreign):
    losses = [{"type": "ctc_frame_kl", "weight": 1.0}]
    with pytest.raises(AlignmentError, match=r"2: student 'a', teacher .*hidden_\*"):
        espnet_kd.attach(student, {"losses": losses}, foreign)
