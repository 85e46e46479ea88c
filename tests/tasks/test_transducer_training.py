"""A whole training of the asr_transducer task with distillation, on random features."""

import math

import torch
import yaml
from training import transducer_arguments


def test_it_trains_its_lattice_and_its_auxiliary_ctc(features, tmp_path):
    from espnet_kd.tasks.variants import KDASRTransducerTask

    KDASRTransducerTask.main(cmd=transducer_arguments(features, tmp_path / "teacher", 12))
    terms = [
        {"type": "transducer_collapsed_kl", "weight": 1.0},
        {"type": "transducer_fullsum", "weight": 0.1},
        {"type": "ctc_frame_kl", "weight": 0.1},
    ]
    conf = {"teachers": [{"exp": str(tmp_path / "teacher")}], "losses": terms}
    conf["teachers"][0]["file"] = "valid.loss.ave.pth"
    (tmp_path / "kd.yaml").write_text(yaml.safe_dump(conf))
    student = transducer_arguments(features, tmp_path / "student", 8)
    KDASRTransducerTask.main(cmd=[*student, "--kd_conf", str(tmp_path / "kd.yaml")])
    state = torch.load(tmp_path / "student" / "checkpoint.pth", weights_only=False)
    stats = state["reporter"]["stats"][2]["train"]
    for term in terms:
        value = stats[f"loss_kd_{term['type']}"]
        assert value > 0
        assert math.isfinite(value)
