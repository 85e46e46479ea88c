"""The recipe end to end, as a user runs it, with models too small to learn anything.

Both ESPnet lines run every stage of the main job; what else the shell can do they share.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import kaldiio
import numpy as np
import pytest
import torch
import yaml
from conftest import SHARED
from pairs.world import write_lm
from recipe_runs import NEEDS_SCLITE, WORDS, checkout, run

from espnet_kd.host.kaldi_dir import read_table
from espnet_kd.student.compressed import is_compressed

LIBRISPEECH = SHARED / "LibriSpeech"
# A teacher that knows nothing transcribes nothing.
TRANSCRIBED = (
    "--student_train_set",
    "train_small",
    "--unlabelled_set",
    "",
)
TINY = [
    *("--teacher_config", "conf/tiny/teacher.yaml"),
    *("--student_config", "conf/tiny/student.yaml", "--kd_config", "conf/tiny/kd.yaml"),
    *("--inference_configs", "conf/tiny/decode.yaml"),
    *("--teacher_max_wer", "1000", "--nbpe", "60", "--deploy", "true"),
    *TRANSCRIBED,
]
ROLES = ("teacher", "control", "parameters", "distilled")
STUDENTS = ("alone", "teacher's parameters", "distilled")
# Students that neither start from the teacher nor are compared with such.
RANDOM = ("--init_student", "false", "--parameters_control", "false")
pytestmark = [pytest.mark.slow, NEEDS_SCLITE]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """A copy of the recipe to run in, for a run writes beside its run.sh."""
    return checkout(tmp_path_factory.mktemp("checkout"), "an4", "librispeech")


def check_results(exp, test_set):
    """Four models scored and reported, the student packed."""
    report = (exp / "results" / "RESULTS.md").read_text()
    for title in ("teacher", *(f"student, {how}" for how in STUDENTS)):
        assert f"| {title} |" in report
    for title in ("Cost", "Differences", "Worst utterances of distilled 1"):
        assert f"#### {title}\n" in report
    page = (exp / "results" / "report.html").read_text()
    assert "loss_kd" in page
    assert len(page) < 5_000_000
    assert (exp / "results" / "wer_by_size.png").stat().st_size > 5000
    for model in (f"asr_{role}_s1" for role in ROLES):
        scores = json.loads((exp / model / "decode" / test_set / "score.json").read_text())
        assert scores["wer"]["sentences"] > 0
    distilled = exp / "asr_distilled_s1"
    assert (distilled / "packed.zip").stat().st_size > 10000
    assert is_compressed(distilled / "valid.acc.ave.int8.pth")
    for name in ("ctc.onnx", "ctc.int8.onnx"):
        assert (distilled / name).stat().st_size > 10000
    assert not list(exp.rglob("*.partial*"))


def decode_without_us(recipe, scp, packed, out):
    """Decode a packed model by stock ESPnet, with espnet_kd unimportable."""
    blocked = (
        "import sys, runpy\n"
        "sys.modules['espnet_kd'] = None\n"
        "from espnet2.main_funcs.pack_funcs import unpack\n"
        f"d = unpack({str(packed)!r}, {str(out / 'unpacked')!r})\n"
        "sys.argv = ['x', '--data_path_and_name_and_type',\n"
        f"  {scp + ',speech,kaldi_ark'!r},\n"
        f"  '--output_dir', {str(out)!r}, '--beam_size', '1', '--ctc_weight', '1.0',\n"
        "  '--asr_train_config', d['asr_train_config'],\n"
        "  '--asr_model_file', d['asr_model_file']]\n"
        "runpy.run_module('espnet2.bin.asr_inference', None, '__main__', alter_sys=True)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", blocked], cwd=recipe, capture_output=True, text=True
    )


def test_every_stage_on_the_mini_corpus(recipe, tmp_path):
    answer = run(recipe, *TINY, "--mini_scale", "0.1")
    assert answer.returncode == 0, answer.stderr[-3000:]
    check_results(recipe / "exp", "test")
    assert "SYNTHETIC" in answer.stderr
    assert "SYNTHETIC" in answer.stdout
    for noise in ("nltk", "flash", "warning"):
        assert noise not in (answer.stdout + answer.stderr).lower()
    assert "Estimated time to finish" in answer.stderr or "1/1epoch" in answer.stderr

    packed = recipe / "exp" / "asr_distilled_s1" / "packed.zip"
    decoded = decode_without_us(
        recipe, "dump/fbank/dev/final/feats.scp", packed, tmp_path / "out"
    )
    assert decoded.returncode == 0, decoded.stderr[-3000:]
    lines = (tmp_path / "out" / "1best_recog" / "text").read_text().splitlines()
    assert len(lines) == len((recipe / "dump/fbank/dev/final/text").open().readlines())


def test_a_second_run_does_nothing_again(recipe):
    marks = sorted((recipe / "exp").rglob("*.pth"))
    before = {path: path.stat().st_mtime_ns for path in marks}
    answer = run(recipe, *TINY, "--mini_scale", "0.1")
    assert answer.returncode == 0, answer.stderr[-3000:]
    for text in ("features are there", "statistics are there", "trained already"):
        assert text in answer.stderr
    assert answer.stderr.count("decoded already") == 4
    assert {path: path.stat().st_mtime_ns for path in marks} == before


def test_other_settings_for_a_begun_training_are_refused(recipe):
    answer = run(recipe, *TINY, "--stage", "10", "--stop_stage", "10", "--student_args",
                 "--optim_conf lr=0.1")  # fmt: skip
    assert answer.returncode == 1
    assert "was begun with other data or settings; remove it" in answer.stderr


def test_a_bad_teacher_stops_at_the_gate(recipe):
    options = [*TINY, "--stage", "8", "--teacher_max_wer", "10"]
    answer = run(recipe, *options)
    assert answer.returncode == 1
    assert "is above --teacher_max_wer 10 %" in answer.stderr


def test_a_student_that_is_not_there_is_said_at_once(recipe):
    answer = run(recipe, "--other_tags", "gone")
    assert answer.returncode == 2
    assert "--other_tags gone: there is no exp/asr_distilled_gone_s1/" in answer.stderr


@pytest.mark.dealt
@pytest.mark.skipif(not LIBRISPEECH.is_dir(), reason="needs the LibriSpeech sample")
@pytest.mark.parametrize("feats_type", ["fbank", "raw"])
def test_every_stage_on_real_audio(recipe, feats_type):
    exp = f"exp_real_{feats_type}"
    answer = run(
        recipe,
        *TINY,
        *("--corpus", "librispeech", "--librispeech_dir", str(LIBRISPEECH)),
        *("--train_set", "train_clean_100", "--student_train_set", "train_clean_100"),
        *("--valid_set", "dev_clean", "--test_sets", "dev_clean", "--expdir", exp),
        *("--datadir", "data_real", "--dumpdir", f"dump_real_{feats_type}"),
        *("--feats_type", feats_type, "--max_seconds", "12"),
        *("--speed_perturb_factors", "0.9 1.0" if feats_type == "fbank" else ""),
        *("--cache_targets", "true" if feats_type == "fbank" else "false"),
        *("--cache_args", "--parts ctc,decoder --tap encoder"),
    )
    assert answer.returncode == 0, answer.stderr[-3000:]
    if feats_type == "fbank":
        teacher = recipe / exp / "asr_teacher_s1"
        index = (teacher / "targets" / "train_clean_100_sp" / "targets.scp").read_text()
        assert "\nsp0.9-" in index, "copies of another speed have targets too"
        config = (recipe / exp / "asr_distilled_s1" / "config.yaml").read_text()
        assert "targets/train_clean_100_sp" in config
    check_results(recipe / exp, "dev_clean")


SEARCH = "# Something at least, of a teacher that learned nothing.\nctc_weight: 0.0\n"
SEARCH += "beam_size: 1\nminlenratio: 0.2\nmaxlenratio: 0.3\n"
ONE_STEP = "--max_epoch 1 --num_iters_per_epoch 2"


@pytest.mark.dealt
def test_unlabelled_audio_goes_through_every_stage(recipe):
    """By a teacher that is there already; its words and the transcripts are joined."""
    (recipe / "conf" / "search.yaml").write_text(SEARCH)
    options = [*TINY, *RANDOM, "--mini_scale", "0.1", "--unlabelled_set", "train_more"]
    options += ["--teacher_exp", "exp/asr_teacher_s1", "--expdir", "exp_labels"]
    options += ["--inference_configs", "conf/search.yaml", "--kd_config", "none"]
    options += ["--label_args", "--max_ratio 100", "--student_args", ONE_STEP]
    answer = run(recipe, *options, "--stop_stage", "11")
    assert answer.returncode == 0, answer.stderr[-3000:]
    assert not (recipe / "exp_labels" / "asr_teacher_s1").exists()
    final = {
        n: recipe / f"dump/fbank/{n}/final/text" for n in ("train_small", "train_more")
    }
    labels = recipe / "exp/asr_teacher_s1/labels"
    found = {name: read_table(path) for name, path in final.items()}
    said = read_table(labels / "train_more" / "text")
    joined = read_table(labels / "train_small_and_train_more" / "text")
    assert said
    assert said.keys() <= found["train_more"].keys()
    assert joined == found["train_small"] | said
    student = recipe / "exp_labels" / "asr_distilled_s1"
    assert (student / "1epoch.pth").exists()
    assert "kd_conf" not in (student / "config.yaml").read_text()
    again = run(recipe, *options, "--stop_stage", "11")
    assert again.returncode == 0, again.stderr[-3000:]
    assert "transcribed already" in again.stderr
    assert again.stderr.count("trained already") == 2


def share_statistics(recipe, expdir):
    """A second expdir for the same data."""
    (recipe / expdir).mkdir()
    for folder in (recipe / "exp").glob("asr_stats*"):
        (recipe / expdir / folder.name).symlink_to(folder)
    return recipe / expdir


@pytest.mark.dealt
def test_students_are_decoded_chunk_by_chunk(recipe):
    """Stages 10 to 15 of students over blocks: their delays are in the results."""
    text = (recipe / "conf/tiny/student.yaml").read_text()
    settings = yaml.safe_load(text)
    conf = settings["encoder_conf"]
    for name in ("rel_pos_type", "pos_enc_layer_type", "selfattention_layer_type"):
        del conf[name]  # blocks know absolute positions alone
    conf |= {"block_size": 16, "hop_size": 8, "look_ahead": 4}
    settings["encoder"] = "contextual_block_conformer"
    (recipe / "conf/tiny/blocks.yaml").write_text(yaml.safe_dump(settings))
    exp = share_statistics(recipe, "exp_blocks")
    options = [*TINY, *RANDOM, "--student_config", "conf/tiny/blocks.yaml"]
    options += ["--teacher_exp", "exp/asr_teacher_s1", "--expdir", "exp_blocks"]
    options += ["--streaming", "true", "--cost_utterances", "2"]
    answer = run(recipe, *options, "--stage", "10", "--stop_stage", "15")
    assert answer.returncode == 0, answer.stderr[-3000:]
    for role in ("control", "distilled"):
        folder = exp / f"asr_{role}_s1/decode/test"
        found = json.loads((folder / "latency.json").read_text())
        assert found["setting"]["search"] == "ctc"  # of conf/tiny/decode.yaml
        assert found["setting"]["reference"] == "exp/asr_teacher_s1"
        assert found["setting"]["blocks"]["block_size"] == 16
        texts = {utt: one["text"].strip() for utt, one in found["by_utterance"].items()}
        assert read_table(folder / "text") == texts
        assert json.loads((folder / "score.json").read_text())["wer"]["sentences"] > 0
    assert not (recipe / "exp/asr_teacher_s1/decode/test/latency.json").exists()
    report = (exp / "results/RESULTS.md").read_text()
    table = report[report.index("#### test, decode: delay\n") :].split("\n\n")[1]
    names = [line.split(" | ")[0] for line in table.splitlines()[2:]]
    assert names == ["| student, alone", "| student, distilled"]
    again = run(recipe, *options, "--stage", "12", "--stop_stage", "12")
    assert again.stderr.count("decoded already") == 3


def write_transducer(path, width, blocks, **main):
    """A training of a tiny transducer, of one epoch of three updates."""
    block = {"block_type": "conformer", "hidden_size": width, "linear_size": 2 * width}
    block |= {"heads": 2, "conv_mod_kernel_size": 7, "num_blocks": blocks}
    settings = {
        **{"batch_type": "unsorted", "batch_size": 8, "max_epoch": 1},
        **{"num_iters_per_epoch": 3, "num_workers": 0, "num_att_plot": 0},
        "encoder_conf": {
            "main_conf": main,
            "input_conf": {"block_type": "conv2d", "conv_size": width},
            "body_conf": [block],
        },
        **{"decoder": "rnn", "decoder_conf": {"embed_size": width, "hidden_size": width}},
        "joint_network_conf": {"joint_space_size": width},
        "model_conf": {"auxiliary_ctc_weight": 0.3},
        **{"optim": "adam", "optim_conf": {"lr": 0.002}, "use_tensorboard": False},
        **{"best_model_criterion": [["valid", "loss", "min"]], "keep_nbest_models": 1},
    }
    path.write_text(yaml.safe_dump(settings))


@pytest.mark.dealt
def test_transducers_go_from_teacher_to_results(recipe):
    """Stages 7 to 15: the teacher hears utterances whole, its students chunk by chunk."""
    conf = recipe / "conf" / "lattice"
    conf.mkdir()
    write_transducer(conf / "teacher.yaml", 16, 2)
    write_transducer(conf / "student.yaml", 8, 1, dynamic_chunk_training=True)
    terms = [{"type": "transducer_token_kl", "weight": 0.5}]
    terms += [{"type": "transducer_fullsum", "weight": 0.1}]
    kd = {"teachers": [{"exp": "exp/asr_teacher_s1"}], "losses": terms}
    (conf / "kd.yaml").write_text(yaml.safe_dump(kd))
    window = {"beam_size": 1, "decoding_window": 320, "left_context": 8}
    (conf / "decode.yaml").write_text(yaml.safe_dump(window))
    exp = share_statistics(recipe, "exp_lattice")
    options = ["--task", "asr_transducer", "--expdir", "exp_lattice", "--mini_scale", "0.1"]
    options += ["--teacher_config", "conf/lattice/teacher.yaml"]
    options += ["--student_config", "conf/lattice/student.yaml"]
    options += ["--kd_config", "conf/lattice/kd.yaml", "--nbpe", "60", "--train_jobs", "2"]
    options += ["--inference_configs", "conf/lattice/decode.yaml", "--streaming", "true"]
    options += ["--teacher_max_wer", "100000", "--init_student", "true"]
    options += ["--parameters_control", "false", "--cost_utterances", "2", *TRANSCRIBED]
    answer = run(recipe, *options, "--stage", "7", "--stop_stage", "15")
    assert answer.returncode == 0, answer.stderr[-3000:]
    table = (exp / "asr_teacher_s1/init/student.md").read_text()
    taken, total = re.search(r"([\d,]+) of ([\d,]+) values come", table).groups()
    assert taken == total
    log = (exp / "asr_distilled_s1/train.log").read_text()
    assert "loss_kd_transducer_fullsum" in log
    for role in ("teacher", "control", "distilled"):
        folder = exp / f"asr_{role}_s1/decode/test"
        assert json.loads((folder / "score.json").read_text())["wer"]["sentences"] > 0
        found = folder / "latency.json"
        assert found.exists() == (role != "teacher")
        if found.exists():
            setting = json.loads(found.read_text())["setting"]
            assert setting["hears"] == "chunks of 8 frames of 40 ms and 8 behind them"
            assert setting["reference"] == "exp_lattice/asr_teacher_s1"
    report = (exp / "results/RESULTS.md").read_text()
    for title in ("Cost", "Differences", "test, decode: delay"):
        assert f"#### {title}\n" in report
    for name in ("teacher", "student, alone", "student, distilled"):
        assert f"| {name} |" in report


@pytest.mark.dealt
def test_a_student_starts_from_its_teacher(recipe):
    """Stage 9: without a step of learning, it is what the table says."""
    options = [*TINY, "--stage", "9", "--stop_stage", "11", "--teacher_exp"]
    options += ["exp/asr_teacher_s1", "--expdir", "exp_init", "--tag", "init"]
    options += ["--control_tag", "untagged", "--parameters_control", "false"]
    options += ["--init_student", "true", "--kd_config", "none", "--init_args"]
    options += ["--encoder_layers last", "--student_args", f"{ONE_STEP} --optim_conf lr=0"]
    stats = share_statistics(recipe, "exp_init")
    answer = run(recipe, *options)
    assert answer.returncode == 0, answer.stderr[-3000:]
    assert (stats / "asr_control_s1" / "1epoch.pth").exists()
    start = recipe / "exp/asr_teacher_s1/init/student_init.pth"
    assert "values come from the teacher" in start.with_suffix(".md").read_text()
    first = torch.load(start, weights_only=True)
    trained = stats / "asr_distilled_init_s1" / "1epoch.pth"
    state = torch.load(trained, weights_only=True)
    named = {n for n, _ in state.items() if "running" not in n and "batches" not in n}
    assert all(torch.equal(first[name], state[name]) for name in named & first.keys())


@pytest.mark.dealt
def test_a_teacher_hears_other_audio_of_the_same_utterances(recipe, monkeypatch):
    """Stages 8 and 11: louder audio, by which it is told from the students' own."""
    monkeypatch.chdir(recipe)
    for name in ("train_small", "dev"):
        source = Path("dump/fbank") / name / "final"
        target = Path("dump/louder") / name / "final"
        target.mkdir(parents=True)
        with kaldiio.WriteHelper(f"ark,scp:{target}/f.ark,{target}/feats.scp") as writer:
            for utterance, features in kaldiio.load_scp(str(source / "feats.scp")).items():
                writer(utterance, features + 1)
    kd = yaml.safe_load((recipe / "conf/tiny/kd.yaml").read_text())
    kd["teachers"] = [{"exp": "exp/asr_teacher_s1", "hears": "teacher_speech"}]
    (recipe / "conf/tiny/kd_hears.yaml").write_text(yaml.safe_dump(kd))
    exp = share_statistics(recipe, "exp_hears")
    options = [*TINY, *RANDOM, "--expdir", exp.name, "--mini_scale", "0.1"]
    options += ["--teacher_exp", "exp/asr_teacher_s1", "--teacher_hears", "dump/louder"]
    options += ["--kd_config", "conf/tiny/kd_hears.yaml", "--kd_args", ONE_STEP]
    for stage in ("8", "11"):
        answer = run(recipe, *options, "--stage", stage, "--stop_stage", stage)
        assert answer.returncode == 0, answer.stderr[-3000:]
    log = (exp / "asr_distilled_s1/train.log").read_text()
    assert "hears: teacher_speech" in log
    assert "dump/louder/train_small/final/feats.scp" in log


