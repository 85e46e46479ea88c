"""ctc_frame_kl: which frames are compared, and by how much."""

import math

import pytest
import torch

from espnet_kd.errors import ArgumentsError
from espnet_kd.losses import LOSSES, Needs, ctc_frame_kl, select_frames
from espnet_kd.losses.ctc import CTCFrameKL
from espnet_kd.model.outputs import Hidden, ModelOutputs, TeacherTargets

BLANK, A = [4.0, 0.0], [0.0, 4.0]  # logits of two classes, blank first


def teacher(*frames):
    return torch.tensor([frames])


def chosen(logits, length, **options):
    return select_frames(logits, torch.tensor([length]), **options)[0].tolist()


def test_all_keeps_the_real_frames():
    assert chosen(teacher(BLANK, A, BLANK), 2) == [True, True, False]


def test_nonblank_keeps_the_spikes():
    logits = teacher(BLANK, A, BLANK, BLANK, A)
    assert chosen(logits, 5, frames="nonblank") == [False, True, False, False, True]


def test_context_adds_neighbours_within_the_utterance():
    logits = teacher(BLANK, BLANK, A, BLANK, BLANK, A)
    # the last frame is padding: neither kept nor a reason to keep its neighbour
    kept = chosen(logits, 5, frames="nonblank", context=1)
    assert kept == [False, True, True, True, False, False]


def test_another_blank_index():
    assert chosen(teacher(BLANK, A), 2, frames="nonblank", blank_id=1) == [True, False]


@pytest.mark.parametrize("frames", ["all", "nonblank"])
def test_value_by_hand(frames):
    # The student is uniform. A frame with p = (s, 1-s), s = sigmoid(4), has
    # KL = ln 2 + s ln s + (1-s) ln(1-s); 'all' sums 3 frames, 'nonblank' 1; B = 1.
    s = 1 / (1 + math.exp(-4))
    frame = math.log(2) + s * math.log(s) + (1 - s) * math.log(1 - s)
    value = ctc_frame_kl(
        torch.zeros(1, 3, 2),
        teacher(BLANK, A, BLANK),
        torch.tensor([3]),
        frames=frames,
    )
    expected = frame * (3 if frames == "all" else 1)
    assert value.item() == pytest.approx(expected, rel=1e-5)


def test_a_teacher_of_blanks_selects_nothing_and_keeps_the_graph():
    student = torch.zeros(1, 2, 2, requires_grad=True)
    lengths = torch.tensor([2])
    value = ctc_frame_kl(student, teacher(BLANK, BLANK), lengths, frames="nonblank")
    value.backward()
    assert value.item() == 0
    assert student.grad.eq(0).all()


def test_the_term_bridges_two_frame_rates():
    # Twice the frames; the spikes on odd frames must survive. Student equals the
    # bridged teacher, so the loss is exactly 0.
    student = ModelOutputs(torch.tensor([3]), ctc_logits=teacher(A, BLANK, A))
    fast = teacher(BLANK, A, BLANK, BLANK, A, BLANK)
    targets = TeacherTargets(torch.tensor([6]), ctc_logits=fast)
    assert CTCFrameKL()(student, targets).item() == 0.0


def test_constructor_reports_every_bad_argument():
    with pytest.raises(ArgumentsError) as error:
        CTCFrameKL(frames="nonblanc", context=-1, temperature=0, reduction="mean")
    text = str(error.value)
    assert "frames: got 'nonblanc'; did you mean 'nonblank'?" in text
    assert "context: must be a whole number of at least 0, got -1" in text
    assert "temperature: must be a positive number, got 0" in text
    assert "reduction: got 'mean'; " in text


def test_a_threshold_that_nothing_reads_is_a_mistake():
    with pytest.raises(ArgumentsError, match=r"threshold: is read with 'frames"):
        CTCFrameKL(frames="nonblank", threshold=0.2)
    CTCFrameKL(frames="threshold", threshold=0.2)


def test_context_without_nonblank_is_a_mistake():
    with pytest.raises(ArgumentsError, match="context: needs 'frames: nonblank'"):
        CTCFrameKL(context=1)


@pytest.mark.parametrize(
    "term", ["ctc_frame_kl", "ctc_guided", "ctc_shift_kl", "hidden_mse"]
)
def test_frames_that_only_padding_made_do_not_count(term):
    """Twelve frames alone are fourteen in a padded batch; the last two may say anything."""
    gen = torch.Generator().manual_seed(0)
    own = torch.randn(1, 12, 3, generator=gen) * 3
    options = {"student": "t", "teacher": "t"} if term == "hidden_mse" else {}
    loss, values = LOSSES.get(term)(**options), []
    for junk in (torch.zeros(1, 2, 3), 50 * torch.randn(1, 2, 3, generator=gen)):
        said = torch.cat([torch.randn(1, 12, 3, generator=gen.manual_seed(5)), junk], 1)
        long, short = torch.tensor([14]), torch.tensor([12])
        student = ModelOutputs(long, ctc_logits=said, hidden={"t": Hidden(said, long)})
        teacher_ = TeacherTargets(short, ctc_logits=own, hidden={"t": Hidden(own, short)})
        values.append(loss(student, teacher_).item())
    assert values[0] == values[1] > 0


def test_posteriors_are_read_at_the_temperature_of_the_loss():
    assert CTCFrameKL(temperature=2.0).needs() == Needs(ctc=(2.0,))
    assert LOSSES.get("token_jsd")(temperature=3.0).needs() == Needs(decoder=(3.0,))
    assert LOSSES.get("ctc_token_kl")().needs() == Needs(ctc=(1.0,), labels=True)
