"""The test error of any linear pipeline as numbers, in any arithmetic.

The structure of the operator-valued fixed point is derived once; the recursion along it runs on the same problem in
several units of the covariances at once, in each of which the equations may be off by a few units of round-off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from sympy import Expr, S, Symbol

from collapse_theory import symbols
from collapse_theory.derive.pooled import PooledSystem, Scaling, TestErrorPencil, error_pencil
from collapse_theory.engine.fixed_point import Atom, solve
from collapse_theory.engine.triangular import Structure, structure_of
from collapse_theory.numerics.complements import Complements
from collapse_theory.numerics.measure import Measure
from collapse_theory.numerics.network_arithmetic import PipelineArithmetic
from collapse_theory.numerics.reals import Reals
from collapse_theory.numerics.resolvents import Resolvent
from collapse_theory.numerics.solved_fits import FitNumbers, solved_fit

__all__ = ["Numbers", "PipelineEquivalent", "TestErrorValues"]


class Numbers(Reals, Protocol):
    """Numbers in which a system of pooled fits is solved."""

    def resolvent(self, fit: FitNumbers, unit: Any, nudge: int = 0) -> Resolvent:
        """Return the effective ridges of one fit with covariances and ridge in a unit, see :func:`.solve_resolvent`."""


@dataclass(frozen=True)
class TestErrorValues:
    """The test error of a pipeline at given numbers.

    Attributes:
        bias: The part of the true coefficients.
        variance: Contribution of each noise source, by the name of its result.
        residual: Largest relative residual of the nonlinear equations.
    """

    __test__ = False

    bias: Any
    variance: Mapping[str, Any]
    residual: float

    @property
    def noise(self) -> Any:
        """Variance of all noise sources."""
        return sum(self.variance.values())


@dataclass(frozen=True)
class PipelineEquivalent:
    """The deterministic equivalent of a pipeline's test error; the structure is derived once for many values.

    Args:
        system: The pooled fits. Rows, noises, ridges and weights may be symbols.
    """

    system: PooledSystem

    @cached_property
    def _structures(self) -> dict[tuple[Any, ...], _Problem]:
        return {}

    @cached_property
    def _numbers(self) -> tuple[Expr, ...]:
        """Every expression of the parameters that is needed as a number."""
        found = {e for f in self.system.fits for e in (f.ridge, f.N, *(e for x in f.designs for e in (x.T, x.weight)))}
        return tuple(sorted(found | set(error_pencil(self.system).noises.values()), key=lambda e: e.sort_key()))

    def solve(
        self,
        numbers: Numbers,
        measure: Measure,
        values: Mapping[Symbol, Any],
        units: Sequence[Any] = (1,),
        nudges: Sequence[int] = (0,),
    ) -> TestErrorValues:
        """Return bias and variances.

        Args:
            numbers: The numbers of the arrays and values.
            measure: Eigenvalues of every covariance in the common basis, and energies of the target.
            values: Values of the system's symbols.
            units: What to multiply covariances and ridges with before solving; one result for each.
            nudges: Units of round-off by which the equations and traces of each are off.

        Returns:
            Bias and variances as arrays of shape (len(units),).

        Raises:
            DomainError: At a threshold without ridge.
            ConvergenceError: If an equation is not solved.
        """
        given: dict[Symbol, Any] = {symbols.d: numbers.array(measure.dimension)[()], **values}
        number = dict(zip(self._numbers, numbers.evaluate(self._numbers, given), strict=True))
        alike: dict[tuple[Any, ...], list[Resolvent]] = {}
        solved = []
        for f in self.system.fits:
            key = (f.ridge, f.N, tuple((x.T, x.weight, x.covariance) for x in f.designs))
            if key not in alike:
                fit = FitNumbers.of(f, measure, number, numbers)
                alike[key] = [numbers.resolvent(fit, u, nudge) for u, nudge in zip(units, nudges, strict=True)]
            solved.append(alike[key])
        problem = self._problem([r[0] for r in solved])
        column = numbers.array([[u] for u in units])
        parameters: dict[Symbol, Any] = dict(given)
        for k, (f, found) in enumerate(zip(self.system.fits, solved, strict=True)):
            parameters[_ridge(k)] = column * number[f.ridge]
            parameters[_penalty(k)] = parameters[_reach(k)] = np.stack([r.penalty for r in found])
        for name, s in measure.values.items():
            parameters[symbols.eigenvalue_of(name)] = s * column
        spaces = {symbols.d: measure} | {
            x.T: Measure({}, numbers.array([number[x.T]]))
            for f in self.system.fits
            for x in f.designs
            if symbols.d != x.T
        }
        functions = dict(zip(problem.expressions, numbers.evaluate(problem.expressions, parameters), strict=True))
        start = _Start(problem.pencil, solved)
        scaled = {name: parameters[symbols.eigenvalue_of(name)] for name in measure.values}
        fits = [
            solved_fit(f, found, number, scaled, numbers) for f, found in zip(self.system.fits, solved, strict=True)
        ]
        complements = Complements(self.system, problem.pencil, fits, measure)
        arithmetic = PipelineArithmetic(numbers, spaces, functions.__getitem__, start, complements, nudges)
        solution = solve(problem.structure, arithmetic)
        pencil = problem.structure.pencil
        shape = (len(units), measure.size)
        result = {
            name: np.broadcast_to(solution.green.get((pencil.outputs[name], i), 0 * column), shape)
            if name == "w0"
            else np.ravel(solution.green.get((pencil.outputs[name], i), 0 * column))
            for name, i in pencil.inputs.items()
        }
        bias = measure.form(result["w0"]) / column[:, 0]
        variance = {name: number[e] * result[name] for name, e in problem.pencil.noises.items()}
        residual = max(arithmetic.residual, *(r.residual for found in solved for r in found))
        return TestErrorValues(bias, variance, float(residual))

    def _problem(self, resolvents: Sequence[Resolvent]) -> _Problem:
        """Return the pencil and its structure for what is open in each fit."""
        key = tuple(
            (tuple(r.opened.designs), bool(r.opened.directions.any()), bool(r.opened.directions.all()))
            for r in resolvents
        )
        if key not in self._structures:
            scalings = {
                k: Scaling(
                    _ridge(k),
                    S.One if every else _penalty(k) if some else _ridge(k),
                    S.One if every else _reach(k),
                    frozenset(int(n) for n in np.flatnonzero(designs)),
                )
                for k, (designs, some, every) in enumerate(key)
            }
            self._structures[key] = _Problem.of(error_pencil(self.system, scalings))
        return self._structures[key]


@dataclass(frozen=True)
class _Problem:
    """A pencil, its structure and the expressions in it."""

    pencil: TestErrorPencil
    structure: Structure
    expressions: tuple[Expr, ...]

    @classmethod
    def of(cls, pencil: TestErrorPencil) -> _Problem:
        structure = structure_of(pencil.pencil)
        found = {b.fixed for b in structure.pencil.blocks.values()} | {f.factor for f in structure.feeds}
        found |= {f.unknown.weight for f in structure.feeds} | {S.Zero}
        return cls(pencil, structure, tuple(sorted(found, key=str)))


@dataclass(frozen=True)
class _Start:
    """The unknowns of a fit's own atom, from its effective ridges."""

    pencil: TestErrorPencil
    solved: Sequence[Sequence[Resolvent]]

    def __call__(self, atom: Atom, arithmetic: PipelineArithmetic) -> Sequence[Any]:
        """Return the values of the atom's unknowns."""
        out = []
        for u in atom.unknowns:
            if u.row in self.pencil.fit_at:
                entry = np.stack([r.error for r in self.solved[self.pencil.fit_at[u.row]]])
            else:
                k, n = self.pencil.design_at[u.row]
                entry = np.stack([1 / r.scale[n : n + 1] for r in self.solved[k]])
            out.append(arithmetic.trace(u.dimension, arithmetic.function(u.weight) * entry))
        return out


def _ridge(k: int) -> Symbol:
    return symbols.scaling("ridge", k)


def _penalty(k: int) -> Symbol:
    return symbols.scaling("penalty", k)


def _reach(k: int) -> Symbol:
    return symbols.scaling("reach", k)