@pytest.fixture
def features(tmp_path):
    """A folder as an4's: archives of 39 coefficients, texts and speakers."""
    random = np.random.default_rng(0)
    for name, count in (("train", 40), ("dev", 6), ("test", 4)):
        folder = tmp_path / "an4" / name
        folder.mkdir(parents=True)
        with kaldiio.WriteHelper(f"ark:{folder}/feats.ark") as write:
            for n in range(count):
                write(f"{name}-{n:02d}", random.standard_normal((150, 39), np.float32))
        lines = [
            f"{name}-{n:02d} {' '.join(random.choice(WORDS, 3))}" for n in range(count)
        ]
        (folder / "text").write_text("\n".join(lines) + "\n")
        (folder / "utt2spk").write_text("".join(f"{line.split()[0]} s\n" for line in lines))
    return tmp_path / "an4"


@pytest.mark.dealt
def test_prepared_features_and_a_quarter_of_the_transcripts(recipe, features):
    """The an4 recipe, every stage of its experiment with pseudo-labels."""
    an4 = recipe.parents[1] / "an4" / "asr_kd1"
    (an4 / "conf" / "search.yaml").write_text(SEARCH)
    options = [
        *("labels", "--an4_dir", str(features), "--nbpe", "20", "--nj", "2"),
        *("--inference_configs", "conf/search.yaml", "--teacher_max_wer", "1000"),
        *("--teacher_args", ONE_STEP, "--student_args", ONE_STEP),
    ]
    answer = run(an4, *options)
    assert answer.returncode == 0, answer.stderr[-3000:]
    quarter, rest = (read_table(an4 / f"data/train_{n}/text") for n in (25, 75))
    assert sorted(quarter) == [f"train-{n:02d}" for n in range(0, 40, 4)]
    assert quarter | rest == read_table(an4 / "data/train/text")
    assert read_table(an4 / "data/train_25/utt2spk") == dict.fromkeys(quarter, "s")
    assert "student, distilled" in (an4 / "exp/results_labels/RESULTS.md").read_text()
    for role in ("control", "distilled"):
        score = an4 / f"exp/asr_{role}_labels_s1/search/test/score.json"
        assert json.loads(score.read_text())["wer"]["sentences"] == 4
    more = ["--tag", "begun", "--control_tag", "labels", "--other_tags", "labels"]
    answer = run(an4, *options, *more, "--init_student", "true")
    assert answer.returncode == 0, answer.stderr[-3000:]
    assert not (an4 / "exp/asr_control_begun_s1").exists()
    report = (an4 / "exp/results_begun/RESULTS.md").read_text()
    titles = ("teacher", "student, alone", "student, distilled")
    for title in (*titles, "student, distilled (labels)"):
        assert report.count(f"\n| {title} | ") == 1
    assert "\n| distilled:labels 1 - distilled 1 | " in report
    assert "\n#### Worst utterances of distilled 1\n" in report


