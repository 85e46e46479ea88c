"""What every registered loss owes, so that one registered tomorrow is tested tomorrow."""

import pytest
import torch
from torch.nn.utils.rnn import pad_sequence

from espnet_kd.alignment.transducer_lattice import collapse, next_labels, node_mask, spread
from espnet_kd.alignment.transducer_paths import best_path
from espnet_kd.losses import LOSSES
from espnet_kd.model.outputs import Codes, Hidden, ModelOutputs, NBest, Path, TeacherTargets

LENGTHS = [6, 3, 1]
LABELS = [[2, 3], [4], []]
TAPS = {"student": "layer", "teacher": "layer"}
OPTIONS = {
    name: TAPS for name in ("hidden_mse", "hidden_cosine", "hidden_l1_cosine", "hidden_cka")
} | {
    "similarity": TAPS,
    "rkd": TAPS,
    "attention_kl": TAPS,
    "relation_kl": TAPS | {"heads": 1},
    "codebook_ce": TAPS,
}
HIDDEN_FIELDS = ("waveforms", "spectrum", "masks", "durations")
VARIANTS = [
    *((name, OPTIONS.get(name, {})) for name in LOSSES.names()),
    ("ctc_frame_kl", {"frames": "nonblank", "context": 1}),
    ("ctc_frame_kl", {"frames": "threshold", "threshold": 0.8}),
    ("ctc_frame_kl", {"frames": "trim"}),
    ("ctc_frame_kl", {"temperature": 2.0, "reduction": "token"}),
    ("ctc_frame_kl", {"head": 2}),
    ("ctc_guided", {"form": "probability"}),
    ("ctc_shift_kl", {"min_shift": -1, "max_shift": 1, "per": "utterance"}),
    ("ctc_nbest", {"nbest": 2, "scale": 0.5}),
    ("ctc_nbest", {"search": "greedy"}),
    ("token_kl", {"temperature": 3.0, "reduction": "token"}),
    ("token_reverse_kl", {"temperature": 2.0}),
    ("token_jsd", {"beta": 0.1, "temperature": 2.0}),
    ("token_nbest", {"nbest": 2}),
    ("transducer_collapsed_kl", {"reduction": "batch"}),
    ("transducer_fullsum", {"distance": "l2"}),
    ("hidden_mse", {**TAPS, "reduction": "token"}),
    ("codebook_ce", {**TAPS, "reduction": "token"}),
    ("spectrum_l1", {"reduction": "batch"}),
    ("waveform_si_snr", {"max_snr": 10.0}),
    ("class_kl", {"temperature": 2.0}),
]
# These learn from decisions of the teacher, not from its probabilities.
DECISIONS = ("ctc_guided", "ctc_nbest", "token_nbest", "codebook_ce")
# These compare two passes of the student, each a constant to the other.
CONSISTENT = ("cr_ctc", "mode_consistency", "transducer_mode_consistency")
# What these hold constant, finite differences move.
HELD = ("ctc_token_kl", *CONSISTENT)


@pytest.fixture(params=VARIANTS, ids=str)
def name(request):
    return request.param[0]


@pytest.fixture
def loss(request, name):
    del name
    kind, options = request.node.callspec.params["name"]
    loss = LOSSES.get(kind)(**options)
    if kind == "codebook_ce":  # has heads in any case, here as exact as the noise
        loss.build(side(ModelOutputs, noise(0)), side(TeacherTargets, noise(1)))
        loss.double()
    return loss


def noise(seed: int, dtype=torch.float64, width: int = 6) -> torch.Tensor:
    gen = torch.Generator().manual_seed(seed)
    return torch.randn(3, width, 5, generator=gen, dtype=torch.float64).to(dtype)


