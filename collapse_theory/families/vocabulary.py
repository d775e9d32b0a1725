"""Sums over a vocabulary, ``sum_k F(p_k)``, at the cost of a few hundred values of ``F``.

Equal tokens are grouped. If more than ``GROUPS`` different probabilities remain, each octave of probabilities is
replaced by its 20 Chebyshev nodes in log p, with the weights that integrate polynomials in log p over the tokens of the
octave. What is summed here (survival, fixation) is smooth in log p on that scale; the error per token is below 1e-12.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["GROUPS", "TokenGroups", "group"]

GROUPS = 600
_NODES = 20


@dataclass(frozen=True, eq=False)
class TokenGroups:
    """``sum_k F(p_k) = sum_g weights_g F(p_g)``: exact for groups of equal tokens, else up to the error stated above.

    Attributes:
        p: Representative probabilities.
        weights: Their weights (numbers of tokens when exact).
        exact: Whether these are all the different probabilities.
    """

    p: np.ndarray
    weights: np.ndarray
    exact: bool


def group(p: np.ndarray, groups: int = GROUPS) -> TokenGroups:
    """Return groups of the tokens with positive probability.

    >>> group(np.array([0.5, 0.25, 0.25, 0.0])).weights
    array([2., 1.])
    """
    value, count = np.unique(p[p > 0], return_counts=True)
    if len(value) <= groups:
        return TokenGroups(value, count.astype(float), exact=True)
    octave = np.floor(np.log2(value)).astype(int)
    nodes, weights = [], []
    for o in np.unique(octave):
        inside = octave == o
        if inside.sum() <= _NODES or o == -1:  # few tokens, or one token above 1/2: F is steep near 1
            nodes.append(value[inside])
            weights.append(count[inside].astype(float))
        else:
            t, w = _chebyshev(2 * (np.log2(value[inside]) - o) - 1, count[inside])
            nodes.append(2.0 ** (o + (t + 1) / 2))
            weights.append(w)
    return TokenGroups(np.concatenate(nodes), np.concatenate(weights), exact=False)


def _chebyshev(t: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and weights: ``sum_g w_g f(t_g) = sum_i count_i f(t_i)`` for degrees below ``_NODES``."""
    angle = np.pi * (np.arange(_NODES) + 0.5) / _NODES
    order = np.arange(_NODES)
    moments = np.empty(_NODES)
    before, now = t, np.ones_like(t)  # T_{-1} = T_1 starts the three-term recurrence
    for k in order:
        moments[k] = count @ now
        before, now = now, 2 * t * now - before
    moments[1:] *= 2
    return np.cos(angle), np.cos(np.outer(angle, order)) @ moments / _NODES
