r"""Which counts of a token a sum over its law has to visit.

Counts far from the mean have no weight, and a sum over the counts of a smooth bell of width :math:`\sigma` is the same on every
h-th count, times h: by Poisson's summation formula the two differ by about :math:`e^{-2\pi^2\sigma^2/h^2}`, and by
:math:`e^{-\pi^2\sigma^2/h^2}` where the summand is another smooth function of the same width. At :math:`h\le\sigma/2` that is
below :math:`10^{-17}`. The bell of the next sample is narrower where the token has become rare, so its width is taken six
standard deviations below the mean; a token that may become rare keeps every count.

Source: the trapezoidal rule on an unbounded smooth integrand (Trefethen, Weideman, The exponentially convergent trapezoidal
rule, SIAM Review 2014).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from collapse_theory.describe.pipeline import Sample

__all__ = ["Lattice", "bands", "every_count", "thinned"]

_TAIL = 7.0  # standard deviations: 1e-12
_EXPONENTIAL = 12.0  # times the variance, of which half is the mean of a rare token's exponential tail: e^-24
_COUNTS = 10
_LOW = 6.0  # standard deviations at which a bell is as narrow as it may become
_PER_WIDTH = 2  # counts that are kept in one standard deviation


@dataclass(frozen=True)
class Lattice:
    """Counts at equal distances.

    Attributes:
        first: The smallest.
        last: None is larger.
        stride: The distance.
    """

    first: int
    last: int
    stride: int = 1

    @property
    def counts(self) -> np.ndarray:
        """The counts.

        >>> Lattice(2, 9, 3).counts
        array([2, 5, 8])
        """
        return np.arange(self.first, self.last + 1, self.stride)

    @property
    def size(self) -> int:
        """How many there are."""
        return (self.last - self.first) // self.stride + 1


def every_count(samples: Sequence[Sample]) -> dict[Sample, Lattice]:
    """Return all counts of each sample."""
    return {s: Lattice(0, int(s.T)) for s in samples}


def thinned(
    samples: Sequence[Sample], variance: Mapping[Sample, float], p: np.ndarray, wider: float, *, smooth: bool
) -> dict[Sample, Lattice]:
    """Return the counts of each sample that tokens of probabilities ``p`` need.

    Args:
        samples: Numeric.
        variance: Of each sample's frequency, in units of ``p (1 - p)``.
        p: Probabilities, similar ones.
        wider: Factor on the distance to the mean at which counts are left out.
        smooth: Whether what is summed is smooth, so that counts between may be left out too.
    """
    low, high = float(p.min()), float(p.max())
    stride = _stride(samples, variance, low, high) if smooth else 1
    found = {}
    for s in samples:
        T, v = int(s.T), variance[s]
        first = max(0, int(np.floor(T * low - wider * _reach(T, v, low))))
        last = min(T, int(np.ceil(T * high + wider * _reach(T, v, high))))
        found[s] = Lattice(first, last, stride)
    return found


def bands(samples: Sequence[Sample], variance: Mapping[Sample, float], p: np.ndarray) -> Iterator[np.ndarray]:
    """Yield positions of tokens whose probabilities are within the spread of one another's counts."""
    order = np.argsort(p)
    if not samples:
        yield order
        return
    largest = max(samples, key=lambda s: int(s.T))
    T, v = int(largest.T), variance[largest]
    start = 0
    for i in range(1, len(order) + 1):
        if i == len(order) or T * (p[order[i]] - p[order[start]]) > _reach(T, v, float(p[order[start]])) / 2:
            yield order[start:i]
            start = i


def _reach(T: int, v: float, p: float) -> float:
    """Return how far from its mean a count has weight: a Gaussian tail, and the exponential one of few ancestors."""
    return _TAIL * T * float(np.sqrt(v * p * (1 - p))) + _EXPONENTIAL * v * T + _COUNTS


def _stride(samples: Sequence[Sample], variance: Mapping[Sample, float], low: float, high: float) -> int:
    widths = []
    for s in samples:
        v = max(variance.values())
        ends = (low - _LOW * np.sqrt(v * low * (1 - low)), high + _LOW * np.sqrt(v * high * (1 - high)))
        widths.append(min(int(s.T) * x * (1 - x) for x in ends))
    narrowest = min(widths, default=0.0)
    return max(1, int(np.sqrt(narrowest) / _PER_WIDTH)) if narrowest > 0 else 1
