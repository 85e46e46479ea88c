"""The losses: pure functions of tensors and lengths, and their registered forms.

``LOSSES`` holds what ``type:`` in a ``kd_conf`` may name. To add one: a file with a
function, a class decorated by ``@LOSSES.register("name")`` whose keyword-only
constructor is its schema, and, inside this package, a line below.
"""

from espnet_kd.losses.base import LOSSES, DistillationLoss, Needs
from espnet_kd.losses.ctc import CTCFrameKL, ctc_frame_kl, select_frames
from espnet_kd.losses.feature import (
    HiddenL1Cosine,
    HiddenMSE,
    Projection,
    hidden_l1_cosine,
    hidden_mse,
)
from espnet_kd.losses.logits import TokenKL, kl_rows, token_kl

__all__ = [
    "LOSSES",
    "CTCFrameKL",
    "DistillationLoss",
    "HiddenL1Cosine",
    "HiddenMSE",
    "Needs",
    "Projection",
    "TokenKL",
    "ctc_frame_kl",
    "hidden_l1_cosine",
    "hidden_mse",
    "kl_rows",
    "select_frames",
    "token_kl",
]
