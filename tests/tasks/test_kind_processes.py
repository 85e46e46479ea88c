"""Two processes of ESPnet's other tasks learn what one does on the joint batch.

Batch normalisation and means over frames, which are ESPnet's own, are of each process by
itself; models are without the first here, and losses divide by utterances.
"""

from datetime import timedelta

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from kinds import batch_of, build
from processes import rows, train

import espnet_kd


def by_utterance(kind, **more):
    return {"type": kind, "weight": 0.5, "reduction": "batch", **more}


def tapped(path):
    return by_utterance("hidden_mse", student=path, teacher=path)


# Tokens are what ESPnet counts a batch of a language model by.
TOKEN = {"type": "token_kl", "weight": 0.5, "reduction": "token"}
SNR = {"type": "waveform_si_snr", "weight": 0.5}
# Task -> losses, and what the student's own counts: ESPnet's of some is a mean.
CASES = {
    "lm": ([TOKEN], 1.0),
    "mt": ([by_utterance("token_kl"), tapped("encoder")], 0.0),
    "enh": ([SNR, SNR | {"where": "teacher_better", "name": "better"}], 1.0),
    "tts": ([by_utterance("spectrum_l1"), tapped("tts.decoder")], 0.0),
    "svs": ([by_utterance("spectrum_l1"), tapped("svs.decoder")], 0.0),
}
PARTS = ([0, 2], [1])


def still(model):
    """A model whose pass is a function of each utterance by itself."""
    for module in model.modules():
        for name, child in module.named_children():
            if isinstance(child, torch.nn.BatchNorm1d):
                setattr(module, name, torch.nn.Identity())
        if isinstance(module, torch.nn.Dropout | torch.nn.LSTM):
            setattr(module, "p" if isinstance(module, torch.nn.Dropout) else "dropout", 0.0)
    return model


def learned(task, part):
    """The student's parameters after an update on a part of the batch."""
    student, teacher = still(build(task, 8)), still(build(task, 12))
    losses, task_weight = CASES[task]
    conf = {"losses": losses, "task_weight": task_weight}
    example = batch_of(task)
    # The longest twice, one for each process: padding of its own is another input.
    batch = rows(example | {"utt_id": ["a", "b", "c"]}, [0, 0, 1])
    attachment = espnet_kd.attach(student, conf, teacher, example=example)
    stats = train(attachment, 1, [[rows(batch, part)]])
    stats = {name: value for name, value in stats.items() if "_kd" in name}
    return {"model": dict(attachment.model.state_dict()), "stats": stats}


def worker(rank, folder):
    file, wait = f"file://{folder}/store", timedelta(seconds=120)
    dist.init_process_group("gloo", file, wait, world_size=len(PARTS), rank=rank)
    for task in CASES:
        torch.save(learned(task, PARTS[rank]), folder / f"{task}-{rank}.pt")
        dist.barrier()
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("kinds")
    mp.start_processes(worker, args=(path,), nprocs=len(PARTS), start_method="fork")
    return path


@pytest.mark.slow
@pytest.mark.parametrize("task", CASES)
def test_two_processes_learn_what_one_does(folder, task):
    expected = learned(task, [0, 1, 2])
    before = still(build(task, 8)).state_dict()
    assert any(not torch.equal(before[k], v) for k, v in expected["model"].items())
    for rank in range(len(PARTS)):
        found = torch.load(folder / f"{task}-{rank}.pt", weights_only=True)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
