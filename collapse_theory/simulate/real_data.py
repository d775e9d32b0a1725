"""Real points to draw rows from: a matrix of inputs, or a kernel matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy.linalg import LinAlgError, cholesky

from collapse_theory.core.errors import DomainError, PipelineError, shown
from collapse_theory.core.numbers import real_array
from collapse_theory.simulate.layer import Layer
from collapse_theory.simulate.program import COMMON, Procedure, Solve
from collapse_theory.simulate.solve import fitted, kernel_fit, stopped_kernel_fit
from collapse_theory.simulate.trial import digest

__all__ = ["InputPoints", "KernelPoints", "Points", "points_from_inputs", "points_from_kernel"]

_ALL = 0
"""The one design of a layer: all points."""


class Points(Protocol):
    """N points with a true value each."""

    @property
    def truth(self) -> np.ndarray:
        """The noiseless values at the points, shape (N,)."""

    @property
    def fingerprint(self) -> str:
        """Digest of the data."""

    def fit(
        self, drawn: np.ndarray, y: np.ndarray, weight: np.ndarray, step: Solve, F: np.ndarray | Layer | None
    ) -> np.ndarray:
        """Return the values at all points of a fit on the ``drawn`` points, each once, with row weights, on features ``F``."""

    def gram(self, drawn: np.ndarray, weight: np.ndarray, F: np.ndarray | Layer | None) -> np.ndarray:
        """Return the Gram matrix of the weighted rows, on features ``F``."""

    @property
    def dimension(self) -> int:
        """Rows of random features."""

    @property
    def trace(self) -> float:
        """The mean of the squares of the inputs."""


@dataclass(frozen=True, eq=False)
class InputPoints:
    """Centred inputs in the eigenbasis of their covariance.

    Attributes:
        features: Coordinates along the eigenvectors with variance, shape (N, rank).
        truth: The least-squares fit of the centred targets, at the points.
        fingerprint: Digest of the data as given; the features carry the rounding of one machine.
    """

    features: np.ndarray
    truth: np.ndarray
    fingerprint: str

    @property
    def dimension(self) -> int:
        """Directions with variance."""
        return self.features.shape[1]

    @property
    def trace(self) -> float:
        """The mean of the squares of the inputs."""
        return float(np.square(self.features).sum() / len(self.features))

    def gram(self, drawn: np.ndarray, weight: np.ndarray, F: np.ndarray | Layer | None) -> np.ndarray:
        """Return the Gram matrix of the weighted rows, on features ``F``."""
        rows = self.features[drawn] if not isinstance(F, Layer) else F.rows(self.features, _ALL)[drawn]
        A = np.sqrt(weight)[:, None] * (rows @ F if isinstance(F, np.ndarray) else rows)
        return np.asarray(A @ A.T)

    def fit(
        self, drawn: np.ndarray, y: np.ndarray, weight: np.ndarray, step: Solve, F: np.ndarray | Layer | None
    ) -> np.ndarray:
        """Return the fitted values at all points."""
        # Real rows need not be in general position: a pixel may be lit in one image only, and that one not drawn.
        if isinstance(F, Layer):
            seen = F.rows(self.features, _ALL)
            return np.asarray(seen @ fitted(seen[drawn], y, weight, step, None, general_position=False))
        return np.asarray(self.features @ fitted(self.features[drawn], y, weight, step, F, general_position=False))


@dataclass(frozen=True, eq=False)
class KernelPoints:
    r"""Points known by their kernel matrix ``K``; with :math:`K=\Phi\Phi^\top` the inputs are the rows of :math:`\Phi`.

    Attributes:
        kernel: ``K``, shape (N, N).
        truth: The targets.
        fingerprint: Digest of the two.
    """

    kernel: np.ndarray
    truth: np.ndarray
    fingerprint: str

    @property
    def dimension(self) -> int:
        """Raise: a kernel has no inputs to draw features of."""
        raise PipelineError(
            "kernel needs fits on the kernel's own features, got random features; omit features= in the fit"
        )

    @property
    def trace(self) -> float:
        """The mean of the squares of the inputs."""
        return float(np.trace(self.kernel) / len(self.kernel))

    def gram(self, drawn: np.ndarray, weight: np.ndarray, F: np.ndarray | Layer | None) -> np.ndarray:
        """Return the kernel matrix of the weighted rows; there are no features of a kernel's inputs."""
        del F
        root = np.sqrt(weight)
        return np.asarray(root[:, None] * self.kernel[np.ix_(drawn, drawn)] * root)

    def fit(
        self, drawn: np.ndarray, y: np.ndarray, weight: np.ndarray, step: Solve, F: np.ndarray | Layer | None
    ) -> np.ndarray:
        """Return the fitted values at all points, ``K[:, drawn] alpha``; there are no features of a kernel's inputs."""
        del F
        columns = self.kernel[:, drawn]
        rows = columns[drawn]
        if step.stopping is not None:
            return np.asarray(columns @ stopped_kernel_fit(rows, y, weight, step.stopping))
        return np.asarray(columns @ kernel_fit(rows, y, weight, step.ridge))


