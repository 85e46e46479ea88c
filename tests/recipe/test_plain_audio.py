"""Kaldi directories of audio: commands, segments, and a recipe folder made for them."""

import struct
import subprocess

import extract_fbank
import kaldiio
import numpy as np
import plain_audio
import pytest
import soundfile
from conftest import RECIPE
from recipe_runs import WORDS, checkout, run

from espnet_kd.errors import KDError
from espnet_kd.host.kaldi_dir import read_table, write_table

FS = 16000


@pytest.fixture
def samples():
    """A second of sound, 16 bits a sample."""
    return np.random.default_rng(0).integers(-9000, 9000, FS, np.int16)


@pytest.fixture
def data(tmp_path, samples):
    """A directory of one recording, ``r``, spoken by ``s``."""
    soundfile.write(tmp_path / "r.wav", samples, FS)
    folder = tmp_path / "kaldi" / "train"
    write_table(folder / "wav.scp", {"r": str(tmp_path / "r.wav")})
    write_table(folder / "text", {"r": "HELLO"})
    write_table(folder / "utt2spk", {"r": "s"})
    return folder


def give(data, entry=None, **segments):
    """Give the recording another entry, or segments."""
    if entry is not None:
        write_table(data / "wav.scp", {"r": entry})
    if segments:
        write_table(data / "segments", segments)
        for table, value in (("text", "HELLO"), ("utt2spk", "s")):
            write_table(data / table, dict.fromkeys(segments, value))


def plain(data, *options):
    """Run the script; gives the directory that it writes."""
    out = data.parents[1] / "data" / "train"
    where = ["--output_dir", str(out), "--audio_dir", str(data.parents[1] / "made")]
    plain_audio.main(["--data_dir", str(data), *where, *options])
    return out


def test_a_file_of_its_own_stays_where_it_is(data, tmp_path, capsys):
    out = plain(data)
    assert read_table(out / "wav.scp") == {"r": str(tmp_path / "r.wav")}
    assert read_table(out / "utt2num_samples") == {"r": "16000"}
    assert read_table(out / "text") == {"r": "HELLO"}
    assert (out / "spk2utt").read_text() == "s r\n"
    assert not (tmp_path / "made").exists()
    assert "commands" not in capsys.readouterr().err


def test_a_command_is_run_and_told(data, tmp_path, samples, capsys):
    give(data, f"cat {tmp_path}/r.wav | cat - |")
    (wav,) = read_table(plain(data) / "wav.scp").values()
    assert wav == str(tmp_path / "made" / "r.flac")
    np.testing.assert_array_equal(soundfile.read(wav, dtype="int16")[0], samples)
    assert f"1 commands are run, the first: cat {tmp_path}" in capsys.readouterr().err


def test_a_header_that_was_written_before_its_data(data, tmp_path, samples):
    """As sox and ffmpeg write to a pipe: they do not know the length yet."""
    wav = bytearray((tmp_path / "r.wav").read_bytes())
    at = wav.index(b"data") + 4
    wav[at : at + 4] = wav[4:8] = struct.pack("<I", 0x7FFFFFFF)
    (tmp_path / "pipe.wav").write_bytes(wav)
    give(data, f"cat {tmp_path}/pipe.wav |")
    assert read_table(plain(data) / "utt2num_samples") == {"r": str(len(samples))}


def test_segments_are_cut_by_hand(data, samples):
    give(data, b="r 0.25 0.75", a="r 0 0.125", c="r 0.5 -1", d="r 0.75 1.25")
    out = plain(data)
    wavs = read_table(out / "wav.scp")
    expected = {"a": (0, 2000), "b": (4000, 12000), "c": (8000, 16000), "d": (12000, 16000)}
    for utt, (start, end) in expected.items():
        cut, rate = soundfile.read(wavs[utt], dtype="int16")
        assert rate == FS
        np.testing.assert_array_equal(cut, samples[start:end])
    lengths = {utt: str(end - start) for utt, (start, end) in expected.items()}
    assert read_table(out / "utt2num_samples") == lengths
    assert read_table(out / "utt2spk") == dict.fromkeys("abcd", "s")


def test_a_segment_of_a_whole_recording_has_the_name_of_its_own(data):
    give(data, u="r 0 -1")
    assert read_table(plain(data) / "wav.scp")["u"].endswith("made/u.flac")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"entry": "echo no tape >&2; exit 3 |"}, "r: its command ended with status 3, and "
         "said: no tape; run it by hand: echo no tape >&2; exit 3\n"),
        ({"entry": "false | cat |"}, "r: its command ended with status 1, and said: nothi"),
        ({"entry": "echo hello |"}, "r: no audio comes from 'echo hello |' ("),
        ({"entry": "gone.wav"}, "gone.wav: missing; seen from /"),
        ({"entry": "gone.wav", "u": "r 0 1"}, "r: gone.wav is missing\n"),
        ({"u": "r 0 1.75"}, "u (r 0 1.75): ends behind its recording, which has 1.00 s"),
        ({"u": "r 1 -1"}, "u (r 1 -1): ends behind its recording, which has 1.00 s"),
    ],
)  # fmt: skip
def test_bad_audio_is_named_counted_and_dropped_on_demand(data, capsys, change, problem):
    give(data, **change)
    with pytest.raises(SystemExit, match="plain_audio: train: 1 of 1 audio files are b"):
        plain(data)
    assert problem in capsys.readouterr().err
    assert read_table(plain(data, "--drop_bad_audio") / "wav.scp") == {}


