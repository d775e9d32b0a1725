r"""Spectra and targets estimated from data, and the bundled data sets.

With centred inputs :math:`X_c=U\,\mathrm{diag}(S)\,V^\top` of :math:`N` rows, the covariance :math:`X_c^\top X_c/N` has
eigenvalues :math:`s_j=S_j^2/N`, and the least-squares coefficients along :math:`V` are :math:`(U^\top y)_j/S_j`. The
singular values are taken of the data, not of the covariance, which would square their relative round-off.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from collapse_theory.core.errors import DomainError, ParseError, nearest, shown
from collapse_theory.core.numbers import flag, real_array
from collapse_theory.describe.spectra import Eigenvalues
from collapse_theory.describe.targets import Energies

__all__ = [
    "DATASETS",
    "Dataset",
    "KernelEnergies",
    "dataset",
    "digits",
    "from_data",
    "from_kernel",
    "principal_components",
]

_LARGE_LOSS = 0.01  # share of the target energy outside the kept directions that is worth a warning


def from_data(X: Any, y: Any, center: bool = True) -> tuple[Eigenvalues, Energies]:
    """Return covariance eigenvalues and the energies of the least-squares target.

    Eigenvalues come in decreasing order, one per column; those within round-off of zero are exactly zero, and their
    energies too.

    Args:
        X: Inputs, shape (N, d), finite.
        y: Targets, shape (N,), finite.
        center: Subtract the column means of ``X`` and the mean of ``y``. Nothing is rescaled.

    Raises:
        DomainError: If the shapes do not match, a value is NaN or infinite, or no column varies.

    >>> spectrum, target = from_data([[1.0, 5.0], [-1.0, 5.0]], [2.0, -2.0])
    >>> spectrum.eigenvalues, target.energies(spectrum)
    (array([1., 0.]), array([4., 0.]))
    """
    inputs = real_array(X, "X", dimensions=2)
    labels = real_array(y, "y")
    center = flag(center, "center")
    N, d = inputs.shape
    if labels.size != N:
        raise DomainError(f"y needs one value per row of X ({N}), got {labels.size}; align them")
    if center:
        labels = labels - labels.mean()
    U, S = principal_components(inputs, center=center)
    s, energies = np.zeros(d), np.zeros(d)
    s[: S.size] = S**2 / N
    energies[: S.size] = (U.T @ labels / S) ** 2
    return Eigenvalues(s), Energies(energies)


def principal_components(X: Any, *, center: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Return the left singular vectors and the singular values of the live directions, in decreasing order.

    Args:
        X: Inputs, shape (N, d), finite.
        center: Subtract the column means.

    Returns:
        ``U`` of shape (N, r), whose columns are the rows' coordinates along the directions scaled to norm one, and
        ``S`` of shape (r,).

    Raises:
        DomainError: If ``X`` is not a finite matrix, or no column varies.

    >>> principal_components([[1.0, 5.0], [-1.0, 5.0]])[1].round(6)
    array([1.414214])
    """
    inputs = real_array(X, "X", dimensions=2)
    size = np.linalg.norm(inputs)
    if center:
        for _ in range(2):  # the second pass takes away what rounding of a large mean left behind
            inputs = inputs - inputs.mean(axis=0)
    U, S, _ = np.linalg.svd(inputs, full_matrices=False)
    # Below this a direction is the rounding of the decomposition, or of the entries before they were centred.
    live = np.finfo(float).eps * max(max(inputs.shape) * S[0], size) < S
    if not live.any():
        raise DomainError(
            f"X needs a column that varies, got {inputs.shape[1]} constant columns; there is nothing to learn from"
        )
    return U[:, live], S[live]


@dataclass(frozen=True, eq=False, repr=False)
class KernelEnergies(Energies):
    """Target energies along the kept eigenvectors of a kernel matrix.

    Attributes:
        lost: Share of ``|y|**2`` outside the kept directions, in [0, 1]: no kernel machine can learn it.
    """

    lost: float = 0.0


