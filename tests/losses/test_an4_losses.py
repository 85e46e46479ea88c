"""Every loss through a real student and teacher on real speech: it falls."""

import math

import pytest
import torch
import yaml
from conftest import SHARED
from training import SPECAUG, module

from espnet_kd.bin import train_codebooks
from espnet_kd.losses import LOSSES
from espnet_kd.losses.classes import ClassKL
from espnet_kd.losses.output import OutputLoss

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (SHARED / "an4").is_dir(), reason="needs the AN4 features"),
]
ENCODER = {
    "attention_heads": 4,
    "linear_units": 128,
    "input_layer": "conv2d",
    "macaron_style": True,
    "rel_pos_type": "latest",
    "pos_enc_layer_type": "rel_pos",
    "selfattention_layer_type": "rel_selfattn",
    "activation_type": "swish",
    "use_cnn_module": True,
    "cnn_module_kernel": 15,
}
MASKS = SPECAUG | {"freq_mask_width_range": [0, 8], "time_mask_width_range": [0, 20]}
ENDS = {"student": "encoder", "teacher": "encoder"}
ATTENTION = {f"{side}": "encoder.encoders.2.self_attn" for side in ("student", "teacher")}
HYBRID = [
    {"type": "ctc_frame_kl", "weight": 0.1},
    {"type": "ctc_frame_kl", "weight": 0.1, "name": "inter", "head": 2},
    {"type": "ctc_guided", "weight": 0.1},
    {"type": "ctc_shift_kl", "weight": 0.1},
    {"type": "ctc_token_kl", "weight": 0.1},
    {"type": "ctc_nbest", "weight": 0.1, "search": "greedy"},
    {"type": "token_kl", "weight": 0.2, "temperature": 2.0},
    {"type": "token_reverse_kl", "weight": 0.1},
    {"type": "token_jsd", "weight": 0.5},
    {"type": "hidden_mse", "weight": 0.1, **ENDS},
    {"type": "hidden_cosine", "weight": 0.1, **ENDS},
    {"type": "hidden_l1_cosine", "weight": 0.1, **ENDS},
    {"type": "codebook_ce", "weight": 0.1, **ENDS},
    {"type": "hidden_cka", "weight": 5.0, **ENDS},
    {"type": "similarity", "weight": 100.0, **ENDS},
    {"type": "rkd", "weight": 10.0, **ENDS},
    {"type": "attention_kl", "weight": 0.1, **ATTENTION},
    {"type": "relation_kl", "weight": 0.1, "heads": 4, **ATTENTION},
]
SEARCHED = [
    {"type": "token_nbest", "weight": 0.5, "nbest": 2},
    {"type": "ctc_nbest", "weight": 0.5, "nbest": 2},
]
LATTICE = [
    {"type": "transducer_collapsed_kl", "weight": 10.0},
    {"type": "transducer_lattice_kl", "weight": 10.0},
    {"type": "transducer_path_kl", "weight": 0.2},
    {"type": "transducer_fullsum", "weight": 0.2},
    {"type": "transducer_token_kl", "weight": 0.5},
]
MODES = [
    {"type": "mode_consistency", "weight": 0.2},
    {"type": "transducer_mode_consistency", "weight": 2.0},
]


def config(width, blocks, epochs, **more):
    encoder = ENCODER | {"output_size": width, "num_blocks": blocks}
    settings = {
        "encoder": "conformer",
        "encoder_conf": encoder | more.pop("encoder_conf", {}),
        "decoder": "transformer",
        "decoder_conf": {"attention_heads": 4, "linear_units": 128, "num_blocks": 1},
        "model_conf": {"ctc_weight": 0.3},
        "normalize": "utterance_mvn",
        "specaug": "specaug",
        "specaug_conf": MASKS,
        "optim": "adam",
        "optim_conf": {"lr": 0.003},
        "scheduler": "warmuplr",
        "scheduler_conf": {"warmup_steps": 60},
        "batch_type": "numel",
        "batch_bins": 250000,
        "max_epoch": epochs,
        "keep_nbest_models": 1,
        "use_tensorboard": False,
        "use_matplotlib": False,
        "num_workers": 0,
        "seed": 1,
        "best_model_criterion": [["valid", "loss", "min"]],
    }
    return settings | more


TRANSDUCER = {
    "decoder": "transducer",
    "decoder_conf": {"hidden_size": 48},
    "joint_net_conf": {"joint_space_size": 48},
}


def train(data, name, settings, kd=None, subset="train"):
    """Train by the stock command with the plugin; the stats of each epoch."""
    (data / f"{name}.yaml").write_text(yaml.safe_dump(settings))
    command = ["--config", f"{data}/{name}.yaml", "--output_dir", f"{data}/{name}"]
    command += ["--token_type", "char", "--token_list", f"{data}/tokens.txt"]
    command += ["--input_size", "39"]
    for split, prefix in ((subset, "train"), ("dev", "valid")):
        option = f"--{prefix}_data_path_and_name_and_type"
        command += [option, f"{data}/{split}/feats.scp,speech,kaldi_ark"]
        command += [option, f"{data}/{split}/text,text,text"]
        command += [f"--{prefix}_shape_file", f"{data}/{split}/feats_shape"]
    if kd:
        (data / f"{name}.kd.yaml").write_text(yaml.safe_dump(kd))
        command += ["--kd_conf", f"{data}/{name}.kd.yaml"]
    module("espnet_kd", "-m", "espnet2.bin.asr_train", *command)
    state = torch.load(data / name / "checkpoint.pth", weights_only=False)
    return [epoch["train"] for epoch in state["reporter"]["stats"].values()]


