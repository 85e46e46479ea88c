"""AN4 in noise: which noise, how loud, and what the recipe trains on it."""

import numpy as np
import pytest
import soundfile
import yaml
from conftest import REPO
from recipe_runs import checkout, local_scripts, run

from espnet_kd.host.kaldi_dir import read_table, write_table

RECIPE = REPO / "egs" / "an4" / "asr_kd1"
SETS = ("train_nodev", "train_dev", "test")


@pytest.fixture
def noisy(tmp_path):
    """Constant speech of 0.5 in three sets, and a square wave of its own for each."""
    for name in SETS:
        folder = tmp_path / "clean" / name
        folder.mkdir(parents=True)
        soundfile.write(folder / "a-1.wav", np.full(4096, 0.5), 16000, subtype="FLOAT")
        write_table(folder / "wav.scp", {"a-1": str(folder / "a-1.wav")})
        for table, value in (("text", "YES"), ("utt2spk", "a"), ("spk2utt", "a-1")):
            write_table(folder / table, {"a-1" if table != "spk2utt" else "a": value})
    (tmp_path / "noise").mkdir()
    for fold in (1, 3, 4):
        clip = np.where(np.arange(8000) % 2, 1, -1) * fold / 100
        soundfile.write(tmp_path / f"noise/{fold}.wav", clip, 16000, subtype="FLOAT")
    (tmp_path / "noise/clips.tsv").write_text("1.wav\t1\n3.wav\t3\n4.wav\t4\n")
    return tmp_path


def add_noise(folder, *more):
    with local_scripts(RECIPE) as local:
        options = ["--source", str(folder / "clean"), "--noise", str(folder / "noise")]
        local.add_noise.main([*options, "--output_dir", str(folder / "noisy"), *more])


@pytest.mark.parametrize("snr", [0.0, 20.0])
def test_noise_is_as_loud_as_asked_whatever_the_clip(noisy, snr):
    """A square wave of amplitude 0.5 at 0 dB, of 0.05 at 20 dB."""
    add_noise(noisy, "--snr", str(snr))
    for name in SETS:
        heard = read_table(noisy / "noisy" / name / "wav.scp")
        assert list(heard) == ["a-1"]
        samples, rate = soundfile.read(heard["a-1"])
        assert rate == 16000
        amplitude = 0.5 * 10 ** (-snr / 20)
        assert np.abs(samples - 0.5) == pytest.approx(amplitude, rel=1e-4)
        for table in ("text", "utt2spk", "spk2utt"):
            clean = (noisy / "clean" / name / table).read_text()
            assert (noisy / "noisy" / name / table).read_text() == clean


def test_a_fold_that_is_not_there_is_named(noisy):
    (noisy / "noise/clips.tsv").write_text("1.wav\t1\n3.wav\t3\n")
    with pytest.raises(SystemExit, match="has no clip of fold 4"):
        add_noise(noisy)
    assert not (noisy / "noisy/train_nodev/wav.scp").exists()


def test_students_of_both_teachers_are_trained_then_shown_together(tmp_path):
    (tmp_path / "checkout").mkdir()
    recipe = checkout(tmp_path / "checkout", "an4")
    said = recipe / "said"
    (recipe / "run_audio.sh").write_text(f'#!/bin/sh\necho "$@" >> {said}\n')
    noises = recipe / "data/noisy/kaldi/train_nodev"
    noises.mkdir(parents=True)
    (noises / "wav.scp").touch()  # mixed already
    folders = ("--an4_audio", "A B", "--noise", "N")
    answer = run(recipe, "noisy", *folders, "--seeds", "1 2 3")
    assert answer.returncode == 0, answer.stderr
    teacher, same, clean = said.read_text().splitlines()
    assert teacher == "--an4_audio A B --stop_stage 8"
    for line in (same, clean):
        assert "--kaldi_data data/noisy/kaldi " in line
        assert "--teacher_exp exp/audio/asr_teacher_s1 " in line
        assert line.endswith(" --seeds 1 2 3")
    assert "--tag noisy " in same
    assert "--stop_stage 11 " in same
    assert "--teacher_hears" not in same
    assert "--tag clean --control_tag noisy " in clean
    assert "--teacher_hears dump/audio/fbank --other_tags noisy " in clean
    kd = yaml.safe_load((recipe / "conf/kd_audio_clean.yaml").read_text())
    alike = yaml.safe_load((recipe / "conf/kd_audio.yaml").read_text())
    assert kd["teachers"][0].pop("hears") == "teacher_speech"
    assert kd == alike
    said.unlink()
    answer = run(recipe, "noisy", *folders, "--stage", "12")
    assert answer.returncode == 0, answer.stderr
    _teacher, decoded = said.read_text().splitlines()
    assert "--tag clean " in decoded
    said.unlink()
    answer = run(recipe, "noisy", *folders, "--stop_stage", "10")
    assert answer.returncode == 0, answer.stderr
    assert "--other_tags" not in said.read_text()  # which are not trained yet
    said.unlink()
    for mistyped, sentence in (
        (["--sedes", "1"], "did you mean --seeds?"),
        (["--stage", "ten"], "--stage: "),
    ):
        answer = run(recipe, "noisy", *folders, *mistyped)
        assert answer.returncode == 2
        assert sentence in answer.stderr
    assert "Stages:" in run(recipe, "noisy", *folders, "--help").stdout
    assert not said.exists()  # not even the teacher
    answer = run(recipe, "noisy", "--an4_audio", "A")
    assert answer.returncode == 2
    assert "--an4_audio DIR --noise DIR come first" in answer.stderr
