r"""Weighted regression, numerically careful: no normal equations, any scale of the columns.

All three cases of ridge regression minimise :math:`\sum_i a_i(x_i^\top w-y_i)^2+\lambda\|w\|^2`, and at :math:`\lambda=0`
return the minimiser of least norm. A fit that is stopped early (:class:`EarlyStopping`) takes the singular values instead.

Source: columns of unit norm, van der Sluis, Condition numbers and equilibration of matrices, Numerische Mathematik 1969.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve, lapack

from collapse_theory.core.errors import ConvergenceError, DomainError

if TYPE_CHECKING:
    from collapse_theory.simulate.program import Solve

__all__ = ["EarlyStopping", "cross_validated", "fitted", "kernel_fit", "ridge_fit", "stopped_fit", "stopped_kernel_fit"]


@dataclass(frozen=True)
class EarlyStopping:
    r"""A spectral filter :math:`f` of gradient flow, or of gradient descent.

    Attributes:
        time: Time of the flow.
        step: Step size of the descent; 0 is the flow.
    """

    time: float
    step: float = 0.0

    def learned(self, x: np.ndarray) -> np.ndarray:
        r"""Return :math:`f(x)`: :math:`1-e^{-tx}` for the flow, :math:`1-(1-\eta x)^{t/\eta}` for the descent.

        Raises:
            DomainError: If the descent diverges on these eigenvalues.
        """
        if self.step == 0:
            return np.asarray(-np.expm1(-self.time * x))
        if self.step * x.max() > 2:
            raise DomainError(
                f"step needs to be at most 2 over the largest eigenvalue of the sample covariance, {2 / x.max():.6g}, got "
                f"{self.step:.6g}: gradient descent diverges; take a smaller step"
            )
        left, steps = 1 - self.step * x, round(self.time / self.step)
        near = left > 0.5  # no digits are lost there
        exact = -np.expm1(steps * np.log1p(-self.step * np.where(near, x, 0.0)))
        return np.where(near, exact, 1 - left**steps)


def stopped_fit(X: np.ndarray, y: np.ndarray, weight: np.ndarray, how: EarlyStopping) -> np.ndarray:
    r"""Return :math:`h(S)X^\top Ay` with :math:`S=X^\top AX`, :math:`h(x)=f(x)/x`.

    Args:
        X: Inputs, shape (M, d).
        y: Labels, shape (M,).
        weight: Row weights ``a_i > 0``, shape (M,).
        how: The filter.

    >>> stopped_fit(np.array([[1.0]]), np.array([2.0]), np.ones(1), EarlyStopping(time=50.0))
    array([2.])
    """
    root = np.sqrt(weight)
    U, size, V = np.linalg.svd(root[:, None] * X, full_matrices=False)
    live = size > max(X.shape) * np.finfo(np.float64).eps * size[0]
    gain = how.learned(size[live] ** 2) / size[live]
    return np.asarray(V[live].T @ (gain * (U[:, live].T @ (root * y))))


def stopped_kernel_fit(K: np.ndarray, y: np.ndarray, weight: np.ndarray, how: EarlyStopping) -> np.ndarray:
    """Return the dual coefficients of the same; see :func:`kernel_fit`."""
    root = np.sqrt(weight)
    values, U = np.linalg.eigh(root[:, None] * K * root)
    keep = values > len(y) * np.finfo(np.float64).eps * values[-1]
    gain = how.learned(values[keep]) / values[keep]
    return np.asarray(root * (U[:, keep] @ (gain * (U[:, keep].T @ (root * y)))))


def ridge_fit(X: np.ndarray, y: np.ndarray, weight: np.ndarray, ridge: float, *, general_position: bool) -> np.ndarray:
    r"""Return :math:`(X^\top AX+\lambda I)^{-1}X^\top Ay` with :math:`A=\operatorname{diag}(a)`, by QR.

    With at least as many rows as columns, the columns of the stacked system :math:`(A^{1/2}X;\lambda^{1/2}I)` are
    scaled to unit norm first: its condition number is then that of the *whitened* inputs, whatever the spectrum. With
    fewer rows, it is the minimum-norm solution of :math:`A^{1/2}Xw+\lambda^{1/2}z=A^{1/2}y`: nothing is squared.

    Args:
        X: Inputs, shape (M, d), no column all zero unless ``ridge`` is positive.
        y: Labels, shape (M,).
        weight: Row weights ``a_i > 0``, shape (M,).
        ridge: ``lambda >= 0``.
        general_position: Whether X has rank min(M, d). If not, least squares without a ridge cuts singular values
            below ``max(M, d)`` units of rounding.

    Raises:
        ConvergenceError: If X was promised to be in general position and is not.

    >>> ridge_fit(np.array([[2.0]]), np.array([2.0]), np.ones(1), 4.0, general_position=True)
    array([0.5])
    """
    M, d = X.shape
    root = np.sqrt(weight)
    rhs = root * y
    A = root[:, None] * X
    if ridge == 0 and not general_position:
        w: np.ndarray = np.linalg.lstsq(A, rhs, rcond=max(M, d) * np.finfo(np.float64).eps)[0]
        return w
    if d > M:
        if ridge > 0:
            A = np.hstack([A, np.sqrt(ridge) * np.eye(M)])
        return _full_rank(A, rhs)[:d]
    norm = np.sqrt(ridge + np.square(A).sum(axis=0))
    A /= norm
    if ridge > 0:
        A = np.vstack([A, np.diag(np.sqrt(ridge) / norm)])
        rhs = np.concatenate([rhs, np.zeros(d)])
    return _full_rank(A, rhs) / norm


def _full_rank(A: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the least-squares (or minimum-norm) solution of a matrix of full rank, by LAPACK's QR (or LQ)."""
    rows, columns = A.shape
    padded = np.zeros((max(rows, columns), 1))
    padded[:rows, 0] = b
    work, _ = lapack.dgels_lwork(rows, columns, 1)
    _, x, info = lapack.dgels(np.asfortranarray(A), padded, lwork=int(work), overwrite_a=True, overwrite_b=True)
    if info != 0:
        raise ConvergenceError(
            f"least squares needs rows in general position, got a singular {rows} x {columns} system; use a positive ridge"
        )
    return np.asarray(x[:columns, 0])


