"""The recursion of :mod:`.fixed_point` for pipelines in any real numbers, for several scales of one problem at a time.

The unknowns of a fit's own atom are its effective ridges (:mod:`.resolvents`); here they are only verified. A function on
the space of features is an array of shape (scales, k), a scalar one of shape (scales, 1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sympy import Expr

from collapse_theory.core.errors import ConvergenceError
from collapse_theory.engine.fixed_point import Atom
from collapse_theory.engine.triangular import Unknown
from collapse_theory.numerics.complements import Complements
from collapse_theory.numerics.measure import Measure
from collapse_theory.numerics.reals import Reals

__all__ = ["PipelineArithmetic"]

_VERIFIED = 1e5  # residual of an accepted fixed point in units of round-off: its traces are sums over many directions


@dataclass
class PipelineArithmetic:
    """Arrays over scales and nodes.

    Attributes:
        reals: The numbers.
        spaces: Measure of each space by dimension.
        function: Returns the value of an expression that occurs at the nodes.
        start: Values of the unknowns of an atom.
        complements: Solves the linear components of fits that share inputs.
        nudges: Units of round-off by which the traces are off at each scale, with a sign that a fixed seed draws for each trace.
        residual: Largest relative residual met so far.
    """

    reals: Reals
    spaces: Mapping[Expr, Measure]
    function: Callable[[Expr], Any]
    start: Callable[[Atom, PipelineArithmetic], Sequence[Any]]
    complements: Complements
    nudges: Sequence[int]
    residual: Any = 0.0

    def __post_init__(self) -> None:
        self._signs = np.random.default_rng(0) if any(self.nudges) else None
        self._nudge = np.array(self.nudges)[:, None] * self.reals.epsilon

    def trace(self, dimension: Expr, f: Any) -> Any:
        """Return the sum over the eigenvalues."""
        total = self.spaces[dimension].trace(f, rough=True, column=True)
        if self._signs is None:
            return total
        return total * (1 + self._nudge * (2 * self._signs.integers(2, size=self._nudge.shape) - 1))

    def inverse(self, dimension: Expr, matrix: Sequence[Sequence[Any]]) -> Sequence[Sequence[Any]]:
        """Return the inverse at every node; designs of one fit do not mix, so on each space it is diagonal.

        Raises:
            ConvergenceError: If the block is not diagonal.
        """
        for r, row in enumerate(matrix):
            for c, x in enumerate(row):
                if r != c and np.any(x != 0):
                    raise ConvergenceError(f"a block of dimension {dimension} mixes the designs of a fit")
        return [[1 / x if r == c else x for c, x in enumerate(row)] for r, row in enumerate(matrix)]

    def linear(
        self, unknowns: Sequence[Unknown], constant: Sequence[Any], slope: Mapping[tuple[int, int], Any]
    ) -> Sequence[Any]:
        """Return the solution of a linear component."""
        weights = [self.function(u.weight) for u in unknowns]
        c = [self.trace(u.dimension, w * f) for u, w, f in zip(unknowns, weights, constant, strict=True)]
        if not slope:
            return c
        x = {(n, k): self.trace(unknowns[n].dimension, weights[n] * f) for (n, k), f in slope.items()}
        solved = self.complements.solve(unknowns, c, x)
        if solved is not None:
            return solved
        scales = np.broadcast_shapes(*(np.shape(y) for y in (*c, *x.values())), (1,))[0]
        zero = 0 * self.reals.array(np.ones(scales))
        rows = [
            np.stack([zero + int(n == k) - (np.ravel(x[n, k]) if (n, k) in x else 0) for k in range(len(c))], -1)
            for n in range(len(c))
        ]
        x_all = self.reals.solve(np.stack(rows, -2), np.stack([zero + np.ravel(y) for y in c], -1))
        return [x_all[:, n : n + 1] for n in range(len(c))]

    def nonlinear(self, atom: Atom) -> Sequence[Any]:
        """Return the atom's unknowns, verified.

        Raises:
            ConvergenceError: If they do not satisfy the equations of the atom.
        """
        if not atom.unknowns:
            return []
        x = self.start(atom, self)
        green = atom.green(self, dict(zip(atom.unknowns, x, strict=True)))
        for u, given in zip(atom.unknowns, x, strict=True):
            image = self.trace(u.dimension, self.function(u.weight) * green[u.row, u.column])
            residual = np.max(abs(image - given) / abs(given))
            self.residual = max(self.residual, residual)
            if not residual <= _VERIFIED * self.reals.epsilon:
                raise ConvergenceError(
                    f"the effective ridges of a fit leave a relative residual of {float(residual):.1e}; "
                    "move away from the threshold, or give a ridge > 0"
                )
        return x
