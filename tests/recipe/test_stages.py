"""The recipe end to end, as a user runs it, with models too small to learn anything."""

import json
import os
import subprocess
import sys

import pytest
from conftest import REPO, SHARED

from espnet_kd.report.score import PLACES

EGS = REPO / "egs"
LIBRISPEECH = SHARED / "LibriSpeech"
TINY = [
    *("--teacher_config", "conf/tiny/teacher.yaml"),
    *("--student_config", "conf/tiny/student.yaml"),
    *("--inference_configs", "conf/tiny/decode.yaml"),
    *("--teacher_max_wer", "1000", "--nbpe", "60"),
]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not any(os.access(place, os.X_OK) for place in PLACES)
        and not (REPO / ".tools/usr/lib/sctk/bin/sclite").exists(),
        reason="sclite is not installed",
    ),
]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """A copy of the recipe to run in, for a run writes beside its run.sh."""
    root = tmp_path_factory.mktemp("checkout")
    for name in ("espnet_kd", "conf"):
        (root / name).symlink_to(REPO / name)
    subprocess.run(["cp", "-r", str(EGS), str(root / "egs")], check=True)
    folder = root / "egs" / "librispeech" / "asr_kd1"
    for name in ("data", "dump", "exp", "downloads"):
        subprocess.run(["rm", "-rf", str(folder / name)], check=True)
    return folder


def run(recipe, *options):
    environment = os.environ | {"KD_PYTHON": sys.executable, "PYTHONPATH": str(REPO)}
    return subprocess.run(
        ["./run.sh", *options],
        cwd=recipe,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def check_results(exp, test_set):
    """Three models scored, reported and packed."""
    report = (exp / "results" / "RESULTS.md").read_text()
    for title in ("teacher", "student, alone", "student, distilled"):
        assert f"| {title} |" in report
    assert (exp / "results" / "wer_by_size.png").stat().st_size > 5000
    for model in ("asr_teacher_s1", "asr_control_s1", "asr_distilled_s1"):
        scores = json.loads((exp / model / "decode" / test_set / "score.json").read_text())
        assert scores["wer"]["sentences"] > 0
    assert (exp / "asr_distilled_s1" / "packed.zip").stat().st_size > 10000
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
    assert answer.stderr.count("decoded already") == 3
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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--no_such_option", "1"], "unknown option or missing value: --no_such_option"),
        (["--kd_config", "conf/gone.yaml"], "no such config: 'conf/gone.yaml'"),
        (["stray"], "what is 'stray'?"),
    ],
)
def test_mistakes_on_the_command_line(recipe, options, message):
    answer = run(recipe, *options)
    assert answer.returncode == 2
    assert message in answer.stderr


def test_help_lists_the_options(recipe):
    answer = run(recipe, "--help")
    assert answer.returncode == 0
    assert "--teacher_max_wer" in answer.stdout
    assert "11 distilled student" in answer.stdout


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
    )
    assert answer.returncode == 0, answer.stderr[-3000:]
    if feats_type == "fbank":
        teacher = recipe / exp / "asr_teacher_s1"
        index = (teacher / "targets" / "train_clean_100_sp" / "targets.scp").read_text()
        assert "\nsp0.9-" in index, "copies of another speed have targets too"
        config = (recipe / exp / "asr_distilled_s1" / "config.yaml").read_text()
        assert "targets/train_clean_100_sp" in config
    check_results(recipe / exp, "dev_clean")
