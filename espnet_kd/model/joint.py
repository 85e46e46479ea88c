"""A guest's transducer lattice, as much of it as the losses read and no more."""

import torch
from torch import Tensor, nn

from espnet_kd.alignment.transducer_lattice import collapse, next_labels, node_mask, spread
from espnet_kd.alignment.transducer_paths import best_path
from espnet_kd.masking import length_mask
from espnet_kd.model.outputs import ModelOutputs, Path
from espnet_kd.model.parts import View
from espnet_kd.model.taps import find_module

# Parts of a lattice that are computed one after the other.
PARTS = 16


def add_lattice(
    outputs: ModelOutputs,
    model: nn.Module,
    view: View,
    reads: tuple[str, ...],
) -> None:
    """Run the prediction and joint networks along a transcript.

    Args:
        outputs: Gets ``joint_logits``, ``joint_classes`` and ``path`` as asked for; has
            the encoder's output and the transcript.
        model: The transducer.
        view: Its parts.
        reads: Some of ``classes``, ``path``, ``logits``. Without ``logits`` the whole
            lattice is never in memory.
    """
    ys_pad, ys_lens = outputs.ys_pad, outputs.ys_lens
    encoder_out, lens = outputs.encoder_out, outputs.encoder_out_lens
    predicted = predict(model, view, ys_pad, ys_lens)  # (B, U+1, D)
    joint = find_module(model, view.joint)
    if "logits" in reads:
        outputs.joint_logits = joint(encoder_out.unsqueeze(2), predicted.unsqueeze(1))
    if {"classes", "path"} & set(reads):
        classes = []
        mask = node_mask(lens, ys_lens, encoder_out.shape[1], predicted.shape[1])
        following = next_labels(ys_pad, ys_lens, predicted.shape[1])
        size = max(encoder_out.shape[1] // PARTS, 1)
        parts = (encoder_out.split(size, 1), mask.split(size, 1))
        for frames, real in zip(*parts, strict=True):
            logits = joint(frames.unsqueeze(2), predicted.unsqueeze(1))
            classes.append(spread(collapse(logits, real, following, view.blank_id), real))
        outputs.joint_classes = torch.cat(classes, 1)
    if "path" in reads:
        frames, emitted, lengths = best_path(outputs.joint_classes, lens, ys_lens)
        logits = joint(_pick(encoder_out, frames), _pick(predicted, emitted))
        outputs.path = Path(frames, emitted, lengths, logits)


def predict(model: nn.Module, view: View, ys_pad: Tensor, ys_lens: Tensor) -> Tensor:
    """The prediction network's output along a transcript, (B, U+1, D)."""
    predictor = find_module(model, view.predictor)
    predictor.set_device(ys_pad.device)
    width = int(ys_lens.max()) if ys_lens.numel() else 0
    ys_pad = ys_pad[:, :width]
    labels = ys_pad.masked_fill(~length_mask(ys_lens, width), view.blank_id)
    start = labels.new_full((len(labels), 1), view.blank_id)
    return predictor(torch.cat([start, labels], 1))


def _pick(values: Tensor, index: Tensor) -> Tensor:
    return values.gather(1, index[..., None].expand(-1, -1, values.shape[2]))
