"""A whole training of the asr_transducer task with distillation, on random features."""

import math

import torch
import yaml
from training import arguments

BLOCK = {
    "block_type": "conformer",
    "linear_size": 16,
    "conv_mod_kernel_size": 3,
    "heads": 2,
}


def command(features, output_dir, width):
    """Arguments of asr_transducer_train for a tiny model."""
    shape = {
        "encoder": None,
        "encoder_conf": {
            "main_conf": {"pos_wise_act_type": "swish"},
            "input_conf": {"block_type": "conv2d", "conv_size": 8},
            "body_conf": [BLOCK | {"hidden_size": width}],
        },
        "decoder": "rnn",
        "decoder_conf": {"embed_size": 8, "hidden_size": 8},
        "joint_network_conf": {"joint_space_size": 8},
        "model_conf": {"auxiliary_ctc_weight": 0.3},
        "best_model_criterion": [["valid", "loss", "min"]],
    }
    line = arguments(features, output_dir, **shape)
    path = line[line.index("--config") + 1]
    with open(path) as file:
        config = yaml.safe_load(file)
    del config["encoder"]  # this task has one only
    with open(path, "w") as file:
        yaml.safe_dump(config, file)
    return line


def test_it_trains_its_lattice_and_its_auxiliary_ctc(features, tmp_path):
    from espnet_kd.tasks.variants import KDASRTransducerTask

    KDASRTransducerTask.main(cmd=command(features, tmp_path / "teacher", 12))
    terms = [
        {"type": "transducer_collapsed_kl", "weight": 1.0},
        {"type": "transducer_fullsum", "weight": 0.1},
        {"type": "ctc_frame_kl", "weight": 0.1},
    ]
    conf = {"teachers": [{"exp": str(tmp_path / "teacher")}], "losses": terms}
    conf["teachers"][0]["file"] = "valid.loss.ave.pth"
    (tmp_path / "kd.yaml").write_text(yaml.safe_dump(conf))
    student = command(features, tmp_path / "student", 8)
    KDASRTransducerTask.main(cmd=[*student, "--kd_conf", str(tmp_path / "kd.yaml")])
    state = torch.load(tmp_path / "student" / "checkpoint.pth", weights_only=False)
    stats = state["reporter"]["stats"][2]["train"]
    for term in terms:
        value = stats[f"loss_kd_{term['type']}"]
        assert value > 0
        assert math.isfinite(value)
