"""Streaming a set through a transducer from the command line."""

import json

import pytest
import soundfile
import torch
from conftest import asr_options, build_asr, write_exp, write_features
from streams import AUDIO, block_exp, chunk_exp

from espnet_kd.bin.latency import main
from espnet_kd.host.kaldi_dir import read_table, write_table

FRAMES = {"u0": 400, "u1": 5, "u2": 45, "u3": 200}
TEXTS = dict.fromkeys(FRAMES, "cde") | {"u1": ""}


@pytest.fixture
def place(tmp_path):
    """A student, a teacher that hears all, features, and their text."""
    chunk_exp(tmp_path / "student")
    chunk_exp(tmp_path / "teacher", seed=4, chunks=False)
    write_features(tmp_path, FRAMES)
    write_table(tmp_path / "text", TEXTS)
    search = "beam_size: 1\ndecoding_window: 320\nleft_context: 16\n"
    (tmp_path / "decode.yaml").write_text(search)
    return tmp_path


def command(place, *more, exp="student", speech="f.scp,speech,kaldi_ark"):
    return [
        *("--task", "asr_transducer", "--exp", str(place / exp)),
        *("--output_dir", str(place / "out")),
        *("--data_path_and_name_and_type", f"{place}/{speech}"),
        *("--data_path_and_name_and_type", f"{place}/text,text,text"),
        *("--inference_config", str(place / "decode.yaml"), *map(str, more)),
    ]


def found_in(place):
    return json.loads((place / "out" / "latency.json").read_text())


def test_a_set_is_streamed_and_timed_by_a_teachers_auxiliary_ctc(place, capsys):
    main(command(place, "--reference_exp", place / "teacher"))
    assert (place / "out" / "latency.md").read_text() in capsys.readouterr().out
    found = found_in(place)
    setting = found["setting"]
    assert setting["reference"] == str(place / "teacher")
    assert setting["chunk_ms"] == setting["longest_wait_ms"] == setting["first_ms"] == 320
    assert setting["look_ahead_ms"] == 40
    assert setting["hears"] == "chunks of 8 frames of 40 ms and 16 behind them"
    texts = read_table(place / "out" / "text")
    assert texts == {u: one["text"] for u, one in found["by_utterance"].items()}
    assert texts["u1"] == ""
    assert texts["u0"]
    for one in found["by_utterance"].values():
        end = round(1000 * one["seconds"])
        assert all(ms == end or ms % 320 == 0 for ms in one["written_ms"])
    assert found["first_token_ms"]["count"] >= 1
    assert found["not_aligned"] == 0


def test_a_teacher_of_another_task_times_it_as_well(place):
    """Of CTC and attention, in which tokens are the same; or the model itself."""
    write_exp(place / "hybrid", build_asr(2, width=12), asr_options(width=12))
    main(command(place, "--reference_exp", place / "hybrid", "--reference_task", "asr"))
    by_hybrid = found_in(place)
    assert by_hybrid["setting"]["reference"] == str(place / "hybrid")
    main(command(place, "--chunk_ms", 160))
    alone = found_in(place)
    assert alone["setting"]["reference"].startswith("the model's own pass over the whole")
    assert alone["setting"]["chunk_ms"] == 160
    for found in (by_hybrid, alone):
        assert found["first_token_ms"]["count"] >= 1


def test_audio_at_eight_kilohertz_is_counted_in_its_own_time(place):
    front = AUDIO["frontend_conf"] | {"fs": 8000}
    chunk_exp(place / "audio", **(AUDIO | {"frontend_conf": front}))
    noise = 0.1 * torch.randn(12000, generator=torch.Generator().manual_seed(0))
    soundfile.write(place / "u0.wav", noise.numpy(), 8000)
    (place / "wav.scp").write_text(f"u0 {place}/u0.wav\n")
    write_table(place / "text", {"u0": "c"})
    main(command(place, exp="audio", speech="wav.scp,speech,sound"))
    found = found_in(place)
    assert found["seconds"] == 1.5
    assert found["setting"]["chunk_ms"] == 320
    assert found["setting"]["blocks"]["frame_ms"] == 64  # 4 times 128 samples


def refusal(arguments):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    return str(end.value)


def test_bad_input_is_answered_by_a_sentence(place):
    block_exp(place / "blocks")
    as_asr = [*command(place)[2:]]
    refused = {
        "student is a transducer; say so by --task asr_transducer": as_asr,
        "is no model of the asr_transducer task, whose": command(place, exp="blocks"),
        "was trained without chunks and hears": command(place, exp="teacher"),
        "are not of transducers; leave them out": command(place, "--search", "ctc"),
        "--chunk_ms 1 is no time of a frame or more; leave it out for the "
        "decoding_window, 320 ms": command(place, "--chunk_ms", 1),
        "unknown task 'asr_transduser'; did you mean": command(
            place, "--reference_task", "asr_transduser"
        ),
    }
    for sentence, arguments in refused.items():
        assert sentence in refusal(arguments), sentence
    held_back = command(place, "--repetition_detection", "false")
    assert "leave them out with --task asr_transducer" in refusal(held_back)
    assert not (place / "out").exists()


def test_a_teacher_without_ctc_times_nothing(place):
    chunk_exp(place / "bare", chunks=False, model_conf={})
    text = refusal(command(place, "--reference_exp", place / "bare"))
    assert "bare has no CTC to align transcripts by; name a model that has by" in text