def test_rates_and_channels_are_what_models_hear(data, tmp_path, samples, capsys):
    soundfile.write(tmp_path / "two.wav", np.stack([samples, samples], 1), FS)
    give(data, f"cat {tmp_path}/two.wav |")
    with pytest.raises(SystemExit):
        plain(data)
    assert "two.wav |' has 2 channels; one is needed" in capsys.readouterr().err
    give(data, f"{tmp_path}/two.wav")
    with pytest.raises(SystemExit):
        plain(data)
    assert "two.wav: has 2 channels; one is needed" in capsys.readouterr().err
    assert read_table(plain(data, "--drop_bad_audio") / "wav.scp") == {}
    give(data, f"cat {tmp_path}/r.wav |")
    with pytest.raises(SystemExit):
        plain(data, "--fs", "8000")
    assert "r.wav |' is at 16000 Hz instead of 8000" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("r 0", "'u' has 'r 0', which is no recording, start and end in seconds"),
        ("r one two", "'u' has 'r one two', which is no recording"),
        ("r 0.5 0.25", "'u' has 'r 0.5 0.25', which is no recording"),
        ("r 0 inf", "'u' has 'r 0 inf', which is no recording"),
        ("gone 0 1", "'u' is of 'gone', which .*wav.scp does not have; add the recording"),
    ],
)
def test_bad_segments_are_named(data, line, problem):
    give(data, u=line)
    with pytest.raises(SystemExit, match=f"plain_audio: .*segments: {problem}"):
        plain(data)


def test_tables_that_do_not_go_together_are_named(data):
    write_table(data / "text", {"other": "HELLO"})
    with pytest.raises(SystemExit, match="text lacks 1 of 1 utterances, first 'r'; Kaldi"):
        plain(data)
    (data / "text").unlink()
    assert read_table(plain(data) / "text") == {"r": ""}, "audio that nobody transcribed"
    with pytest.raises(KDError, match="utt2spk is missing"):
        list(plain_audio.read_utterances(data.parent, {}))


def test_a_strangers_tables_are_not_overwritten(data):
    with pytest.raises(SystemExit, match=r"would be overwritten .*other --datadir"):
        plain_audio.main(
            ["--data_dir", str(data), "--output_dir", str(data), "--audio_dir", "x"]
        )


SETUP = RECIPE / "setup.sh"


def test_setup_refuses_a_folder_that_is_there(tmp_path):
    answer = subprocess.run([SETUP, tmp_path], capture_output=True, text=True)
    assert answer.returncode == 2
    assert f"setup.sh: {tmp_path} is there already; name a new folder" in answer.stderr
    answer = subprocess.run([SETUP, "--help"], capture_output=True, text=True)
    assert answer.stderr.startswith("usage: ")


@pytest.mark.slow
def test_a_folder_of_ones_own_goes_from_kaldi_directories_to_statistics(
    tmp_path, monkeypatch
):
    """Outside of the checkout; commands and segments beside plain files."""
    root = tmp_path / "checkout"
    root.mkdir()
    template = checkout(root, "an4").parents[1] / "TEMPLATE" / "asr_kd1"
    own = tmp_path / "elsewhere" / "asr_kd1"
    subprocess.run([template / "setup.sh", own], check=True, capture_output=True)
    assert len((own / "run.sh").read_text().splitlines()) <= 20
    random, sound = np.random.default_rng(0), {}
    for name, count in (("train", 8), ("dev", 2), ("test", 2)):
        folder = tmp_path / "kaldi" / name
        utts = [f"{name}-{n}" for n in range(count)]
        sound |= {u: random.integers(-9000, 9000, 8000, np.int16) for u in utts}
        soundfile.write(
            tmp_path / f"{name}.wav", np.concatenate([*map(sound.get, utts)]), FS
        )
        write_table(folder / "wav.scp", {name: f"cat ../../{name}.wav |"})
        spans = {u: f"{name} {n * 0.5} {n * 0.5 + 0.5}" for n, u in enumerate(utts)}
        write_table(folder / "segments", spans)
        texts = {u: " ".join(random.choice(WORDS, 3)) for u in utts}
        write_table(folder / "text", texts)
        write_table(folder / "utt2spk", dict.fromkeys(utts, "s"))
    options = ["--kaldi_data", str(tmp_path / "kaldi"), "--nbpe", "20", "--stop_stage", "6"]
    options += ["--n_mels", "40", "--nj", "1"]
    answer = run(own, *options)
    assert answer.returncode == 0, answer.stderr[-3000:]
    assert "1 commands are run, the first: cat ../../train.wav |" in answer.stderr
    feats = kaldiio.load_scp(str(own / "dump/fbank/train_sp/final/feats.scp"))
    assert len(feats) == 24, "three speeds"
    monkeypatch.chdir(own)  # its tables name files as the recipe sees them
    for utt in ("train-0", "train-7"):
        expected = extract_fbank.fbank(sound[utt].astype(np.float32), FS, 40)
        np.testing.assert_array_equal(feats[utt], expected)
    assert (own / "exp/asr_stats_fbank_bpe20/train_sp/train/feats_stats.npz").is_file()
    again = run(own, *options)
    assert again.returncode == 0, again.stderr[-3000:]
    assert "commands are run" not in again.stderr
    assert again.stderr.count("features are there") == 3
