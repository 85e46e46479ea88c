"""The example that transcribes a WAV file with onnxruntime alone."""

import subprocess
import sys
import wave
from itertools import pairwise

import numpy as np
import pytest
import torch
from conftest import RECIPE
from extract_fbank import fbank
from stream_wav import online_fbank
from streams import KINDS, block_exp, driver_of

from espnet_kd.bin.export_onnx import main
from espnet_kd.streaming.driver import texts_of

SCRIPT = RECIPE / "pyscripts" / "stream_wav.py"
# Runs the script, and then says what it must not have imported.
WATCHED = """
import runpy, sys
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
heavy = {"torch", "espnet2", "espnet", "espnet_kd"} & set(sys.modules)
assert not heavy, heavy
"""


def write_wav(path, samples, rate=16000, channels=1):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return path


def transcribed(graph, wav):
    command = [sys.executable, "-c", WATCHED, str(SCRIPT), str(graph), str(wav)]
    return subprocess.run(command, capture_output=True, text=True)


def sound(count):
    """Another tone every tenth of a second, so that more than one token is written."""
    rng = np.random.default_rng(0)
    tone = np.repeat(rng.uniform(200, 4000, count // 1600 + 1), 1600)[:count]
    wavy = np.sin(2 * np.pi * np.cumsum(tone) / 16000)
    return np.trunc(5000 * wavy + 20 * rng.standard_normal(count))


def with_statistics(folder):
    """Settings by which the features of a sound are near 0."""
    feats = fbank(sound(32000), 16000, 20)
    sums = {"sum": feats.sum(0), "sum_square": (feats**2).sum(0), "count": len(feats)}
    np.savez(folder / "stats.npz", **sums)
    conf = {"stats_file": str(folder / "stats.npz")}
    return {"normalize": "global_mvn", "normalize_conf": conf}


@pytest.fixture(
    scope="module", params=[pytest.param(KINDS[0], marks=pytest.mark.slow), KINDS[1]]
)
def exp(request, tmp_path_factory):
    """The experiment of a model with its graph."""
    folder = tmp_path_factory.mktemp("exp")
    options = {"seed": 3, "kind": request.param, **with_statistics(folder)}
    main(["--exp", str(block_exp(folder, **options)), "--int8", "false"])
    return folder


def test_it_says_what_the_latency_driver_says(exp, tmp_path):
    """By greedy CTC, of two seconds, of less than a block, and of no frame at all."""
    driver, counts = driver_of(exp, "ctc"), []
    for samples in (32000, 6000, 900):
        wav = write_wav(tmp_path / "a.wav", sound(samples))
        answer = transcribed(exp / "ctc.streaming.onnx", wav)
        assert answer.returncode == 0, answer.stderr
        feats = fbank(sound(samples), 16000, 20)
        labels = driver("a", torch.from_numpy(feats), 50)[-1].labels
        assert answer.stdout == "".join(texts_of(driver.model, labels)) + "\n"
        counts.append(len(labels))
    assert all(more > fewer for more, fewer in pairwise(counts))
    assert counts[0] > 5
    assert counts[-1] == 0


@pytest.mark.parametrize("options", [{"rate": 8000}, {"channels": 2}])
def test_other_audio_is_refused(exp, tmp_path, options):
    wav = write_wav(tmp_path / "a.wav", sound(4000), **options)
    answer = transcribed(exp / "ctc.streaming.onnx", wav)
    assert answer.returncode == 1
    assert "is not of one channel of 16 bits at 16000 Hz" in answer.stderr


def test_a_front_end_of_its_own_is_refused():
    with pytest.raises(SystemExit, match="has a front end of its own, not filter banks"):
        online_fbank({"frontend": '{"kind": "default"}'})
