"""What a plan asks of an arithmetic: its numbers, and how it computes the primitive operations.

Numbers are scalars and NumPy arrays of floats or of objects with Python's operators, so that a recursion written in
operators runs in every arithmetic. A new one is one file: its numbers, and these few methods (:class:`.PointArithmetic`
has most of them for numbers that are computed one point at a time).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from sympy import Expr, Symbol

from collapse_theory.derive.pooled import PooledSystem
from collapse_theory.numerics.measure import Measure
from collapse_theory.numerics.reals import Reals
from collapse_theory.numerics.steps import CheckExistence, Rule, SolveEquations, Unroll

__all__ = ["Arithmetic"]


class Arithmetic(Reals, Protocol):
    """Numbers in which a plan is interpreted. Environments give values by symbol, a measure is in these numbers."""

    def integrate(
        self, measure: Measure, integrands: Sequence[Expr], energy: Sequence[bool], env: Mapping[Symbol, Any]
    ) -> Sequence[Any]:
        """Return sums over the eigenvalues, against counts or energies."""

    def ridge(self, measure: Measure, T: Any, lam: Any) -> tuple[Any, Any]:
        r"""Return the effective ridge of ``(T, lam)`` and :math:`T-\mathrm{df}_2`."""

    def features(self, measure: Measure, T: Any, m: Any, lam: Any) -> tuple[Any, Any]:
        """Return the effective ridge of a fit on random features, and its residual degrees of freedom."""

    def on_atoms(
        self,
        atoms: Sequence[Sequence[Any]],
        env: Mapping[Symbol, Any],
        step: Callable[[Measure, Mapping[Symbol, Any]], Sequence[Any]],
    ) -> Sequence[Any]:
        """Return the results of a step on the spectrum of these nodes, counts and energies."""

    def equations(self, step: SolveEquations, measure: Measure, env: Mapping[Symbol, Any]) -> Sequence[Any]:
        """Return the positive solution of equations."""

    def whole(self, x: Any) -> int:
        """Return an integer of these numbers as Python's."""

    def arguments(self, expressions: Sequence[Expr], env: Mapping[Symbol, Any]) -> list[Any]:
        """Return the arguments of a recursion; what cancels in them is measured by the recursion itself."""

    def pooled(
        self,
        system: PooledSystem,
        measure: Measure,
        values: Mapping[Symbol, Any],
        direction: Mapping[Symbol, Any],
    ) -> tuple[Any, Any]:
        """Return bias and variance of a system of pooled fits, or their slopes along a direction where one is given."""

    def recurse(self, rule: Rule, measure: Measure, arguments: Sequence[Any]) -> Sequence[Any]:
        """Return the results of a recursion over fits; arguments may be dual numbers, scalars or columns."""

    def exists(self, step: CheckExistence, measure: Measure | None, arguments: Sequence[Any]) -> Any:
        """Return one, or raise where the expression has no deterministic equivalent."""

    def unroll(self, step: Unroll, measure: Measure, rounds: Any, arguments: Sequence[Any]) -> Sequence[Any]:
        """Return the terms of a theorem after a number of rounds."""
