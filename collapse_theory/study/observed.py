r"""An observed error curve and its noise.

A test error is a mean of squares, and the noise of its estimate grows with its value. So errors :math:`y_i` are compared with
theory in the logarithm, :math:`r=L^{-1}\big(\log y+\tfrac12v-\log E\big)`, where :math:`LL^\top=V` is the *relative* covariance
:math:`V_{ij}=\operatorname{Cov}(y_i,y_j)/(y_iy_j)` and :math:`v` its diagonal: the mean of :math:`\log y_i` lies
:math:`\tfrac12v_i` below :math:`\log E_i` to second order. Standard errors that are estimated from the same runs as the means are
large where the means are; relative to the means they are not, so that dividing by them favours no direction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import solve_triangular

from collapse_theory.core.errors import DomainError, shown
from collapse_theory.core.numbers import real_values

__all__ = ["Observed"]

_COARSE = 0.5
"""Relative error beyond which the logarithm of a mean is too far from the mean of its logarithm."""
_ROUND_OFF = 1e-9


@dataclass(frozen=True, eq=False)
class Observed:
    """A curve of test errors.

    Attributes:
        values: The errors, shape (points,).
        shape: As they were given.
        centre: The logarithms that theory is compared with.
        root: The factor L: of shape (points,) if it is diagonal, else lower triangular; None if the noise is unknown, and
            then one relative error for all points is estimated.
    """

    values: np.ndarray
    shape: tuple[int, ...]
    centre: np.ndarray
    root: np.ndarray | None

    @classmethod
    def of(cls, observed: Any, errors: Any = None) -> Observed:
        """Read observed errors and their standard errors.

        Args:
            observed: Positive, of any shape.
            errors: Standard errors that broadcast to it; for a list of points also their covariance matrix; or None.

        Raises:
            DomainError: If a value is not positive, shapes do not fit, or a relative error exceeds one half.
        """
        values = real_values(observed, "observed", what="the test errors of a curve")
        if values.size == 0 or not (np.isfinite(values) & (values > 0)).all():
            raise DomainError(
                f"observed needs finite test errors > 0, got {shown(observed)}; errors are means of squares, put back what was "
                "subtracted and let test_noise be unknown"
            )
        flat = values.ravel()
        if errors is None:
            return cls(flat, values.shape, np.log(flat), None)
        given = real_values(errors, "errors", what="standard errors or their covariance matrix")
        if not np.isfinite(given).all():
            raise DomainError(f"errors need to be finite, got {shown(errors)}; leave those points out")
        is_matrix = values.ndim == 1 and given.shape == (values.size, values.size)
        root = _cholesky(given, flat) if is_matrix else _relative(given, values)
        variance = root**2 if root.ndim == 1 else (root**2).sum(axis=1)
        if variance.max() > _COARSE**2:
            i = int(variance.argmax())
            raise DomainError(
                f"errors need to be at most {_COARSE:g} of the observed values, got {np.sqrt(variance[i]):.3g} of the value "
                f"{flat[i]:.3g}; average more runs, or leave the point out"
            )
        return cls(flat, values.shape, np.log(flat) + variance / 2, root)

    @property
    def size(self) -> int:
        """The number of points."""
        return self.values.size

    def whiten(self, a: np.ndarray) -> np.ndarray:
        """Return ``L^-1 a``, its first axis the points."""
        if self.root is None:
            return a
        if self.root.ndim == 1:
            return a / self.root.reshape(-1, *[1] * (a.ndim - 1))
        whitened: np.ndarray = solve_triangular(self.root, a, lower=True)
        return whitened


def _relative(errors: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return standard errors over the values."""
    if not (errors > 0).all():
        raise DomainError(f"errors need to be standard errors > 0, got {shown(errors)}; leave exact points out")
    try:
        return np.broadcast_to(errors, values.shape).ravel() / values.ravel()
    except ValueError as e:
        raise DomainError(
            f"errors need the shape of observed, {values.shape}, got {errors.shape}; give one standard error per point"
        ) from e


def _cholesky(errors: np.ndarray, flat: np.ndarray) -> np.ndarray:
    """Return the Cholesky factor of a covariance matrix over the values."""
    if np.abs(errors - errors.T).max() > _ROUND_OFF * np.abs(errors).max():
        raise DomainError("errors need to be a symmetric covariance matrix, got one that is not; np.cov gives one")
    try:
        return np.linalg.cholesky(errors / np.outer(flat, flat))
    except np.linalg.LinAlgError as e:
        raise DomainError(
            "errors need to be a positive definite covariance matrix, got one that is not; it takes more runs than points"
        ) from e
