"""Tiny models with block encoders, whose untrained output is not empty."""

from pathlib import Path

import torch
from conftest import ENCODER, asr_options, write_exp
from families import lattice_options

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


def chunk_exp(
    folder: Path,
    seed: int = 3,
    *,
    chunks: bool = True,
    is_sharp: bool = True,
    hidden_size: int = 8,
    **more,
) -> Path:
    """The experiment of a transducer that is trained on chunks.

    A sharp one writes several tokens greedily; ESPnet's beam, which goes on while the best
    writes more, would not end.
    """
    from espnet_kd.host.compat import build_model, task_class

    settings = lattice_options(chunks=chunks, hidden_size=hidden_size) | more
    torch.manual_seed(seed)
    model = build_model(task_class("asr_transducer"), settings).eval()
    joint = model.joint_network
    with torch.no_grad():
        joint.lin_out.bias[0] += 1.0
        joint.lin_out.weight *= SHARPER
        if is_sharp:
            joint.lin_out.weight *= 8 / SHARPER
            joint.lin_enc.weight *= SHARPER
    return write_exp(folder, model, settings)


def chunk_driver(exp: Path, chunk: int, **options):
    """The driver of such an experiment, for chunks of so many samples or frames."""
    from espnet_kd.host.experiment import open_experiment
    from espnet_kd.streaming.driver import open_transducer

    with open_experiment(exp) as opened:
        weights = opened.files.weights
        return open_transducer(str(exp), opened.settings, weights, chunk, options)


def driver_of(exp: Path, search: str = "ctc", **options):
    """The driver of an experiment."""
    from espnet_kd.host.experiment import open_experiment
    from espnet_kd.streaming.driver import open_driver

    with open_experiment(exp) as opened:
        weights = opened.files.weights
        return open_driver(str(exp), opened.settings, weights, search, options)
