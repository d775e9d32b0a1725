r"""The noise level of labels, estimated from one data set.

With more rows than directions, the least-squares residual has the noise alone: :math:`\|y-\hat y\|^2/(N-p)` is unbiased if the
truth is linear, whatever the inputs, with relative standard deviation :math:`\sqrt{2/(N-p)}` for Gaussian noise. What is not
linear counts as noise.

Without such rows every label is interpolated, and no estimator is unbiased without a word on the truth. With the smoother
:math:`S_\lambda` of the ridge :math:`\lambda` that minimises generalised cross-validation,
:math:`\hat\sigma^2=\|(I-S_\lambda)y\|^2/\mathrm{tr}(I-S_\lambda)` is consistent if the ridge fit learns the truth, and otherwise
too large by what it misses. If cross-validation prefers interpolation, the estimate is 0.

Source: Golub, Heath and Wahba, *Generalized cross-validation as a method for choosing a good ridge parameter*, Technometrics 21
(1979).
"""

from __future__ import annotations

import math

import numpy as np

__all__ = ["cross_validated_noise", "residual_noise"]

_RIDGES = np.geomspace(1e-12, 1e4, 641)
"""Ridges that are compared, in units of the largest eigenvalue: 40 a decade, of which the criterion is a smooth function."""


def residual_noise(rest: float, degrees: int) -> float:
    r"""Return the root of the unbiased residual variance.

    Args:
        rest: Squared norm of the least-squares residual.
        degrees: Rows minus fitted coefficients, >= 1.

    >>> residual_noise(8.0, 2)
    2.0
    """
    return math.sqrt(rest / degrees)


def cross_validated_noise(s: np.ndarray, along: np.ndarray, rest: float, degrees: int) -> float:
    r"""Return the noise level at the ridge that minimises :math:`\|(I-S_\lambda)y\|^2/\mathrm{tr}(I-S_\lambda)^2`.

    Args:
        s: Eigenvalues of the covariance or of ``K/N``, positive.
        along: Labels along their eigenvectors.
        rest: Squared norm of the labels outside these.
        degrees: Rows, minus one if the mean was taken out.

    >>> round(cross_validated_noise(np.ones(50), np.ones(50), 0.0, 50), 3)  # nothing tells truth from noise: all may be noise
    1.0
    """
    left = _RIDGES[:, None] / (_RIDGES[:, None] + s / s.max())
    residual = (left * along) ** 2 @ np.ones(s.size) + rest
    trace = left.sum(axis=1) + (degrees - s.size)
    criterion = residual / trace**2
    # Equal eigenvalues make it constant: of ridges that differ by round-off the largest, which calls more of y noise.
    best = int(np.flatnonzero(criterion <= criterion.min() * (1 + 1e-9))[-1])
    if best == 0:
        return math.sqrt(rest / (degrees - s.size)) if degrees > s.size else 0.0
    return math.sqrt(residual[best] / trace[best])
