"""What a teacher says in its tokens, in the student's."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, overload

import torch
from torch import Tensor, nn

from espnet_kd.errors import AlignmentError
from espnet_kd.model.outputs import TeacherTargets
from espnet_kd.model.request import Labels
from espnet_kd.model.table import posterior_rows
from espnet_kd.teachers.token_map import PosteriorMap

SHOWN = 5

Side = Literal["student", "teacher"]


@dataclass(frozen=True)
class Vocabulary:
    """The tokens that a model knows.

    Attributes:
        text: Of its attention decoder or transducer.
        ctc: Of its CTC; in speech translation these are the source language's.
    """

    text: tuple[str, ...]
    ctc: tuple[str, ...]


def vocabulary_of(model: nn.Module) -> Vocabulary:
    """The tokens of an ESPnet model; none of one that does not say."""
    text: Any = getattr(model, "token_list", ())
    source: Any = getattr(model, "src_token_list", None)
    return Vocabulary(tuple(text), tuple(text if source is None else source))


class TokenMap:
    """The same tokens under other indices.

    Args:
        student: The student's token list.
        teacher: The teacher's, the same tokens in another order.
    """

    def __init__(self, student: Sequence[str], teacher: Sequence[str]) -> None:
        place = {token: index for index, token in enumerate(teacher)}
        # (V,), the teacher's index of each of the student's tokens, and the reverse.
        self.teacher_index = torch.tensor([place[token] for token in student])
        self.student_index = torch.argsort(self.teacher_index)


class TokenMaps:
    """How a teacher's tokens are read, of its text and of its CTC.

    Args:
        text: None if the tokens of decoder or transducer are the student's own.
        ctc: None if those of CTC are; a map of posteriors if they are other tokens.
    """

    def __init__(
        self, text: TokenMap | None = None, ctc: TokenMap | PosteriorMap | None = None
    ) -> None:
        self.text = text
        self.ctc = ctc

    def __bool__(self) -> bool:
        """Whether any token has another index."""
        return self.text is not None or self.ctc is not None

    def to_teacher(self, labels: Labels) -> Labels:
        """What the student's decoder was given, in the teacher's indices."""
        return replace(
            labels,
            ys_in_pad=_renamed(labels.ys_in_pad, self.text, "teacher"),
            ys_pad=_renamed(labels.ys_pad, self.ctc, "teacher"),
            hyp_in_pad=_renamed(labels.hyp_in_pad, self.text, "teacher"),
        )

    def read_by_teacher(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """A batch whose texts are in the teacher's indices, for its own forward pass."""
        texts = {"text": self.text, "src_text": self.ctc}
        names = [name for name in texts if isinstance(batch.get(name), Tensor)]
        return {**batch, **{n: _renamed(batch[n], texts[n], "teacher") for n in names}}

    def to_student(self, targets: TeacherTargets) -> TeacherTargets:
        """What the teacher said, in the student's indices."""
        if not self:
            return targets
        maps = {"text": self.text, "ctc": self.ctc}
        changed: dict[str, Any] = {
            row.field: _reordered(getattr(targets, row.field), maps.get(row.tokens))
            for row in posterior_rows()
        }
        path, nbest = targets.path, targets.nbest
        if path is not None:
            path = replace(path, logits=_reordered(path.logits, self.text))
        if nbest is not None:
            nbest = replace(nbest, tokens=_renamed(nbest.tokens, self.text, "student"))
        return replace(
            targets,
            **changed,
            joint_logits=_reordered(targets.joint_logits, self.text),
            path=path,
            nbest=nbest,
            ys_in_pad=_renamed(targets.ys_in_pad, self.text, "student"),
            ys_pad=_renamed(targets.ys_pad, self.ctc, "student"),
            hyp_in_pad=_renamed(targets.hyp_in_pad, self.text, "student"),
        )

    def describe(self) -> list[str]:
        """Whether anything is read otherwise, for the log."""
        if isinstance(self.ctc, PosteriorMap):
            return self.ctc.describe()
        if not self:
            return []
        return ["  its tokens come in another order and are read in the student's"]


