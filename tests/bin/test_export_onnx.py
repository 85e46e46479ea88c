"""ONNX graphs by command: written, compared, and not left behind where they are wrong."""

import sys

import pytest
from conftest import asr_options, build_asr, write_exp, write_features

from espnet_kd.bin.export_onnx import main
from espnet_kd.student.distance import GraphDistance

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
