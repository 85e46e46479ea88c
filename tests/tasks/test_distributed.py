"""Several processes on the CPU say and learn what one does on the joint batch."""

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import yaml
from conftest import asr_options, build_asr, write_corpus, write_exp
from lightning_runs import DECODER, QUIET, STILL, TERMS
from processes import (
    CASES,
    CTC,
    HIDDEN,
    PARTS,
    TOKEN,
    models,
    result,
    rows,
    train_in,
    trained,
)
from training import ENCODERS, TORCHRUN, arguments, module, weights

import espnet_kd

SLOW = pytest.mark.slow
# How many processes, and batches accumulated to an update.
WAYS = [(2, 3), *(pytest.param(way, marks=SLOW) for way in [(2, 1), (4, 1), (4, 3)])]


@pytest.fixture(scope="module", params=WAYS, ids=str)
def several(request, tmp_path_factory):
    """Every case trained in so many processes, and where the results lie."""
    world, accum_grad = request.param
    folder = tmp_path_factory.mktemp(f"processes{world}")
    train_in(world, folder, accum_grad)
    return world, accum_grad, folder


@pytest.mark.parametrize("case", CASES)
def test_several_processes_learn_what_one_does(several, case):
    world, accum_grad, folder = several
    expected = trained(case, accum_grad, folder / "cache", PARTS[1][0])
    for rank in range(world):
        found = result(folder, case, rank)
        if case == "fires nowhere":
            assert found == expected
            assert found["said"].startswith(
                "ctc_frame_kl: exactly 0 in every training step"
            )
        else:
            assert "said" not in found, found
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def distilled(batch):
    """A student that is to be compared by its gradients."""
    student, teacher = models()
    example = {key: batch[key] for key in ("speech", "speech_lengths")}
    espnet_kd.attach(student, {"losses": [CTC, TOKEN, HIDDEN]}, teacher, example=example)
    return student


def averaged(loss, stats, weight):
    """What ESPnet's trainer makes of a batch's outputs in distributed training."""
    from espnet2.torch_utils.recursive_op import recursive_average

    stats = {key: value for key, value in stats.items() if value is not None}
    loss = (loss * weight.type(loss.dtype)).sum()
    stats, weight = recursive_average(stats, weight, distributed=True)
    return loss / weight * dist.get_world_size(), stats


def balanced(rank, batch):
    """What a rank's balancing remembers of a pass over its own part."""
    conf = {"losses": [CTC, TOKEN], "gradients": {"every": 1, "balance": True}}
    student, teacher = build_asr(seed=0), build_asr(seed=1, width=12)
    attachment = espnet_kd.attach(student, conf, teacher)
    student(**rows(batch, [[0, 2], [1]][rank]))
    return attachment.objective.meter.state_dict()


def worker(rank, store, batch, results):
    """One of two ranks, with two and one utterances."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{store}", world_size=2, rank=rank)
    student = distilled(batch)
    parallel = torch.nn.parallel.DistributedDataParallel(student)
    loss, stats = averaged(*parallel(**rows(batch, [[0, 2], [1]][rank])))
    loss.backward()
    grads = {n: p.grad.clone() for n, p in student.named_parameters()}
    shown = {k: v.item() for k, v in stats.items() if "kd" in k or k == "loss_task"}
    saved = {"stats": shown, "grads": grads, "keys": list(stats)}
    torch.save(saved | {"balance": balanced(rank, batch)}, results[rank])
    dist.barrier()
    dist.destroy_process_group()


def test_stats_and_gradients_equal_the_single_process(batch, tmp_path):
    # Both parts reach the full width: ESPnet's subsampling sees a frame past the end
    # of a padded utterance, so another padding would be another input.
    batch["speech"][1] = batch["speech"][0].flip(0)
    batch["speech_lengths"][1] = 60
    results = [str(tmp_path / f"rank{rank}.pt") for rank in range(2)]
    store = str(tmp_path / "store")
    given = (store, batch, results)
    mp.start_processes(worker, args=given, nprocs=2, start_method="fork")
    first, second = (torch.load(path, weights_only=True) for path in results)
    assert first["keys"] == second["keys"]
    assert first["stats"] == second["stats"]
    assert set(first["balance"]) == {"ctc_frame_kl", "token_kl"}
    assert first["balance"] == second["balance"], "or the ranks would part"
    student = distilled(batch)
    loss, stats, _ = student(**rows(batch, [0, 1, 2]))
    loss.sum().backward()
    for key, value in first["stats"].items():
        if key.startswith("kd_"):
            continue  # parts of unequal numbers of frames: their mean is another one
        torch.testing.assert_close(value, stats[key].item(), rtol=1e-5, atol=1e-5)
    for name, parameter in student.named_parameters():
        torch.testing.assert_close(
            first["grads"][name], parameter.grad, rtol=1e-5, atol=1e-5, msg=name
        )


@SLOW
def test_those_that_torchrun_starts_learn_what_one_does(tmp_path):
    """ESPnet's whole program, which shares out each batch; of one length, unpadded."""
    from espnet_kd.tasks.variants import KDASRTask

    features = write_corpus(tmp_path, frames=(60, 61))
    options = {"width": 12, "normalize": "utterance_mvn", "normalize_conf": {}}
    write_exp(tmp_path / "teacher", build_asr(seed=1, **options), asr_options(**options))
    conf = {"teachers": [{"exp": str(tmp_path / "teacher")}], "losses": TERMS}
    (tmp_path / "kd.yaml").write_text(yaml.safe_dump(conf))
    still = {"encoder_conf": ENCODERS["student"] | STILL, "decoder_conf": DECODER | QUIET}
    still |= {"specaug": None, "seed": 7, "accum_grad": 2}
    still |= {"optim": "sgd", "optim_conf": {"lr": 0.05}, "scheduler": "warmuplr"}
    kd = ("--kd_conf", str(tmp_path / "kd.yaml"), "--dist_backend", "gloo")
    KDASRTask.main(cmd=[*arguments(features, tmp_path / "one", **still), *kd])
    line = arguments(features, tmp_path / "two", **still)
    module(*TORCHRUN, "espnet_kd", "-m", "espnet2.bin.asr_train", *line, *kd)
    one, two = (weights(tmp_path / name) for name in ("one", "two"))
    torch.testing.assert_close(two, one, rtol=1e-5, atol=1e-5)
