"""Weights taken away while a model trains, and kept away."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, distributed, nn

from espnet_kd.config.schema import PruneConfig
from espnet_kd.errors import KDError
from espnet_kd.model.training_part import TrainingPart, TrainingPass
from espnet_kd.student.axes import Axes

PRUNED = (nn.Linear, nn.Conv1d, nn.Conv2d)
# Widths that one setting of a stock config names, and whose units of zeros change nothing.
UNITS = ("feed_forward", "feed_forward_macaron")


class Masks(TrainingPart):
    r"""Take a growing part of a model's weights away while it trains.

    .. math:: s(t) = s_f \left(1 - \left(1 - \tfrac{t - t_0}{t_1 - t_0}\right)^3\right)

    is the share of the weights that are 0 at update ``t``: the least by ``|w|``, or by the
    sum of ``(w dL/dw)^2`` over the updates since the last choice (``taylor``). What is gone
    stays gone: a masked weight is zeroed before every pass and in every ``state_dict``, and
    its gradient is 0.
    Weights that are exactly 0 to begin with are taken for pruned before, so that a resumed
    or fine-tuned model keeps its mask.

    ``structure: units`` takes whole hidden units of feed-forward layers, the same number
    in each, which ``espnet_kd.bin.prune`` can then cut out without changing anything.

    Args:
        model: A model whose parameters are changed in place. Embeddings, norms, biases
            (but a unit's own) and frozen parameters stay whole.
        config: Schedule, importance and amount of the pruning.

    Attributes:
        sparsity: Share of the weights that are gone, 0 to 1.

    Raises:
        KDError: If the model has nothing that can be pruned in this way.

    Sources: Zhu, Gupta. To Prune, or Not to Prune. 2017, section 3.
    https://arxiv.org/abs/1710.01878 (schedule). Molchanov et al. Importance Estimation for
    Neural Network Pruning. 2019, section 3. https://arxiv.org/abs/1906.10771 (taylor).
    """

    key = "pruned"

    def __init__(self, model: nn.Module, config: PruneConfig) -> None:
        self.config = config
        self._axes = Axes(model.state_dict()) if config.structure == "units" else None
        self._weights = self._of(model)
        if not self._weights:
            raise KDError(f"prune: this model has no {config.structure} that can be pruned")
        self._masks: dict[str, Tensor] = {}
        # Counted when the masks change: on a GPU, counting waits for every layer.
        self.sparsity = 0.0
        self._products: dict[str, Tensor] = {}
        self._chosen_at = -1
        # torch leaves the two methods that register hooks untyped.
        on_saving: Any = model.register_state_dict_pre_hook
        self._handles = [on_saving(self._on_saving)]
        for name, weight in self._weights.items():
            on_gradient: Any = weight.register_post_accumulate_grad_hook
            self._handles.append(on_gradient(partial(self._on_gradient, name)))

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
        """
        if not self._masks:
            self._keep({n: w.detach() != 0 for n, w in self._weights.items()})
        if self._is_due(update):
            self._choose(self.part_at(update))
            self._chosen_at = update
            self._products = {}
        self.apply()

    def apply(self) -> None:
        """Zero the weights that are gone."""
        with torch.no_grad():
            for name, mask in self._masks.items():
                self._weights[name].mul_(mask.to(self._weights[name].device))

    def state_dict(self) -> dict[str, Tensor]:
        """Give what a resumed run needs beside the weights, the sums of ``taylor``."""
        return dict(self._products)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take up an interrupted run by what ``state_dict`` gave."""
        self._products = {
            name: product.to(self._weights[name].device) for name, product in state.items()
        }

    def remove(self) -> None:
        """Leave the model as it is now, without watching over it."""
        for handle in self._handles:
            handle.remove()

    def part_at(self, update: int) -> float:
        """Tell how far along the schedule an update is, from 0 to 1."""
        start, end = self.config.start, self.config.end
        way = min(max((update - start) / (end - start), 0.0), 1.0)
        return 1 - (1 - way) ** 3

    def _is_due(self, update: int) -> bool:
        config, last = self.config, self._chosen_at
        if update < config.start or update == last or last >= config.end:
            return False
        if config.importance == "taylor" and not self._products:
            return False  # no gradient was seen yet
        # By the count of updates alone, so that a resumed run chooses when it would have.
        return update >= config.end or (update - config.start) % config.every == 0

    def _choose(self, part: float) -> None:
        wanted = part * self.config.sparsity
        if self.config.threshold:
            limit = part * self.config.threshold
            found = {n: w.detach().abs() >= limit for n, w in self._weights.items()}
        elif wanted <= self.sparsity:
            return  # a resumed run, or a model that was thinner to begin with
        elif self._axes is not None:
            found = self._units(self._axes, wanted)
        else:
            found = least_zeroed(self._scores(), wanted, self.config.scope)
        self._keep({name: found[name] & mask for name, mask in self._masks.items()})

    def _keep(self, masks: dict[str, Tensor]) -> None:
        total = sum(mask.numel() for mask in masks.values())
        self._masks = masks
        self.sparsity = 1 - sum(int(mask.sum()) for mask in masks.values()) / total

    def _scores(self) -> dict[str, Tensor]:
        if self.config.importance == "magnitude":
            return {name: w.detach().abs() for name, w in self._weights.items()}
        if distributed.is_available() and distributed.is_initialized():
            for product in self._products.values():
                distributed.all_reduce(product)  # every process must choose alike
        return {
            name: self._products.get(name, torch.zeros_like(weight))
            for name, weight in self._weights.items()
        }

    def _units(self, axes: Axes, part: float) -> dict[str, Tensor]:
        scores = self._scores()
        if self.config.importance == "magnitude":
            scores = {name: score.square() for name, score in scores.items()}
        sums = axes.sums({name: s.cpu() for name, s in scores.items()})
        kept = {}
        for axis in filter(_is_cut, axes.sizes):
            gone = round(part * axes.sizes[axis])
            least = sums[axis].argsort(stable=True)[:gone]
            kept[axis] = torch.ones(axes.sizes[axis], dtype=torch.bool)
            kept[axis][least] = False
        return {n: axes.spread(w, n, kept) for n, w in self._weights.items()}

    def _of(self, model: nn.Module) -> dict[str, nn.Parameter]:
        if self._axes is not None:
            axes = {
                name: {dim.axis for dim in dims or ()}
                for name, dims in self._axes.dims.items()
            }
            named = dict(model.named_parameters())
            found = {name: p for name, p in named.items() if any(map(_is_cut, axes[name]))}
        else:
            found = {
                f"{path}.weight": layer.get_parameter("weight")
                for path, layer in model.named_modules()
                if isinstance(layer, PRUNED)
            }
        return {name: weight for name, weight in found.items() if weight.requires_grad}

    def _on_gradient(self, name: str, weight: nn.Parameter) -> None:
        if weight.grad is None:
            return
        if name in self._masks:
            weight.grad.mul_(self._masks[name].to(weight.device))
        if self.config.importance == "taylor":
            product = (weight.detach() * weight.grad).float().square()
            before = self._products.get(name)
            self._products[name] = product if before is None else before + product

    def _on_saving(self, *_: object) -> None:
        self.apply()


def least_zeroed(
    scores: Mapping[str, Tensor], part: float, scope: str = "global"
) -> dict[str, Tensor]:
    """Make masks that leave the least scores out.

    Args:
        scores: Name to scores of any shape, at least 0.
        part: Share of the scores that are left out, 0 to 1.
        scope: ``global``, the least of all together; ``layer``, of each by itself.

    Returns:
        bool of the scores' shapes. Of equal scores at the edge all are left out.
    """
    if scope == "layer":
        return {n: least_zeroed({n: score}, part)[n] for n, score in scores.items()}
    flat = torch.cat([score.flatten().float().cpu() for score in scores.values()])
    gone = round(part * flat.numel())
    if not gone:
        return {n: torch.ones_like(s, dtype=torch.bool) for n, s in scores.items()}
    limit = flat.kthvalue(gone).values.item()
    return {name: score > limit for name, score in scores.items()}


def _is_cut(axis: str) -> bool:
    return axis.rpartition(".")[2] in UNITS
