"""Run ESPnet's own training on tiny random features, stock or with distillation."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch
import yaml
from conftest import ENCODER, INPUT_SIZE, REPO

from espnet_kd.bin import cache_teacher, merge_cache

BLOCK = "import sys, runpy; sys.modules['espnet_kd'] = None; module = sys.argv.pop(1); "
BLOCK += "runpy.run_module(module, run_name='__main__', alter_sys=True)"
# Before a module that two processes shall run, which find each other.
TORCHRUN = ("torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m")
ENCODERS = {
    name: ENCODER | {"output_size": width, "num_blocks": blocks}
    for name, width, blocks in (("student", 8, 2), ("teacher", 12, 3))
}
SPECAUG = {
    "apply_time_warp": True,
    "apply_freq_mask": True,
    "freq_mask_width_range": [0, 5],
    "num_freq_mask": 2,
    "apply_time_mask": True,
    "time_mask_width_range": [0, 5],
    "num_time_mask": 2,
}
MASKS = SPECAUG | {"apply_time_warp": False}
KD = {
    "losses": [
        {"type": "ctc_frame_kl", "weight": 0.3},
        {"type": "token_kl", "weight": 0.7, "temperature": 2.0},
        {
            "type": "hidden_l1_cosine",
            "weight": 0.1,
            "student": "encoder.encoders.1",
            "teacher": "encoder.encoders.2",
        },
    ],
    "schedule": {"warmup_steps": 9},
}


CONFORMER = {
    "block_type": "conformer",
    "linear_size": 16,
    "conv_mod_kernel_size": 3,
    "heads": 2,
}


def arguments(features: Path, output_dir: Path, role: str = "student", **more) -> list:
    """Command line of asr_train for a tiny hybrid model with SpecAug and dropout."""
    config = {
        "encoder": "transformer",
        "encoder_conf": ENCODERS[role],
        "decoder": "transformer",
        "decoder_conf": {"attention_heads": 2, "linear_units": 16, "num_blocks": 1},
        "model_conf": {"ctc_weight": 0.3},
        "specaug": "specaug",
        "specaug_conf": SPECAUG,
        "normalize": "utterance_mvn",
        "optim": "adam",
        "optim_conf": {"lr": 0.005},
        "scheduler": "warmuplr",
        "scheduler_conf": {"warmup_steps": 10},
        "batch_type": "unsorted",
        "batch_size": 4,
        "max_epoch": 2,
        "keep_nbest_models": 2,
        "best_model_criterion": [["valid", "acc", "max"]],
        "use_tensorboard": False,
        "use_matplotlib": False,
        "num_workers": 0,
        "resume": True,
    }
    config |= more
    file = output_dir.with_name(f"{output_dir.name}.train.yaml")
    file.write_text(yaml.safe_dump(config))
    paths = []
    for split, prefix in (("train", "train"), ("dev", "valid")):
        folder = features / split
        option = f"--{prefix}_data_path_and_name_and_type"
        paths += [option, f"{folder}/feats.scp,speech,kaldi_ark"]
        paths += [option, f"{folder}/text,text,text"]
        paths += [f"--{prefix}_shape_file", f"{folder}/feats_shape"]
    tokens = ["--token_type", "char", "--token_list", f"{features}/tokens.txt"]
    fixed = ["--config", str(file), "--output_dir", str(output_dir)]
    return [*fixed, "--input_size", str(INPUT_SIZE), *tokens, *paths]


# Chunks of up to three frames, and whole utterances now and then.
CHUNKS = {"dynamic_chunk_training": True, "short_chunk_size": 3, "num_left_chunks": 2}


def transducer_arguments(features, output_dir, width, chunks=False, **more):
    """Command line of asr_transducer_train for a tiny model, trained on chunks or whole."""
    shape = {
        "encoder": None,
        "encoder_conf": {
            "main_conf": {"pos_wise_act_type": "swish"} | (CHUNKS if chunks else {}),
            "input_conf": {"block_type": "conv2d", "conv_size": 8},
            "body_conf": [CONFORMER | {"hidden_size": width}],
        },
        "decoder": "rnn",
        "decoder_conf": {"embed_size": 8, "hidden_size": 8},
        "joint_network_conf": {"joint_space_size": 8},
        "model_conf": {"auxiliary_ctc_weight": 0.3},
        "best_model_criterion": [["valid", "loss", "min"]],
    }
    line = arguments(features, output_dir, **(shape | more))
    path = line[line.index("--config") + 1]
    with open(path) as file:
        config = yaml.safe_load(file)
    del config["encoder"]  # this task has one only
    with open(path, "w") as file:
        yaml.safe_dump(config, file)
    return line


def translation_arguments(features, output_dir, **more):
    """Command line of st_train, whose source is its target."""
    line = arguments(features, output_dir, **more)
    for split, prefix in (("train", "train"), ("dev", "valid")):
        text = f"{features}/{split}/text,src_text,text"
        line += [f"--{prefix}_data_path_and_name_and_type", text]
    tokens = f"{features}/tokens.txt"
    return [*line, "--src_token_type", "char", "--src_token_list", tokens]


def write_kd(path: Path, teacher: Path, *changes: dict, **more) -> str:
    """A kd_conf file for a teacher; ``changes`` are merged into the terms in turn."""
    terms = [dict(term) for term in KD["losses"]]
    for term, change in zip(terms, changes, strict=False):
        term.update(change)
    conf = {**KD, "teachers": [{"exp": str(teacher)}], "losses": terms, **more}
    path.write_text(yaml.safe_dump(conf))
    return str(path)


def cache_command(exp: Path, folder: Path, out: Path, *more: str) -> list[str]:
    """Command line of cache_teacher for a split of features and texts."""
    return [
        *("--exp", str(exp), "--key_file", f"{folder}/text"),
        *("--data_path_and_name_and_type", f"{folder}/feats.scp,speech,kaldi_ark"),
        *("--data_path_and_name_and_type", f"{folder}/text,text,text"),
        *("--output_dir", str(out), *more),
    ]


def write_targets(exp: Path, folder: Path, out: Path, *more: str) -> None:
    """A whole cache of a teacher's targets of a split."""
    cache_teacher.main(cache_command(exp, folder, out, *more))
    merge_cache.main(["--cache", str(out), "--key_file", f"{folder}/text"])


def weights(output_dir: Path, epoch: int = 2) -> dict[str, torch.Tensor]:
    """The model file of an epoch."""
    return torch.load(output_dir / f"{epoch}epoch.pth", weights_only=True)


def equal(one: dict, other: dict) -> bool:
    """Whether two state dicts are the same, bit for bit."""
    same_keys = one.keys() == other.keys()
    return same_keys and all(torch.equal(one[k], other[k]) for k in one)


def module(*command, blocked=False):
    """Run a module; blocked, as if espnet_kd were not installed."""
    start = ["-c", BLOCK] if blocked else ["-m"]
    answer = subprocess.run(
        [sys.executable, *start, *command],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert answer.returncode == 0, answer.stderr[-3000:]
    return answer


def kill_in_epoch(command: list[str], log: Path, epoch: int) -> None:
    """Start a training and kill -9 it once its log shows a step of the epoch."""
    with open(log, "w") as out:
        environment = os.environ | {"PYTHONUNBUFFERED": "1"}
        process = subprocess.Popen(command, cwd=REPO, stderr=out, env=environment)
        deadline = time.monotonic() + 240
        while f"{epoch}epoch:train:1-" not in log.read_text():
            assert process.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < deadline, log.read_text()[-2000:]
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
