"""What a teacher says in its tokens, in the student's."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, overload

import torch
from torch import Tensor

from espnet_kd.errors import AlignmentError
from espnet_kd.model.outputs import TeacherTargets
from espnet_kd.model.request import Labels
from espnet_kd.model.table import posterior_rows

SHOWN = 5


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

    def to_teacher(self, labels: Labels) -> Labels:
        """What the student's decoder was given, in the teacher's indices."""
        return replace(
            labels,
            ys_in_pad=_renamed(labels.ys_in_pad, self.teacher_index),
            ys_pad=_renamed(labels.ys_pad, self.teacher_index),
        )

    def to_student(self, targets: TeacherTargets) -> TeacherTargets:
        """What the teacher said, in the student's indices."""
        order = self.teacher_index.to(targets.encoder_out_lens.device)
        names = [row.field for row in posterior_rows()] + ["joint_logits"]
        changed: dict[str, Any] = {
            name: _reordered(getattr(targets, name), order) for name in names
        }
        path, nbest = targets.path, targets.nbest
        if path is not None:
            path = replace(path, logits=path.logits.index_select(-1, order))
        if nbest is not None:
            nbest = replace(nbest, tokens=_renamed(nbest.tokens, self.student_index))
        return replace(
            targets,
            **changed,
            path=path,
            nbest=nbest,
            ys_in_pad=_renamed(targets.ys_in_pad, self.student_index),
            ys_pad=_renamed(targets.ys_pad, self.student_index),
        )


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


def _at(tokens: Sequence[str], index: int) -> str:
    return repr(tokens[index]) if index < len(tokens) else "nothing"


@overload
def _renamed(labels: Tensor, names: Tensor) -> Tensor: ...
@overload
def _renamed(labels: None, names: Tensor) -> None: ...
@overload
def _renamed(labels: Tensor | None, names: Tensor) -> Tensor | None: ...
def _renamed(labels: Tensor | None, names: Tensor) -> Tensor | None:
    """Labels under other indices; what is no label (padding) stays."""
    if labels is None:
        return None
    real = (labels >= 0) & (labels < len(names))
    return torch.where(real, names.to(labels.device)[labels * real], labels)


def _reordered(logits: Tensor | None, order: Tensor) -> Tensor | None:
    return None if logits is None else logits.index_select(-1, order)
