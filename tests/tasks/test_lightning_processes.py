"""Lightning's trainings by several processes learn what one does on the joint batch."""

import argparse
import sys

import pytest
import torch
import yaml
from conftest import TOKENS, asr_options, build_asr, write_corpus, write_exp
from lightning_runs import (
    DECODER,
    QUIET,
    STILL,
    TERMS,
    as_processes,
    model_settings,
    training,
)
from training import ENCODERS, TORCHRUN, arguments, module, write_targets

pytest.importorskip("lightning")
pytestmark = pytest.mark.slow

PRUNE = {"sparsity": 0.5, "start": 0, "end": 6, "every": 2}
# Each a kd_conf; Lightning weighs processes alike, so that their batches are of one size.
CASES = {
    "projections": {"losses": TERMS, "schedule": {"warmup_steps": 9}},
    "average": {
        "losses": TERMS[1:2],
        "teachers": [{"ema": 0.8}],
        "gradients": {"every": 1, "balance": True},
    },
    "taylor": {"losses": TERMS[:2], "prune": PRUNE | {"importance": "taylor"}},
}
# Cached targets of which nothing is left out.
WHOLE = ("--parts", "ctc,decoder", "--tap", "encoder", "--max_k", str(len(TOKENS)))
SGD = {"optim": "sgd", "optim_conf": {"lr": 0.05}, "scheduler": "warmuplr"}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A random teacher, and utterances of one length: no padding, whatever the batch."""
    root = tmp_path_factory.mktemp("lightning_processes")
    write_corpus(root, frames=(60, 61))
    options = {"width": 12, "blocks": 3, "normalize": "utterance_mvn"}
    options |= {"normalize_conf": {}}
    write_exp(root / "teacher", build_asr(seed=1, **options), asr_options(**options))
    return root


def conf_of(root, case):
    return {"teachers": [{"exp": str(root / "teacher")}]} | CASES[case]


def command(root, out, kd_conf, world):
    """The command line of ESPnet2's Lightning program; ESPnet shares out each batch."""
    out.mkdir(exist_ok=True)
    kd = root / f"{out.name}.yaml"
    kd.write_text(yaml.safe_dump(kd_conf))
    conf = {"accelerator": "cpu", "devices": world, "max_epochs": 2}
    conf |= {"log_every_n_steps": 1, "best_model_criterion": [["valid/loss", "min", 2]]}
    conf |= {"accumulate_grad_batches": 2}
    still = {"encoder_conf": ENCODERS["student"] | STILL, "decoder_conf": DECODER | QUIET}
    still |= {"specaug": None, "seed": 7, "use_tensorboard": True, "lightning_conf": conf}
    return ["--task", "asr", *arguments(root, out, **still, **SGD), "--kd_conf", str(kd)]


def by_lightning_train(root, out, kd_conf, world):
    def work(_rank):
        from espnet2.bin import lightning_train as program
        from espnet2.train import lightning_espnet_model as stock

        from espnet_kd.tasks.lit_espnet import KDLitESPnetModel
        from espnet_kd.tasks.variants import KDASRTask

        program.LitESPnetModel = KDLitESPnetModel
        program.task_choices = stock.task_choices = {"asr": KDASRTask}
        sys.argv = ["lightning_train", *command(root, out, kd_conf, world)]
        program.main()

    as_processes(world, work)


def by_espnet3(root, out, kd_conf, world):
    """The data loader gives each process its own; a batch of all is of four."""

    def work(_rank):
        from espnet3.systems.base import training as stock

        from espnet_kd.tasks.espnet3 import KDESPnetLightningModule

        stock.ESPnetLightningModule = KDESPnetLightningModule
        model = model_settings(kd_conf=kd_conf)
        sgd = {"_target_": "torch.optim.SGD", "lr": 0.05}
        several = {"devices": world, "strategy": "ddp", "accumulate_grad_batches": 2}
        config = training(out, model, 2, trainer=several, optimizer=sgd, num_device=world)
        for loader in config.dataloader.values():
            loader.batch_size = 4 // world
        stock.train(config)

    as_processes(world, work)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("program", [by_lightning_train, by_espnet3])
def test_two_processes_learn_what_one_does(root, program, case):
    if program is by_espnet3:
        pytest.importorskip("espnet3")
    outs = [root / f"{program.__name__}-{case}-{world}" for world in (1, 2)]
    for world, out in enumerate(outs, 1):
        program(root, out, conf_of(root, case), world)
    assert agree(*outs) > 3


def agree(*outs):
    """Require a process and two to come to the same end; gives the updates they made."""
    # ESPnet2's hold their arguments.
    with torch.serialization.safe_globals([argparse.Namespace]):
        found = [torch.load(out / "last.ckpt", weights_only=True) for out in outs]
    one, two = found
    assert one["global_step"] == two["global_step"]
    near = {"rtol": 1e-5, "atol": 1e-5}
    torch.testing.assert_close(two["state_dict"], one["state_dict"], **near)
    parts = [state["callbacks"]["espnet_kd"] for state in found]
    torch.testing.assert_close(parts[1], parts[0], **near)
    return one["global_step"]


def test_those_that_torchrun_starts_read_the_same_cache(root):
    """Whole programs, each process with the plugin: what README.md says to start."""
    splits = {name: root / "cache" / name for name in ("train", "dev")}
    for name, cache in splits.items():
        write_targets(root / "teacher", root / name, cache, *WHOLE)
    conf = conf_of(root, "projections") | {"targets": list(map(str, splits.values()))}
    outs = [root / f"torchrun-{world}" for world in (1, 2)]
    by_lightning_train(root, outs[0], conf, 1)
    line = command(root, outs[1], conf, 2)
    module(*TORCHRUN, "espnet_kd", "-m", "espnet2.bin.lightning_train", *line)
    assert agree(*outs) > 3
