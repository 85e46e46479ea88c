"""The forms that a compressed model can have."""

from pathlib import Path

from torch import nn

from espnet_kd.errors import KDError, reason_of
from espnet_kd.student import low_rank, quantize
from espnet_kd.student.compressed import read_compressed

LOADERS = {quantize.FORM: quantize.load_quantized, low_rank.FORM: low_rank.load_low_rank}


def load_compressed(model: nn.Module, path: Path) -> None:
    """Give a model, as built from its config, the weights of a compressed file.

    Args:
        model: Changed in place.
        path: The file, of any form.

    Raises:
        KDError: If the file is damaged, of another version or of another model.
    """
    content = read_compressed(path)
    if str(content.get("form")) not in LOADERS:
        raise KDError(f"{path} was written by another version; make it again")
    try:
        LOADERS[content["form"]](model, content, path)
    except KDError:
        raise
    except Exception as error:  # whatever parts that are missing, or others, do to it
        text = f"{path} is damaged ({reason_of(error)}); make it again"
        raise KDError(text) from None
