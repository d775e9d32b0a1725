r"""Conditions as a person states them: each once, none that another implies, both bounds of a symbol in one chain."""

from __future__ import annotations

from collections.abc import Iterable

from sympy import Eq, Expr, Ge, Gt, Le, Lt, S, Symbol
from sympy.logic.boolalg import Boolean

from collapse_theory.present.printer import to_latex

__all__ = ["stated"]

_LOWER = {Ge: r"\leq", Gt: "<"}
_UPPER = {Le: r"\leq", Lt: "<"}
_SIGN = {Ge: r"\geq", Gt: ">", Le: r"\leq", Lt: "<"}


def stated(conditions: Iterable[Boolean]) -> list[str]:
    r"""Return the LaTeX of conditions.

    >>> from collapse_theory.symbols import T, d, w
    >>> stated([T >= 1, T >= d + 2, w > 0, 1 - w >= 0])
    ['T \\geq d + 2', '0 < w \\leq 1']
    """
    solved = list(dict.fromkeys(_solved(c) for c in conditions if c is not S.true))
    kept = [c for c in solved if not any(_implies(other, c) for other in solved if other is not c)]
    out: list[str] = []
    for c in kept:
        lower, upper = _bounds(kept, c.lhs) if isinstance(c.lhs, Symbol) else ([], [])
        if len(lower) == len(upper) == 1:
            if c is kept[min(kept.index(lower[0]), kept.index(upper[0]))]:
                low, high = lower[0], upper[0]
                name = to_latex(c.lhs)
                out.append(f"{to_latex(low.rhs)} {_LOWER[low.func]} {name} {_UPPER[high.func]} {to_latex(high.rhs)}")
        elif type(c) in _SIGN:
            out.append(f"{to_latex(c.lhs)} {_SIGN[type(c)]} {to_latex(c.rhs)}")
        else:
            out.append(to_latex(c))
    return out


def _solved(c: Boolean) -> Boolean:
    r"""Return a bound with a symbol alone on the left: :math:`1-w\ge0` is :math:`w\le1`, :math:`35\ge d+2` is :math:`d\le33`."""
    if type(c) not in _SIGN:
        return c
    for side, other, turned in ((c.rhs, c.lhs, True), (c.lhs, c.rhs, False)):
        constant, rest = side.as_coeff_Add()
        sign = -1 if rest.could_extract_minus_sign() else 1
        if other.is_number and isinstance(sign * rest, Symbol) and (turned or constant != 0 or sign < 0):
            bound = sign * (other - constant)
            upward = (c.func in _LOWER) != (turned != (sign < 0))
            strict = c.func in {Gt, Lt}
            return ({True: Gt, False: Ge} if upward else {True: Lt, False: Le})[strict](
                sign * rest, bound, evaluate=False
            )
    return c


def _implies(a: Boolean, b: Boolean) -> bool:
    """Return whether a bound implies another one of the same expression."""
    if type(a) not in _SIGN or type(b) not in _SIGN or a.lhs != b.lhs or (a.func in _LOWER) != (b.func in _LOWER):
        return False
    beyond: Expr = a.rhs - b.rhs if a.func in _LOWER else b.rhs - a.rhs
    if b.func in {Gt, Lt} and a.func in {Ge, Le}:
        return beyond.is_positive is True
    return beyond.is_nonnegative is True


def _bounds(conditions: list[Boolean], x: Expr) -> tuple[list[Boolean], list[Boolean]]:
    own = [c for c in conditions if not isinstance(c, Eq) and c.lhs == x]
    return [c for c in own if c.func in _LOWER], [c for c in own if c.func in _UPPER]
