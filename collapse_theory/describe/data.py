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
from typing import Any, Generic, TypeVar

import numpy as np

from collapse_theory.core.errors import DomainError, ParseError, nearest, shown
from collapse_theory.core.numbers import flag, integer, real_array
from collapse_theory.describe.kernel_functions import Kernel
from collapse_theory.describe.mnist import mnist
from collapse_theory.describe.noise_level import cross_validated_noise, residual_noise
from collapse_theory.describe.spectra import Eigenvalues
from collapse_theory.describe.targets import Energies

__all__ = [
    "DATASETS",
    "DataLaw",
    "Dataset",
    "KernelEnergies",
    "dataset",
    "digits",
    "from_data",
    "from_kernel",
    "principal_components",
]

_LARGE_LOSS = 0.01  # share of the target energy outside the kept directions that is worth a warning


AnyEnergies = TypeVar("AnyEnergies", bound=Energies)


class DataLaw(tuple[Eigenvalues, AnyEnergies], Generic[AnyEnergies]):
    r"""Spectrum and target of a data set: unpacks as the pair ``spectrum, target``, and by name as ``**data``.

    Attributes:
        noise: Estimated standard deviation of the label noise, >= 0.
        explained: Share of the variance of ``y`` that is not noise, :math:`1-\hat\sigma^2/\widehat{\mathrm{var}}\,y` in [0, 1]
            (with the residual variance, the adjusted :math:`R^2`); 1 if ``y`` does not vary.
        estimator: How the noise was estimated, "residual variance" or "generalised cross-validation"; see
            :mod:`collapse_theory.describe.noise_level` for what each presupposes.

    >>> data = from_data([[1.0], [-1.0], [0.0], [0.0]], [2.0, -2.0, 1.0, -1.0])
    >>> spectrum, target = data
    >>> dict(**data) == {"spectrum": spectrum, "target": target}
    True
    >>> data.noise, round(data.explained, 3), data.estimator
    (1.0, 0.7, 'residual variance')
    """

    noise: float
    explained: float
    estimator: str

    def __new__(
        cls, spectrum: Eigenvalues, target: AnyEnergies, noise: float, explained: float, estimator: str
    ) -> DataLaw[AnyEnergies]:
        """Make the pair with its estimates."""
        self = super().__new__(cls, (spectrum, target))
        self.noise, self.explained, self.estimator = noise, explained, estimator
        return self

    def __getnewargs__(self) -> tuple[Any, ...]:
        return (*self, self.noise, self.explained, self.estimator)

    @property
    def spectrum(self) -> Eigenvalues:
        """The eigenvalues."""
        return self[0]

    @property
    def target(self) -> AnyEnergies:
        """The energies of the target along the eigenvectors."""
        return self[1]

    def keys(self) -> tuple[str, str]:
        """Return the names under which ``**data`` passes the two."""
        return ("spectrum", "target")

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            if key not in self.keys():
                raise KeyError(key)
            return super().__getitem__(self.keys().index(key))
        return super().__getitem__(key)

    def __repr__(self) -> str:
        return (
            f"DataLaw(spectrum={self.spectrum!r}, target={self.target!r}, noise={self.noise:.4g}, "
            f"explained={self.explained:.4g}, estimator={self.estimator!r})"
        )


