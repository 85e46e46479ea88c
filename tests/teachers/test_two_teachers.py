"""Two teachers whose hidden layers both teach: from disk as live."""

import pytest
import torch
from conftest import TOKENS, asr_options, build_asr, clone, write_exp

import espnet_kd
from espnet_kd.cache.entries import batch_of, entries_of
from espnet_kd.cache.header import Header
from espnet_kd.cache.reader import Cache
from espnet_kd.cache.writer import Shard, merge
from espnet_kd.config.schema import TeacherConfig
from espnet_kd.errors import KDError
from espnet_kd.host.compat import task_class
from espnet_kd.model.request import Labels, Request
from espnet_kd.teachers.base import Question
from espnet_kd.teachers.build import hash_teacher, load_teacher
from espnet_kd.teachers.live import LiveTeacher

SIZES = ({"width": 12, "blocks": 2}, {"width": 16, "blocks": 4})
TAPS = ("encoder.encoders.0", "encoder.encoders.3")
LOSSES = [
    {"type": "ctc_frame_kl", "weight": 0.3},
    {"type": "token_kl", "weight": 0.7},
    {"type": "hidden_mse", "weight": 0.2, "name": "one", "student": "encoder"}
    | {"teacher": "encoder.encoders.0"},
    {"type": "hidden_l1_cosine", "weight": 0.2, "name": "two", "student": "encoder"}
    | {"teacher": "other:encoder.encoders.3"},
    {"type": "hidden_cka", "weight": 0.2, "student": "encoder"}
    | {"teacher": [f"other:{tap}" for tap in TAPS]},
    {"type": "hidden_mse", "weight": 0.2, "name": "all", "layers": "other:uniform"},
]


def labels_of(batch) -> Labels:
    """What the student's decoder is given: start, then the text."""
    text = batch["text"].masked_fill(batch["text"] < 0, len(TOKENS) - 1)
    start = torch.full_like(text[:, :1], len(TOKENS) - 1)
    return Labels(torch.cat([start, text], 1), batch["text_lengths"] + 1)


def write(exp, folder, place, taps, batch):
    """A cache of a teacher's targets of a batch, and what is read of it."""
    config = TeacherConfig(str(exp))
    guest = load_teacher(config, task_class("asr"))
    labels = labels_of(batch)
    said = guest(Question(batch, Request(ctc=True, decoder=True, taps=taps), labels))
    said.ys_in_pad, said.ys_in_lens = labels.ys_in_pad, labels.ys_in_lens
    size = SIZES[place]
    header = Header(str(exp), hash_teacher(config), tuple(TOKENS), 0, ("ctc", "decoder"))
    header = Header(
        **vars(header)
        | {"taps": taps, "widths": (size["width"],) * len(taps), "layers": size["blocks"]}
        | {"tolerance": 0.0, "dtype": "float32"}
    )
    shard = Shard(folder, 1, header)
    for entry in entries_of(said, batch["utt_id"], header):
        shard.add(entry)
    merge(folder, batch["utt_id"])
    return batch_of(Cache([folder]).read(batch["utt_id"]), place)


@pytest.fixture
def teachers(tmp_path):
    """Two experiments, the second one with a name and three times the weight."""
    for place, size in enumerate(SIZES):
        model = build_asr(seed=5 + place, **size)
        write_exp(tmp_path / f"t{place}", model, asr_options(**size))
    exps = [str(tmp_path / f"t{place}") for place in range(2)]
    return [{"exp": exps[0]}, {"exp": exps[1], "name": "other", "weight": 3.0}]


@pytest.fixture
def cached(teachers, batch, tmp_path):
    """Directories of both teachers' targets, and the batch that brings them along."""
    given, folders = dict(batch), []
    for place, taps in enumerate((TAPS[:1], TAPS)):
        folders.append(str(tmp_path / f"cache{place}"))
        exp = teachers[place]["exp"]
        given |= write(exp, tmp_path / f"cache{place}", place, taps, batch)
    return folders, given


def learned(student, conf, batch, given):
    """Loss, gradients and stats of a pass; the projections are drawn alike."""
    example = {key: batch[key] for key in ("speech", "speech_lengths")}
    torch.manual_seed(0)
    espnet_kd.attach(student.eval(), conf, example=example)
    student.zero_grad()
    loss, stats, _ = student(**clone(given))
    loss.sum().backward()
    grads = [p.grad.flatten() for p in student.parameters()]
    espnet_kd.detach(student)
    named = {key: value for key, value in stats.items() if key.startswith("loss_kd")}
    return loss.detach(), torch.cat(grads), named


def test_from_disk_they_teach_what_they_do_live(
    student, batch, teachers, cached, monkeypatch
):
    """Loss, every term and all gradients, but for the halves that hidden values are."""
    folders, given = cached
    say = LiveTeacher.__call__

    def halved(self, question):
        said = say(self, question)
        for hidden in said.hidden.values():
            hidden.values.copy_(hidden.values.half())
        return said

    monkeypatch.setattr(LiveTeacher, "__call__", halved)
    conf = {"teachers": teachers, "losses": LOSSES}
    live = learned(student, conf, batch, batch)
    read = learned(student, conf | {"targets": folders}, batch, given)
    assert all(value > 0 for value in live[2].values())
    torch.testing.assert_close(read, live, rtol=1e-6, atol=1e-6)


def test_a_layer_that_was_not_written_is_named_with_its_option(
    student, batch, teachers, cached
):
    term = LOSSES[3] | {"teacher": "other:encoder.encoders.2"}
    conf = {"teachers": teachers, "losses": [LOSSES[0], term], "targets": cached[0]}
    with pytest.raises(
        KDError, match=r"no hidden 'encoder.encoders.2' .*--tap encoder\.en"
    ):
        espnet_kd.attach(student, conf)


def test_a_name_that_no_cache_can_know_is_refused(student, cached):
    """Without 'teachers' nobody says which of the caches is meant."""
    with pytest.raises(KDError, match="no teacher has the 'name: other'; known: none"):
        espnet_kd.attach(student, {"losses": [LOSSES[3]], "targets": cached[0]})
