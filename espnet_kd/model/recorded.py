"""A pass of a model, as its taps recorded it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from espnet_kd.errors import KDError
from espnet_kd.model.parts import Parts
from espnet_kd.model.request import Request
from espnet_kd.model.taps import Call, first_tensor


@dataclass(frozen=True)
class RecordedPass:
    """What ran, and what is wanted of it.

    Attributes:
        model: The model that ran.
        parts: Its parts.
        calls: Its modules' calls by path.
        request: What is wanted.
        batch: What it was given.
    """

    model: nn.Module
    parts: Parts
    calls: Mapping[str, list[Call]]
    request: Request
    batch: Mapping[str, Any]

    def called(self, path: str | None) -> list[Call]:
        """The calls of a module; none of a part that the model has not."""
        return self.calls.get(path, []) if path is not None else []

    def encoded(self) -> tuple[Tensor, Tensor]:
        """The encoder's output, (B, T, D), and its lengths, (B,).

        Raises:
            KDError: If the encoder did not run.
        """
        calls = self.called(self.parts.encoder)
        if not calls:
            raise KDError(f"the model's '{self.parts.encoder}' did not run in this pass")
        output: Any = calls[-1].output
        values, lens = first_tensor(output), first_tensor(output[1])
        if values is None or lens is None:
            raise KDError(f"the model's '{self.parts.encoder}' gave no tensor and lengths")
        return values, lens
