"""Trainings by ESPnet3: a kd_conf is honoured, survives a resume, or is refused."""

import signal

import pytest
import torch
from lightning_runs import TERMS, logged, model_settings, training
from training import equal

from espnet_kd.errors import ConfigError, KDError, TeacherError
from espnet_kd.host.checkpoint import read_weights

pytest.importorskip("espnet3")

SCHEDULE = {"warmup_steps": 10}


@pytest.fixture(scope="module")
def espnet3():
    """ESPnet3's own training, with the variants that registration puts into it."""
    from espnet3.systems.base import training as stock
    from espnet3.utils import task_utils

    from espnet_kd.host.compat import espnet3_task_class
    from espnet_kd.tasks.espnet3 import KDESPnetLightningModule

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stock, "ESPnetLightningModule", KDESPnetLightningModule)
        patch.setattr(task_utils, "get_task_class", espnet3_task_class)
        yield stock


@pytest.fixture(scope="module")
def root(espnet3, tmp_path_factory):
    """A teacher and a student alone."""
    root = tmp_path_factory.mktemp("espnet3")
    espnet3.train(training(root / "teacher", model_settings("teacher"), epochs=2))
    espnet3.train(training(root / "alone", model_settings()))
    return root


def kd_model(root, terms=TERMS, **more):
    conf = {"teachers": [{"exp": str(root / "teacher")}], "losses": terms}
    return model_settings(kd_conf={"schedule": SCHEDULE, **conf, **more})


def last(exp):
    return torch.load(exp / "last.ckpt", weights_only=True)


def resumed(espnet3, root, exp, model, **more):
    """Trained to the second epoch, then again from there."""
    espnet3.train(training(root / exp, model, epochs=2, **more))
    fit = {"ckpt_path": str(root / exp / "last.ckpt")}
    espnet3.train(training(root / exp, model, fit=fit, **more))


def test_it_is_honoured_and_leaves_a_stock_model(espnet3, root):
    """The teacher's checkpoint, valid.loss.ave_2best.pth, is found as it is."""
    espnet3.train(training(root / "kd", kd_model(root)))
    log = logged(root / "kd")
    for term in TERMS:
        assert min(log[f"train/loss_kd_{term['type']}"]) > 0
        assert min(log[f"valid/loss_kd_{term['type']}"]) > 0
    stock, distilled = (last(root / exp)["state_dict"] for exp in ("alone", "kd"))
    assert list(stock) == list(distilled)
    assert not equal(stock, distilled)
    averaged = torch.load(root / "kd" / "valid.loss.ave_2best.pth", weights_only=True)
    assert averaged.keys() == stock.keys()


def test_without_weight_it_is_the_stock_run_bit_for_bit(espnet3, root):
    terms = [term | {"weight": 0} for term in TERMS]
    espnet3.train(training(root / "zero", kd_model(root, terms)))
    assert equal(last(root / "zero")["state_dict"], last(root / "alone")["state_dict"])


def test_a_resume_point_may_be_named_as_the_teacher(root):
    path = root / "teacher" / "last.ckpt"
    assert equal(read_weights(path), last(root / "teacher")["state_dict"])


def test_schedule_and_projections_survive_a_resume(espnet3, root):
    model = kd_model(root)
    espnet3.train(training(root / "whole", model))
    resumed(espnet3, root, "parts", model)
    one, two = (last(root / exp) for exp in ("whole", "parts"))
    assert equal(one["state_dict"], two["state_dict"])
    learned = [c["callbacks"]["espnet_kd"]["kd_projections"] for c in (one, two)]
    assert learned[0]
    assert equal(*learned)
    assert (
        logged(root / "parts")["train/loss_kd"] == logged(root / "whole")["train/loss_kd"]
    )


def test_average_balance_and_masks_survive_a_resume(espnet3, root):
    conf = {
        "teachers": [{"ema": 0.8}],
        "losses": [{"type": "token_kl", "weight": 0.5}],
        "gradients": {"every": 2, "balance": True},
        "prune": {"sparsity": 0.5, "start": 2, "end": 10, "every": 2},
    }
    model = model_settings(kd_conf=conf)
    accumulated = {"trainer": {"accumulate_grad_batches": 2}}
    espnet3.train(training(root / "ema", model, **accumulated))
    resumed(espnet3, root, "ema_parts", model, **accumulated)
    one, two = (last(root / exp) for exp in ("ema", "ema_parts"))
    assert equal(one["state_dict"], two["state_dict"])
    states = [c["callbacks"]["espnet_kd"] for c in (one, two)]
    assert states[0]["balance"] == states[1]["balance"] != {}
    # Of 8 updates (3 batches an epoch, in windows of 2 and 1) the last is not averaged.
    assert [state["ema"]["updates"] for state in states] == [7, 7]
    assert equal(*(state["ema"]["weights"] for state in states))


