"""Trainings that are checked beforehand: one that is well, and many that are broken."""

import re

import numpy as np
import pytest
import torch
from conftest import ENCODER, TOKENS, asr_options, build_asr, write_exp
from training import write_kd, write_targets
from trials import (
    Trial,
    student_command,
    write_corpus,
    write_packed_teacher,
    write_teacher,
)

from espnet_kd.bin import check
from espnet_kd.bin.check import BROKEN, UNWISE, WELL
from espnet_kd.checkup import step_cost
from espnet_kd.host.kaldi_dir import read_table


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The corpus and the teacher that all trials share."""
    root = tmp_path_factory.mktemp("check")
    return write_corpus(root / "data"), write_teacher(root / "teacher")


@pytest.fixture
def trial(made, tmp_path, capsys):
    return Trial(tmp_path, *made, capsys)


def test_a_training_that_is_well_is_told_what_it_does(trial):
    status, printed, sentences = trial.check()
    assert (status, sentences) == (0, []), printed
    assert printed.splitlines()[-1] == WELL
    student, teacher = (build_asr(width=w, blocks=b) for w, b in ((8, 2), (12, 3)))
    sizes = [sum(p.numel() for p in model.parameters()) for model in (student, teacher)]
    assert f"Distillation of ESPnetASRModel, {sizes[0]:,} parameters, by " in printed
    teachers_line = f"{trial.teacher} (valid.acc.ave.pth, which its training selected): "
    assert f"teacher {teachers_line}ESPnetASRModel, {sizes[1]:,} parameters" in printed
    assert f"vocabulary: {len(TOKENS)} tokens, the same in both models" in printed
    assert "one rate, each frame is compared with its own" in printed
    assert f"hidden_l1_cosine: adds {8 * 12 + 12} parameters" in printed
    assert re.search(r"^  the student's own loss: [\d.]+ times 1 counts", printed, re.M)
    for name, weight in (("ctc_frame_kl", 0.3), ("token_kl", 0.7)):
        found = re.search(
            rf"^  {name}: ([\d.]+) times {weight} counts ([\d.]+)$", printed, re.M
        )
        assert float(found[2]) == pytest.approx(weight * float(found[1]), rel=1e-3)
    # It says the word of every utterance, and nothing else.
    assert (
        f"errors on 3 validation utterances (words, greedy CTC): {trial.teacher} 0.0 %"
        in printed
    )
    assert re.search(r"a step on this CPU: \S+ s distilled, \S+ s stock, ", printed)
    assert re.search(r"memory of a step beside parameters: \S+ MiB distilled", printed)
    # 8 utterances by 2, two epochs.
    assert "the whole training: 2 epochs of 4 batches, 8 updates, " in printed


UNWISE_ONES = {
    "untrained": "as an untrained model does; check that its checkpoint, token list",
    "random": "starts at random, though the teacher's were worth more",
    "loud": "over 100 times less, so that the student hardly hears it; change a weight",
    "slow": "rises over 9,000 updates and the training has 8, so that it is never reached",
    "known": "there is nothing to learn from it; name a better teacher",
    "unknown": "100% of the transcripts' tokens are <unk>; check that --token_list",
}


# What needs no validation data is in the log of a training as well.
LOGGED = ("random", "loud", "slow")


@pytest.mark.parametrize("case", UNWISE_ONES)
def test_what_is_unwise_is_named_with_its_remedy(case, trial, caplog):
    terms, more = [], {}
    if case == "untrained":
        trial.teacher = write_teacher(trial.root / "teacher", sure=0)
    elif case == "random":
        more["init_param"] = []
    elif case == "loud":
        terms = [{"weight": 1e4}]
    elif case == "slow":
        more["kd"] = {"schedule": {"warmup_steps": 9000}}
    elif case == "unknown":
        trial.corpus = write_corpus(trial.root / "data", word="z")
        trial.teacher = write_teacher(trial.root / "teacher", word="<unk>")
    elif case == "known":
        terms = [{"weight": 0}]
        start = build_asr(3, width=8, blocks=2)
        with torch.no_grad():
            start.ctc.ctc_lo.bias[TOKENS.index("c")] += 8
        torch.save(start.state_dict(), trial.root / "start.pth")
    status, printed, sentences = trial.check(*terms, **more)
    assert status == 1, printed
    assert UNWISE in printed
    assert [s for s in sentences if UNWISE_ONES[case] in s], sentences
    assert len(sentences) == 1, sentences
    warned = [r.getMessage() for r in caplog.records if r.name.startswith("espnet_kd")]
    assert (sentences[0] in warned) == (case in LOGGED)


def test_a_teacher_of_another_frame_rate_is_doubted(trial):
    conf = {"output_size": 12, "num_blocks": 3, "input_layer": "conv2d6"}
    conf |= {"attention_heads": 2, "linear_units": 16}
    trial.teacher = write_teacher(trial.root / "teacher", encoder_conf=conf)
    status, printed, sentences = trial.check()
    assert status == 1, printed
    assert re.search(
        r"the teacher has 0\.\d+ frames to one of the student's: losses that "
        r".*; give the student the teacher's subsampling",
        sentences[0],
    )
    assert re.search(r"each of the teacher's is repeated 1\.\d+ times", printed)


def test_a_student_that_is_its_teacher_is_doubted(trial):
    options = {"normalize": "utterance_mvn", "normalize_conf": {}}
    trial.teacher = write_teacher(trial.root / "teacher", width=8, blocks=2, **options)
    (trial.root / "start.pth").write_bytes(
        (trial.teacher / "valid.acc.ave.pth").read_bytes()
    )
    status, _, sentences = trial.check({}, {}, {"teacher": "encoder.encoders.1"})
    assert status == 1
    assert "one model with the same weights" in sentences[0]
    assert "name another teacher, or another --init_param" in sentences[0]


def streaming(**blocks):
    """Settings of a student that hears blocks."""
    conf = ENCODER | {"output_size": 8, "num_blocks": 2, "block_size": 6, "hop_size": 3}
    conf |= {"look_ahead": 2} | blocks
    return {"encoder": "contextual_block_transformer", "encoder_conf": conf}


def test_a_streaming_student_of_an_offline_teacher_is_doubted(trial, caplog):
    """Once, by the training's log as well; its other terms are not."""
    settings = streaming()
    start = build_asr(3, normalize="utterance_mvn", normalize_conf={}, **settings)
    torch.save(start.state_dict(), trial.root / "start.pth")
    status, printed, sentences = trial.check(**settings)
    assert status == 1, printed
    (sentence,) = sentences
    assert sentence.startswith("ctc_frame_kl: the student hears blocks of 6 frames, 2 ahea")
    assert "use ctc_shift_kl with a max_shift_ms" in sentence
    assert sentence.endswith("or --kd_conf streaming")
    assert caplog.messages.count(sentence) == 1


