"""Codebooks: the nearest centroids, a file of them, and what is refused by name."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import asr_options, build_asr, clone, write_exp
from torch import tensor

import espnet_kd
from espnet_kd.config.schema import TeacherConfig
from espnet_kd.errors import ConfigError, KDError, TeacherError
from espnet_kd.host.compat import task_class
from espnet_kd.model.request import Request
from espnet_kd.teachers.base import Question
from espnet_kd.teachers.build import hash_teacher, load_teacher
from espnet_kd.teachers.codebooks import Codebooks
from espnet_kd.teachers.live import LiveTeacher

TAP = "encoder.encoders.1"
SWAP = tensor([[0.0, 1.0], [1.0, 0.0]])  # the second unit to the first codebook


def hand(**more):
    """Two codebooks of two centroids, of a layer of two units."""
    centroids = tensor([[[0.0], [4.0]], [[-1.0], [1.0]]])
    own = Codebooks(TAP, "exp/t", "h", tensor([1.0, 0.0]), SWAP, centroids, 0.25)
    return replace(own, **more)


def of_width(width, tap=TAP, count=2, centroids=4):
    """Codebooks of noise."""
    gen = torch.Generator().manual_seed(0)
    rotation = torch.linalg.qr(torch.randn(width, width, generator=gen))[0]
    means = torch.randn(count, centroids, width // count, generator=gen)
    return Codebooks(tap, "exp/t", "h", torch.zeros(width), rotation, means, 0.5)


def test_nearest_centroids_by_hand():
    """Less the mean (1, 3): the second unit, 3, is nearest 4, the first, 1, nearest 1."""
    codes = hand().encode(tensor([[[2.0, 3.0], [0.0, 1.0]]]))
    assert codes.tolist() == [[[1, 1], [0, 0]]]
    assert hand().decode(codes).tolist() == [[[2.0, 4.0], [0.0, 0.0]]]


def test_they_are_nearest_of_all(batch):
    own = of_width(12)
    hidden = torch.randn(30, 12)
    rotated = (hidden @ own.rotation).reshape(30, 2, 6)
    apart = torch.cdist(rotated.transpose(0, 1), own.centroids)  # (N, M, K)
    assert torch.equal(own.encode(hidden), apart.argmin(-1).T)


def test_the_error_is_the_part_of_the_variance_left_out():
    """Frames (2, 3), (0, 1): left out (0, 1), (0, 1); around the mean (1, 3), (1, 1)."""
    assert hand().error_on(tensor([[2.0, 3.0], [0.0, 1.0]])) == pytest.approx(2 / 12)


def test_a_file_gives_back_what_was_written(tmp_path):
    hand().write(tmp_path / "c.npz")
    read = Codebooks.read(tmp_path / "c.npz")
    assert read.coded == hand().coded
    assert read.coded.digest != hand(mean=tensor([0.0, 0.0])).coded.digest
    assert read.coded.digest != hand(tap="encoder").coded.digest
    assert torch.equal(read.encode(tensor([[2.0, 3.0]])), tensor([[1, 1]]))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mean", np.zeros(3, np.float32)),
        ("mean", np.full(2, np.nan, np.float32)),
        ("rotation", np.zeros((2, 3), np.float32)),
        ("centroids", np.zeros((2, 2, 1), np.float64)),
        ("centroids", np.zeros((2, 257, 1), np.float32)),
        ("tap", np.zeros(2)),
        ("error", np.float64(-1)),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path, name, value):
    hand().write(tmp_path / "c.npz")
    with np.load(tmp_path / "c.npz", allow_pickle=False) as found:
        arrays = dict(found) | {name: value}
    np.savez(tmp_path / "c.npz", **arrays)
    with pytest.raises(KDError, match=r"c\.npz is damaged .*train_codebooks"):
        Codebooks.read(tmp_path / "c.npz")


@pytest.fixture
def exp(tmp_path):
    """A teacher's experiment, and a file of codebooks of it."""
    options = {"width": 12, "blocks": 3}
    folder = write_exp(tmp_path / "t", build_asr(2, **options), asr_options(**options))
    own = replace(of_width(12), teacher_hash=hash_teacher(TeacherConfig(str(folder))))
    own.write(tmp_path / "c.npz")
    return folder


def test_a_live_teacher_says_the_codes_of_its_layer(exp, tmp_path, batch):
    files = (str(tmp_path / "c.npz"),)
    guest = load_teacher(TeacherConfig(str(exp), codebooks=files), task_class("asr"))
    said = guest(Question(batch, Request(codebooks=(TAP,), taps=(TAP,))))
    codes, hidden = said.codes[TAP], said.hidden[TAP]
    assert torch.equal(codes.values, of_width(12).encode(hidden.values))
    assert torch.equal(codes.lengths, hidden.lengths)
    assert codes.centroids == 4
    assert f"2 codebooks of 4 centroids of {TAP}" in guest.describe()[1]


def test_codebooks_of_another_teacher_are_refused(exp, tmp_path):
    of_width(12).write(tmp_path / "other.npz")
    config = TeacherConfig(str(exp), codebooks=(str(tmp_path / "other.npz"),))
    with pytest.raises(TeacherError, match=r"are of exp/t, and .* has other weights"):
        load_teacher(config, task_class("asr"))
    missing = TeacherConfig(str(exp), codebooks=(str(tmp_path / "no.npz"),))
    with pytest.raises(TeacherError, match=r"no\.npz is missing.*train_codebooks"):
        load_teacher(missing, task_class("asr"))


def term(teacher=TAP, **more):
    taps = {"student": "encoder.encoders.0", "teacher": teacher}
    return {"type": "codebook_ce", "weight": 0.1, **taps, **more}


def attach(student, guest, batch, *terms):
    example = {key: batch[key] for key in ("speech", "speech_lengths")}
    return espnet_kd.attach(student, {"losses": list(terms)}, guest, example=example)


def test_a_student_learns_by_heads_that_are_in_no_checkpoint(student, teacher, batch):
    keys = student.state_dict().keys()
    guest = LiveTeacher(teacher, codebooks=[of_width(12)])
    attach(student, guest, batch, term(reduction="token"))
    assert student.state_dict().keys() == keys
    heads = [n for n, _ in student.named_parameters() if n.startswith("kd_projections")]
    assert len(heads) == 2
    optimizer = torch.optim.Adam(student.parameters(), 0.02)
    values = []
    for _ in range(30):
        optimizer.zero_grad()
        loss, stats, _ = student(**clone(batch))
        loss.sum().backward()
        optimizer.step()
        values.append(float(stats["loss_kd_codebook_ce"]))
    assert 1.0 < values[0] < 2.0, "about log 4"
    assert values[-1] < 0.9 * values[0]


@pytest.mark.parametrize(
    ("there", "terms", "text"),
    [
        ([], [term()], f"codebooks of the teacher's '{TAP}', and the teacher has none"),
        ([of_width(12)], [term("encoder")], f"'encoder', and the teacher has.*'{TAP}'"),
        (
            [of_width(12)],
            [{"type": "ctc_frame_kl", "weight": 1.0}],
            f"no loss reads the teacher's codebooks of '{TAP}'",
        ),
        ([of_width(12)], [term(weight=0.0)], "at weight 0 its learned parts stay"),
    ],
)
def test_what_does_not_fit_is_named(student, teacher, batch, there, terms, text):
    guest = LiveTeacher(teacher, codebooks=there)
    with pytest.raises(KDError, match=text) as error:
        attach(student, guest, batch, *terms)
    assert isinstance(error.value, ConfigError) or "weight 0" in text
