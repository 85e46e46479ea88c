"""A transducer's lattice, as much of it as is read: a row of the table of outputs."""

from typing import Any

import torch
from torch import Tensor, nn

from espnet_kd.alignment.transducer_lattice import collapse, next_labels, node_mask, spread
from espnet_kd.alignment.transducer_paths import best_path
from espnet_kd.errors import KDError
from espnet_kd.masking import length_mask
from espnet_kd.model.outputs import ModelOutputs, Path
from espnet_kd.model.parts import Parts
from espnet_kd.model.recorded import RecordedPass
from espnet_kd.model.request import Labels, Request
from espnet_kd.model.taps import find_module, first_tensor

# Parts of a lattice that are computed one after the other.
PIECES = 16


def missing_joint(model: nn.Module, parts: Parts, _request: Request) -> str | None:
    """Why there is no whole lattice."""
    reason = None
    if parts.joint is None:
        reason = "is no transducer"
    elif getattr(model, "use_k2_pruned_loss", False):
        reason = "is trained by the pruned loss, which makes no whole lattice"
    elif getattr(model, "transducer_multi_blank_durations", None):
        reason = "has blanks of several durations, which leave the lattice's steps"
    if reason is None:
        return None
    return (
        f" {reason}; remove the transducer_* losses (hidden_* losses, and ctc_* losses on "
        "an auxiliary CTC, need no lattice)"
    )


def collect_joint(recorded: RecordedPass, outputs: ModelOutputs) -> None:
    """Take the lattice of a training pass, or compute what is read of a guest's.

    In a training pass the lattice comes first; a search that measures errors comes after
    it. A guest's joint network has not run: without ``logits`` among what is read, its
    whole lattice is never in memory.
    """
    calls = recorded.called(recorded.parts.joint)
    if calls:
        outputs.joint_logits = first_tensor(calls[0].output)
    else:
        _Lattice(recorded, outputs).read(recorded.request.listed("joint"))


class _Lattice:
    """Prediction and joint networks of a guest along a transcript."""

    def __init__(self, recorded: RecordedPass, outputs: ModelOutputs) -> None:
        if outputs.ys_pad is None or outputs.ys_lens is None:
            raise KDError("a transducer's lattice is along a transcript, and there is none")
        self.outputs, self.blank_id = outputs, recorded.parts.blank_id
        self.ys_pad, self.ys_lens = outputs.ys_pad, outputs.ys_lens
        self.encoder_out, self.lens = recorded.encoded()
        labels = Labels(ys_pad=self.ys_pad, ys_lens=self.ys_lens)
        self.predicted = predict(recorded.model, recorded.parts, labels)  # (B, U+1, D)
        self.joint = find_module(recorded.model, recorded.parts.joint or "joint_network")

    def read(self, reads: tuple[str, ...]) -> None:
        """Fill in ``logits``, ``classes`` and ``path`` as far as they are read."""
        if "logits" in reads:
            self.outputs.joint_logits = self._logits(self.encoder_out)
        if {"classes", "path"} & set(reads):
            self.outputs.joint_classes = classes = self._classes()
            if "path" in reads:
                self.outputs.path = self._path(classes)

    def _logits(self, frames: Tensor) -> Tensor:
        logits: Tensor = self.joint(frames.unsqueeze(2), self.predicted.unsqueeze(1))
        return logits

    def _classes(self) -> Tensor:
        width, nodes = self.encoder_out.shape[1], self.predicted.shape[1]
        mask = node_mask(self.lens, self.ys_lens, width, nodes)
        following = next_labels(self.ys_pad, self.ys_lens, nodes)
        size = max(width // PIECES, 1)
        classes = []
        pieces = (torch.split(values, size, 1) for values in (self.encoder_out, mask))
        for frames, real in zip(*pieces, strict=True):
            logits = self._logits(frames)
            classes.append(spread(collapse(logits, real, following, self.blank_id), real))
        return torch.cat(classes, 1)

    def _path(self, classes: Tensor) -> Path:
        frames, emitted, lengths = best_path(classes, self.lens, self.ys_lens)
        logits = self.joint(_pick(self.encoder_out, frames), _pick(self.predicted, emitted))
        return Path(frames, emitted, lengths, logits)


def predict(model: nn.Module, parts: Parts, labels: Labels) -> Tensor:
    """The prediction network's output along a transcript, (B, U+1, D)."""
    ys_pad, ys_lens = labels.ys_pad, labels.ys_lens
    if ys_pad is None or ys_lens is None or parts.predictor is None:
        raise KDError("a prediction network runs along a transcript, and there is none")
    predictor: Any = find_module(model, parts.predictor)
    predictor.set_device(ys_pad.device)
    width = int(ys_lens.max()) if ys_lens.numel() else 0
    ys_pad = ys_pad[:, :width]
    real = ys_pad.masked_fill(~length_mask(ys_lens, width), parts.blank_id)
    start = real.new_full((len(real), 1), parts.blank_id)
    predicted: Tensor = predictor(torch.cat([start, real], 1))
    return predicted


def _pick(values: Tensor, index: Tensor) -> Tensor:
    return values.gather(1, index[..., None].expand(-1, -1, values.shape[2]))
