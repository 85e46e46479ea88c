"""The ``kd_conf`` as dataclasses, whose annotations say what each setting may be."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from espnet_kd.config.check import Check
from espnet_kd.config.options import NotNegative, Ordinal, SomeUpdates, Updates

View = Literal["clean", "same"]
WhenMissing = Literal["error", "skip"]
Until = Literal["no_gain"]
Precision = Literal["float32", "bfloat16"]
Combination = Literal["mean", "log_mean", "confidence", "draw"]
Rounding = Literal["none", "int8"]
# Validations without a gain after which a term ends, if it is not said.
PATIENCE = 3


def _part(check: Check, name: str, value: object) -> None:
    """Require a part of everything that leaves something."""
    if check.not_negative(name, value) >= 1:
        check.add(name, "leaves nothing; it must be less than 1")


@dataclass(frozen=True)
class ScheduleConfig:
    """How a weight develops over the updates.

    Attributes:
        warmup_steps: Updates over which it rises linearly from 0 to its value.
        decay: How it goes on from there: ``none`` stays, ``linear`` and ``cosine`` fall.
        decay_steps: Updates over which it falls.
        final: What it falls to, as a part of its value.
    """

    warmup_steps: Updates = 0
    decay: Literal["none", "linear", "cosine"] = "none"
    decay_steps: Updates = 0
    final: NotNegative = 0.0

    @property
    def last(self) -> float:
        """The part of a weight that is in force when the schedule has ended."""
        return 1.0 if self.decay == "none" else self.final


@dataclass(frozen=True)
class TeacherConfig:
    """Where a teacher is and what it hears.

    Attributes:
        exp: ESPnet experiment directory, packed zip, or model tag; empty with ``ema``
            and ``lm``.
        file: Checkpoint inside ``exp``; None takes the one that training selected.
        view: ``clean`` features, or the ``same`` as the student (after SpecAugment).
        ema: Decay of an average of the student itself, which then is the teacher.
        weight: Among several teachers; ``wer`` for the reciprocal of its word error
            rate, which ``espnet_kd.bin.check_teacher`` leaves in ``exp/gate.json``.
        lm: The same as ``exp``, of a language model.
        hears: The stream of the batch that it gets instead of the student's ``speech``;
            empty for the student's.
        name: What taps call it among several; empty for one whose layers nobody taps,
            and for the first.
        when_missing: What becomes of an utterance for which the stream is empty: an
            ``error``, or ``skip``, and it is not taught by this teacher.
        every: In every how many batches of a training it is asked, its terms counting as
            many times there.
        precision: What it computes in.
        schedule: How its weight among several develops; None for one that stays.
        codebooks: Files of ``espnet_kd.bin.train_codebooks``, of layers that are learned
            as indices.
        token_map: File of ``espnet_kd.bin.map_tokens``, for a student of other tokens.
    """

    exp: str = ""
    file: str | None = None
    view: View = "clean"
    ema: float | None = None
    weight: float | str = 1.0
    lm: str = ""
    hears: str = ""
    name: str = ""
    when_missing: WhenMissing = "error"
    every: Ordinal = 1
    precision: Precision = "float32"
    schedule: ScheduleConfig | None = None
    codebooks: tuple[str, ...] = ()
    token_map: str = ""

    @property
    def manner(self) -> dict[str, Any]:
        """How a live teacher is asked, as ``LiveTeacher`` takes it."""
        return {
            "view": self.view,
            "hears": self.hears,
            "skips": self.skips,
            "every": self.every,
            "precision": self.precision,
        }

    @property
    def skips(self) -> bool:
        """Whether it says nothing of utterances that lack its stream."""
        return self.when_missing == "skip"

    @property
    def place(self) -> str:
        """Where it is, whatever it is."""
        return self.exp or self.lm


@dataclass(frozen=True)
class GradientConfig:
    """Measuring the terms' gradients beside the task's.

    Attributes:
        every: Updates from one measurement to the next; 0 never measures.
        balance: Whether a term's weight is the ratio of its gradient's norm to the
            task's, rather than a factor.
    """

    every: Updates = 0
    balance: bool = False


@dataclass(frozen=True)
class LossTermConfig:
    """One loss term.

    Attributes:
        type: Registered name of the loss.
        weight: Multiplies the term; 0 observes it without training by it.
        name: Its name in the stats (``loss_kd_<name>``); the type unless given.
        options: Keyword arguments of the loss.
        confidence: Each utterance counts by the teacher's confidence to this power.
        schedule: Its own schedule; None for the common one.
        until: ``no_gain`` ends the term when a validation shows no gain any more; empty
            for one that goes on.
        patience: Validations without a gain, one after the other, that end it.
    """

    type: str
    weight: float
    name: str
    options: Mapping[str, Any]
    confidence: float = 0.0
    schedule: ScheduleConfig | None = None
    until: str = ""
    patience: int = PATIENCE


@dataclass(frozen=True)
class PruneConfig:
    """Weights that are taken away while the student trains.

    Attributes:
        structure: Single ``weights``, or whole hidden ``units`` of feed-forward layers.
        sparsity: Part of them that is gone in the end.
        threshold: Instead, the magnitude that they are gone below.
        importance: ``magnitude``, or ``taylor`` (what their loss changes).
        scope: Whether the least important are sought in all layers together or in each.
        start: Update at which it begins.
        end: Update at which it is done.
        every: Updates from one choice to the next.
    """

    structure: Literal["weights", "units"] = "weights"
    sparsity: Annotated[float, _part] = 0.0
    threshold: NotNegative = 0.0
    importance: Literal["magnitude", "taylor"] = "magnitude"
    scope: Literal["global", "layer"] = "global"
    start: Updates = 0
    end: Updates = 1
    every: SomeUpdates = 100


@dataclass(frozen=True)
class KDConfig:
    """A validated ``kd_conf``.

    Attributes:
        teachers: The teachers; empty when one is handed over in Python, or none needed.
        losses: The terms, in order.
        task_weight: Multiplies the student's own loss.
        schedule: Of the terms that have none of their own.
        gradients: See ``GradientConfig``.
        diagnostics: Whether the stats hold what ``diagnose`` finds.
        targets: Directories of cached targets; empty for live teachers.
        combine: How several teachers become one.
        quantize: ``int8`` trains the student as its 8-bit twin will compute.
        prune: What is taken away in training; None for nothing.
        source: What to call the configuration in messages: the file it was read from.
    """

    teachers: tuple[TeacherConfig, ...]
    losses: tuple[LossTermConfig, ...]
    task_weight: NotNegative = 1.0
    schedule: ScheduleConfig = ScheduleConfig()
    gradients: GradientConfig = GradientConfig()
    diagnostics: bool = True
    targets: tuple[str, ...] = ()
    combine: Combination = "mean"
    quantize: Rounding = "none"
    prune: PruneConfig | None = None
    source: str = "kd_conf"
