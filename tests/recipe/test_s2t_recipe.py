"""The recipe of models that are told what to write: data, tokens, and its stages."""

import json

import numpy as np
import pytest
import sentencepiece
import soundfile
import yaml
from conftest import REPO
from recipe_runs import NEEDS_SCLITE, checkout, run, scripts_of

from espnet_kd.errors import KDError
from espnet_kd.host.kaldi_dir import read_table

RECIPE = REPO / "egs" / "an4" / "s2t_kd1"
MARKS = ["<na>", "<eng>", "<asr>", "<notimestamps>", "<0.00>", "<8.00>"]
TINY = "--max_epoch 1 --num_iters_per_epoch 2 --batch_size 4"
local = scripts_of(RECIPE)


@pytest.fixture(scope="module")
def data(local, tmp_path_factory):
    """The generated corpus, laid out."""
    folder = tmp_path_factory.mktemp("s2t")
    options = ["--generated", "--dev_utterances", "4", "--nbpe", "21"]
    local.prepare.main([*options, "--output_dir", str(folder)])
    return folder


def test_what_is_written_begins_with_what_is_told(data):
    """In train ESPnet's preprocessor says behind two marks that no times follow."""
    for name, start in (
        ("train", "<eng><asr> "),
        ("dev", "<eng><asr><notimestamps> "),
        ("test", "<eng><asr><notimestamps> "),
    ):
        texts = read_table(data / name / "text")
        told = read_table(data / name / "prompted")
        assert told == {utt: start + text for utt, text in texts.items()}
        assert set(read_table(data / name / "before").values()) == {"<na>"}
        assert read_table(data / name / "wav.scp").keys() == texts.keys()


def test_marks_are_pieces_of_their_own(data):
    tokens = (data / "bpe" / "tokens.txt").read_text().splitlines()
    assert tokens[:8] == ["<blank>", "<unk>", *MARKS]
    assert tokens[-3:] == ["<sos>", "<eos>", "<sop>"]
    assert len(tokens) == len(set(tokens)) == 21 - 3 + 2 + 3
    pieces = sentencepiece.SentencePieceProcessor(str(data / "bpe" / "bpe.model"))
    found = pieces.encode("<eng><asr><notimestamps> ONE", out_type=str)
    # ESPnet leaves out the first, a blank.
    assert found[:4] == ["▁", "<eng>", "<asr>", "<notimestamps>"]
    assert "".join(found[4:]) == "▁ONE"
    assert set(found[4:]) <= set(tokens)


@pytest.mark.parametrize(
    ("seconds", "rate", "text", "sentence"),
    [
        (9.0, 16000, "ONE", "lasts 9.0 s, and the models hear 7.7"),
        (1.0, 16000, "", "'u' has no transcript"),
        (1.0, 8000, "ONE", "8000 samples at 8000 Hz"),
    ],
)
def test_what_the_models_would_not_hear_is_named(
    local, tmp_path, seconds, rate, text, sentence
):
    soundfile.write(tmp_path / "u.wav", np.zeros(int(seconds * rate)), rate)
    recording = local.prepare.Recording("u", tmp_path / "u.wav", text)
    with pytest.raises(KDError, match=sentence):
        local.prepare.check([recording])


@pytest.mark.parametrize("role", ["teacher", "student"])
def test_no_times_are_ever_written(local, role):
    """Their probability, and what ESPnet 202511's search reads of the preprocessor."""
    conf = yaml.safe_load((RECIPE / "conf" / f"{role}.yaml").read_text())
    prepared = conf["preprocessor_conf"]
    assert prepared["time_apply_prob"] == prepared["text_prev_apply_prob"] == 0
    names = ("na", "notime", "first_time", "last_time")
    assert {prepared[f"{name}_symbol"] for name in names} <= set(MARKS)
    heard = prepared["speech_length"] - prepared["speech_init_silence"]
    assert heard == pytest.approx(local.prepare.LONGEST)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "say first what to train on: an4 --an4_audio DIR, or generated"),
        (["an4"], "--an4_audio DIR follows an4"),
    ],
)
def test_a_call_that_cannot_run_is_told_why(tmp_path, options, sentence):
    done = run(checkout(tmp_path, "an4", recipe="s2t_kd1"), *options)
    assert done.returncode == 2
    assert sentence in done.stderr


@pytest.mark.slow
@pytest.mark.dealt
@NEEDS_SCLITE
def test_it_ends_in_a_table(tmp_path):
    recipe = checkout(tmp_path, "an4", recipe="s2t_kd1")
    small = ["--teacher_args", TINY, "--student_args", TINY, "--train_jobs", "2"]
    done = run(recipe, "generated", *small)
    assert done.returncode == 0, done.stderr
    exp = recipe / "exp"
    log = (exp / "s2t_distilled_s1" / "train.log").read_text()
    for name in ("ctc_frame_kl", "token_kl", "hidden_l1_cosine"):
        assert f"loss_kd_{name}=" in log
    folder = exp / "s2t_distilled_s1/evaluated/test"
    found = json.loads((folder / "scores.json").read_text())
    assert found["utterances"] == len(read_table(folder / "text")) == 8
    results = (exp / "results" / "RESULTS.md").read_text()
    assert f"{found['metrics']['WER, %']['value']:.3f}" in results
