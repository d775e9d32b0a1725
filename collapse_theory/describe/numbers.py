"""Numbers and symbols as a user may give them: checked once, on the way in."""

from __future__ import annotations

import math
import numbers
from typing import Any

import numpy as np
from sympy import Expr, Float, Integer, Rational, sstr

from collapse_theory.errors import DomainError

__all__ = ["Scalar", "float64_number", "real", "real_array", "show"]

Scalar = int | float | Expr
"""What a user may write for a quantity: an ordinary number or a SymPy expression."""


def real(
    value: Any,
    name: str,
    *,
    positive: bool = False,
    nonnegative: bool = False,
    integer: bool = False,
    error: type[Exception] = DomainError,
) -> Expr:
    """Return ``value`` as a real SymPy expression, or raise if it is provably outside its range.

    Floats become ``Float`` with their exact binary value. An expression with free symbols is rejected only if its
    assumptions prove it out of range; what cannot be decided here is checked when the symbols get values.

    Args:
        value: Python, NumPy or SymPy number, or a SymPy expression.
        name: The argument's name, for the message.
        positive: Require ``value > 0``.
        nonnegative: Require ``value >= 0``.
        integer: Require an integer.
        error: The exception to raise.

    Raises:
        DomainError: Or ``error``, if the value is not a finite real number in range.

    >>> real(0.5, "noise"), real(3, "T", positive=True)
    (0.500000000000000, 3)
    """
    expr = _expression(value, name, error)
    if expr.is_number and not (expr.is_real and expr.is_finite):
        raise error(f"{name} needs to be finite and real, got {value!r}; give a finite real number")
    want, fails = "", False
    if positive:
        want, fails = "> 0", expr.is_positive is False
    elif nonnegative:
        want, fails = ">= 0", expr.is_negative is True
    if fails:
        got = show(value) if isinstance(value, Expr) else repr(value)
        raise error(f"{name} needs to be {want}, got {got}; give a {'positive' if positive else 'non-negative'} value")
    if integer and expr.is_number:
        if not (expr.is_integer or (isinstance(expr, Float) and float(expr).is_integer())):
            raise error(f"{name} needs to be an integer, got {value!r}; round it")
        return Integer(int(expr))
    return expr


def _expression(value: Any, name: str, error: type[Exception]) -> Expr:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Expr):
        return value
    if isinstance(value, (bool, str)) or not isinstance(value, numbers.Real):
        kind = type(value).__name__
        raise error(f"{name} needs to be a real number or a SymPy expression, got {value!r} of type {kind}; convert it")
    if isinstance(value, numbers.Integral):
        return Integer(int(value))
    if isinstance(value, numbers.Rational):
        return Rational(value.numerator, value.denominator)
    number = float(value)
    if not math.isfinite(number):
        raise error(f"{name} needs to be finite, got {value!r}; remove NaN and infinities")
    # An integral float is the same number; as an integer it keeps exact zeros and ones recognisable.
    return Integer(int(number)) if number.is_integer() else Float(number)


def float64_number(value: Expr, name: str) -> float:
    """Return a SymPy number as float64.

    Raises:
        DomainError: If it overflows, or is so small that float64 loses its digits.

    >>> float64_number(Rational(1, 3), "noise")
    0.3333333333333333
    """
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if math.isinf(number):
        raise DomainError(f"{name} needs to fit float64, got {show(value)}; rescale, or use digits=")
    if abs(number) < _TINY and Rational(number) != (Rational(value) if isinstance(value, Float) else value):
        raise DomainError(f"{name} underflows float64, got {show(value)}; rescale, or use digits=")
    return number


_TINY = float(np.finfo(float).tiny)


def show(value: Expr) -> str:
    """Return an expression as text with floats in their shortest form.

    >>> show(real(0.5, "noise"))
    '0.5'
    """
    return str(sstr(value, full_prec=False))


def real_array(values: Any, name: str, *, nonnegative: bool = False) -> np.ndarray:
    """Return a finite one-dimensional float64 copy of ``values`` that cannot be written to.

    Raises:
        DomainError: If the array is empty, not one-dimensional, not numeric, or has a value out of range.
    """
    try:
        given = np.asarray(values)
        array = np.array(given, dtype=np.float64) if given.dtype.kind in "iufO" else None
    except (TypeError, ValueError) as e:
        raise DomainError(f"{name} needs to be an array of real numbers, got {type(values).__name__}; {e}") from e
    if array is None:  # text, truth values and complex numbers would be converted silently
        raise DomainError(f"{name} needs to be an array of real numbers, got {given.dtype.name}; convert it first")
    if array.ndim != 1 or array.size == 0:
        raise DomainError(f"{name} needs to be one-dimensional and not empty, got shape {array.shape}; flatten it")
    for condition, bad, remedy in (
        ("finite", ~np.isfinite(array), "remove NaN and infinities"),
        (">= 0", (array < 0) if nonnegative else np.zeros(array.shape, bool), "set round-off below zero to 0"),
    ):
        if bad.any():
            j = int(np.flatnonzero(bad)[0])
            raise DomainError(
                f"{name} needs every value {condition}, got {float(array[j])!r} at position {j}; {remedy}"
            )
    array.setflags(write=False)
    return array