def test_a_streaming_student_is_checked_in_both_its_modes(trial):
    training = student_command(trial.corpus, trial.root, init_param=[], **streaming())
    conf = ["--kd_conf", "dual_mode", "--kd_conf", "losses.0.weight=5"]
    status, printed, sentences = trial.run([*training, *conf])
    assert (status, sentences) == (0, []), printed
    assert "goes through the student twice, in its blocks and whole; all losses" in printed
    assert re.search(r"^  mode_consistency: \d\S* times 5 counts", printed, re.M)


def told(answer):
    """Status 2, and why."""
    status, printed, sentences = answer
    assert status == 2, printed
    assert BROKEN in printed
    return sentences


def refused(answer, *texts):
    """Status 2, and as many sentences as are said, each with its text."""
    sentences = told(answer)
    assert len(sentences) == len(texts), sentences
    for text in texts:
        assert [s for s in sentences if text in s], (text, sentences)


def test_blocks_that_do_not_fit_are_refused(trial):
    """ESPnet would say that a tensor of 10 does not match one of 0."""
    settings = streaming(look_ahead=4)
    start = build_asr(3, normalize="utterance_mvn", normalize_conf={}, **settings)
    torch.save(start.state_dict(), trial.root / "start.pth")
    text = "holds a step of at least 1 (hop_size: 3) and what is heard ahead of it (look_a"
    refused(trial.check(**settings), text)


def test_the_directory_of_the_teacher_is_not_trained_into(trial):
    training = student_command(trial.corpus, trial.root)
    training[training.index("--output_dir") + 1] = str(trial.teacher)
    conf = ["--kd_conf", "recommended", "--kd_conf", f"teachers.0.exp={trial.teacher}"]
    before = sorted(trial.teacher.iterdir())
    refused(trial.run([*training, *conf]), "teachers[0].exp: is the training's own")
    assert sorted(trial.teacher.iterdir()) == before


