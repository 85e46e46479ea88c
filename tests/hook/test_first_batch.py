"""What the log says of the first batch of a training, and of no other."""

import logging

import pytest
import torch
from conftest import build_asr, clone
from pairs.kinds import encoder

import espnet_kd
from espnet_kd.hook.attach import attachment_of

CTC = {"type": "ctc_frame_kl", "weight": 0.5}
TOKEN = {"type": "token_kl", "weight": 2.0}


def trained(caplog, student, conf, teacher, batch):
    """Attach, make two training passes, and give the log and the first one's stats."""
    espnet_kd.attach(student, conf, teacher)
    caplog.clear()
    with caplog.at_level(logging.INFO, "espnet_kd"):
        _, stats, _ = student.train()(**clone(batch))
        count = len(caplog.records)
        student(**clone(batch))
    assert len(caplog.records) == count, "told once"
    lines = {record.getMessage(): record.levelname for record in caplog.records}
    return lines, stats


def test_frames_and_values_are_told_once(caplog, student, teacher, batch):
    lines, stats = trained(caplog, student, {"losses": [CTC, TOKEN]}, teacher, batch)
    example = clone(batch)
    _, lens = student.encode(example["speech"], example["speech_lengths"])
    frames = int(lens.sum())  # other ones in other releases of ESPnet
    told = f"frame rates: {frames} frames of the student's, {frames} of the teacher's: "
    assert f"  {told}one rate, each frame is compared with its own" in lines
    task, ctc = stats["loss_task"].item(), stats["loss_kd_ctc_frame_kl"].item()
    assert f"  the student's own loss: {task:.4g} times 1 counts {task:.4g}" in lines
    assert f"  ctc_frame_kl: {ctc:.4g} times 0.5 counts {0.5 * ctc:.4g}" in lines
    assert set(lines.values()) == {"INFO"}


def test_an_evaluation_is_no_first_batch(student, teacher, batch):
    espnet_kd.attach(student, {"losses": [CTC]}, teacher)
    with torch.no_grad():
        student.train()(**clone(batch))
    student.eval()(**clone(batch))
    assert attachment_of(student).first_batch is None


def test_a_term_that_is_watched_counts_nothing(caplog, student, teacher, batch):
    watched = CTC | {"weight": 0}
    lines, stats = trained(caplog, student, {"losses": [watched, TOKEN]}, teacher, batch)
    value = stats["loss_kd_ctc_frame_kl"].item()
    assert f"  ctc_frame_kl: {value:.4g} observed" in lines


def test_doubts_are_warnings(caplog, student, teacher, batch):
    loud = TOKEN | {"weight": 1e5}
    lines, _ = trained(caplog, student, {"losses": [CTC, loud]}, teacher, batch)
    warnings = [line for line, level in lines.items() if level == "WARNING"]
    assert len(warnings) == 1
    assert warnings[0].startswith("token_kl counts ")


def test_balanced_weights_are_no_factors(caplog, student, teacher, batch):
    conf = {"losses": [CTC, TOKEN | {"weight": 1e5}], "gradients": {"balance": True}}
    conf["gradients"]["every"] = 1
    lines, _ = trained(caplog, student, conf, teacher, batch)
    assert "WARNING" not in lines.values()
    assert any(line.endswith("pulls 0.5 times as hard as the task") for line in lines)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_student_with_its_teachers_weights_is_noticed(seed, caplog, student, batch):
    conf = {"losses": [TOKEN]}
    lines, _ = trained(caplog, student, conf, build_asr(seed, width=8, blocks=2), batch)
    assert any("one model with the same weights" in line for line in lines) == (seed == 1)


def test_two_rates_are_doubted_where_frames_are_compared(caplog, student, batch):
    faster = encoder("transformer", output_size=12, input_layer="conv2d2")
    for term, doubted in ((CTC, True), (TOKEN, False)):
        fast = build_asr(2, **faster)
        lines, _ = trained(caplog, student, {"losses": [term]}, fast, batch)
        assert any(
            "frames of the student's stands for" in line
            or "a frame of the student's stands for" in line
            for line in lines
        )
        told = [line for line in lines if "frames to one of the student's" in line]
        assert bool(told) == doubted
        espnet_kd.detach(student)
