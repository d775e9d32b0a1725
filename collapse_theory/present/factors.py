"""Factored forms, each made once: the search for the shortest print asks for the same ones again and again."""

from __future__ import annotations

from functools import lru_cache

from sympy import Add, Expr, factor, fraction, together

__all__ = ["factored", "joined", "quotient"]

_KEPT = 2048


@lru_cache(maxsize=_KEPT)
def factored(e: Expr) -> Expr:
    """Return an expression as a product of irreducible factors.

    Raises:
        PolynomialError: If it is no rational function of symbols.
    """
    return factor(e) if e.has(Add) else e


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
    """
    top, bottom = fraction(factor(together(e)) if e.has(Add) else e)
    return top, bottom