def test_every_reason_is_told_at_once(trial):
    """Student and teacher, and data that the training would have met much later."""
    trial.corpus = write_corpus(trial.root / "data")
    (trial.corpus / "dev" / "text").write_text("dev-0 c\n")
    trial.teacher = write_teacher(trial.root / "teacher", tokens=[*TOKENS[:-1], "z", "<s>"])
    no_tap = {"student": "encoder.encoders.7", "teacher": "encoder.encoders.8"}
    refused(
        trial.check({}, {}, no_tap),
        "no module 'encoder.encoders.7'; it has encoder.encoders.0",
        "no module 'encoder.encoders.8'; it has encoder.encoders.0",
        "student and teacher have different token lists (11 and 12 tokens",
        "has no line of 3 of the 4 utterances that the shape file has, first 'dev-1'",
    )


def test_token_lists_that_differ_are_named(trial):
    options = {"tokens": [*TOKENS[:-2], "z", TOKENS[-1]]}
    trial.teacher = write_teacher(trial.root / "teacher", **options)
    refused(trial.check(), "student and teacher have different token lists (11 and 11 tok")


@pytest.mark.parametrize(
    ("who", "sentence"),
    [
        ("teacher", "hold nan or inf for 1 utterance(s), first "),
        ("student", "the student's own loss is nan on the first batch, so that nothing"),
    ],
)
def test_weights_that_are_not_finite_are_named(who, sentence, trial):
    options = asr_options(width=12, blocks=3)
    model = build_asr(5, width=12, blocks=3)
    if who == "student":
        model = build_asr(3, width=8, blocks=2)
    with torch.no_grad():
        next(model.encoder.parameters()).fill_(float("nan"))
    if who == "teacher":
        trial.teacher = write_exp(trial.root / "teacher", model, options)
        refused(trial.check(), sentence)
        return
    torch.save(model.state_dict(), trial.root / "start.pth")
    status, printed, sentences = trial.check()
    assert status == 2, printed
    assert sentence in sentences[0]
    assert "check --init_param" in sentences[0]


def test_a_student_without_ctc_is_named(trial):
    answer = trial.check(model_conf={"ctc_weight": 0.0}, init_param=[])
    refused(answer, "the student has no CTC layer (ctc_weight is 0); train it with one")


def written_by(teacher, trial):
    """The kd_conf of targets of CTC, written by a teacher for all of a trial's data."""
    for split in ("train", "dev"):
        write_targets(teacher, trial.corpus / split, trial.root / f"cache_{split}")
    targets = [str(trial.root / f"cache_{split}") for split in ("train", "dev")]
    return {"losses": [{"type": "ctc_frame_kl", "weight": 1.0}], "targets": targets}


def test_targets_on_disk_are_heard_like_their_teacher(trial):
    status, printed, _ = trial.check(kd=written_by(trial.teacher, trial))
    assert status == 0, printed
    assert f"(words, greedy CTC): {trial.teacher} 0.0 %, the student" in printed
    assert "no pass of the teacher, its targets are read from disk" in printed


def test_targets_of_another_teacher_are_named(trial):
    other = write_teacher(trial.root / "other", seed=6)
    refused(trial.check(kd=written_by(other, trial)), "were written by")


HIDDEN = {"type": "hidden_mse", "weight": 1.0, "student": "encoder", "teacher": "encoder"}


def test_a_packed_teacher_is_heard_by_the_pieces_in_its_zip(trial):
    trial.teacher = write_packed_teacher(trial.root / "teacher")
    status, printed, _ = trial.check(kd={"losses": [HIDDEN]})
    assert status == 0, printed
    assert f"(words, greedy CTC): {trial.teacher} 0.0 %, the student" in printed


def test_a_teacher_of_other_tokens_is_heard_in_its_own(trial):
    tokens = [TOKENS[0], TOKENS[1], "z", *TOKENS[2:]]
    trial.teacher = write_teacher(trial.root / "teacher", tokens=tokens, sure=0)
    weights = trial.teacher / "valid.acc.ave.pth"
    state = torch.load(weights)
    state["ctc.ctc_lo.bias"][tokens.index("c")] += 8
    torch.save(state, weights)
    status, printed, _ = trial.check(kd={"losses": [HIDDEN]})
    assert status == 0, printed
    assert "vocabulary: the student's 11 tokens; none of the losses compares any" in printed
    assert f"(words, greedy CTC): {trial.teacher} 0.0 %, the student" in printed


def test_slow_batches_are_tried_by_their_first_utterances(trial, monkeypatch):
    monkeypatch.setattr(step_cost, "SLOW", 0.0)
    monkeypatch.setattr(step_cost, "FEW", 1)
    status, printed, _ = trial.check(batch_type="sorted")
    assert status == 0, printed
    # Padded, the other utterance of two is as large.
    assert "On a training batch of 1 utterances (of a batch 2.0 times as large):" in printed


