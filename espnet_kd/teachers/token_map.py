"""What a teacher of other tokens says, in the student's: a map between posteriors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from espnet_kd.cache.sparse import LEAST
from espnet_kd.errors import AlignmentError, KDError, TeacherError
from espnet_kd.host.arrays import read_arrays, write_arrays
from espnet_kd.masking import widened
from espnet_kd.model.request import Request

TEXTS = ("teacher_tokens", "student_tokens")
NUMBERS = ("rows", "columns", "values")
REMEDY = "learn it again by espnet_kd.bin.map_tokens"
# A row's probabilities add up to 1 within this.
SLACK = 1e-3


@dataclass(frozen=True, eq=False)
class PosteriorMap:
    r"""A row-stochastic map of posteriors from a teacher's tokens to a student's [1]_.

    .. math:: \tilde p(s) = \sum_t p(t)\, M_{ts}, \quad \sum_s M_{ts} = 1

    It acts on posteriors at temperature 1, where it was learned; a loss that softens them
    softens :math:`\tilde p`. Blank is mapped to blank alone.

    Attributes:
        teacher_tokens: The V tokens of the teacher's CTC.
        student_tokens: The V' tokens of the student's.
        rows: The teacher's token of each pair, (P,) int64.
        columns: The student's token of each pair, (P,) int64.
        values: :math:`M_{ts}` of each pair, (P,) float32; of other pairs it is 0.
        source: Its file, for messages.

    .. [1] Farooq, Ahmad, Hain. MUST. 2023 (a network maps there).
       https://arxiv.org/abs/2310.18865
    """

    teacher_tokens: tuple[str, ...]
    student_tokens: tuple[str, ...]
    rows: Tensor
    columns: Tensor
    values: Tensor
    source: str = "token_map"

    def __call__(self, logits: Tensor) -> Tensor:
        """Map posteriors.

        Args:
            logits: (..., V) before or after the log-softmax.

        Returns:
            Log-probabilities, (..., V'), float32 or wider. What is never said counts as
            1e-20: with 0, any doubt of a student would be infinite.
        """
        probs = widened(logits).softmax(-1).flatten(0, -2)  # (N, V)
        index = torch.stack([self.columns, self.rows]).to(logits.device)
        values = self.values.to(logits.device, probs.dtype)
        shape = (len(self.student_tokens), len(self.teacher_tokens))
        # Said to be unchecked, for torch warns of what is left to it: the indices hold.
        checks = torch.sparse.check_sparse_tensor_invariants
        with checks(enable=False):  # type: ignore[no-untyped-call]  # torch's own
            transposed = torch.sparse_coo_tensor(index, values, shape)
            mapped: Tensor = torch.sparse.mm(transposed, probs.T).T  # (N, V')
        return mapped.clamp(min=LEAST).log().view(*logits.shape[:-1], shape[0])

    def check_tokens(self, student: Sequence[str], teacher: Sequence[str]) -> None:
        """Require the token lists of both models to be those that it maps.

        Raises:
            AlignmentError: Naming the side and the first difference.
        """
        sides = (
            ("teacher", teacher, self.teacher_tokens),
            ("student", student, self.student_tokens),
        )
        for side, found, known in sides:
            if tuple(found) != known:
                place = first_difference(found, known)
                raise AlignmentError(
                    f"{self.source} maps other tokens than the {side}'s ({len(known)}, the "
                    f"{side} has {len(found)}; first difference at {place}: "
                    f"{_at(known, place)}, the {side}'s {_at(found, place)}); {REMEDY}, "
                    "--teacher and --student being these two models"
                )

    def describe(self) -> list[str]:
        """What it maps, for the log."""
        sizes = f"{len(self.teacher_tokens):,} tokens to {len(self.student_tokens):,}"
        return [f"  its CTC posteriors are mapped by {self.source}, {sizes}"]

    def write(self, path: Path) -> None:
        """Write it whole or not at all."""
        arrays = {name: np.asarray(getattr(self, name), np.str_) for name in TEXTS}
        arrays |= {name: getattr(self, name).numpy() for name in NUMBERS}
        write_arrays(path, arrays)

    @classmethod
    def read(cls, path: Path) -> "PosteriorMap":
        """Read a map.

        Raises:
            KDError: If the file is missing, damaged, or something else.
        """
        found = read_arrays(path, (*TEXTS, *NUMBERS), REMEDY)
        if not _is_sound(found):
            raise KDError(f"{path} is damaged (what it says); {REMEDY}")
        teacher, student = (tuple(map(str, found[name])) for name in TEXTS)
        rows, columns, values = (torch.from_numpy(found[name]) for name in NUMBERS)
        return cls(teacher, student, rows, columns, values, source=str(path))


def _is_sound(found: Mapping[str, np.ndarray]) -> bool:
    """Whether the arrays of a file fit each other."""
    teacher, student = (found[name] for name in TEXTS)
    rows, columns, values = (found[name] for name in NUMBERS)
    kinds = [array.dtype for array in (rows, columns, values)]
    if kinds != [np.int64, np.int64, np.float32] or len(values) == 0:
        return False
    if any(t.ndim != 1 or t.dtype.kind != "U" for t in (teacher, student)):
        return False
    if not rows.shape == columns.shape == values.shape == (len(values),):
        return False
    if min(rows.min(), columns.min()) < 0:
        return False
    if rows.max() >= len(teacher) or columns.max() >= len(student):
        return False
    sums = np.bincount(rows, values.astype(np.float64), len(teacher))
    return bool((values >= 0).all() and (abs(sums - 1) <= SLACK).all())


def read_token_map(path: str) -> PosteriorMap:
    """Read the map of a teacher.

    Raises:
        TeacherError: If it cannot be read.
    """
    try:
        return PosteriorMap.read(Path(path))
    except KDError as error:
        raise TeacherError(str(error)) from None


def check_map_read(token_map: PosteriorMap | None, asked: Request) -> None:
    """Refuse a map that nothing reads.

    Raises:
        KDError: If no loss reads CTC posteriors.
    """
    if token_map is not None and "ctc" not in asked:
        raise KDError(
            f"no loss reads CTC posteriors, which 'token_map: {token_map.source}' maps; "
            "add ctc_frame_kl, or remove it"
        )


def first_difference(one: Sequence[str], other: Sequence[str]) -> int:
    """The first place where two lists differ, or the end of the shorter."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))


def _at(tokens: Sequence[str], place: int) -> str:
    return repr(tokens[place]) if place < len(tokens) else "nothing"
