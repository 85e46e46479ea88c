"""One training of three updates by ESPnet's own command, and what came of it."""

import shutil
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import yaml
from conftest import INPUT_SIZE
from pairs.draw import PLUGIN, PLUGIN_TAP, Draw
from pairs.kinds import Conf, encoder
from pairs.verdict import check, refusal
from pairs.watch import Watch, autocast, watching
from pairs.world import World, tokens_of

from espnet_kd.errors import KDError
from espnet_kd.losses import LOSSES

STUDENT = encoder("transformer") | {
    "data": "features",
    "decoder": "transformer",
    "decoder_conf": {"attention_heads": 2, "linear_units": 16, "num_blocks": 1},
    "model_conf": {"ctc_weight": 0.3},
    "token_type": "char",
    "input_size": INPUT_SIZE,
    "frontend": None,
    "specaug": None,
    "normalize": None,
    "optim": "adam",
    "optim_conf": {"lr": 0.005},
    "batch_type": "unsorted",
    "batch_size": 9,
    "valid_batch_size": 4,
    "best_model_criterion": [["valid", "loss", "min"]],
    "keep_nbest_models": 1,
    "use_tensorboard": False,
    "use_matplotlib": False,
    "num_workers": 0,
    "resume": True,
}
# What a teacher's model takes over from the student's.
SHARED = ("data", "token_list", "frontend", "frontend_conf", "input_size", "model_conf")
PLUGIN_MODULE = "pairs.plugin"


def run(draw: Draw, world: World, folder: Path) -> str:
    """Train as a draw says.

    Returns:
        ``trained``, ``stock cannot`` where ESPnet itself gives up, or the sentence.

    Raises:
        OutcomeError: If it neither trained nor was refused by a sentence before an update.
    """
    watch = Watch()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        train(draw, world, folder, watch)
    except KDError as error:
        return refusal(error, watch)
    except (Exception, SystemExit) as error:
        if stock_fails_too(draw, world, folder, error):
            return f"stock cannot: {type(error).__name__}: {error}"
        raise
    check(draw, watch, folder)
    return "trained"


def train(draw: Draw, world: World, folder: Path, watch: Watch, kd: bool = True) -> None:
    """Run ESPnet's command in this process, once for each of the draw's runs."""
    from espnet_kd.tasks.variants import KDASRTask

    class Watched(KDASRTask):
        @classmethod
        def build_optimizers(cls, args: Any, model: Any) -> Any:
            watch.model = model
            return super().build_optimizers(args, model=model)

    config = train_conf(draw, world) | {"output_dir": str(folder / "exp")}
    if kd:
        config["kd_conf"] = kd_conf(draw, world)
    for epochs in draw.epochs:
        file = folder / f"{epochs}.yaml"
        file.write_text(yaml.safe_dump(config | {"max_epoch": epochs}))
        with watching(watch), autocast() if draw.amp else nullcontext():
            try:
                Watched.main(cmd=["--config", str(file)])
            finally:
                forget_plugin()


def train_conf(draw: Draw, world: World) -> Conf:
    """The student's training config."""
    conf = draw.student(STUDENT)
    kind, tokens = conf.pop("data"), tokens_of(conf)
    for split, prefix in (("train", "train"), ("dev", "valid")):
        conf[f"{prefix}_data_path_and_name_and_type"] = world.data(split, kind)
        conf[f"{prefix}_shape_file"] = [world.shapes(split, kind)]
    if kind == "audio":
        conf["input_size"] = None
    return conf | {"token_list": tokens}


def kd_conf(draw: Draw, world: World) -> Conf:
    """The ``kd_conf`` of a draw; teachers and caches are made where they are missing."""
    student, target = draw.student(STUDENT), draw.target
    shared = {key: student[key] for key in SHARED if key in student}
    shared["model_conf"] = {**shared["model_conf"], "ctc_weight": 0.3}
    shared["model_conf"].pop("interctc_weight", None)
    if shared["data"] == "audio":
        shared["input_size"] = None
    model = draw.teacher(shared | {"token_list": tokens_of(student)})
    exps = [world.teacher(model, seed) for seed in range(2, 2 + target.teachers)]
    teachers: list[Conf] = [{"exp": str(exp)} for exp in exps]
    if target.ema:
        teachers = [{"ema": 0.9}]
    if target.cached and not target.named:
        teachers = []
    for teacher in teachers if draw.view else ():
        teacher["view"] = draw.view
    for teacher in teachers:
        teacher |= target.each
    if target.lm:
        teachers.append({"lm": str(world.language_model(tokens_of(model)))})
    conf: Conf = {"teachers": teachers} if teachers else {}
    if not draw.reads_teacher:
        return draw.kd({"losses": draw.terms})
    if target.combine:
        conf["combine"] = target.combine
    if target.cached:
        listed = [world.caches(exp, *wanted(draw)) for exp in exps]
        conf["targets"] = [directory for both in listed for directory in both]
    return draw.kd(conf | {"losses": draw.terms})


def forget_plugin() -> None:
    """Let the next training import it anew, and no other test know of it."""
    if sys.modules.pop(PLUGIN_MODULE, None):
        LOSSES._components.pop(PLUGIN["type"], None)


def wanted(draw: Draw) -> tuple[set[str], set[str]]:
    """Parts and taps that a cache must hold for a draw's losses."""
    parts, taps = set(), set()
    for term in draw.terms:
        if term["type"] == PLUGIN["type"]:  # which is not imported yet
            taps.add(PLUGIN_TAP)
            continue
        options = {k: v for k, v in term.items() if k not in TERM}
        request = LOSSES.get(term["type"])(**options).needs().of_teacher
        taps |= set(request.listed("taps"))
        if "layers" in term:  # of a student of two layers and a teacher of three
            taps |= {"encoder.encoders.0", "encoder.encoders.2"}
        parts |= set(request) & {"ctc", "decoder", "nbest"}
    return parts if parts or taps else {"ctc"}, taps


TERM = ("type", "weight", "name", "confidence", "schedule", "until", "patience")


def stock_fails_too(draw: Draw, world: World, folder: Path, error: BaseException) -> bool:
    """Whether the same training without a ``kd_conf`` ends in the same way."""
    watch = Watch()
    shutil.rmtree(folder / "exp", ignore_errors=True)
    try:
        train(draw, world, folder, watch, kd=False)
    except (Exception, SystemExit) as stock:
        return type(stock) is type(error)
    return False