def match_vocabularies(
    student: Vocabulary,
    teacher: Vocabulary,
    lists: Collection[str],
    token_map: PosteriorMap | None = None,
) -> TokenMaps:
    """How to read a teacher's tokens, of the lists that are compared.

    Args:
        student: The student's tokens.
        teacher: The teacher's.
        lists: Some of ``text`` and ``ctc``; the rest may differ.
        token_map: How the teacher's CTC posteriors are read, if not token by token.

    Raises:
        AlignmentError: If the tokens differ, with the first differences and the ways out;
            or if they are not those of the map.
    """
    if token_map is not None:
        token_map.check_tokens(student.ctc, teacher.ctc)
        if "text" in lists and student.text != teacher.text:
            raise AlignmentError(_only_ctc(token_map.source))
        return TokenMaps(None, token_map)
    maps = {
        name: match_vocabulary(getattr(student, name), getattr(teacher, name))
        for name in lists
    }
    if student.text == student.ctc and teacher.text == teacher.ctc and maps:
        return TokenMaps(*[next(iter(maps.values()))] * 2)
    return TokenMaps(maps.get("text"), maps.get("ctc"))


def match_vocabulary(student: Sequence[str], teacher: Sequence[str]) -> TokenMap | None:
    """How to read a teacher's indices; None if they are the student's own.

    The same tokens may come in another order, but blank has to be the first and start
    and end of sentence the last of both lists, as ESPnet has them.

    Raises:
        AlignmentError: If the tokens differ, with the first differences and the ways out.
    """
    student, teacher = list(student), list(teacher)
    if student == teacher:
        return None
    ends = [tokens[:1] + tokens[-1:] for tokens in (student, teacher)]
    unique = len(set(student)) == len(student)
    if ends[0] == ends[1] and unique and sorted(student) == sorted(teacher):
        return TokenMap(student, teacher)
    raise AlignmentError(_difference(student, teacher))


def _difference(student: list[str], teacher: list[str]) -> str:
    pairs = [
        f"{i}: student {_at(student, i)}, teacher {_at(teacher, i)}"
        for i in range(max(len(student), len(teacher)))
        if _at(student, i) != _at(teacher, i)
    ]
    return (
        f"student and teacher have different token lists ({len(student)} and "
        f"{len(teacher)} tokens, {len(pairs)} differ; first: "
        f"{'; '.join(pairs[:SHOWN])}). Their posteriors cannot be compared. Train the "
        "student with the teacher's token list and BPE model; or use hidden_* and "
        "relation losses only, which need no common vocabulary; or let the teacher "
        "transcribe (espnet_kd.bin.pseudo_label) and train on its words"
    )


def _only_ctc(source: str) -> str:
    return (
        f"'token_map: {source}' maps CTC posteriors alone, and a loss compares what "
        "decoders say behind a transcript, which two token lists split at other places; "
        "keep to "
        "ctc_frame_kl, ctc_shift_kl, ctc_guided and hidden losses, or let the teacher "
        "transcribe (espnet_kd.bin.pseudo_label)"
    )


def _at(tokens: Sequence[str], index: int) -> str:
    return repr(tokens[index]) if index < len(tokens) else "nothing"


@overload
def _renamed(labels: Tensor, tokens: TokenMap | None, to: Side) -> Tensor: ...
@overload
def _renamed(
    labels: Tensor | None, tokens: TokenMap | PosteriorMap | None, to: Side
) -> Tensor | None: ...
def _renamed(
    labels: Tensor | None, tokens: TokenMap | PosteriorMap | None, to: Side
) -> Tensor | None:
    """Labels under the indices of one side; what is no label (padding) stays.

    None of labels that have no name on the other side, as those of another token list.
    """
    if labels is None or tokens is None:
        return labels
    if isinstance(tokens, PosteriorMap):
        return None
    names = tokens.teacher_index if to == "teacher" else tokens.student_index
    real = (labels >= 0) & (labels < len(names))
    return torch.where(real, names.to(labels.device)[labels * real], labels)


@overload
def _reordered(logits: Tensor, tokens: TokenMap | PosteriorMap | None) -> Tensor: ...
@overload
def _reordered(
    logits: Tensor | None, tokens: TokenMap | PosteriorMap | None
) -> Tensor | None: ...
def _reordered(
    logits: Tensor | None, tokens: TokenMap | PosteriorMap | None
) -> Tensor | None:
    if logits is None or tokens is None:
        return logits
    if isinstance(tokens, PosteriorMap):
        return tokens(logits)
    return logits.index_select(-1, tokens.teacher_index.to(logits.device))
