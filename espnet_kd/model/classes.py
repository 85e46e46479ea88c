"""Which class a model takes an utterance for: a row of the table of outputs."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from espnet_kd.errors import KDError
from espnet_kd.model.outputs import ModelOutputs
from espnet_kd.model.parts import Parts
from espnet_kd.model.recorded import RecordedPass
from espnet_kd.model.request import Request
from espnet_kd.model.taps import first_tensor


def missing_classes(model: nn.Module, _parts: Parts, _request: Request) -> str | None:
    """Why there are no logits of one class an utterance."""
    if getattr(model, "classification_type", "") == "multi-label":
        return (
            " says of each class by itself whether it is there (multi-label), which "
            "class_kl, over one class an utterance, does not compare; use hidden_* losses"
        )
    if getattr(model, "classification_type", None) or _prototypes(model) is not None:
        return None
    kind = type(getattr(model, "loss", None)).__name__
    return (
        f" has a loss ({kind}) whose classes have no weights of their own; use "
        "hidden_cosine, similarity or rkd at its embeddings"
    )


def embedder(model: nn.Module) -> str | None:
    """The module that gives a speaker model's embeddings; None of other models."""
    if not hasattr(model, "pooling"):
        return None
    return "pooling" if getattr(model, "projector", None) is None else "projector"


def class_count(model: nn.Module) -> int | None:
    """How many classes a model knows; None where it does not say."""
    prototypes = _prototypes(model)
    if prototypes is None:
        return getattr(model, "vocab_size", None)
    return len(prototypes) // _centres(model)


def collect_classes(recorded: RecordedPass, outputs: ModelOutputs) -> None:
    """Take a classifier's logits, or a speaker model's cosines times its scale.

    Speaker models are trained with a margin on the right class, which is no part of what
    they believe and is left out.

    Raises:
        KDError: If the module did not run.
    """
    model = recorded.model
    path = embedder(model) or "decoder"
    calls = recorded.called(path)
    values = first_tensor(calls[0].output) if calls else None
    if values is None:
        raise KDError(f"the model's '{path}' did not run in this pass")
    prototypes = _prototypes(model)
    if prototypes is not None:
        values = F.linear(F.normalize(values), F.normalize(prototypes.to(values.dtype)))
        # Of several centres of a class the nearest one counts.
        values = values.view(len(values), -1, _centres(model)).amax(-1) * _scale(model)
    outputs.class_logits = values[:, None]
    outputs.class_lens = torch.ones(len(values), dtype=torch.long, device=values.device)


def _prototypes(model: nn.Module) -> Tensor | None:
    """A row of weights for each class (or centre of one) of a speaker model's loss."""
    weight = getattr(getattr(model, "loss", None), "weight", None)
    return weight if isinstance(weight, Tensor) and weight.dim() == 2 else None


def _centres(model: nn.Module) -> int:
    """Centres of each class."""
    loss: Any = model.loss
    return int(getattr(loss, "K", 1))


def _scale(model: nn.Module) -> float:
    """What a loss multiplies the cosines by, 1 of plain softmax."""
    loss: Any = model.loss
    return float(getattr(loss, "s", getattr(loss, "scale", 1.0)))
