r"""The exact law of a one-dimensional fitted variance under replacement: a product of independent chi-squares.

``v = prod_{g=1..n} chi^2_{T-1,g}/T``. Moments are closed (Mellin transform of the gamma law),
``E v^s = [(2/T)^s Gamma((T-1)/2 + s)/Gamma((T-1)/2)]^n``; the distribution function is one inversion integral.

Source: Gil-Pelaez, Note on the inversion theorem, Biometrika 1951; Trefethen, Weideman, The exponentially convergent
trapezoidal rule, SIAM Review 2014.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from sympy import Expr, Float, Integer, digamma, gamma, log, polygamma

from collapse_theory.core.errors import DomainError, shown
from collapse_theory.core.numbers import Scalar, real
from collapse_theory.core.precision import exact_context
from collapse_theory.families.log_gamma import centred_log_gamma

__all__ = ["VarianceLaw"]

_DECAY = 45.0  # the inversion leaves out probabilities and integrands below exp(-45)
_WRITTEN = 1000  # rows up to which SymPy may write a special function out as a sum of so many terms
_BITS = 169  # 50 digits


@dataclass(frozen=True)
class VarianceLaw:
    """Law of fitted variance / true variance after ``generations`` resamplings of ``T`` rows.

    Args:
        T: Rows of each resampling, >= 2.
        generations: Resamplings, >= 1.

    Raises:
        DomainError: If an argument is out of range.

    >>> law = VarianceLaw(T=10, generations=3)
    >>> law.mean, law.log_rate.evalf(6)
    (729/1000, -0.220567)
    """

    T: int
    generations: int

    def __post_init__(self) -> None:
        """Check the ranges."""
        T = real(self.T, "T", positive=True, integer=True, number=True, most=10**9)
        n = real(self.generations, "generations", positive=True, integer=True, number=True, most=10**6)
        for name, value in (("T", T), ("generations", n)):
            if not value.is_Integer:
                raise DomainError(f"{name} needs to be a number, got {value}; the law of the variance is numeric")
        if T < 2:
            raise DomainError(f"T needs to be >= 2, got {T}; one row has variance 0")
        object.__setattr__(self, "T", int(T))
        object.__setattr__(self, "generations", int(n))

    @property
    def mean(self) -> Expr:
        """``(1 - 1/T)^n`` after n resamplings."""
        return self.moment(1)

    def moment(self, s: Scalar) -> Expr:
        """Return ``E v^s``, for ``s > -(T-1)/2``."""
        s, half = real(s, "s"), Integer(self.T - 1) / 2
        if (half + s).is_nonpositive:
            raise DomainError(f"moment needs s > -(T-1)/2 = {-half}, got {s}; the moment is infinite")
        return ((Integer(2) / self.T) ** s * gamma(half + s) / gamma(half)).gammasimp() ** self.generations

    @property
    def log_rate(self) -> Expr:
        """``E log v`` per resampling, ``psi((T-1)/2) + log(2/T)``: the almost sure exponential rate of collapse.

        Up to 1000 rows exact; beyond, where SymPy would write out a sum of ``T/2`` terms, a number of 50 digits.
        """
        if self.T <= _WRITTEN:
            return digamma(Integer(self.T - 1) / 2) + log(Integer(2) / self.T)
        return self._number(lambda mp, half: mp.digamma(half) + mp.log(mp.mpf(2) / self.T))

    @property
    def log_variance(self) -> Expr:
        """``Var log v = n psi_1((T-1)/2)``: exact up to 1000 rows, a number of 50 digits beyond."""
        if self.T <= _WRITTEN:
            return self.generations * polygamma(1, Integer(self.T - 1) / 2)
        return self._number(lambda mp, half: self.generations * mp.psi(1, half))

    def _number(self, value: Callable[[Any, Any], Any]) -> Float:
        """Return a function of ``(T-1)/2`` to 50 digits; ``log_rate`` is a difference of the size of 1/T."""
        with exact_context(_BITS + 2 * self.T.bit_length()) as mp:
            return Float._new(value(mp, mp.mpf(self.T - 1) / 2)._mpf_, _BITS)

    def cdf(self, v: Any) -> Any:
        r"""Return ``Pr(fitted variance <= v * true variance)``, by inverting the characteristic function of ``log v``.

        ``1/2 - (1/pi) int_0^oo Im[exp(-i t y) phi(t)] dt/t`` with ``y = log v - E log v``, by the midpoint rule. With the step
        ``pi/W`` the rule is exact for a law on ``|y| <= W``. For ``V = Var log v`` and ``W = 2 sqrt(90 V) + 180/(T-1)``,
        Chernoff's bound of ``psi_1(a/2) <= 4 psi_1(a)`` leaves ``exp(-45)`` beyond ``W`` on either side; the integral stops
        where ``|phi| = exp(-45)``. What remains is round-off: absolute error below 1e-14 for the float64 number ``v``.

        Args:
            v: Ratios, >= 0; may be an array.
        """
        ratio = np.asarray(v, dtype=float)
        if (ratio < 0).any() or np.isnan(ratio).any():
            raise DomainError(f"v needs to be >= 0, got {shown(v)}; it is a ratio of variances")
        mean, width, t, phi = self._transform
        with np.errstate(divide="ignore"):
            y = np.log(ratio) - mean
        inside = np.clip(y, -width, width)
        integral = (np.exp(-1j * np.multiply.outer(inside, t)) * phi / t).imag.sum(axis=-1) * (2 * t[0])
        value = np.clip(0.5 - integral / np.pi, 0.0, 1.0)
        value = np.where(y < -width, 0.0, np.where(y > width, 1.0, value))
        return float(value) if value.ndim == 0 else value

    @cached_property
    def _transform(self) -> tuple[float, float, np.ndarray, np.ndarray]:
        """Mean of ``log v``, width of its law, midpoints, and the characteristic function of the centred ``log v`` there."""
        half, variance = (self.T - 1) / 2, float(self.log_variance)

        def log_phi(t: np.ndarray) -> np.ndarray:
            return self.generations * centred_log_gamma(half, t)

        end = float(np.sqrt(2 * _DECAY / variance))  # |phi(t)| >= exp(-V t^2/2): no earlier
        while float(log_phi(np.array([end])).real[0]) > -_DECAY:
            end *= 1.5
        width = 2 * float(np.sqrt(2 * _DECAY * variance)) + 2 * _DECAY / half
        step = np.pi / width
        t = (np.arange(int(np.ceil(end / step))) + 0.5) * step
        return self.generations * float(self.log_rate), width, t, np.exp(log_phi(t))
