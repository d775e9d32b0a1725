"""Two questions about zero patterns. SciPy answers them, and is imported when they are first asked.

Source: Hopcroft, Karp, An n^(5/2) algorithm for maximum matchings in bipartite graphs, SIAM Journal on Computing 1973; Tarjan,
Depth-first search and linear graph algorithms, SIAM Journal on Computing 1972.
"""

from __future__ import annotations

import numpy as np

__all__ = ["matching", "strong_components"]


def matching(pattern: np.ndarray) -> np.ndarray:
    """Return for each column a row of its own with a non-zero entry, or -1 where there is none left.

    >>> matching(np.array([[False, True], [True, True]]))
    array([1, 0], dtype=int32)
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_bipartite_matching

    return np.asarray(maximum_bipartite_matching(csr_array(pattern), perm_type="row"))


def strong_components(pattern: np.ndarray) -> np.ndarray:
    """Return the label of the strongly connected component of each node of a directed graph.

    >>> strong_components(np.array([[False, True], [True, False]]))
    array([0, 0], dtype=int32)
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    return np.asarray(connected_components(csr_array(pattern), directed=True, connection="strong")[1])
