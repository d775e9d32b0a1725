"""Expressions compiled to functions of positional arguments, in which no symbol's name occurs.

Generated source that contained the names would break on two symbols of one name (a covariance and a parameter), on Python's
keywords and on names that a function of the module or a common sub-expression has too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from sympy import Basic, Dummy, Symbol, lambdify

__all__ = ["numeric_function"]


def numeric_function(
    arguments: Sequence[Symbol], expressions: Basic | Sequence[Basic], **options: Any
) -> Callable[..., Any]:
    """Return the function of the values of ``arguments``, in their order, that computes the expressions.

    Args:
        arguments: Every free symbol of the expressions.
        expressions: One expression, or several for a function that returns a list.
        **options: As for SymPy's ``lambdify``.

    >>> x, other = Symbol("lambda"), Symbol("lambda", positive=True)
    >>> numeric_function([x, other], x - 2 * other)(5, 1)
    3
    """
    places = [_place(i, frozenset(x.assumptions0.items())) for i, x in enumerate(arguments)]
    change = dict(zip(arguments, places, strict=True))
    if isinstance(expressions, Basic):
        return lambdify(places, expressions.xreplace(change), **options)
    return lambdify(places, [e.xreplace(change) for e in expressions], **options)


@lru_cache(maxsize=1024)
def _place(i: int, assumptions: frozenset[tuple[str, bool]]) -> Dummy:
    """Return the symbol of a position: the same each time, so that SymPy knows what it has simplified before."""
    return Dummy(f"x{i}", **dict(assumptions))
