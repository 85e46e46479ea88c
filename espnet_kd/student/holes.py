"""Weights that are gone: those of a model that was pruned, and the next ones to go."""

from collections.abc import Mapping

import torch
from torch import Tensor

from espnet_kd.student.axes import Axes

# Widths that one setting of a stock config names, and whose units of zeros change nothing.
UNITS = ("feed_forward", "feed_forward_macaron")


def is_unit_axis(axis: str) -> bool:
    """Whether the units of an axis can go in training."""
    return axis.rpartition(".")[2] in UNITS


def holes_found(weights: Mapping[str, Tensor], axes: Axes | None) -> dict[str, Tensor]:
    """Tell the holes of a model that was pruned before from zeros of an initialisation.

    Zeros of matrices are holes, unless there are only matrices of nothing but zeros: so
    adapters begin. Zeros of biases, where many begin, are holes if nothing is left in the
    matrices of their unit.

    Args:
        weights: Name to the weight, of any shape.
        axes: The model's axes, where its units are pruned.

    Returns:
        Name to bool of the weight's shape, not set where the weight is gone.
    """
    kept = {name: torch.ones_like(w, dtype=torch.bool) for name, w in weights.items()}
    matrices = {name: w != 0 for name, w in weights.items() if w.dim() > 1}
    if not any(mask.any() and not mask.all() for mask in matrices.values()):
        return kept
    kept |= matrices
    if axes is not None:
        left = _left(matrices, axes)
        units = {axis: left[axis] > 0 for axis in filter(is_unit_axis, axes.sizes)}
        kept = {n: mask & axes.spread(mask, n, units) for n, mask in kept.items()}
    return kept


def least_zeroed(
    scores: Mapping[str, Tensor],
    part: float,
    scope: str = "global",
    sizes: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """Make masks that leave the least scores out, as many as are asked for.

    Args:
        scores: Name to scores of any shape.
        part: Share of the scores that are left out, 0 to 1.
        scope: ``global``, the least of all together; ``layer``, of each by itself.
        sizes: Of equal scores at the edge those go whose sizes are the least; the first
            ones by default.

    Returns:
        Name to bool of the scores' shape, not set where a score is left out.
    """
    if scope == "layer":
        own = {n: sizes and {n: sizes[n]} for n in scores}
        return {n: least_zeroed({n: s}, part, sizes=own[n])[n] for n, s in scores.items()}
    flat = _flat(scores)
    gone = round(part * len(flat))
    kept = torch.ones_like(flat, dtype=torch.bool)
    if gone:
        limit = flat.kthvalue(gone).values
        kept = flat > limit
        # All below the limit go; of those at the limit, as many as are still asked for.
        tied = (flat == limit).nonzero().flatten()
        spared = int(kept.numel() - kept.sum()) - gone
        if spared:
            order = _flat(sizes)[tied].argsort(stable=True) if sizes else slice(None)
            kept[tied[order][-spared:]] = True
    parts = torch.split(kept, [score.numel() for score in scores.values()])
    return {
        name: flags.reshape(score.shape).to(score.device)
        for flags, (name, score) in zip(parts, scores.items(), strict=True)
    }


def least_units(
    scores: Mapping[str, Tensor], masks: Mapping[str, Tensor], axes: Axes, part: float
) -> dict[str, Tensor]:
    """Make masks that leave the least units of feed-forward layers out, alike in each.

    Args:
        scores: Name to scores at least 0, of the weight's shape; a unit's score is their
            sum over all its weights.
        masks: Not set where a weight is gone already; units without any go first.
        axes: The model's axes.
        part: Share of each layer's units that are left out, 0 to 1.

    Returns:
        Name to bool of the scores' shape, not set where a unit is left out.
    """
    sums = axes.sums({name: score.cpu() for name, score in scores.items()})
    left = _left(masks, axes)
    kept = {}
    for axis in filter(is_unit_axis, axes.sizes):
        if axis not in sums:
            continue  # all of its weights are frozen
        least = sums[axis].masked_fill(left[axis] == 0, -1.0).argsort(stable=True)
        kept[axis] = torch.ones(axes.sizes[axis], dtype=torch.bool)
        kept[axis][least[: round(part * axes.sizes[axis])]] = False
    return {name: axes.spread(score, name, kept) for name, score in scores.items()}


def _flat(values: Mapping[str, Tensor]) -> Tensor:
    return torch.cat([value.flatten().float().cpu() for value in values.values()])


def _left(masks: Mapping[str, Tensor], axes: Axes) -> dict[str, Tensor]:
    """How many weights of each unit are left, by axis."""
    return axes.sums({name: mask.float().cpu() for name, mask in masks.items()})