def side(kind, values, lengths=None, rows=(0, 1, 2)):
    """Outputs whose every part is made of the same values, (B, T, 5)."""
    lengths = torch.tensor(LENGTHS if lengths is None else lengths)
    labels = [torch.tensor(LABELS[row], dtype=torch.long) for row in rows]
    ys_pad = pad_sequence([torch.tensor([1, 1]), *labels], True, -1)[1:]
    ys_lens = torch.tensor([len(y) for y in labels])
    outputs = kind(
        encoder_out_lens=lengths,
        ctc_logits=values,
        interctc_logits={2: values},
        decoder_logits=values,
        ys_in_lens=lengths,
        ys_pad=ys_pad,
        ys_lens=ys_lens,
        hidden={"layer": Hidden(values, lengths)},
        eos_id=4,
    )
    for part in ("q", "k", "v"):
        outputs.hidden[f"layer.linear_{part}"] = Hidden(values, lengths)
    picked = torch.stack(
        [values.nan_to_num().argmax(-1), values.nan_to_num().argmin(-1)], -1
    )
    outputs.codes = {"layer": Codes(picked, lengths, 5)}
    outputs.hidden["layer:attn"] = Hidden(attention(values, lengths), lengths)
    outputs.doubled = kind is ModelOutputs
    outputs.decode = lambda ys_in, lens, at: values[at, :1] + ys_in[..., None] * 0.1
    for field in HIDDEN_FIELDS:
        setattr(outputs, field, Hidden(values, lengths))
    outputs.class_logits, outputs.class_lens = values[:, :1], lengths.clamp(max=1)
    add_lattice(outputs, values)
    outputs.nbest = hypotheses(ys_pad, ys_lens)
    return outputs


def attention(values, lengths):
    real = torch.arange(values.shape[1]) < lengths[:, None]
    scores = values.float() if values.dtype.itemsize < 4 else values
    scores = (scores @ torch.ones(5, values.shape[1], dtype=scores.dtype) / 5)[:, None]
    keys = torch.arange(values.shape[1], dtype=scores.dtype)
    scores = (scores * keys).masked_fill(~real[:, None, None], float("-inf"))
    return scores.softmax(-1)  # nan where there is no key


def add_lattice(outputs, values):
    """A lattice with the values at every label, sharpened along it."""
    growth = torch.arange(1, 4, dtype=values.dtype)[:, None]
    joint = values[:, :, None] * growth  # (B, T, 3, 5)
    mask = node_mask(outputs.encoder_out_lens, outputs.ys_lens, *joint.shape[1:3])
    labels = next_labels(outputs.ys_pad, outputs.ys_lens, 3)
    outputs.joint_logits = joint
    lens = (outputs.encoder_out_lens, outputs.ys_lens)
    outputs.joint_classes = spread(collapse(joint, mask, labels), mask)
    frames, emitted, lengths = best_path(outputs.joint_classes, *lens)
    rows = torch.arange(len(joint))[:, None]
    outputs.path = Path(frames, emitted, lengths, joint[rows, frames, emitted])


def hypotheses(ys_pad, ys_lens):
    """The transcript, and its first label alone."""
    tokens = torch.stack([ys_pad.clamp(min=0), ys_pad.clamp(min=0)], 1)
    lengths = torch.stack([ys_lens, ys_lens.clamp(max=1)], 1)
    return NBest(tokens, lengths, torch.tensor([[-1.0, -2.0]] * len(ys_lens)))


def compare(loss, student, teacher, lengths=None, rows=(0, 1, 2)):
    pair = (side(ModelOutputs, student, lengths, rows),)
    pair += (side(TeacherTargets, teacher, lengths, rows),)
    if not loss.needs().teacher:
        # Its two sides are two passes over one batch.
        pair[0].ctc_logits = torch.cat([student, teacher])
        pair[0].joint_logits = torch.cat([side.joint_logits for side in pair])
        pair[0].encoder_out_lens = pair[0].encoder_out_lens.repeat(2)
    return loss(*pair)


def test_zero_exactly_when_student_is_teacher(loss, name):
    values = noise(0)
    value = compare(loss, values, values.clone()).item()
    if name in DECISIONS:
        assert value > 0, "a teacher in doubt leaves something to learn"
    else:
        assert value == 0.0


def test_positive_otherwise(loss):
    assert compare(loss, noise(0), noise(1)).item() > 0


