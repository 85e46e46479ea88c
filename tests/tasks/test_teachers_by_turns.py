"""A big teacher first, the student's own average later: shares that move, and a resume."""

import pytest
import torch
import yaml
from training import MASKS, arguments, equal, weights, write_targets

TERMS = [{"type": "ctc_frame_kl", "weight": 0.3}, {"type": "token_kl", "weight": 0.7}]


def train(features, out, *more, **options):
    from espnet_kd.tasks.variants import KDASRTask

    KDASRTask.main(cmd=[*arguments(features, out, **options), *more])
    return torch.load(out / "checkpoint.pth", weights_only=False)


def write_kd(root, **more):
    """Over nine of twelve updates the teacher fades, and the average takes over."""
    teachers = [
        {"exp": str(root / "teacher")}
        | {"schedule": {"decay": "linear", "decay_steps": 9}},
        {"ema": 0.9, "name": "own", "weight": 2.0, "schedule": {"warmup_steps": 9}},
    ]
    path = root / f"kd{len(list(root.glob('kd*.yaml')))}.yaml"
    path.write_text(yaml.safe_dump({"teachers": teachers, "losses": TERMS, **more}))
    return ["--kd_conf", str(path)]


@pytest.fixture(scope="module")
def root(features, tmp_path_factory):
    root = tmp_path_factory.mktemp("turns")
    train(features, root / "teacher", role="teacher", seed=5, max_epoch=1)
    return root


def shares(n):
    """Of update n: 1 - (n + 1) / 9 of weight 1, and (n + 1) / 9 of weight 2."""
    done = min(1.0, (n + 1) / 9)
    return (1 - done) / (1 - done + 2 * done)


@pytest.mark.slow
def test_they_take_turns_and_a_resumed_run_goes_on(root, features):
    kd = write_kd(root)
    whole = train(features, root / "whole", *kd, seed=3, max_epoch=2)
    train(features, root / "parts", *kd, seed=3, max_epoch=1)
    parts = train(features, root / "parts", *kd, seed=3, max_epoch=2)
    assert equal(weights(root / "whole"), weights(root / "parts"))
    for state in (whole, parts):
        for epoch, updates in ((1, range(6)), (2, range(6, 12))):
            stats = state["reporter"]["stats"][epoch]
            wanted = sum(map(shares, updates)) / 6
            assert stats["train"]["kd_share_0"] == pytest.approx(wanted, rel=1e-4)
            assert stats["valid"]["kd_share_own"] == 1
            assert stats["train"]["loss_kd_token_kl"] > 0


@pytest.mark.slow
def test_the_first_may_be_read_from_disk(root, features):
    parts, caches = ("--parts", "ctc,decoder"), []
    for split in ("train", "dev"):
        write_targets(root / "teacher", features / split, root / split, *parts)
        caches.append(str(root / split))
    values = []
    for name, targets in (("live", "live"), ("read", caches)):
        kd = write_kd(root, targets=targets)
        same = {"seed": 7, "batch_size": 1, "max_epoch": 1, "specaug_conf": MASKS}
        state = train(features, root / name, *kd, **same)
        values.append(state["reporter"]["stats"][1]["train"]["loss_kd"])
    assert values[1] == pytest.approx(values[0], rel=2e-3)
