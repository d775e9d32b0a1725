r"""Orders of magnitude :math:`c\,T^e(\log T)^k` as :math:`T\to\infty`, and the signs of exponents that add and compare them.

The larger exponent wins a sum and exponents add in a product (max-plus algebra), so an exponent is affine in the scale exponents
within a *chamber*, a region in which all comparisons come out one way. A computation in a :class:`Chamber` compares exponents
by :meth:`Chamber.sign`; where what is known of the symbols does not decide, it stops with :class:`UndecidedError`, to be repeated
on both sides (:mod:`.cases`). One symbol, the *inner* one, ranges over an interval instead, which is cut at the exact roots of the
comparisons (:class:`CutError`).

Source: max-plus algebra, e.g. Maclagan, Sturmfels, Introduction to Tropical Geometry, 2015, chapter 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
from sympy import QQ, Add, Expr, Mul, S, Symbol

from collapse_theory.algebra.inequalities import implied
from collapse_theory.core.errors import DomainError

__all__ = ["CLEAR", "Chamber", "CutError", "Order", "UndecidedError", "total"]


class UndecidedError(Exception):
    """A polynomial in the outer symbols has both signs, for all that is known."""

    def __init__(self, polynomial: Any) -> None:
        super().__init__(str(polynomial))
        self.polynomial = polynomial


class CutError(Exception):
    """A comparison changes inside the interval of the inner symbol."""

    def __init__(self, at: Any) -> None:
        super().__init__(str(at))
        self.at = at


@dataclass(frozen=True)
class Chamber:
    r"""What is known of the symbols in the exponents.

    Attributes:
        domain: The field of rational functions of the symbols (``QQ.frac_field``).
        facts: Polynomials that are not negative.
        inner: The symbol that ranges over an interval, an element of the field; or None.
        interval: The ends of its range, elements of the field without it.
        infinite: A symbol that is larger than every expression in the others; or None.
        samples: Points at which the facts hold, one row per symbol. They save proofs, and decide nothing.
    """

    domain: Any
    facts: tuple[Any, ...] = ()
    inner: Any = None
    interval: tuple[Any, Any] | None = None
    infinite: Any = None
    samples: np.ndarray = field(default_factory=lambda: np.empty((0, 0)), compare=False, repr=False)
    _decided: dict[Any, int] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(
        cls,
        symbols: Sequence[Symbol],
        facts: Iterable[Expr] = (),
        inner: Symbol | None = None,
        infinite: Symbol | None = None,
    ) -> Chamber:
        """Return the chamber of symbols with polynomials that are not negative; what assumptions say of symbols is added."""
        domain = QQ.frac_field(*symbols)
        rng = np.random.default_rng(0)
        points = rng.exponential(1.5, (len(symbols), _SAMPLES)) * rng.choice([0.1, 1.0, 1.0], (len(symbols), _SAMPLES))
        known = [domain.from_sympy(e).numer for e in facts]
        for i, x in enumerate(symbols):
            if not x.is_nonnegative:
                points[i] *= rng.choice([-1.0, 1.0], _SAMPLES)
            elif x not in {inner, infinite}:
                known.append(domain.from_sympy(x).numer)
        inside = None if inner is None else domain.from_sympy(inner)
        beyond = None if infinite is None else domain.from_sympy(infinite)
        chamber = cls(domain, inner=inside, infinite=beyond, samples=points)
        for fact in dict.fromkeys(known):
            chamber = chamber.knowing(fact)
        return chamber

    def knowing(self, fact: Any) -> Chamber:
        """Return the chamber in which a polynomial is not negative either."""
        kept = self.samples[:, _values(fact, self.samples) >= 0]
        return replace(self, facts=(*self.facts, fact), samples=kept, _decided={})

    def values(self, polynomial: Any) -> np.ndarray:
        """Return a polynomial at the samples."""
        return _values(polynomial, self.samples)

    def within(self, low: Any, high: Any) -> Chamber:
        """Return the chamber with the inner symbol between two ends, which may be one point."""
        return replace(self, interval=(low, high))

    @property
    def empty(self) -> bool:
        """Whether the facts are proved to contradict each other."""
        return not self.samples.size and implied(-self.domain.field.ring.one, self.facts)

    def sign(self, e: Any) -> int:
        """Return the sign of an element of the field; 0 only if it is zero identically.

        Raises:
            UndecidedError: If it has both signs, for all that is known.
            CutError: If it changes sign within the interval of the inner symbol.
        """
        key = self.interval, e
        if key not in self._decided:
            self._decided[key] = self._decide(e)
        return self._decided[key]

    def _decide(self, e: Any) -> int:
        if not e:
            return 0
        if self.inner is None or not _degree(e.numer, self.inner):
            return self._sign(e.numer) * self._sign(e.denom)
        if self.interval is None or _degree(e.denom, self.inner) or _degree(e.numer, self.inner) > 1:
            raise AssertionError(f"{e} needs to be affine in {self.inner}, with an interval for it")
        low, high = (self._sign_at(e, end) for end in self.interval)
        if low * high < 0:
            raise CutError(-self.put(e, self.domain.zero) / e.diff(self.inner))
        return low or high

    def _sign_at(self, e: Any, end: Any) -> int:
        if e.numer.ring.ngens == 1:  # only numbers beside the inner symbol
            value = e.numer.evaluate(0, end.numer.LC / end.denom.LC if end else QQ(0))
            return (int(value > 0) - int(value < 0)) * self._sign(e.denom)
        return self.sign(self.put(e, end))

    def put(self, e: Any, value: Any) -> Any:
        """Return an affine element of the field with a value for the inner symbol."""
        return e + e.diff(self.inner) * (value - self.inner)

    def _sign(self, f: Any) -> int:
        if self.infinite is not None and _degree(f, self.infinite):
            return self._sign(_leading(f, self.infinite))
        if f.is_ground:
            return int(f.LC > 0) - int(f.LC < 0)
        constant, factors = _factored(f)
        sign = 1 if constant > 0 else -1
        for factor, power in factors:
            sign *= self._known_sign(factor) ** (power % 2)
        return sign

    def _known_sign(self, f: Any) -> int:
        values = _values(f, self.samples)
        above, below = bool((values > CLEAR).any()), bool((values < -CLEAR).any())
        if not below and implied(f, self.facts):
            return 1
        if not above and implied(-f, self.facts):
            return -1
        raise UndecidedError(f)

    def compare(self, x: Order, y: Order) -> int:
        """Return 1, 0 or -1 as the order of ``x`` is above, equal to or below that of ``y``."""
        if x.vanishes or y.vanishes:
            return int(y.vanishes) - int(x.vanishes)
        return self.sign(x.exponent - y.exponent) or (x.log > y.log) - (x.log < y.log)

    def element(self, e: Any) -> Any:
        """Return a number or SymPy expression as an element of the field."""
        return self.domain.from_sympy(S(e))

    def shown(self, e: Any) -> Expr:
        """Return an element of the field as a SymPy expression."""
        return self.domain.to_sympy(e)


_SAMPLES = 400
CLEAR = 1e-9
"""What is larger at a sample is no round-off."""


@lru_cache(maxsize=4096)
def _factored(f: Any) -> Any:
    return f.factor_list()


def _degree(f: Any, x: Any) -> int:
    return f.degree(x.numer) if f else 0


def _leading(f: Any, x: Any) -> Any:
    """Return the coefficient of the highest power of a symbol."""
    at, top = f.ring.gens.index(x.numer), f.degree(x.numer)
    return f.ring.from_dict({(*k[:at], 0, *k[at + 1 :]): c for k, c in f.terms() if k[at] == top})


def _values(f: Any, points: np.ndarray) -> np.ndarray:
    out = np.zeros(points.shape[1])
    for k, c in f.terms():
        out += float(c) * np.prod(points ** np.array(k)[:, None], axis=0)
    return out


# ---------------------------------------------------------------------- orders
@dataclass(frozen=True)
class Order:
    r"""A quantity :math:`\sim c\,T^e(\log T)^k`.

    Attributes:
        exponent: ``e``, an element of a chamber's field; None if the quantity is zero.
        log: ``k``.
        constant: ``|c|``, where it is known.
        sign: 1 or -1.
        exact: Whether the order is attained; False for an upper bound, where leading terms cancel.
    """

    exponent: Any
    log: int = 0
    constant: Expr | None = None
    sign: int = 1
    exact: bool = True

    @property
    def vanishes(self) -> bool:
        """Whether it is zero."""
        return self.exponent is None

    def __mul__(self, other: Order) -> Order:
        if self.vanishes or other.vanishes:
            return Order(None)
        known = self.constant is not None and other.constant is not None
        return Order(
            self.exponent + other.exponent,
            self.log + other.log,
            Mul(self.constant, other.constant) if known else None,
            self.sign * other.sign,
            self.exact and other.exact,
        )

    def power(self, q: Any) -> Order:
        """Return the order of a power, of a positive quantity unless the power is an integer."""
        if q == 0:
            return Order(self.exponent * 0 if self.exponent is not None else None, 0, S.One)
        if self.vanishes:
            return self
        if q.is_Integer:
            sign = self.sign ** int(q % 2)
        elif self.sign < 0:
            raise DomainError(f"a power {q} needs a positive base, got a negative one")
        else:
            sign = 1
        scaled = self.log * q
        if not scaled.is_Integer or (not self.exact and q < 0):
            raise DomainError(
                f"a power {q} has no power-law asymptotics of a base that is only bounded or has a logarithm"
            )
        return Order(
            self.exponent * QQ(q.p, q.q),
            int(scaled),
            None if self.constant is None else self.constant**q,
            sign,
            self.exact,
        )

    @property
    def negative(self) -> Order:
        """The quantity with the other sign."""
        return replace(self, sign=-self.sign)


def total(orders: Iterable[Order], chamber: Chamber) -> Order:
    """Return the order of a sum: its largest terms, unless they cancel.

    Where the largest terms have both signs, their constants decide if they are known; otherwise only a bound is returned.
    """
    top: list[Order] = []
    for x in orders:
        if x.vanishes:
            continue
        order = chamber.compare(x, top[0]) if top else 1
        if order >= 0:
            top = [x] if order > 0 else [*top, x]
    if not top:
        return Order(None)
    known = all(x.constant is not None and x.exact for x in top)
    constant = Add(*(x.sign * S(x.constant) for x in top)) if known else None
    signs = {x.sign for x in top}
    if len(signs) == 1:
        # A bound of the same sign adds to what is attained.
        attained = any(x.exact for x in top)
        return replace(top[0], constant=None if constant is None else top[0].sign * constant, exact=attained)
    if constant is not None and constant.is_number and (side := constant.evalf()) and abs(side) > CLEAR:
        sign = 1 if side > 0 else -1
        return replace(top[0], constant=sign * constant, sign=sign)
    return replace(top[0], constant=None, exact=False)
