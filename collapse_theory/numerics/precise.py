r"""The fixed point in as many digits as a value needs: where float64 cancels, close to a limit, and where they are asked for.

The recursion is the one of :mod:`~collapse_theory.engine.fixed_point`; the roots start from those that float64 has
verified, so that the branch is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from mpmath.libmp import dps_to_prec
from sympy import Add, Expr, Mul, Number, NumberSymbol, Pow, Symbol

from collapse_theory.core.errors import ConvergenceError, DomainError
from collapse_theory.core.precision import exact_context
from collapse_theory.engine.fixed_point import Atom, solve
from collapse_theory.engine.triangular import Structure, Unknown
from collapse_theory.numerics.measure import Measure
from collapse_theory.numerics.newton import solve_system
from collapse_theory.symbols import Eigenvalue

__all__ = ["Inputs", "inputs_of", "precise_entry"]

Inputs = Callable[[Any], tuple[Mapping[Expr, Measure], Mapping[Symbol, Any]]]
"""Gives the measures by dimension, and the values of the free symbols, in an mpmath context."""

_FLOAT64 = 13  # digits that a value needs to be one in float64
_LEAST = 60
_DOUBLINGS = 4


def precise_entry(
    structure: Structure, inputs: Inputs, start: Mapping[Unknown, Any], entry: tuple[int, int], digits: int = _FLOAT64
) -> Any:
    """Return one entry of ``G``, computed with more digits until they no longer change it.

    Args:
        structure: The pencil.
        inputs: Gives the measures and the parameters in an mpmath context.
        start: The roots in float64.
        entry: The entry: an output and an input.
        digits: How many must not change.

    Returns:
        mpmath numbers of a private context, one for each node of its space. What vanishes as the digits grow is zero.

    Raises:
        ConvergenceError: If no number of digits suffices.
    """
    before: Any = None
    used = [max(_LEAST, 2 * digits) * 2**k for k in range(_DOUBLINGS)]
    for working in used:
        with exact_context(dps_to_prec(working)) as mp:
            arithmetic = _Precise(mp, *inputs(mp), start)
            try:
                here = np.asarray(solve(structure, arithmetic).green.get(entry, mp.zero), dtype=object)
            except ConvergenceError:
                continue
            if before is not None:
                change, size = np.abs(here - before), np.abs(here)
                gone = size < mp.mpf(10) ** (-digits - 7) * np.abs(before)
                if np.all((change <= mp.mpf(10) ** -digits * size) | gone):
                    return np.where(gone, mp.zero, here)
            before = here
    raise ConvergenceError(
        f"the value does not settle with {used[-1]} digits; move away from the threshold, or rescale the parameters"
    )


def inputs_of(spaces: Mapping[Expr, Measure], parameters: Mapping[Symbol, float]) -> Inputs:
    """Return measures and parameters in float64 by their exact binary values."""

    def inputs(mp: Any) -> tuple[Mapping[Expr, Measure], Mapping[Symbol, Any]]:
        exactly = np.vectorize(mp.mpf, otypes=[object])
        return {p: x.mapped(exactly) for p, x in spaces.items()}, {x: mp.mpf(v) for x, v in parameters.items()}

    return inputs


class _Precise:
    """Object arrays over the nodes, in an mpmath context of their own."""

    def __init__(
        self, mp: Any, spaces: Mapping[Expr, Measure], parameters: Mapping[Symbol, Any], start: Mapping[Unknown, Any]
    ) -> None:
        self.mp, self.spaces, self.start = mp, spaces, start
        self.known: dict[Expr, Any] = dict(parameters)
        for space in self.spaces.values():
            self.known.update({Eigenvalue(name): v for name, v in space.values.items()})

    def function(self, f: Expr) -> Any:
        """Return the values at the nodes."""
        if f not in self.known:
            self.known[f] = self._compute(f)
        return self.known[f]

    def _compute(self, f: Expr) -> Any:
        if isinstance(f, (Number, NumberSymbol)):
            return self.mp.mpf(f._to_mpmath(self.mp.prec))
        values = [self.function(a) for a in f.args]
        if isinstance(f, Add):
            return sum(values[1:], values[0])
        if isinstance(f, Mul):
            out = values[0]
            for x in values[1:]:
                out = out * x
            return out
        if isinstance(f, Pow):
            return values[0] ** (int(f.exp) if f.exp.is_Integer else values[1])
        call = getattr(self.mp, type(f).__name__, None)
        if call is None:
            raise DomainError(f"evaluate needs functions that mpmath has, got {f}; give its value by a symbol")
        return np.vectorize(call, otypes=[object])(*values)[()]

    def trace(self, dimension: Expr, f: Any) -> Any:
        """Return the sum over the eigenvalues."""
        return self.spaces[dimension].trace(f)

    def inverse(self, dimension: Expr, matrix: Sequence[Sequence[Any]]) -> Sequence[Sequence[Any]]:
        """Return the inverse at every node, by elimination on the rows with the largest least pivot."""
        size, zero, one = len(matrix), self.mp.zero, self.mp.one
        rows = [[*row, *(one if i == j else zero for j in range(size))] for i, row in enumerate(matrix)]
        for column in range(size):
            best = max(range(column, size), key=lambda r: np.min(np.abs(rows[r][column])))
            rows[column], rows[best] = rows[best], rows[column]
            if np.min(np.abs(rows[column][column])) == 0:
                raise ConvergenceError(
                    f"a block of dimension {dimension} is singular at these values; move away from the threshold"
                )
            scale = one / rows[column][column]
            rows[column] = [x * scale for x in rows[column]]
            for r in range(size):
                if r != column:
                    head = rows[r][column]
                    rows[r] = [x - head * y for x, y in zip(rows[r], rows[column], strict=True)]
        return [row[size:] for row in rows]

    def linear(
        self, unknowns: Sequence[Unknown], constant: Sequence[Any], slope: Mapping[tuple[int, int], Any]
    ) -> Sequence[Any]:
        """Return the solution of a linear component."""
        c, x = self.system(unknowns, constant, slope)
        return self.solved(x, c)

    def nonlinear(self, atom: Atom) -> Sequence[Any]:
        """Return the root near the one known in float64."""
        if not atom.unknowns:
            return []
        start = [self.mp.mpf(self.start[u]) for u in atom.unknowns]
        found = solve_system(_PreciseComponent(self, atom), start, self.mp.mpf(2) ** (1 - self.mp.prec))
        x: Sequence[Any] = found.checked("a nonlinear component in extended precision", "move away from the threshold")
        return x

    def solved(self, slope: Any, constant: Sequence[Any]) -> list[Any]:
        """Return ``x = constant + slope x``."""
        if not constant:
            return []
        try:
            return list(self.mp.lu_solve(self.mp.eye(len(constant)) - slope, self.mp.matrix(constant)))
        except ZeroDivisionError as e:
            raise ConvergenceError("a component is singular at these values; move away from the threshold") from e

    def system(
        self, unknowns: Sequence[Unknown], constant: Sequence[Any], slope: Mapping[tuple[int, int], Any]
    ) -> tuple[list[Any], Any]:
        """Return the right-hand sides and the matrix of a component, after the traces."""
        weights = [self.function(u.weight) for u in unknowns]
        c = [self.trace(u.dimension, w * f) for u, w, f in zip(unknowns, weights, constant, strict=True)]
        x = self.mp.zeros(len(c))
        for (n, k), f in slope.items():
            x[n, k] = self.trace(unknowns[n].dimension, weights[n] * f)
        return c, x


@dataclass(frozen=True)
class _PreciseComponent:
    """The unknowns of one atom as a :class:`.System`: Newton's steps alone, since the start is near."""

    arithmetic: _Precise
    atom: Atom

    def state(self, x: Sequence[Any]) -> tuple[list[Any], Any]:
        """Return the image and its derivative."""
        unknowns, arithmetic = self.atom.unknowns, self.arithmetic
        green = self.atom.green(arithmetic, dict(zip(unknowns, x, strict=True)))
        return arithmetic.system(
            unknowns, [green[u.row, u.column] for u in unknowns], self.atom.response(arithmetic, green)
        )

    def residual(self, x: Sequence[Any], state: tuple[list[Any], Any]) -> Any:
        """Return how far the image is, relative to the unknowns."""
        return max(abs(a - b) / (abs(a) + abs(b)) if a or b else abs(a) for a, b in zip(state[0], x, strict=True))

    def following(self, x: Sequence[Any], state: tuple[list[Any], Any]) -> tuple[list[Any], tuple[list[Any], Any]]:
        """Return Newton's step, solved in relative terms because unknowns may be of very different sizes."""
        image, slope = state
        size = [abs(a) or self.arithmetic.mp.one for a in x]
        relative = slope.copy()
        for n, k in product(range(len(x)), repeat=2):
            relative[n, k] *= size[k] / size[n]
        step = self.arithmetic.solved(relative, [(a - b) / c for a, b, c in zip(image, x, size, strict=True)])
        following = [a + b * c for a, b, c in zip(x, step, size, strict=True)]
        return following, self.state(following)
