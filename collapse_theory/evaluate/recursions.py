"""Recursions over fits as steps of a plan: which arrays go where, in any arithmetic with arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import mpmath
import numpy as np
from sympy import Expr, Symbol

from collapse_theory.equivalents.mean_labeller import Labels, PooledStage, forward_risk
from collapse_theory.equivalents.numeric import Nodes
from collapse_theory.equivalents.pipeline import PooledSystem
from collapse_theory.equivalents.pipeline_numeric import PipelineEquivalent
from collapse_theory.equivalents.reals import MultiPrecision
from collapse_theory.evaluate.generations import run_generations
from collapse_theory.evaluate.jets import Jet, column, value_of
from collapse_theory.evaluate.measure import Measure

__all__ = ["FixedPoint", "Generations", "PooledGenerations", "Rule", "Tangent", "pooled_labels"]


class Rule(Protocol):
    """A recursion: data, so that a plan pickles."""

    def run(self, measure: Measure, arguments: Sequence[Any]) -> tuple[Any, Any]:
        """Return bias and variance; arguments are scalars or columns of shape (n, 1)."""


@dataclass(frozen=True)
class Generations:
    """The generation operator backwards over blocks ``(kappa, residual, sigma, count)``, the tested fit last."""

    blocks: int

    def run(self, measure: Measure, arguments: Sequence[Any]) -> tuple[Any, Any]:
        """Return bias and variance of the last fit."""
        return run_generations(measure, [tuple(arguments[4 * i : 4 * i + 4]) for i in range(self.blocks)])


@dataclass(frozen=True)
class PooledGenerations:
    """The mean-labeller recursion forward over the fits.

    Attributes:
        fits: For each fit, for each of its samples, the places of the earlier fits that label it.
    """

    fits: tuple[tuple[tuple[int, ...], ...], ...]

    def run(self, measure: Measure, arguments: Sequence[Any]) -> tuple[Any, Any]:
        """Return bias and variance of the last fit; arguments are all kappas, all residuals, then labels by sample."""
        count = len(self.fits)
        kappas, residuals = arguments[:count], arguments[count : 2 * count]
        rest = iter(arguments[2 * count :])
        stages = [
            PooledStage(
                T=None,
                lam=None,
                labels=tuple(
                    Labels(next(rest), next(rest), next(rest), {m: next(rest) for m in places}) for places in samples
                ),
            )
            for samples in self.fits
        ]
        energies = measure.energies
        if energies is None:
            raise AssertionError("a recursion over fits needs the energies of the target")

        bias, variance = forward_risk(
            stages,
            kappas,
            residuals,
            measure.nodes,
            lambda f: column(f @ measure.counts),
            lambda f: column(f @ energies),
        )
        return bias[..., 0], variance[..., 0] if np.ndim(value_of(variance)) else variance


@dataclass(frozen=True)
class Tangent:
    """The derivative of a recursion along given slopes of its arguments.

    Attributes:
        rule: The recursion.
        moving: Places of the arguments that have a slope.
    """

    rule: Rule
    moving: tuple[int, ...]

    def run(self, measure: Measure, arguments: Sequence[Any]) -> tuple[Any, Any]:
        """Return the slopes of bias and variance; arguments are all values, then the slopes of the moving ones."""
        count = len(arguments) - len(self.moving)
        slopes = dict(zip(self.moving, arguments[count:], strict=True))
        jets = [Jet(x, slopes[i]) if i in slopes else x for i, x in enumerate(arguments[:count])]
        bias, variance = (x.slope if isinstance(x, Jet) else 0 * x for x in self.rule.run(measure, jets))
        return bias, variance


@dataclass(frozen=True)
class FixedPoint:
    """The operator-valued fixed point of a system of pooled fits, component by component."""

    system: PooledSystem

    @property
    def symbols(self) -> tuple[Symbol, ...]:
        """The arguments of :meth:`run`, in order."""
        return _equivalent(self.system).symbols

    def run(self, measure: Measure, arguments: Sequence[Any]) -> tuple[Any, Any]:
        """Return bias and variance of the last fit, one point after the other; in the numbers of the measure."""
        values = {name: measure.at(name) for name in self.system.covariances}
        if measure.energies is None:
            raise AssertionError("a bias needs the energies of the target")
        equivalent, nodes = _equivalent(self.system), Nodes(values, measure.counts.astype(float))
        entry = next(iter(values.values()))[0]
        if isinstance(entry, mpmath.ctx_mp_python._mpf):
            point = dict(zip(equivalent.symbols, arguments, strict=True))
            exact = equivalent.solve(MultiPrecision(entry.context), nodes, measure.energies, point)
            return exact.bias, exact.noise
        columns = np.broadcast_arrays(*(np.asarray(x, dtype=float) for x in arguments), np.zeros(()))[:-1]
        shape = columns[0].shape if columns else ()
        out = np.empty((2, *shape))
        for i in np.ndindex(shape):
            point = {x: float(c[i]) for x, c in zip(equivalent.symbols, columns, strict=True)}
            error = equivalent.evaluate(nodes, measure.energies, point)
            out[(slice(None), *i)] = error.bias, sum(error.variance.values())
        bias, variance = out.reshape(2, -1) if shape else out
        return bias, variance


@lru_cache(maxsize=32)
def _equivalent(system: PooledSystem) -> PipelineEquivalent:
    return PipelineEquivalent(system)


def pooled_labels(stages: Sequence[PooledStage]) -> tuple[PooledGenerations, tuple[Expr, ...]]:
    """Return the rule of pooled stages and the flat expressions of their labels."""
    arguments: list[Expr] = []
    places = []
    for stage in stages:
        places.append(tuple(tuple(labels.fits) for labels in stage.labels))
        for labels in stage.labels:
            arguments += [labels.share, labels.noise, labels.truth, *labels.fits.values()]
    return PooledGenerations(tuple(places)), tuple(arguments)
