"""A map between token lists: by hand, on disk, in a training; and what it cannot be for."""

import numpy as np
import pytest
import torch
from conftest import TOKENS, asr_options, build_asr, clone, write_exp
from targets import HEADER_OF, V, targets
from torch import tensor

import espnet_kd
from espnet_kd.cache.entries import batch_of, entries_of
from espnet_kd.cache.writer import Shard, merge
from espnet_kd.config.schema import KDConfig, TeacherConfig
from espnet_kd.errors import AlignmentError, ConfigError, KDError, TeacherError
from espnet_kd.host.compat import task_class
from espnet_kd.losses import ctc_frame_kl
from espnet_kd.model.request import Request
from espnet_kd.teachers.base import Question
from espnet_kd.teachers.build import build_teacher, hash_teacher, load_teacher
from espnet_kd.teachers.ensemble import Ensemble
from espnet_kd.teachers.live import LiveTeacher
from espnet_kd.teachers.token_map import PosteriorMap
from espnet_kd.teachers.vocabulary import vocabulary_of

# The teacher's pieces ab, cd, and so on; their letters share what it says.
PAIRED = ["<blank>", "<unk>", "ab", "cd", "ef", "gh", "<sos/eos>"]
CTC = {"type": "ctc_frame_kl", "weight": 1.0}


def matrix_map(teacher, student, matrix, **more):
    """A map of its dense (V, V') matrix."""
    rows, columns = matrix.nonzero().T
    return PosteriorMap(
        tuple(teacher), tuple(student), rows, columns, matrix[rows, columns], **more
    )


def paired_matrix():
    """Each pair of letters to its two, half and half; other tokens to themselves."""
    matrix = torch.zeros(len(PAIRED), len(TOKENS))
    for row, token in enumerate(PAIRED):
        names = [token] if token in TOKENS else list(token)
        for name in names:
            matrix[row, TOKENS.index(name)] = 1 / len(names)
    return matrix


def paired(**more):
    return matrix_map(PAIRED, TOKENS, paired_matrix(), **more)


@pytest.fixture
def other_teacher():
    """A teacher of pairs of letters."""
    return build_asr(seed=2, width=12, blocks=3, tokens=PAIRED)


def test_posteriors_by_hand():
    """0.5 blank; 0.3 and 0.2 to (1/4, 3/4) and (1, 0)."""
    matrix = tensor([[1.0, 0, 0, 0], [0, 0.25, 0.75, 0], [0, 1.0, 0, 0]])
    learned = matrix_map("_xy", "_ab!", matrix)
    said = learned(tensor([[[0.5, 0.3, 0.2]]]).log())
    expected = [0.5, 0.3 / 4 + 0.2, 0.3 * 3 / 4, 1e-20]
    assert said.shape == (1, 1, 4)
    assert said[0, 0].exp().tolist() == pytest.approx(expected, rel=1e-5)
    assert learned(torch.zeros(2, 0, 3)).shape == (2, 0, 4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_half_precision_is_widened(dtype):
    logits = torch.randn(2, 3, len(PAIRED)).to(dtype)
    expected = (logits.float().softmax(-1) @ paired_matrix()).log()
    said = paired()(logits)
    assert said.dtype == torch.float32
    torch.testing.assert_close(said, expected.clamp(min=np.log(1e-20)))
    assert paired()(logits.double()).dtype == torch.float64


def test_a_file_gives_back_what_was_written(tmp_path):
    paired().write(tmp_path / "m.npz")
    read = PosteriorMap.read(tmp_path / "m.npz")
    assert (read.teacher_tokens, read.student_tokens) == (tuple(PAIRED), tuple(TOKENS))
    logits = torch.randn(1, 2, len(PAIRED))
    assert torch.equal(read(logits), paired()(logits))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("values", np.float32([0.5] * 12)),
        ("values", np.float32([1.0])),
        ("values", -np.ones(11, np.float32)),
        ("rows", np.full(11, 7)),
        ("columns", np.full(11, -1)),
        ("columns", np.zeros(11, np.float32)),
        ("teacher_tokens", np.zeros(7)),
        ("student_tokens", np.array(["a"])),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path, name, value):
    path = tmp_path / "m.npz"
    paired().write(path)
    with np.load(path, allow_pickle=False) as found:
        assert len(found["values"]) == 11
        arrays = dict(found) | {name: value}
    np.savez(path, **arrays)
    with pytest.raises(KDError, match=r"m\.npz is damaged .*map_tokens"):
        PosteriorMap.read(path)


def attach(student, guest, *terms, **more):
    return espnet_kd.attach(student.eval(), {"losses": list(terms), **more}, guest)


def test_a_student_learns_what_the_map_makes_of_its_teacher(student, other_teacher, batch):
    guest = LiveTeacher(other_teacher, token_map=paired())
    attachment = attach(student, guest, CTC)
    assert any("are mapped by token_map, 7 tokens to 11" in x for x in guest.describe())
    stats = student(**clone(batch))[1]
    with torch.no_grad():
        given = (batch["speech"].clone(), batch["speech_lengths"])
        out, lens = other_teacher.encode(*given)
        posteriors = other_teacher.ctc.ctc_lo(out).softmax(-1) @ paired_matrix()
        own = student.ctc.ctc_lo(student.encode(batch["speech"].clone(), given[1])[0])
    expected = ctc_frame_kl(own, posteriors.clamp(min=1e-20).log(), lens)
    torch.testing.assert_close(stats["loss_kd_ctc_frame_kl"][0], expected)
    assert attachment.first_batch is None


