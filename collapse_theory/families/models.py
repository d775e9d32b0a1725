"""Parametric models to simulate ``ct.Regular`` with: rows, weighted maximum likelihood, Fisher information."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit

from collapse_theory.core.errors import ConvergenceError
from collapse_theory.core.numbers import real_array

__all__ = ["Exponential", "LogisticRegression", "PoissonRegression"]

_NEWTON_STEPS = 100
_TOLERANCE = 1e-10


@dataclass(frozen=True, eq=False)
class _GeneralisedLinear:
    """Inputs N(0, I), canonical link: the score of a row is ``x (y - mean(x^T theta))``. Rows are ``(x, y)``."""

    theta: Any

    def __post_init__(self) -> None:
        object.__setattr__(self, "theta", real_array(self.theta, "theta"))

    @property
    def truth(self) -> np.ndarray:
        """The true coefficients."""
        return self.theta

    @property
    def information(self) -> np.ndarray:
        r"""``E[mean'(x^T theta) x x^T]``, by Gauss-Hermite quadrature along theta."""
        z, weight = np.polynomial.hermite_e.hermegauss(80)
        weight = weight / weight.sum()
        norm = float(np.linalg.norm(self.theta))
        slope = self._slope(norm * z)
        along = np.outer(self.theta, self.theta) / norm**2 if norm else np.zeros((len(self.theta),) * 2)
        return weight @ slope * (np.eye(len(self.theta)) - along) + weight @ (slope * z**2) * along

    def sample(self, theta: np.ndarray, T: int, rng: np.random.Generator) -> np.ndarray:
        """Return T rows: inputs, then the response."""
        x = rng.standard_normal((T, len(theta)))
        return np.column_stack([x, self._response(x @ theta, rng)])

    def fit(self, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Return the maximum-likelihood coefficients by damped Newton steps.

        Raises:
            ConvergenceError: If the likelihood has no maximum (for example separable classes).
        """
        x, y = rows[:, :-1], rows[:, -1]
        theta = np.zeros(x.shape[1])
        for _ in range(_NEWTON_STEPS):
            score = x.T @ (weights * (y - self._mean(x @ theta)))
            step = np.linalg.solve(x.T @ ((weights * self._slope(x @ theta))[:, None] * x), score)
            theta = theta + step / max(1.0, float(np.linalg.norm(step)))
            if np.linalg.norm(step) < _TOLERANCE:
                return theta
        raise ConvergenceError(
            f"maximum likelihood did not converge: last step {np.linalg.norm(step):.1e}; use more rows"
        )

    def _mean(self, u: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _slope(self, u: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _response(self, u: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        raise NotImplementedError


class LogisticRegression(_GeneralisedLinear):
    """Binary labels with ``Pr(y = 1) = 1/(1 + exp(-x^T theta))``, inputs N(0, I)."""

    def _mean(self, u: np.ndarray) -> np.ndarray:
        return expit(u)

    def _slope(self, u: np.ndarray) -> np.ndarray:
        return expit(u) * expit(-u)

    def _response(self, u: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return (rng.random(len(u)) < expit(u)).astype(float)


class PoissonRegression(_GeneralisedLinear):
    """Counts with mean ``exp(x^T theta)``, inputs N(0, I)."""

    def _mean(self, u: np.ndarray) -> np.ndarray:
        return np.exp(u)

    def _slope(self, u: np.ndarray) -> np.ndarray:
        return np.exp(u)

    def _response(self, u: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return rng.poisson(np.exp(u)).astype(float)


@dataclass(frozen=True)
class Exponential:
    """Exponential waiting times with the given rate; the fit is 1/mean.

    >>> Exponential(2.0).information
    array([[0.25]])
    """

    rate: float

    @property
    def truth(self) -> np.ndarray:
        """The true rate."""
        return np.array([self.rate])

    @property
    def information(self) -> np.ndarray:
        """``1/rate^2``."""
        return np.array([[1 / self.rate**2]])

    def sample(self, theta: np.ndarray, T: int, rng: np.random.Generator) -> np.ndarray:
        """Return T waiting times as one column."""
        return rng.exponential(1 / theta[0], (T, 1))

    def fit(self, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Return the reciprocal of the weighted mean."""
        return np.array([weights.sum() / (weights @ rows[:, 0])])
