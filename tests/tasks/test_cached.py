"""Trainings from cached targets: as from the live teacher, or refused by name."""

import argparse
import contextlib
import io
import multiprocessing
import random
import time

import numpy as np
import pytest
import torch
import yaml
from conftest import build_asr, clone
from training import MASKS, SPECAUG, arguments, cache_command, weights, write_targets

import espnet_kd
from espnet_kd.bin import cache_info, cache_teacher, merge_cache, train_codebooks
from espnet_kd.cache.entries import batch_of, entries_of
from espnet_kd.cache.header import Header
from espnet_kd.cache.reader import Cache
from espnet_kd.cache.writer import Shard, merge
from espnet_kd.config.parse import parse_config
from espnet_kd.errors import AlignmentError, ConfigError, KDError, TeacherError
from espnet_kd.losses import LOSSES
from espnet_kd.model.request import Labels, Request
from espnet_kd.teachers.base import Question
from espnet_kd.teachers.build import build_teacher
from espnet_kd.teachers.live import LiveTeacher

TERMS = [
    {"type": "ctc_frame_kl", "weight": 0.3},
    {"type": "token_kl", "weight": 0.7, "temperature": 2.0},
]
HIDDEN = {"type": "hidden_mse", "weight": 0.1, "student": "encoder", "teacher": "encoder"}
PARTS, TAP = ("--parts", "ctc,decoder"), ("--tap", "encoder")
# A writer that is killed has everything imported already.
FORK = multiprocessing.get_context("fork")


def train(features, out, kd=None, **options):
    from espnet_kd.tasks.variants import KDASRTask

    conf = ["--kd_conf", str(kd)] if kd else []
    options = {"specaug_conf": MASKS} | options
    KDASRTask.main(cmd=[*arguments(features, out, **options), *conf])


def teachers_command(root, features, out, *more):
    return cache_command(root / "teacher", features / "train", out, *PARTS, *TAP, *more)


def write_kd(root, **more):
    path = root / f"kd{len(list(root.glob('kd*.yaml')))}.yaml"
    conf = {"targets": [str(root / "cache" / s) for s in ("train", "dev")]}
    conf |= {"losses": [*TERMS, HIDDEN], "teachers": [{"exp": str(root / "teacher")}]}
    path.write_text(yaml.safe_dump(conf | more))
    return path


@pytest.fixture(scope="module")
def root(features, tmp_path_factory):
    """A teacher and its targets of all data."""
    root = tmp_path_factory.mktemp("cached")
    train(features, root / "teacher", role="teacher", seed=5)
    for split in ("train", "dev"):
        out = root / "cache" / split
        write_targets(root / "teacher", features / split, out, *PARTS, *TAP)
    return root


@pytest.fixture
def same(student, teacher, batch, tmp_path):
    """A batch with the teacher's targets of it, everything kept in float32."""
    guest = LiveTeacher(teacher)
    labels = torch.full((3, 5), 10)
    labels[:, 1:] = batch["text"].masked_fill(batch["text"] < 0, 10)
    lens = batch["text_lengths"] + 1
    request = Request(ctc=True, decoder=True, taps=("encoder",))
    said = guest(Question(batch, request, Labels(labels, lens)))
    said.ys_in_pad, said.ys_in_lens = labels, lens
    header = Header(
        "exp/t",
        "t",
        tuple(teacher.token_list),
        0,
        ("ctc", "decoder"),
        ("encoder",),
        (12,),
        tolerance=0.0,
        temperatures={"decoder": (1.0, 2.0)},
        dtype="float32",
    )
    shard = Shard(tmp_path / "c", 1, header)
    for entry in entries_of(said, batch["utt_id"], header):
        shard.add(entry)
    merge(tmp_path / "c", batch["utt_id"])
    return tmp_path / "c", batch | batch_of(Cache([tmp_path / "c"]).read(batch["utt_id"]))


def test_loss_and_gradients_are_the_live_teachers(same, student, teacher, batch):
    directory, cached = same
    results = []
    for conf, guest, given in (
        ({}, teacher, batch),
        ({"targets": str(directory)}, None, cached),
    ):
        espnet_kd.attach(student, {"losses": TERMS} | conf, guest)
        student.eval().zero_grad()
        loss, stats, _ = student(**clone(given))
        loss.sum().backward()
        grads = torch.cat([p.grad.flatten() for p in student.parameters()])
        results.append((loss.detach(), grads, stats["loss_kd"]))
        espnet_kd.detach(student)
    for live, read in zip(*results, strict=True):
        torch.testing.assert_close(read, live, rtol=1e-6, atol=1e-6)


def test_hidden_targets_are_read_in_half_precision(same, student, teacher, batch):
    directory, cached = same
    example = {key: batch[key] for key in ("speech", "speech_lengths")}
    values = []
    for conf, guest, given in (
        ({}, teacher, batch),
        ({"targets": str(directory)}, None, cached),
    ):
        torch.manual_seed(0)  # of the projection
        conf = {"losses": [HIDDEN]} | conf
        espnet_kd.attach(student.eval(), conf, guest, example=example)
        values.append(student(**clone(given))[1]["loss_kd_hidden_mse"])
        espnet_kd.detach(student)
    torch.testing.assert_close(values[0], values[1], rtol=1e-3, atol=1e-4)


