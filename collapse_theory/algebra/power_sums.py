r"""Finite sums of powers of T with a remainder, :math:`\sum_ic_iT^{e_i}+O(T^{e})`: sums, products, powers.

Exponents are rational numbers, and so are constants where they can be; others have 40 digits, since products of gamma functions
grow without an end. A power is a binomial series, cut where the remainder begins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from sympy import Expr, Rational, S, binomial

from collapse_theory.core.errors import DomainError

__all__ = ["PowerSum"]

_DIGITS = 40
_NEGLIGIBLE = 1e-20  # of what is added: what is left of constants that cancel


@dataclass(frozen=True)
class PowerSum:
    """A sum of powers of T with a remainder.

    Attributes:
        terms: Constant of each exponent; none is zero.
        error: Exponent of the remainder; None if there is none.
    """

    terms: Mapping[Fraction, Expr] = field(default_factory=dict)
    error: Fraction | None = None

    @classmethod
    def power_of(cls, exponent: Any, constant: Any = 1) -> PowerSum:
        """Return one power of T, or zero."""
        return cls({Fraction(str(exponent)): _number(constant)} if constant != 0 else {})

    @property
    def vanishes(self) -> bool:
        """Whether it is zero."""
        return not self.terms and self.error is None

    @property
    def lead(self) -> Fraction:
        """The largest exponent.

        Raises:
            DomainError: If no term is known.
        """
        if not self.terms:
            raise DomainError("no power-law asymptotics: all terms that are known cancel")
        return max(self.terms)

    @property
    def largest(self) -> list[tuple[Fraction, Expr]]:
        """The terms by falling exponent."""
        return sorted(self.terms.items(), reverse=True, key=lambda x: x[0])

    def cut(self, error: Fraction) -> PowerSum:
        """Return the sum with everything from an exponent on in the remainder."""
        if self.error is not None and error <= self.error:
            return self
        return PowerSum({e: c for e, c in self.terms.items() if e > error}, error)

    def __add__(self, other: PowerSum) -> PowerSum:
        errors = [x.error for x in (self, other) if x.error is not None]
        terms = dict(self.terms)
        for e, c in other.terms.items():
            if e not in terms:
                terms[e] = c
                continue
            whole = terms[e] + c
            if abs(whole.evalf(_DIGITS)) <= _NEGLIGIBLE * abs(c.evalf(15)):
                del terms[e]
            else:
                terms[e] = whole
        found = PowerSum(terms)
        return found.cut(max(errors)) if errors else found

    def __mul__(self, other: PowerSum) -> PowerSum:
        if self.vanishes or other.vanishes:
            return PowerSum()
        errors = [x.error + y._top for x, y in ((self, other), (other, self)) if x.error is not None]
        error = max(errors) if errors else None
        found = PowerSum({}, error)
        for e, c in self.terms.items():
            for f, b in other.terms.items():
                if error is None or e + f > error:
                    found += PowerSum({e + f: c * b})
        return found

    @property
    def _top(self) -> Fraction:
        """The exponent of a bound."""
        return max(x for x in (*self.terms, self.error) if x is not None)

    def power(self, q: Any, window: Fraction) -> PowerSum:
        """Return a rational power, its remainder at most ``T**-window`` of its leading term.

        Raises:
            DomainError: If the leading constant is negative and the power no integer.
        """
        q = Rational(q)
        if q == 0:
            return PowerSum.power_of(0)
        e = self.lead
        c = self.terms[e]
        if not q.is_Integer and c.evalf(15) < 0:
            raise DomainError(f"a power {q} needs a positive base, got a negative one")
        front = PowerSum({e * Fraction(int(q.p), int(q.q)): _number(c**q)})
        rest = PowerSum(
            {f - e: b / c for f, b in self.terms.items() if f != e}, None if self.error is None else self.error - e
        )
        if rest.vanishes:
            return front
        small = rest.cut(-window)
        total, here = PowerSum.power_of(0), PowerSum.power_of(0)
        for k in range(1, int(window / -small._top) + 2):
            here = (here * small).cut(-window)
            if q.is_Integer and q > 0 and k > q:
                break
            total += PowerSum({f: binomial(q, k) * b for f, b in here.terms.items()}, here.error)
        return front * total


def _number(c: Any) -> Expr:
    """Return a constant as a rational number or with all digits."""
    c = S(c)
    return c if c.is_Rational else c.evalf(_DIGITS)