def from_data(X: Any, y: Any, center: bool = True) -> DataLaw[Energies]:
    r"""Return covariance eigenvalues and the energies of the least-squares target, with an estimate of the label noise.

    Eigenvalues come in decreasing order, one per column; those within round-off of zero are exactly zero, and their
    energies too. The noise is the unbiased residual variance :math:`\|y-\hat y\|^2/(N-p)`, :math:`p` live directions and the mean,
    where there are more rows than these, else it is that of the ridge that generalised cross-validation chooses.

    Args:
        X: Inputs, shape (N, d), finite; a pandas DataFrame is one too.
        y: Targets, shape (N,), finite; a pandas Series is one too.
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
    along = U.T @ labels
    energies[: S.size] = (along / S) ** 2
    rest = float(np.square(labels - U @ along).sum())
    degrees = N - int(center)
    if degrees > S.size:
        noise, estimator = residual_noise(rest, degrees - S.size), "residual variance"
    else:
        noise, estimator = cross_validated_noise(S**2 / N, along, rest, degrees), "generalised cross-validation"
    return DataLaw(Eigenvalues(s), Energies(energies), noise, _explained(noise, labels, degrees), estimator)


def _explained(noise: float, labels: np.ndarray, degrees: int) -> float:
    """Return the share of the variance of labels that is not noise."""
    variance = float(labels @ labels) / max(degrees, 1)
    return max(0.0, 1.0 - noise**2 / variance) if variance > 0 else 1.0


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


def from_kernel(K: Any, y: Any) -> DataLaw[KernelEnergies]:
    r"""Return the eigenvalues :math:`s_j` of ``K/N`` and the energies :math:`(U^\top y)_j^2/(N s_j)`, decreasing.

    Eigenvalues within round-off of zero are dropped; the target's ``lost`` is the share of ``|y|**2`` they carried, and
    a warning says so if it is more than one percent. The noise is that of the ridge that generalised cross-validation chooses.

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
    along = (U.T @ labels)[kept]
    noise = cross_validated_noise(s[kept], along, float(squares[~kept].sum()), N)
    target = KernelEnergies(squares[kept] / (N * s[kept]), lost=lost)
    explained = _explained(noise, labels, N)
    return DataLaw(Eigenvalues(s[kept]), target, noise, explained, "generalised cross-validation")


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
        kernel: Kernel matrix of the rows of ``X``, of which spectrum and target then are; None without a kernel.
    """

    name: str
    description: str
    X: np.ndarray
    y: np.ndarray
    spectrum: Eigenvalues
    target: Energies
    kernel: np.ndarray | None = None


def digits() -> tuple[str, np.ndarray, np.ndarray]:
    """Return scikit-learn's digits: pixels centred and divided by 4, the digit as a standardised real target.

    Three of the 64 pixels are constant, so 61 directions are live.
    """
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    X = (pixels - pixels.mean(axis=0)) / 4
    y = (labels - labels.mean()) / labels.std()
    return "1,797 handwritten digits of scikit-learn; pixels centred and divided by 4, labels standardised", X, y


DATASETS: Mapping[str, Callable[[], tuple[str, np.ndarray, np.ndarray]]] = {
    "digits": digits,
    "mnist": mnist,
}
"""Name -> function that returns a description, inputs and labels. Another data set is one more entry."""


@functools.cache
def dataset(name: str, rows: int | None = None, kernel: Kernel | None = None) -> Dataset:
    """Return a data set by name.

    Args:
        name: One of ``DATASETS``.
        rows: Use so many rows, the first ones; None is all.
        kernel: Take spectrum and target of this kernel among the rows, instead of their covariance.

    Raises:
        ParseError: If the name is unknown.
        DomainError: If there are fewer rows, or the data cannot be had.

    >>> dataset("digits").spectrum.rank
    61
    """
    if name not in DATASETS:
        raise ParseError(f"data needs a known data set, got {shown(name)}{nearest(name, DATASETS)}")
    description, X, y = DATASETS[name]()
    if rows is not None:
        rows = integer(rows, "rows", least=2, most=len(y), remedy=f"{name} has so many")
        description, X, y = f"the first {rows:,} of {description}", X[:rows], y[:rows]
        y = (y - y.mean()) / y.std()
    for array in (X, y):
        array.setflags(write=False)
    if kernel is None:
        return Dataset(name, description, X, y, *from_data(X, y))
    K = kernel.matrix(X)
    return Dataset(name, f"{description}; {kernel}", X, y, *from_kernel(K, y), K)
