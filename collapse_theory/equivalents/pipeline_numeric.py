r"""The test error of any linear pipeline as numbers, through the fixed point solved component by component."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from sympy import Expr, Symbol

from collapse_theory import symbols
from collapse_theory.describe.pipeline import Fit, Pipeline
from collapse_theory.equivalents.components import Structure, structure_of
from collapse_theory.equivalents.fixed_point import Atom
from collapse_theory.equivalents.numeric import Nodes, solve_numeric
from collapse_theory.equivalents.pipeline import COMMON, PooledFit, TestErrorPencil, pooled, test_error_pencil
from collapse_theory.equivalents.resolvents import Resolvent, solve_resolvent
from collapse_theory.errors import DomainError

__all__ = ["PipelineEquivalent", "TestErrorValues"]


@dataclass(frozen=True)
class TestErrorValues:
    """The test error of a pipeline at given numbers.

    Attributes:
        bias: The part of the true coefficients.
        variance: Contribution of each noise source, by sample name.
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
        pipeline: A linear pipeline. Rows, noises, ridges and weights may be symbols.
        model: The tested fit; None is the last.
        test_covariance: Name of the covariance of the test inputs; None is the common one.

    Raises:
        PipelineError: If a sample is not of the linear kind.

    >>> from collapse_theory import workflows
    >>> from collapse_theory.describe.pipeline import Stage
    >>> pipe = workflows.accumulate(2, Stage(T=90, noise=0.4, ridge=0.05))
    >>> nodes = Nodes({"Sigma": np.ones(1)}, np.array([100.0]))
    >>> round(PipelineEquivalent(pipe).evaluate(nodes, energies=np.ones(1)).total, 6)
    0.491749
    """

    pipeline: Pipeline
    model: Fit | None = None
    test_covariance: str | None = None

    @cached_property
    def fits(self) -> tuple[PooledFit, ...]:
        """The fits behind the tested one, designs merged."""
        return tuple(pooled(f) for f in self.pipeline.ancestors(self.pipeline.model(self.model)))

    @cached_property
    def _structures(self) -> dict[frozenset[int], tuple[TestErrorPencil, Structure]]:
        return {}

    def structure(self, vanishing: frozenset[int]) -> tuple[TestErrorPencil, Structure]:
        """Return the pencil and its structure for the fits whose residuals are scaled by the ridge."""
        if vanishing not in self._structures:
            ridges = {f.fit.index: symbols.indexed(symbols.lam, f.fit.index) for f in self.fits}
            problem = test_error_pencil(
                self.pipeline, self.model, test_covariance=self.test_covariance, ridges=ridges, vanishing=vanishing
            )
            self._structures[vanishing] = (problem, structure_of(problem.pencil))
        return self._structures[vanishing]

    def evaluate(self, nodes: Nodes, energies: np.ndarray, values: Mapping[Symbol, float] | None = None) -> TestErrorValues:
        """Return bias and variances.

        Args:
            nodes: Eigenvalues of every covariance in the common basis, with multiplicities.
            energies: Sum of the target energies over each node's eigenvectors, shape (k,).
            values: Values of the pipeline's symbols.

        Raises:
            DomainError: At a threshold without ridge, or if a value is missing.
            ConvergenceError: If an equation is not solved.
        """
        given = {symbols.d: float(nodes.counts.sum()), **(values or {})}

        def number(e: Expr) -> float:
            missing = e.free_symbols - set(given)
            if missing:
                raise DomainError(f"evaluate needs a value for {', '.join(sorted(map(str, missing)))}; pass it by name")
            return float(e.xreplace(given))

        resolvents = {f.fit.index: _resolvent(f, nodes, number) for f in self.fits}
        problem, structure = self.structure(frozenset(k for k, r in resolvents.items() if r.vanishing))
        spaces = {symbols.d: nodes}
        for p in problem.pencil.dimensions:
            spaces.setdefault(p, Nodes({}, np.array([number(p)])))
        for f in self.fits:
            ridge = number(f.ridge)
            unseen = _unseen(f, nodes) & (ridge == 0)  # minimum norm: the estimate is zero there, whatever the ridge
            given[symbols.indexed(symbols.lam, f.fit.index)] = ridge if resolvents[f.fit.index].vanishing else np.where(unseen, 1.0, ridge) if unseen.any() else ridge
        solution, residual = solve_numeric(structure, spaces, given, _Start(problem, resolvents, nodes, number))
        pencil = problem.pencil

        def result(name: str) -> np.ndarray:
            return np.asarray(solution.green.get((pencil.outputs[name], pencil.inputs[name]), 0.0))

        bias = float(np.sum(energies * result("w0")))
        variance = {s.name: number(s.noise**2 * s.T) * float(result(name).sum()) for name, s in problem.noises.items()}
        return TestErrorValues(bias, variance, max(residual, *(r.residual for r in resolvents.values())))


@dataclass(frozen=True)
class _Start:
    """The unknowns of a fit's own atom, from its effective ridges."""

    problem: TestErrorPencil
    resolvents: Mapping[int, Resolvent]
    nodes: Nodes
    number: object

    def __call__(self, atom: Atom) -> Sequence[float] | None:
        """Return the values of the atom's unknowns."""
        fit_of = {i: k for k, i in self.problem.error_of.items()}
        residual_of = {i: key for key, i in self.problem.residual_of.items()}
        out = []
        for u in atom.unknowns:
            i = self.problem.untransposed(u.k)
            if i in fit_of:
                r = self.resolvents[fit_of[i]]
                s = self.nodes.values[next(iter(u.weight.free_symbols)).name]
                with np.errstate(invalid="ignore"):
                    out.append(float(self.nodes.counts @ np.where(s > 0, s * r.error, 0.0)))
            else:
                k, sample = residual_of[i]
                f = next(f for f in self.problem.fits if f.fit.index == k)
                place = next(n for n, design in enumerate(f.designs) if design.inputs.index == sample)
                out.append(self.number(f.designs[place].inputs.T) / self.resolvents[k].scale[place])
        return out


def _resolvent(f: PooledFit, nodes: Nodes, number: object) -> Resolvent:
    s = np.stack([nodes.values[design.covariance] for design in f.designs])
    weights = np.array([number(design.weight) for design in f.designs])
    rows = np.array([number(design.inputs.T) for design in f.designs])
    return solve_resolvent(s, nodes.counts, weights, rows, number(f.fit.N), number(f.ridge))


def _unseen(f: PooledFit, nodes: Nodes) -> np.ndarray:
    return ~np.any([nodes.values[design.covariance] > 0 for design in f.designs], axis=0)
