"""The recipe of speech enhancement: what is mixed, what is measured, and its stages."""

import json
import math
import re

import numpy as np
import pytest
import soundfile
import torch
import yaml
from conftest import REPO, write_exp
from extract_fbank import fbank, read_audio
from kinds import SETTINGS, settings
from recipe_runs import checkout, run, scripts_of
from scipy import signal
from task_results import Measured, sections

from espnet_kd.errors import KDError
from espnet_kd.host.compat import build_model, task_class
from espnet_kd.host.kaldi_dir import read_table, write_table

RECIPE = REPO / "egs" / "an4" / "enh_kd1"
FS = 16000
local = scripts_of(RECIPE)


@pytest.fixture(scope="module")
def corpus(local, tmp_path_factory):
    """The generated corpora, and the directories that are made of them."""
    folder = tmp_path_factory.mktemp("enh")
    prepare(local, folder)
    return folder


def prepare(local, folder, *options):
    main = local.prepare.main
    main(["--generated", "--dev_speakers", "2", "--output_dir", str(folder), *options])


def test_pauses_are_no_speech(local):
    """Half of the samples are 0.5, half are silent: the power is 0.25, not 0.125."""
    speech = np.concatenate([np.full(10240, 0.5), np.zeros(10240)])
    assert local.mixing.speech_power(speech) == 0.25
    assert local.mixing.speech_power(np.full(100, 0.5)) == 0.25
    assert local.mixing.speech_power(np.zeros(5000)) == 0.0


def test_noise_is_as_loud_as_the_ratio_says(local):
    """Speech of power 0.25, four times that of the noise: amplitudes 0.5 and 0.25."""
    speech = np.full(4096, 0.5)
    noise = np.tile([3.0, -3.0], 2048)
    mixed = local.mixing.mixed(speech, noise, 10 * math.log10(4))
    assert mixed[:2] == pytest.approx([0.75, 0.25])


def test_noise_that_is_short_begins_anew(local):
    stretch = local.mixing.stretch_of(np.arange(5), 12, np.random.default_rng(0))
    assert set(np.diff(stretch)) == {1, -4}


def test_sets_share_no_voice_and_no_noise(corpus):
    names = ("train", "dev", "test")
    voices = [set(read_table(corpus / name / "utt2spk").values()) for name in names]
    assert [len(each) for each in voices] == [4, 2, 2]
    assert len(set.union(*voices)) == 8
    noises = {p.split("/")[-1] for p in read_table(corpus / "train/noise.scp").values()}
    assert noises == {"1-0.flac", "1-1.flac", "2-0.flac", "2-1.flac"}
    for name, fold in (("dev", "3"), ("test", "4")):
        mixtures = read_table(corpus / name / "mixtures").values()
        assert {mixture.split("/")[1][0] for mixture in mixtures} == {fold}
    heard, clean = (read_table(corpus / "train" / f"{n}.scp") for n in ("wav", "spk1"))
    assert heard == clean
    assert len(heard) == 16


def test_mixtures_hold_the_clean_speech_and_the_noise_that_they_name(local, corpus):
    heard, clean = (read_table(corpus / "test" / f"{n}.scp") for n in ("wav", "spk1"))
    told = read_table(corpus / "test" / "mixtures")
    for utt, mixture in list(told.items())[:4]:
        clip, snr = mixture.split()
        speech, noisy = (soundfile.read(table[utt])[0] for table in (clean, heard))
        noise = noisy - speech
        ratio = local.mixing.speech_power(speech) / np.mean(noise**2)
        assert 10 * math.log10(ratio) == pytest.approx(float(snr), abs=0.02)
        source = soundfile.read(corpus / "generated" / "noise" / clip)[0]
        around = np.concatenate([source, source, source])
        found = signal.correlate(around, noise, "valid", method="fft").max()
        assert found > 0.8 * np.linalg.norm(noise) * rms(source) * len(noise) ** 0.5
    ratios = {float(mixture.split()[1]) for mixture in told.values()}
    assert len(ratios) > 5
    assert -5 <= min(ratios) < max(ratios) <= 10


