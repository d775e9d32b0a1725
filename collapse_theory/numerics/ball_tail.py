r"""The tail of a long or endless power law in balls: a function of the small eigenvalues is its Taylor series, and a bound.

Of the directions :math:`j>J` with :math:`s_j=s\,u_j`, :math:`u_j=(j/(J+1))^{-\beta}\le1`, every function that is evaluated is
one of u near zero. It is carried as K coefficients :math:`a_k` and as a ball that contains its values on the disc
:math:`|u|\le R`. With :math:`M` the largest of these, Cauchy's estimate :math:`|a_k|\le MR^{-k}` gives

.. math:: \sum_{j>J}w_jf(u_j)=\sum_{k<K}a_k\mu_k+\epsilon,\qquad|\epsilon|\le\frac{MR^{-K}}{1-1/R}\,\mu_K,\qquad
   \mu_k=\sum_{j>J}w_ju_j^k,

and the moments of the counting measure and of energies :math:`w_j=cj^\gamma` are Hurwitz zeta functions,
:math:`\mu_k=c\,(J+1)^{k\beta}\zeta(k\beta-\gamma,J+1)`, less that from the last direction on where there is one. A function
that does not vanish at zero has no sum over infinitely many directions.

So the tail is one more entry of an array of balls, and its weight knows its moments: ``function * weight`` is the integral.

Source: Moore, Kearfott, Cloud, Introduction to Interval Analysis, 2009, ch. 9 (Taylor models); Johansson, Rigorous high-precision
computation of the Hurwitz zeta function and its derivatives, Numerical Algorithms 2015.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from operator import add, mul, sub, truediv
from typing import Any

import numpy as np

from collapse_theory.core.errors import DomainError
from collapse_theory.describe.spectra import PowerLaw
from collapse_theory.describe.targets import Target
from collapse_theory.numerics.ball_numbers import BallContext
from collapse_theory.numerics.measure import Measure, TooShallow, at_depth
from collapse_theory.numerics.panels import Extent

__all__ = ["Tailed", "tailed_measure"]

_OCTAVES = 4
_RADIUS = 1 << _OCTAVES  # R
_CLEAR = 2  # times R: a ridge over the first eigenvalue of the tail; the pole at minus the ridge is outside the disc
_DEEPER = 2  # octaves
_FIRST = 8  # octaves of j
_MOST = 1 << 17
_LISTED = 1 << 20
_DIVERGES = (
    "an integral over the directions needs a finite d, got d=oo, where it diverges: its function does not vanish with the "
    "eigenvalue; take a finite d"
)
_POLE = (
    "certified= needs denominators that do not vanish with the eigenvalue on a long power law, got one; give a ridge > 0, "
    "a smaller d, or use digits="
)


def _operator(operate: Callable[[Any, Any], Any], *, swapped: bool = False) -> Callable[..., Any]:
    def method(self: TailFunction, other: Any) -> Any:
        if isinstance(other, TailMoments):
            return NotImplemented
        a, b = (self.series, self.disc), (other, other)
        if isinstance(other, TailFunction):
            b = (other.series, other.disc)
        if operate is truediv:
            _refuse_zero(self if swapped else other)
        pairs = zip(b, a, strict=True) if swapped else zip(a, b, strict=True)
        return TailFunction(self.context, *(operate(x, y) for x, y in pairs))

    return method


class TailFunction:
    """A function on the tail.

    Args:
        context: The balls.
        series: Its Taylor coefficients at zero.
        disc: A ball that contains its values on the disc.
    """

    __slots__ = ("context", "disc", "series")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, context: BallContext, series: Any, disc: Any) -> None:
        self.context, self.series, self.disc = context, series, disc

    __add__, __radd__ = _operator(add), _operator(add)
    __mul__, __rmul__ = _operator(mul), _operator(mul)
    __sub__, __rsub__ = _operator(sub), _operator(sub, swapped=True)
    __truediv__, __rtruediv__ = _operator(truediv), _operator(truediv, swapped=True)

    def __neg__(self) -> TailFunction:
        return -1 * self

    def __pow__(self, exponent: Any) -> TailFunction:
        if not isinstance(exponent, int):
            raise DomainError(
                f"certified= needs whole powers of functions on a long spectrum, got {exponent}; take a smaller d"
            )
        if exponent < 0:
            _refuse_zero(self)
        return TailFunction(self.context, self.series**exponent, self.disc**exponent)

    @property
    def rest(self) -> Any:
        """A bound of what the series leaves out at ``u = 1``.

        Raises:
            TooShallow: If a pole may be in the disc.
        """
        if not self.disc.is_finite():
            raise TooShallow(_DEEPER)
        return abs(self.disc).upper() * self.context.arb((1, -_OCTAVES * self.context.terms)) * _RADIUS / (_RADIUS - 1)

    # Comparisons say yes where it is certain.
    def __gt__(self, other: Any) -> bool:
        """Return whether the function is positive: its first coefficient outweighs all others, and what they leave out."""
        coefficients = [a for a in self.series.coeffs() if not a.is_zero()]
        return other == 0 and bool(coefficients) and bool(coefficients[0] > sum(map(abs, coefficients[1:]), self.rest))

    def __eq__(self, other: object) -> bool:
        return False

    def __lt__(self, other: Any) -> bool:
        return False

    __le__ = __ge__ = __lt__


def _refuse_zero(divisor: Any) -> None:
    """Refuse to divide by what vanishes at zero."""
    if divisor.series[0].is_zero() if isinstance(divisor, TailFunction) else divisor == 0:
        raise DomainError(_POLE)


class TailMoments:
    """A measure on the tail: the weight of its entry.

    Args:
        context: The balls.
        first: The first direction.
        last: The last direction; infinite if there is none.
        beta: Exponent of the power law.
        factor: Prefactor of the weights.
        exponent: Exponent of the weights.
    """

    def __init__(
        self, context: BallContext, first: int, last: int | float, beta: Any, factor: Any = 1, exponent: Any = 0
    ) -> None:
        self.context, self.first, self.last = context, context.mpf(first), last
        self.beta, self.factor, self.exponent = beta, factor, exponent
        self._known: dict[int, Any] = {}

    def moment(self, k: int) -> Any:
        """Return the moment of order k.

        Raises:
            DomainError: If it is infinite.
        """
        if k not in self._known:
            self._known[k] = self.factor * self.first ** (k * self.beta) * self._powers(k * self.beta - self.exponent)
        return self._known[k]

    def _powers(self, x: Any) -> Any:
        """Return the sum of ``j**-x``."""
        if self.last == math.inf:
            if not x > 1:
                raise DomainError(_DIVERGES)
            return x.zeta(self.first)
        end = self.context.mpf(int(self.last) + 1)
        return end.digamma() - self.first.digamma() if x == 1 else x.zeta(self.first) - x.zeta(end)

    def __mul__(self, f: Any) -> Any:
        if not isinstance(f, TailFunction):
            return self.context.mpf(0) if f == 0 else f * self.moment(0)
        coefficients = f.series.coeffs()
        total = sum((a * self.moment(k) for k, a in enumerate(coefficients) if not a.is_zero()), self.context.mpf(0))
        return total + self.context.ball((f.rest * self.moment(self.context.terms)).upper())

    __rmul__ = __mul__

    def __add__(self, other: Any) -> Any:
        return self.moment(0) + other

    __radd__ = __add__


@dataclass(frozen=True)
class Tailed(Extent):
    """What stands for the directions of a long law beyond those that are listed.

    Attributes:
        law: The power law.
        least: The least ridge that the nodes resolve, a ball.
    """

    law: PowerLaw | None = None
    least: Any = None

    def proposed(self, compute: Callable[[Measure], Any], mp: Any = None) -> Any:
        """Return what is computed on the quadrature of the law in float64, or in a context of mpmath."""
        if self.law is None:
            raise AssertionError("a tail needs its law")
        law = self.law
        if mp is None:
            return at_depth(lambda octaves: compute(Measure.of(law, octaves=octaves)))
        return at_depth(lambda octaves: compute(Measure.exact(law, None, mp, octaves=octaves)))


def tailed_measure(name: str, law: PowerLaw, target: Target | None, context: BallContext, octaves: int) -> Measure:
    """Return the measure of a power law, its directions listed down to so many octaves below the first 256.

    Args:
        name: Of the covariance.
        law: The power law.
        target: The energies: a power of j too.
        context: The balls.
        octaves: How far below.

    Raises:
        DomainError: If that is too many directions, and all of them are.
    """
    scale, slope = law.law(context)
    beta, last = -slope, law.rank
    J = math.ceil(2.0 ** min(_FIRST + octaves / float(beta), 60.0))
    if J > _MOST and law.rank <= _LISTED:
        return Measure.listed({name: law}, target, context)
    if J > _MOST:
        raise DomainError(
            f"certified= needs an effective ridge within reach of the first {_MOST} eigenvalues of a long power law, got a smaller "
            "one; raise the ridge, or use digits="
        )
    first = scale * context.mpf(J + 1) ** -beta
    disc = first * context.disc(_RADIUS)
    s = [scale * context.mpf(j) ** -beta for j in range(1, J + 1)]
    nodes = np.array([*s, TailFunction(context, context.variable(first), disc)], dtype=object)
    counts = np.array([*[1] * J, TailMoments(context, J + 1, last, beta)], dtype=object)
    energies = None
    if target is not None:
        energies_law = target.law(law, context)
        if energies_law is None:
            raise AssertionError("the energies of a long power law are a power")
        factor, exponent = energies_law
        listed = [factor * context.mpf(j) ** exponent for j in range(1, J + 1)]
        energies = np.array([*listed, TailMoments(context, J + 1, last, beta, factor, exponent)], dtype=object)
    return Measure({name: nodes}, counts, energies, Tailed(last, law=law, least=_CLEAR * _RADIUS * first))
