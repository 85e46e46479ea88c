"""The gate: the teacher as students will hear it."""

import kaldiio
import numpy as np
import pytest
import torch
from conftest import INPUT_SIZE, TOKENS, asr_options, build_asr, write_exp
from streams import chunk_exp
from trials import write_packed_teacher

from espnet_kd.bin.check_teacher import main


@pytest.fixture
def gate(tmp_path):
    """A teacher that always says 'c', and one utterance; gives the arguments."""
    model = build_asr(width=8, blocks=1)
    with torch.no_grad():
        model.ctc.ctc_lo.bias[TOKENS.index("c")] = 1e4
    exp = write_exp(tmp_path / "teacher", model, asr_options(width=8, blocks=1))
    feats = np.random.default_rng(0).standard_normal((60, INPUT_SIZE)).astype(np.float32)
    with kaldiio.WriteHelper(f"ark,scp:{tmp_path}/f.ark,{tmp_path}/f.scp") as writer:
        writer("utt", feats)
    (tmp_path / "text").write_text("utt c\n")
    return [
        *("--exp", str(exp), "--text", str(tmp_path / "text")),
        *("--data_path_and_name_and_type", f"{tmp_path}/f.scp,speech,kaldi_ark"),
        *("--output", str(tmp_path / "gate.json")),
    ]


def test_a_good_teacher_passes(gate, capsys, tmp_path):
    main([*gate, "--max_wer", "10"])
    assert "greedy CTC WER 0.00 % (unit cost)" in capsys.readouterr().out
    assert '"wer": 0.0' in (tmp_path / "gate.json").read_text()


def test_a_packed_teacher_of_word_pieces_passes(gate, capsys, tmp_path):
    gate[1] = str(write_packed_teacher(tmp_path / "packed"))
    main([*gate, "--max_wer", "10"])
    assert "greedy CTC WER 0.00 % (unit cost)" in capsys.readouterr().out


def test_a_bad_teacher_stops_with_the_way_out(gate, tmp_path):
    (tmp_path / "text").write_text("utt d\n")
    with pytest.raises(
        SystemExit, match=r"100.00 % is above --teacher_max_wer 10 %.*check"
    ):
        main([*gate, "--max_wer", "10"])


def test_text_without_audio_is_named(gate, tmp_path):
    (tmp_path / "text").write_text("utt c\nother c\n")
    with pytest.raises(
        SystemExit, match=r"1 utterances of .* have no audio, first 'other'"
    ):
        main([*gate, "--max_wer", "10"])


def test_a_transducer_is_heard_by_its_auxiliary_ctc(gate, capsys, tmp_path):
    exp = chunk_exp(tmp_path / "lattice", chunks=False)
    weights = torch.load(exp / "valid.acc.ave.pth", weights_only=True)
    weights["ctc_lin.bias"][TOKENS.index("c")] = 1e4
    torch.save(weights, exp / "valid.acc.ave.pth")
    gate[1] = str(exp)
    main([*gate, "--max_wer", "10", "--task", "asr_transducer"])
    assert "greedy CTC WER 0.00 % (unit cost)" in capsys.readouterr().out


def test_a_transducer_without_one_is_not_judged(gate, tmp_path):
    gate[1] = str(chunk_exp(tmp_path / "bare", chunks=False, model_conf={}))
    with pytest.raises(SystemExit, match=r"bare has no CTC, by whose .*begin at --stage 9"):
        main([*gate, "--max_wer", "10", "--task", "asr_transducer"])
    assert not (tmp_path / "gate.json").exists()
