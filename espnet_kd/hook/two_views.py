"""The same batch twice in one pass of the student, augmented differently."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from espnet_kd.errors import KDError
from espnet_kd.model.taps import first_tensor


class TwoViews:
    """Doubles the batches of a model: the second half is the first once more.

    SpecAugment then masks each half in its own way. Time warping is undone between
    them: both get the first half's, for frames of two warps do not correspond.

    Args:
        model: A model with SpecAugment.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self._handle: RemovableHandle | None = None
        self._started = False

    def start(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The batch for one pass, doubled."""
        self.stop()  # of a pass that was interrupted
        warp = getattr(self.model.specaug, "time_warp", None)
        if warp is not None:
            self._handle = warp.register_forward_hook(_same_warp)
        self._started = True
        return {key: _twice(value) for key, value in batch.items()}

    def stop(self) -> bool:
        """End the pass; whether its batch was doubled."""
        if self._handle is not None:
            self._handle.remove()
        started, self._started, self._handle = self._started, False, None
        return started


def check_two_views(model: nn.Module) -> None:
    """Require that two views of an utterance can differ.

    Raises:
        KDError: If the model has no SpecAugment.
    """
    if getattr(model, "specaug", None) is None:
        raise KDError(
            "cr_ctc compares two augmented views of the same audio, and the student has "
            "no SpecAugment: give its config 'specaug: specaug' and a specaug_conf"
        )


def _twice(value: Any) -> Any:
    if isinstance(value, Tensor):
        return torch.cat([value, value])
    return value + value if isinstance(value, list | tuple) else value


def _same_warp(_module: nn.Module, _args: tuple, output: tuple) -> tuple:
    warped = first_tensor(output)
    half = warped[: len(warped) // 2]
    return torch.cat([half, half]), *output[1:]
