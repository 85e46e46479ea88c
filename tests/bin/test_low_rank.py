"""Thin models by command: written, told layer by layer, decoded by one line."""

import pytest
import torch
from conftest import asr_options, build_asr, write_exp, write_features
from training import module

from espnet_kd.bin.low_rank import main

SIZE = {"encoder": "conformer", "width": 16}


def test_one_line_decodes_what_was_written(tmp_path, capsys):
    model = build_asr(1, **SIZE)
    with torch.no_grad():
        weight = model.ctc.ctc_lo.weight
        weight.copy_(weight[:, :1] @ weight[:1])
    exp = write_exp(tmp_path / "exp", model, asr_options(**SIZE))
    data = ["--data_path_and_name_and_type", write_features(tmp_path, {"a": 80})]
    main(["--exp", str(exp), "--energy", "0.9999999", *data])
    said = capsys.readouterr().out
    assert "| ctc.ctc_lo | 11 x 16 | 1 |" in said
    assert "| decoder.output_layer | 11 x 16 | whole |" in said
    assert "SQNR of the encoder's output inf dB" in said  # which was left whole
    files = ["--asr_train_config", f"{exp}/config.yaml", "--output_dir", f"{tmp_path}/o"]
    files += ["--asr_model_file", f"{exp}/valid.acc.ave.low_rank.pth"]
    search = ["--beam_size", "2", "--maxlenratio", "0.2", "--lm_weight", "0"]
    module("espnet_kd", "-m", "espnet2.bin.asr_inference", *files, *search, *data)
    assert len((tmp_path / "o" / "1best_recog" / "score").read_text().splitlines()) == 1


@pytest.mark.parametrize("energy", ["0", "1.5", "nan"])
def test_an_energy_is_a_part(tmp_path, energy):
    with pytest.raises(SystemExit, match="is not above 0 and at most 1"):
        main(["--exp", str(tmp_path), "--energy", energy])
