"""The same batch twice in one pass of a streaming student: in its blocks, and whole."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from espnet_kd.errors import KDError
from espnet_kd.hook.two_views import doubled
from espnet_kd.model.context import full_context, has_two_modes
from espnet_kd.model.taps import first_tensor, parse_tap
from espnet_kd.model.training_part import TrainingPart, TrainingPass


class TwoModes(TrainingPart):
    """Doubles the batches of a streaming model: its encoder hears the second half whole.

    Both halves are of one SpecAugment, so that nothing but the mode is between them. Of
    the encoder's call each half is made by itself, the second with the switch that ESPnet
    has for it (``full_context``); no parameter is added, and none is another's.

    Args:
        model: A model whose encoder hears blocks or chunks.
        taps: What is tapped of it.

    Raises:
        KDError: If its encoder has one mode only; or a layer inside of it is tapped, which
            runs once in each mode.
    """

    def __init__(self, model: nn.Module, *, taps: Sequence[str] = ()) -> None:
        encoder = getattr(model, "encoder", None)
        if not isinstance(encoder, nn.Module) or not has_two_modes(encoder):
            raise KDError(
                "mode_consistency compares the student in its blocks with the student that "
                f"hears all, and its encoder ({type(encoder).__name__}) hears the same in "
                "training and decoding; give it a contextual_block_* encoder, or "
                "'dynamic_chunk_training: true' in main_conf of the asr_transducer task's, "
                "or remove the term"
            )
        inner = [tap for tap in taps if parse_tap(tap).path.startswith("encoder.")]
        if inner:
            raise KDError(
                f"mode_consistency runs the encoder's layers once in each mode, so that "
                f"'{inner[0]}' is two things; tap its output, 'encoder', or remove a term"
            )
        self.model, self.encoder = model, encoder
        self._whole: tuple[Any, Any] = ((), {})
        self._handles: list[RemovableHandle] = []

    def describe(self) -> list[str]:
        """What it costs."""
        return [
            "every training batch goes through the student twice, in its blocks and whole; "
            "all losses are means over both"
        ]

    def before_pass(self, training_pass: TrainingPass) -> None:
        """Double the batch of a training pass."""
        if not training_pass.learns:
            return
        training_pass.batch = doubled(training_pass.batch)
        training_pass.doubled = True
        encoder, specaug = self.encoder, getattr(self.model, "specaug", None)
        self._handles = [
            encoder.register_forward_pre_hook(self._first_half, with_kwargs=True),
            encoder.register_forward_hook(self._joined),
        ]
        if isinstance(specaug, nn.Module):
            self._handles.append(specaug.register_forward_hook(_same_features))

    def after_pass(self) -> None:
        """Leave the model as ESPnet runs it."""
        for handle in self._handles:
            handle.remove()
        self._handles, self._whole = [], ((), {})

    def remove(self) -> None:
        """As after any pass."""
        self.after_pass()

    def _first_half(self, _encoder: nn.Module, args: Any, kwargs: Any) -> tuple[Any, Any]:
        self._whole = _half(args, 1), _half(kwargs, 1)
        return _half(args, 0), _half(kwargs, 0)

    def _joined(self, encoder: nn.Module, _args: Any, output: Any) -> Any:
        args, kwargs = self._whole
        with full_context(encoder):
            # Not called as a module: its hooks belong to the pass as a whole.
            whole = encoder.forward(*args, **kwargs)
        pairs = zip(output, whole, strict=True)
        return tuple(torch.cat(p) if isinstance(p[0], Tensor) else p[0] for p in pairs)


def _half(values: Any, which: int) -> Any:
    """One half of all tensors of a call."""
    if isinstance(values, Tensor):
        return values.chunk(2)[which]
    if isinstance(values, dict):
        return {key: _half(value, which) for key, value in values.items()}
    return tuple(_half(v, which) for v in values) if isinstance(values, tuple) else values


def _same_features(_module: nn.Module, _args: Any, output: Any) -> Any:
    augmented = first_tensor(output)
    assert augmented is not None, "SpecAugment gives features"
    half = augmented.chunk(2)[0]
    return torch.cat([half, half]), *output[1:]
