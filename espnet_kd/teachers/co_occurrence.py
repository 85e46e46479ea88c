"""Learn which of a student's tokens a teacher's tokens stand for, from what both hear."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from espnet_kd.errors import KDError
from espnet_kd.teachers.token_map import PosteriorMap

# Tokens of a frame that are kept, and the least probability of each.
KEPT = 8
LEAST_PROBABLE = 1e-2
# Shares of a token that are below this are left out of a map.
LEAST_SHARE = 1e-3
# A token that was heard in fewer frames, in the sum of its probabilities, is not learned.
HEARD = 1.0
SHOWN = 3


class CoOccurrence:
    r"""Posteriors of two models on the same audio, and the map that explains one by other.

    With the teacher's posteriors gathered from the frames around, blank apart,

    .. math:: a_f(t) = \sum_{|d| \le c} \left(1 - \frac{|d|}{c + 1}\right) p_{f+d}(t)

    the map makes the student's posteriors q, blank apart, most likely:

    .. math:: \max_M \sum_f \sum_s q_f(s) \log \sum_t a_f(t) M_{ts}

    by expectation maximisation from the uniform map, as word translations are learned
    [1]_. Its first step counts tokens that occur together,

    .. math:: M_{ts} \propto \sum_f q_f(s) \frac{a_f(t)}{\sum_{t'} a_f(t')}

    and each further one takes from a token what its neighbours explain better. Spikes of
    two models rarely fall on one frame, hence the frames around.

    Args:
        teacher_tokens: Of the teacher's CTC.
        student_tokens: Of the student's CTC.
        teacher_blank: Index of the teacher's blank.
        student_blank: Index of the student's.
        context: Frames c on either side.

    .. [1] Brown et al. The Mathematics of Statistical Machine Translation. 1993, section
       4.2 (Model 1).
    """

    def __init__(
        self,
        teacher_tokens: Sequence[str],
        student_tokens: Sequence[str],
        *,
        teacher_blank: int = 0,
        student_blank: int = 0,
        context: int = 1,
    ) -> None:
        self.teacher_tokens = tuple(teacher_tokens)
        self.student_tokens = tuple(student_tokens)
        self.blanks = (teacher_blank, student_blank)
        self.context = context
        self.heard = np.zeros(len(teacher_tokens))
        self._teacher: list[Any] = []
        self._student: list[Any] = []

    def add(self, teacher_logits: Tensor, student_logits: Tensor) -> None:
        """Take in one utterance.

        Args:
            teacher_logits: (T, V) at the student's frames.
            student_logits: (T, V').
        """
        teacher, student = (
            _spoken(logits, blank)
            for logits, blank in zip(
                (teacher_logits, student_logits), self.blanks, strict=True
            )
        )
        self.heard += np.asarray(teacher.sum(0)).ravel()
        spoken = student.getnnz(1).nonzero()[0]
        around = _window(teacher.shape[0], self.context) @ teacher
        self._teacher.append(around.tocsr()[spoken])
        self._student.append(student[spoken])

    def learn(self, iterations: int = 10) -> PosteriorMap:
        """The map after so many steps.

        A token that was heard in less than a frame stands for the student's token of its
        spelling, or where there is none for what the student says on the whole.

        Raises:
            KDError: If the two models never speak in the same frames.
        """
        from scipy import sparse

        teacher = sparse.vstack(self._teacher).tocsr()
        student = sparse.vstack(self._student).tocsr()
        found = (teacher.T @ student).tocsr()
        if not found.nnz:
            raise KDError(
                "the teacher and the student never speak at the same time: one of them "
                "says blank alone, which espnet_kd.bin.check_teacher tells of either; "
                "train it first"
            )
        found.data[:] = 1.0  # the uniform map, as far as anything is to be explained
        for _ in range(iterations):
            found = _by_rows(found.multiply(teacher.T @ _ratio(student, teacher @ found)))
        return self._complete(_pruned(found), np.asarray(student.sum(0)).ravel())

    def _complete(self, found: Any, said: np.ndarray) -> PosteriorMap:
        """Rows for blank, and for tokens that were not heard."""
        from scipy import sparse

        size = len(self.student_tokens)
        place = {token: index for index, token in enumerate(self.student_tokens)}
        anything = _pruned(sparse.csr_matrix(said[None]))
        rows = []
        for token, name in enumerate(self.teacher_tokens):
            own = found[[token]]
            if token == self.blanks[0]:
                own = _single(self.blanks[1], size)
            elif self.heard[token] < HEARD or not own.nnz:
                own = _single(place[name], size) if name in place else anything
            rows.append(own)
        whole = sparse.vstack(rows).tocoo()
        return PosteriorMap(
            self.teacher_tokens,
            self.student_tokens,
            torch.from_numpy(whole.row.astype(np.int64)),
            torch.from_numpy(whole.col.astype(np.int64)),
            torch.from_numpy(whole.data.astype(np.float32)),
        )

    def table(self, learned: PosteriorMap) -> Iterator[str]:
        """Each of the teacher's tokens with its strongest pairs, the most heard first."""
        yield "| teacher's | frames | student's |"
        yield "|---|---|---|"
        for token in np.argsort(-self.heard, kind="stable").tolist():
            if self.heard[token] >= HEARD:
                at = (learned.rows == token).nonzero()[:, 0]
                best = at[learned.values[at].argsort(descending=True)[:SHOWN]]
                pairs = zip(
                    learned.columns[best].tolist(),
                    learned.values[best].tolist(),
                    strict=True,
                )
                shares = (f"{_cell(self.student_tokens[s])} {v:.2f}" for s, v in pairs)
                name = _cell(self.teacher_tokens[token])
                yield f"| {name} | {self.heard[token]:.0f} | {', '.join(shares)} |"

    @property
    def unheard(self) -> int:
        """How many of the teacher's tokens were heard in less than a frame, blank apart."""
        return int((self.heard < HEARD).sum()) - 1


def _spoken(logits: Tensor, blank: int) -> Any:
    """The likely tokens of each frame but blank, (T, V) sparse."""
    from scipy import sparse

    probs = logits.double().softmax(-1)
    probs[:, blank] = 0.0
    best, index = probs.topk(min(KEPT, probs.shape[1]))
    frames = torch.arange(len(probs))[:, None].expand_as(index)
    kept = best >= LEAST_PROBABLE
    pairs = (frames[kept].numpy(), index[kept].numpy())
    return sparse.csr_matrix((best[kept].numpy(), pairs), shape=tuple(probs.shape))


def _window(frames: int, context: int) -> Any:
    """Weights of the frames around each frame, (T, T) sparse."""
    from scipy import sparse

    near = range(-min(context, frames - 1), min(context, frames - 1) + 1)
    weights = [1 - abs(d) / (context + 1) for d in near]
    return sparse.diags(weights, list(near), shape=(frames, frames)).tocsr()


def _ratio(student: Any, explained: Any) -> Any:
    """The student's posteriors over what the map makes of the teacher's, where it does."""
    inverse = explained.tocsr(copy=True)
    inverse.data = 1 / inverse.data
    return student.multiply(inverse).tocsr()


def _by_rows(values: Any) -> Any:
    """Rows that add up to 1; a row of nothing stays so."""
    from scipy import sparse

    values = values.tocsr()
    sums = np.asarray(values.sum(1)).ravel()
    scale = np.divide(1, sums, out=np.zeros_like(sums), where=sums > 0)
    return sparse.diags(scale) @ values


def _pruned(values: Any) -> Any:
    """Rows without the pairs that hardly count."""
    values = _by_rows(values).tocsr()
    values.data[values.data < LEAST_SHARE] = 0.0
    values.eliminate_zeros()
    return _by_rows(values)


def _single(column: int, size: int) -> Any:
    from scipy import sparse

    return sparse.csr_matrix(([1.0], ([0], [column])), shape=(1, size))


def _cell(token: str) -> str:
    escaped = token.replace("|", "\\|")
    return f"`{escaped}`"
