"""What distillation adds to ESPnet's trainers."""

import logging
from collections.abc import Mapping
from typing import Any

from torch import nn

from espnet_kd.errors import KDError
from espnet_kd.hook.attach import attachment_of
from espnet_kd.hook.attachment import Attachment
from espnet_kd.hook.judgement import judge_schedule
from espnet_kd.tasks.plan import plan_of
from espnet_kd.tasks.stock import StockTrainer

LOG = logging.getLogger(__name__)


class KDTrainer(StockTrainer):
    """Mix-in in front of a stock trainer class."""

    @classmethod
    def run(cls, *, model: nn.Module, trainer_options: Any, **kwargs: Any) -> None:
        """Train, from the last epoch that was finished on."""
        attachment = _attachment(model)
        attachment.count_from(0, trainer_options.accum_grad)
        train, valid = map(kwargs.get, ("train_iter_factory", "valid_iter_factory"))
        objective = attachment.objective
        terms, common = [term.config for term in objective.terms], objective.schedule
        # The batches of an epoch are formed to count them: only where it can matter.
        rises = any((term.schedule or common).warmup_steps for term in terms)
        if rises and (plan := plan_of(train, valid, trainer_options)):
            for line in judge_schedule(terms, common, plan.updates):
                LOG.warning(line)
        super().run(model=model, trainer_options=trainer_options, **kwargs)

    @classmethod
    def resume(cls, *, model: nn.Module, reporter: Any, **kwargs: Any) -> None:
        """Take up an interrupted training, its count of updates as well."""
        super().resume(model=model, reporter=reporter, **kwargs)
        attachment = _attachment(model)
        accum_grad = attachment.accum_grad
        attachment.count_from(updates_made(reporter.stats, accum_grad), accum_grad)

    @classmethod
    def train_one_epoch(cls, *, model: nn.Module, **kwargs: Any) -> bool:
        """Train an epoch; stop if a term of the objective did nothing in it."""
        attachment, options = _attachment(model), kwargs["options"]
        # An epoch begins a window of its own, whatever the last one left over.
        attachment.count_from(attachment.step, options.accum_grad)
        invalid = super().train_one_epoch(model=model, **kwargs)
        if not options.no_forward_run:
            attachment.objective.check_fired()
        return invalid

    @classmethod
    def validate_one_epoch(cls, *, model: nn.Module, **kwargs: Any) -> None:
        """Validate; end the terms by which nothing is gained any more."""
        super().validate_one_epoch(model=model, **kwargs)
        _attachment(model).objective.endings.judge()

    @classmethod
    def plot_attention(cls, *, model: nn.Module, **kwargs: Any) -> None:
        """Draw the student's attention without asking the teacher."""
        with _attachment(model).paused():
            super().plot_attention(model=model, **kwargs)


def with_distillation(trainer: type) -> type:
    """A trainer class like the given one, with distillation."""
    return type(f"KD{trainer.__name__}", (KDTrainer, trainer), {})


def updates_made(stats: Mapping[int, Mapping[str, Any]], accum_grad: int) -> int:
    """Count the updates of finished epochs as ESPnet makes them.

    It updates after every ``accum_grad`` batches of an epoch, and makes none of the
    batches that are left at its end. Updates that it skips, because their gradients are
    not finite, are counted.

    Args:
        stats: Epoch to the reporter's statistics, whose counts of batches run on.
        accum_grad: Batches to an update.
    """
    ends = [stats[epoch]["train"]["total_count"] for epoch in sorted(stats)]
    batches = (end - start for start, end in zip([0, *ends], ends, strict=False))
    return sum(count // max(accum_grad, 1) for count in batches)


def _attachment(model: nn.Module) -> Attachment:
    """The attachment of a model, also of one that is wrapped for several processes."""
    attachment = attachment_of(getattr(model, "module", model))
    if attachment is None:
        raise KDError(
            "the model to be trained is not distilled; a kd_conf is there, but the model "
            "was not built by a task of espnet_kd"
        )
    return attachment
