r"""Integrals of one ridge as polynomials in its logarithm, one for each octave.

:math:`F(\kappa)=\int f(s,\kappa)\,d\mu(s)` has its singularities on the negative axis, if f is a rational function with poles at
:math:`s=-\kappa`: on an octave the series in :math:`\log\kappa` falls as in :mod:`.octaves`. Whether it does is read off its
last coefficients, octave by octave; where it does not, and where F varies too much within the octave, the integral is taken
itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from collapse_theory.numerics.octaves import chebyshev_points, horner, polynomials, series

__all__ = ["TraceTable", "octaves_of"]

_MOST = 400  # octaves
_FALL = 16.0  # of the series, from one coefficient to the next, at least
_AHEAD = _FALL ** -np.arange(3.0, 0.0, -1.0)  # from each of the last three coefficients to the first that is left out
_ERROR = 1e-16
_VARIATION = 64.0
_SMALLEST = 2.0**-900


@dataclass(frozen=True)
class TraceTable:
    """The integral on a range of octaves.

    Attributes:
        first: Exponent of the first octave.
        coefficients: The polynomials, shape (degree + 1, octaves).
        good: Whether each octave has one.
    """

    first: int
    coefficients: np.ndarray
    good: np.ndarray

    @classmethod
    def of(cls, integral: Callable[[np.ndarray], np.ndarray], first: int, last: int) -> TraceTable:
        """Return the table from the octave ``first`` to the octave ``last``.

        Args:
            integral: Values at ridges of shape (n,).
            first: Exponent of the first octave.
            last: Exponent of the last octave.
        """
        exponents = np.arange(first, last + 1)
        kappa = np.ldexp(np.exp2((1 + chebyshev_points()) / 2), exponents[:, None])
        with np.errstate(all="ignore"):
            values = np.broadcast_to(integral(kappa.ravel()), kappa.size).reshape(kappa.shape)
            size = np.abs(values)
            least, most = size.min(axis=1), size.max(axis=1)
            tail = (np.abs(series(values)[-_AHEAD.size :]) * _AHEAD[:, None]).max(axis=0)
            good = np.isfinite(most) & (tail <= _ERROR * most) & (_VARIATION * least >= most) & (least > _SMALLEST)
            coefficients = polynomials(np.where(good[:, None], values, 0))
        return cls(first, coefficients, good)

    @property
    def last(self) -> int:
        """Exponent of the last octave."""
        return self.first + self.good.size - 1

    def covers(self, first: int, last: int) -> bool:
        """Say whether a range of octaves is in the table."""
        return self.first <= first and last <= self.last

    def __call__(self, exponent: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return values at places of octaves, and whether they are to be trusted."""
        row = exponent - self.first
        return horner(self.coefficients, row, z), self.good.take(row)


def octaves_of(kappa: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the octave of each positive ridge and the place in it; None where they are too many octaves for a table."""
    mantissa, exponent = np.frexp(kappa)
    exponent = exponent - 1
    if exponent.max() - exponent.min() >= _MOST:
        return None
    return exponent, 2 * np.log2(mantissa) + 1
