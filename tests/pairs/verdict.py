"""Whether a training was right, or rightly refused."""

from collections.abc import Iterator
from pathlib import Path

import torch
from pairs.draw import Draw
from pairs.watch import Watch

from espnet_kd.errors import KDError

NEVER_FIRED = "exactly 0 in every training step so far"


class OutcomeError(Exception):
    """Neither trained nor refused by a sentence; says what happened instead."""


def refusal(error: KDError, watch: Watch) -> str:
    """A refusal's sentence, if it came in time.

    Raises:
        OutcomeError: If updates were made before.
    """
    text = str(error)
    if NEVER_FIRED in text:
        names = text.partition(":")[0].split(", ")
        trained = [stats for phase, stats in watch.passes if phase == "train"]
        if all(not stats.get(f"loss_kd_{name}") for name in names for stats in trained):
            return text
    if watch.updates:
        raise OutcomeError(f"refused after {watch.updates} updates: {text}") from error
    return text


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
        # A teacher of every n-th batch leaves its terms out of the others.
        rests = phase == "train" and "every" in draw.target.each
        told = {key for at, of in watch.passes if at == phase for key in of}
        for name in draw.names:
            if f"loss_kd_{name}" not in (told if rests else stats):
                yield f"{phase}: no loss_kd_{name}"
        for key, value in stats.items():
            if "loss" in key and not abs(value) < float("inf"):
                yield f"{phase}: {key} is {value}"
        if phase == "train" and "loss_kd" not in stats:
            yield "train: no loss_kd"
        # A validation whose terms are balanced has none: they add nothing there.
        whole = draw.task_weight * stats["loss_task"] + stats.get("loss_kd", 0.0)
        scale = draw.accum_grad if phase == "train" else 1
        # ESPnet's CTC loss comes in the encoder's precision, bfloat16 in autocast.
        near = (1e-2 if draw.amp else 1e-3) * max(1.0, abs(whole))
        if abs(whole - scale * stats["loss"]) > near:
            yield f"{phase}: loss {stats['loss']} is not its parts', {whole} / {scale}"
        if draw.sparsity is not None and stats["kd_sparsity"] > draw.sparsity + 0.02:
            yield f"{phase}: sparsity {stats['kd_sparsity']}"


def check_student(watch: Watch) -> Iterator[str]:
    """What changed though it was frozen, or is no number."""
    watch.model.train()  # LoRA's weights are merged while it evaluates.
    for name, value in watch.model.named_parameters():
        if not value.isfinite().all():
            yield f"{name} is not finite"
        if name in watch.frozen and not _rounded_alike(value, watch.frozen[name]):
            yield f"{name} was frozen and has changed"


def _rounded_alike(now: torch.Tensor, before: torch.Tensor) -> bool:
    """Whether no update changed it; adding and subtracting LoRA's product rounds."""
    return torch.allclose(now, before, rtol=0, atol=1e-6)


def load_in_stock(exp: Path, epoch: int) -> None:
    """Load a student as whoever has never heard of this package."""
    from espnet2.tasks.asr import ASRTask

    model, args = ASRTask.build_model_from_file(exp / "config.yaml", None, "cpu")
    state = torch.load(exp / f"{epoch}epoch.pth", weights_only=True)
    strict = not getattr(args, "use_adapter", False)
    missing = model.load_state_dict(state, strict=strict)
    if missing.unexpected_keys:
        raise OutcomeError(f"it has {missing.unexpected_keys}")
