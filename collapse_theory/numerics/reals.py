"""The real numbers of the numeric solution of pipelines: float64, or an mpmath context of one's own.

Both are NumPy arrays, of floats or of objects, so that one code serves both; what NumPy does not do on objects is here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from sympy import Add, Expr, Mul, Number, NumberSymbol, Pow, Symbol

from collapse_theory.core.errors import ConvergenceError
from collapse_theory.numerics.compiled import numeric_function
from collapse_theory.symbols import ordered

__all__ = ["COMPLEX_STEP", "FLOAT64", "ComplexStep", "Float64", "MultiPrecision", "Reals"]


class Reals(Protocol):
    """What the numeric solution asks of its numbers."""

    @property
    def epsilon(self) -> Any:
        """Relative distance of neighbouring numbers."""

    def array(self, x: Any) -> np.ndarray:
        """Return an array of these numbers."""

    def solve(self, matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Return ``x`` of ``matrix x = right``, shapes (..., n, n) and (..., n).

        Raises:
            ConvergenceError: If the matrix is singular.
        """

    def evaluate(self, expressions: Sequence[Expr], values: Mapping[Symbol, Any]) -> list[Any]:
        """Return the values of expressions at scalars and arrays."""


class Float64:
    """float64 arrays."""

    epsilon = float(np.finfo(float).eps)

    def array(self, x: Any) -> np.ndarray:
        """Return a float64 array."""
        return np.asarray(x, dtype=float)

    def solve(self, matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Solve by elimination after balancing: unknowns of very different sizes must not mislead the pivoting."""
        size = np.ones(right.shape)
        for _ in range(2):
            scaled = np.abs(matrix) * size[..., None, :] / size[..., :, None]
            row, column = scaled.sum(-1), scaled.sum(-2)
            factor = np.where((row > 0) & (column > 0), np.sqrt(row / np.where(column > 0, column, 1.0)), 1.0)
            size = size * 2.0 ** np.round(np.log2(factor))
        try:
            x = np.linalg.solve(matrix * size[..., None, :] / size[..., :, None], (right / size)[..., None])[..., 0]
        except np.linalg.LinAlgError as e:
            raise ConvergenceError(_SINGULAR) from e
        return np.asarray(x * size)

    def evaluate(self, expressions: Sequence[Expr], values: Mapping[Symbol, Any]) -> list[Any]:
        """Return the values, from one compilation for all expressions."""
        names, call = _compiled(tuple(expressions))
        return list(call(*(self.array(values[x])[()] for x in names)))  # Python's own floats raise on overflow


class ComplexStep(Float64):
    r"""complex128 arrays whose imaginary parts are a small multiple of a derivative.

    :math:`f(x+ih)=f(x)+ihf'(x)+O(h^2)` for analytic :math:`f`, without a difference that cancels (Squire and Trapp 1998).
    """

    def array(self, x: Any) -> np.ndarray:
        """Return a complex array."""
        return np.asarray(x, dtype=complex)


class MultiPrecision:
    """Object arrays of the numbers of an mpmath context, which nobody else's precision can touch.

    Args:
        context: An ``mpmath.MPContext`` with its precision set.
    """

    def __init__(self, context: Any) -> None:
        self.context = context
        self.epsilon = context.mpf(2) ** (1 - context.prec)

    def array(self, x: Any) -> np.ndarray:
        """Return an object array; floats and integers are taken exactly."""
        entries = np.asarray(x, dtype=object)
        out = np.empty(entries.shape, dtype=object)
        for i in np.ndindex(entries.shape):
            out[i] = self.context.mpf(entries[i])
        return out

    def solve(self, matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Solve by elimination with pivoting, one system after the other."""
        out = np.empty(right.shape, dtype=object)
        for i in np.ndindex(right.shape[:-1]):
            try:
                solved = self.context.lu_solve(self.context.matrix(matrix[i].tolist()), list(right[i]))
            except ZeroDivisionError as e:
                raise ConvergenceError(_SINGULAR) from e
            out[i] = list(solved)
        return out

    def evaluate(self, expressions: Sequence[Expr], values: Mapping[Symbol, Any]) -> list[Any]:
        """Return the values by walking the trees, so that rational constants are exact."""
        seen: dict[Expr, Any] = {}

        def value(x: Expr) -> Any:
            if x not in seen:
                seen[x] = compute(x)
            return seen[x]

        def compute(x: Expr) -> Any:
            if isinstance(x, Symbol):
                return values[x]
            if isinstance(x, (Number, NumberSymbol)):
                return self.context.mpf(x._to_mpmath(self.context.prec))
            parts = [value(a) for a in x.args]
            if isinstance(x, Add):
                return sum(parts[1:], parts[0])
            if isinstance(x, Mul):
                out = parts[0]
                for a in parts[1:]:
                    out = out * a
                return out
            if isinstance(x, Pow):
                return parts[0] ** (int(x.exp) if x.exp.is_Integer else parts[1])
            raise TypeError(f"no rule for {type(x).__name__} in a pipeline's coefficients")

        return [value(e) for e in expressions]


FLOAT64 = Float64()
COMPLEX_STEP = ComplexStep()

_SINGULAR = "a linear component is singular at these values; move away from the threshold"


@lru_cache(maxsize=64)
def _compiled(expressions: tuple[Expr, ...]) -> tuple[tuple[Symbol, ...], Callable[..., Sequence[Any]]]:
    names = ordered({x for e in expressions for x in e.free_symbols})
    return names, numeric_function(names, expressions, modules="numpy", cse=False)
