"""The numbers of the numeric solutions: NumPy arrays of floats, or of the objects of another arithmetic.

One code serves all; what NumPy does not do on objects is asked of the numbers. float64 is here; the others are
:mod:`.digits`, :mod:`.counting` and :mod:`.dual`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from sympy import Expr, Symbol

from collapse_theory.core.errors import ConvergenceError
from collapse_theory.numerics.compiled import numeric_function
from collapse_theory.symbols import ordered

__all__ = ["FLOAT64", "SINGULAR", "Float64", "Reals"]


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
            raise ConvergenceError(SINGULAR) from e
        return np.asarray(x * size)

    def evaluate(self, expressions: Sequence[Expr], values: Mapping[Symbol, Any]) -> list[Any]:
        """Return the values, from one compilation for all expressions."""
        names, call = _compiled(tuple(expressions))
        return list(call(*(self.array(values[x])[()] for x in names)))  # Python's own floats raise on overflow


FLOAT64 = Float64()

SINGULAR = "a linear component is singular at these values; move away from the threshold"


@lru_cache(maxsize=64)
def _compiled(expressions: tuple[Expr, ...]) -> tuple[tuple[Symbol, ...], Callable[..., Sequence[Any]]]:
    names = ordered({x for e in expressions for x in e.free_symbols})
    return names, numeric_function(names, expressions, modules="numpy", cse=False)
