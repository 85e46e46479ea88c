"""Write a trained model in a smaller form, and tell what that saved and what it cost."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from espnet_kd.errors import KDError
from espnet_kd.host.compat import build_model
from espnet_kd.host.data import first_speech
from espnet_kd.host.experiment import Experiment
from espnet_kd.student.distance import sqnr
from espnet_kd.student.forms import load_compressed


def compress(
    experiment: Experiment,
    task: type[Any],
    output: Path,
    write: Callable[[nn.Module, Path], str],
    speech: list[Tensor],
) -> str:
    """Write a model's smaller form, load it again, and compare the two.

    Args:
        experiment: The trained model.
        task: ESPnet task class that can build it.
        output: The file to write.
        write: Writes a model, which it may change, to a file, and gives a remark.
        speech: Utterances, (1, L) or (1, L, D), on which the encoder's outputs are
            compared; without any there is no comparison.

    Returns:
        A line with the sizes before and after and with the SQNR, then the remark.

    Raises:
        KDError: If the model cannot be written in this form.
    """
    weights, model = experiment.files.weights, experiment.model(task)
    remark = write(deepcopy(model), output)
    compressed = build_model(task, experiment.settings).eval()
    load_compressed(compressed, output)
    before, after = weights.stat().st_size, output.stat().st_size
    text = f"{output}: {after / 1e6:.2f} of {before / 1e6:.2f} MB ({after / before:.3f})"
    if speech:
        found = sqnr(model, compressed, speech)
        text += f"; SQNR of the encoder's output {found:.1f} dB"
    return f"{text}{remark}"


def comparison_speech(
    experiment: Experiment, task: type[Any], data: str | None, count: int
) -> list[Tensor]:
    """Give the utterances to compare two models on; none if no data are named.

    Args:
        experiment: The model whose preprocessing reads the data.
        task: ESPnet task class of the model.
        data: ``PATH,speech,TYPE``, or None.
        count: How many utterances at most.

    Raises:
        KDError: If the data hold no utterance.
    """
    return [] if data is None else first_speech(task, experiment.settings, data, count)


def path_beside(weights: Path, exp: Path, form: str) -> Path:
    """Name the file of a model's smaller form beside its checkpoint.

    Args:
        weights: The checkpoint.
        exp: What the user named: only a directory can be written to.
        form: What goes into the file's name.

    Raises:
        KDError: If the model came from a zip or by a tag.
    """
    if not exp.is_dir():
        raise KDError(f"{exp} is no directory to write to: say --output FILE.pth")
    return weights.with_name(f"{weights.stem}.{form}.pth")
