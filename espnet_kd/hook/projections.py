"""Learned maps between widths: trained with the student, saved with no model."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from espnet_kd.model.training_part import TrainingPart, other_parts

PROJECTIONS = "kd_projections"


class Unsaved(nn.ModuleDict):
    """Modules that train with a model and are in no ``state_dict`` of it.

    Args:
        modules: Any modules, those of a plug-in's loss as well.
    """

    def __init__(self, modules: nn.ModuleDict) -> None:
        super().__init__(dict(modules.items()))
        for module in self.modules():
            # What a model's load_state_dict calls of each of its modules.
            vars(module)["_load_from_state_dict"] = _load_nothing

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Leave what was collected of the model so far as it is."""
        return kwargs.get("destination") or OrderedDict()


def _load_nothing(*_args: Any) -> None:
    """Miss nothing in a checkpoint that holds nothing of this."""


class Projections(TrainingPart):
    """Puts the learned parts of the losses into the student as a submodule of its own.

    There an optimizer, gradient clipping and DDP find them; no ``state_dict`` shows them.

    Args:
        model: The student.
        learned: The losses that have parameters, by term name; not empty.
    """

    key = PROJECTIONS

    def __init__(self, model: nn.Module, learned: nn.ModuleDict) -> None:
        self.model, self.learned = model, Unsaved(learned)
        model.add_module(PROJECTIONS, self.learned)

    def state_dict(self) -> dict[str, Any]:
        """Every parameter by its name."""
        return {n: p.detach().clone() for n, p in self.learned.named_parameters()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up an interrupted run's parameters.

        Raises:
            KDError: If they are of other terms.
        """
        own = dict(self.learned.named_parameters())
        if own.keys() != state.keys():
            raise other_parts(state, own, "projections ")
        with torch.no_grad():
            for name, parameter in own.items():
                parameter.copy_(state[name])

    def remove(self) -> None:
        """Take the submodule out of the student."""
        self.model._modules.pop(PROJECTIONS, None)


def projections_of(model: nn.Module) -> nn.Module | None:
    """The learned parts that a student carries, or None."""
    return model._modules.get(PROJECTIONS)