@pytest.fixture(scope="module")
def teacher(an4):
    train(an4, "loss_teacher", config(64, 3, epochs=10))
    return {"teachers": [{"exp": str(an4 / "loss_teacher")}]}


def part(data, count):
    """The first utterances of the training set alone."""
    folder = data / f"first{count}"
    folder.mkdir()
    for file in ("feats.scp", "text", "feats_shape"):
        lines = (data / "train" / file).read_text().splitlines()[:count]
        (folder / file).write_text("\n".join(lines) + "\n")
    return folder.name


def check(epochs, terms):
    for term in terms:
        values = [e[f"loss_kd_{term.get('name', term['type'])}"] for e in epochs]
        assert all(map(math.isfinite, values)), term
        assert values[-1] < values[0], (term, values)


def test_all_of_a_hybrid_student(an4, teacher):
    layers = {"interctc_layer_idx": [2]}
    models = {"ctc_weight": 0.3, "interctc_weight": 0.3}
    student = config(48, 3, epochs=3, encoder_conf=layers, model_conf=models)
    exp, file = str(an4 / "loss_teacher"), f"{an4}/codebooks.npz"
    line = ["--exp", exp, "--tap", "encoder", "--output", file, "--centroids", "64"]
    data = f"{an4}/train/feats.scp,speech,kaldi_ark"
    train_codebooks.main([*line, "--data_path_and_name_and_type", data, "--drawn", "100"])
    kd = {"teachers": [{"exp": exp, "codebooks": file}], "losses": HYBRID}
    epochs = train(an4, "hybrid", student, kd)
    check(epochs, HYBRID)
    assert epochs[-1]["kd_spike_hit"] > epochs[0]["kd_spike_hit"]
    assert epochs[-1]["kd_agree_att"] > epochs[0]["kd_agree_att"]


def test_the_searched_ones(an4, teacher):
    student = config(48, 3, epochs=3, batch_bins=30000)
    kd = teacher | {"losses": SEARCHED}
    check(train(an4, "searched", student, kd, subset=part(an4, 40)), SEARCHED)


def test_all_of_a_transducer(an4):
    train(an4, "transducer_teacher", config(64, 2, epochs=3, **TRANSDUCER))
    teacher = {"teachers": [{"exp": str(an4 / "transducer_teacher")}]}
    kd = teacher | {"losses": LATTICE}
    check(train(an4, "transducer", config(48, 2, epochs=3, **TRANSDUCER), kd), LATTICE)


def test_the_controls_without_a_teacher(an4):
    """A consistency rises from nothing as a model begins to say something."""
    kd = {"losses": [{"type": "cr_ctc", "weight": 0.2}]}
    epochs = train(an4, "consistent", config(48, 2, epochs=3), kd)
    assert all(0 < e["loss_kd_cr_ctc"] < 1e3 for e in epochs)
    assert epochs[-1]["loss_ctc"] < epochs[0]["loss_ctc"]
    ema = {"teachers": [{"ema": 0.99}], "losses": [{"type": "token_kl", "weight": 0.5}]}
    epochs = train(an4, "averaged", config(48, 2, epochs=3), ema)
    assert all(0 < e["loss_kd_token_kl"] < 1e3 for e in epochs)
    assert epochs[-1]["kd_teacher_acc"] > epochs[0]["kd_teacher_acc"]


def test_a_streaming_student_agrees_with_its_full_context(an4):
    """That too rises from nothing, and both modes learn."""
    blocks = {"block_size": 16, "hop_size": 8, "look_ahead": 4}
    offline = ("rel_pos_type", "pos_enc_layer_type", "selfattention_layer_type")
    settings = config(48, 2, epochs=2, encoder_conf=blocks, **TRANSDUCER)
    settings["encoder"] = "contextual_block_conformer"
    conf = settings["encoder_conf"]
    settings["encoder_conf"] = {k: v for k, v in conf.items() if k not in offline}
    epochs = train(an4, "modes", settings, {"losses": MODES})
    for term in MODES:
        assert all(0 < e[f"loss_kd_{term['type']}"] < 1e3 for e in epochs)
    assert epochs[-1]["loss_ctc"] < epochs[0]["loss_ctc"]


def test_none_is_left_out():
    """What compares other tasks' outputs has trainings in tests/tasks."""
    others = {n for n in LOSSES.names() if issubclass(LOSSES.get(n), (OutputLoss, ClassKL))}
    trained = {t["type"] for t in HYBRID + SEARCHED + LATTICE + MODES} | {"cr_ctc"}
    assert trained == set(LOSSES.names()) - others
