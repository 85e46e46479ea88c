"""A teacher that is the student's own past: an exponential moving average of it."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from espnet_kd.config.schema import Precision
from espnet_kd.errors import KDError
from espnet_kd.model.training_part import TrainingPart, TrainingPass
from espnet_kd.teachers.live import LiveTeacher


class EMATeacher(LiveTeacher, TrainingPart):
    r"""Averages the student after every update, and teaches it from there.

    .. math:: \bar\theta \leftarrow \min\left(d, \frac{1 + n}{10 + n}\right) \bar\theta
        + (1 - \cdot)\, \theta

    at update n: early on the average forgets faster, for there is little to remember.
    Buffers (batch statistics) are copied. It is in no checkpoint of the student; the
    resume point carries it beside the optimizer's state.

    Args:
        student: Copied as it is now; its weights are taken over at the first update.
        decay: :math:`d` in (0, 1).
        view: As for any teacher.
        hears: As for any teacher.
        skips: As for any teacher.
        every: As for any teacher; it follows the student in every update all the same.
        precision: As for any teacher.

    Source: Tarvainen, Valpola. Mean Teachers. 2017, section 2.
    https://arxiv.org/abs/1703.01780
    """

    key = "ema"

    def __init__(
        self,
        student: nn.Module,
        decay: float,
        *,
        view: str = "clean",
        hears: str = "",
        skips: bool = False,
        every: int = 1,
        precision: Precision = "float32",
    ) -> None:
        super().__init__(
            copy.deepcopy(student),
            view=view,
            hears=hears,
            skips=skips,
            every=every,
            precision=precision,
            name="ema",
        )
        self.decay = decay
        self.updates = -1

    def describe(self) -> list[str]:
        """Whose average it is, and of how many updates."""
        return [f"teacher: the student's own average, decay {self.decay:g}, {self.heard}"]

    def training_parts(self) -> list[TrainingPart]:
        """The average itself follows the student."""
        return [self, *super().training_parts()]

    def before_pass(self, training_pass: TrainingPass) -> None:
        """Follow the student before each of its training passes."""
        if training_pass.learns:
            self.update(training_pass.model, training_pass.step)

    @torch.no_grad()
    def update(self, student: nn.Module, step: int) -> None:
        """Follow the student to ``step`` updates; does nothing twice at one step.

        Raises:
            KDError: If the student's parameters are no longer those that were copied.
        """
        if step <= self.updates:
            return
        average, latest = self.model.state_dict(), student.state_dict()
        if average.keys() != latest.keys():
            raise KDError(
                "'ema': the student has changed since it was built (adapters?); "
                "an average of it needs the same parameters. Name a trained teacher"
            )
        first = self.updates < 0
        decay = 0.0 if first else min(self.decay, (1 + step) / (10 + step))
        averaged = {name for name, _ in self.model.named_parameters()}
        for name, value in average.items():
            newest = latest[name].to(value)
            if decay and name in averaged:
                value.lerp_(newest, 1 - decay)
            else:
                value.copy_(newest)
        self.updates = step

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs to go on with the same average."""
        weights = {name: v.clone() for name, v in self.model.state_dict().items()}
        return {"updates": self.updates, "weights": weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up an average where it was left."""
        self.model.load_state_dict(state["weights"])
        self.updates = int(state["updates"])
