"""What draws have found: each defect as the smallest draw that still shows it."""

from dataclasses import dataclass

from pairs.draw import Draw


@dataclass(frozen=True)
class Known:
    """A defect that is waiting to be mended.

    Attributes:
        draw: The smallest that shows it.
        meets: Names or axes of settings, of losses and targets, of which a draw has all
            if it meets the defect.
        reason: What goes wrong.
    """

    draw: str
    meets: tuple[str, ...]
    reason: str

    def meets_in(self, draw: Draw) -> bool:
        """Whether a draw would only show it again."""
        said = {*str(draw).split(), *(setting.axis for setting in draw.settings)}
        return said >= set(self.meets)


KNOWN = (
    Known(
        "ctc_frame_kl live prune_weights freeze_decoder",
        ("prune", "freeze"),
        "pruning looks for frozen parameters before ESPnet freezes them",
    ),
    Known(
        "ctc_frame_kl live xavier prune_units",
        ("prune", "xavier"),
        "biases that begin at zero are taken for pruned",
    ),
    Known(
        "ctc_frame_kl live accum_3 observed",
        ("accum_3", "observed"),
        "loss_task shares its memory with the loss, which ESPnet divides by accum_grad",
    ),
)
# Mended: each of these went wrong once.
MENDED: dict[str, str] = {}