def test_the_temperature_softens_what_is_mapped(student, other_teacher, batch):
    guest = LiveTeacher(other_teacher, token_map=paired())
    attach(student, guest, CTC | {"temperature": 2.0})
    value = student(**clone(batch))[1]["loss_kd_ctc_frame_kl"][0]
    said = guest(Question(batch, Request(ctc=(2.0,))))
    own = student.ctc.ctc_lo(student.encode(batch["speech"], batch["speech_lengths"])[0])
    expected = ctc_frame_kl(own, said.ctc_logits, said.encoder_out_lens, temperature=2.0)
    torch.testing.assert_close(value, expected)


TOKEN_KL = {"type": "token_kl", "weight": 1.0}
TAPS = {"student": "encoder", "teacher": "encoder"}


@pytest.mark.parametrize(
    ("terms", "text"),
    [
        ([CTC, TOKEN_KL], "maps CTC posteriors alone, and a loss compares what decoders"),
        ([{"type": "ctc_token_kl", "weight": 1.0}], "ctc_token_kl spells by the teacher's"),
        (
            [{"type": "ctc_nbest", "weight": 1.0, "search": "greedy"}],
            "ctc_nbest spells by the teacher's CTC posteriors",
        ),
        ([{"type": "hidden_mse", "weight": 1.0, **TAPS}], "no loss reads CTC posteriors"),
    ],
)
def test_what_a_map_is_not_for_is_named(student, other_teacher, terms, text):
    guest = LiveTeacher(other_teacher, token_map=paired())
    with pytest.raises(KDError, match=text):
        attach(student, guest, *terms)


def test_a_map_of_other_tokens_is_named(student, teacher, other_teacher):
    with pytest.raises(AlignmentError, match=r"than the teacher's \(7, .* at 2: 'ab', the"):
        attach(student, LiveTeacher(teacher, token_map=paired()), CTC)
    short = matrix_map(PAIRED, TOKENS[:-1], torch.ones(7, 10) / 10, source="m.npz")
    text = r"m\.npz maps other tokens than the student's \(10, the student has 11; first"
    with pytest.raises(AlignmentError, match=text):
        attach(student, LiveTeacher(other_teacher, token_map=short), CTC)


def test_teachers_of_several_lists_are_combined(student, teacher, other_teacher, batch):
    both = (LiveTeacher(teacher), LiveTeacher(other_teacher, token_map=paired()))
    ensemble = Ensemble(both, [1.0, 1.0])
    attach(student, ensemble, CTC)
    question = Question(batch, Request(ctc=(1.0,)))
    said = [one(question).ctc_logits.softmax(-1) for one in both]
    mixed = ensemble(question).ctc_logits.exp()
    torch.testing.assert_close(mixed, (said[0] + said[1]) / 2)
    espnet_kd.detach(student)
    with pytest.raises(ConfigError, match="spells by the teacher's CTC posteriors"):
        attach(student, ensemble, {"type": "ctc_token_kl", "weight": 1.0})


def test_a_configuration_names_the_file(tmp_path, other_teacher):
    options = {"width": 12, "blocks": 3, "tokens": PAIRED}
    exp = str(write_exp(tmp_path / "t", other_teacher, asr_options(**options)))
    paired().write(tmp_path / "m.npz")
    config = TeacherConfig(exp, token_map=str(tmp_path / "m.npz"))
    guest = load_teacher(config, task_class("asr"))
    assert guest.token_map.source == str(tmp_path / "m.npz")
    with pytest.raises(TeacherError, match=r"no\.npz is missing.*map_tokens"):
        load_teacher(TeacherConfig(exp, token_map=f"{tmp_path}/no.npz"), task_class("asr"))


def test_cached_posteriors_are_mapped_as_well(tmp_path, student):
    """Those of ctc; the decoder's in the same cache are of other tokens and not asked."""
    exp = write_exp(tmp_path / "t", build_asr(1), asr_options())
    digest = hash_teacher(TeacherConfig(str(exp)))
    header = HEADER_OF.__class__(**{**vars(HEADER_OF), "teacher_hash": digest})
    shard = Shard(tmp_path / "c", 1, header)
    entries = entries_of(targets(), ["a", "b"], header)
    for entry in entries:
        shard.add(entry)
    merge(tmp_path / "c", ["a", "b"])
    matrix = torch.zeros(V, len(TOKENS))
    matrix[0, 0] = matrix[1, 2] = matrix[2, 3] = 1
    matrix[3:, 4:6] = 0.5
    matrix_map(HEADER_OF.token_list, TOKENS, matrix).write(tmp_path / "m.npz")
    named = TeacherConfig(str(exp), token_map=str(tmp_path / "m.npz"))
    config = KDConfig((named,), (), targets=(str(tmp_path / "c"),))
    cached = build_teacher(config, student)
    cached.check(Request(ctc=(1.0,)))
    cached.match_vocabulary(student, {"ctc"})
    assert len(vocabulary_of(student).ctc) == len(TOKENS)
    said = cached(Question(batch_of(entries), Request(ctc=(1.0,))))
    expected = targets().ctc_logits.softmax(-1) @ matrix
    real = said.ctc_logits[0, :5]
    torch.testing.assert_close(
        real.exp(), expected[0].clamp(min=1e-20), rtol=1e-4, atol=1e-6
    )
    assert said.decoder_logits is None
