"""A guest's lattice in parts, against the model's own whole."""

import pytest
import torch
from conftest import clone, transducer

import espnet_kd
from espnet_kd.alignment.transducer_lattice import collapse, next_labels, node_mask, spread
from espnet_kd.errors import AlignmentError, ConfigError
from espnet_kd.losses import LOSSES
from espnet_kd.losses.transducer_sequence import transcript_log_prob
from espnet_kd.model.forward import run_guest
from espnet_kd.model.outputs import ModelOutputs, Path, TeacherTargets
from espnet_kd.model.request import Labels, Request

LOSSES_OF_A_LATTICE = [
    name
    for name in LOSSES.names()
    if name.startswith("transducer_") and LOSSES.get(name)().needs().teacher
]
# These compare labels, and nothing frame by frame.
ANY_RATE = ("transducer_fullsum", "transducer_token_kl")


@pytest.fixture
def own(batch):
    """A model and the lattice of its own pass."""
    model, seen = transducer(), []
    model.joint_network.register_forward_hook(lambda m, a, o: seen.append(o))
    model.training = True  # no search for errors
    loss = model(**clone(batch))[0]
    model.training = False
    return model, seen[0].detach(), loss


def guest(model, batch, *reads):
    labels = Labels(ys_pad=batch["text"], ys_lens=batch["text_lengths"])
    return run_guest(model, batch, Request(joint=reads), labels)


def test_the_parts_are_the_whole(own, batch):
    model, joint, _ = own
    outputs = guest(model, batch, "logits", "classes", "path")
    torch.testing.assert_close(outputs.joint_logits, joint)
    lens = (outputs.encoder_out_lens, batch["text_lengths"])
    mask = node_mask(*lens, *joint.shape[1:3])
    labels = next_labels(batch["text"], batch["text_lengths"], joint.shape[2])
    whole = spread(collapse(joint, mask, labels), mask)
    torch.testing.assert_close(outputs.joint_classes, whole)
    path, rows = outputs.path, torch.arange(3)[:, None]
    real = torch.arange(path.frames.shape[1]) < path.lengths[:, None]
    at = joint[rows, path.frames, path.labels]
    torch.testing.assert_close(path.logits[real], at[real])
    assert path.lengths.tolist() == (lens[0] + lens[1]).tolist()


def test_only_what_is_asked_for_is_made(own, batch):
    model, _, _ = own
    outputs = guest(model, batch, "classes")
    assert outputs.joint_logits is None
    assert outputs.path is None
    assert not outputs.joint_classes.requires_grad


def test_the_loss_that_stands_in_is_the_rnnt_loss(own, batch):
    """ESPnet's loss, from torchaudio here, is our total over all alignments."""
    model, joint, _ = own
    outputs = guest(model, batch, "classes")
    lens = (outputs.encoder_out_lens, batch["text"], batch["text_lengths"])
    with torch.no_grad():
        loss = model.criterion_transducer(
            joint, batch["text"].clamp(min=0), lens[0], lens[2]
        )
    total = transcript_log_prob(joint, *lens)
    torch.testing.assert_close(loss.squeeze(), -total.mean(), rtol=1e-5, atol=1e-5)


def test_every_lattice_loss_teaches_a_transducer(batch):
    student, teacher = transducer(), transducer(12, 2)
    terms = [{"type": kind, "weight": 0.1} for kind in LOSSES_OF_A_LATTICE]
    espnet_kd.attach(student, {"losses": terms}, teacher)
    loss, stats, _ = student.train()(**clone(batch))
    loss.sum().backward()
    assert len(terms) == 5
    assert all(stats[f"loss_kd_{kind}"].item() > 0 for kind in LOSSES_OF_A_LATTICE)
    assert all(p.grad is None or p.grad.isfinite().all() for p in student.parameters())


def test_a_student_equal_to_its_teacher_has_nothing_to_learn(batch):
    student, teacher = transducer(), transducer()
    terms = [{"type": kind, "weight": 0.1} for kind in LOSSES_OF_A_LATTICE]
    espnet_kd.attach(student, {"losses": terms}, teacher)
    _, stats, _ = student.eval()(**clone(batch))
    for kind in LOSSES_OF_A_LATTICE:
        # Parts of a lattice and the whole may round differently.
        assert stats[f"loss_kd_{kind}"].item() == pytest.approx(0, abs=1e-4)


def test_hidden_taps_behind_the_labels(batch):
    student, teacher = transducer(), transducer(12, 2)
    term = {"type": "hidden_mse", "weight": 1, "student": "decoder", "teacher": "decoder"}
    example = {k: batch[k] for k in ("speech", "speech_lengths")}
    espnet_kd.attach(student, {"losses": [term]}, teacher, example=example)
    _, stats, _ = student.train()(**clone(batch))
    assert stats["loss_kd_hidden_mse"].item() > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: setattr(m, "use_k2_pruned_loss", True), "trained by the pruned loss"),
        (
            lambda m: setattr(m, "transducer_multi_blank_durations", [2]),
            "blanks of several durations",
        ),
    ],
)
def test_lattices_that_cannot_be_compared_are_refused(change, message):
    teacher = transducer()
    change(teacher)
    term = {"type": "transducer_collapsed_kl", "weight": 1}
    with pytest.raises(ConfigError, match=f"the teacher .*{message}.*remove the"):
        espnet_kd.attach(transducer(), {"losses": [term]}, teacher)


def test_no_transducer_is_refused(student, teacher):
    term = {"type": "transducer_path_kl", "weight": 1}
    with pytest.raises(ConfigError, match="the student is no transducer") as error:
        espnet_kd.attach(student, {"losses": [term]}, teacher)
    assert "the teacher is no transducer" in str(error.value)


def lattice_side(kind, frames, seed):
    gen = torch.Generator().manual_seed(seed)
    joint = torch.randn(1, frames, 3, 5, generator=gen)
    outputs = kind(torch.tensor([frames]), joint_logits=joint)
    outputs.ys_pad, outputs.ys_lens = torch.tensor([[1, 2]]), torch.tensor([2])
    mask = torch.ones(1, frames, 3, dtype=torch.bool)
    labels = next_labels(outputs.ys_pad, outputs.ys_lens, 3)
    outputs.joint_classes = spread(collapse(joint, mask, labels), mask)
    nodes = torch.tensor([[0, 0, 0, *range(1, frames)]])
    emitted = torch.tensor([[0, 1, 2, *[2] * (frames - 1)]])
    logits = joint[0, nodes[0], emitted[0]][None]
    outputs.path = Path(nodes, emitted, torch.tensor([frames + 2]), logits)
    return outputs


@pytest.mark.parametrize("kind", LOSSES_OF_A_LATTICE)
@pytest.mark.parametrize("frames", [4, 6])
def test_a_frame_more_or_less_is_bridged(kind, frames):
    loss = LOSSES.get(kind)()
    student = lattice_side(ModelOutputs, 5, 0)
    value = loss(student, lattice_side(TeacherTargets, frames, 1))
    assert value.isfinite()
    assert value > 0


@pytest.mark.parametrize("kind", LOSSES_OF_A_LATTICE)
def test_another_frame_rate_is_for_losses_of_labels(kind):
    loss, student = LOSSES.get(kind)(), lattice_side(ModelOutputs, 5, 0)
    teacher = lattice_side(TeacherTargets, 10, 1)
    if kind in ANY_RATE:
        assert loss(student, teacher) > 0
        return
    with pytest.raises(
        AlignmentError, match=r"10 teacher frames and 5.*fullsum, transducer_token"
    ):
        loss(student, teacher)