def test_gradcheck(loss, name):
    if name in HELD:
        pytest.skip("holds something constant: its reference has its gradient")
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
    for row, length in enumerate(LENGTHS):
        assert student.grad[row, :length].isfinite().all()


def test_an_utterance_counts_the_same_alone_and_beside_others(loss, name):
    if not loss.per_utterance and name not in CONSISTENT:
        pytest.skip("compares utterances to one another")
    if loss_reduction(loss) == "token":
        pytest.skip("a mean over tokens weighs utterances by their length")
    alone = [
        compare(loss, noise(0)[i : i + 1], noise(1)[i : i + 1], [n], [i]).item()
        for i, n in enumerate(LENGTHS)
    ]
    assert compare(loss, noise(0), noise(1)).item() == pytest.approx(sum(alone) / 3)


def test_weights_multiply_each_utterance(loss, name):
    if not loss.per_utterance:
        pytest.skip("has no value for an utterance")
    values = []
    for weights in ([1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0], [2.0, 3.0, 0.5], None):
        targets = side(TeacherTargets, noise(1))
        targets.weights = None if weights is None else torch.tensor(weights)
        values.append(loss(side(ModelOutputs, noise(0)), targets).item())
    assert values[3] == pytest.approx(2 * values[0] + 3 * values[1] + values[2] / 2)
    assert values[4] == pytest.approx(sum(values[:3]))


def loss_reduction(loss) -> str | None:
    return loss.options.get("reduction")


def test_a_batch_without_frames_is_zero_and_differentiable(loss, name):
    if name in ("token_nbest",):
        pytest.skip("its hypotheses end by an end of sentence, whatever the frames")
    student = noise(0).requires_grad_()
    value = compare(loss, student, noise(1), [0, 0, 0])
    value.backward()
    assert value.item() == 0.0
    assert student.grad is None or student.grad.nan_to_num().eq(0).all()


def test_the_teacher_receives_no_gradient(loss, name):
    if name in CONSISTENT:
        pytest.skip("both its sides are the student")
    teacher = noise(1).requires_grad_()
    compare(loss, noise(0).requires_grad_(), teacher).backward()
    assert teacher.grad is None


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_widened(loss, dtype):
    loss.float()
    student, teacher = noise(0, dtype), noise(1, dtype)
    value = compare(loss, student, teacher)
    assert value.dtype == torch.float32
    expected = compare(loss, student.float(), teacher.float())
    torch.testing.assert_close(value, expected, rtol=2e-2, atol=1e-3)


def test_large_half_precision_logits_stay_finite(loss):
    if loss.options.get("distance") == "l2":
        pytest.skip("squares of 40000 nats have no gradient in half precision")
    student, teacher = noise(0, torch.float16) * 1e4, noise(1, torch.float16) * 1e4
    student = student.clamp(-2e4, 2e4).requires_grad_()
    value = compare(loss, student, teacher.clamp(-2e4, 2e4))
    value.backward()
    assert value.isfinite()
    for row, length in enumerate(LENGTHS):
        assert student.grad[row, :length].isfinite().all()


def test_shapes_that_do_not_fit_are_named(loss, name):
    student, teacher = (
        side(ModelOutputs, noise(0)),
        side(TeacherTargets, noise(1)[:2], [6, 3], (0, 1)),
    )
    if name in (*CONSISTENT, "token_nbest", "transducer_fullsum"):
        pytest.skip("see the test of its function")
    if name in ("transducer_path_kl", "transducer_token_kl", "codebook_ce"):
        pytest.skip("see the test of its function")
    if getattr(loss, "nbest", 1) == 0:
        pytest.skip("reads the teacher's logits only for its hypotheses")
    teacher.encoder_out_lens = student.encoder_out_lens
    for hidden in (*teacher.hidden,):
        teacher.hidden[hidden] = Hidden(
            teacher.hidden[hidden].values, student.encoder_out_lens
        )
    for field in HIDDEN_FIELDS:
        values = getattr(teacher, field).values
        setattr(teacher, field, Hidden(values, student.encoder_out_lens))
    with pytest.raises(ValueError, match=r"student_\w+ \(3, .*teacher_\w+"):
        loss(student, teacher)
