r"""The linear equations between two fits that share inputs, in a form without cancellation.

Between fits :math:`k` and :math:`l` the traces :math:`t_C` with the covariances of the shared designs :math:`j` obey
:math:`t=c+At` with :math:`A\ge0`; in the notation of :mod:`.resolvents`, with :math:`\theta_j=a_jT_j/Nx_j`,

.. math:: (At)_C=\sum_j\theta_{jk}\frac{a_{jl}}{N_lx_{jl}}\operatorname{tr}[\Sigma_Ck_k\Sigma_jk_l]\;t_{C(j)} .

Near a threshold :math:`1-A` is almost singular. By the equations of the two fits, with :math:`v_C=\operatorname{tr}\Sigma_Ck_l`,

.. math:: \big((1-A)v\big)_C=\operatorname{tr}[\Sigma_Ck_lp_kk_k]
   +\sum_j\theta_{jk}\frac{c_{jl}}{x_{jl}}\operatorname{tr}[\Sigma_Ck_l\Sigma_jk_k]
   +\sum_{j\in k\setminus l}\theta_{jk}\operatorname{tr}[\Sigma_Ck_l\Sigma_jk_k],

a sum of positive terms. They and the off-diagonal entries determine the diagonal, and elimination without subtractions
keeps every entry of the inverse to round-off.

Source: Grassmann, Taksar, Heyman, Regenerative analysis and steady state distributions for Markov chains, Operations Research
1985; Alfa, Xue, Ye, Accurate computation of the smallest eigenvalue of a diagonally dominant M-matrix, Mathematics of
Computation 2002. The positive form of the diagonal is ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from collapse_theory.derive.cavity import OwnFit
from collapse_theory.derive.pooled import PooledSystem
from collapse_theory.numerics.arrays import namespace
from collapse_theory.numerics.measure import Measure

__all__ = ["SolvedFit", "eliminate", "slack"]


@dataclass(frozen=True)
class SolvedFit:
    """The effective ridges of one fit.

    Attributes:
        own: The fit in the recursion: functions of shape (k,), scalars of shape (1,).
        uniform: Whether its directions are all open or all closed: only then is no residual scaled per direction.
        s: Eigenvalues by covariance, each of shape (k,).
        load: ``theta`` of each design, shape (designs,).
        offset: ``c / x`` of each design, shape (designs,).
    """

    own: OwnFit
    uniform: bool
    s: Mapping[str, np.ndarray]
    load: np.ndarray
    offset: np.ndarray


def slack(
    system: PooledSystem, fits: Sequence[SolvedFit], measure: Measure, pair: tuple[int, int], covariances: Sequence[str]
) -> tuple[list[Any], list[Any]]:
    """Return ``v`` and ``(1 - A) v`` for two fits whose directions are uniform.

    Args:
        system: The pooled fits.
        fits: Their effective ridges.
        measure: The directions.
        pair: Positions of the two fits.
        covariances: Those of the shared designs, one for each unknown.
    """
    k, other = pair
    first, second = fits[k], fits[other]
    place = {x.inputs: n for n, x in enumerate(system.fits[other].designs)}
    designs, between = system.fits[k].designs, first.own.kernel * second.own.kernel
    taken = [second.own.kernel, second.own.kernel * first.own.kept, *(between * first.s[x.covariance] for x in designs)]
    stack = namespace(between).stack
    integrals = iter(measure.trace(stack([first.s[C] * f for C in covariances for f in taken]), column=True))
    v, out = [], []
    for _ in covariances:
        v.append(next(integrals))
        total = next(integrals)
        for n, design in enumerate(designs):
            part = first.load[n : n + 1] * next(integrals)
            known = place.get(design.inputs)
            total = total + (part if known is None else part * second.offset[known : known + 1])
        out.append(total)
    return v, out


def eliminate(
    matrix: Mapping[tuple[int, int], Any], v: Sequence[Any], slack: Sequence[Any], right: Sequence[Any]
) -> list[Any]:
    """Return ``x`` of ``(1 - A) x = right`` for a matrix that its off-diagonal entries and ``(1 - A) v`` determine.

    Args:
        matrix: Off-diagonal entries of ``A >= 0`` by position; missing ones are zero.
        v: A positive vector.
        slack: ``(1 - A) v >= 0``.
        right: The right-hand side.

    >>> eliminate({(0, 1): 0.5, (1, 0): 0.5}, [1.0, 1.0], [1e-20, 0.0], [1.0, 1.0])  # A = [[0.5, 0.5], [0.5, 0.5]] - 1e-20
    [2e+20, 2e+20]
    """
    size = len(v)
    entry = {(i, j): a * v[j] for (i, j), a in matrix.items()}
    slack, right, pivots = list(slack), list(right), []
    for p in range(size):
        pivot = sum((entry[p, j] for j in range(p + 1, size) if (p, j) in entry), slack[p])
        pivots.append(pivot)
        for i in range(p + 1, size):
            if (i, p) not in entry:
                continue
            factor = entry[i, p] / pivot
            slack[i] = slack[i] + factor * slack[p]
            right[i] = right[i] + factor * right[p]
            for j in range(p + 1, size):
                if j != i and (p, j) in entry:
                    entry[i, j] = entry.get((i, j), 0) + factor * entry[p, j]
    x: list[Any] = [None] * size
    for p in reversed(range(size)):
        x[p] = sum((entry[p, j] * x[j] for j in range(p + 1, size) if (p, j) in entry), right[p]) / pivots[p]
    return [y * scale for y, scale in zip(x, v, strict=True)]
