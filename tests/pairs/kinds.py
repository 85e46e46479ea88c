"""What a draw is made of: settings, losses and targets, and what they have in common."""

from dataclasses import dataclass, field
from typing import Any

from conftest import ENCODER

Conf = dict[str, Any]


@dataclass(frozen=True, eq=False)  # each is itself
class Setting:
    """One thing that a user may ask for.

    Attributes:
        axis: What it is a choice of.
        name: As draws call it.
        train: Changes of the student's training config.
        teacher: Changes of the teacher's model.
        both: Changes of both.
        kd: Changes of the ``kd_conf``.
        term: Changes of every loss term.
        view: What teachers hear, if it is said.
        epochs: ``max_epoch`` of one run after the other in one directory.
        amp: Whether ESPnet's autocast computes in bfloat16.
    """

    axis: str
    name: str
    train: Conf = field(default_factory=dict)
    teacher: Conf = field(default_factory=dict)
    both: Conf = field(default_factory=dict)
    kd: Conf = field(default_factory=dict)
    term: Conf = field(default_factory=dict)
    view: str = ""
    epochs: tuple[int, ...] = ()
    amp: bool = False


@dataclass(frozen=True)
class Loss:
    """Terms of one training.

    Attributes:
        name: As draws call it.
        terms: Of the ``kd_conf``.
        both: What student and teacher must be for them to be read.
        train: What the student's training must be.
    """

    name: str
    terms: tuple[Conf, ...]
    both: Conf = field(default_factory=dict)
    train: Conf = field(default_factory=dict)


@dataclass(frozen=True)
class Target:
    """Where the targets come from.

    Attributes:
        name: As draws call it.
        teachers: How many models teach.
        cached: Whether their targets are read from caches.
        named: Whether ``teachers`` names them.
        ema: Whether the student's own average teaches.
        lm: Whether a language model teaches beside them.
        combine: How several become one.
        each: What is said of every teacher that is named.
    """

    name: str
    teachers: int = 1
    cached: bool = False
    named: bool = True
    ema: bool = False
    lm: bool = False
    combine: str = ""
    each: Conf = field(default_factory=dict)


def encoder(kind: str, **more: Any) -> Conf:
    """A tiny encoder of a kind."""
    conf = ENCODER | {"output_size": 8, "num_blocks": 2} | more
    return {"encoder": kind, "encoder_conf": conf}


def prune(**options: Any) -> Conf:
    """Pruning that is over after two updates."""
    return {"prune": {"start": 0, "end": 2, "every": 1} | options}


TRANSDUCER = {
    "decoder": "transducer",
    "decoder_conf": {"hidden_size": 8},
    "joint_net_conf": {"joint_space_size": 8},
}
RNN = {
    "encoder": "rnn",
    "encoder_conf": {
        "hidden_size": 8,
        "output_size": 8,
        "num_layers": 1,
        "subsample": [2, 2],
    },
}
RNN_DECODER = {"decoder": "rnn", "decoder_conf": {"hidden_size": 8, "num_layers": 1}}
INTERCTC = encoder("conformer", num_blocks=3, interctc_layer_idx=[1])
BLOCKS = encoder("contextual_block_transformer", block_size=8, hop_size=4, look_ahead=2)
