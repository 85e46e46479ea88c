"""Models whose weights are 8-bit integers on disk, and the two ways to compute with them.

A weight ``W`` (O, ...) is kept as ``q`` int8 and a scale ``s`` (O,) for each output
channel, ``W ~ s q``, symmetric: torchao's own rounding. Biases, norms and statistics stay
in float32. ``float`` arithmetic multiplies out once, when the model is loaded; ``int8``
also rounds each frame's activations and multiplies integers (torchao's dynamic scheme).
"""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from espnet_kd.errors import KDError
from espnet_kd.student.compressed import fill, write_compressed

ARITHMETIC = ("float", "int8")
ROUNDED = (nn.Linear, nn.Embedding, nn.Conv1d, nn.Conv2d)
FORM = "int8"


def write_quantized(path: Path, model: nn.Module, arithmetic: str) -> None:
    """Write a model's weights as 8-bit integers.

    Args:
        path: A ``.pth`` of plain tensors.
        model: An ESPnet model in float; it is not changed.
        arithmetic: Arithmetic of the linear layers when the file is loaded, ``float`` or
            ``int8``.

    Raises:
        KDError: If torchao is missing, a weight is not finite, or there is nothing to
            round.
    """
    rest = dict(model.state_dict())
    rounded, scales = {}, {}
    for name in rounded_weights(model):
        weight = rest.pop(name)
        if not weight.isfinite().all():
            raise KDError(f"{name} holds nan or inf; a trained model does not")
        rounded[name], scales[name] = quantize_weight(weight)
    if not rounded:
        raise KDError("this model has no weight to round")
    content = {"arithmetic": arithmetic, "int8": rounded, "scale": scales, "rest": rest}
    write_compressed(path, FORM, content)


def load_quantized(model: nn.Module, content: Mapping[str, Any], path: Path) -> None:
    """Give a model, as built from its config, the weights of such a file.

    Args:
        model: Changed in place; with ``int8`` arithmetic its linear layers are torchao's.
        content: Content of the file, as ``read_compressed`` gives it.
        path: The file, for messages.

    Raises:
        KDError: If the file is of another model, or torchao is missing.
    """
    rounded, scales = content["int8"], content["scale"]
    state = dict(content["rest"])
    for name, weight in rounded.items():
        state[name] = weight.float() * _as_rows(scales[name], weight)
    fill(model, state, path)
    if content["arithmetic"] == "int8":
        _compute_in_int8(model, rounded, scales)


def rounded_weights(model: nn.Module) -> list[str]:
    """Name the weights that are rounded: of linear layers, convolutions, embeddings."""
    return [
        f"{path}.weight" if path else "weight"
        for path, layer in model.named_modules()
        if isinstance(layer, ROUNDED)
    ]


def quantize_weight(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Round a weight to 8-bit integers, a scale for each output channel.

    Args:
        weight: (O, ...), finite.

    Returns:
        int8 of the same shape, and float32 scales (O,); their product differs from the
        weight by at most half a scale. A row of zeros stays one.
    """
    rows = weight.detach().float().flatten(1)
    layer = nn.Linear(rows.shape[1], rows.shape[0], bias=False)
    layer.weight = nn.Parameter(rows, requires_grad=False)
    _torchao().quantize_(layer, _torchao().Int8WeightOnlyConfig())
    packed: Any = layer.weight
    return packed.qdata.reshape(weight.shape).clone(), packed.scale.flatten().clone()


def dynamic_config() -> Any:
    """Give torchao's scheme of ``int8`` arithmetic, which training also imitates."""
    from torchao.quantization.quant_primitives import MappingType

    # Asymmetric, because torchao can imitate only that in training.
    options = {"act_mapping_type": MappingType.ASYMMETRIC}
    return _torchao().Int8DynamicActivationInt8WeightConfig(**options)


def is_linear(layer: nn.Module, _name: str) -> bool:
    """Whether a layer can compute in integers: a linear one and no variant of it."""
    return type(layer) is nn.Linear


def _compute_in_int8(
    model: nn.Module, rounded: Mapping[str, Tensor], scales: Mapping[str, Tensor]
) -> None:
    layers = [name for name, layer in model.named_modules() if is_linear(layer, name)]
    _torchao().quantize_(model, dynamic_config(), is_linear)
    for name in layers:
        packed: Any = model.get_submodule(name).weight
        weight = f"{name}.weight"
        packed.qdata.copy_(rounded[weight])
        packed.scale.copy_(scales[weight].reshape(packed.scale.shape))


def _as_rows(scale: Tensor, weight: Tensor) -> Tensor:
    return scale.reshape(-1, *(1,) * (weight.dim() - 1))


def _torchao() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torchao warns of parts that are not used here
            import torchao.quantization
    except ImportError:
        raise KDError(
            "8-bit weights need torchao: python -m pip install 'espnet_kd[deploy]'"
        ) from None
    return torchao.quantization
