"""When tokens were spoken, from posteriors that are written by hand."""

import pytest
import torch
from conftest import TOKENS, asr_options, build_asr, write_exp
from streams import block_model, block_options
from training import INPUT_SIZE

from espnet_kd.errors import KDError
from espnet_kd.host.compat import task_class
from espnet_kd.model.context import full_context
from espnet_kd.model.outputs import TeacherTargets
from espnet_kd.streaming.reference import Reference, open_reference


class Scripted:
    """A teacher that says the same of every utterance: a frame for four of the input."""

    def __init__(self, frames, labels):
        self.spikes = dict(zip(frames, labels, strict=True))

    def __call__(self, question):
        count = question.batch["speech"].shape[1] // 4
        logits = torch.zeros(1, count, 5)
        for frame in range(count):
            logits[0, frame, self.spikes.get(frame, 0)] = 9.0
        return TeacherTargets(torch.tensor([count]), ctc_logits=logits)


@pytest.mark.parametrize(
    ("rate", "hop", "frame_ms"), [(100.0, 1, 40.0), (16000.0, 160, 0.25)]
)
def test_times_by_hand(rate, hop, frame_ms):
    """Frame n ends at (n + 1) frames; one is four values of the input."""
    reference = Reference(Scripted([2, 3, 6], [1, 1, 4]), rate, hop)
    spoken = reference("u", torch.zeros(1, 40, 3), [1, 4])
    # 1 stands at frames 2 and 3, and begins at the end of frame 2; 4 at frame 6.
    assert spoken.begun_ms == [3 * frame_ms, 7 * frame_ms]
    assert spoken.end_ms == 7 * frame_ms
    assert spoken.labels == [1, 4]


def test_a_transcript_without_alignment_has_no_times():
    reference = Reference(Scripted([], []), 100.0, 1)
    assert reference("u", torch.zeros(1, 8, 3), [1, 2, 3]) is None
    assert reference("u", torch.zeros(1, 8, 3), []) is None


def test_without_a_teacher_the_model_itself_hears_all():
    """Its posteriors are then those of one block that holds the utterance."""
    model = block_model(block_options(shape=(8, 4, 2)))
    whole = block_model(block_options(shape=(400, 4, 2)))
    speech = torch.randn(1, 200, INPUT_SIZE, generator=torch.Generator().manual_seed(0))
    task = task_class("asr")
    labels = [3, 4, 5]
    found = open_reference(None, model, "m", task, 100.0, 1)("u", speech, labels)
    expected = Reference(open_reference(None, whole, "w", task, 100.0, 1).teacher, 100.0, 1)
    assert found == expected("u", speech, labels)
    assert model.encoder.block_size == 8


def test_blocks_are_back_after_a_failure():
    model = block_model(block_options())
    with pytest.raises(ValueError, match="any"), full_context(model.encoder):
        raise ValueError("any")
    assert model.encoder.block_size == 16


def test_a_teacher_may_have_its_tokens_in_another_order(tmp_path):
    """Its posteriors are read in the student's order."""
    model = block_model(block_options())
    changed = [TOKENS[0], *reversed(TOKENS[1:-1]), TOKENS[-1]]
    settings = asr_options(tokens=changed)
    exp = write_exp(tmp_path / "t", build_asr(2, tokens=changed), settings)
    speech = torch.randn(1, 100, INPUT_SIZE, generator=torch.Generator().manual_seed(0))
    task = task_class("asr")
    found = open_reference(str(exp), model, "m", task, 100.0, 1)("u", speech, [2, 3])
    settings["token_list"] = list(TOKENS)
    plain = write_exp(tmp_path / "p", build_asr(2, tokens=changed), settings)
    of_teacher = open_reference(str(plain), model, "m", task, 100.0, 1)
    others = [changed.index(TOKENS[label]) for label in (2, 3)]
    assert found.begun_ms == of_teacher("u", speech, others).begun_ms


def test_what_cannot_time_is_refused(tmp_path):
    task, model = task_class("asr"), block_model(block_options())
    few = [*TOKENS[:5], TOKENS[-1]]
    exp = write_exp(tmp_path / "few", build_asr(2, tokens=few), asr_options(tokens=few))
    with pytest.raises(KDError, match="few and m have different tokens, so that no token"):
        open_reference(str(exp), model, "m", task, 100.0, 1)
    silent = block_model(block_options(model_conf={"ctc_weight": 0.0}))
    with pytest.raises(KDError, match="m has no CTC to align transcripts by; name a mod"):
        open_reference(None, silent, "m", task, 100.0, 1)
