"""Numbers, arrays and symbols as a user may give them: every check of a value on its way in is here.

What counts as a real number is decided once, for a scalar, for each entry of an array and for the elements of a list:
Python, NumPy, SymPy and mpmath reals. Truth values, text, complex numbers, dates, masked entries and missing ones are
refused, because NumPy would convert each of them to a float without a word.
"""

from __future__ import annotations

import math
import numbers
import operator
from collections.abc import Iterable, Iterator, Mapping, Set
from decimal import Decimal
from typing import Any

import numpy as np
from sympy import Expr, Float, I, Integer, MatrixExpr, Rational, sstr

from collapse_theory.core.errors import CollapseTheoryError, DomainError, shown
from collapse_theory.core.size import ordinary_size

__all__ = [
    "MOST_TRIALS",
    "Scalar",
    "flag",
    "float64_number",
    "integer",
    "real",
    "real_array",
    "real_values",
    "scalars",
    "show",
    "worker_count",
]

Scalar = int | float | Expr
"""What a user may write for a quantity: an ordinary number or a SymPy expression."""

_LARGEST = Float(np.finfo(float).max)
_NESTED = 8  # lists within lists: more is a list that contains itself
MOST_TRIALS = 10**8
_MOST_JOBS = 1024
_JOBS_REMEDY = "give the number of workers, or -1 for all cores"
_PLAIN = (int, float, np.float64, np.int64, np.float32, np.int32)


