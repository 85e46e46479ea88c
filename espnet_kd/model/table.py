"""The table of outputs: for each part of what a model says, all that is done with it.

A row is read by whatever handles outputs: what a loss needs (``losses/base``), what a model
must have and what is recorded of its pass (here and in ``forward``), what several teachers
say together (``teachers/ensemble``), what a cache holds (``cache``), what a teacher of
another token order says (``teachers/vocabulary``), where nan is looked for
(``teachers/live``). To add a part: a field of ``ModelOutputs``, a row here.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from torch import nn

from espnet_kd.errors import KDError, suggest
from espnet_kd.model import classes, hidden, joint, posteriors, separation, synthesis
from espnet_kd.model.families import FAMILIES, family_of
from espnet_kd.model.outputs import ModelOutputs
from espnet_kd.model.parts import Parts
from espnet_kd.model.recorded import RecordedPass
from espnet_kd.model.request import Request
from espnet_kd.model.spectrum import collect_spectrum, missing_spectrum
from espnet_kd.model.truth import collect_truth, missing_truth

Missing = Callable[[nn.Module, Parts, Request], str | None]
Records = Callable[[Parts, Request], Iterable[str | None]]
Collect = Callable[[RecordedPass, ModelOutputs], None]


def _nothing(_parts: Parts, _request: Request) -> Iterable[str | None]:
    return ()


def _collected(_recorded: RecordedPass, _outputs: ModelOutputs) -> None:
    """For a part that every pass collects, or that a teacher adds when it is over."""


def _never(_model: nn.Module, _parts: Parts, _request: Request) -> str | None:
    return None


@dataclass(frozen=True)
class Row:
    """One part of a model's output.

    Attributes:
        name: As losses need it and requests want it.
        field: Of ``ModelOutputs``, that it fills first of all.
        missing: Why a model cannot give it, and the way out; None if it can.
        records: Module paths whose calls are recorded for it.
        collect: Takes it from a recorded pass; of a guest, runs what did not run.
        student: Whether it is asked of the student.
        teacher: Whether it is asked of the teacher.
        posterior: Whether it holds logits over the tokens, (B, L, V): several teachers'
            are mixed, a cache keeps the likely tokens, a token order is changed.
        tokens: List of tokens that it speaks of by their index, so that student and
            teacher must agree in it: ``text`` or ``ctc``; empty for none.
        lengths: Field of its real positions, for logits that must be finite there.
        lasting: Whether it is the same whenever the teacher is asked, so that it may be
            cached: what follows the student's hypotheses changes with the student.
    """

    name: str
    field: str
    missing: Missing = _never
    records: Records = _nothing
    collect: Collect = _collected
    student: bool = True
    teacher: bool = True
    posterior: bool = False
    tokens: str = ""
    lengths: str = ""
    lasting: bool = True

    @property
    def title(self) -> str:
        """What it is called in messages."""
        return TITLES.get(self.name, self.name)

    @property
    def by_frame(self) -> bool:
        """Whether its positions are encoder frames, whose rates may differ."""
        return self.lengths == "encoder_out_lens"


TITLES = {
    "ctc": "CTC posteriors",
    "decoder": "decoder posteriors",
    "joint": "joint output",
    "labels": "transcript",
    "classes": "class posteriors",
}
# What some models give that are asked by parts, and some that are not.
SHARED = ("decoder",)
# Of these the rows themselves know which models give them.
OF_ANY = ("taps", "truth")
OUTPUTS: dict[str, Row] = {
    row.name: row
    for row in (
        Row(
            "labels",
            "ys_pad",
            teacher=False,
        ),
        Row(
            "ctc",
            "ctc_logits",
            missing=posteriors.missing_ctc,
            records=lambda parts, request: (parts.ctc_lo,),
            collect=posteriors.collect_ctc,
            posterior=True,
            tokens="ctc",
            lengths="encoder_out_lens",
        ),
        Row(
            "interctc",
            "interctc_logits",
            missing=posteriors.missing_interctc,
            records=lambda parts, request: ("encoder", parts.ctc_lo),
            collect=posteriors.collect_interctc,
            teacher=False,
        ),
        Row(
            "decoder",
            "decoder_logits",
            missing=posteriors.missing_decoder,
            records=lambda parts, request: (parts.decoder,),
            posterior=True,
            tokens="text",
            lengths="ys_in_lens",
        ),
        Row(
            "best_path",
            "hyp_in_pad",
            missing=posteriors.missing_best_path,
            records=lambda parts, request: (parts.ctc_lo,),
            collect=posteriors.collect_best_path,
            teacher=False,
        ),
        Row(
            "hypothesis",
            "hyp_logits",
            missing=posteriors.missing_decoder,
            collect=posteriors.collect_hypothesis,
            posterior=True,
            lasting=False,
            tokens="text",
            lengths="hyp_in_lens",
        ),
        Row(
            "forced",
            "ys_in_pad",
            missing=posteriors.missing_forced,
            records=lambda parts, request: (parts.decoder,),
            teacher=False,
        ),
        Row(
            "decode",
            "decode",
            missing=posteriors.missing_decoder,
            collect=posteriors.collect_decode,
            teacher=False,
        ),
        Row(
            "joint",
            "joint_logits",
            missing=joint.missing_joint,
            records=lambda parts, request: (parts.joint,),
            collect=joint.collect_joint,
            tokens="text",
        ),
        Row(
            "nbest",
            "nbest",
            student=False,
            tokens="text",
        ),
        Row(
            "waveforms",
            "waveforms",
            missing=separation.missing_waveforms,
            collect=separation.collect_waveforms,
        ),
        Row(
            "spectrum",
            "spectrum",
            missing=missing_spectrum,
            collect=collect_spectrum,
        ),
        Row(
            "masks",
            "masks",
            missing=separation.missing_masks,
            collect=separation.collect_masks,
        ),
        Row(
            "durations",
            "durations",
            missing=synthesis.missing_durations,
            collect=synthesis.collect_durations,
        ),
        Row(
            "classes",
            "class_logits",
            missing=classes.missing_classes,
            collect=classes.collect_classes,
            posterior=True,
            lengths="class_lens",
            lasting=False,
        ),
        Row(
            "truth",
            "truth",
            missing=missing_truth,
            collect=collect_truth,
            teacher=False,
        ),
        Row(
            "taps",
            "hidden",
            missing=hidden.missing_tap,
            records=hidden.tapped,
            collect=hidden.collect_hidden,
        ),
        Row(
            "codebooks",
            "codes",
            student=False,
        ),
    )
}


def rows_of(request: Request) -> list[Row]:
    """The rows that a request wants, in the table's order.

    Raises:
        KDError: If it names a part that is in no row.
    """
    for name in request:
        if name not in OUTPUTS:
            known = suggest(name, OUTPUTS)
            raise KDError(f"a loss needs '{name}', which is no output of a model; {known}")
    return [row for name, row in OUTPUTS.items() if name in request]


def token_lists(request: Request) -> set[str]:
    """The lists of tokens in which student and teacher must agree."""
    return {row.tokens for row in rows_of(request) if row.tokens}


def posterior_rows() -> list[Row]:
    """The rows that hold logits over the tokens."""
    return [row for row in OUTPUTS.values() if row.posterior]


def lasting_posterior_rows() -> list[Row]:
    """Those of them that may be cached."""
    return [row for row in posterior_rows() if row.lasting]


def check_model(model: nn.Module, parts: Parts, request: Request, side: str) -> None:
    """Require of a model what is going to be read of it, before anything runs.

    Args:
        model: The student or the teacher.
        parts: Its parts.
        request: What is wanted.
        side: ``student`` or ``teacher``, for the message.

    Raises:
        KDError: Naming the first missing part and what to do.
    """
    for row in rows_of(request):
        reason = _foreign(model, row) or row.missing(model, parts, request)
        if reason is not None:
            raise KDError(f"the {side}{reason}")


def _foreign(model: nn.Module, row: Row) -> str | None:
    """Why models of a kind never give a part; None of parts that they may give."""
    family = family_of(model)
    if family is not None and row.name not in (*family.outputs, *OF_ANY):
        return (
            f" is a {family.title}, which has no {row.title}; it learns by {family.losses}"
        )
    givers = [f.title for f in FAMILIES if row.name in f.outputs]
    if family is None and givers and row.name not in SHARED:
        return f" has no {row.title}, which models of other tasks have: {', '.join(givers)}"
    return None
