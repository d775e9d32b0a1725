r"""The count of one token under replacement: the Wright-Fisher chain on ``0..T``.

``T`` rows drawn from a model that gives the token the frequency ``x`` contain it ``Bin(T, x)`` times, and the next
model gives it the frequency count/T. With ``f`` a function of the count, ``(P f)(j) = E f(Bin(T, j/T))``.

Up to ``EXACT_ROWS`` rows the chain has every count as a state (binomial tails below 1e-17 are cut). Beyond, its states
are all counts near both ends and then counts in geometric progression (2 % apart); a function of the count is the local
polynomial of degree 7 through the states, and the binomial average of that polynomial is summed count by count. The
interpolation error is below 2e-12 per generation (tests compare with the full chain).

Source: Fisher 1930; Wright, Evolution in Mendelian populations, Genetics 1931. The grid of counts is ours.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from collapse_theory.core.errors import DomainError
from collapse_theory.families.binomial import probabilities

__all__ = ["EXACT_ROWS", "Chain", "chain"]

EXACT_ROWS = 3000
"""Up to this many rows the chain keeps every count."""
_NEAR_END = 64
_RATIO = 1.02
_POINTS = 8
_TAIL = 9.0  # standard deviations; with the offset below the cut tail is under 1e-17 also where counts are Poisson
_TAIL_OFFSET = 45
_BLOCK = 4_000_000
_DENSE_FROM = 0.25  # share of non-zero entries from which a dense product is the faster one


@dataclass(frozen=True, eq=False)
class Chain:
    """The chain for ``T`` rows, on all counts or on a grid of counts.

    Attributes:
        T: Rows of each generation.
        states: The counts kept, increasing from 0 to T.
        step: Sparse matrix of one generation, acting on functions of the count given at ``states``.
    """

    T: int
    states: np.ndarray
    step: sparse.csr_array | np.ndarray

    @property
    def exact(self) -> bool:
        """Whether every count is a state."""
        return len(self.states) == self.T + 1

    def start(self, p: np.ndarray) -> sparse.csr_array:
        """Return the matrix that takes a function of the count to its means over ``Bin(T, p_i)``, one row each."""
        return _averages(self.T, self.states, np.asarray(p, dtype=float))

    def powers(self, f: np.ndarray) -> Iterator[np.ndarray]:
        """Yield ``f, P f, P^2 f, ...`` for ever."""
        while True:
            yield f
            f = self.step @ f


_LARGEST = 10**7  # minutes; the work grows with T


@functools.lru_cache(maxsize=8)
def chain(T: int, exact_rows: int = EXACT_ROWS) -> Chain:
    """Return the Wright-Fisher chain for ``T`` >= 1 rows, on all counts if ``T`` <= ``exact_rows``.

    Raises:
        DomainError: If ``T`` is more than a chain can be built for.

    >>> chain(2).step
    array([[1.  , 0.  , 0.  ],
           [0.25, 0.5 , 0.25],
           [0.  , 0.  , 1.  ]])
    """
    if T > _LARGEST:
        raise DomainError(
            f"the Wright-Fisher chain needs T <= {_LARGEST:.0e} rows, got T={T}: it is built row by row; take fewer rows (times in "
            "units of T change little beyond), or survival_lower_bound"
        )
    states = np.arange(T + 1) if exact_rows >= T else _grid(T)
    step = _averages(T, states, states / T)
    return Chain(T, states, step.toarray() if step.nnz > _DENSE_FROM * len(states) ** 2 else step)


def _grid(T: int) -> np.ndarray:
    """Return counts: all up to ``_NEAR_END``, then geometric up to the middle, mirrored."""
    half = [*range(_NEAR_END)]
    while half[-1] * _RATIO < T / 2:
        half.append(max(half[-1] + 1, round(half[-1] * _RATIO)))
    lower = np.array([j for j in half if j <= T // 2])
    return np.unique(np.concatenate([lower, T - lower]))


def _averages(T: int, states: np.ndarray, x: np.ndarray) -> sparse.csr_array:
    """Return the sparse matrix of binomial averages over functions given at ``states``, one row per frequency ``x``."""
    spread = _TAIL * np.sqrt(T * x * (1 - x)) + _TAIL_OFFSET * (x > 0) * (x < 1)
    low = np.maximum(0, np.floor(T * x - spread)).astype(np.int64)
    high = np.minimum(T, np.ceil(T * x + spread)).astype(np.int64)
    low = np.where(x == 1, T, low)
    high = np.where(x == 0, 0, high)
    full = len(states) == T + 1
    parts = []
    bounds = np.concatenate([[0], np.cumsum(high - low + 1)])
    first = 0
    while first < len(x):
        last = max(first + 1, int(np.searchsorted(bounds, bounds[first] + _BLOCK, side="right")) - 1)
        row, count, weight = _binomials(T, x[first:last], low[first:last], high[first:last])
        if full:
            block = sparse.coo_array((weight, (row, count)), shape=(last - first, T + 1)).tocsr()
        else:
            block = _interpolated(row, count, weight, last - first, states)
        parts.append(block)
        first = last
    return sparse.csr_array(sparse.vstack(parts, format="csr")) if parts else sparse.csr_array((0, len(states)))


def _binomials(T: int, x: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (row, count, probability) of ``Bin(T, x_row)`` for the counts ``low..high``; rows sum to 1."""
    size = high - low + 1
    row = np.repeat(np.arange(len(x)), size)
    count = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size) + low[row]
    weight = probabilities(T, count, x[row])
    weight /= np.bincount(row, weight, minlength=len(x))[row]
    return row, count, weight


def _interpolated(
    row: np.ndarray, count: np.ndarray, weight: np.ndarray, rows: int, states: np.ndarray
) -> sparse.csr_array:
    """Spread weights on counts to weights on the states whose local polynomial the value at the count is taken from."""
    counts, place = np.unique(count, return_inverse=True)
    left = np.clip(np.searchsorted(states, counts, side="right") - _POINTS // 2, 0, len(states) - _POINTS)
    nodes = states[left[:, None] + np.arange(_POINTS)].astype(float)
    lagrange = np.empty_like(nodes)
    for a in range(_POINTS):
        others = [b for b in range(_POINTS) if b != a]
        lagrange[:, a] = np.prod((counts[:, None] - nodes[:, others]) / (nodes[:, [a]] - nodes[:, others]), axis=1)
    n = len(states)
    out = np.zeros(rows * n)
    for a in range(_POINTS):
        out += np.bincount(row * n + left[place] + a, weight * lagrange[place, a], minlength=rows * n)
    return sparse.csr_array(out.reshape(rows, n))
