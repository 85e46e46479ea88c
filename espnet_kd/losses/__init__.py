"""The losses: pure functions of tensors and lengths, and their registered forms.

``LOSSES`` holds what ``type:`` in a ``kd_conf`` may name. To add one: a file with a
function whose keyword-only parameters are its options, and a class decorated by
``@LOSSES.register("name")``. Every file of this package is imported here, so that none
needs a line below; outside of it, ``plugins`` of a ``kd_conf`` names them.
"""

import importlib
import pkgutil

from espnet_kd.losses.attention import attention_kl, relation_kl
from espnet_kd.losses.base import LOSSES, DistillationLoss, Needs
from espnet_kd.losses.classes import class_kl
from espnet_kd.losses.codebook import codebook_ce
from espnet_kd.losses.consistency import (
    cr_ctc,
    mode_consistency,
    transducer_mode_consistency,
)
from espnet_kd.losses.ctc import ctc_frame_kl
from espnet_kd.losses.ctc_frames import select_frames
from espnet_kd.losses.ctc_guided import ctc_guided
from espnet_kd.losses.ctc_shift import ctc_shift_kl
from espnet_kd.losses.ctc_token import ctc_token_kl
from espnet_kd.losses.divergence import jsd_rows, kl_rows, reverse_kl_rows
from espnet_kd.losses.duration import duration_mse
from espnet_kd.losses.feature import (
    Projection,
    hidden_cosine,
    hidden_l1_cosine,
    hidden_mse,
)
from espnet_kd.losses.mask import mask_mse
from espnet_kd.losses.relation import hidden_cka, rkd, similarity
from espnet_kd.losses.sequence import ctc_nbest, token_nbest
from espnet_kd.losses.spectrum import spectrum_l1
from espnet_kd.losses.token import token_jsd, token_kl, token_reverse_kl
from espnet_kd.losses.transducer import (
    transducer_collapsed_kl,
    transducer_lattice_kl,
    transducer_path_kl,
)
from espnet_kd.losses.transducer_sequence import transducer_fullsum
from espnet_kd.losses.transducer_token import transducer_token_kl
from espnet_kd.losses.waveform import waveform_si_snr

for _module in pkgutil.iter_modules(__path__, f"{__name__}."):
    importlib.import_module(_module.name)

__all__ = [
    "LOSSES",
    "DistillationLoss",
    "Needs",
    "Projection",
    "attention_kl",
    "class_kl",
    "codebook_ce",
    "cr_ctc",
    "ctc_frame_kl",
    "ctc_guided",
    "ctc_nbest",
    "ctc_shift_kl",
    "ctc_token_kl",
    "duration_mse",
    "hidden_cka",
    "hidden_cosine",
    "hidden_l1_cosine",
    "hidden_mse",
    "jsd_rows",
    "kl_rows",
    "mask_mse",
    "mode_consistency",
    "relation_kl",
    "reverse_kl_rows",
    "rkd",
    "select_frames",
    "similarity",
    "spectrum_l1",
    "token_jsd",
    "token_kl",
    "token_nbest",
    "token_reverse_kl",
    "transducer_collapsed_kl",
    "transducer_fullsum",
    "transducer_lattice_kl",
    "transducer_mode_consistency",
    "transducer_path_kl",
    "transducer_token_kl",
    "waveform_si_snr",
]
