"""One voice to be synthesised: its sentences, their durations, the measures, all stages."""

import importlib
import json
import sys

import numpy as np
import pytest
import soundfile
import torch
import yaml
from conftest import REPO, SHARED
from recipe_runs import NEEDS_SCLITE, checkout, run

from espnet_kd.errors import KDError
from espnet_kd.host.compat import build_model, default_settings, task_class
from espnet_kd.host.kaldi_dir import read_table, write_table
from espnet_kd.report.measure import parameters_by_part

VOICE = REPO / "egs" / "voice_de" / "tts_kd1"
TASK = REPO / "egs" / "TEMPLATE" / "task_kd1" / "pyscripts"
RECORDINGS = SHARED / "voice_de"
# What it imports: pyworld is an extra of the newer ESPnet's.
NEEDS_PYWORLD = pytest.mark.skipif(
    importlib.util.find_spec("pyworld") is None, reason="pyworld is not installed"
)
MINE = ("prepare", "durations", "recogniser", "spectra", "evaluate")


@pytest.fixture(scope="module")
def local():
    """The recipe's local scripts, as their names; other recipes have such names too."""
    before = {name: sys.modules.pop(name, None) for name in MINE}
    sys.path[:0] = places = [str(VOICE / "local"), str(TASK)]
    found = {name: importlib.import_module(name) for name in MINE}
    del sys.path[: len(places)]
    for name, module in before.items():
        sys.modules.pop(name)
        if module is not None:
            sys.modules[name] = module
    return type("Local", (), found)


