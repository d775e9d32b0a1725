"""Balls of python-flint, made where mpmath makes numbers: spectra, targets and values are described once for both.

python-flint, the optional extra ``certified``, has one working precision and one length of series for all of its
users. They are set here under a lock and put back; a ball is right at any precision.

Source: Johansson, Arb: Efficient Arbitrary-Precision Midpoint-Radius Interval Arithmetic, IEEE Transactions on Computers 2017.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import reduce
from threading import RLock
from typing import Any

import mpmath
import numpy as np
from mpmath.libmp import from_man_exp
from sympy import Float, NumberSymbol, Rational

from collapse_theory.core.errors import DomainError
from collapse_theory.numerics.enclosure import Enclosure

__all__ = ["BallContext", "ball_context", "enclosure_of", "midpoint"]

_LOCK = RLock()
_GUARD = 16  # terms


@contextmanager
def ball_context(bits: int) -> Iterator[BallContext]:
    """Give a context of balls of so many bits, one thread at a time."""
    settings = _flint().ctx
    with _LOCK:
        context, before = BallContext(bits), (settings.prec, settings.cap)
        settings.prec, settings.cap = bits, context.terms
        try:
            yield context
        finally:
            settings.prec, settings.cap = before


def _flint() -> Any:
    try:
        import flint
    except ImportError as e:
        raise DomainError(
            "certified= needs python-flint, which is not installed; pip install 'collapse-theory[certified]', or use digits="
        ) from e
    return flint


class BallContext:
    """Makes balls where an mpmath context makes numbers, so that spectra, targets and values are described once.

    Args:
        prec: The working precision in bits, which is set.

    Attributes:
        terms: Length of Taylor series.
    """

    inf = math.inf

    def __init__(self, prec: int) -> None:
        flint = _flint()
        self.prec, self.arb, self.rational, self.matrix = prec, flint.arb, flint.fmpq, flint.arb_mat
        self.series, self.complex, self.terms = flint.arb_series, flint.acb, prec // 4 + _GUARD

    def mpf(self, x: Any) -> Any:
        """Return a number as a ball: exactly, or to the working precision."""
        if isinstance(x, self.arb):
            return x
        if isinstance(x, int | float):
            return self.arb(x)
        if isinstance(x, Rational):
            return self.arb(self.rational(int(x.p), int(x.q)))
        if isinstance(x, Float) or hasattr(x, "_mpf_"):
            sign, mantissa, exponent, _ = x._mpf_
            return self.arb((-int(mantissa) if sign else int(mantissa), int(exponent)))
        if isinstance(x, NumberSymbol):
            if type(x).__name__ not in self._constants:
                raise DomainError(f"certified= has no ball for {x}; give the number itself, or use digits=")
            return self._constants[type(x).__name__]()
        return self.arb(x.item() if isinstance(x, np.generic) else x)

    convert = mpf

    @property
    def _constants(self) -> Mapping[str, Callable[[], Any]]:
        arb = self.arb
        return {
            "Pi": arb.pi,
            "Exp1": arb.const_e,
            "EulerGamma": arb.const_euler,
            "Catalan": arb.const_catalan,
            "GoldenRatio": lambda: (1 + arb(5).sqrt()) / 2,
        }

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Return an elementary function by its name in mpmath."""
        if name not in _METHODS:
            raise AttributeError(name)
        return lambda x: getattr(self.mpf(x), _METHODS[name])()

    def zeta(self, s: Any, a: Any = 1) -> Any:
        """Return the Hurwitz zeta function."""
        return self.mpf(s).zeta(self.mpf(a))

    def psi(self, order: int, x: Any) -> Any:
        """Return the polygamma function."""
        if order == 0:
            return self.mpf(x).digamma()
        return (-1) ** (order + 1) * math.factorial(order) * self.zeta(order + 1, x)

    def harmonic(self, n: Any) -> Any:
        """Return the harmonic number of a real upper limit."""
        return self.digamma(n + 1) + self.arb.const_euler()

    def rf(self, x: Any, h: Any) -> Any:
        """Return the rising factorial."""
        return self.mpf(x).rising(self.mpf(h))

    def max(self, *numbers: Any) -> Any:
        """Return the largest, whichever that is."""
        return reduce(self.arb.max, map(self.mpf, numbers))

    def min(self, *numbers: Any) -> Any:
        """Return the smallest, whichever that is."""
        return reduce(self.arb.min, map(self.mpf, numbers))

    def variable(self, scale: Any) -> Any:
        """Return the Taylor series of a multiple of the variable."""
        return self.series([0, scale])

    def disc(self, radius: int) -> Any:
        """Return what contains the disc around zero in the complex plane."""
        return self.complex(self.ball(radius), self.ball(radius))

    def ball(self, radius: Any) -> Any:
        """Return the ball around zero."""
        return self.arb(0, radius)


_METHODS = {name: name for name in ("exp", "log", "sin", "cos", "tan", "gamma", "digamma")} | {"loggamma": "lgamma"}


def enclosure_of(x: Any) -> Enclosure:
    """Return a ball as an interval, its ends rounded outward to the working precision."""
    return Enclosure(midpoint(x.lower()), midpoint(x.upper()))


def midpoint(x: Any) -> Any:
    """Return the midpoint of a ball as a number of mpmath's default context, all its bits kept."""
    mantissa, exponent = x.mid().man_exp()
    return mpmath.mp.make_mpf(from_man_exp(int(mantissa), int(exponent)))
