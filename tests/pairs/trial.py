"""One training of three updates by ESPnet's own command, and what came of it."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import yaml
from conftest import INPUT_SIZE
from pairs.draw import PLUGIN, PLUGIN_TAP, Draw
from pairs.settings import Conf, encoder
from pairs.world import World, tokens_of
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

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
NEVER_FIRED = "exactly 0 in every training step so far"


class OutcomeError(Exception):
    """Neither trained nor refused by a sentence; says what happened instead."""


@dataclass
class Watch:
    """What was seen of a training.

    Attributes:
        updates: Steps of the optimizer.
        passes: Stats of every pass, with ``train`` or ``valid``.
        model: The student.
        frozen: Parameters that may not change, as they were before the first update.
    """

    updates: int = 0
    passes: list[tuple[str, Conf]] = field(default_factory=list)
    model: Any = None
    frozen: dict[str, torch.Tensor] = field(default_factory=dict)

    def before_update(self, *_: Any) -> None:
        """Keep what is frozen."""
        if not self.updates:
            named = self.model.named_parameters()
            self.frozen = {n: p.clone() for n, p in named if not p.requires_grad}

    def after_update(self, *_: Any) -> None:
        """Count."""
        self.updates += 1


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
    from espnet_kd.tasks.asr import KDASRTask

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
        parts |= set(request) & {"ctc", "decoder", "nbest"}
    return parts if parts or taps else {"ctc"}, taps


TERM = ("type", "weight", "name", "confidence", "schedule")


@contextmanager
def watching(watch: Watch) -> Iterator[None]:
    """Count updates, and keep the stats of every pass."""
    from espnet2.train.reporter import SubReporter

    stock = SubReporter.register

    def register(self: Any, stats: Conf, weight: Any = None) -> None:
        if "loss" in stats:  # not of what the optimizer does
            numbers = {k: float(v) for k, v in stats.items() if v is not None}
            watch.passes.append((self.key, numbers))
        stock(self, stats, weight)

    handles = [
        register_optimizer_step_pre_hook(watch.before_update),
        register_optimizer_step_post_hook(watch.after_update),
    ]
    try:
        with mock.patch.object(SubReporter, "register", register):
            yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def autocast() -> Iterator[None]:
    """What ``--use_amp`` is on a GPU, with bfloat16, on a CPU."""

    def half(*_: Any, **__: Any) -> torch.autocast:
        return torch.autocast("cpu", torch.bfloat16)

    with mock.patch("espnet2.train.trainer.autocast", half):
        yield


def refusal(error: KDError, watch: Watch) -> str:
    """A refusal's sentence, if it came in time.

    Raises:
        OutcomeError: If updates were made before.
    """
    text = str(error)
    if NEVER_FIRED in text:
        names = text.partition(":")[0].split(", ")
        trained = [stats for phase, stats in watch.passes if phase == "train"]
        if all(not stats[f"loss_kd_{name}"] for name in names for stats in trained):
            return text
    if watch.updates:
        raise OutcomeError(f"refused after {watch.updates} updates: {text}") from error
    return text


def stock_fails_too(draw: Draw, world: World, folder: Path, error: BaseException) -> bool:
    """Whether the same training without a ``kd_conf`` ends in the same way."""
    watch = Watch()
    shutil.rmtree(folder / "exp", ignore_errors=True)
    try:
        train(draw, world, folder, watch, kd=False)
    except (Exception, SystemExit) as stock:
        return type(stock) is type(error)
    return False


def check(draw: Draw, watch: Watch, folder: Path) -> None:
    """Require what a training must leave.

    Raises:
        OutcomeError: With everything that is missing.
    """
    problems = [*check_passes(draw, watch), *check_student(watch)]
    if watch.updates != draw.updates:
        problems.append(f"{watch.updates} updates instead of {draw.updates}")
    try:
        load_in_stock(folder / "exp", draw.epochs[-1])
    except Exception as error:  # of ESPnet or torch, whatever it is
        problems.append(f"stock ESPnet does not load it: {error}")
    if problems:
        raise OutcomeError("; ".join(dict.fromkeys(problems)))


def check_passes(draw: Draw, watch: Watch) -> Iterator[str]:
    """What is missing of the stats, or is no number."""
    if {phase for phase, _ in watch.passes} != {"train", "valid"}:
        yield "no training or no validation"
    for phase, stats in watch.passes:
        for name in draw.names:
            if f"loss_kd_{name}" not in stats:
                yield f"{phase}: no loss_kd_{name}"
        for key, value in stats.items():
            if "loss" in key and not abs(value) < float("inf"):
                yield f"{phase}: {key} is {value}"
        whole = draw.task_weight * stats["loss_task"] + stats["loss_kd"]
        scale = draw.accum_grad if phase == "train" else 1
        if abs(whole - scale * stats["loss"]) > 1e-3 * max(1.0, abs(whole)):
            yield f"{phase}: loss {stats['loss']} is not its parts', {whole} / {scale}"
        if draw.sparsity is not None and stats["kd_sparsity"] > draw.sparsity + 0.02:
            yield f"{phase}: sparsity {stats['kd_sparsity']}"


def check_student(watch: Watch) -> Iterator[str]:
    """What changed though it was frozen, or is no number."""
    for name, value in watch.model.named_parameters():
        if not value.isfinite().all():
            yield f"{name} is not finite"
        if name in watch.frozen and not torch.equal(value, watch.frozen[name]):
            yield f"{name} was frozen and has changed"


def load_in_stock(exp: Path, epoch: int) -> None:
    """Load a student as whoever has never heard of this package."""
    from espnet2.tasks.asr import ASRTask

    model, args = ASRTask.build_model_from_file(exp / "config.yaml", None, "cpu")
    state = torch.load(exp / f"{epoch}epoch.pth", weights_only=True)
    strict = not getattr(args, "use_adapter", False)
    missing = model.load_state_dict(state, strict=strict)
    if missing.unexpected_keys:
        raise OutcomeError(f"it has {missing.unexpected_keys}")
