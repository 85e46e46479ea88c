"""Train codebooks of a teacher's layer: a rotation in closed form, then k-means."""

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from espnet_kd.errors import KDError
from espnet_kd.teachers.codebooks import Codebooks

# Variances below this part of the largest are rounding.
LEAST = 1e-9
ROUNDS = 30


def train_codebooks(
    training: Tensor,
    held_out: Tensor,
    *,
    tap: str,
    teacher: str,
    teacher_hash: str,
    count: int = 8,
    centroids: int = 256,
    seed: int = 0,
) -> Codebooks:
    """Train codebooks on a layer's frames.

    The layer's principal components are dealt to the codebooks so that each has as much
    to say (see ``dealt``); the centroids of each are those of k-means [1]_.

    Args:
        training: Frames, (M, D).
        held_out: Frames that the error is told on, (M', D).
        tap: The layer.
        teacher: Whose it is.
        teacher_hash: Digest of that model.
        count: Number N of codebooks.
        centroids: Number K of centroids of each.
        seed: Of the k-means.

    Raises:
        KDError: If there are fewer frames than centroids, or fewer units than codebooks, or
            the layer says the same of every frame.

    .. [1] Ge et al. Optimized Product Quantization. CVPR 2013, section 3.2 (the parametric
       solution).
    """
    _check(training, held_out, tap, count, centroids)
    mean = training.double().mean(0)
    centred = training.double() - mean
    variances, vectors = torch.linalg.eigh(centred.T @ centred / len(centred))
    order = variances.argsort(descending=True)
    groups = dealt(variances[order].tolist(), count)
    width = max(map(len, groups))
    rotation = torch.zeros(len(mean), count, width, dtype=torch.float64)
    for place, group in enumerate(groups):
        rotation[:, place, : len(group)] = vectors[:, order[group]]
    rotation = rotation.flatten(1)
    rotated = (centred @ rotation).view(-1, count, width).float().numpy()
    found = [_means(rotated[:, n], centroids, seed + n) for n in range(count)]
    arrays = (mean.float(), rotation.float(), torch.from_numpy(np.stack(found)))
    own = Codebooks(tap, teacher, teacher_hash, *arrays, error=0.0)
    error = own.error_on(held_out.float())
    return Codebooks(tap, teacher, teacher_hash, *arrays, error=error)


def dealt(variances: Sequence[float], count: int) -> list[list[int]]:
    """Deal principal components to codebooks, so that the products of variances are alike.

    Each component in turn, the largest first, goes to the codebook whose product is the
    smallest of those that have room. What a codebook has to say grows with the logarithm
    of that product.

    Args:
        variances: Of the components, falling.
        count: Number of codebooks.

    Returns:
        The components of each codebook, at most the number of all over ``count`` each.
    """
    least = max(variances[-1], variances[0] * LEAST, np.finfo(np.float64).tiny)
    room = -(-len(variances) // count)
    groups: list[list[int]] = [[] for _ in range(count)]
    products = np.zeros(count)  # logarithms, of variances that are at least 1
    for component, variance in enumerate(variances):
        full = [len(group) == room for group in groups]
        place = int(np.where(full, np.inf, products).argmin())
        groups[place].append(component)
        products[place] += np.log(max(variance, least) / least)
    return groups


def _check(
    training: Tensor, held_out: Tensor, tap: str, count: int, centroids: int
) -> None:
    units = training.shape[1]
    if len(training) < centroids or not len(held_out):
        raise KDError(
            f"{len(training)} frames are too few for {centroids} centroids; give more "
            "utterances, or fewer --centroids"
        )
    if count > units:
        raise KDError(
            f"{count} codebooks are more than the {units} units of '{tap}'; give fewer by "
            "--count"
        )
    if not training.isfinite().all() or not held_out.isfinite().all():
        raise KDError(f"'{tap}' gives nan or inf; check the teacher's checkpoint")
    if not (training.std(0) > 0).any():
        raise KDError(f"'{tap}' gives the same for every frame; name another layer")


def _means(values: np.ndarray, centroids: int, seed: int) -> np.ndarray:
    """Centroids of (M, W) values, (K, W) float32."""
    # Imported here: only those who train codebooks wait for it.
    from sklearn.cluster import KMeans

    fit = KMeans(centroids, n_init=1, max_iter=ROUNDS, random_state=seed)
    with warnings.catch_warnings():
        # Fewer different frames than centroids leave some that nothing is nearest to.
        warnings.simplefilter("ignore")
        fit.fit(values)
    found: np.ndarray = fit.cluster_centers_.astype(np.float32)
    return found
