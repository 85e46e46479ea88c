"""What every registered loss owes, so that one registered tomorrow is tested tomorrow."""

import pytest
import torch

from espnet_kd.losses import LOSSES
from espnet_kd.targets import Hidden, ModelOutputs, TeacherTargets

LENGTHS = [6, 3, 1]
TAPS = {"student": "layer", "teacher": "layer"}
OPTIONS = {"hidden_mse": TAPS, "hidden_l1_cosine": TAPS}
VARIANTS = [
    *((name, OPTIONS.get(name, {})) for name in LOSSES.names()),
    ("ctc_frame_kl", {"frames": "nonblank", "context": 1}),
    ("ctc_frame_kl", {"temperature": 2.0, "reduction": "token"}),
    ("token_kl", {"temperature": 3.0, "reduction": "token"}),
    ("hidden_mse", {**TAPS, "reduction": "token"}),
]


@pytest.fixture(params=VARIANTS, ids=str)
def loss(request):
    name, options = request.param
    return LOSSES.get(name)(**options)


def noise(seed: int, dtype=torch.float64, width: int = 6) -> torch.Tensor:
    gen = torch.Generator().manual_seed(seed)
    return torch.randn(3, width, 5, generator=gen, dtype=torch.float64).to(dtype)


def side(kind, values, lengths=None):
    """Outputs in which every part holds the same values."""
    lengths = torch.tensor(LENGTHS if lengths is None else lengths)
    return kind(
        encoder_out_lens=lengths,
        ctc_logits=values,
        decoder_logits=values,
        ys_in_lens=lengths,
        hidden={"layer": Hidden(values, lengths)},
    )


def compare(loss, student, teacher, lengths=None):
    return loss(
        side(ModelOutputs, student, lengths), side(TeacherTargets, teacher, lengths)
    )


def test_zero_exactly_when_student_is_teacher(loss):
    values = noise(0)
    assert compare(loss, values, values.clone()).item() == 0.0


def test_positive_otherwise(loss):
    assert compare(loss, noise(0), noise(1)).item() > 0


def test_gradcheck(loss):
    student, teacher = noise(0).requires_grad_(), noise(1)
    assert torch.autograd.gradcheck(lambda z: compare(loss, z, teacher), (student,))


@pytest.mark.parametrize("junk", [float("nan"), float("inf"), 1e30])
def test_padding_content_and_width_do_not_matter(loss, junk):
    expected = compare(loss, noise(0), noise(1))
    pad = torch.full((3, 2, 5), junk, dtype=torch.float64)
    student = torch.cat([noise(0), pad], 1)
    teacher = torch.cat([noise(1), pad], 1)
    for row, length in enumerate(LENGTHS):
        student[row, length:] = junk
        teacher[row, length:] = junk
    student.requires_grad_()
    value = compare(loss, student, teacher)
    value.backward()
    torch.testing.assert_close(value.detach(), expected, rtol=1e-12, atol=0)
    assert student.grad.isfinite().all()


def test_an_utterance_counts_the_same_alone_and_beside_others(loss):
    if loss_reduction(loss) == "token":
        pytest.skip("a mean over tokens weighs utterances by their length")
    alone = [
        compare(loss, noise(0)[i : i + 1], noise(1)[i : i + 1], [n]).item()
        for i, n in enumerate(LENGTHS)
    ]
    assert compare(loss, noise(0), noise(1)).item() == pytest.approx(sum(alone) / 3)


def loss_reduction(loss) -> str:
    return getattr(loss, "reduction", None) or loss.options["reduction"]


def test_a_batch_without_frames_is_zero_and_differentiable(loss):
    student = noise(0).requires_grad_()
    value = compare(loss, student, noise(1), [0, 0, 0])
    value.backward()
    assert value.item() == 0.0
    assert student.grad is None or student.grad.eq(0).all()


def test_the_teacher_receives_no_gradient(loss):
    teacher = noise(1).requires_grad_()
    compare(loss, noise(0).requires_grad_(), teacher).backward()
    assert teacher.grad is None


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_widened(loss, dtype):
    student, teacher = noise(0, dtype), noise(1, dtype)
    value = compare(loss, student, teacher)
    assert value.dtype == torch.float32
    expected = compare(loss, student.float(), teacher.float())
    torch.testing.assert_close(value, expected)


def test_large_half_precision_logits_stay_finite(loss):
    student, teacher = noise(0, torch.float16) * 1e4, noise(1, torch.float16) * 1e4
    student = student.clamp(-6e4, 6e4).requires_grad_()
    value = compare(loss, student, teacher.clamp(-6e4, 6e4))
    value.backward()
    assert value.isfinite()
    assert student.grad.isfinite().all()


def test_shapes_that_do_not_fit_are_named(loss):
    with pytest.raises(ValueError, match=r"student_\w+ \(3, 6, 5\).*teacher_\w+ \(3, 6, 4"):
        compare(loss, noise(0), noise(1)[..., :4])
