r"""Noise of random features as a tail of the spectrum: infinitely many infinitesimal directions.

Features of a network are linear ones and noise, :math:`F^\top x+\sqrt{\tau/m}\,\varepsilon` with independent
:math:`\varepsilon_j\sim N(0,1)` for every row (:mod:`collapse_theory.describe.activations`). With :math:`K` further directions of
eigenvalue :math:`\tau/K` that :math:`F` mixes like all others, linear features of the longer inputs have this very law for
:math:`K\to\infty`: the noise is :math:`G^\top\xi` with :math:`\tau G^\top G/K\to(\tau/m)I`. So

.. math:: \operatorname{tr}f(\Sigma)\;\to\;\operatorname{tr}f(\Sigma)+\tau f'(0),\qquad w_0^\top f(\Sigma)w_0\text{ as it is},

for every function with :math:`f(0)=0`, and nothing else changes: neither the recursion over the fits, nor the equations of the
effective ridges, in which the tail is a ridge that rows see. A fit sees the tail of its own activation, and no other.

A tail is one node with so many directions that the next order in :math:`1/K` is far below round-off.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from sympy import Expr, S

from collapse_theory.core.errors import DomainError
from collapse_theory.derive.pooled import PooledFit, PooledSystem
from collapse_theory.numerics.measure import COMMON, Measure
from collapse_theory.numerics.panels import Extent
from collapse_theory.numerics.resolvents import Resolvent

__all__ = ["NoiseTails"]

_DIRECTIONS = 2.0**200


@dataclass(frozen=True)
class NoiseTails:
    """The directions of the inputs, and a tail for each noise of features.

    Attributes:
        inputs: The directions of the inputs.
        noises: The value of each noise: the trace of its tail over that of the covariance.
    """

    inputs: Measure
    noises: Mapping[Expr, Any]

    @classmethod
    def of(cls, system: PooledSystem, measure: Measure, number: Mapping[Expr, Any]) -> NoiseTails:
        """Return the tails of a system at values of its expressions."""
        return cls(measure, {e: number[e] for e in system.feature_noises})

    @cached_property
    def measure(self) -> Measure:
        """All directions: those of the inputs, then the tails."""
        return self._with(*self.noises.values()) if self.noises else self.inputs

    def seen(self, f: PooledFit) -> Measure:
        """Return the directions that a fit sees: those of the inputs, and its own tail."""
        return self._own[f.features.noise] if self._is_noisy(f) and f.features is not None else self.inputs

    @cached_property
    def _own(self) -> dict[Expr, Measure]:
        return {e: self._with(x) for e, x in self.noises.items()}

    def among_all(self, f: PooledFit, found: Resolvent) -> Resolvent:
        """Return the effective ridges of a fit with its functions on all directions, zero where it sees nothing."""
        if not self.noises:
            return found
        tails, size = list(self.noises), self.inputs.size
        own = tails.index(f.features.noise) if self._is_noisy(f) and f.features is not None else None
        place = np.concatenate([np.arange(size), [size if i == own else 0 for i in range(len(tails))]])
        seen = np.concatenate([np.ones(size, dtype=int), [int(i == own) for i in range(len(tails))]])
        opened = replace(found.opened, directions=found.opened.directions[place])
        return replace(found, opened=opened, error=found.error[place] * seen, penalty=found.penalty[place])

    @staticmethod
    def _is_noisy(f: PooledFit) -> bool:
        return f.features is not None and f.features.noise != S.Zero

    def _with(self, *noises: Any) -> Measure:
        """Return the inputs' directions with a tail for each noise; in number they are infinite."""
        inputs = self.inputs
        s, counts, extent = inputs.at(COMMON), inputs.counts, inputs.extent
        many = _DIRECTIONS if s.dtype != object else _many(s[0])
        none = np.array([0 * many] * len(noises), dtype=s.dtype)
        tails = np.array([x * inputs.trace(s) / many for x in noises], dtype=s.dtype)
        return Measure(
            {COMMON: np.concatenate([s, tails])},
            np.concatenate([counts.astype(s.dtype), none + many]),
            None if inputs.energies is None else np.concatenate([inputs.energies, none]),
            Extent(math.inf) if extent is None else replace(extent, directions=math.inf, floors=None, above=None),
            {pair: np.concatenate([x, none]) for pair, x in inputs.offsets.items()},
        )


def _many(number: Any) -> Any:
    """Return a number of directions whose next order is below the square of the round-off of a context of mpmath."""
    if not hasattr(number, "context"):
        raise DomainError(
            "certified= needs fits on inputs or linear features, got an activation, of which the theory is no limit that balls "
            "enclose; evaluate in float64, or with digits="
        )
    return number.context.mpf(2) ** (2 * number.context.prec)
