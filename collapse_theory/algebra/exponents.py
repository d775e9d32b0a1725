r"""Orders of magnitude :math:`c\,T^e(\log T)^k` as :math:`T\to\infty`, and the signs of exponents that add and compare them.

The larger exponent wins a sum and exponents add in a product (max-plus algebra), so an exponent is affine in the scale exponents
within a *chamber*, a region in which all comparisons come out one way. A computation in a :class:`Chamber` compares exponents
by :meth:`Chamber.sign`; where what is known of the symbols does not decide, it stops with :class:`UndecidedError`, and
:func:`explored` repeats it on both sides. So conditions are complete and disjoint by construction, and a side that is empty
without our seeing it costs a superfluous case, never a wrong one.

One symbol, the *inner* one, ranges over an interval instead, which :func:`swept` cuts at the exact roots of the comparisons.

Source: max-plus algebra, e.g. Maclagan, Sturmfels, Introduction to Tropical Geometry, 2015, chapter 1.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
from sympy import QQ, Add, Expr, Ge, Lt, Mul, S, Symbol
from sympy.logic.boolalg import And, Boolean, Or

from collapse_theory.algebra.inequalities import implied
from collapse_theory.core.errors import DomainError

__all__ = [
    "Chamber",
    "CutError",
    "Order",
    "Piece",
    "Split",
    "UndecidedError",
    "boundaries",
    "cases",
    "explored",
    "swept",
    "total",
]


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
        above, below = bool((values > _CLEAR).any()), bool((values < -_CLEAR).any())
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


_SAMPLES, _CLEAR = 400, 1e-9


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
    if constant is not None and constant.is_number and (side := constant.evalf()) and abs(side) > _CLEAR:
        sign = 1 if side > 0 else -1
        return replace(top[0], constant=sign * constant, sign=sign)
    return replace(top[0], constant=None, exact=False)


# ---------------------------------------------------------------------- chambers
@dataclass(frozen=True)
class Split:
    """A tree of cases: a value on each side of a polynomial, which is a value or another split."""

    polynomial: Any
    above: Any
    """Where the polynomial is >= 0."""
    below: Any

    @staticmethod
    def of(polynomial: Any, above: Any, below: Any) -> Any:
        """Return the split, or the common value of both sides."""
        return above if above == below else Split(polynomial, above, below)


def explored(run: Callable[[Chamber], Any], chamber: Chamber) -> Any:
    """Return the results of a computation in all chambers, as a tree of splits.

    Args:
        run: The computation.
        chamber: What is known.

    Raises:
        DomainError: If there are too many chambers to list.
    """
    found = itertools.count(1)

    def explore(chamber: Chamber) -> Any:
        try:
            return run(chamber)
        except UndecidedError as e:
            boundary = e.polynomial
        if next(found) > _MOST:
            raise DomainError(
                f"rates needs fewer symbols, got more than {_MOST} cases for {', '.join(map(str, chamber.domain.symbols))}; "
                "give some of them numbers"
            )
        alive = [x for x in (chamber.knowing(boundary), chamber.knowing(-boundary)) if not x.empty]
        if len(alive) == 1:
            return explore(alive[0])
        return Split.of(boundary, *map(explore, alive))

    return explore(chamber)


_MOST = 100


def cases(tree: Any, value: Callable[[Any], Any], chamber: Chamber) -> list[tuple[Any, Boolean]]:
    """Return the different values in a tree of splits and where each holds: conditions are complete and disjoint.

    Args:
        tree: The tree.
        value: Returns the value of a leaf; sides with equal values are one case.
        chamber: Where the tree was explored.
    """
    found: list[tuple[Any, _Path]] = []

    def walk(node: Any, path: _Path) -> None:
        if isinstance(node, Split):
            walk(node.above, (*path, (node.polynomial, 1)))
            walk(node.below, (*path, (node.polynomial, -1)))
        else:
            found.append((node, path))

    walk(_valued(tree, value), ())
    out: dict[Any, list[Boolean]] = {}
    for x, path in _shortened(found, chamber):
        out.setdefault(x, []).append(And(*(_condition(p, side) for p, side in path)))
    return [(x, Or(*conditions)) for x, conditions in out.items()]


_Path = tuple[tuple[Any, int], ...]
"""Conditions that hold together: polynomials that are >= 0 (1) or < 0 (-1)."""


def _valued(node: Any, value: Callable[[Any], Any]) -> Any:
    if isinstance(node, Split):
        return Split.of(node.polynomial, _valued(node.above, value), _valued(node.below, value))
    return value(node)


def _shortened(found: list[tuple[Any, _Path]], chamber: Chamber) -> list[tuple[Any, _Path]]:
    """Return paths without the conditions that keep them apart from no path of another value; together they cover the same."""
    kept = list(found)
    for i, (x, path) in enumerate(found):
        others = [other for y, other in found if y != x]
        for step in path:
            fewer = tuple(c for c in path if c != step)
            if all(_disjoint(fewer, other, chamber) for other in others):
                path = fewer
        kept[i] = x, path
    kept = list(dict.fromkeys(kept))
    for one in tuple(kept):
        if any(x == one[0] and path != one[1] and _within(one[1], path, chamber) for x, path in kept):
            kept.remove(one)
    return kept


def _within(path: _Path, other: _Path, chamber: Chamber) -> bool:
    """Return whether a path is proved to lie in another: it is apart from the other side of each condition."""
    return all(c in path or _disjoint(path, ((c[0], -c[1]),), chamber) for c in other)


def _disjoint(first: _Path, second: _Path, chamber: Chamber) -> bool:
    """Return whether two paths are proved to have no point in common: the rest contradicts one of the strict conditions."""
    path = tuple(dict.fromkeys((*first, *second)))
    inside = np.ones(chamber.samples.shape[1], dtype=bool)
    for p, side in path:
        inside &= side * _values(p, chamber.samples) > _CLEAR
    if inside.any():
        return False
    for p, side in path:
        rest = [turn * q for q, turn in path if (q, turn) != (p, side)]
        if side < 0 and implied(p, (*chamber.facts, *rest)):
            return True
    return False


def boundaries(tree: Any, value: Callable[[Any], Any], chamber: Chamber) -> list[tuple[Any, Boolean, Any, Any]]:
    """Return the splits whose sides have one value each, and different ones.

    Args:
        tree: The tree.
        value: Returns the value of a leaf.
        chamber: Where the tree was explored.

    Returns:
        The polynomial, what else holds there, and the values where it is negative and where it is not.
    """
    found: dict[tuple[Any, Any, Any], list[Boolean]] = {}

    def walk(node: Any, path: tuple[tuple[Any, int], ...]) -> Any:
        """Return the one value of a node, or None."""
        if not isinstance(node, Split):
            return value(node)
        above = walk(node.above, (*path, (node.polynomial, 1)))
        below = walk(node.below, (*path, (node.polynomial, -1)))
        if above is None or below is None:
            return None
        if above == below:
            return above
        where = And(*(_condition(p, side) for p, side in _needed(path, chamber)))
        found.setdefault((node.polynomial, below, above), []).append(where)
        return None

    walk(tree, ())
    return [(p, Or(*where), below, above) for (p, below, above), where in found.items()]


def _needed(path: Sequence[tuple[Any, int]], chamber: Chamber) -> list[tuple[Any, int]]:
    """Return the conditions of a path that the others do not imply: of two that do, the later stays."""
    kept = list(path)
    for step in path:
        others = [x for x in kept if x != step]
        known = [*chamber.facts, *(side * p for p, side in others)]
        # A strict condition follows from weak ones if there is room to spare.
        weak = step[0] if step[1] > 0 else -step[0] - step[0].ring(_ROOM)
        if implied(weak, known):
            kept = others
    return kept


_ROOM = QQ(1, 10**6)


def _condition(polynomial: Any, side: int) -> Boolean:
    """Return ``polynomial >= 0`` or ``< 0``, solved for a symbol if one stands alone, else without signs."""
    terms = polynomial.terms()
    ring = polynomial.ring
    for i, x in enumerate(ring.gens):
        alone = [c for k, c in terms if k[i]]
        if len(alone) == 1 and polynomial.coeff(x) == alone[0]:
            rest = -(polynomial - alone[0] * x).quo_ground(alone[0])
            if rest.is_ground:
                up = (alone[0] > 0) == (side > 0)
                left, right = x.as_expr(), rest.as_expr()
                if side > 0:
                    return Ge(left, right) if up else Ge(right, left)
                return Lt(right, left) if up else Lt(left, right)
    plus, minus = (ring.from_dict({k: s * c for k, c in terms if s * c > 0}).as_expr() for s in (1, -1))
    return Ge(plus, minus) if side > 0 else Lt(plus, minus)


# ---------------------------------------------------------------------- the inner symbol
@dataclass(frozen=True)
class Piece:
    """A result on an interval of the inner symbol."""

    low: Any
    high: Any
    value: Any


def swept(run: Callable[[Chamber], Any], chamber: Chamber, low: Any, high: Any) -> tuple[Piece, ...]:
    """Return the results of a computation over an interval of the inner symbol, equal neighbours as one piece."""
    try:
        return (Piece(low, high, run(chamber.within(low, high))),)
    except CutError as e:
        left, right = swept(run, chamber, low, e.at), swept(run, chamber, e.at, high)
    if left[-1].value == right[0].value:
        return (*left[:-1], Piece(left[-1].low, right[0].high, right[0].value), *right[1:])
    return (*left, *right)