def test_another_text_is_refused(same, student):
    directory, cached = same
    espnet_kd.attach(student, {"losses": TERMS, "targets": str(directory)})
    cached["text"][1, 0] = 9
    with pytest.raises(KDError, match="decoder targets of 'utt-b' are of another text"):
        student(**clone(cached))


def test_a_training_learns_indices_of_a_layer(root, features, tmp_path):
    """By the stock command, without a teacher; the heads are in no checkpoint."""
    file, layer = tmp_path / "codebooks.npz", "encoder.encoders.1"
    line = ["--exp", str(root / "teacher"), "--tap", layer, "--output", str(file)]
    line += ["--count", "2", "--centroids", "8", "--data_path_and_name_and_type"]
    train_codebooks.main([*line, f"{features}/train/feats.scp,speech,kaldi_ark"])
    written = ("--parts", "codebooks", "--codebooks", str(file))
    for split in ("train", "dev"):
        write_targets(root / "teacher", features / split, tmp_path / split, *written)
    taps = {"student": "encoder.encoders.0", "teacher": layer}
    term = {"type": "codebook_ce", "weight": 0.1, "reduction": "token", **taps}
    conf = {"targets": [str(tmp_path / s) for s in ("train", "dev")], "losses": [term]}
    kd = tmp_path / "kd.yaml"
    kd.write_text(yaml.safe_dump(conf))
    train(features, tmp_path / "student", kd, seed=7)
    state = torch.load(tmp_path / "student" / "checkpoint.pth", weights_only=False)
    assert not [name for name in state["model"] if "kd_" in name]
    epochs = [state["reporter"]["stats"][n] for n in (1, 2)]
    values = [epoch["train"]["loss_kd_codebook_ce"] for epoch in epochs]
    assert values[1] < values[0] < 1.5 * np.log(8)
    assert epochs[1]["valid"]["loss_kd_codebook_ce"] > 0


@pytest.mark.parametrize("workers", [0, 2])
def test_a_training_reads_them_in_its_data_workers(root, features, workers):
    out = root / f"student{workers}"
    train(features, out, write_kd(root), seed=7, num_workers=workers)
    state = torch.load(out / "checkpoint.pth", weights_only=False)
    for split in ("train", "valid"):
        stats = state["reporter"]["stats"][2][split]
        for term in (*TERMS, HIDDEN):
            assert stats[f"loss_kd_{term['type']}"] > 0
    assert stats["kd_teacher_acc"] >= 0
    assert "encoder" not in state["optimizers"][0]["espnet_kd"]["kd_projections"]


def test_decoding_reads_no_targets(root):
    """The student's config names them; by then they may be gone."""
    from espnet_kd.tasks.variants import KDASRTask

    config = yaml.safe_load((root / "student0" / "config.yaml").read_text())
    assert config["kd_conf"]["targets"]
    collate = KDASRTask.build_collate_fn(argparse.Namespace(**config), train=False)
    _, batch = collate([("new", {"speech": np.zeros((5, 20), np.float32)})])
    assert set(batch) == {"speech", "speech_lengths"}


def test_workers_change_nothing(root):
    one, two = (weights(root / f"student{n}") for n in (0, 2))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_it_teaches_what_the_live_teacher_does(root, features):
    """The same run but for the rounding, where no batch pads: one by one, as written."""
    values = []
    for name, kd in (("live", write_kd(root, targets="live")), ("read", write_kd(root))):
        train(features, root / name, kd, seed=7, batch_size=1, max_epoch=1)
        state = torch.load(root / name / "checkpoint.pth", weights_only=False)
        values.append(state["reporter"]["stats"][1]["train"]["loss_kd"])
    assert values[1] == pytest.approx(values[0], rel=2e-3)


def test_a_cache_needs_no_teacher_beside_it(root, features):
    kd = write_kd(root, teachers=[])
    train(features, root / "alone", kd, seed=7, max_epoch=1)
    state = torch.load(root / "alone" / "checkpoint.pth", weights_only=False)
    assert state["reporter"]["stats"][1]["train"]["loss_kd_token_kl"] > 0


def test_another_teacher_beside_it_is_refused(root, features):
    train(features, root / "other", role="teacher", seed=6, max_epoch=1)
    kd = write_kd(root, teachers=[{"exp": str(root / "other")}])
    with pytest.raises(TeacherError, match="has other weights or another config"):
        train(features, root / "wrong", kd)


@pytest.fixture(scope="module")
def second(root, features):
    """Another teacher, and its targets of all data."""
    (root / "second").mkdir()
    train(features, root / "second" / "teacher", role="teacher", seed=6, max_epoch=1)
    for split in ("train", "dev"):
        out = root / "second" / split
        write_targets(root / "second" / "teacher", features / split, out, *PARTS)
    return root / "second"


def both(root, second, teachers):
    targets = [str(root / "cache" / s) for s in ("train", "dev")]
    targets += [str(second / s) for s in ("dev", "train")]
    return write_kd(root, targets=targets, teachers=teachers, losses=TERMS)


