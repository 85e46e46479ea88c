"""What the table of losses compares: each loss by itself, useful pairs, and the controls.

The weight of a loss is the ratio of its gradient to the task's (``gradients.balance``), so
that the same few weights are tried of every loss, whatever its scale.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from espnet_kd.losses import LOSSES

TEACHER = {"exp": "exp/asr_teacher_s1"}  # asr_kd.sh sets it
# Hypotheses are searched once, not in every step.
SEARCHED = ("ctc_nbest", "token_nbest")
# These want a streaming student, and codebooks that are trained first.
APART = ("mode_consistency", "codebook_ce")


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        name: What it is called, also in file names.
        losses: Its terms without their weights; none for a student without a kd_conf.
        teachers: Who teaches; nobody for a control without a teacher.
        options: Of ``asr_kd.sh``.
    """

    name: str
    losses: tuple[Mapping[str, Any], ...] = ()
    teachers: tuple[Mapping[str, Any], ...] = (TEACHER,)
    options: tuple[str, ...] = field(default=())

    @property
    def is_cached(self) -> bool:
        """Whether its teacher's targets are read from disk."""
        return "--cache_targets" in self.options

    def kd_conf(self, weight: float) -> dict[str, Any] | None:
        """The configuration with every term at a weight; None without any term."""
        if not self.losses:
            return None
        conf: dict[str, Any] = {
            "losses": [{**term, "weight": weight} for term in self.losses],
            "gradients": {"every": 100, "balance": True},
        }
        if self.teachers:
            conf["teachers"] = [dict(teacher) for teacher in self.teachers]
        return conf


def rows(student_layer: str, teacher_layer: str) -> list[Row]:
    """All lines of the table, for CTC/attention models.

    Args:
        student_layer: Path of the student's encoder layer whose attention is compared.
        teacher_layer: Path of the teacher's.
    """
    found = [*_controls(), *_single(student_layer, teacher_layer)]
    found += _together(student_layer, teacher_layer)
    return found


def _controls() -> Iterator[Row]:
    yield Row("parameters", options=("--init_student", "true", "--kd_config", "none"))
    average = {"ema": 0.999}
    posteriors = ({"type": "ctc_frame_kl"}, {"type": "token_kl"})
    yield Row("own_average", posteriors, teachers=(average,))


def _single(student_layer: str, teacher_layer: str) -> Iterator[Row]:
    layers = {
        "student": f"{student_layer}.self_attn",
        "teacher": f"{teacher_layer}.self_attn",
    }
    outputs = {"student": "encoder", "teacher": "encoder"}
    taps = {
        **dict.fromkeys(("attention_kl", "relation_kl"), layers),
        **dict.fromkeys(("similarity", "rkd"), outputs),
        **{name: outputs for name in LOSSES.names() if name.startswith("hidden_")},
    }
    for name in LOSSES.names():
        if name.startswith("transducer_") or name in APART:
            continue  # of transducers on both sides
        term = {"type": name, **taps.get(name, {})}
        cached = ("--cache_targets", "true", "--cache_args", "--parts nbest --nbest 4")
        yield Row(
            name,
            (term,),
            teachers=() if name == "cr_ctc" else (TEACHER,),
            options=cached if name in SEARCHED else (),
        )


def _together(student_layer: str, teacher_layer: str) -> Iterator[Row]:
    ctc, token = {"type": "ctc_frame_kl"}, {"type": "token_kl"}
    soft = {"type": "token_kl", "temperature": 2.0}
    own = {"type": "token_kl", "prefix": "student", "name": "own_words"}
    output = {"type": "hidden_l1_cosine", "student": "encoder", "teacher": "encoder"}
    middle = {
        **output,
        "name": "middle",
        "student": student_layer,
        "teacher": teacher_layer,
    }
    recommended = (ctc, soft, output, middle)
    yield Row("token_kl_soft", (soft,))
    yield Row("token_kl_own_words", (own,))
    yield Row("posteriors", (ctc, token))
    yield Row("posteriors_soft", (ctc, soft))
    yield Row("posteriors_own_words", (ctc, token, own))
    yield Row("hidden", (output, middle))
    yield Row("recommended", recommended)
    yield Row("recommended_init", recommended, options=("--init_student", "true"))
