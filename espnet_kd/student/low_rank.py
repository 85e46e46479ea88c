"""Linear layers in the form of two thin ones."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from espnet_kd.errors import KDError
from espnet_kd.student.compressed import fill, write_compressed

FORM = "low_rank"


class LowRankLinear(nn.Module):
    """``y = (x D^T) U^T + b``.

    Args:
        down: (R, I), ``D``.
        up: (O, R), ``U``.
        bias: (O,), or None.
    """

    def __init__(self, down: Tensor, up: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.down, self.up = nn.Parameter(down), nn.Parameter(up)
        self.bias = None if bias is None else nn.Parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., I) to (..., O)."""
        return nn.functional.linear(x @ self.down.T, self.up, self.bias)


def factorise(weight: Tensor, energy: float) -> tuple[Tensor, Tensor]:
    r"""The two factors nearest to a matrix, of the least rank that keeps enough of it.

    .. math:: \min_R : \sum_{r \le R} \sigma_r^2 \ge e \sum_r \sigma_r^2

    Args:
        weight: (O, I).
        energy: ``e``, from 0 to 1.

    Returns:
        (R, I) and (O, R), ``sigma`` shared between them; R is at least 1.

    Source: Eckart, Young. The Approximation of One Matrix by Another of Lower Rank. 1936.
    """
    u, sigma, v = torch.linalg.svd(weight.detach().double(), full_matrices=False)
    kept = sigma.square().cumsum(0) / sigma.square().sum().clamp(min=1e-300)
    # What rounding leaves of 1 counts as all of it.
    rank = min(int((kept < energy - 1e-12).sum()) + 1, len(sigma))
    root = sigma[:rank].sqrt()
    down, up = root[:, None] * v[:rank], u[:, :rank] * root
    return down.to(weight.dtype), up.to(weight.dtype)


def low_rank(model: nn.Module, energy: float) -> dict[str, int]:
    """Replace linear layers by two thin ones wherever that makes the model smaller.

    Args:
        model: Changed in place.
        energy: See ``factorise``.

    Returns:
        The rank of every layer that was replaced, by its name.

    Raises:
        KDError: If no layer would become smaller.
    """
    ranks = {}
    for path, layer in list(model.named_modules()):
        if type(layer) is not nn.Linear:
            continue
        down, up = factorise(layer.weight, energy)
        if down.numel() + up.numel() < layer.weight.numel():
            _replace(model, path, down, up, layer.bias)
            ranks[path] = len(down)
    if not ranks:
        raise KDError(
            f"keeping {energy:g} of the energy makes no layer smaller: its singular values "
            "are too even. Ask for less, or quantise or prune instead"
        )
    return ranks


def write_low_rank(path: Path, model: nn.Module, ranks: Mapping[str, int]) -> None:
    """Write a model that ``low_rank`` has changed.

    Args:
        path: A ``.pth`` of tensors.
        model: The changed model.
        ranks: Name of a replaced layer to its rank, as ``low_rank`` gives them.

    Raises:
        KDError: If the file cannot be written.
    """
    write_compressed(path, FORM, {"ranks": dict(ranks), "state": dict(model.state_dict())})


def load_low_rank(model: nn.Module, content: Mapping[str, Any], path: Path) -> None:
    """Give a model, as built from its config, the thin layers of such a file.

    Args:
        model: Changed in place.
        content: Content of the file, as ``read_compressed`` gives it.
        path: The file, for messages.

    Raises:
        KDError: If the file is of another model.
    """
    for name, rank in content["ranks"].items():
        try:
            layer: Any = model.get_submodule(name)
            size = (layer.in_features, layer.out_features)
        except AttributeError:
            text = f"it has no layer {name}"
            raise KDError(f"{path} is not of the model in config.yaml: {text}") from None
        down, up = torch.empty(rank, size[0]), torch.empty(size[1], rank)
        _replace(model, name, down, up, layer.bias)
    fill(model, content["state"], path)


def _replace(
    model: nn.Module, path: str, down: Tensor, up: Tensor, bias: Tensor | None
) -> None:
    kept = None if bias is None else bias.detach().clone()
    model.set_submodule(path, LowRankLinear(down, up, kept))