# ------------------------------------------------------------------ scalars
def real(
    value: Any,
    name: str,
    *,
    positive: bool = False,
    nonnegative: bool = False,
    integer: bool = False,
    number: bool = False,
    most: int | None = None,
    error: type[CollapseTheoryError] = DomainError,
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
        number: Require a number within float64, not an expression with symbols.
        most: Require a number of at most this, if given.
        error: The exception to raise.

    Raises:
        DomainError: Or ``error``, if the value is not a finite real number in range.

    >>> real(0.5, "noise"), real(3, "T", positive=True)
    (0.500000000000000, 3)
    """
    expr = _expression(value, name, error)
    if expr.is_number and not (expr.is_real and expr.is_finite):
        raise error(f"{name} needs to be finite and real, got {shown(value)}; give a finite real number")
    if isinstance(expr, MatrixExpr) or expr.is_extended_real is False or expr.is_commutative is False or expr.has(I):
        raise error(f"{name} needs to be a real scalar, got {shown(value)}; give a number or a real expression")
    ordinary_size(expr, name, error)
    want, fails = "", False
    if positive:
        want, fails = "> 0", expr.is_positive is False
    elif nonnegative:
        want, fails = ">= 0", expr.is_negative is True
    if fails:
        got = show(value) if isinstance(value, Expr) else shown(value)
        raise error(f"{name} needs to be {want}, got {got}; give a {'positive' if positive else 'non-negative'} value")
    if number and (expr.free_symbols or abs(expr) > _LARGEST):
        raise error(
            f"{name} needs to be a number within float64, got {shown(value)}; substitute its symbols, or rescale it"
        )
    if most is not None and expr.is_number and expr > most:
        raise error(f"{name} needs to be <= {most}, got {shown(value)}; give a smaller value")
    if integer and expr.is_number:
        if not (expr.is_integer or (isinstance(expr, Float) and float(expr).is_integer())):
            raise error(f"{name} needs to be an integer, got {shown(value)}; round it")
        return Integer(int(expr))
    return expr


def _expression(value: Any, name: str, error: type[CollapseTheoryError]) -> Expr:
    if isinstance(value, np.ndarray) and value.ndim == 0 and not isinstance(value, np.ma.MaskedArray):
        value = value[()]
    if isinstance(value, Expr):
        return value
    if not _is_real(value):
        kind = type(value).__name__
        raise error(
            f"{name} needs to be a real number or a SymPy expression, got {shown(value)} of type {kind}; convert it"
        )
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, numbers.Integral):
        return Integer(int(value))
    if isinstance(value, numbers.Rational):
        return Rational(value.numerator, value.denominator)
    try:
        number = float(value)
    except ValueError:  # a signalling NaN
        number = math.nan
    if not math.isfinite(number):
        raise error(f"{name} needs to be finite, got {shown(value)}; remove NaN and infinities")
    if isinstance(value, Decimal) and number:
        return Rational(*value.as_integer_ratio())
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


def _is_real(value: Any) -> bool:
    """Whether one object is a real number; NumPy's time differences call themselves integers."""
    return isinstance(value, numbers.Real | Decimal) and not isinstance(value, bool | np.timedelta64)


def show(value: Expr) -> str:
    """Return an expression as text with floats in their shortest form.

    >>> show(real(0.5, "noise"))
    '0.5'
    """
    try:
        return str(sstr(value, full_prec=False))
    except ValueError:  # an integer of more digits than Python prints
        return shown(value)


def integer(
    value: Any,
    name: str,
    *,
    least: int | None = None,
    most: int | None = None,
    remedy: str = "give an integer",
) -> int:
    """Return a count: a Python, NumPy or SymPy integer in a range. Floats and truth values are not counts.

    Args:
        value: The integer.
        name: The argument's name, for the message.
        least: Smallest value, or None.
        most: Largest value, or None.
        remedy: The end of the message.

    Raises:
        DomainError: If it is no integer or out of range.

    >>> integer(3, "trials", least=1)
    3
    """
    try:
        number = None if isinstance(value, bool | np.timedelta64) else operator.index(value)
    except TypeError:
        number = None
    want = "an integer"
    if number is None or (least is not None and number < least):
        want += "" if least is None else f" >= {least}"
    elif most is not None and number > most:
        want += f" <= {most}"
    else:
        return number
    raise DomainError(f"{name} needs to be {want}, got {shown(value)}; {remedy}")


def worker_count(jobs: Any) -> int:
    """Return a number of workers: 1 to 1024, or, as in joblib, -1 for all cores and -2 for all but one.

    Raises:
        DomainError: If it is none of these.

    >>> worker_count(-1)
    -1
    """
    number = integer(jobs, "jobs", least=-_MOST_JOBS, most=_MOST_JOBS, remedy=_JOBS_REMEDY)
    if number == 0:
        raise DomainError(f"jobs needs to be a non-zero integer, got 0; {_JOBS_REMEDY}")
    return number


def scalars(
    values: Any,
    name: str,
    *,
    nonnegative: bool = False,
    error: type[CollapseTheoryError] = DomainError,
) -> tuple[Expr, ...]:
    """Return a short sequence of numbers or SymPy expressions, each checked by :func:`real`.

    Args:
        values: A list, tuple, one-dimensional array or other iterable with an order.
        name: The argument's name, for the message.
        nonnegative: Require every value >= 0.
        error: The exception to raise.

    Raises:
        DomainError: Or ``error``, if it is no such sequence or a value is out of range.

    >>> scalars([1, 0.5], "weights")
    (1, 0.500000000000000)
    """
    no_list = isinstance(values, str | bytes | Mapping | Set | Expr | np.ma.MaskedArray) or not isinstance(
        values, Iterable
    )
    if no_list or (isinstance(values, np.ndarray) and values.ndim != 1):
        raise error(f"{name} needs to be a list of numbers, got {shown(values)}; write [1, 0.5]")
    return tuple(real(x, f"{name}[{i}]", nonnegative=nonnegative, error=error) for i, x in enumerate(values))


def flag(value: Any, name: str) -> bool:
    """Return a truth value; text, numbers and None are not taken for one.

    Raises:
        DomainError: If it is no truth value.

    >>> flag(True, "center")
    True
    """
    if not isinstance(value, bool | np.bool_):
        raise DomainError(f"{name} needs to be True or False, got {shown(value)}; give one of the two")
    return bool(value)


# ------------------------------------------------------------------ arrays
def real_values(
    values: Any,
    name: str,
    *,
    what: str = "a real number or an array of real numbers",
    error: type[CollapseTheoryError] = DomainError,
) -> np.ndarray:
    """Return real numbers of any shape as a new float64 array; NaN and infinities are left to the caller.

    Args:
        values: A real number, an array, a (nested) list, or a pandas object; entries may be objects if each is a real
            number of Python, NumPy, SymPy or mpmath.
        name: The argument's name, for the message.
        what: What is needed, for the message.
        error: The exception to raise.

    Raises:
        DomainError: Or ``error``, if an entry is text, a truth value, complex, a date, masked or missing, or rows of a
            nested list differ in length. Nothing is converted silently.

    >>> real_values([3, 4], "T")
    array([3., 4.])
    """
    want = f"{name} needs to be {what}"
    for found in _below(values, _NESTED):
        if isinstance(found, np.ma.MaskedArray):
            raise error(f"{want} without a mask, got a masked array; fill it, or drop the masked entries")
        raise error(f"{want}, got lists nested more than {_NESTED} deep: {shown(values)}; flatten them")
    try:
        # Left to itself NumPy would turn [1.0, True] into floats; as objects the elements keep their types.
        given = np.array(values, dtype=object) if isinstance(values, list | tuple) else np.asarray(values)
    except (TypeError, ValueError, RuntimeError, RecursionError) as e:
        raise error(f"{want}, got {shown(values)} ({e}); give rows of equal length") from e
    if given.dtype.kind == "O":
        return _from_objects(given, values, want, error)
    if given.dtype.kind not in "iuf":
        kind = given.dtype.name if given.dtype.names is None else "a structured array"
        raise error(f"{want}, got {kind}: {shown(values)}; convert it first")
    with np.errstate(over="ignore"):  # an extended-precision number too large for float64 is caught as an infinity
        return np.array(given, dtype=np.float64)


def _below(values: Any, depth: int) -> Iterator[Any]:
    """Yield the masked arrays in lists, where NumPy would drop the mask, and the lists that are nested too deeply."""
    if isinstance(values, list | tuple):
        if depth == 0:
            yield values
            return
        for kind in set(map(type, values)):
            if issubclass(kind, list | tuple | np.ma.MaskedArray):
                for v in values:
                    if isinstance(v, kind):
                        yield from _below(v, depth - 1)
    elif isinstance(values, np.ma.MaskedArray):
        yield values


def _from_objects(given: np.ndarray, values: Any, want: str, error: type[CollapseTheoryError]) -> np.ndarray:
    entries = given.ravel().tolist()
    for kind in set(map(type, entries)).difference(_PLAIN):
        for x in entries:
            if isinstance(x, kind) and not (
                _is_real(x) or (isinstance(x, Expr) and x.is_number and x.is_extended_real)
            ):
                what = f"{shown(x)} of type {type(x).__name__}"
                raise error(f"{want}, got {what}{'' if x is values else ' among them'}; convert it first")
    try:
        return np.array([float(x) for x in entries], dtype=np.float64).reshape(given.shape)
    except (OverflowError, TypeError, ValueError) as e:
        raise error(f"{want} within float64, got {shown(values)} ({e}); rescale it") from e


def real_array(
    values: Any,
    name: str,
    *,
    dimensions: int = 1,
    nonnegative: bool = False,
) -> np.ndarray:
    """Return a finite float64 copy of ``values`` that cannot be written to.

    Args:
        values: As for :func:`real_values`.
        name: The argument's name, for the message.
        dimensions: The number of axes it needs.
        nonnegative: Require every value >= 0.

    Raises:
        DomainError: If the array is empty, of other dimensions, not of real numbers, or has a value out of
            range.

    >>> real_array([2, 1], "eigenvalues")
    array([2., 1.])
    """
    array = real_values(values, name, what="an array of real numbers")
    if array.ndim != dimensions or array.size == 0:
        want = {1: "one-dimensional", 2: "two-dimensional"}[dimensions]
        raise DomainError(f"{name} needs to be {want} and not empty, got shape {array.shape}; reshape it")
    for condition, bad, remedy in _faults(array, nonnegative=nonnegative):
        if bad.any():
            place = tuple(int(i) for i in np.argwhere(bad)[0])
            at = f"position {place[0]}" if dimensions == 1 else f"{list(place)}"
            raise DomainError(f"{name} needs every value {condition}, got {float(array[place])!r} at {at}; {remedy}")
    array.setflags(write=False)
    return array


def _faults(array: np.ndarray, *, nonnegative: bool) -> Iterable[tuple[str, np.ndarray, str]]:
    yield "finite", ~np.isfinite(array), "remove NaN and infinities"
    if nonnegative:
        yield ">= 0", array < 0, "set round-off below zero to 0"
