"""Recursions over generations as steps of a plan: which arrays go where, in any arithmetic with arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from sympy import Expr

from collapse_theory.equivalents.mean_labeller import Labels, PooledStage, forward_risk
from collapse_theory.evaluate.generations import run_generations
from collapse_theory.evaluate.measure import Measure

__all__ = ["Generations", "PooledGenerations", "Rule", "pooled_labels"]


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

        def column(f: Any, weights: np.ndarray) -> np.ndarray:
            return np.asarray(f @ weights)[..., None]

        bias, variance = forward_risk(
            stages,
            kappas,
            residuals,
            measure.nodes,
            lambda f: column(f, measure.counts),
            lambda f: column(f, energies),
        )
        return bias[..., 0], np.asarray(variance)[..., 0]


def pooled_labels(stages: Sequence[PooledStage]) -> tuple[PooledGenerations, tuple[Expr, ...]]:
    """Return the rule of pooled stages and the flat expressions of their labels."""
    arguments: list[Expr] = []
    places = []
    for stage in stages:
        places.append(tuple(tuple(labels.fits) for labels in stage.labels))
        for labels in stage.labels:
            arguments += [labels.share, labels.noise, labels.truth, *labels.fits.values()]
    return PooledGenerations(tuple(places)), tuple(arguments)