def fitted(
    X: np.ndarray, y: np.ndarray, weight: np.ndarray, step: Solve, F: np.ndarray | None, *, general_position: bool
) -> np.ndarray:
    r"""Return the coefficients of a fit on the inputs, or :math:`\hat w=F\hat v` of one on the features :math:`F^\top x`."""
    seen = X if F is None else X @ F
    if step.stopping is not None:
        v = stopped_fit(seen, y, weight, step.stopping)
    else:
        v = ridge_fit(seen, y, weight, step.ridge, general_position=general_position)
    return v if F is None else np.asarray(F @ v)


def cross_validated(gram: np.ndarray, residuals: float, dual: np.ndarray, N: int, step: Solve) -> float:
    r"""Return the mean square of residuals over :math:`(1-\operatorname{tr}f(G)/N)^2`; :math:`f(x)=x/(x+\lambda)` for a ridge.

    Where a fit without a ridge interpolates, both vanish; their ratio is that of the mean square of :math:`G^{-1}y` to
    :math:`(\operatorname{tr}G^{-1}/N)^2`.

    Args:
        gram: Gram matrix ``G`` of the weighted rows over ``N``.
        residuals: Mean square of the weighted residuals over ``N`` rows.
        dual: Weighted labels of the rows, where each has one label.
        N: Rows, those that share inputs counted apart.
        step: The fit.
    """
    x, U = np.linalg.eigh(gram)
    cut = len(x) * np.finfo(np.float64).eps * x[-1]
    if step.stopping is not None:
        return residuals / (1 - float(step.stopping.learned(x[x > cut]).sum()) / N) ** 2
    if step.ridge == 0 and len(x) == N and x[0] > cut:
        return float(np.square((U.T @ dual) / x).sum() / (np.sum(1 / x) / N) ** 2)
    x = np.maximum(x, 0.0)
    degrees = float((x > cut).sum()) if step.ridge == 0 else float((x / (x + step.ridge)).sum())
    return residuals / (1 - degrees / N) ** 2


def kernel_fit(K: np.ndarray, y: np.ndarray, weight: np.ndarray, ridge: float) -> np.ndarray:
    r"""Return the dual coefficients :math:`\alpha=A^{1/2}(A^{1/2}KA^{1/2}+\lambda I)^{-1}A^{1/2}y`.

    The fitted function is :math:`f(x)=\sum_i\alpha_ik(x,x_i)`. Without a ridge, or with one lost in the rounding of K,
    eigenvalues below M units of rounding are cut: a kernel matrix holds nothing below them.

    Args:
        K: Kernel matrix of the rows, shape (M, M), positive semi-definite up to rounding.
        y: Labels, shape (M,).
        weight: Row weights ``a_i > 0``, shape (M,).
        ridge: ``lambda >= 0``.

    >>> kernel_fit(np.array([[2.0]]), np.array([3.0]), np.ones(1), 4.0)
    array([0.5])
    """
    root = np.sqrt(weight)
    G = root[:, None] * K * root
    M, b = len(y), root * y
    noise_level = M * np.finfo(np.float64).eps * float(np.trace(G))
    if ridge > noise_level:
        try:
            return np.asarray(root * cho_solve(cho_factor(G + ridge * np.eye(M), lower=True), b))
        except LinAlgError:
            pass  # K has negative eigenvalues beyond -ridge, from its own rounding: cut them below
    values, vectors = np.linalg.eigh(G)
    keep = values > M * np.finfo(np.float64).eps * values[-1]
    U = vectors[:, keep]
    return np.asarray(root * (U @ ((U.T @ b) / (values[keep] + ridge))))
