"""Numbers in mpmath without global state: a context of its own for every calculation.

mpmath's default context is shared by everything in the process; changing its precision, even for a while, changes what other
threads compute. So the package never touches it: calculations run in a private context, and SymPy numbers are converted
here rather than by SymPy's ``evalf``, which sets the global precision for many functions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from functools import reduce
from operator import add, mul
from threading import RLock
from typing import Any

import mpmath
import numpy as np
from sympy import Add, Expr, Mul, Number, NumberSymbol, Pow

from collapse_theory.core.errors import DomainError

__all__ = ["elementary_functions", "exact_context", "exact_number", "exact_value", "private_context", "public_number"]

_CACHES = RLock()  # mpmath keeps constants and Bernoulli numbers in caches that two threads must not extend at once


@contextmanager
def exact_context(bits: int) -> Iterator[Any]:
    """Give a private mpmath context of so many bits, one thread at a time.

    >>> with exact_context(200) as mp:
    ...     print(mp.nstr(mp.sqrt(2), 30))
    1.41421356237309504880168872421
    """
    with _CACHES:
        yield private_context(bits)


def private_context(bits: int) -> Any:
    """Return a private mpmath context of so many bits, for arithmetic and square roots alone: these use no shared cache."""
    mp = mpmath.MPContext()
    mp.prec = bits
    return mp


def public_number(value: Any) -> Any:
    """Return a number of a private context as one of mpmath's default context, all its bits kept."""
    return mpmath.mp.make_mpf(value._mpf_)


def elementary_functions(mp: Any) -> Mapping[str, Callable[..., Any]]:
    """Return the functions a number may be written with, by SymPy class name."""
    return {
        "exp": mp.exp,
        "log": mp.log,
        "sin": mp.sin,
        "cos": mp.cos,
        "tan": mp.tan,
        "zeta": mp.zeta,
        "gamma": mp.gamma,
        "loggamma": mp.loggamma,
        "digamma": mp.digamma,
        "polygamma": lambda order, x: mp.psi(int(float(order)), x),
        "harmonic": lambda n, order=1: mp.harmonic(n) if order == 1 else mp.zeta(order) - mp.zeta(order, n + 1),
        "Max": getattr(mp, "max", max),  # of balls no one may be the largest
        "Min": getattr(mp, "min", min),
        "Abs": abs,
    }


def exact_number(x: Expr, mp: Any) -> Any:
    """Return a SymPy number in the context ``mp``: rationals and floats by their exact value, others at its precision.

    Raises:
        DomainError: If it has a function that is not elementary.
    """
    if isinstance(x, Number | NumberSymbol):
        return mp.mpf(x._to_mpmath(mp.prec) if isinstance(mp, mpmath.MPContext) else x)
    arguments = [exact_number(a, mp) for a in x.args]
    if isinstance(x, Add):
        return reduce(add, arguments)
    if isinstance(x, Mul):
        return reduce(mul, arguments)
    if isinstance(x, Pow):
        return arguments[0] ** (int(x.exp) if x.exp.is_Integer else arguments[1])
    function = elementary_functions(mp).get(type(x).__name__)
    if function is None:
        raise DomainError(f"digits= has no value for {x}; give the number itself, or evaluate in float64")
    return function(*arguments)


def exact_value(value: Any, mp: Any) -> Any:
    """Return a number in an mpmath context: rationals and floats by their exact value, sqrt(2) to working precision."""
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.item()
    if hasattr(value, "_mpf_"):
        return mp.convert(value)
    if value == math.inf:  # d, which then occurs in conditions alone
        return mp.inf
    if isinstance(value, Expr) and not value.is_Rational:
        return exact_number(value, mp)
    q = Fraction(int(value.p), int(value.q)) if isinstance(value, Expr) else Fraction(value)
    return mp.mpf(q.numerator) / q.denominator
