"""How large an expression may be, before algebra on it takes hours or numbers have no end."""

from __future__ import annotations

import math

from sympy import Add, Derivative, Expr, Function, Integral, Limit, Rational, ceiling
from sympy.concrete.expr_with_intlimits import ExprWithIntLimits

from collapse_theory.core.errors import CollapseTheoryError, shown

__all__ = ["MOST_BITS", "expanded_terms", "number_bits", "ordinary_size", "powers_of_sums"]

MOST_BITS = 4096  # of an exact number
_POWERS = 32  # powers of sums in an expression
_TERMS = 300  # of an expression when it is multiplied out
_COUNTED = 10**6  # terms beyond this are not told apart
_FUNCTIONS = frozenset(
    "Abs Max Min Piecewise cos digamma exp gamma harmonic log loggamma polygamma sin tan zeta".split()  # noqa: SIM905
)
"""SymPy functions that have a kernel in every arithmetic."""


def ordinary_size(expr: Expr, name: str, error: type[CollapseTheoryError]) -> None:
    """Refuse an expression that the algebra would work on for hours, or that no arithmetic evaluates.

    Args:
        expr: The expression.
        name: The argument's name, for the message.
        error: The exception to raise.

    Raises:
        CollapseTheoryError: ``error``, if it has too long numbers, too high powers of sums, too many terms, or a function
            without a numeric kernel.
    """
    if expr.is_Atom and not expr.is_Rational:
        return
    if number_bits(expr) > MOST_BITS:
        raise error(f"{name} needs exact numbers of at most {MOST_BITS} bits, got {shown(expr)}; write it as a float")
    if powers_of_sums(expr) > _POWERS or expanded_terms(expr) > _TERMS:
        raise error(
            f"{name} needs sums to powers of at most {_POWERS} in all, and {_TERMS} terms when multiplied out, got "
            f"{shown(expr)}; introduce a symbol for it"
        )
    for f in expr.atoms(Function, ExprWithIntLimits, Derivative, Integral, Limit):
        head = type(f)
        if head.__name__ not in _FUNCTIONS and not (head.__module__ or "").startswith("collapse_theory"):
            raise error(
                f"{name} needs an expression in {', '.join(sorted(_FUNCTIONS))}, got {head.__name__} in {shown(expr)}; "
                "write it in closed form, or introduce a symbol"
            )


def number_bits(e: Expr) -> int:
    """Return the size of the largest exact number in an expression.

    >>> from sympy import Integer
    >>> number_bits(Integer(2) ** 100)
    102
    """
    return max((int(a.p).bit_length() + int(a.q).bit_length() for a in e.atoms(Rational)), default=1)


def powers_of_sums(e: Expr) -> int:
    """Return the degree in sums that an expression has when it is multiplied out: what algebra on it costs.

    >>> from sympy.abc import x
    >>> powers_of_sums((x + 1) ** 30 * (x + 2) ** 2), powers_of_sums(x**30 + 1)
    (32, 0)
    """
    if e.is_Mul:
        return sum(map(powers_of_sums, e.args))
    inner = max(map(powers_of_sums, (a for a in e.args if isinstance(a, Expr))), default=0)
    if e.is_Pow and e.exp.is_Rational:
        return int(ceiling(abs(e.exp))) * max(inner, int(e.base.has(Add)))
    return inner


def expanded_terms(e: Expr) -> int:
    """Return how many terms an expression has at most when it is multiplied out.

    >>> from sympy.abc import x, y, z
    >>> expanded_terms((x + y + z) ** 4), expanded_terms((x + 1) / (y + 1))
    (15, 4)
    """
    inner = [expanded_terms(a) for a in e.args if isinstance(a, Expr)]
    if e.is_Add:
        return min(sum(inner), _COUNTED)
    if e.is_Mul:
        return min(math.prod(inner), _COUNTED)
    if e.is_Pow and e.exp.is_Rational and inner[0] > 1:
        k = int(ceiling(abs(e.exp)))
        return _COUNTED if k * inner[0] >= _COUNTED else min(math.comb(k + inner[0] - 1, k), _COUNTED)
    return max(inner, default=1)
