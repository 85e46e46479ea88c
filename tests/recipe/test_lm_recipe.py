"""The recipe of language models, on sentences that are generated."""

import json
import math
import re

import pytest
import yaml
from recipe_runs import checkout, run

from espnet_kd.host.kaldi_dir import read_table

TINY = {"embed_unit": 8, "att_unit": 8, "head": 2, "unit": 8, "dropout_rate": 0.0}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    folder = checkout(tmp_path_factory.mktemp("lm"), "an4", recipe="lm_kd1")
    for name, layers in (("teacher", 2), ("student", 1)):
        path = folder / "conf" / f"{name}.yaml"
        conf = yaml.safe_load(path.read_text())
        conf["lm_conf"] |= TINY | {"layer": layers}
        path.write_text(yaml.safe_dump(conf | {"max_epoch": 2}))
    return folder


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "say first what to train on: an4 --an4_audio DIR, or generated"),
        (["an4"], "--an4_audio DIR follows an4"),
        (
            ["generated", "--strems", "a"],
            "unknown option --strems; did you mean --streams?",
        ),
        (["generated", "--task", "asr"], "--task: must be lm or tts"),
        (
            ["generated", "--streams", "text"],
            "--streams: must be FILE,NAME,KIND, got 'text'",
        ),
        (
            ["generated", "--other_tags", "gone"],
            "there is no exp/lm_distilled_gone_s1/valid",
        ),
        (["generated", "--stage", "4", "--stop_stage", "3"], "no stage is left to run"),
    ],
)
def test_a_call_that_cannot_run_is_told_why(recipe, options, sentence):
    done = run(recipe, *options)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert not (recipe / "data").exists()


def test_a_corrected_list_is_laid_out_anew(recipe, tmp_path):
    rows = [f"s-an{n:03d}-b\ts/{n}.flac\tONE TWO {n % 3 * 'A'}X\n" for n in range(110)]
    (tmp_path / "test.tsv").write_text(rows[0])
    for text in (rows, [row.replace("ONE", "FOUR") for row in rows]):
        (tmp_path / "train.tsv").write_text("".join(text))
        options = ("an4", "--an4_audio", str(tmp_path), "--stop_stage", "1")
        done = run(recipe, *options, "--prepare_args", f"--an4_audio {tmp_path} --nbpe 12")
        assert done.returncode == 0, done.stderr
        assert "data are there" not in done.stderr
        assert text[100].split("\t")[2] in (recipe / "data/train/text").read_text()
    again = run(recipe, *options, "--prepare_args", f"--an4_audio {tmp_path} --nbpe 12")
    assert "data are there" in again.stderr


def test_pieces_of_a_recogniser_are_shared(recipe, tmp_path):
    done = run(recipe, "generated", "--stop_stage", "1", "--datadir", str(tmp_path / "own"))
    assert done.returncode == 0, done.stderr
    for folder, ending in (("own/bpe", ""), ("nowhere", "has no bpe.model; name a recog")):
        words = f"--generated 20 --bpe_dir {tmp_path}/{folder}"
        options = ("--prepare_args", words, "--datadir", str(tmp_path / "shared"))
        done = run(recipe, "generated", "--stop_stage", "1", *options)
        assert (done.returncode == 0) == (not ending), done.stderr
        assert ending in done.stderr
    pieces = [
        (tmp_path / name / "bpe/tokens.txt").read_text() for name in ("own", "shared")
    ]
    assert pieces[0] == pieces[1]


@pytest.mark.slow
@pytest.mark.dealt
def test_it_ends_in_a_table(recipe):
    short = ["--teacher_args", "--max_epoch 4", "--student_args", "--max_epoch 4"]
    options = ["generated", *short, "--seeds", "1 2", "--train_jobs", "2"]
    done = run(recipe, *options)
    assert done.returncode == 0, done.stderr
    sets = {name: read_table(recipe / "data" / name / "text") for name in ("train", "test")}
    assert [len(texts) for texts in sets.values()] == [320, 40]
    assert not set(sets["train"].values()) & set(sets["test"].values())
    exp = recipe / "exp"
    scores = json.loads((exp / "lm_distilled_s2/evaluated/test/scores.json").read_text())
    perplexity, nats = (found["value"] for found in scores["metrics"].values())
    assert math.log(perplexity) == pytest.approx(nats)
    results = (exp / "results" / "RESULTS.md").read_text()
    assert f"{nats:.3f}" in results
    assert len(re.findall(r"^\| student, distilled \|", results, re.M)) == 2
    assert "loss_kd_token_kl" in (exp / "lm_distilled_s1" / "train.log").read_text()
    again = run(recipe, *options)
    assert again.returncode == 0, again.stderr
    for done_already in ("data are there", "statistics are there", "evaluated already"):
        assert done_already in again.stderr
    assert again.stderr.count("trained already") == 5
    other = run(recipe, *options, "--prepare_args", "--generated 400 --nbpe 40")
    assert other.returncode == 1
    assert "was begun with other data or settings; remove it" in other.stderr
    gone = run(recipe, "generated", *short, "--stage", "6", "--seeds", "7")
    assert gone.returncode == 1
    missing = "exp/lm_control_s7/valid.loss.ave.pth is missing: train that model first"
    assert missing in gone.stderr