def write_voice(folder, rows):
    """A list of sentences without their audio."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = (f"{name}\taudio/{name}.flac\t{text}\n" for name, text in rows)
    (folder / "utterances.tsv").write_text("".join(lines))
    return folder / "utterances.tsv"


def test_sentences_are_written_in_characters_that_are_spoken(local, tmp_path, capsys):
    rows = [
        ("a", "Er sagt:  nein"),
        ("b", "Der \u201eÄrger\u201c; Neunkirchen\u2013Saarbrücken!"),
        ("c", "Der PMP 500"),
        ("d", "Der ärger, neunkirchen-saarbrücken!"),
    ]
    (kept,) = local.prepare.read_list(write_voice(tmp_path, rows))
    assert kept.text == "der ärger, neunkirchen-saarbrücken!"
    assert (kept.name, kept.audio) == ("b", tmp_path / "audio" / "b.flac")
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "left out for its characters: a",
        "left out for its characters: c",
        "left out for its repetition: d",
    ]


def test_what_is_held_out_is_not_trained_on(local, tmp_path):
    names = [f"u{number}" for number in range(9)]
    path = write_voice(tmp_path, [(name, f"satz {name[1:]}") for name in names])
    path.write_text(path.read_text().translate({ord("0") + n: 97 + n for n in range(10)}))
    for out in ("one", "two"):
        local.prepare.write_sets(tmp_path / out, local.prepare.read_list(path), 2)
    sets = {
        name: read_table(tmp_path / "one" / name / "text")
        for name in ("train", "dev", "test")
    }
    assert {name: len(texts) for name, texts in sets.items()} == {
        "train": 5,
        "dev": 2,
        "test": 2,
    }
    assert len({utt for texts in sets.values() for utt in texts}) == 9
    tokens = (tmp_path / "one" / "tokens.txt").read_text().split("\n")
    used = {c for text in sets["train"].values() for c in text}
    assert tokens[:3] == ["<blank>", "<unk>", "<space>"]
    assert tokens[-2:] == ["<sos/eos>", ""]
    assert set(tokens[3:-2]) == used - {" "}
    for name in ("dev/text", "test/wav.scp", "train/text", "tokens.txt"):
        one, two = (tmp_path / out / name for out in ("one", "two"))
        assert one.read_text() == two.read_text()


def test_lists_that_are_none_are_named_with_a_remedy(local, tmp_path):
    prepare, path = local.prepare, tmp_path / "utterances.tsv"
    with pytest.raises(KDError, match="is missing; --voice names a folder"):
        prepare.read_list(path)
    path.write_text("a\taudio/a.flac\n")
    with pytest.raises(KDError, match="line 1 is not made of 3 fields"):
        prepare.read_list(path)
    path = write_voice(tmp_path, [("a", "eins"), ("b", "zwei")])
    with pytest.raises(KDError, match=r"2 utterances leave none .* --held_out"):
        prepare.write_sets(tmp_path / "out", prepare.read_list(path), 1)
    assert not (tmp_path / "out").exists()


def test_pyworld_is_asked_for_before_anything_is_done(local, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as end:
        local.prepare.main(["--generated", "9", "--output_dir", str(tmp_path / "out")])
    assert "python -m pip install pyworld" in str(end.value)
    assert not (tmp_path / "out").exists()


def test_generated_recordings_have_a_sound_for_every_letter(local, tmp_path):
    made = local.prepare.generate(tmp_path, 4)
    assert len({utterance.text for utterance in made}) == 4
    speech, rate = soundfile.read(made[0].audio)
    assert rate == local.prepare.RATE
    assert 1100 <= len(speech) / len(made[0].text) < 1900
    assert 0.1 < abs(speech).max() < 0.9


@pytest.mark.skipif(not RECORDINGS.is_dir(), reason="needs the German voice")
def test_the_voice_has_nearly_all_of_its_sentences(local, tmp_path):
    kept = local.prepare.read_list(RECORDINGS / "utterances.tsv")
    assert len(kept) == 496
    assert all(utterance.audio.is_file() for utterance in kept)


@pytest.mark.parametrize(
    ("first", "last", "frames", "mel_frames", "expected"),
    [
        # Between frames 3 and 5 frame 4 is blank; the second half of it goes on.
        ([2, 5], [3, 5], 10, 10, [4, 4, 2]),
        ([2, 5], [3, 5], 10, 20, [9, 7, 4]),
        ([2, 5], [3, 5], 10, 5, [2, 2, 1]),
        # No blanks at all, and none of the frames left for the end.
        ([0, 1, 2], [0, 1, 2], 3, 3, [1, 1, 1, 0]),
        ([0], [0], 5, 5, [3, 2]),
    ],
)
def test_durations_by_hand(local, first, last, frames, mel_frames, expected):
    assert local.durations.durations_of(first, last, frames, mel_frames) == expected


def test_every_character_has_a_frame_and_every_frame_a_character(local):
    rng = np.random.default_rng(0)
    for _ in range(200):
        labels, frames = int(rng.integers(1, 9)), int(rng.integers(9, 40))
        first = np.sort(rng.choice(frames, labels, replace=False))
        behind = [*first[1:], frames]
        last = [int(rng.integers(a, b)) for a, b in zip(first, behind, strict=True)]
        mel_frames = int(rng.integers(frames, 3 * frames))
        found = local.durations.durations_of(first.tolist(), last, frames, mel_frames)
        assert sum(found) == mel_frames
        assert len(found) == labels + 1
        assert min(found[:-1]) >= 1
        assert found[-1] >= 0


def test_the_frames_are_those_of_espnets_spectrum(local):
    from espnet2.tts.feats_extract.log_mel_fbank import LogMelFbank

    extract = LogMelFbank(n_fft=512, hop_length=100)
    for samples in (1000, 1099, 1100, 1101):
        _, counted = extract(torch.zeros(1, samples), torch.tensor([samples]))
        assert local.durations.mel_frames(samples, 100) == int(counted)


class Deaf:
    """A recogniser that hears nothing."""

    def transcribe(self, speech):
        return ""

    def align(self, speech, text):
        return [-1] * len(text), [-1] * len(text), 1


@pytest.fixture
def heard(tmp_path):
    """A set of one utterance."""
    soundfile.write(tmp_path / "a.wav", np.zeros(800), 16000)
    write_table(tmp_path / "dev" / "wav.scp", {"a": str(tmp_path / "a.wav")})
    write_table(tmp_path / "dev" / "text", {"a": "ja, ja."})
    return tmp_path / "dev"


@NEEDS_SCLITE
def test_a_recogniser_that_does_not_know_the_voice_aligns_nothing(local, heard, tmp_path):
    exp = tmp_path / "exp"
    with pytest.raises(KDError, match=r"100\.0 % .*; train it for longer, or raise"):
        local.durations.check_recogniser(Deaf(), heard, exp, 25.0)
    local.durations.check_recogniser(Deaf(), heard, exp, 100.0)


def test_a_recording_too_short_for_its_sentence_is_named(local, heard):
    with pytest.raises(KDError, match="recording of a is too short for its 7 characters"):
        local.durations.align_set(Deaf(), heard, 256)
    assert not (heard / "durations").exists()


def test_the_hop_is_that_of_the_training(local, tmp_path):
    assert local.durations.hop_of(VOICE / "conf" / "teacher.yaml") == 256
    path = tmp_path / "none.yaml"
    for text in ("feats_extract: fbank", "- 1", "feats_extract_conf: {hop_length: 12.5}"):
        path.write_text(text)
        with pytest.raises(KDError, match=r"has no feats_extract_conf\.hop_length"):
            local.durations.hop_of(path)


@NEEDS_SCLITE
def test_nobody_speaks_punctuation(local, tmp_path):
    texts = {"a": "ja, so-so!", "b": "nein."}
    heard = {"a": "ja so so", "b": "nei"}
    assert local.recogniser.plain(texts["a"]) == "ja so so"
    found = local.recogniser.error_rate(texts, heard, tmp_path)
    assert found == pytest.approx(100 / 12, abs=0.05)  # of 8 and 4 characters


def wave(order, decibels, frames=7, bands=80):
    """Spectra that are a cosine along the bands, of so many dB."""
    places = np.pi * order * (np.arange(bands) + 0.5) / bands
    return np.tile(decibels / 20 * np.cos(places), (frames, 1))


def test_distortion_is_the_root_mean_square_in_decibels(local):
    distortion = local.spectra.mel_cepstral_distortion
    flat = np.zeros((7, 80))
    both = wave(3, 4.0) + wave(24, 3.0)
    assert distortion(both, flat) == pytest.approx(5.0 / np.sqrt(2))
    # Neither the level counts nor what is finer than 24 cepstra, nor how long it takes.
    assert distortion(flat + 2.0, flat) == pytest.approx(0.0, abs=1e-9)
    assert distortion(wave(25, 6.0), flat) == pytest.approx(0.0, abs=1e-9)
    assert distortion(wave(5, 6.0, frames=11), wave(5, 6.0)) == pytest.approx(0.0, abs=1e-9)


def test_distortion_follows_the_best_path(local):
    """Of frames a a b against a b b: what is paired is alike."""
    a, b = wave(1, 5.0, frames=1), wave(2, 5.0, frames=1)
    one, two = np.concatenate([a, a, b]), np.concatenate([a, b, b])
    assert local.spectra.mel_cepstral_distortion(one, two) == pytest.approx(0.0, abs=1e-9)
    assert local.spectra.mel_l1(one, two) == pytest.approx(np.abs(a - b).mean() * 20 / 3)


def test_the_fastest_call_counts(local, monkeypatch):
    clock = iter([0.0, 5.0, 10.0, 12.0, 20.0, 29.0])
    monkeypatch.setattr(local.evaluate.time, "process_time", lambda: next(clock))
    given, seconds = local.evaluate.timed(lambda: np.ones(2))
    assert given.tolist() == [1.0, 1.0]
    assert seconds == 2.0


def test_a_model_that_is_not_there_is_named(local, tmp_path):
    with pytest.raises(KDError, match=r"nothing\.pth is missing; train that model first"):
        local.evaluate.Speaker(tmp_path, "nothing.pth", VOICE / "conf" / "vocoder.yaml")


CONFIGS = {
    path.relative_to(VOICE / "conf"): yaml.safe_load(path.read_text())
    for path in (VOICE / "conf").rglob("*.yaml")
}


def test_all_models_have_the_same_frames():
    for path in CONFIGS:
        assert (VOICE / "conf" / path).read_text().startswith("# ")
    names = ("feats_extract_conf", "pitch_extract_conf", "energy_extract_conf")
    trained = [conf for conf in CONFIGS.values() if "tts" in conf]
    assert len(trained) == 4
    for conf in trained:
        assert [conf[name] for name in names] == [trained[0][name] for name in names]
        assert {conf[name]["hop_length"] for name in names} == {256}


def size_of(name):
    """Parameters of a config's model; that of pitch has none."""
    task, tokens = task_class("tts"), ["<blank>", "<unk>", *"abc", "<sos/eos>"]
    given = {"token_list": tokens, "normalize": None, "pitch_extract": None}
    settings = default_settings(task) | CONFIGS[name] | given
    return sum(parameters_by_part(build_model(task, settings)).values())


