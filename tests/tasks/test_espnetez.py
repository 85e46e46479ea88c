"""espnetez: the kd_conf of its configuration is honoured, and survives a kill."""

import importlib.util
import sys

import pytest
import torch
from conftest import INPUT_SIZE, TOKENS, asr_options, build_asr, write_exp
from training import KD, arguments, equal, kill_in_epoch, module, weights

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("espnetez") is None, reason="this ESPnet has no espnetez"
    ),
]
SCRIPT = """
import sys
import types

try:
    import six
except ImportError:  # of a singing task, undeclared; espnetez imports every task
    sys.modules["six"] = types.ModuleType("six")

import espnetez

config, data, stats, out = sys.argv[1:]
espnetez.Trainer(
    task="asr",
    train_config=espnetez.config.from_yaml("asr", config),
    output_dir=out,
    stats_dir=stats,
    data_info={"speech": ("feats.scp", "kaldi_ark"), "text": ("text", "text")},
    train_dump_dir=f"{data}/train",
    valid_dump_dir=f"{data}/dev",
    ngpu=0,
).train()
"""


@pytest.fixture(scope="module")
def root(features, tmp_path_factory):
    """A random teacher, a training script, and where espnetez looks for shapes."""
    root = tmp_path_factory.mktemp("espnetez")
    options = {"width": 12, "blocks": 3, "normalize": "utterance_mvn"}
    options |= {"normalize_conf": {}}
    write_exp(root / "teacher", build_asr(seed=1, **options), asr_options(**options))
    (root / "train.py").write_text(SCRIPT)
    (root / "stats").mkdir()
    for name, split in (("train", "train"), ("valid", "dev")):
        (root / "stats" / name).symlink_to(features / split)
    return root


def command(root, features, out, kd_conf):
    """The script under the plugin, with a configuration of its own."""
    tokens = {"token_type": "char", "token_list": TOKENS, "input_size": INPUT_SIZE}
    settings = {"seed": 7, "max_epoch": 4, "log_interval": 1, "kd_conf": kd_conf}
    arguments(features, out, **tokens, **settings)
    return [
        "espnet_kd",
        str(root / "train.py"),
        f"{out}.train.yaml",
        str(features),
        str(root / "stats"),
        str(out),
    ]


def test_killed_in_an_epoch_and_run_again_it_ends_the_same(root, features):
    kd_conf = KD | {"teachers": [{"exp": str(root / "teacher")}]}
    whole, killed = root / "whole", root / "killed"
    module(*command(root, features, whole, kd_conf))
    again = command(root, features, killed, kd_conf)
    kill_in_epoch([sys.executable, "-m", *again], root / "killed.log", epoch=3)
    assert (killed / "2epoch.pth").exists()
    assert not (killed / "4epoch.pth").exists()
    module(*again)
    assert equal(weights(killed, 4), weights(whole, 4))
    state = torch.load(whole / "checkpoint.pth", weights_only=False)
    stats = state["reporter"]["stats"][4]
    for term in KD["losses"]:
        assert stats["train"][f"loss_kd_{term['type']}"] > 0
    stock = build_asr(normalize="utterance_mvn", normalize_conf={})
    assert list(weights(whole, 4)) == list(stock.state_dict())