@pytest.mark.dealt
def test_a_language_model_takes_part_in_the_search(recipe):
    """Stage 12, by a model whose weight is so large that it decides alone."""
    tokens = yaml.safe_load((recipe / "exp/asr_teacher_s1/config.yaml").read_text())
    write_lm(recipe / "exp_lm", tokens["token_list"])
    decode = yaml.safe_load((recipe / "conf/tiny/decode.yaml").read_text())
    (recipe / "conf/tiny/with_lm.yaml").write_text(
        yaml.safe_dump(decode | {"lm_weight": 50})
    )
    options = [*TINY, "--mini_scale", "0.1", "--stage", "12", "--stop_stage", "12"]
    options += ["--lm_exp", "exp_lm", "--inference_configs", "conf/tiny/with_lm.yaml"]
    options += ["--lm_model", "valid.acc.ave.pth"]
    answer = run(recipe, *options)
    assert answer.returncode == 0, answer.stderr[-3000:]
    exp = recipe / "exp/asr_teacher_s1"
    alone, helped = (
        read_table(exp / name / "test" / "text") for name in ("decode", "with_lm")
    )
    assert alone.keys() == helped.keys()
    assert alone != helped
    write_lm(recipe / "exp_lm", [*tokens["token_list"][:2], "x", *tokens["token_list"][3:]])
    answer = run(recipe, *options)
    assert answer.returncode == 1
    assert "check_lm: --lm_exp exp_lm has another token list than" in answer.stderr
