"""Tiny models with block encoders, whose untrained output is not empty."""

from pathlib import Path

import torch
from conftest import ENCODER, asr_options, write_exp

KINDS = ("contextual_block_transformer", "contextual_block_conformer")
AUDIO = {
    "input_size": None,
    "frontend": "default",
    "frontend_conf": {"n_fft": 512, "hop_length": 128, "n_mels": 20},
}
# Random posteriors are flat; sharper ones write several tokens.
SHARPER = 6.0


def block_options(kind: str = KINDS[1], shape: tuple = (16, 8, 4), **more) -> dict:
    """Settings of a tiny model of CTC and attention that streams."""
    block, hop, look = shape
    conf = ENCODER | {"output_size": 16, "num_blocks": 2}
    conf |= {"block_size": block, "hop_size": hop, "look_ahead": look}
    return asr_options(encoder=kind, **({"encoder_conf": conf} | more))


def block_model(options: dict, seed: int = 1) -> torch.nn.Module:
    """A model of such settings, with sharp posteriors."""
    from espnet2.tasks.asr import ASRTask

    from espnet_kd.host.compat import build_model

    torch.manual_seed(seed)
    model = build_model(ASRTask, options).eval()
    with torch.no_grad():
        for layer in (
            getattr(model.ctc, "ctc_lo", None),
            getattr(model.decoder, "output_layer", None),
        ):
            if layer is not None:
                layer.weight *= SHARPER
    return model


def block_exp(folder: Path, seed: int = 1, **options) -> Path:
    """The experiment of such a model."""
    settings = block_options(**options)
    return write_exp(folder, block_model(settings, seed), settings)


def driver_of(exp: Path, search: str = "ctc", **options):
    """The driver of an experiment."""
    from espnet_kd.host.experiment import open_experiment
    from espnet_kd.streaming.driver import open_driver

    with open_experiment(exp) as opened:
        weights = opened.files.weights
        return open_driver(str(exp), opened.settings, weights, search, options)
