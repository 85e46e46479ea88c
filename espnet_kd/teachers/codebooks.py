"""Codebooks of a teacher's layer: each frame as a few indices, a byte each."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from espnet_kd.cache.header import MOST_CENTROIDS, Coded
from espnet_kd.errors import KDError, TeacherError
from espnet_kd.host.arrays import read_arrays, write_arrays
from espnet_kd.model.outputs import Codes, ModelOutputs
from espnet_kd.model.request import Request

ARRAYS = ("mean", "rotation", "centroids")
TEXTS = ("tap", "teacher", "teacher_hash")
REMEDY = "write it again by espnet_kd.bin.train_codebooks"


@dataclass(frozen=True, eq=False)
class Codebooks:
    r"""Product quantisation of a teacher's layer.

    A frame h of D units is centred and rotated, its W N rotated units are dealt to N
    codebooks, and each codebook says which of its K centroids is nearest:

    .. math::
        z = R^\top (h - \mu), \quad
        c_n = \arg\min_k \lVert z_n - m_{nk} \rVert^2, \quad
        \hat h = \mu + R\, (m_{1 c_1}, \dots, m_{N c_N})

    Attributes:
        tap: The teacher's layer.
        teacher: Whose, for messages.
        teacher_hash: Digest of its configuration and weights.
        mean: (D,).
        rotation: (D, N W) with orthonormal columns, and columns of zeros where N does not
            divide D.
        centroids: (N, K, W).
        error: Part of the layer's variance that is left out, on speech that the
            centroids were not trained on.

    Source: Ge et al. Optimized Product Quantization. CVPR 2013, section 3.
    """

    tap: str
    teacher: str
    teacher_hash: str
    mean: Tensor
    rotation: Tensor
    centroids: Tensor
    error: float

    @property
    def count(self) -> int:
        """The number of codebooks."""
        return self.centroids.shape[0]

    @property
    def digest(self) -> str:
        """Digest of all that indices depend on."""
        total = hashlib.sha256(f"{self.tap}\0{self.teacher_hash}\0".encode())
        for name in ARRAYS:
            total.update(_numpy(getattr(self, name)).tobytes())
        return total.hexdigest()

    @property
    def coded(self) -> Coded:
        """What a cache says of the indices in it."""
        centroids = self.centroids.shape[1]
        return Coded(self.tap, self.count, centroids, self.digest, self.error)

    def encode(self, hidden: Tensor) -> Tensor:
        """Indices of the nearest centroids.

        Args:
            hidden: (..., D).

        Returns:
            (..., N) int64.
        """
        mean, rotation, centroids = (
            getattr(self, name).to(hidden.device) for name in ARRAYS
        )
        rotated = (hidden.float() - mean) @ rotation
        rotated = rotated.view(*rotated.shape[:-1], self.count, -1)  # (..., N, W)
        products = torch.einsum("...nw,nkw->...nk", rotated, centroids)
        nearness: Tensor = 2 * products - centroids.square().sum(-1)
        return nearness.argmax(-1)

    def decode(self, codes: Tensor) -> Tensor:
        """The hidden representations that indices, (..., N), stand for, (..., D)."""
        place = torch.arange(self.count, device=codes.device)
        found = self.centroids.to(codes.device)[place, codes]  # (..., N, W)
        return self.mean + found.flatten(-2) @ self.rotation.T

    def error_on(self, hidden: Tensor) -> float:
        """Part of the variance of frames, (M, D), that their indices leave out."""
        left = (hidden - self.decode(self.encode(hidden))).square().sum()
        return float(left / (hidden - self.mean).square().sum())

    def describe(self) -> str:
        """What it is of and how exact, in a line."""
        return (
            f"{self.count} codebooks of {self.centroids.shape[1]} centroids of {self.tap}, "
            f"which leave out {self.error:.1%} of its variance"
        )

    def write(self, path: Path) -> None:
        """Write them whole or not at all."""
        arrays = {name: _numpy(getattr(self, name)) for name in ARRAYS}
        arrays |= {name: np.asarray(getattr(self, name)) for name in (*TEXTS, "error")}
        write_arrays(path, arrays)

    @classmethod
    def read(cls, path: Path) -> "Codebooks":
        """Read codebooks.

        Raises:
            KDError: If the file is missing, damaged, or something else.
        """
        found = read_arrays(path, (*ARRAYS, *TEXTS, "error"), REMEDY)
        if not _is_sound(found):
            raise KDError(f"{path} is damaged (what it says); {REMEDY}")
        tap, teacher, teacher_hash = (str(found[name]) for name in TEXTS)
        mean, rotation, centroids = (torch.from_numpy(found[name]) for name in ARRAYS)
        arrays = (mean, rotation, centroids)
        return cls(tap, teacher, teacher_hash, *arrays, error=float(found["error"]))


def _numpy(values: Tensor) -> np.ndarray:
    return np.ascontiguousarray(values.cpu().numpy())


def _is_sound(found: Mapping[str, np.ndarray]) -> bool:
    """Whether the arrays of a file fit each other."""
    mean, rotation, centroids = (found[name] for name in ARRAYS)
    floats = (mean, rotation, centroids, found["error"])
    return (
        all(found[name].ndim == 0 and found[name].dtype.kind == "U" for name in TEXTS)
        and all(values.dtype.kind == "f" and np.isfinite(values).all() for values in floats)
        and all(values.dtype == np.float32 for values in floats[:3])
        and [values.ndim for values in floats] == [1, 2, 3, 0]
        and rotation.shape == (len(mean), centroids.shape[0] * centroids.shape[2])
        and 1 <= centroids.shape[1] <= MOST_CENTROIDS
        and min(rotation.shape) > 0
        and float(found["error"]) >= 0
    )


def read_codebooks(path: str, teacher: str, teacher_hash: str) -> Codebooks:
    """Read the codebooks of a teacher.

    Raises:
        TeacherError: If they cannot be read, or are of another teacher.
    """
    try:
        codebooks = Codebooks.read(Path(path))
    except KDError as error:
        raise TeacherError(str(error)) from None
    if codebooks.teacher_hash != teacher_hash:
        raise TeacherError(
            f"the codebooks {path} are of {codebooks.teacher}, and {teacher} has other "
            "weights or another config; train codebooks of it by "
            "espnet_kd.bin.train_codebooks"
        )
    return codebooks


def codes_of(
    codebooks: Mapping[str, Codebooks], outputs: ModelOutputs, request: Request
) -> dict[str, Codes]:
    """The codes that are asked for, of a pass in which their layers were tapped."""
    found = {}
    for tap in request.listed("codebooks"):
        if tap in outputs.hidden:
            hidden, own = outputs.hidden[tap], codebooks[tap]
            codes = own.encode(hidden.values)
            found[tap] = Codes(codes, hidden.lengths, own.centroids.shape[1])
    return found


def check_codebooks(asked: Request, there: Mapping[str, object], whose: str) -> None:
    """Require codebooks of the layers that losses ask for.

    Args:
        asked: What the losses read.
        there: Codebooks by their layers.
        whose: What holds them, for the message.

    Raises:
        KDError: If some are of other layers, or there are none.
    """
    wanted = [tap for tap in asked.listed("codebooks") if tap not in there]
    if wanted and there:
        raise KDError(
            f"codebook_ce reads codebooks of the teacher's '{wanted[0]}', and {whose} has "
            f"those of '{', '.join(there)}'; name that layer in 'teacher', or train "
            "codebooks of the other one by espnet_kd.bin.train_codebooks"
        )
    if wanted:
        raise KDError(
            f"codebook_ce reads codebooks of the teacher's '{wanted[0]}', and {whose} has "
            "none; train them by espnet_kd.bin.train_codebooks, then write targets by "
            "cache_teacher --parts codebooks, or name the file in the teacher's 'codebooks'"
        )


def check_all_read(asked: Request, there: Mapping[str, object]) -> None:
    """Refuse codebooks that no loss reads.

    Raises:
        KDError: Naming the layer of the first of them.
    """
    if left := [tap for tap in there if tap not in asked.listed("codebooks")]:
        raise KDError(
            f"no loss reads the teacher's codebooks of '{left[0]}'; add codebook_ce with "
            f"'teacher: {left[0]}', or remove the file from 'codebooks'"
        )
