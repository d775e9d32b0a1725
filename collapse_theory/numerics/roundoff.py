r"""How far round-off can have moved a value: the recursion with an error bound carried along.

Every number is a float64 array with a bound of its absolute error, to first order in the unit round-off :math:`u`:

.. math:: \delta(a+b)=\delta a+\delta b+u|a+b|,\qquad \delta(ab)=|a|\,\delta b+|b|\,\delta a+u|ab|,\qquad
   \delta(M^{-1})=|M^{-1}|\big(\delta M+nu|M|\big)|M^{-1}|.

Source: running error analysis, Higham, Accuracy and Stability of Numerical Algorithms, 2002, ch. 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sympy import Expr

from collapse_theory.engine.fixed_point import Atom, solve
from collapse_theory.engine.triangular import Structure, Unknown
from collapse_theory.numerics.entries import NumericArithmetic

__all__ = ["round_off"]

_UNIT = float(np.finfo(float).eps)


def round_off(
    structure: Structure, arithmetic: NumericArithmetic, values: Mapping[Unknown, Any], entry: tuple[int, int]
) -> np.ndarray:
    """Return a bound, to first order, of the absolute error of one entry of ``G`` in float64, at the nodes.

    Args:
        structure: The pencil.
        arithmetic: The arithmetic it was solved in.
        values: The roots that were found.
        entry: The entry: an output and an input.
    """
    with np.errstate(all="ignore"):
        found = solve(structure, _Tracking(arithmetic, values)).green.get(entry)
    return np.zeros(()) if found is None else np.asarray(found.error)


@dataclass(frozen=True)
class _Tracked:
    """Values with a bound of their error."""

    value: Any
    error: Any

    def __add__(self, other: _Tracked) -> _Tracked:
        total = self.value + other.value
        return _Tracked(total, self.error + other.error + _UNIT * np.abs(total))

    def __neg__(self) -> _Tracked:
        return _Tracked(-self.value, self.error)

    def __mul__(self, other: _Tracked) -> _Tracked:
        product = self.value * other.value
        error = np.abs(self.value) * other.error + np.abs(other.value) * self.error
        return _Tracked(product, error + _UNIT * np.abs(product))


class _Tracking:
    """The arithmetic of tracked arrays, at known roots."""

    def __init__(self, arithmetic: NumericArithmetic, values: Mapping[Unknown, Any]) -> None:
        self.plain, self.values = arithmetic, values

    def function(self, f: Expr) -> _Tracked:
        """Return the values at the nodes, rounded; integers are exact."""
        value = self.plain.function(f)
        return _Tracked(value, 0.0 if f.is_Integer else _UNIT * np.abs(value))

    def trace(self, dimension: Expr, f: _Tracked) -> _Tracked:
        """Return the sum over the eigenvalues."""
        total = self.plain.trace(dimension, f.value)
        error = self.plain.trace(dimension, f.error) + _UNIT * self.plain.trace(dimension, np.abs(f.value))
        return _Tracked(total, error)

    def inverse(self, dimension: Expr, matrix: Sequence[Sequence[_Tracked]]) -> Sequence[Sequence[_Tracked]]:
        """Return the inverse at every node."""
        size = len(matrix)
        green = self.plain.inverse(dimension, [[x.value for x in row] for row in matrix])
        inside = [[x.error + size * _UNIT * np.abs(x.value) for x in row] for row in matrix]
        out = []
        for r in range(size):
            row = []
            for c in range(size):
                error = sum(
                    np.abs(green[r][i]) * inside[i][j] * np.abs(green[j][c]) for i in range(size) for j in range(size)
                )
                row.append(_Tracked(green[r][c], error + _UNIT * np.abs(green[r][c])))
            out.append(row)
        return out

    def linear(
        self, unknowns: Sequence[Unknown], constant: Sequence[_Tracked], slope: Mapping[tuple[int, int], _Tracked]
    ) -> Sequence[_Tracked]:
        """Return the solution of a linear component."""
        if not unknowns:
            return []
        c, x = self._system(unknowns, constant, slope)
        return self._solved(c, x)

    def nonlinear(self, atom: Atom) -> Sequence[_Tracked]:
        """Return the known root with the error that the evaluation of its equation leaves."""
        if not atom.unknowns:
            return []
        root = [float(self.values[u]) for u in atom.unknowns]
        green = atom.green(self, {u: _Tracked(x, 0.0) for u, x in zip(atom.unknowns, root, strict=True)})
        image, slope = self._system(
            atom.unknowns, [green[u.row, u.column] for u in atom.unknowns], atom.response(self, green)
        )
        gaps = [_Tracked(a.value - x, a.error + _UNIT * abs(x)) for a, x in zip(image, root, strict=True)]
        steps = self._solved(gaps, slope)
        return [_Tracked(x, s.error + np.abs(s.value)) for x, s in zip(root, steps, strict=True)]

    def _system(
        self, unknowns: Sequence[Unknown], constant: Sequence[_Tracked], slope: Mapping[tuple[int, int], _Tracked]
    ) -> tuple[list[_Tracked], list[list[_Tracked]]]:
        weights = [self.function(u.weight) for u in unknowns]
        c = [self.trace(u.dimension, w * f) for u, w, f in zip(unknowns, weights, constant, strict=True)]
        x = [[_Tracked(0.0, 0.0)] * len(c) for _ in c]
        for (n, k), f in slope.items():
            x[n][k] = self.trace(unknowns[n].dimension, weights[n] * f)
        return c, x

    @staticmethod
    def _solved(constant: Sequence[_Tracked], slope: Sequence[Sequence[_Tracked]]) -> list[_Tracked]:
        """Return the solution of ``x = constant + slope x``, scaled to unknowns of order one."""
        c, dc = (np.array([getattr(x, name) for x in constant], dtype=float) for name in ("value", "error"))
        x, dx = (
            np.array([[getattr(e, name) for e in row] for row in slope], dtype=float) for name in ("value", "error")
        )
        system = np.eye(len(c)) - x
        inverse = np.linalg.inv(system)
        out = inverse @ c
        inside = dc + (dx + len(c) * _UNIT * np.abs(system)) @ np.abs(out)
        return [_Tracked(a, b) for a, b in zip(out, np.abs(inverse) @ inside + _UNIT * np.abs(out), strict=True)]