def test_caches_of_two_teachers_teach_as_the_two_do(root, second, features):
    """The order of the directories is nobody's; that of the teachers gives the weights."""
    teachers = [
        {"exp": str(second / "teacher"), "weight": 3},
        {"exp": str(root / "teacher")},
    ]
    live = write_kd(root, targets="live", teachers=teachers, losses=TERMS)
    values = []
    for name, kd in (("live2", live), ("cached2", both(root, second, teachers))):
        train(features, root / name, kd, seed=7, batch_size=1, max_epoch=1)
        state = torch.load(root / name / "checkpoint.pth", weights_only=False)
        values.append(state["reporter"]["stats"][1]["train"]["loss_kd"])
    assert values[1] == pytest.approx(values[0], rel=2e-3)


def test_unnamed_caches_count_alike(root, second, student):
    guest = build_teacher(
        parse_config(yaml.safe_load(both(root, second, []).read_text()), LOSSES), student
    )
    assert guest.weights.tolist() == [0.5, 0.5]
    assert [t.header.teacher for t in guest.teachers] == [
        str(root / "teacher"),
        str(second / "teacher"),
    ]


def test_caches_of_one_teacher_cannot_be_combined(root, student):
    conf = yaml.safe_load(write_kd(root, teachers=[], combine="draw").read_text())
    with pytest.raises(TeacherError, match=r"^'combine: draw' is of several teachers, and"):
        build_teacher(parse_config(conf, LOSSES), student)


def test_a_cache_of_no_named_teacher_is_refused(root, second, features):
    kd = both(root, second, [{"exp": str(root / "teacher")}])
    with pytest.raises(TeacherError, match=r"targets of .*second/teacher, which is not"):
        train(features, root / "wrong", kd)


def test_data_that_is_not_cached_is_refused(root, features):
    kd = write_kd(root, targets=str(root / "cache" / "train"))
    with pytest.raises(KDError, match="no targets of 6 of 6 utterances of the valid data"):
        train(features, root / "gap", kd)


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"specaug_conf": SPECAUG}, "specaug_conf.apply_time_warp"),
        ({"specaug_conf": {"apply_freq_mask": True}}, "specaug_conf.apply_time_warp"),
        ({"iterator_type": "chunk"}, "iterator_type"),
        (
            {"preprocessor_conf": {"data_aug_effects": [[1.0, "speed_perturb", {}]]}},
            "data_aug_effects",
        ),
    ],
)
def test_augmentation_that_moves_frames_is_refused(root, features, options, path):
    with pytest.raises(ConfigError, match=rf"{path}: .*use 'targets: live'"):
        train(features, root / "warped", write_kd(root), **options)


def test_another_token_list_is_refused(same):
    directory, _ = same
    student = build_asr(tokens=["<blank>", "<unk>", "x", "<sos/eos>"])
    with pytest.raises(AlignmentError, match=r"different token lists .*2: student 'x'"):
        espnet_kd.attach(student, {"losses": TERMS, "targets": str(directory)})


def test_info_and_estimate(root, features, capsys):
    cache = ["--cache", str(root / "cache" / "train")]
    cache_info.main([*cache, "--key_file", f"{features}/train/text"])
    text = capsys.readouterr().out
    assert "covers all 24 utterances" in text
    assert "parts: ('ctc', 'decoder')" in text
    cache_teacher.main(teachers_command(root, features, root / "none", "--estimate"))
    assert "MB for 24 utterances (from the first 20" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"cache_info: .*no targets of 6 of 6"):
        cache_info.main([*cache, "--key_file", f"{features}/dev/text"])


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--parts", "ctc,attention"], "'attention' is none of ctc, decoder, nbest"),
        (["--tap", "decoder"], "hidden representations of encoders only"),
        (["--tap", "encoder.encoders.9"], "no module 'encoder.encoders.9'"),
    ],
)
def test_what_cannot_be_written_is_said(root, features, more, message, tmp_path):
    with pytest.raises(SystemExit, match=f"cache_teacher: .*{message}"):
        cache_teacher.main(teachers_command(root, features, tmp_path / "x", *more))


def test_a_writer_killed_at_any_time_goes_on(root, features, tmp_path):
    command = teachers_command(root, features, tmp_path / "killed")
    index = tmp_path / "killed" / "targets.1.scp"
    rng = random.Random(0)
    for _ in range(20):
        process = FORK.Process(target=write_quietly, args=(command,))
        before = index.stat().st_size if index.exists() else 0
        process.start()
        # From its first new entry on, a moment more.
        while process.is_alive() and not (index.exists() and index.stat().st_size > before):
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.02))
        process.kill()
        process.join()
    write_quietly(command)
    keys = ["--key_file", f"{features}/train/text"]
    merge_cache.main(["--cache", str(tmp_path / "killed"), *keys])
    whole = root / "cache" / "train" / "targets.1.ark"
    assert (tmp_path / "killed" / "targets.1.ark").read_bytes() == whole.read_bytes()


def write_quietly(command):
    with contextlib.redirect_stderr(io.StringIO()):
        cache_teacher.main(command)
