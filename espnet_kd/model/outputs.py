"""What a model says about one batch: the student's side and the teacher's.

Where each part comes from, and what becomes of it, is in ``espnet_kd.model.table``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor

from espnet_kd.errors import KDError

Value = TypeVar("Value")
# ys_in (M, U+1), ys_in_lens (M,), rows (M,) of the batch -> logits (M, U+1, V).
Decode = Callable[[Tensor, Tensor, Tensor], Tensor]


def given(value: Value | None, field_name: str) -> Value:
    """A field of an output, which has to be there.

    Raises:
        KDError: If the pass gave none, because nobody asked for it.
    """
    if value is None:
        raise KDError(
            f"'{field_name}' is read, and this pass gave none; a loss names in 'needs' "
            "what it reads (see espnet_kd.losses.base.Needs)"
        )
    return value


@dataclass(frozen=True)
class Hidden:
    """A representation of a batch: hidden, or an output that is no posterior.

    Attributes:
        values: (B, L, D), L frames, samples, label positions, or 1 of an utterance;
            (B, H, L, L') for the attention maps of H heads.
        lengths: Real positions, (B,).
    """

    values: Tensor
    lengths: Tensor


@dataclass(frozen=True)
class Codes:
    """Which centroid of each codebook is nearest to a teacher's layer, frame by frame.

    Attributes:
        values: Indices from 0 to ``centroids`` - 1, (B, T, N) of N codebooks.
        lengths: Real frames, (B,).
        centroids: How many each codebook has.
    """

    values: Tensor
    lengths: Tensor
    centroids: int


@dataclass(frozen=True)
class NBest:
    """The best hypotheses of each utterance, best first.

    Attributes:
        tokens: (B, N, L) int64, without start, end or blank; padding is arbitrary.
        lengths: Tokens of each, (B, N); -1 marks a hypothesis that is not there.
        log_probs: The search's score of each, (B, N), in nats.
    """

    tokens: Tensor
    lengths: Tensor
    log_probs: Tensor

    @classmethod
    def of(cls, found: Sequence[Sequence[tuple[Sequence[int], float]]]) -> "NBest":
        """Pad what was found for each utterance: pairs of labels and score."""
        count = max((len(hyps) for hyps in found), default=0)
        width = max((len(y) for hyps in found for y, _ in hyps), default=0)
        tokens = torch.zeros(len(found), count, width, dtype=torch.long)
        lengths = torch.full((len(found), count), -1, dtype=torch.long)
        log_probs = torch.full((len(found), count), float("-inf"))
        for row, hyps in enumerate(found):
            for place, (labels, score) in enumerate(hyps):
                tokens[row, place, : len(labels)] = torch.tensor(labels)
                lengths[row, place] = len(labels)
                log_probs[row, place] = score
        return cls(tokens, lengths, log_probs)

    def to(self, device: torch.device) -> "NBest":
        """The same on another device."""
        parts = (self.tokens, self.lengths, self.log_probs)
        return NBest(*(part.to(device) for part in parts))


@dataclass(frozen=True)
class Path:
    """One alignment through each transducer lattice.

    Attributes:
        frames: Frame of each node, (B, P).
        labels: Labels emitted before each node, (B, P).
        lengths: Nodes of each path, T + U of them, (B,).
        logits: Joint output at the nodes, (B, P, V).
    """

    frames: Tensor
    labels: Tensor
    lengths: Tensor
    logits: Tensor


@dataclass
class ModelOutputs:
    """What the losses compare, from either side.

    Attributes:
        encoder_out_lens: Encoder frames of each utterance, (B,); of a model that is asked
            by its own forward pass, what its family counts.
        encoder_out: The encoder's output, (B, T, D).
        ctc_logits: (B, T, V) before the softmax, or None if not asked for.
        interctc_logits: The same of intermediate CTC heads, by encoder layer.
        decoder_logits: (B, U+1, V) before the softmax, or None if not asked for.
        ys_in_pad: The prefix that the decoder was forced along, (B, U+1).
        ys_in_lens: Real label positions of both, (B,), start or end included.
        prompt_lens: Positions of the decoder's prompt, (B,), which it does not predict;
            None of models without one.
        ys_pad: The transcript, (B, U), padded arbitrarily.
        ys_lens: Its real labels, (B,).
        hyp_logits: As ``decoder_logits``, along the student's own hypothesis.
        hyp_in_pad: The prefix of that, (B, U'+1).
        hyp_in_lens: Its real label positions, (B,), the start included.
        joint_logits: A transducer's joint output, (B, T, U+1, V), before the softmax.
        joint_classes: Its log-probabilities of {label, blank, rest}, (B, T, U+1, 3).
        path: The best alignment of a transducer, with the joint output along it.
        nbest: Hypotheses of a beam search.
        waveforms: What a separator or enhancer gives, (B, N, S), S sources in the order of
            their references.
        spectrum: A synthesiser's mel spectrum, (B, T, F), or the magnitudes of S
            sources, (B, T, S F).
        masks: A separator's masks, (B, T, S F), of complex ones both parts.
        durations: Logarithms of predicted durations, (B, U+1, 1).
        truth: What outputs should be by the batch, by the name of their row.
        class_logits: Of a class an utterance, (B, 1, V), before the softmax.
        class_lens: 1 for each utterance, (B,).
        decode: Runs the attention decoder, with its graph, along other prefixes.
        hidden: Hidden representations by the tap that names them; a layer that was
            dropped in this pass is absent.
        codes: A teacher's hidden representations as indices into codebooks, by tap.
        doubled: Whether the second half of the batch is the first once more.
        blank_id: Index of blank.
        sos_id: Index of the start of a sentence.
        eos_id: Index of the end of a sentence; most models have one index for both.
    """

    encoder_out_lens: Tensor
    encoder_out: Tensor | None = None
    ctc_logits: Tensor | None = None
    interctc_logits: dict[int, Tensor] = field(default_factory=dict)
    decoder_logits: Tensor | None = None
    ys_in_pad: Tensor | None = None
    ys_in_lens: Tensor | None = None
    prompt_lens: Tensor | None = None
    ys_pad: Tensor | None = None
    ys_lens: Tensor | None = None
    hyp_logits: Tensor | None = None
    hyp_in_pad: Tensor | None = None
    hyp_in_lens: Tensor | None = None
    joint_logits: Tensor | None = None
    joint_classes: Tensor | None = None
    path: Path | None = None
    nbest: NBest | None = None
    waveforms: Hidden | None = None
    spectrum: Hidden | None = None
    masks: Hidden | None = None
    durations: Hidden | None = None
    truth: dict[str, Hidden] = field(default_factory=dict)
    class_logits: Tensor | None = None
    class_lens: Tensor | None = None
    decode: Decode | None = None
    hidden: dict[str, Hidden] = field(default_factory=dict)
    codes: dict[str, Codes] = field(default_factory=dict)
    doubled: bool = False
    blank_id: int = 0
    sos_id: int = -1
    eos_id: int = -1


@dataclass
class TeacherTargets(ModelOutputs):
    """The teacher's side. Nothing in it carries a gradient.

    Attributes:
        weights: How much each utterance counts, (B,); None counts each as one.
        taught: By the name of a part, or by a tap, the utterances about which the teacher
            says something, (B,) bool; what is not named is said about all. Of the others
            whatever stands there is read by nobody.
        scale: How many times the terms count that read it; 0 where the teacher was not
            asked, and nothing else is there.
    """

    weights: Tensor | None = None
    taught: dict[str, Tensor] = field(default_factory=dict)
    scale: float = 1.0

    @classmethod
    def of(cls, outputs: ModelOutputs) -> "TeacherTargets":
        """A guest's outputs as targets."""
        return cls(**vars(outputs))
