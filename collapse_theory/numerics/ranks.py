r"""Which designs of a fit determine the directions they see: the over- and under-determined parts of the normal equations.

Generic rows of a covariance span as many of its directions as there are rows or directions. A set :math:`A` of designs has
:math:`\sum_AT_i` rows and sees the rank of :math:`\sum_A\Sigma_i`. The *closed* designs are the smallest set whose
surplus, rows less rank, is largest: without ridge they determine every direction they see. All other designs and directions
are *open*: there the rows are interpolated. If a larger set has the same surplus, its further rows are exactly as many as
the directions they add: an interpolation threshold.

Source: Dulmage, Mendelsohn, Coverings of bipartite graphs, Canadian Journal of Mathematics 1958.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from collapse_theory.numerics.measure import Measure

__all__ = ["Openness", "openness"]


@dataclass(frozen=True)
class Openness:
    """The parts of one fit.

    Attributes:
        designs: Whether each design is open, boolean, shape (..., designs). Designs at a threshold count as closed.
        directions: Whether each direction is open, boolean, shape (..., k); directions that no design sees are.
        threshold: Number of rows at a threshold, shape (...); 0 away from it.
        margin: By how many rows the largest surplus is larger than any other, shape (...).
    """

    designs: np.ndarray
    directions: np.ndarray
    threshold: np.ndarray
    margin: np.ndarray


def openness(support: np.ndarray, measure: Measure, rows: np.ndarray) -> Openness:
    """Return the closed and open parts of a fit.

    Args:
        support: Which design sees which direction, boolean, shape (designs, k).
        measure: The directions at each of k nodes.
        rows: Rows of each design, positive, shape (..., designs).

    >>> import numpy as np
    >>> nested = np.array([[True, False], [True, True]])  # 50 of 100 directions, and all
    >>> openness(nested, Measure({}, np.array([50, 50])), np.array([100, 10])).designs
    array([False,  True])
    """
    supports = [row.tobytes() for row in np.asarray(support, dtype=bool)]
    kinds = list(dict.fromkeys(supports))  # designs that see the same directions count together
    kind_of = np.array([kinds.index(x) for x in supports])
    sees = np.stack([support[supports.index(x)] for x in kinds])
    of_kind = np.stack([rows[..., kind_of == i].sum(axis=-1) for i in range(len(kinds))], axis=-1)
    chosen = np.array([[i >> j & 1 for j in range(len(kinds))] for i in range(1 << len(kinds))], dtype=bool)
    ranks = np.array([measure.directions(sees[x].any(axis=0)) for x in chosen])
    surplus = (of_kind[..., None, :] * chosen).sum(axis=-1) - ranks
    best = np.equal(surplus, surplus.max(axis=-1, keepdims=True))[..., None]
    margin = surplus.max(axis=-1) - np.where(best[..., 0], -np.inf, surplus).max(axis=-1)
    # The surplus is supermodular: the intersection and the union of the best sets are among them.
    smallest, greatest = (chosen | ~best).all(axis=-2), (chosen & best).any(axis=-2)
    closed = greatest[..., kind_of]
    reached = (closed[..., None] & support).any(axis=-2)
    return Openness(~closed, ~reached, (of_kind * (greatest & ~smallest)).sum(axis=-1), margin)
