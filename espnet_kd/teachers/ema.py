"""A teacher that is the student's own past: an exponential moving average of it."""

import copy

import torch
from torch import Tensor, nn

from espnet_kd.errors import KDError
from espnet_kd.teachers.live import Teacher


class EMATeacher(Teacher):
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

    Source: Tarvainen, Valpola. Mean Teachers. 2017, section 2.
    https://arxiv.org/abs/1703.01780
    """

    def __init__(self, student: nn.Module, decay: float, *, view: str = "clean") -> None:
        super().__init__(copy.deepcopy(student), view=view, name="ema")
        self.decay = decay
        self.updates = -1

    @torch.no_grad()
    def update(self, student: nn.Module, step: int) -> None:
        """Follow the student to ``step`` updates; does nothing twice at one step.

        Raises:
            KDError: If the student's parameters are no longer those that were copied.
        """
        if step <= self.updates:
            return
        ours, theirs = self.model.state_dict(), student.state_dict()
        if ours.keys() != theirs.keys():
            raise KDError(
                "teachers[0].ema: the student has changed since it was built (adapters?); "
                "an average of it needs the same parameters. Name a trained teacher"
            )
        first = self.updates < 0
        decay = 0.0 if first else min(self.decay, (1 + step) / (10 + step))
        for name, value in ours.items():
            latest = theirs[name].to(value)
            if decay and value.is_floating_point():
                value.lerp_(latest, 1 - decay)
            else:
                value.copy_(latest)
        self.updates = step

    def state_dict(self) -> dict[str, Tensor | int]:
        """What a resumed run needs to go on with the same average."""
        weights = {name: v.clone() for name, v in self.model.state_dict().items()}
        return {"updates": self.updates, "weights": weights}

    def load_state_dict(self, state: dict) -> None:
        """Take up an average where it was left."""
        self.model.load_state_dict(state["weights"])
        self.updates = int(state["updates"])
