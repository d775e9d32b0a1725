"""Factored forms, each made once: the search for the shortest print asks for the same ones again and again.

Most polynomials of a formula are linear in some symbol, :math:`ax+b`. One with coprime :math:`a` and :math:`b` has no factor but
itself, which a greatest common divisor tells much sooner than a factorisation.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sympy import Add, Expr, Mul, factor, fraction, together
from sympy.polys.fields import sfield
from sympy.polys.rings import sring

__all__ = ["factored", "joined", "quotient"]

_KEPT = 2048


@lru_cache(maxsize=_KEPT)
def factored(e: Expr) -> Expr:
    """Return an expression as a product of irreducible factors.

    Raises:
        PolynomialError: If it is no rational function of symbols.

    >>> from sympy.abc import x, y
    >>> factored(x + y), factored(x + x * y)
    (x + y, x*(y + 1))
    """
    if not e.is_Add:
        return factor(e) if e.has(Add) else e
    ring, p = sring(e)
    if not all(x.is_Symbol for x in ring.symbols):
        return factor(e)
    c, factors = _factors(p)
    return Mul(c, *factors, evaluate=len(factors) > 1 or abs(c) == 1)


@lru_cache(maxsize=_KEPT)
def joined(e: Expr) -> tuple[Expr, Expr]:
    """Return numerator and denominator over one line."""
    top, bottom = fraction(together(e))
    return top, bottom


@lru_cache(maxsize=_KEPT)
def quotient(e: Expr) -> tuple[Expr, Expr]:
    """Return numerator and denominator as products of irreducible factors.

    Raises:
        PolynomialError: If it is no rational function of symbols.

    >>> from sympy.abc import x, y
    >>> quotient(1 / x - 1 / y)
    (-x + y, x*y)
    """
    if not e.has(Add):
        top, bottom = fraction(e)
        return top, bottom
    f = sfield(e)[1]
    return tuple(Mul(c, *factors) for c, factors in map(_factors, (f.numer, f.denom)))


def _factors(p: Any) -> tuple[Expr, list[Expr]]:
    """Return a polynomial of a ring as a number and irreducible factors whose first term is positive."""
    c, q = p.primitive()
    c, q = (-c, -q) if q.LC < 0 else (c, q)
    monomial = tuple(map(min, zip(*q.monoms(), strict=True)))
    q = q.quo_term((monomial, q.ring.domain.one))
    out = [x.as_expr() ** k for x, k in zip(q.ring.gens, monomial, strict=True) if k]
    if q == 1:
        return p.ring.domain.to_sympy(c), out
    unit, more = (1, [(q, 1)]) if _is_irreducible(q) else q.factor_list()
    return p.ring.domain.to_sympy(c * unit), [*out, *(x.as_expr() ** k for x, k in more)]


def _is_irreducible(p: Any) -> bool:
    """Return whether a polynomial without a number in common is linear in a symbol, with coprime coefficients."""
    for i, degree in enumerate(p.degrees()):
        if degree == 1:
            a, b = p.ring.zero, p.ring.zero
            for monomial, c in p.terms():
                (a if monomial[i] else b)[(*monomial[:i], 0, *monomial[i + 1 :])] = c
            if b and a.gcd(b) == 1:
                return True
    return False
