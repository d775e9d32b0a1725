"""Sub-expressions that occur more than once in a formula get a name, once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from sympy import Add, Expr, Mul, Pow, S, Symbol
from sympy.core.function import AppliedUndef

from collapse_theory.algebra.integrals import SpectralIntegral
from collapse_theory.algebra.opaque import Opaque

__all__ = ["exchanged", "named_repeats", "sums_within"]

_SIZE = 10  # signs of what is named, at least
_GAIN = 12  # signs that a name must save
_DEFINITION = 4  # signs of a definition beside what it defines


def named_repeats(
    terms: Mapping[str, Expr],
    length: Callable[[Expr], int],
    name: Callable[[Expr], Symbol],
    own: Mapping[str, Symbol],
    *,
    integrals: bool = False,
) -> dict[str, Expr]:
    """Return terms in which what occurs more than once, and is long, has a name: sums and products before the integrals in them.

    Args:
        terms: Expressions by name.
        length: The length of an expression in print.
        name: Returns a new name for an expression, which it keeps.
        own: The names that terms have already.
        integrals: Whether traces and quadratic forms are named too, where nothing longer is left to name.
    """
    out = dict(terms)
    while True:
        uses: dict[Expr, int] = {}
        for e in out.values():
            _count(e, uses)
        sizes = {e: length(e) for e, count in uses.items() if count > 1}
        gains = {e: (uses[e] - 1) * size - uses[e] - _DEFINITION for e, size in sizes.items() if size >= _SIZE}
        worth = [e for e, gain in gains.items() if gain >= _GAIN and (integrals or not isinstance(e, SpectralIntegral))]
        best = max(worth, key=lambda e: (not isinstance(e, SpectralIntegral), gains[e], str(e)), default=None)
        if best is None:
            return out
        whole = next((k for k, e in out.items() if e == best and k in own), None)
        x = name(best) if whole is None else own[whole]
        out = {k: e if k == whole else exchanged(e, best, x) for k, e in out.items()}


def _count(e: Expr, uses: dict[Expr, int]) -> None:
    """Count scalar sub-expressions, a product without its number."""
    body = _body(e)
    inverse = body.is_Pow and body.exp.could_extract_minus_sign()
    if isinstance(body, (Add, Mul, Pow, SpectralIntegral)) and not body.is_number and not inverse:
        uses[body] = uses.get(body, 0) + 1
    if not isinstance(body, Opaque | SpectralIntegral | AppliedUndef):
        for a in body.args:
            _count(a, uses)


def _body(e: Expr) -> Expr:
    if not e.is_Mul:
        return e
    number, rest = e.as_coeff_Mul()
    return rest if number != S.One else e


def sums_within(e: Expr) -> Iterator[Expr]:
    """Return the scalar sums inside an expression, itself not among them."""
    if not isinstance(e, Opaque | SpectralIntegral | AppliedUndef):
        for a in e.args:
            if a.is_Add:
                yield a
            yield from sums_within(a)


def exchanged(e: Expr, old: Expr, new: Symbol) -> Expr:
    """Return an expression with a name for one inside it."""
    if e == old:
        return new
    if isinstance(e, Opaque | SpectralIntegral | AppliedUndef) or not e.args:
        return e
    if e.is_Mul and _body(e) == old:
        return e.as_coeff_Mul()[0] * new
    if e.is_Pow and old.is_Pow and e.base == old.base and (e.exp / old.exp).is_Integer and e.exp / old.exp > 0:
        return new ** (e.exp / old.exp)
    return e.func(*(exchanged(a, old, new) for a in e.args))
