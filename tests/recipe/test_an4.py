"""Stock ESPnet commands plus --kd_conf on real features, decoded without us."""

import pytest
import yaml
from conftest import SHARED
from training import arguments, module, write_kd

AN4 = SHARED / "an4"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not AN4.is_dir(), reason="needs the AN4 features"),
]


def sized(command):
    """The tiny test command for AN4's 39 coefficients, with a larger batch."""
    command = list(command)
    command[command.index("--input_size") + 1] = "39"
    return [*command, "--batch_size", "40"]


def test_it_trains_and_stock_espnet_decodes_the_result(an4):
    teacher = sized(arguments(an4, an4 / "teacher", role="teacher"))
    module("espnet2.bin.asr_train", *teacher, blocked=True)
    kd = write_kd(an4 / "kd.yaml", an4 / "teacher")
    student = sized(arguments(an4, an4 / "kd", normalize="utterance_mvn"))
    log = module("espnet_kd", "-m", "espnet2.bin.asr_train", *student, "--kd_conf", kd)
    assert "loss_kd_ctc_frame_kl=" in log.stderr
    assert yaml.safe_load((an4 / "kd" / "config.yaml").read_text())["frontend"] is None

    keys = (an4 / "test" / "feats.scp").read_text().splitlines()[:4]
    (an4 / "keys").write_text("\n".join(keys) + "\n")
    module(
        *("espnet2.bin.asr_inference", "--beam_size", "2", "--ctc_weight", "0.5"),
        *("--data_path_and_name_and_type", f"{an4}/test/feats.scp,speech,kaldi_ark"),
        *("--key_file", str(an4 / "keys"), "--output_dir", str(an4 / "decoded")),
        *("--asr_train_config", str(an4 / "kd" / "config.yaml")),
        *("--asr_model_file", str(an4 / "kd" / "valid.acc.ave.pth")),
        blocked=True,
    )
    text = (an4 / "decoded" / "1best_recog" / "text").read_text().splitlines()
    assert [line.split()[0] for line in text] == [key.split()[0] for key in keys]
