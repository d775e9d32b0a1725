r"""Weighted ridge regression, numerically careful: no normal equations, any scale of the columns.

All three cases minimise :math:`\sum_i a_i(x_i^\top w-y_i)^2+\lambda\|w\|^2`, and at :math:`\lambda=0` return the
minimiser of least norm.

Source: columns of unit norm, van der Sluis, Condition numbers and equilibration of matrices, Numerische Mathematik 1969.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve, lapack

from collapse_theory.core.errors import ConvergenceError

__all__ = ["kernel_fit", "ridge_fit"]


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
