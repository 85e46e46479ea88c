"""Where a teacher's targets hold nan or inf."""

import torch
from torch import Tensor

from espnet_kd.masking import length_mask
from espnet_kd.model.outputs import Hidden, ModelOutputs
from espnet_kd.model.table import OUTPUTS


def first_broken(outputs: ModelOutputs) -> tuple[str, list[int]] | None:
    """The first part that is not finite at a real position.

    Returns:
        What to call it and the rows of the utterances, or None if all is well.
    """
    for what, values, lengths in _checked(outputs):
        rows: list[int] = not_finite(values, lengths).nonzero().flatten().tolist()
        if rows:
            return what, rows
    return None


def not_finite(values: Tensor, lengths: Tensor) -> Tensor:
    """Which utterances hold nan or inf at a real position, (B,) bool.

    Args:
        values: (B, L, D), or (B, H, L, L') of H heads.
        lengths: Real positions, (B,).
    """
    sums = values.sum(-1, dtype=torch.float32)  # nan and inf survive a sum
    sums = sums.sum(1) if sums.dim() == 3 else sums  # (B, L), also of heads' maps
    width = int(lengths.max()) if lengths.numel() else 0
    sums = sums[:, :width]
    return (length_mask(lengths, sums.shape[1]) & ~sums.isfinite()).any(-1)


def _checked(outputs: ModelOutputs) -> list[tuple[str, Tensor, Tensor]]:
    found = []
    for row in OUTPUTS.values():
        values = getattr(outputs, row.field)
        if row.lengths and values is not None:
            lengths = getattr(outputs, row.lengths)
            found.append((row.title, values, lengths))
        if isinstance(values, Hidden):
            found.append((row.title, values.values, values.lengths))
    if outputs.joint_classes is not None:
        # -1e30 is right where a class has no probability; nan nowhere.
        broken = outputs.joint_classes.isnan().any(-1).any(-1, keepdim=True)
        values = torch.where(broken, float("nan"), 0.0)  # (B, T, 1)
        found.append(("joint output", values, outputs.encoder_out_lens))
    taps = outputs.hidden.items()
    return found + [(f"hidden '{tap}'", h.values, h.lengths) for tap, h in taps]
