"""The recipe of speaker models: who is in which set, what is compared, and its stages."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
import yaml
from conftest import REPO, write_exp
from kinds import SETTINGS, settings
from recipe_runs import checkout, run, scripts_of

from espnet_kd.errors import KDError
from espnet_kd.host.compat import build_model, task_class
from espnet_kd.host.kaldi_dir import read_table

RECIPE = REPO / "egs" / "an4" / "spk_kd1"
local = scripts_of(RECIPE)


@pytest.fixture(scope="module")
def data(local, tmp_path_factory):
    """The generated corpus, laid out."""
    folder = tmp_path_factory.mktemp("spk")
    options = ["--generated", "--dev_speakers", "2", "--dev_pairs", "5"]
    local.prepare.main([*options, "--output_dir", str(folder)])
    return folder


def test_voices_of_train_are_numbered_and_no_others_are(data):
    speakers = read_table(data / "train" / "utt2spk")
    numbers = read_table(data / "train" / "labels")
    names = list(read_table(data / "train" / "spk2utt"))
    assert names == ["fb", "fc", "md", "me"]
    assert {names[int(numbers[utt])] == speakers[utt] for utt in speakers} == {True}
    for utt, length in read_table(data / "train" / "speech_shape").items():
        path = read_table(data / "train" / "wav.scp")[utt]
        assert soundfile.info(path).frames == int(length)
    assert set(read_table(data / "test" / "utt2spk").values()) == {"fy", "mz"}


def test_pairs_are_of_one_voice_as_often_as_of_two(data):
    labels = read_table(data / "dev" / "labels")
    assert sorted(labels.values()) == ["0"] * 5 + ["1"] * 5
    sides = [read_table(data / "dev" / name) for name in ("wav.scp", "wav2.scp")]
    for key, label in labels.items():
        utts = key.split("*")
        assert utts[0] != utts[1]
        voices = {utt.split("-")[0] for utt in utts}
        assert voices <= {"fa", "mf"}
        assert len(voices) == 2 - int(label)
        assert [f"{u}.npy" for u in utts] == [s[key].rpartition("/")[2] for s in sides]
    assert np.load(sides[0][key]).shape == (3, 32000)
    assert read_table(data / "dev" / "speech_shape") == dict.fromkeys(labels, "3,32000")


def test_all_pairs_are_taken_where_there_are_fewer(local):
    named = [SimpleNamespace(speaker=s) for s in "aab"]
    draws = np.random.default_rng(0)
    pairs = local.prepare.drawn_pairs(named, 5, draws)
    assert [local.prepare.is_one_voice(pair) for pair in pairs] == [True, False, False]
    with pytest.raises(KDError, match="raise --dev_speakers"):
        local.prepare.drawn_pairs(named[1:], 5, draws)


def test_pieces_are_evenly_spaced_and_short_speech_begins_anew(local):
    pieces = local.prepare.pieces_of(np.arange(10), 4)
    assert pieces.tolist() == [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]]
    assert local.prepare.pieces_of(np.arange(3), 4).tolist() == [[0, 1, 2, 0]] * 3


def on_a_circle(*degrees):
    return np.array([[np.cos(angle), np.sin(angle)] for angle in np.radians(degrees)])


@pytest.mark.parametrize(
    ("degrees", "rate", "cost"),
    [
        # One voice is 10 and 40 degrees apart, two are 80 and more: nothing is mistaken.
        ((0, 10, 90, 130), 0.0, 0.0),
        # One voice is 10 and 45 degrees apart, two are 30, 40, 75 and 85. Where 40 are let
        # in, one of the two is missed and two of the four are accepted; where 10 are let
        # in, half is missed, which costs 0.5 * 0.05, over the 0.05 of letting none in.
        ((0, 10, 40, 85), 50.0, 0.5),
    ],
)
def test_error_rates_by_hand(local, degrees, rate, cost):
    metrics = local.evaluate.figures(on_a_circle(*degrees), ["a", "a", "b", "b"])
    assert metrics["EER, %"].value == pytest.approx(rate)
    assert metrics["minDCF"].value == pytest.approx(cost)


def test_one_kind_of_pairs_tells_nothing(local):
    with pytest.raises(KDError, match="pairs of one speaker and pairs of two are needed"):
        local.evaluate.figures(on_a_circle(0, 10, 20), ["a", "a", "a"])


def test_an_evaluation_is_of_the_models_embeddings(local, data, tmp_path):
    """Those of its own forward pass, of every utterance alone."""
    own = settings("spk", SETTINGS["spk"](8))
    torch.manual_seed(0)
    model = build_model(task_class("spk"), own)
    exp = write_exp(tmp_path / "exp", model, own)
    waves = dict(list(read_table(data / "test" / "wav.scp").items())[:3])
    found = local.evaluate.embeddings_of(str(exp), "valid.acc.ave.pth", waves)
    for row, path in zip(found, waves.values(), strict=True):
        samples = torch.from_numpy(local.voices.read_mono(path))[None]
        with torch.no_grad():
            embedding = model.eval()(speech=samples, extract_embd=True)[0]
        assert row == pytest.approx((embedding / embedding.norm()).numpy(), abs=1e-5)


def test_the_student_has_a_quarter_of_its_teachers_parameters():
    sizes = []
    for name in ("teacher", "student"):
        path = RECIPE / "conf" / f"{name}.yaml"
        assert path.read_text().startswith("# ")
        known = settings("spk", {})
        own = yaml.safe_load(path.read_text())
        assert own.keys() <= known.keys()
        model = build_model(task_class("spk"), known | own | {"spk_num": 66})
        sizes.append(sum(p.numel() for p in model.parameters()))
    assert 0.2 * sizes[0] < sizes[1] <= 0.25 * sizes[0]


@pytest.fixture
def recipe(tmp_path):
    """A copy of the recipe to run in, with models too small to learn anything."""
    (tmp_path / "checkout").mkdir()
    folder = checkout(tmp_path / "checkout", "an4", recipe="spk_kd1")
    for name, width in (("teacher", 16), ("student", 8)):
        path = folder / "conf" / f"{name}.yaml"
        conf = yaml.safe_load(path.read_text())
        conf["encoder_conf"] = {"model_scale": 2, "ndim": width, "output_size": width}
        more = {"max_epoch": 2, "num_workers": 0, "batch_bins": 128000}
        path.write_text(yaml.safe_dump(conf | more))
    return folder


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "say first what to train on: an4 --an4_audio DIR, or generated"),
        (["an4"], "--an4_audio DIR follows an4"),
    ],
)
def test_a_call_that_cannot_run_is_told_why(recipe, options, sentence):
    done = run(recipe, *options)
    assert done.returncode == 2
    assert sentence in done.stderr


@pytest.mark.slow
@pytest.mark.dealt
def test_it_ends_in_a_table(recipe):
    done = run(recipe, "generated", "--seeds", "1", "--train_jobs", "2")
    assert done.returncode == 0, done.stderr
    exp = recipe / "exp"
    log = (exp / "spk_distilled_s1" / "train.log").read_text()
    assert {f"loss_kd_{name}=" in log for name in ("class_kl", "hidden_cosine")} == {True}
    found = json.loads((exp / "spk_distilled_s1/evaluated/test/scores.json").read_text())
    assert found["utterances"] == 8
    results = (exp / "results" / "RESULTS.md").read_text()
    assert f"{found['metrics']['EER, %']['value']:.3f}" in results
