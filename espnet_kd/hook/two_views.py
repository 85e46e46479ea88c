"""The same batch twice in one pass of the student, augmented differently."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from espnet_kd.errors import KDError
from espnet_kd.hook.time_warp import OnTimeWarp, time_warp_of
from espnet_kd.model.parts import has_recurrent_encoder
from espnet_kd.model.taps import first_tensor
from espnet_kd.model.training_part import TrainingPass


class TwoViews(OnTimeWarp):
    """Doubles the batches of a model: the second half is the first once more.

    SpecAugment then masks each half in its own way. Time warping is undone between
    them: both get the first half's, for frames of two warps do not correspond.

    Args:
        model: A model with SpecAugment.

    Raises:
        KDError: If the model has none, so that two views could not differ; or a recurrent
            encoder, for which one batch behind the other is in no order of length.
    """

    def __init__(self, model: nn.Module) -> None:
        if getattr(model, "specaug", None) is None:
            raise KDError(
                "cr_ctc compares two augmented views of the same audio, and the student "
                "has no SpecAugment: give its config 'specaug: specaug' and a "
                "specaug_conf"
            )
        if has_recurrent_encoder(model):
            raise KDError(
                "cr_ctc puts each batch twice into one pass, and the student's recurrent "
                "encoder takes utterances by falling length only. Remove the term, or "
                "give the student an encoder of another type"
            )
        self.model = model

    def describe(self) -> list[str]:
        """What it costs."""
        return ["every training batch goes through the student twice, in two views"]

    def before_pass(self, training_pass: TrainingPass) -> None:
        """Double the batch of a training pass."""
        if not training_pass.learns:
            return
        if (warp := time_warp_of(self.model)) is not None:
            self._handle = warp.register_forward_hook(_same_warp)
        training_pass.batch = doubled(training_pass.batch)
        training_pass.doubled = True


def doubled(batch: Mapping[str, Any]) -> dict[str, Any]:
    """A batch whose second half is the first once more."""
    return {key: _twice(value) for key, value in batch.items()}


def _twice(value: Any) -> Any:
    if isinstance(value, Tensor):
        return torch.cat([value, value])
    return value * 2 if isinstance(value, list | tuple) else value


def _same_warp(_module: nn.Module, _args: Any, output: Any) -> Any:
    warped = first_tensor(output)
    assert warped is not None, "time warp gives features"
    half = warped[: len(warped) // 2]
    return torch.cat([half, half]), *output[1:]
