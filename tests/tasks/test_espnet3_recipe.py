"""ESPnet3's own mini_an4 recipe by its run.py: distilled, killed and run again.

Its recipes are in ESPnet's source distribution and checkouts, and in no wheel: KD_EGS3
names their folder egs3. Of a recipe's configuration only what a test says is changed.
"""

import os
import shutil
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
import yaml
from conftest import REPO
from lightning_runs import QUIET, STILL, TERMS, logged
from training import equal

EGS3 = Path(os.environ.get("KD_EGS3", "gone"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("espnet3") is None, reason="this ESPnet has no espnet3"),
    pytest.mark.skipif(not EGS3.is_dir(), reason="KD_EGS3 names no folder of recipes"),
]
CONFIG = "training_asr_transformer"
STAGES = ("create_dataset", "train_tokenizer", "collect_stats", "train")
KD_CONF = {
    "teachers": [{"exp": "exp/teacher"}],
    "losses": TERMS,
    "schedule": {"warmup_steps": 10},
}
EPOCHS = 5
# The recipe cuts its audio by a program that need not be here.
SPH2PIPE = f"""#!{sys.executable}
import sys

import soundfile

samples, rate = soundfile.read(sys.argv[-1], dtype="int16")
soundfile.write(sys.stdout.buffer, samples, rate, format="WAV")
"""


def change(config, changes):
    """Lay settings over others, mapping by mapping; None takes one away."""
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(config.get(key), dict):
            change(config[key], value)
        elif value is None:
            config.pop(key, None)
        else:
            config[key] = value


class Recipe:
    """A copy of the recipe, to run in."""

    def __init__(self, root):
        self.root = root / "egs3"
        self.folder = self.root / "mini_an4" / "esp2_asr"
        for name in ("TEMPLATE", "mini_an4"):
            shutil.copytree(EGS3 / name, self.root / name)
        (self.root / "__init__.py").touch()
        self.bin = root / "bin"
        self.bin.mkdir()
        if shutil.which("sph2pipe") is None:
            (self.bin / "sph2pipe").write_text(SPH2PIPE)
            (self.bin / "sph2pipe").chmod(0o755)

    def exp(self, tag):
        return self.folder / "exp" / tag

    def last(self, tag):
        """The resume point of an experiment."""
        return torch.load(self.exp(tag) / "last.ckpt", weights_only=True)

    def run(self, tag, changes, *more, plugin=True, stages=("train",), status=0):
        """Run stages by a configuration of the recipe's with changes."""
        conf = self.folder / "conf"
        config = yaml.safe_load((conf / f"{CONFIG}.yaml").read_text())
        change(config, changes)
        (conf / f"{tag}.yaml").write_text(yaml.safe_dump(config))
        start = ["-m", "espnet_kd"] if plugin else []
        options = ["--stages", *stages, "--training_config", f"conf/{tag}.yaml", *more]
        # As its path.sh sets it, and the place of this package and of these tests.
        places = [REPO, REPO / "tests", self.root.parent, self.folder]
        places += [self.root / "TEMPLATE" / "esp2_asr"]
        answer = subprocess.run(
            [sys.executable, *start, "run.py", *options],
            cwd=self.folder,
            env=os.environ
            | {"PYTHONPATH": os.pathsep.join(map(str, places)), "OMP_NUM_THREADS": "1"}
            | {"PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}"},
            capture_output=True,
            text=True,
        )
        assert answer.returncode == status, answer.stderr[-3000:]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """The recipe with its data, and a wider model that it trained without the plugin."""
    recipe = Recipe(tmp_path_factory.mktemp("recipe"))
    wide = {"encoder_conf": {"output_size": 8}, "decoder_conf": {"linear_units": 8}}
    recipe.run("teacher", {"model": wide}, plugin=False, stages=STAGES)
    return recipe


def logger(tag):
    """Where a run's figures go, to be read here."""
    csv = "lightning.pytorch.loggers.CSVLogger"
    logger = {"_target_": csv, "save_dir": f"exp/{tag}"}
    return {"logger": [logger], "log_every_n_steps": 1}


def test_the_recipe_as_it_is_is_distilled_by_its_kd_conf(recipe):
    """Only the log is another; the recipe decodes the student without the plugin."""
    changes = {"model": {"kd_conf": KD_CONF}, "trainer": logger("kd")}
    recipe.run("kd", changes)
    log = logged(recipe.exp("kd"))
    for term in TERMS:
        assert min(log[f"train/loss_kd_{term['type']}"]) > 0
        assert min(log[f"valid/loss_kd_{term['type']}"]) > 0
    stock = recipe.last("teacher")["state_dict"]
    assert list(recipe.last("kd")["state_dict"]) == list(stock)
    decode = ("--inference_config", "conf/inference.yaml")
    recipe.run("kd", changes, *decode, plugin=False, stages=("infer",))
    said = recipe.exp("kd") / "inference" / "test" / "text.scp"
    assert len(said.read_text().splitlines()) == 2


def test_killed_between_and_in_epochs_and_run_again_it_ends_the_same(recipe):
    """Without dropout and augmentation, for Lightning restores no random state."""
    augmentation = ("data_aug_effects", "data_aug_num", "data_aug_prob")
    still = {"encoder_conf": STILL, "decoder_conf": QUIET, "kd_conf": KD_CONF}
    batches = {"iter_factory": {"batches": {"batch_size": 1}}}
    whole = {"limit_train_batches": None, "limit_val_batches": None, "max_epochs": EPOCHS}
    settings = {
        "seed": 3,
        "model": still,
        "dataset": {"preprocessor": dict.fromkeys(augmentation)},
        "dataloader": {"train": batches},
    }
    recipe.run("whole", settings | {"trainer": whole | logger("whole")})

    settings["exp_dir"] = "${recipe_dir}/exp/killed"
    trainer = whole | logger("killed")
    for number, (epoch, batch) in enumerate([(2, 0), (3, 2)]):
        killer = {"_target_": "killing.Kill", "epoch": epoch, "batches": batch}
        settings["trainer"] = trainer | {"callbacks": [killer]}
        recipe.run(f"killed{number}", settings, status=-signal.SIGKILL)
        assert recipe.last("killed")["global_step"] == 4 * epoch
        settings["fit"] = {"ckpt_path": "exp/killed/last.ckpt"}
    recipe.run("killed2", settings | {"trainer": trainer})

    one, two = (recipe.last(tag) for tag in ("whole", "killed"))
    assert one["global_step"] == two["global_step"] == 4 * EPOCHS
    assert equal(one["state_dict"], two["state_dict"])
    ends = [logged(recipe.exp(tag))["train/loss_kd"][-4:] for tag in ("whole", "killed")]
    assert ends[0] == ends[1]
    assert min(ends[0]) > 0
    parts = [state["callbacks"]["espnet_kd"]["kd_projections"] for state in (one, two)]
    assert parts[0]
    assert equal(*parts)
    assert list(one["state_dict"]) == list(recipe.last("teacher")["state_dict"])
