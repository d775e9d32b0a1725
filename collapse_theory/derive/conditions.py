"""What the conditions of a formula prove of a difference."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from sympy import QQ, Add, Eq, Expr, Ge, Gt, Le, Lt, fraction, together
from sympy.logic.boolalg import Boolean
from sympy.polys.polyerrors import CoercionFailed

from collapse_theory.algebra.effective import EffectiveRidge
from collapse_theory.algebra.inequalities import implied
from collapse_theory.symbols import ordered

__all__ = ["implied_by", "ridges_apart"]


def implied_by(conditions: Iterable[Boolean], e: Expr) -> bool:
    """Return whether the conditions prove that a polynomial is not negative."""
    facts: list[Expr] = []
    for c in conditions:
        if isinstance(c, (Ge, Gt, Le, Lt, Eq)):
            difference = c.lhs - c.rhs
            facts += [difference] if isinstance(c, (Ge, Gt)) else [-difference]
            facts += [difference] if isinstance(c, Eq) else []
    return _proved(e, tuple(facts))


@lru_cache(maxsize=1024)
def _proved(e: Expr, facts: tuple[Expr, ...]) -> bool:
    symbols = ordered(set().union(*(x.free_symbols for x in (e, *facts))))
    polynomials = QQ.poly_ring(*symbols) if symbols else None
    if polynomials is None:
        return bool(e >= 0)
    try:
        f, *known = (polynomials.from_sympy(x) for x in (e, *facts, *(x for x in symbols if x.is_nonnegative)))
    except CoercionFailed:  # not a polynomial with rational coefficients
        return False
    sign, factors = f.factor_list()
    for factor, power in factors:
        if power % 2 == 0:
            continue
        if implied(factor, known):
            side = 1
        elif implied(-factor, known):
            side = -1
        else:
            return False
        sign *= side
    return bool(sign >= 0)


def ridges_apart(e: Add) -> Expr | None:
    """Return for two effective ridges of one sample, one minus the other, what has the sign of their difference, or None.

    The effective ridge grows with the ridge.
    """
    if len(e.args) != 2 or {x.could_extract_minus_sign() for x in e.args} != {False, True}:
        return None
    plus, minus = (next(x for x in e.args if x.could_extract_minus_sign() is side) for side in (False, True))
    minus = -minus
    if not isinstance(plus, EffectiveRidge) or not isinstance(minus, EffectiveRidge) or plus.args[0] != minus.args[0]:
        return None
    numerator, denominator = fraction(together(plus.args[1] - minus.args[1]))
    return (numerator * denominator).expand()
