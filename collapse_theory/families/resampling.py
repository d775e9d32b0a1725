"""Tokens resampled again and again: expectations over the counts of all tokens after any number of resamplings."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from collapse_theory.core.errors import DomainError, shown
from collapse_theory.core.numbers import real, real_values
from collapse_theory.families.vocabulary import TokenGroups, group
from collapse_theory.families.wright_fisher import Chain, chain

__all__ = ["expected_survivors", "generation_numbers", "like", "row_number", "sum_over_tokens"]

_MOST_ROWS = 10**9  # the grid of counts of the chain grows with them
_MOST_GENERATIONS = 1 << 53  # beyond, float64 does not hold every integer
_SQUARING_FROM = 16  # a jump of this many generations per state is cheaper by repeated squaring than step by step


def expected_survivors(p: np.ndarray, T: Any, generations: Any) -> Any:
    """Return the expected number of tokens that still occur after that many resamplings of ``T`` rows.

    >>> round(float(expected_survivors(np.array([0.5, 0.5]), 2, 1)), 12)
    1.5
    """
    c = chain(row_number(T))
    return sum_over_tokens(group(p), c, (c.states > 0).astype(float), generations, float((p > 0).sum()))


def sum_over_tokens(tokens: TokenGroups, c: Chain, f: np.ndarray, generations: Any, at_zero: float) -> Any:
    """Return ``sum_k E f(count of token k after n resamplings)`` for each n; ``at_zero`` is its value at n = 0."""
    n = generation_numbers(generations)
    functional = np.asarray(tokens.weights @ c.start(tokens.p)).ravel()
    values = {0: at_zero}
    at = 1
    for target in sorted(set(n.ravel().tolist()) - {0}):
        f, at = _advance(c, f, target - at), target
        values[target] = float(functional @ f)
    return like(n, np.array([values[x] for x in n.ravel().tolist()]).reshape(n.shape))


def _advance(c: Chain, f: np.ndarray, generations: int) -> np.ndarray:
    """Return ``P^generations f``."""
    if generations <= _SQUARING_FROM * len(c.states):
        return next(itertools.islice(c.powers(f), generations, None))
    power = c.step if isinstance(c.step, np.ndarray) else c.step.toarray()
    while generations:
        if generations & 1:
            f = power @ f
        generations >>= 1
        if generations:
            power = power @ power
    return f


def row_number(T: Any) -> int:
    """Return the rows of each resampling, checked."""
    rows = real(T, "T", positive=True, integer=True, number=True, most=_MOST_ROWS)
    if not rows.is_Integer or rows < 1:
        raise DomainError(f"T needs to be an integer >= 1, got {shown(T)}; give the rows of each resampling")
    return int(rows)


def generation_numbers(generations: Any) -> np.ndarray:
    """Return numbers of resamplings, checked, as integers."""
    n = real_values(generations, "generations")
    if not ((n >= 0) & (n == np.floor(n)) & (n < _MOST_GENERATIONS)).all():
        raise DomainError(
            f"generations needs integers in 0..{_MOST_GENERATIONS - 1}, got {shown(generations)}; count resamplings"
        )
    return n.astype(np.int64)


def like(n: np.ndarray, values: np.ndarray) -> Any:
    """Return a float for a scalar question, else the array."""
    return float(values) if n.ndim == 0 else values
