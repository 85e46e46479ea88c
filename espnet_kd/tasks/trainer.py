"""What distillation adds to ESPnet's trainers."""

from typing import Any

from torch import nn

from espnet_kd.errors import KDError
from espnet_kd.hook.attach import attachment_of
from espnet_kd.hook.attachment import Attachment
from espnet_kd.tasks.stock import StockTrainer


class KDTrainer(StockTrainer):
    """Mix-in in front of a stock trainer class."""

    @classmethod
    def train_one_epoch(cls, *, model: nn.Module, **kwargs: Any) -> bool:
        """Train an epoch; stop if a term of the objective did nothing in it."""
        attachment = _attachment(model)
        options, reporter = kwargs["options"], kwargs["reporter"]
        # The reporter's count comes back on resume; one of our own would not.
        attachment.count_from(reporter.get_total_count(), options.accum_grad)
        invalid = super().train_one_epoch(model=model, **kwargs)
        if not options.no_forward_run:
            attachment.objective.check_fired()
        return invalid

    @classmethod
    def plot_attention(cls, *, model: nn.Module, **kwargs: Any) -> None:
        """Draw the student's attention without asking the teacher."""
        with _attachment(model).paused():
            super().plot_attention(model=model, **kwargs)


def with_distillation(trainer: type) -> type:
    """A trainer class like the given one, with distillation."""
    return type(f"KD{trainer.__name__}", (KDTrainer, trainer), {})


def _attachment(model: nn.Module) -> Attachment:
    """The attachment of a model, also of one that is wrapped for several processes."""
    attachment = attachment_of(getattr(model, "module", model))
    if attachment is None:
        raise KDError(
            "the model to be trained is not distilled; a kd_conf is there, but the model "
            "was not built by a task of espnet_kd"
        )
    return attachment