def test_statistics_need_no_teacher(espnet3, tmp_path):
    config = training(tmp_path, kd_model(tmp_path))
    assert espnet3._build_trainer(config).model.distils
    with pytest.raises(TeacherError, match="no such directory"):
        espnet3.train(config)


def test_kd_conf_beside_the_model_is_honoured_as_well(espnet3, root):
    model = kd_model(root, TERMS[:1])
    kd_conf = model.pop("kd_conf")
    espnet3.train(training(root / "beside", model, epochs=1, kd_conf=kd_conf))
    assert logged(root / "beside")["train/loss_kd"]
    both = training(root / "x", model | {"kd_conf": kd_conf}, kd_conf=kd_conf)
    with pytest.raises(ConfigError, match="is given twice"):
        espnet3.train(both)


def test_a_term_that_never_fires_stops_the_run_before_a_model_is_kept(espnet3, root):
    prune = {"type": "similarity", "weight": 1.0, "student": "encoder"}
    prune |= {"teacher": "encoder"}
    loader = {"iter_factory": None, "batch_size": 1, "shuffle": False}
    config = training(root / "never", kd_model(root, [prune]), epochs=1)
    config.dataloader.train = config.dataloader.valid = loader
    with pytest.raises(KDError, match="similarity: exactly 0 in every training step"):
        espnet3.train(config)
    assert not list((root / "never").glob("*.pth"))
    assert not list((root / "never").glob("*.ckpt"))


def test_a_run_without_distillation_is_not_taken_up_silently(espnet3, root):
    fit = {"ckpt_path": str(root / "alone" / "last.ckpt")}
    with pytest.raises(KDError, match="made with other distillation parts"):
        espnet3.train(training(root / "taken", kd_model(root), epochs=6, fit=fit))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"kd_conf": {"losses": [{"type": "tokn_kl", "weight": 1}]}}, "did you mean"),
        ({"kd_conf": "conf/kd.yaml"}, r"model\.kd_conf of the training configuration"),
        ({"kd_conf": {"targets": "cache"}}, r"kd_conf\.targets: cached .*'targets: live'"),
    ],
)
def test_what_cannot_be_honoured_is_refused_when_built(espnet3, tmp_path, change, text):
    kd_conf = change["kd_conf"]
    if isinstance(kd_conf, dict):
        losses = {"losses": [{"type": "token_kl", "weight": 1}]}
        kd_conf = losses | {"teachers": [{"exp": "x"}]} | kd_conf
    with pytest.raises(ConfigError, match=f"(?s){text}"):
        espnet3.train(training(tmp_path, model_settings(kd_conf=kd_conf)))


def test_several_optimizers_are_refused(espnet3, tmp_path):
    config = training(tmp_path, kd_model(tmp_path), optimizers={"a": {"params": "x"}})
    with pytest.raises(ConfigError, match="optimizers: several optimizers take turns"):
        espnet3.train(config)


@pytest.mark.parametrize(
    ("kind", "children", "text"),
    [
        ("DDPStrategy", [None], r"devices: 2 processes.*torchrun --nproc_per_node 2"),
        ("FSDPStrategy", [], "strategy: FSDPStrategy is not supported.*use ddp"),
    ],
)
def test_trainers_that_would_lose_it_are_refused(kind, children, text):
    from types import SimpleNamespace

    from lightning.pytorch import strategies

    from espnet_kd.tasks.lightning import check_trainer

    cls = getattr(strategies, kind)
    strategy = cls.__new__(cls)
    killed = []
    strategy._launcher = SimpleNamespace(procs=children, kill=killed.append)
    given = SimpleNamespace(strategy=strategy, world_size=2, num_devices=2)
    with pytest.raises(ConfigError, match=text):
        check_trainer(given)
    assert killed == [signal.SIGKILL] * len(children), "they would wait for each other"
