"""Streaming a set from the command line: what is written, and what is refused."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from conftest import TOKENS, asr_options, build_asr, write_exp, write_features
from streams import AUDIO, block_exp, block_model, block_options
from training import BLOCK

import espnet_kd
from espnet_kd.bin import quantize
from espnet_kd.bin.latency import main
from espnet_kd.host.kaldi_dir import read_table, write_table

FRAMES = {"u0": 300, "u1": 5, "u2": 31, "u3": 20, "u4": 12, "u5": 9, "u6": 25}
TEXTS = dict.fromkeys(FRAMES, "cde") | {"u1": ""}


@pytest.fixture
def place(tmp_path):
    """A student, a teacher, features of long and short utterances, and their text."""
    block_exp(tmp_path / "student")
    write_exp(tmp_path / "teacher", build_asr(2, width=12), asr_options(width=12))
    write_features(tmp_path, FRAMES)
    write_table(tmp_path / "text", TEXTS)
    (tmp_path / "decode.yaml").write_text("beam_size: 2\n")
    return tmp_path


def command(place, *more, exp="student", speech="f.scp,speech,kaldi_ark"):
    return [
        *("--exp", str(place / exp), "--output_dir", str(place / "out")),
        *("--data_path_and_name_and_type", f"{place}/{speech}"),
        *("--data_path_and_name_and_type", f"{place}/text,text,text"),
        *("--inference_config", str(place / "decode.yaml"), *map(str, more)),
    ]


@pytest.mark.parametrize("search", ["ctc", "beam"])
def test_a_set_is_streamed(place, search, capsys):
    main(command(place, "--search", search, "--reference_exp", place / "teacher"))
    said = capsys.readouterr()
    assert (place / "out" / "latency.md").read_text() in said.out
    assert "7/7, " in said.err
    found = json.loads((place / "out" / "latency.json").read_text())
    assert found["setting"]["reference"] == str(place / "teacher")
    assert found["setting"]["chunk_ms"] == 320  # 8 frames of the encoder's
    assert (found["utterances"], found["empty"], found["seconds"]) == (7, 1, 4.02)
    texts = read_table(place / "out" / "text")
    assert texts == {u: one["text"] for u, one in found["by_utterance"].items()}
    assert texts.keys() == FRAMES.keys()
    assert texts["u1"] == ""
    assert all(texts[utt] for utt in FRAMES if utt != "u1")
    for one in found["by_utterance"].values():
        # Written with a chunk of 320 ms, or the last.
        end = round(1000 * one["seconds"])
        assert all(ms == end or ms % 320 == 0 for ms in one["written_ms"])
    assert found["first_token_ms"]["count"] >= 3


def test_a_model_that_always_says_c_by_hand(place):
    """A frame of its encoder's is heard every 40 ms, and says 'c' and nothing else.

    ESPnet writes a block of 16 frames when one more has been heard, at the earliest after
    7 + 16 * 4 frames of features, or 710 ms: with the third chunk of 320 ms, at 960 ms. The
    teacher says 'c' from its first frame on, which ends at 40 ms.
    """
    for exp in ("student", "teacher"):
        weights = torch.load(place / exp / "valid.acc.ave.pth")
        weights["ctc.ctc_lo.bias"][TOKENS.index("c")] = 1e4
        torch.save(weights, place / exp / "valid.acc.ave.pth")
    write_table(place / "text", {"u0": "c"})
    main(command(place, "--search", "ctc", "--reference_exp", place / "teacher"))
    found = json.loads((place / "out" / "latency.json").read_text())
    assert found["wer"] == 0
    assert found["by_utterance"]["u0"]["written_ms"] == [960]
    assert found["delay_ms"] == {"mean": 920, "median": 920, "p90": 920, "count": 1}
    assert found["first_token_ms"]["mean"] == 920
    # The teacher's 'c' lasts to the end: (300 - 7) // 4 + 1 = 74 frames, 2960 ms.
    assert found["last_token_ms"]["mean"] == 960 - 2960


def test_chunks_may_be_of_any_length_and_words_wait_for_blocks(place):
    """What is written in the end is one text; in smaller chunks it comes no later."""
    ends = {}
    for chunk in (50, 320, 700):
        main(command(place, "--search", "ctc", "--chunk_ms", chunk))
        found = json.loads((place / "out" / "latency.json").read_text())
        ends[chunk] = found["by_utterance"]["u0"]
    assert ends[50]["text"] == ends[320]["text"] == ends[700]["text"]
    for small, large in ((50, 320), (50, 700)):
        pairs = zip(ends[small]["written_ms"], ends[large]["written_ms"], strict=True)
        assert all(a <= b for a, b in pairs)


def test_without_repetition_detection_words_come_sooner(place):
    times = {}
    for detection in ("true", "false"):
        main(command(place, "--repetition_detection", detection))
        found = json.loads((place / "out" / "latency.json").read_text())
        times[detection] = found["by_utterance"]["u0"]["written_ms"]
    assert min(times["false"]) < max(times["false"])
    assert np.mean(times["false"]) < np.mean(times["true"])


def refusal(arguments):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    return str(end.value)


def test_bad_input_is_answered_by_a_sentence(place):
    soundfile.write(place / "u0.wav", np.zeros(4000, np.float32), 16000)
    (place / "wav.scp").write_text(f"u0 {place}/u0.wav\n")
    sound = "wav.scp,speech,sound"
    refused = {
        "the encoder 'transformer', which hears": command(place, exp="teacher"),
        "add --data_path_and_name_and_type PATH,text,text": command(place)[:6],
        "there is nothing to stream": [*command(place)[:4], *command(place)[6:]],
        "--chunk_ms 1 is no time of a frame or": command(place, "--chunk_ms", 1),
        "--chunk_ms nan is no time": command(place, "--chunk_ms", "nan"),
        "--chunk_ms inf is no time": command(place, "--chunk_ms", "inf"),
        "--frame_shift is a number": command(place, "--frame_shift", 0),
        "of milliseconds above 0, such": command(place, "--frame_shift", "nan"),
        "'u0' is audio, and the model takes fe": command(place, speech=sound),
    }
    for sentence, arguments in refused.items():
        assert sentence in refusal([*arguments, "--search", "ctc"]), sentence
    assert not (place / "out").exists()


def test_other_data_options_and_texts_are_refused(place):
    block_exp(place / "audio", **AUDIO)
    assert "the model takes audio" in refusal(command(place, exp="audio"))
    (place / "decode.yaml").write_text("beam_sise: 2\n")
    assert "no option of asr_inference_streaming: did you mean 'beam_size'" in refusal(
        command(place)
    )
    (place / "decode.yaml").write_text("beam_size: 2\n")
    write_table(place / "text", TEXTS | {"zz": "c"})
    assert "'zz' is not in" in refusal(command(place))
    (place / "text").write_text("")
    assert "holds no utterance" in refusal(command(place))


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [((0, 8, 4), "hears an utterance whole"), ((8, 8, 4), "which are 12 frames")],
)
def test_blocks_that_do_not_fit_are_refused(place, shape, sentence):
    block_exp(place / "wrong", shape=shape)
    assert sentence in refusal(command(place, "--search", "ctc", exp="wrong"))


@pytest.mark.parametrize("arithmetic", ["float", "int8"])
@pytest.mark.parametrize("search", ["ctc", "beam"])
def test_a_compressed_student_streams_as_well(place, arithmetic, search):
    write_table(place / "text", {utt: TEXTS[utt] for utt in ("u0", "u1", "u2")})
    quantize.main(["--exp", str(place / "student"), "--arithmetic", arithmetic])
    main(command(place, "--file", "valid.acc.ave.int8.pth", "--search", search))
    texts = read_table(place / "out" / "text")
    assert texts["u1"] == ""
    assert texts["u0"]
    assert texts["u2"]


def test_a_file_in_place_of_the_directory_and_no_threads_are_refused(place, capsys):
    (place / "out").write_text("mine")
    assert "out is a file; name a directory" in refusal(command(place))
    assert (place / "out").read_text() == "mine"
    for count in ("0", "-1", "two"):
        refusal(command(place, "--threads", count))
        said = capsys.readouterr().err
        assert f"--threads: '{count}' is no whole number above 0" in said


def test_an_interrupted_run_leaves_nothing(place, monkeypatch):
    from espnet_kd.streaming.driver import Driver

    def stop(self, utt, speech, chunk):
        raise KeyboardInterrupt

    monkeypatch.setattr(Driver, "__call__", stop)
    with pytest.raises(KeyboardInterrupt):
        main(command(place))
    assert not (place / "out").exists()


def distilled(place: Path) -> None:
    """A student of audio that had a teacher for one step, as its training saves it."""
    options = block_options(shape=(40, 16, 16), **AUDIO)
    student, teacher = block_model(options), block_model(options, seed=2)
    conf = {"losses": [{"type": "ctc_shift_kl", "weight": 0.5}]}
    batch = {
        "speech": 0.1 * torch.randn(2, 40000, generator=torch.Generator().manual_seed(0)),
        "speech_lengths": torch.tensor([40000, 30000]),
        "text": torch.tensor([[2, 3], [4, 5]]),
        "text_lengths": torch.tensor([2, 2]),
        "utt_id": ["a", "b"],
    }
    espnet_kd.attach(student, conf, teacher)
    student.train()
    optimizer = torch.optim.SGD(student.parameters(), lr=1e-3)
    student(**batch)[0].backward()
    optimizer.step()
    write_exp(place / "distilled", student, options)


@pytest.mark.slow
def test_a_student_streams_in_stock_espnet_without_the_plugin(place):
    """And says there what it says here, of utterances that are longer than a chunk."""
    distilled(place)
    rng = np.random.default_rng(0)
    for utt, length in (("a", 40000), ("b", 21000), ("c", 9000)):
        sound = (0.1 * rng.standard_normal(length)).astype(np.float32)
        soundfile.write(place / f"{utt}.wav", sound, 16000)
    write_table(place / "wav.scp", {utt: f"{place}/{utt}.wav" for utt in "abc"})
    write_table(place / "text", dict.fromkeys("abc", "cd"))
    main(command(place, exp="distilled", speech="wav.scp,speech,sound"))
    arguments = [
        *("--output_dir", f"{place}/stock", "--sim_chunk_length", "8192"),
        *("--data_path_and_name_and_type", f"{place}/wav.scp,speech,sound"),
        *("--asr_train_config", f"{place}/distilled/config.yaml", "--beam_size", "2"),
        *("--asr_model_file", f"{place}/distilled/valid.acc.ave.pth"),
    ]
    module = "espnet2.bin.asr_inference_streaming"
    subprocess.run([sys.executable, "-c", BLOCK, module, *arguments], check=True)
    said = read_table(place / "stock" / "1best_recog" / "text")
    assert all(said.values())
    assert read_table(place / "out" / "text") == said


@pytest.mark.slow
def test_an_utterance_says_the_same_in_a_process_of_its_own(place):
    """Nothing is left of the one before."""
    main(command(place))
    together = read_table(place / "out" / "text")
    write_table(place / "text", {"u3": TEXTS["u3"]})
    run = [sys.executable, "-m", "espnet_kd.bin.latency", *command(place)]
    subprocess.run(run, check=True)
    assert read_table(place / "out" / "text") == {"u3": together["u3"]}