def from_kernel(K: Any, y: Any) -> tuple[Eigenvalues, KernelEnergies]:
    r"""Return the eigenvalues :math:`s_j` of ``K/N`` and the energies :math:`(U^\top y)_j^2/(N s_j)`, decreasing.

    Eigenvalues within round-off of zero are dropped; the target's ``lost`` is the share of ``|y|**2`` they carried, and
    a warning says so if it is more than one percent.

    Args:
        K: Kernel matrix, shape (N, N), symmetric and positive semi-definite.
        y: Target on the N points, shape (N,); used as given, without centring.

    Raises:
        DomainError: If ``K`` is not square, symmetric and positive semi-definite, or a value is NaN or infinite.

    >>> spectrum, target = from_kernel([[2.0, 0.0], [0.0, 2.0]], [1.0, 3.0])
    >>> spectrum.eigenvalues, sorted(target.energies(spectrum).tolist()), target.lost
    (array([1., 1.]), [0.5, 4.5], 0.0)
    """
    kernel = real_array(K, "K", dimensions=2)
    labels = real_array(y, "y")
    N = labels.size
    if kernel.shape != (N, N):
        raise DomainError(f"K needs shape ({N}, {N}) for {N} values of y, got {kernel.shape}; give the full kernel")
    given = np.asarray(K)
    eps = float(
        np.finfo(given.dtype if given.dtype.kind == "f" else float).eps
    )  # a float32 kernel has float32 round-off
    gap, top = float(np.abs(kernel - kernel.T).max()), float(np.abs(kernel).max())
    if gap > 100 * eps * top:
        raise DomainError(
            f"K needs to be symmetric, got |K - K^T| up to {gap:.3g}; use (K + K.T)/2 if that is round-off"
        )
    s, U = np.linalg.eigh((kernel + kernel.T) / (2 * N))
    s, U = s[::-1], U[:, ::-1]
    negligible = N * eps * max(s[0], -s[-1])
    if s[-1] < -negligible:
        raise DomainError(
            f"K needs to be positive semi-definite, got the eigenvalue {N * s[-1]:.3g}; add it to the diagonal"
        )
    kept = s > negligible
    if not kept.any():
        raise DomainError("K needs a positive eigenvalue, got the zero matrix; there is nothing to learn from")
    squares = (U.T @ labels) ** 2
    total = squares.sum()
    lost = float(squares[~kept].sum() / total) if total > 0 else 0.0
    if lost > _LARGE_LOSS:
        warnings.warn(
            f"{lost:.1%} of the target energy lies in directions that the kernel cannot represent; "
            "it adds to every test error and no theory of the kept directions sees it",
            stacklevel=2,
        )
    return Eigenvalues(s[kept]), KernelEnergies(squares[kept] / (N * s[kept]), lost=lost)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Inputs and labels with the spectrum and target that they give.

    Attributes:
        name: What pipeline files call it.
        description: One line for reports: source and preprocessing.
        X: Inputs, shape (N, d), centred.
        y: Labels, shape (N,).
        spectrum: Eigenvalues of the covariance of ``X``.
        target: Energies of the least-squares target.
    """

    name: str
    description: str
    X: np.ndarray
    y: np.ndarray
    spectrum: Eigenvalues
    target: Energies


def digits() -> tuple[str, np.ndarray, np.ndarray]:
    """Return scikit-learn's digits: pixels centred and divided by 4, the digit as a standardised real target.

    Three of the 64 pixels are constant, so 61 directions are live.
    """
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    X = (pixels - pixels.mean(axis=0)) / 4
    y = (labels - labels.mean()) / labels.std()
    return "1,797 handwritten digits of scikit-learn; pixels centred and divided by 4, labels standardised", X, y


DATASETS: Mapping[str, Callable[[], tuple[str, np.ndarray, np.ndarray]]] = {"digits": digits}
"""Name -> function that returns a description, inputs and labels. Another data set is one more entry."""


@functools.cache
def dataset(name: str) -> Dataset:
    """Return a bundled data set by name.

    Raises:
        ParseError: If the name is unknown.

    >>> dataset("digits").spectrum.rank
    61
    """
    if name not in DATASETS:
        raise ParseError(f"data needs a known data set, got {shown(name)}{nearest(name, DATASETS)}")
    description, X, y = DATASETS[name]()
    for array in (X, y):
        array.setflags(write=False)
    spectrum, target = from_data(X, y)
    return Dataset(name, description, X, y, spectrum, target)