def rms(samples):
    return float(np.sqrt(np.mean(samples**2)))


def test_a_seed_mixes_alike_and_another_does_not(local, corpus, tmp_path):
    utt, path = next(iter(read_table(corpus / "dev" / "wav.scp").items()))
    for seed, is_same in (("0", True), ("1", False)):
        folder = tmp_path / seed
        speech = corpus / "generated"
        options = ["--an4_audio", f"{speech}/speech", "--noise", f"{speech}/noise"]
        options += ["--dev_speakers", "2", "--output_dir", str(folder), "--seed", seed]
        local.prepare.main(options)
        again = local.voices.read_mono(folder / "dev" / "audio" / f"{utt}.wav")
        assert np.array_equal(again, local.voices.read_mono(path)) == is_same


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"dev_speakers": 6}, "--dev_speakers 6 of the 6 speakers in train.tsv leaves"),
        ({"shared": True}, "'fa' speaks in train.tsv and in test.tsv"),
        ({"clips": "hum/1-0.flac\t1\nhum/2-0.flac\t2\n"}, "has no clip of fold 3"),
        ({"clips": "gone.flac\t1\n"}, "gone.flac, which is missing"),
        ({"rate": 8000}, "at 8000 Hz; one channel of 16000 Hz is needed"),
        ({"bytes": b"RIFF"}, "cannot be read"),
    ],
)
def test_what_cannot_be_mixed_is_named(local, tmp_path, change, sentence):
    speech, noise = local.generate.generate(tmp_path, FS, 0)
    clips = noise / "clips.tsv"
    clips.write_text(change.get("clips", clips.read_text()))
    if "shared" in change:
        rows = (speech / "train.tsv").read_text().splitlines(keepends=True)
        (speech / "test.tsv").write_text(rows[0])
    if "rate" in change:
        soundfile.write(noise / "hum" / "4-0.flac", np.zeros(100), change["rate"])
        soundfile.write(noise / "hum" / "4-1.flac", np.zeros(100), change["rate"])
    if "bytes" in change:
        for path in (speech / "test").iterdir():
            path.write_bytes(change["bytes"])
    how = local.prepare.Mixing(-5.0, 10.0, 0)
    with pytest.raises(KDError, match=re.escape(sentence)):
        local.prepare.prepare(
            speech, noise, tmp_path / "data", change.get("dev_speakers", 2), how
        )
    assert not (tmp_path / "data" / "train" / "text").exists()


def test_noise_is_asked_for(local, tmp_path):
    with pytest.raises(SystemExit) as end:
        local.prepare.main(["--an4_audio", "x", "--output_dir", str(tmp_path)])
    assert "--noise DIR is missing" in str(end.value)


def test_a_ratio_is_that_of_signal_to_noise_whatever_the_loudness(local):
    """What was added is a tenth as loud, and at right angles: 20 dB."""
    time = np.arange(1600) / FS
    clean, other = (f(2 * np.pi * 100 * time).astype(np.float32) for f in (np.sin, np.cos))
    heard = 3 * (clean + 0.1 * other)
    assert local.speech_measures.si_snr(clean, heard, FS) == pytest.approx(20.0, abs=1e-3)


@pytest.mark.parametrize(("name", "best"), [("stoi", 1.0), ("pesq", 4.64)])
def test_clean_speech_has_the_best_marks_and_a_click_none(local, corpus, name, best):
    pytest.importorskip("pystoi" if name == "stoi" else name)
    measure = getattr(local.speech_measures, name)
    clean = local.voices.read_mono(next((corpus / "generated/speech/test").iterdir()))
    draws = np.random.default_rng(0)
    noisy = clean + 0.1 * draws.standard_normal(len(clean)).astype(np.float32)
    assert measure(clean, clean, FS) == pytest.approx(best, abs=0.01)
    assert measure(clean, noisy, FS) < best - 0.1
    assert measure(clean[:1600], noisy[:1600], FS) is None


