"""Trained models in ESPnet's own inference, for a recipe's local/evaluate.py."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from espnet_kd.host.building import Room, building
from espnet_kd.host.checkpoint import load_state, read_weights, require_checkpoint
from espnet_kd.host.experiment import open_experiment
from espnet_kd.host.quiet import quiet_import
from espnet_kd.student.compressed import is_compressed
from espnet_kd.student.forms import load_compressed


def open_stock(exp: Path | str, file: str | None, place: str, part: str) -> Any:
    """Open a model, whose weights are read without running anything in them.

    Args:
        exp: Its experiment.
        file: Its checkpoint, or a compressed model; None for what training selected.
        place: Module and class that infer: ``espnet2.bin.enh_inference:SeparateSpeech``.
        part: The attribute of such an object that is the model.

    Returns:
        The object, on the CPU.

    Raises:
        KDError: If files are missing or damaged, or are of another model.
    """
    module, name = place.split(":")
    with open_experiment(exp, file) as experiment, TemporaryDirectory() as folder:
        settings, weights = experiment.settings, experiment.files.weights
        require_checkpoint(weights)
        config = Path(folder) / "config.yaml"
        config.write_text(yaml.safe_dump(settings), encoding="utf-8")
        stock_class = getattr(quiet_import(module), name)
        with building(f"ESPnet cannot open {weights} in {name}", Room.of_machine()):
            stock = stock_class(str(config))
        if is_compressed(weights):
            load_compressed(getattr(stock, part), weights)
        else:
            load_state(getattr(stock, part), read_weights(weights), weights)
    return stock
