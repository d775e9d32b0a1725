r"""The recursion of :mod:`.cavity` for pipelines in any real numbers, at one point.

A function of the eigenvalues is an array of shape (k,), a scalar one of shape (1,). Many points in float64 are solved by the
same recursion in the form of :mod:`.overlaps`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from sympy import Expr, Symbol

from collapse_theory import symbols
from collapse_theory.derive.cavity import FEATURES, Cavity, OwnFit, Pair, unlabelled
from collapse_theory.derive.pooled import Combination, PooledSystem
from collapse_theory.describe.truths import Pair as Truths
from collapse_theory.numerics.arrays import namespace
from collapse_theory.numerics.complements import SolvedFit, eliminate, slack
from collapse_theory.numerics.feature_noise import NoiseTails
from collapse_theory.numerics.measure import Measure
from collapse_theory.numerics.reals import Reals
from collapse_theory.numerics.resolvents import Resolvent
from collapse_theory.numerics.solved_fits import FitNumbers, RidgeNumbers, solved_fit

__all__ = ["Numbers", "PipelineArrays", "PipelineEquivalent", "TestErrorValues", "needed_numbers"]


class Numbers(RidgeNumbers, Protocol):
    """Numbers in which a system of pooled fits is solved."""

    def resolvent(self, fit: FitNumbers) -> Resolvent:
        """Return the effective ridges of one fit, see :func:`.solve_resolvent`."""


@dataclass(frozen=True)
class TestErrorValues:
    """The test error of a pipeline at given numbers.

    Attributes:
        bias: The part of the true coefficients.
        noise: The part of all label noises.
        residual: Largest relative residual of the nonlinear equations.
    """

    __test__ = False

    bias: Any
    noise: Any
    residual: float


@dataclass(frozen=True)
class PipelineEquivalent:
    """The deterministic equivalent of a pipeline's test error.

    Args:
        system: The pooled fits. Rows, noises, ridges and weights may be symbols.
    """

    system: PooledSystem

    @cached_property
    def _numbers(self) -> tuple[Expr, ...]:
        """Every expression of the parameters that is needed as a number."""
        return needed_numbers(self.system)

    def solve(self, numbers: Numbers, measure: Measure, values: Mapping[Symbol, Any], unit: Any = 1) -> TestErrorValues:
        """Return bias and noise.

        Args:
            numbers: The numbers of the arrays and values.
            measure: Eigenvalues of every covariance in the common basis, and energies of the target.
            values: Values of the system's symbols.
            unit: What to multiply the ridges with: that of the eigenvalues.

        Raises:
            DomainError: At a threshold without ridge.
            ConvergenceError: If an equation is not solved.
        """
        given: dict[Symbol, Any] = {symbols.d: numbers.array(measure.dimension)[()], **values}
        number = dict(zip(self._numbers, numbers.evaluate(self._numbers, given), strict=True))
        tails = NoiseTails.of(self.system, measure, number)
        alike: dict[tuple[Any, ...], Resolvent] = {}
        fits = []
        for f in self.system.fits:
            key = f.alone
            if key not in alike:
                found = numbers.resolvent(FitNumbers.of(f, tails.seen(f), number, numbers, unit))
                alike[key] = tails.among_all(f, found)
            fits.append(solved_fit(f, alike[key], number, tails.measure.values, numbers))
        cavity = Cavity(self.system, PipelineArrays(self.system, numbers, tails.measure, number, fits))
        zero = numbers.array(0)[()]
        bias, noise = (zero if x is None else x[0] for x in (cavity.bias(), cavity.variance()))
        return TestErrorValues(bias, noise, float(max(x.residual for x in alike.values())))


class PipelineArrays:
    """Arrays over nodes."""

    def __init__(
        self,
        system: PooledSystem,
        numbers: Reals,
        measure: Measure,
        number: Mapping[Expr, Any],
        fits: Sequence[SolvedFit],
    ) -> None:
        self.system, self.numbers, self.measure, self.fits = system, numbers, measure, fits
        self.number = number.__getitem__
        self._slack: dict[tuple[Any, ...], tuple[list[Any], list[Any]]] = {}

    def eigenvalue(self, covariance: str) -> Any:
        """Return the eigenvalues of a covariance in all units."""
        return self.fits[0].s[covariance]

    def own(self, k: int) -> OwnFit:
        """Return a fit on its own."""
        return self.fits[k].own

    def trace(self, f: Any) -> Any:
        """Return the sum over the eigenvalues."""
        return self.measure.trace(f, column=True)

    def form(self, f: Any, truths: Truths) -> Any:
        """Return the sum over the energies, or over the products of two truths."""
        return self.measure.form(f, column=True, truths=truths)

    def named(self, kind: str, index: tuple[Any, ...], e: Any) -> Any:  # noqa: ARG002 - numbers need no names
        """Return a result as it is."""
        return e

    def coupled(
        self, pair: Pair, sights: Sequence[tuple[str, bool]], feedback: Callable[[int, int], Any], right: Sequence[Any]
    ) -> Sequence[Any]:
        """Return the solution, without cancellation where no scale differs between directions."""
        k, other = pair
        size = range(len(sights))
        plain = FEATURES not in sights and not self.system.feature_noises
        if plain and self.fits[k].uniform and self.fits[other].uniform:
            covariances = tuple(name for name, _ in sights)
            entries = {(i, j): a for i in size for j in size if i != j and (a := feedback(i, j)) is not None}
            key = (k, other, covariances)
            if key not in self._slack:
                self._slack[key] = slack(self.system, self.fits, self.measure, pair, covariances)
            return eliminate(entries, *self._slack[key], right)
        rows = [[int(i == j) - self._entry(feedback(i, j)) for j in size] for i in size]
        stack = namespace(*rows[0]).stack
        x = self.numbers.solve(stack([stack(row) for row in rows]), stack([self._entry(y) for y in right]))
        return [x[i : i + 1] for i in size]

    def _entry(self, x: Any) -> Any:
        """Return a scalar, which may be missing, in shape ()."""
        return self.numbers.array(0 if x is None else x)[()] if np.ndim(x) == 0 else x[0]


def needed_numbers(system: PooledSystem) -> tuple[Expr, ...]:
    """Return every expression of the parameters that the recursion asks for."""
    found: set[Expr] = set()
    for f in system.fits:
        found |= {f.ridge, f.N}
        if f.features is not None:
            found |= {f.features.m, f.features.noise}
        for x in f.designs:
            found |= {x.T, x.weight, x.weight * x.T / f.N, x.weight / f.N, unlabelled(1 - x.truth, x.labellers)}
    rows = [*(x for f in system.fits for x in f.designs), *system.deviations]
    found |= {c for x in rows for _, c in (*x.labellers, *x.offsets)}
    found |= {
        a.share * b.share * a.sigma**2
        for x in rows
        for a in x.noises
        for y in rows
        for b in y.noises
        if a.sample == b.sample
    }
    asked = system.measured
    if isinstance(asked, Combination):
        found |= {unlabelled(1 - asked.truth, asked.fits), *(c for _, c in asked.fits)}
    else:
        fit = system.fits[asked.fit]
        found |= {fit.N - sum(x.T for x in fit.designs), *(x.weight * x.T / fit.N for x in asked.deviations)}
        found |= {unlabelled(-x.truth, x.labellers) for x in asked.deviations}
    return tuple(sorted(found, key=lambda e: e.sort_key()))
