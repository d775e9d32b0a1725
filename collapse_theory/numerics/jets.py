r"""Dual numbers over arrays: a value and its derivative in one direction, carried through a recursion.

:math:`a+\dot a\varepsilon` with :math:`\varepsilon^2=0`; every operation is the chain rule. The arrays may hold float64 or
numbers of another arithmetic.

Source: Wengert, A simple automatic derivative evaluation program, Communications of the ACM 1964; Griewank, Walther,
Evaluating Derivatives, 2008, ch. 3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from collapse_theory.core.errors import DomainError
from collapse_theory.numerics.arrays import namespace

__all__ = ["Jet", "counted", "same", "value_of", "where"]


class Jet:
    """A value and its derivative.

    Args:
        value: Number or array.
        slope: Its derivative, of a shape that broadcasts with it.
    """

    __slots__ = ("slope", "value")
    __array_ufunc__ = None  # arrays leave the operation to the dual number

    def __init__(self, value: Any, slope: Any) -> None:
        self.value, self.slope = value, slope

    def __add__(self, other: Any) -> Jet:
        if not isinstance(other, Jet):
            return Jet(self.value + other, self.slope)
        return Jet(self.value + other.value, self.slope + other.slope)

    __radd__ = __add__

    def __neg__(self) -> Jet:
        return Jet(-self.value, -self.slope)

    def __sub__(self, other: Any) -> Jet:
        return self + (-other)

    def __rsub__(self, other: Any) -> Jet:
        return other + (-self)

    def __mul__(self, other: Any) -> Jet:
        if not isinstance(other, Jet):
            return Jet(self.value * other, self.slope * other)
        return Jet(self.value * other.value, self.slope * other.value + self.value * other.slope)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Jet:
        if not isinstance(other, Jet):
            return Jet(self.value / other, self.slope / other)
        quotient = self.value / other.value
        return Jet(quotient, (self.slope - quotient * other.slope) / other.value)

    def __rtruediv__(self, other: Any) -> Jet:
        quotient = other / self.value
        return Jet(quotient, -quotient * self.slope / self.value)

    def __pow__(self, exponent: int) -> Jet:
        return Jet(self.value**exponent, exponent * self.value ** (exponent - 1) * self.slope)

    def __abs__(self) -> Any:
        """Return the size of the value, in which nothing moves."""
        return abs(self.value)

    def __matmul__(self, other: Any) -> Jet:
        b = _jet(other)
        value, slope = np.asarray(self.value @ b.value), np.asarray(self._whole @ b.value)
        return Jet(value, slope if b is not other else slope + self.value @ b._whole)

    def __rmatmul__(self, other: Any) -> Jet:
        return Jet(other @ self.value, other @ self._whole)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Jet:
        return Jet(np.asarray(self.value)[index], self._whole[index])

    def conjugate(self) -> Jet:
        """Return the complex conjugate."""
        return Jet(self.value.conjugate(), self._whole.conjugate())

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the value."""
        return np.shape(self.value)

    @property
    def ndim(self) -> int:
        """The number of axes of the value."""
        return len(self.shape)

    @property
    def T(self) -> Jet:
        """The transpose."""
        return Jet(np.asarray(self.value).T, self._whole.T)

    @property
    def _whole(self) -> np.ndarray:
        """The slope in the shape of the value."""
        slope, shape = np.asarray(self.slope), self.shape
        return slope if slope.shape == shape else np.broadcast_to(slope, shape)

    def sum(self, axis: int | None = None) -> Jet:
        """Return the sum."""
        return Jet(np.sum(self.value, axis=axis), np.sum(self._whole, axis=axis))

    def __array_function__(
        self, function: Callable[..., Any], _types: Any, args: Sequence[Any], options: Mapping[str, Any]
    ) -> Any:
        """Apply a function of NumPy that only moves entries to values and slopes alike; a shape is that of the value."""
        if function in _SHAPES:
            return function(self.value)
        if function not in _MOVES:
            return NotImplemented
        values, slopes = ([_part(a, of) for a in args] for of in (lambda x: x.value, lambda x: x._whole))
        return Jet(function(*values, **options), function(*slopes, **options))


_SHAPES = frozenset({np.ndim, np.shape})
_MOVES = frozenset({np.broadcast_to, np.concatenate, np.ravel, np.reshape, np.stack, np.swapaxes})


def _part(argument: Any, of: Callable[[Jet], Any]) -> Any:
    """Return the values or the slopes of dual numbers, also in a list, in which the slope of other numbers is zero."""
    if isinstance(argument, list):
        return [of(Jet(x, 0 * x) if not isinstance(x, Jet) else x) for x in argument]
    return of(argument) if isinstance(argument, Jet) else argument


def _jet(x: Any) -> Jet:
    return x if isinstance(x, Jet) else Jet(x, 0)


def value_of(x: Any) -> Any:
    """Return the value of a number that may be dual."""
    return x.value if isinstance(x, Jet) else x


def counted(x: Any) -> np.ndarray:
    """Return a number of repetitions as float64.

    Raises:
        DomainError: If it is not one exactly, so that a step might be lost.
    """
    out = np.asarray(x, dtype=float)
    if not np.all(out == x):
        raise DomainError(f"a number of fits needs to be an integer, got about {float(np.ravel(out)[0]):g}; change it")
    return out


def where(condition: Any, a: Any, b: Any) -> Any:
    """Return ``a`` where the condition holds, else ``b``."""
    if not (isinstance(a, Jet) or isinstance(b, Jet)):
        return namespace(condition, a, b).where(condition, a, b)
    p, q = _jet(a), _jet(b)
    return Jet(np.where(condition, p.value, q.value), np.where(condition, p.slope, q.slope))


def same(a: Any, b: Any) -> bool:
    """Return whether two numbers are equal entry by entry, derivatives included."""
    if not (isinstance(a, Jet) or isinstance(b, Jet)):
        return np.array_equal(a, b)
    p, q = _jet(a), _jet(b)
    return np.array_equal(p.value, q.value) and bool(np.all(np.equal(p.slope, q.slope)))
