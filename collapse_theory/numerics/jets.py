r"""Dual numbers over arrays: a value and its derivative in one direction, carried through a recursion.

:math:`a+\dot a\varepsilon` with :math:`\varepsilon^2=0`; every operation is the chain rule. The arrays may hold float64 or
numbers of another arithmetic.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["Jet", "column", "same", "value_of", "where"]


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
        b = _jet(other)
        return Jet(self.value + b.value, self.slope + b.slope)

    __radd__ = __add__

    def __neg__(self) -> Jet:
        return Jet(-self.value, -self.slope)

    def __sub__(self, other: Any) -> Jet:
        return self + (-_jet(other))

    def __rsub__(self, other: Any) -> Jet:
        return _jet(other) - self

    def __mul__(self, other: Any) -> Jet:
        b = _jet(other)
        return Jet(self.value * b.value, self.slope * b.value + self.value * b.slope)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Jet:
        b = _jet(other)
        quotient = self.value / b.value
        return Jet(quotient, (self.slope - quotient * b.slope) / b.value)

    def __rtruediv__(self, other: Any) -> Jet:
        return _jet(other) / self

    def __pow__(self, exponent: int) -> Jet:
        return Jet(self.value**exponent, exponent * self.value ** (exponent - 1) * self.slope)

    def __matmul__(self, weights: Any) -> Jet:
        value = np.asarray(self.value @ weights)
        slope = np.broadcast_to(self.slope, np.broadcast_shapes(np.shape(self.slope), np.shape(self.value)))
        return Jet(value, np.asarray(slope @ weights))

    def __getitem__(self, index: Any) -> Jet:
        value = np.asarray(self.value)
        return Jet(value[index], np.broadcast_to(self.slope, value.shape)[index])


def _jet(x: Any) -> Jet:
    return x if isinstance(x, Jet) else Jet(x, 0)


def value_of(x: Any) -> Any:
    """Return the value of a number that may be dual."""
    return x.value if isinstance(x, Jet) else x


def column(x: Any) -> Any:
    """Return integrals as a column, to be broadcast over the nodes."""
    return (x if isinstance(x, Jet) else np.asarray(x))[..., None]


def where(condition: Any, a: Any, b: Any) -> Any:
    """Return ``a`` where the condition holds, else ``b``."""
    if not (isinstance(a, Jet) or isinstance(b, Jet)):
        return np.where(condition, a, b)
    p, q = _jet(a), _jet(b)
    return Jet(np.where(condition, p.value, q.value), np.where(condition, p.slope, q.slope))


def same(a: Any, b: Any) -> bool:
    """Return whether two numbers are equal entry by entry, derivatives included."""
    p, q = _jet(a), _jet(b)
    return np.array_equal(p.value, q.value) and bool(np.all(np.equal(p.slope, q.slope)))