def test_a_measure_without_its_package_is_left_out_aloud(local, capsys):
    missing = local.speech_measures.Measure("PESQ", None, "no_such_package")
    there = local.speech_measures.Measure("SI-SNR, dB", None, "numpy")
    assert local.speech_measures.usable((missing, there)) == [there]
    assert "-m pip install no_such_package adds it" in capsys.readouterr().err


@pytest.mark.parametrize("heard", [np.zeros(3), np.array([0.0, np.nan])])
def test_what_is_no_audio_is_not_measured(local, heard):
    means = local.speech_measures.Means([], FS)
    with pytest.raises(KDError, match="has this model been trained to an end"):
        means.add("utt", np.zeros(2), heard)


def test_a_recogniser_is_given_the_features_that_it_was_trained_on(local, tmp_path):
    samples = np.random.default_rng(0).uniform(-0.3, 0.3, 4000)
    path = tmp_path / "a.flac"
    soundfile.write(path, samples, FS, subtype="PCM_16")
    trained_on = fbank(read_audio(path, FS), FS, 40)
    given = local.words_heard.front_end_of({"input_size": 40}, FS)
    assert np.array_equal(given(local.voices.read_mono(path)), trained_on)
    whole = local.words_heard.front_end_of({"input_size": None}, FS)
    assert whole(samples).dtype == np.float32


def write_enhancer(folder, speakers=1):
    """A tiny enhancer as its training leaves it, and its model."""
    own = settings("enh", SETTINGS["enh"](8, speakers))
    torch.manual_seed(0)
    model = build_model(task_class("enh"), own)
    return write_exp(folder, model, own), model.eval()


def test_an_evaluation_is_of_what_the_model_says(local, corpus, tmp_path):
    """Its decoded masks, each utterance alone; means over the utterances by hand."""
    exp, model = write_enhancer(tmp_path / "exp")
    data = tmp_path / "data"
    ratios = {"value": [], "without": []}
    for name in ("wav", "spk1"):
        table = read_table(corpus / "test" / f"{name}.scp")
        write_table(data / f"{name}.scp", dict(list(table.items())[:2]))
    clean = read_table(data / "spk1.scp")
    for utt, path in read_table(data / "wav.scp").items():
        pair = (local.voices.read_mono(place) for place in (path, clean[utt]))
        noisy, speech = map(torch.from_numpy, pair)
        with torch.no_grad():
            lens = torch.tensor([len(noisy)])
            (enhanced,), *_ = model.forward_enhance(noisy[None], lens)
        for key, heard in (("value", enhanced[0]), ("without", noisy)):
            ratios[key].append(si_snr(speech.double(), heard.double()))
    out = tmp_path / "out"
    command = ["--exp", str(exp), "--file", "valid.acc.ave.pth"]
    command += ["--data_dir", str(data), "--output_dir", str(out)]
    local.evaluate.main(command)
    scores = json.loads((out / "scores.json").read_text())
    found = scores["metrics"]["SI-SNR, dB"]
    for key, values in ratios.items():
        assert found[key] == pytest.approx(np.mean(values), abs=1e-3)
    assert scores["utterances"] == 2
    assert scores["metrics"]["real-time factor"]["value"] > 0


def si_snr(clean, heard):
    """The definition: the part of what is heard along the clean speech, and the rest."""
    clean, heard = clean - clean.mean(), heard - heard.mean()
    along = heard @ clean / (clean @ clean) * clean
    return float(10 * torch.log10(along @ along / ((heard - along) @ (heard - along))))


