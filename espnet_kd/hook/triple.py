"""The loss, stats and weight that every training pass of ESPnet gives."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Triple:
    """What a training pass gives, as a tuple or as ESPnet's dict form.

    Attributes:
        loss: Any shape of one element.
        stats: Numbers for the log.
        weight: Utterances of the batch.
        output: What the model gave, whose form is kept.
    """

    loss: Tensor
    stats: dict[str, Any]
    weight: Any
    output: Any

    @classmethod
    def of(cls, output: Any) -> "Triple | None":
        """Take an output apart; None if it is no training output."""
        if isinstance(output, dict) and {"loss", "stats", "weight"} <= output.keys():
            return cls(output["loss"], output["stats"], output["weight"], output)
        if isinstance(output, tuple) and len(output) == 3 and isinstance(output[1], dict):
            return cls(*output, output)
        return None

    def joined_by(self, loss: Tensor, stats: dict[str, Tensor], doubled: bool) -> Any:
        """The output with another loss and more stats, in its own form.

        ESPnet's ``loss`` stat stays the loss that is minimised. Two views of an utterance
        are one utterance in ESPnet's averages.
        """
        total = {"loss": loss.detach()} if self.stats.get("loss") is not None else {}
        stats = {**self.stats, **stats, **total}
        if isinstance(self.output, dict):
            return {**self.output, "loss": loss, "stats": stats}
        return loss, stats, self.weight // 2 if doubled else self.weight
