r"""The test error of any linear pipeline as numbers, through the fixed point solved component by component."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from sympy import Expr, Symbol, lambdify

from collapse_theory import symbols
from collapse_theory.equivalents.components import Structure, structure_of
from collapse_theory.equivalents.fixed_point import Atom
from collapse_theory.equivalents.numeric import Nodes, solve_numeric
from collapse_theory.equivalents.pipeline import PooledFit, PooledSystem, TestErrorPencil, error_pencil
from collapse_theory.equivalents.resolvents import Resolvent, solve_resolvent
from collapse_theory.symbols import Eigenvalue

__all__ = ["PipelineEquivalent", "TestErrorValues"]


@dataclass(frozen=True)
class TestErrorValues:
    """The test error of a pipeline at given numbers.

    Attributes:
        bias: The part of the true coefficients.
        variance: Contribution of each noise source, by the name of its result.
        residual: Largest relative residual of the nonlinear equations.
    """

    __test__ = False

    bias: float
    variance: Mapping[str, float]
    residual: float

    @property
    def total(self) -> float:
        """Bias and variance together."""
        return self.bias + sum(self.variance.values())


@dataclass(frozen=True)
class PipelineEquivalent:
    """The deterministic equivalent of a pipeline's test error; the structure is derived once for many values.

    Args:
        system: The pooled fits. Rows, noises, ridges and weights may be symbols.

    >>> from collapse_theory import workflows
    >>> from collapse_theory.describe.pipeline import Stage
    >>> from collapse_theory.equivalents.pipeline import pooled_system
    >>> pipe = workflows.accumulate(2, Stage(T=90, noise=0.4, ridge=0.05))
    >>> nodes = Nodes({"Sigma": np.ones(1)}, np.array([100.0]))
    >>> error = PipelineEquivalent(pooled_system(pipe)).evaluate(nodes, energies=np.ones(1))
    >>> round(error.total, 6)
    0.491749
    """

    system: PooledSystem

    @cached_property
    def _structures(self) -> dict[frozenset[int], tuple[TestErrorPencil, Structure]]:
        return {}

    @cached_property
    def symbols(self) -> tuple[Symbol, ...]:
        """The parameters that take values."""
        found = {x for e in _parameters(self.system) for x in e.free_symbols} - {symbols.d}
        return tuple(sorted(found, key=lambda x: x.name))

    @cached_property
    def _numbers(self) -> tuple[list[Symbol], list[Expr], Callable[..., Sequence[float]]]:
        """Every expression of the parameters that is needed as a number, compiled together."""
        found: dict[Expr, None] = {}
        for f in self.system.fits:
            for e in (f.ridge, f.N, *(e for x in f.designs for e in (x.T, x.weight))):
                found[e] = None
        for e in error_pencil(self.system).noises.values():
            found[e] = None
        expressions = list(found)
        names = sorted({x for e in expressions for x in e.free_symbols}, key=lambda x: x.name)
        return names, expressions, lambdify(names, expressions, modules="math", cse=True)

    def structure(self, vanishing: frozenset[int]) -> tuple[TestErrorPencil, Structure]:
        """Return the pencil and its structure for the fits whose residuals are scaled by the ridge."""
        if vanishing not in self._structures:
            ridges = {k: symbols.indexed(symbols.lam, k) for k in range(len(self.system.fits))}
            problem = error_pencil(self.system, ridges=ridges, vanishing=vanishing)
            self._structures[vanishing] = (problem, structure_of(problem.pencil))
        return self._structures[vanishing]

    def evaluate(
        self, nodes: Nodes, energies: np.ndarray, values: Mapping[Symbol, float] | None = None
    ) -> TestErrorValues:
        """Return bias and variances.

        Args:
            nodes: Eigenvalues of every covariance in the common basis, with multiplicities.
            energies: Sum of the target energies over each node's eigenvectors, shape (k,).
            values: Values of the system's symbols.

        Raises:
            DomainError: At a threshold without ridge.
            ConvergenceError: If an equation is not solved.
        """
        given: dict[Symbol, float] = {symbols.d: float(nodes.counts.sum()), **(values or {})}
        names, expressions, compiled = self._numbers
        number = dict(zip(expressions, map(float, compiled(*(given[x] for x in names))), strict=True))
        resolvents = [_resolvent(f, nodes, number) for f in self.system.fits]
        problem, structure = self.structure(frozenset(k for k, r in enumerate(resolvents) if r.vanishing))
        spaces = {symbols.d: nodes} | {
            x.T: Nodes({}, np.array([number[x.T]])) for f in self.system.fits for x in f.designs if symbols.d != x.T
        }
        parameters: dict[Symbol, Any] = dict(given)
        for k, f in enumerate(self.system.fits):
            parameters[symbols.indexed(symbols.lam, k)] = _penalty(f, resolvents[k], nodes, number[f.ridge])
        solution, residual = solve_numeric(
            structure, spaces, parameters, _Start(problem, self.system, resolvents, nodes, number)
        )
        pencil = problem.pencil
        result = {name: solution.green.get((pencil.outputs[name], i), 0.0) for name, i in pencil.inputs.items()}
        bias = float(np.sum(energies * result["w0"]))
        variance = {name: number[e] * float(np.sum(result[name])) for name, e in problem.noises.items()}
        return TestErrorValues(bias, variance, max(residual, *(r.residual for r in resolvents)))


@dataclass(frozen=True)
class _Start:
    """The unknowns of a fit's own atom, from its effective ridges."""

    problem: TestErrorPencil
    system: PooledSystem
    resolvents: Sequence[Resolvent]
    nodes: Nodes
    number: Mapping[Expr, float]

    def __call__(self, atom: Atom) -> Sequence[float] | None:
        """Return the values of the atom's unknowns."""
        fit_of = {i: k for k, i in self.problem.error_of.items()}
        design_of = {i: key for key, i in self.problem.residual_of.items()}
        out = []
        for u in atom.unknowns:
            i = self.problem.untransposed(u.row)
            if i in fit_of:
                (s,) = (self.nodes.values[x.name] for x in u.weight.free_symbols if isinstance(x, Eigenvalue))
                with np.errstate(invalid="ignore"):
                    out.append(float(self.nodes.counts @ np.where(s > 0, s * self.resolvents[fit_of[i]].error, 0.0)))
            else:
                k, n = design_of[i]
                out.append(self.number[self.system.fits[k].designs[n].T] / self.resolvents[k].scale[n])
        return out


def _parameters(system: PooledSystem) -> Iterator[Expr]:
    for f in system.fits:
        yield from (f.ridge, f.N)
        for x in f.designs:
            yield from (
                x.T,
                x.weight,
                x.truth,
                *(c for _, c in x.labellers),
                *(e for y in x.noises for e in (y.share, y.sigma)),
            )


def _resolvent(f: PooledFit, nodes: Nodes, number: Mapping[Expr, float]) -> Resolvent:
    s = np.stack([nodes.values[x.covariance] for x in f.designs])
    weights = np.array([number[x.weight] for x in f.designs])
    rows = np.array([number[x.T] for x in f.designs])
    return solve_resolvent(s, nodes.counts, weights, rows, number[f.N], number[f.ridge])


def _penalty(f: PooledFit, resolvent: Resolvent, nodes: Nodes, ridge: float) -> float | np.ndarray:
    """Return the ridge; without one, directions the fit never sees get any positive one: the estimate is zero there."""
    unseen = ~np.any([nodes.values[x.covariance] > 0 for x in f.designs], axis=0)
    return np.where(unseen, 1.0, 0.0) if ridge == 0 and not resolvent.vanishing and unseen.any() else ridge