def test_what_cannot_be_evaluated_is_named(local, corpus, tmp_path):
    exp, _ = write_enhancer(tmp_path / "exp", speakers=2)
    command = ["--exp", str(exp), "--file", "valid.acc.ave.pth", "--output_dir", "out"]
    with pytest.raises(SystemExit) as end:
        local.evaluate.main([*command, "--data_dir", str(corpus / "test")])
    assert "separates 2 speakers; an enhancer with num_spk: 1" in str(end.value)
    write_table(tmp_path / "data" / "wav.scp", {"a": "a.wav"})
    write_table(tmp_path / "data" / "spk1.scp", {"b": "b.wav"})
    with pytest.raises(SystemExit) as end:
        local.evaluate.main([*command, "--data_dir", str(tmp_path / "data")])
    assert "wav.scp and spk1.scp do not list the same" in str(end.value)
    track = local.evaluate.Track([], lambda samples: "A")
    track.add("a", np.zeros(2), np.zeros(2))
    with pytest.raises(KDError, match="1 utterances have no transcript in 'text'"):
        track.figures({}, tmp_path)


def test_the_table_says_what_goes_into_the_models():
    """Mixtures of 1.3 dB stand above the models, without parameters and without a gap."""
    roles = {"teacher": 9.0, "control": 5.0, "distilled": 7.0}
    runs = [
        Measured(role, 1, "test", 1000, {"SNR": value}, {"SNR": -1.0}, {"SNR": 1.3})
        for role, value in roles.items()
    ]
    (section,) = sections(runs)
    assert section.rows[0] == ["without a model", "", "", "1.300", "", ""]
    assert [row[-1] for row in section.rows] == ["", "", "", "50 %"]
    assert {len(row) for row in section.rows} == {len(section.head)}


def test_the_student_has_a_quarter_of_its_teachers_parameters():
    sizes = []
    for name in ("teacher", "student"):
        path = RECIPE / "conf" / f"{name}.yaml"
        assert path.read_text().startswith("# ")
        known = settings("enh", {})
        own = yaml.safe_load(path.read_text())
        assert own.keys() <= known.keys()
        model = build_model(task_class("enh"), known | own)
        sizes.append(sum(p.numel() for p in model.parameters()))
    assert 0.2 * sizes[0] < sizes[1] <= 0.25 * sizes[0]


@pytest.fixture
def recipe(tmp_path):
    """A copy of the recipe to run in, with models too small to learn anything."""
    (tmp_path / "checkout").mkdir()
    folder = checkout(tmp_path / "checkout", "an4", recipe="enh_kd1")
    for name, width in (("teacher", 16), ("student", 8)):
        path = folder / "conf" / f"{name}.yaml"
        conf = yaml.safe_load(path.read_text())
        tiny = {"stack": 1, "layer": 2, "bottleneck_dim": width, "hidden_dim": width}
        conf["separator_conf"] |= tiny
        path.write_text(yaml.safe_dump(conf | {"max_epoch": 2, "num_workers": 0}))
    return folder


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "say first what to train on: an4 --an4_audio DIR --noise DIR, or generated"),
        (["an4", "--an4_audio", "d"], "--an4_audio DIR --noise DIR follow an4"),
    ],
)
def test_a_call_that_cannot_run_is_told_why(recipe, options, sentence):
    done = run(recipe, *options)
    assert done.returncode == 2
    assert sentence in done.stderr


@pytest.mark.slow
@pytest.mark.dealt
def test_it_ends_in_a_table(recipe):
    options = ("generated", "--seeds", "1", "--train_jobs", "2")
    done = run(recipe, *options)
    assert done.returncode == 0, done.stderr
    exp = recipe / "exp"
    assert "loss_kd_waveform_si_snr" in (exp / "enh_distilled_s1" / "train.log").read_text()
    found = json.loads((exp / "enh_distilled_s1/evaluated/test/scores.json").read_text())
    assert found["utterances"] == 8
    results = (exp / "results" / "RESULTS.md").read_text()
    assert f"{found['metrics']['SI-SNR, dB']['value']:.3f}" in results
    assert "| without a model |" in results
    again = run(recipe, *options)
    assert again.returncode == 0, again.stderr
    assert again.stderr.count("trained already") == 3
    assert again.stderr.count("evaluated already") == 3
