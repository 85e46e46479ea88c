"""ONNX graphs by command: written, compared, and not left behind where they are wrong."""

import json
import sys

import pytest
from conftest import asr_options, build_asr, write_exp, write_features
from streams import AUDIO, KINDS, block_exp

from espnet_kd.bin.export_onnx import main
from espnet_kd.streaming.comparison import ChunkComparison
from espnet_kd.student.distance import GraphDistance
from espnet_kd.student.export import open_onnx

SIZE = {"encoder": "conformer", "width": 16}


@pytest.fixture
def place(tmp_path):
    write_exp(tmp_path / "exp", build_asr(1, **SIZE), asr_options(**SIZE))
    write_features(tmp_path, {"a": 80, "b": 55})
    return tmp_path


def test_the_command_writes_both_and_says_how_far(place, capsys):
    exp = place / "exp"
    data = f"{place}/f.scp,speech,kaldi_ark"
    main(["--exp", str(exp), "--data_path_and_name_and_type", data])
    lines = capsys.readouterr().out.splitlines()
    # Subsampled by four, alone: (80 - 3) // 4 and (55 - 3) // 4 frames.
    assert all("over 32 frames" in line for line in lines)
    assert len(lines) == 2
    assert "best token the same in 100.00%" in lines[0]
    assert "KL" in lines[1]
    assert lines[1].startswith(str(exp / "ctc.int8.onnx"))


def test_a_graph_that_says_something_else_is_not_left_behind(place, monkeypatch):
    wrong = GraphDistance(0.5, 0.1, 0.9, 10)
    monkeypatch.setattr("espnet_kd.bin.export_onnx.graph_distance", lambda *_: wrong)
    with pytest.raises(SystemExit, match=r"0\.5 from PyTorch, more than 0\.001"):
        main(["--exp", str(place / "exp")])
    assert not (place / "exp" / "ctc.onnx").exists()


def test_without_data_and_integers_there_is_one_graph_and_random_features(place, capsys):
    main(["--exp", str(place / "exp"), "--int8", "false", "--output_dir", str(place / "o")])
    assert [path.name for path in (place / "o").iterdir()] == ["ctc.onnx"]
    # (203 - 3) // 4 + (150 - 3) // 4 + (97 - 3) // 4 + (64 - 3) // 4
    assert f"over {50 + 36 + 23 + 15} frames" in capsys.readouterr().out


def test_what_cannot_be_exported_is_refused(place, monkeypatch):
    with pytest.raises(SystemExit, match=r"export_onnx: .*say --output_dir DIR"):
        main(["--exp", str(place / "exp" / "config.yaml")])
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(SystemExit, match=r"pip install 'espnet_kd\[deploy\]'"):
        main(["--exp", str(place / "exp")])


def facts_of(path):
    return open_onnx(path).get_modelmeta().custom_metadata_map


@pytest.mark.parametrize("kind", [pytest.param(KINDS[0], marks=pytest.mark.slow), KINDS[1]])
def test_an_encoder_of_blocks_gets_graphs_of_chunks(place, kind, capsys):
    exp = block_exp(place / "blocks", kind=kind)
    data = f"{place}/f.scp,speech,kaldi_ark"
    options = ["--fs", "8000", "--frame_shift", "12.5"]
    main(["--exp", str(exp), "--data_path_and_name_and_type", data, *options])
    names = ["ctc.streaming.int8.onnx", "ctc.streaming.onnx"]
    assert sorted(path.name for path in exp.glob("*.onnx")) == names
    lines = capsys.readouterr().out.splitlines()
    # 19 and 13 frames in hops, the 19 in other chunks, and 14 of the first as a short one.
    assert all("over 65 frames" in line for line in lines)
    assert all("; a chunk of 400 ms takes " in line for line in lines)
    assert [line.partition(":")[0] for line in lines] == [str(exp / n) for n in names[::-1]]
    for name in names:
        facts = facts_of(exp / name)
        assert (facts["sample_rate"], facts["frame_shift_ms"]) == ("8000", "12.5")


def test_of_a_model_of_audio_the_graph_tells_its_front_end(place):
    exp = block_exp(place / "blocks", **AUDIO)
    main(["--exp", str(exp), "--int8", "false"])
    facts = facts_of(exp / "ctc.streaming.onnx")
    assert (facts["sample_rate"], facts["frame_shift_ms"]) == ("16000", "8")
    assert facts["feature_size"] == "20"
    frontend = {"kind": "default", "n_fft": 512, "hop_length": 128, "n_mels": 20}
    assert json.loads(facts["frontend"]) == frontend


def test_a_chunk_that_says_something_else_leaves_no_graph(place, monkeypatch):
    exp = block_exp(place / "blocks")
    (exp / "ctc.streaming.onnx").write_text("of another model")
    # Within what a graph of whole utterances may be off.
    wrong = ChunkComparison(GraphDistance(2e-4, 0.0, 1.0, 10), 320.0, None, None)
    monkeypatch.setattr("espnet_kd.bin.export_onnx.compare_chunks", lambda *_: wrong)
    with pytest.raises(SystemExit, match=r"0\.0002 from PyTorch, more than 0\.0001"):
        main(["--exp", str(exp)])
    assert not list(exp.glob("*.onnx"))


def test_a_block_encoder_that_hears_all_has_a_graph_of_the_whole(place):
    exp = block_exp(place / "blocks", shape=(0, 8, 4))
    main(["--exp", str(exp), "--int8", "false"])
    assert [path.name for path in exp.glob("*.onnx")] == ["ctc.onnx"]


def test_what_has_not_the_graph_that_was_asked_for_is_refused(place):
    exp = block_exp(place / "blocks")
    by_utterance = block_exp(place / "mvn", normalize="utterance_mvn")
    whole = block_exp(place / "all", shape=(0, 8, 4))
    refused = [
        (exp, ["--streaming", "false"], "leave out --streaming false"),
        (exp, ["--frame_shift", "0"], "--frame_shift is a number of milliseconds above 0"),
        (
            place / "exp",
            ["--streaming", "true"],
            "has the encoder 'conformer', which hears",
        ),
        (by_utterance, [], "has 'normalize: utterance_mvn', by a mean"),
        (whole, ["--streaming", "true"], "hears an utterance whole and streams nothing"),
    ]
    for folder, options, sentence in refused:
        with pytest.raises(SystemExit, match=f"^export_onnx: .*{sentence}"):
            main(["--exp", str(folder), *options])
        assert not list(folder.glob("*.onnx"))
