"""Weights taken away while a model trains, and kept away."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from espnet_kd.config.schema import PruneConfig
from espnet_kd.errors import KDError
from espnet_kd.model.training_part import TrainingPart, TrainingPass
from espnet_kd.student.axes import Axes
from espnet_kd.student.holes import (
    holes_found,
    is_unit_axis,
    least_units,
    least_zeroed,
)
from espnet_kd.student.sensitivity import Sensitivity

PRUNED = (nn.Linear, nn.Conv1d, nn.Conv2d)


class Masks(TrainingPart):
    r"""Take a growing part of a model's weights away while it trains.

    .. math:: s(t) = s_f \left(1 - \left(1 - \tfrac{t - t_0}{t_1 - t_0}\right)^3\right)

    is the share of the weights that are 0 at update ``t``: the least by ``|w|``, or by
    the sum of ``(w dL/dw)^2`` over the updates since the last choice (``taylor``, see
    ``Sensitivity``). What is gone stays gone: a masked weight is zeroed before every pass
    and in every ``state_dict``, and its gradient is 0.
    A resumed run has the masks of the interrupted one, and a model that was pruned before
    keeps its holes (see ``holes_found``).

    ``structure: units`` takes whole hidden units of feed-forward layers, the same number
    in each, which ``espnet_kd.bin.prune`` can then cut out without changing anything.

    Args:
        model: A model whose parameters are changed in place. Embeddings, norms, biases
            (but a unit's own) stay whole, and what is frozen when training starts.
        config: Schedule, importance and amount of the pruning.

    Attributes:
        sparsity: Share of the weights that are gone, 0 to 1.

    Raises:
        KDError: If the model has nothing that can be pruned in this way.

    Source: Zhu, Gupta. To Prune, or Not to Prune. 2017, section 3.
    https://arxiv.org/abs/1710.01878
    """

    key = "pruned"

    def __init__(self, model: nn.Module, config: PruneConfig) -> None:
        self.config = config
        self._model = model
        self._axes = Axes(model.state_dict()) if config.structure == "units" else None
        self._names = _names(model, self._axes)
        if not self._names:
            raise KDError(f"prune: this model has no {config.structure} that can be pruned")
        # Those that are trained; known when training starts, for ESPnet freezes late.
        self._weights: dict[str, nn.Parameter] = {}
        self._masks: dict[str, Tensor] = {}
        # Counted when the masks change: on a GPU, counting waits for every layer.
        self.sparsity = 0.0
        self._felt = Sensitivity() if config.importance == "taylor" else None
        self._chosen_at = -1
        # torch leaves the two methods that register hooks untyped.
        on_saving: Any = model.register_state_dict_pre_hook
        self._handles = [on_saving(self._on_saving)]

    def before_pass(self, training_pass: TrainingPass) -> None:
        """Choose and zero before a training pass, zero before any other."""
        if training_pass.learns:
            self.step(training_pass.step)
        else:
            self.apply()

    def stats(self) -> dict[str, float]:
        """Part of the weights that are gone."""
        return {"kd_sparsity": self.sparsity}

    def step(self, update: int) -> None:
        """Choose anew if it is time, then zero what is gone, before a training pass.

        Args:
            update: Number of optimizer updates made so far.

        Raises:
            KDError: If all that could be pruned is frozen, or no optimizer is heard.
        """
        if not self._weights:
            self._begin()
        if self._is_due(update):
            self._choose(self.part_at(update))
            self._chosen_at = update
            if self._felt is not None:
                self._felt.forget()
        self.apply()

    def apply(self) -> None:
        """Zero the weights that are gone."""
        with torch.no_grad():
            for name, weight in self._weights.items():
                weight.mul_(self._masks[name].to(weight.device))

    def state_dict(self) -> dict[str, Any]:
        """Give what a resumed run needs beside the weights."""
        felt = self._felt.state_dict() if self._felt is not None else {}
        return {"masks": dict(self._masks), "chosen_at": self._chosen_at, "felt": felt}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up an interrupted run by what ``state_dict`` gave.

        Raises:
            KDError: If it was given by another version.
        """
        if not {"masks", "chosen_at", "felt"} <= state.keys():
            raise KDError(
                "prune: the checkpoint to resume from was written by another version of "
                "espnet_kd; go on with that version, or begin in a new --output_dir"
            )
        self._masks, self._chosen_at = dict(state["masks"]), state["chosen_at"]
        if self._felt is not None and state["felt"]:
            self._felt.load_state_dict(state["felt"])
        if self._weights:
            self._keep(self._masks)

    def remove(self) -> None:
        """Leave the model as it is now, without watching over it."""
        for handle in self._handles:
            handle.remove()
        if self._felt is not None:
            self._felt.remove()

    def part_at(self, update: int) -> float:
        """Tell how far along the schedule an update is, from 0 to 1."""
        start, end = self.config.start, self.config.end
        way = min(max((update - start) / (end - start), 0.0), 1.0)
        return 1 - (1 - way) ** 3

    def _begin(self) -> None:
        """Take hold of what is trained, now that training starts."""
        named = dict(self._model.named_parameters(remove_duplicate=False))
        there = {name: named[name] for name in self._names if name in named}
        self._weights = {name: w for name, w in there.items() if w.requires_grad}
        if not self._weights:
            raise KDError(
                "prune: every weight that could go is frozen; freeze less "
                "(--freeze_param), or remove 'prune'"
            )
        for name, weight in self._weights.items():
            on_gradient: Any = weight.register_post_accumulate_grad_hook
            self._handles.append(on_gradient(partial(self._on_gradient, name)))
        if self._felt is not None:
            self._felt.watch(self._weights)
        self._keep(self._masks or holes_found(self._weights, self._axes))

    def _is_due(self, update: int) -> bool:
        config, last = self.config, self._chosen_at
        if update < config.start or update == last or last >= config.end:
            return False
        # By the count of updates alone, so that a resumed run chooses when it would have.
        if update < config.end and (update - config.start) % config.every:
            return False
        if self._felt is None or self._felt.is_heard:
            return True
        if update < config.end + config.every:
            return False
        raise KDError(
            "prune: 'importance: taylor' has heard no gradient, for no optimizer of "
            "torch.optim that holds the student's weights has made a finite step; "
            "train with one, or use 'importance: magnitude'"
        )

    def _choose(self, part: float) -> None:
        wanted = part * self.config.sparsity
        if self.config.threshold:
            limit = part * self.config.threshold
            found = {n: w.detach().abs() >= limit for n, w in self._weights.items()}
        elif wanted <= self.sparsity:
            return  # a model that was thinner to begin with
        elif self._axes is not None:
            found = least_units(self._scores(2), self._masks, self._axes, wanted)
        else:
            # What is gone comes first, whatever else has no score.
            scores = {
                name: score.where(self._masks[name], -1.0)
                for name, score in self._scores(1).items()
            }
            sizes = self._magnitudes(1) if self._felt is not None else None
            found = least_zeroed(scores, wanted, self.config.scope, sizes)
        self._keep({name: found[name] & mask for name, mask in self._masks.items()})

    def _keep(self, masks: Mapping[str, Tensor]) -> None:
        """Have these masks from now on; what they do not name stays whole."""
        self._masks = {
            name: masks[name].to(weight.device)
            if name in masks
            else torch.ones_like(weight, dtype=torch.bool)
            for name, weight in self._weights.items()
        }
        total = sum(mask.numel() for mask in self._masks.values())
        self.sparsity = 1 - sum(int(mask.sum()) for mask in self._masks.values()) / total

    def _scores(self, power: int) -> dict[str, Tensor]:
        if self._felt is None:
            return self._magnitudes(power)
        none = torch.zeros(())
        felt = self._felt.scores
        return {n: felt.get(n, none.to(w).expand_as(w)) for n, w in self._weights.items()}

    def _magnitudes(self, power: int) -> dict[str, Tensor]:
        return {n: w.detach().abs().pow(power) for n, w in self._weights.items()}

    def _on_gradient(self, name: str, weight: nn.Parameter) -> None:
        if weight.grad is not None:
            weight.grad.mul_(self._masks[name].to(weight.device))

    def _on_saving(self, *_: object) -> None:
        self.apply()


def _names(model: nn.Module, axes: Axes | None) -> list[str]:
    """Parameters that could be pruned."""
    if axes is None:
        layers = (n for n, m in model.named_modules() if isinstance(m, PRUNED))
        return [f"{name}.weight" for name in layers]
    axes_of = {n: {dim.axis for dim in dims or ()} for n, dims in axes.dims.items()}
    names = (name for name, _ in model.named_parameters())
    return [name for name in names if any(map(is_unit_axis, axes_of[name]))]
