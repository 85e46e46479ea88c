"""Train a model with the rounding of 8-bit arithmetic."""

import torch
from torch import nn

from espnet_kd.errors import KDError
from espnet_kd.model.training_part import TrainingPart, TrainingPass
from espnet_kd.student.quantize import dynamic_config, is_linear


class Rounding(TrainingPart):
    """A model's rounding, from now until it is removed; see ``fake_quantize``.

    Args:
        model: In float; changed in place.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        fake_quantize(model)

    def before_pass(self, training_pass: TrainingPass) -> None:
        """Require a precision that can be rounded; a trainer may cast what is attached.

        Raises:
            KDError: If it is another.
        """
        parameter = next(self.model.parameters(), None)
        if parameter is not None and parameter.dtype == torch.float64:
            raise KDError(
                "quantize: 'int8' rounds float32 and half precision, and the model is "
                "float64; train with --train_dtype float32, or remove 'quantize'"
            )

    def remove(self) -> None:
        """Give the model its plain layers back."""
        undo_fake_quantize(self.model)


def fake_quantize(model: nn.Module) -> None:
    """Let linear layers round their weights and activations as ``int8`` arithmetic does.

    ``y = round(x) round(W)^T + b`` in float, the rounding of ``quantize.py``; its gradient
    is taken for that of the identity within range (straight-through estimator; Bengio
    2013). The layers keep their names, parameters and ``state_dict``: the model trains,
    averages and loads as before. Convolutions and embeddings train unrounded.

    Args:
        model: A model in float; changed in place.

    Raises:
        KDError: If torchao is missing.
    """
    dynamic_config()  # says what is missing before anything is imported
    from torchao.quantization import quantize_
    from torchao.quantization.qat import IntxFakeQuantizeConfig, QATConfig

    frames = IntxFakeQuantizeConfig(torch.int8, "per_token", is_symmetric=False)
    weights = IntxFakeQuantizeConfig(torch.int8, "per_channel", is_symmetric=True)
    scheme = QATConfig(activation_config=frames, weight_config=weights, step="prepare")
    quantize_(model, scheme, is_linear)


def undo_fake_quantize(model: nn.Module) -> None:
    """Give a model its plain linear layers back, with the parameters they have now."""
    for path, layer in list(model.named_modules()):
        if hasattr(layer, "weight_fake_quantizer"):
            model.set_submodule(path, layer.to_linear())
