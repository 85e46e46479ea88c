"""How much each unit of a model matters, by which narrower students are chosen."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from espnet_kd.student.axes import Axes, Dim, accumulate

# The importances that need nothing but the weights, and those that are measured on data.
KINDS_OF_WEIGHTS = ("norm", "order", "random")
KINDS_WITH_DATA = ("activation", "taylor")
KINDS = (*KINDS_OF_WEIGHTS, *KINDS_WITH_DATA)
Batches = Iterable[Mapping[str, Any]]
Add = Callable[[nn.Module, Tensor, Dim], None]


def importance_of(
    kind: str, model: nn.Module, axes: Axes, batches: Batches = ()
) -> dict[str, Tensor]:
    """Compute the importance of every unit, by axis, (n,).

    Args:
        kind: ``norm``, ``activation`` or ``taylor``; ``order``, by which the first units
            are kept; ``random``, drawn from torch's generator.
        model: A model in eval mode.
        axes: The axes of the model's parameters.
        batches: What the model's forward pass takes, for ``activation`` and ``taylor``.
    """
    if kind == "norm":
        return weight_norm(model, axes)
    if kind == "order":
        return {axis: -torch.arange(size).double() for axis, size in axes.sizes.items()}
    if kind == "random":
        return {axis: torch.rand(size).double() for axis, size in axes.sizes.items()}
    measure = {"taylor": taylor, "activation": activation}[kind]
    return measure(model, axes, batches)


def weight_norm(model: nn.Module, axes: Axes) -> dict[str, Tensor]:
    r"""Sum the squares of every parameter's part that belongs to the unit.

    .. math:: I_u = \sum_{w \in u} w^2

    Args:
        model: Any model.
        axes: The axes of the model's parameters.
    """
    return axes.sums({name: p.detach().square() for name, p in model.named_parameters()})


def taylor(model: nn.Module, axes: Axes, batches: Batches) -> dict[str, Tensor]:
    r"""Estimate to first order what taking the unit away changes of the loss.

    .. math:: I_u = \sum_{b} \Big( \sum_{w \in u} w \,
        \frac{\partial L_b}{\partial w} \Big)^2

    Args:
        model: A model in eval mode; its gradients are left empty.
        axes: The axes of the model's parameters.
        batches: What the model's forward pass takes, transcripts included.

    Source: Molchanov et al. Importance Estimation for Neural Network Pruning. 2019,
    section 3. https://arxiv.org/abs/1906.10771
    """
    total: dict[str, Tensor] = {}
    frozen = [p for p in model.parameters() if not p.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(True)
    with torch.enable_grad():
        for batch in batches:
            model.zero_grad(set_to_none=True)
            loss, *_ = model(**batch)
            loss.sum().backward()
            products = {
                name: (p.detach() * p.grad).cpu()
                for name, p in model.named_parameters()
                if p.grad is not None
            }
            for axis, found in axes.sums(products).items():
                accumulate(total, axis, found.square())
    model.zero_grad(set_to_none=True)
    for parameter in frozen:
        parameter.requires_grad_(False)
    return total


def activation(model: nn.Module, axes: Axes, batches: Batches) -> dict[str, Tensor]:
    r"""Average the size of what the unit hands on.

    .. math:: I_u = \operatorname{mean}_{n} |x_{nu}|

    over all positions, padding included, of the inputs of every module that reads the
    unit; of the outputs of those that make it where none reads it (queries and keys).

    Args:
        model: A model in eval mode.
        axes: The axes of the model's parameters.
        batches: What the model's forward pass takes.
    """
    total: dict[str, Tensor] = {}
    modules, handles = dict(model.named_modules()), []
    consumed = {dims[1].axis for dims in axes.dims.values() if dims and len(dims) > 1}
    for name, dims in axes.dims.items():
        path, _, kind = name.rpartition(".")
        if kind != "weight" or not dims or isinstance(modules[path], nn.Embedding):
            continue
        add = partial(_add, total, axes)
        if len(dims) > 1 and dims[1].axis:
            read = partial(_read, add, dims[1])
            handles.append(modules[path].register_forward_pre_hook(read))
        if dims[0].axis not in consumed:
            made = partial(_made, add, dims[0])
            handles.append(modules[path].register_forward_hook(made))
    try:
        with torch.no_grad():
            for batch in batches:
                model(**batch)
    finally:
        for handle in handles:
            handle.remove()
    return total


def _add(
    total: dict[str, Tensor], axes: Axes, module: nn.Module, values: Tensor, dim: Dim
) -> None:
    # Channels of a convolution are in the second place, of anything else in the last.
    place = 1 if isinstance(module, nn.Conv1d | nn.Conv2d) else -1
    size = values.detach().abs().double().transpose(0, place)
    size = size.reshape(len(size), -1).mean(1).cpu()
    accumulate(total, dim.axis, axes.by_unit(size, dim))


def _read(add: Add, dim: Dim, module: nn.Module, args: tuple[Tensor, ...]) -> None:
    add(module, args[0], dim)


def _made(
    add: Add, dim: Dim, module: nn.Module, args: tuple[Tensor, ...], output: Tensor
) -> None:
    add(module, output, dim)
