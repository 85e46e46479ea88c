"""Trainings by ESPnet's Lightning modules on tiny random features."""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.multiprocessing as mp
from conftest import INPUT_SIZE, LETTERS, TOKENS
from training import ENCODERS

TERMS = [
    {"type": "ctc_frame_kl", "weight": 0.3, "frames": "all"},
    {"type": "token_kl", "weight": 0.7, "temperature": 2.0},
    {"type": "hidden_mse", "weight": 0.1, "student": "encoder", "teacher": "encoder"},
]
DECODER = {"attention_heads": 2, "linear_units": 16, "num_blocks": 1}
STILL = {
    "dropout_rate": 0.0,
    "positional_dropout_rate": 0.0,
    "attention_dropout_rate": 0.0,
}
QUIET = {
    "dropout_rate": 0.0,
    "positional_dropout_rate": 0.0,
    "self_attention_dropout_rate": 0.0,
    "src_attention_dropout_rate": 0.0,
}


class Corpus:
    """What ESPnet3 asks of its data: two splits of numbered utterances."""

    def __init__(self) -> None:
        self.train = Utterances(12, seed=0)
        self.valid = Utterances(4, seed=1)

    def log_summary(self, _logger: Any) -> None:
        """Nothing to say."""


class Utterances:
    """Random features with random labels."""

    def __init__(self, count: int, seed: int) -> None:
        noise = np.random.default_rng(seed)
        self.datasets = [self]  # as ESPnet3 looks for parts of its data
        self.samples = [
            {
                "speech": noise.standard_normal((60, INPUT_SIZE)).astype(np.float32),
                "text": noise.integers(2, 2 + len(LETTERS), 5),
            }
            for _ in range(count)
        ]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[str, dict[str, np.ndarray]]:
        return str(index), self.samples[index]


def model_settings(role: str = "student", **more: Any) -> dict[str, Any]:
    """A tiny hybrid model without dropout, for Lightning restores no random state."""
    return {
        "token_list": list(TOKENS),
        "input_size": INPUT_SIZE,
        "encoder": "transformer",
        "encoder_conf": ENCODERS[role] | STILL,
        "decoder": "transformer",
        "decoder_conf": DECODER | QUIET,
        "model_conf": {"ctc_weight": 0.3},
        "frontend": None,
        "specaug": None,
        "normalize": "utterance_mvn",
        "normalize_conf": {},
        **more,
    }


def training(exp: Path, model: dict[str, Any], epochs: int = 4, **more: Any) -> Any:
    """Settings of a training by ESPnet3, as its recipes' configurations resolve."""
    from omegaconf import OmegaConf

    loader = {"iter_factory": None, "batch_size": 4, "shuffle": False}
    logger = {"_target_": "lightning.pytorch.loggers.CSVLogger", "save_dir": str(exp)}
    trainer = {"accelerator": "cpu", "max_epochs": epochs, "log_every_n_steps": 1}
    settings = {
        "task": "espnet3.systems.esp2_asr.task.ASRTask",
        "exp_dir": str(exp),
        "num_device": 1,
        "seed": 3,
        "dataset": {"_target_": "lightning_runs.Corpus"},
        "dataloader": {"train": loader, "valid": loader},
        "model": model,
        "optimizer": {"_target_": "torch.optim.Adam", "lr": 0.005},
        "scheduler": {
            "_target_": "espnet2.schedulers.warmup_lr.WarmupLR",
            "warmup_steps": 10,
        },
        "best_model_criterion": [["valid/loss", 2, "min"]],
        "trainer": trainer | {"logger": [logger]} | more.pop("trainer", {}),
        "fit": {},
        **more,
    }
    return OmegaConf.create(settings)


def logged(exp: Path) -> dict[str, list[float]]:
    """Every figure of a run's log, by its name."""
    import csv

    found: dict[str, list[float]] = {}
    for path in sorted(exp.glob("lightning_logs/version_*/metrics.csv")):
        for row in csv.DictReader(path.open()):
            for key, value in row.items():
                if value:
                    found.setdefault(key, []).append(float(value))
    return found


def as_processes(world: int, work: Callable[[int], None]) -> None:
    """Run work in processes that find each other as torchrun's do, each by its rank."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    mp.start_processes(
        _process, args=(world, port, work), nprocs=world, start_method="fork"
    )


def _process(rank: int, world: int, port: int, work: Callable[[int], None]) -> None:
    torch.set_num_threads(1)
    ranks = {"RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": 0, "WORLD_SIZE": world}
    place = {"MASTER_ADDR": "localhost", "MASTER_PORT": port, "LOCAL_WORLD_SIZE": world}
    there = ranks | place | {"TORCHELASTIC_RUN_ID": "test"}
    os.environ.update({key: str(value) for key, value in there.items()})
    work(rank)