def test_what_needs_gpus_is_checked_without(trial):
    more = ["--ngpu", "2", "--multiprocessing_distributed", "true", "--use_amp", "true"]
    status, printed, _ = trial.check(cmd=more)
    assert status == 0, printed
    refused(trial.check(cmd=["--ngpu", "2"]), "ngpu: is 2 with DataParallel")


def test_audio_is_checked_as_features_are(trial):
    soundfile = pytest.importorskip("soundfile")
    frontend = {"frontend_conf": {"fs": 16000, "n_fft": 512, "hop_length": 160}}
    frontend |= {"normalize_conf": {}, "normalize": "utterance_mvn"}
    given = frontend | {"input_size": None, "frontend": "default"}
    trial.corpus = write_corpus(trial.root / "data")
    noise = np.random.default_rng(0)
    for split in ("train", "dev"):
        folder, lines, shapes = trial.corpus / split, [], []
        for n, utt in enumerate(read_table(folder / "text")):
            samples = 8000 + 160 * n
            soundfile.write(folder / f"{utt}.wav", noise.normal(0, 0.1, samples), 16000)
            lines.append(f"{utt} {folder}/{utt}.wav\n")
            shapes.append(f"{utt} {samples}\n")
        (folder / "wav.scp").write_text("".join(lines))
        (folder / "feats_shape").write_text("".join(shapes))
    trial.teacher = write_teacher(trial.root / "teacher", **given)
    conf = write_kd(trial.root / "kd.yaml", trial.teacher)
    training = student_command(trial.corpus, trial.root, init_param=[], **frontend)
    place = training.index("--input_size")
    training[place : place + 2] = ["--frontend", "default"]
    changed = [
        w.replace("feats.scp,speech,kaldi_ark", "wav.scp,speech,sound") for w in training
    ]
    status, printed, _ = trial.run([*changed, "--kd_conf", conf])
    assert status == 1, printed
    # Half a second, 50 frames of 10 ms and one more, subsampled by four.
    assert re.search(r"of an example: 24 frames of the student's, 24 of", printed), printed
    assert "  frame rates: " in printed


def test_utterances_that_are_too_short_are_named(trial):
    trial.corpus = write_corpus(trial.root / "data", {"train-9": 5})
    answer = trial.check(batch_size=1, batch_type="sorted")
    refused(
        answer,
        "the first batch (train-9) is shorter than the student's subsampling needs (TooS",
    )


def test_utterances_with_fewer_frames_than_tokens_are_doubted(trial):
    trial.corpus = write_corpus(trial.root / "data")
    shapes = "".join(f"train-{n} {3 if n else 40}\n" for n in range(8))
    (trial.root / "text_shape").write_text(shapes)
    cmd = ["--train_shape_file", f"{trial.root}/text_shape"]
    status, printed, sentences = trial.check(cmd=cmd)
    assert status == 1, printed
    assert sentences == [
        "1 of 8 utterances have fewer encoder frames than tokens, first train-0, so that "
        "CTC has no way through them; drop them (--min_seconds in stage 4 of the recipe), "
        "or subsample less"
    ]


def test_data_that_cannot_be_read_are_named(trial):
    trial.corpus = write_corpus(trial.root / "data")
    ark = trial.corpus / "train" / "feats.ark"
    ark.write_bytes(np.random.default_rng(0).bytes(ark.stat().st_size))
    status, printed, sentences = trial.check()
    assert status == 2, printed
    assert sentences[0].startswith("the train data cannot be read (")
    assert "check that every file that its lists name is there" in sentences[0]
    (trial.corpus / "dev" / "feats.ark").unlink()
    status, _, sentences = trial.check()
    assert status == 2
    assert "names 1 files that are not there, first " in sentences[0]


def test_a_module_that_is_no_training_is_named(capsys):
    with pytest.raises(SystemExit) as stop:
        check.main(["-m", "espnet2.bin.asr_trian", "--kd_conf", "x"])
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert (
        "is no training that can be checked; did you mean 'espnet2.bin.asr_train'?" in said
    )


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ([], "no --kd_conf is given"),
        (["--no_such", "1"], "unrecognized arguments: --no_such"),
        (
            ["--kd_conf", "no_such_conf"],
            "no such file, and no configuration of that name comes with",
        ),
        (
            ["--kd_conf", "recommended", "--kd_conf", "losses.0.weight=-1"],
            "losses[0].weight",
        ),
    ],
)
def test_arguments_that_no_training_takes_are_named(more, named, trial):
    training = student_command(trial.corpus, trial.root)
    (sentence,) = told(trial.run([*training, *more]))
    assert named in sentence
