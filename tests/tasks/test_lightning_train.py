"""espnet2.bin.lightning_train: a kd_conf is honoured, survives a resume, or is refused."""

import argparse
import os
import sys

import pytest
import torch
import yaml
from lightning_runs import DECODER, QUIET, STILL, TERMS
from training import ENCODERS, arguments, equal, write_targets

from espnet_kd.errors import ConfigError, KDError
from espnet_kd.host.checkpoint import read_weights

pytest.importorskip("lightning")


@pytest.fixture(scope="module")
def lightning_train():
    """The stock program, with the variants that registration puts into it."""
    from espnet2.bin import lightning_train as program
    from espnet2.train import lightning_espnet_model as stock

    from espnet_kd.tasks.lit_espnet import KDLitESPnetModel
    from espnet_kd.tasks.variants import KDASRTask

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(program, "LitESPnetModel", KDLitESPnetModel)
        for holder in (program, stock):
            patch.setattr(holder, "task_choices", {"asr": KDASRTask})
        yield program


def train(program, features, out, *more, role="student", epochs=3, **options):
    """Run the program in this process, as its command line would."""
    out.mkdir(exist_ok=True)
    conf = {"accelerator": "cpu", "devices": 1, "max_epochs": epochs}
    conf |= {"log_every_n_steps": 1, "best_model_criterion": [["valid/loss", "min", 2]]}
    conf |= options.pop("trainer", {})
    still = {"specaug": None, "encoder_conf": ENCODERS[role] | STILL, "seed": 7}
    still |= {"decoder_conf": DECODER | QUIET, "lightning_conf": conf}
    still |= {"use_tensorboard": True}
    command = arguments(features, out, role=role, **(still | options))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["lightning_train", "--task", "asr", *command, *more])
        patch.setenv("MASTER_PORT", str(29500 + os.getpid() % 500))
        program.main()


@pytest.fixture(scope="module")
def root(features, lightning_train, tmp_path_factory):
    """A teacher, trained by the same program without a kd_conf."""
    root = tmp_path_factory.mktemp("lightning")
    # Stock, its last step fails on torch >= 2.6, which loads no Namespace.
    torch.serialization.add_safe_globals([argparse.Namespace])
    train(lightning_train, features, root / "teacher", role="teacher", epochs=1)
    return root


def write_kd(root, name="kd", **more):
    path = root / f"{name}.yaml"
    conf = {"teachers": [{"exp": str(root / "teacher")}], "losses": TERMS}
    conf |= {"schedule": {"warmup_steps": 30}}
    path.write_text(yaml.safe_dump(conf | more))
    return ["--kd_conf", str(path)]


def last(exp):
    return torch.load(exp / "last.ckpt", weights_only=True)


def test_it_is_honoured_and_survives_a_resume(lightning_train, features, root):
    kd = write_kd(root)
    train(lightning_train, features, root / "whole", *kd)
    train(lightning_train, features, root / "parts", *kd, epochs=1)
    train(lightning_train, features, root / "parts", *kd)
    one, two = (last(root / exp) for exp in ("whole", "parts"))
    assert one["global_step"] == two["global_step"] == 18
    assert equal(one["state_dict"], two["state_dict"])
    learned = [c["callbacks"]["espnet_kd"]["kd_projections"] for c in (one, two)]
    assert learned[0]
    assert equal(*learned)


def test_its_models_are_stock(root):
    teacher, student = (last(root / exp)["state_dict"] for exp in ("teacher", "whole"))
    assert {k for k in student if "kd" in k} == set()
    assert {k for k in student if "encoders.2" not in k} == {
        k for k in teacher if "encoders.2" not in k
    }
    found = torch.load(root / "whole" / "valid.loss.ave_2best.pth", weights_only=True)
    assert {f"model.{name}" for name in found} == set(student)
    assert set(found) == set(read_weights(root / "whole" / "last.ckpt"))
    arguments_kept = last(root / "whole")["hyper_parameters"]["args"]
    assert type(arguments_kept.kd_conf) is dict
    written = yaml.safe_load((root / "whole" / "config.yaml").read_text())
    assert written["kd_conf"]["losses"] == TERMS


def test_cached_targets_are_brought_along(lightning_train, features, root):
    for split in ("train", "dev"):
        out = root / "cache" / split
        parts = ("--parts", "ctc,decoder")
        write_targets(root / "teacher", features / split, out, *parts)
    targets = [str(root / "cache" / split) for split in ("train", "dev")]
    terms = [TERMS[0], TERMS[1] | {"temperature": 1.0}]
    kd = write_kd(root, "cached", targets=targets, losses=terms)
    train(lightning_train, features, root / "cached", *kd, epochs=1)
    assert last(root / "cached")["global_step"] == 6
    half = write_kd(root, "half", targets=targets[:1], losses=terms)
    with pytest.raises(KDError, match="no targets of 6 of 6 utterances of the valid data"):
        train(lightning_train, features, root / "half", *half, epochs=1)


def test_a_bad_kd_conf_is_refused_before_anything_is_built(lightning_train, features, root):
    kd = write_kd(root, "bad", losses=[{"type": "tokn_kl", "weight": 1}])
    with pytest.raises(ConfigError, match=r"in .*bad\.yaml\n.*did you mean 'token_kl'"):
        train(lightning_train, features, root / "bad", *kd)
    assert not (root / "bad" / "config.yaml").exists()


def test_an_option_that_would_leave_the_teacher_out_is_refused(
    lightning_train, features, root
):
    kd = write_kd(root)
    with pytest.raises(KDError, match="without its teacher, as --collect_stats asks"):
        train(lightning_train, features, root / "stats", *kd, "--collect_stats", "true")
