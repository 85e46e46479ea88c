"""ONNX graphs beside the model that they were made of."""

import json
import sys

import numpy as np
import onnx
import pytest
import torch
from conftest import INPUT_SIZE, TOKENS, asr_options, build_asr, write_exp, write_features

from espnet_kd.bin.export_onnx import Distance, compare, main
from espnet_kd.errors import KDError
from espnet_kd.student.export import EncoderCTC, export_onnx, open_onnx, run_onnx

SIZE = {"encoder": "conformer", "width": 16}


@pytest.fixture
def place(tmp_path):
    write_exp(tmp_path / "exp", build_asr(1, **SIZE), asr_options(**SIZE))
    write_features(tmp_path, {"a": 80, "b": 55})
    return tmp_path


@pytest.mark.parametrize(
    ("encoder", "options"),
    [
        ("conformer", {}),
        ("transformer", {}),
        ("e_branchformer", {"encoder_conf": {"output_size": 16, "num_blocks": 2}}),
        ("conformer", {"normalize": "utterance_mvn"}),
    ],
)
def test_a_padded_batch_of_any_size_and_length(encoder, options, batch, tmp_path):
    model = build_asr(1, encoder=encoder, width=16, **options).eval()
    with torch.no_grad():
        hidden, expected_lens = model.encode(
            batch["speech"].clone(), batch["speech_lengths"]
        )
        expected = model.ctc.log_softmax(hidden)
    graph = EncoderCTC(model)
    export_onnx(graph, torch.randn(1, 50, INPUT_SIZE), tmp_path / "ctc.onnx")
    found, lens = run_onnx(
        open_onnx(tmp_path / "ctc.onnx"), batch["speech"], batch["speech_lengths"]
    )
    assert lens.tolist() == expected_lens.tolist()
    for row, count in enumerate(lens):
        torch.testing.assert_close(
            found[row, :count], expected[row, :count], atol=1e-4, rtol=0
        )


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
    kinds = {node.op_type for node in onnx.load(exp / "ctc.int8.onnx").graph.node}
    assert "MatMulInteger" in kinds
    assert "ConvInteger" not in kinds


def test_the_graph_knows_its_tokens(place):
    main(["--exp", str(place / "exp"), "--int8", "false", "--output_dir", str(place / "o")])
    props = onnx.load(place / "o" / "ctc.onnx").metadata_props
    facts = {entry.key: entry.value for entry in props}
    assert json.loads(facts["token_list"]) == TOKENS
    assert facts["blank_id"] == "0"
    assert not (place / "o" / "ctc.int8.onnx").exists()


def test_a_distance_by_hand(tmp_path, monkeypatch):
    p = torch.tensor([[[0.5, 0.5], [0.9, 0.1]]]).log()
    q = torch.tensor([[[0.25, 0.75], [0.9, 0.1]]]).log()
    monkeypatch.setattr(
        "espnet_kd.bin.export_onnx.run_onnx", lambda *_: (q, torch.tensor([2]))
    )
    monkeypatch.setattr("espnet_kd.bin.export_onnx.open_onnx", lambda _: None)
    found = compare(lambda *_: (p, torch.tensor([2])), tmp_path, [torch.zeros(1, 9, 1)])
    kl = 0.5 * (0.5 * np.log(2) + 0.5 * np.log(2 / 3))
    assert found == Distance(
        pytest.approx(np.log(2)), pytest.approx(kl), pytest.approx(0.5), 2
    )


def test_a_graph_that_says_something_else_is_not_left_behind(place, monkeypatch):
    wrong = Distance(0.5, 0.1, 0.9, 10)
    monkeypatch.setattr("espnet_kd.bin.export_onnx.compare", lambda *_: wrong)
    with pytest.raises(SystemExit, match=r"0\.5 from PyTorch, more than 0\.001"):
        main(["--exp", str(place / "exp")])
    assert not (place / "exp" / "ctc.onnx").exists()


def test_what_cannot_be_exported_is_refused(place, monkeypatch):
    with pytest.raises(KDError, match="no CTC layer"):
        EncoderCTC(build_asr(1, ctc_weight=0.0))
    with pytest.raises(SystemExit, match="say --output_dir DIR"):
        main(["--exp", str(place / "exp" / "config.yaml")])
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(SystemExit, match=r"pip install 'espnet_kd\[deploy\]'"):
        main(["--exp", str(place / "exp")])
