"""What a model says about one batch: the student's side and the teacher's."""

from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class Hidden:
    """A hidden representation of a batch.

    Attributes:
        values: (B, L, D), L frames or label positions.
        lengths: Real positions, (B,).
    """

    values: Tensor
    lengths: Tensor


@dataclass
class ModelOutputs:
    """What the losses compare, from either side.

    Attributes:
        encoder_out_lens: Encoder frames of each utterance, (B,).
        ctc_logits: (B, T, V) before the softmax, or None if not asked for.
        decoder_logits: (B, U+1, V) before the softmax, or None if not asked for.
        ys_in_pad: The prefix that the decoder was forced along, (B, U+1).
        ys_in_lens: Real label positions of both, (B,), start or end included.
        hidden: Hidden representations by the tap that names them; a layer that was
            dropped in this pass is absent.
        blank_id: Index of CTC's blank.
    """

    encoder_out_lens: Tensor
    ctc_logits: Tensor | None = None
    decoder_logits: Tensor | None = None
    ys_in_pad: Tensor | None = None
    ys_in_lens: Tensor | None = None
    hidden: dict[str, Hidden] = field(default_factory=dict)
    blank_id: int = 0


class TeacherTargets(ModelOutputs):
    """The teacher's side. Nothing in it carries a gradient."""