def test_the_student_has_a_quarter_of_the_parameters():
    names = {str(name): name for name in CONFIGS}
    teacher, student = (size_of(names[f"{role}.yaml"]) for role in ("teacher", "student"))
    assert 0.2 * teacher < student <= 0.25 * teacher


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """A copy of the recipe to run in, for a run writes beside its run.sh."""
    return checkout(tmp_path_factory.mktemp("checkout"), "voice_de", recipe="tts_kd1")


def test_what_to_train_on_comes_first(recipe):
    answer = run(recipe)
    assert answer.returncode == 2
    assert "say first what to train on: voice --voice DIR, or generated" in answer.stderr
    answer = run(recipe, "voice", "--seeds", "1")
    assert answer.returncode == 2
    assert "--voice DIR follows voice" in answer.stderr


@pytest.mark.slow
@NEEDS_PYWORLD
@NEEDS_SCLITE
def test_every_stage_on_generated_speech(recipe):
    answer = run(recipe, "generated")
    assert answer.returncode == 0, answer.stderr[-3000:]
    for name, count in (("train", 8), ("dev", 3), ("test", 3)):
        data = recipe / "data" / name
        texts, audio = read_table(data / "text"), read_table(data / "wav.scp")
        durations = read_table(data / "durations")
        assert len(texts) == count
        for utt, text in texts.items():
            frames = [int(value) for value in durations[utt].split()]
            assert len(frames) == len(text) + 1
            assert sum(frames) == soundfile.info(audio[utt]).frames // 256 + 1
    for role in ("teacher", "control", "distilled"):
        out = recipe / "exp" / f"tts_{role}_s1" / "evaluated" / "test"
        metrics = json.loads((out / "scores.json").read_text())["metrics"]
        assert [*metrics] == [
            "mel L1, dB",
            "MCD, dB",
            "CER of the speech, %",
            "real-time factor",
        ]
        assert all(metric["value"] > 0 for metric in metrics.values())
        copies = json.loads((out / "recordings.json").read_text())
        assert 0 < copies["MCD of the copies, dB"] < metrics["MCD, dB"]["value"]
        assert len([*(out / "audio").glob("*.wav")]) == 3
    assert "| student, distilled |" in (recipe / "exp/results/RESULTS.md").read_text()

    again = run(recipe, "generated")
    assert again.returncode == 0, again.stderr[-3000:]
    for text in ("data are there", "durations are there", "trained already", "evaluated"):
        assert text in again.stderr