def points_from_inputs(inputs: Any, targets: Any, program: Procedure, test_covariance: str | None) -> InputPoints:
    """Return the rows of ``inputs``, columns centred and not rescaled, with the least-squares fit of ``targets``.

    Args:
        inputs: Shape (N, p), finite.
        targets: Shape (N,), finite; centred here.
        program: The program to run on them, which must not name covariances.
        test_covariance: Must be None.

    Raises:
        DomainError: If shapes or values do not fit, or no column varies.
        PipelineError: If the program or the test names a covariance.
    """
    _one_covariance("inputs", program, test_covariance)
    X = real_array(inputs, "inputs", dimensions=2)
    y = _targets(targets, len(X), "row of inputs")
    U, size, _ = np.linalg.svd(X - X.mean(axis=0), full_matrices=False)
    live = size > max(X.shape) * np.finfo(np.float64).eps * max(size[0], np.abs(X).max())
    if not live.any():
        raise DomainError(
            f"inputs needs a column that varies, got {X.shape[1]} constant columns; there is nothing to learn"
        )
    U = U[:, live]
    return InputPoints(U * size[live], U @ (U.T @ (y - y.mean())), digest("inputs", X, y))


def points_from_kernel(kernel: Any, targets: Any, program: Procedure, test_covariance: str | None) -> KernelPoints:
    """Return the points of a kernel matrix, nothing centred; the truth is ``targets`` itself.

    Args:
        kernel: Shape (N, N), symmetric and positive semi-definite up to rounding.
        targets: Shape (N,), finite.
        program: The program to run on them, which must not name covariances.
        test_covariance: Must be None.

    Raises:
        DomainError: If the kernel is not square, symmetric and positive semi-definite, or lengths differ.
        PipelineError: If the program or the test names a covariance.
    """
    _one_covariance("kernel", program, test_covariance)
    K = real_array(kernel, "kernel", dimensions=2)
    if K.shape[0] != K.shape[1]:
        raise DomainError(f"kernel needs to be square, got shape {K.shape}; give the kernel among the N points")
    y = _targets(targets, len(K), "point of the kernel")
    gap = float(np.abs(K - K.T).max())
    if gap > 1e-6 * np.abs(K).max():
        raise DomainError(
            f"kernel needs to be symmetric, got a difference of {gap:.3g} across the diagonal; use (K + K.T)/2"
        )
    K = (K + K.T) / 2
    if not _positive(K):
        raise DomainError(
            f"kernel needs to be positive semi-definite and not zero, got trace {np.trace(K):.6g} and an eigenvalue "
            "below -1e-6 of it; use a positive-definite kernel function"
        )
    return KernelPoints(K, y, digest("kernel", K, y))


def _positive(K: np.ndarray) -> bool:
    """Whether no eigenvalue is below -1e-6 of the trace: a kernel computed in single precision passes."""
    shift = 1e-6 * float(np.trace(K))
    try:
        cholesky(K + shift * np.eye(len(K)), check_finite=False)
    except LinAlgError:
        return False
    return shift > 0


def _one_covariance(what: str, program: Procedure, test_covariance: str | None) -> None:
    named = [c for c in (*program.covariances, test_covariance) if c not in {COMMON, None}]
    if named:
        raise PipelineError(
            f"{what} needs samples without covariance names, got covariance={shown(named[0])}; real rows bring their own, "
            "use spectrum={...} for commuting covariances"
        )


def _targets(values: Any, rows: int, what: str) -> np.ndarray:
    y = real_array(values, "targets")
    if y.size != rows:
        raise DomainError(f"targets needs one value per {what} ({rows}), got {y.size}; give both the same length")
    return y
