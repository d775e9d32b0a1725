r"""Compressed spectra: a few hundred nodes that stand for any number of eigenvalues, in one pass over them.

The positive axis is cut into panels of two octaves. In a panel from l to h with :math:`g=\sqrt{lh}` the map

.. math:: z=\frac1{z_0}\,\frac{s-g}{s+g},\qquad z_0=\frac{\sqrt{h/l}-1}{\sqrt{h/l}+1}\le\frac13,

takes its data to :math:`[-1,1]`, and every pole :math:`s=-\kappa`, wherever on the negative axis, to a real z with
:math:`|z|\ge1/z_0\ge3`. A sum :math:`\sum_jw_jf(s_j)` over the panel is replaced by that of the interpolant of f at the n Chebyshev
nodes. This is linear in the weights (counts, energies, of any sign), so that it is a sum over the nodes, with weights

.. math:: W_k=\frac1n\Big(m_0+2\sum_{0<i<n}m_iT_i(z_k)\Big),\qquad m_i=\sum_jw_jT_i(z_j).

The nodes are the same for all weights and serve all functions. A panel with no more atoms than nodes keeps its atoms. Panels are as
wide as their data. In a long list in order, neighbours are close together: they are compressed onto the few nodes that so narrow
a range takes, and these onto those of the panel.

**Error.** The interpolant of :math:`1/(p-z)` is wrong by exactly :math:`T_n(z)/(T_n(p)(p-z))`, so by at most :math:`1/T_n(3)`
relative to it. Differentiated b - 1 times by p this is a bound for poles of order b,

.. math:: \frac{|f-\text{interpolant}|}{f}\le\frac1{T_n(3)}\sum_{k<b}\frac1{k!}\Big(\frac{4n}{\sqrt8}\Big)^k(1+\dots)
   \qquad\text{for }f=\frac1{(p-z)^b},

with terms left out that are smaller by :math:`1/n`. For n = 28 it is :math:`10^{-21}` for one resolvent, :math:`10^{-17}` for
four and :math:`10^{-15}` for six; numerators, which are polynomials of a degree of at most b, do not enlarge its order. Relative to
:math:`\sum_j|w_j|f(s_j)` a sum is as good, but for round-off.

Source: the error of an interpolant of :math:`1/(p-z)` at Chebyshev nodes, Trefethen, Approximation Theory and Approximation
Practice, 2013, ch. 11; the transposed interpolation is the adjoint of that of Fong and Darve, The black-box fast multipole method,
Journal of Computational Physics 2009. The panels and the map are ours.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

__all__ = ["ORDER", "Nodes", "compress", "panel_floor"]

ORDER = 6
"""Up to how many resolvents a function of an eigenvalue may be a product of."""

_ROWS, _COLUMNS = 4, 7  # a degree is a row plus four columns
_NODES = _ROWS * _COLUMNS
_CHUNK = 1 << 14  # eigenvalues worked on at a time: a dozen arrays of them fit the cache
_SHIFT = 53  # the bits of a float64 beyond these are its exponent halved: the panel
_PANELS = 1 << 10
_LONG = 1 << 7  # data that are worth nodes of their own on the way
_FEW = 14  # nodes that are worth it
_DIGITS = 19.0
_TINY = 1e-300  # whose inverse is far from the largest number


@dataclass(frozen=True)
class Nodes:
    """What stands for a list of eigenvalues.

    Attributes:
        values: Nodes, ascending, shape (k,).
        weights: One row for each of the given weights, shape (m, k).
        floors: Lower end of each panel that is not empty, ascending.
        sizes: Sum of the first weights in each of these panels, exact for counts.
    """

    values: np.ndarray
    weights: np.ndarray
    floors: np.ndarray
    sizes: np.ndarray


def panel_floor(x: np.ndarray) -> np.ndarray:
    """Return the lower end of the panel that a positive normal number is in.

    >>> panel_floor(np.array([1.0, 3.9, 0.125]))
    array([0.5  , 2.   , 0.125])
    """
    return ((np.ascontiguousarray(x).view(np.int64) >> _SHIFT) << _SHIFT).view(np.float64)


def compress(values: np.ndarray, *weights: np.ndarray) -> Nodes:
    """Return the nodes of a list of eigenvalues.

    Args:
        values: Eigenvalues in any order, positive normal float64, shape (d,); fastest in order.
        *weights: One or more per eigenvalue, shape (d,) each.

    >>> s = np.arange(1, 10_001) ** -1.5
    >>> nodes = compress(s, np.ones(s.size))
    >>> nodes.values.size < 250, bool(abs(nodes.weights[0] @ (1 / (nodes.values + 1e-3)) / np.sum(1 / (s + 1e-3)) - 1) < 1e-15)
    (True, True)
    """
    low, high = np.full(_PANELS, np.inf), np.zeros(_PANELS)
    atoms, size = np.zeros(_PANELS, dtype=np.int64), np.zeros(_PANELS, dtype=weights[0].dtype)
    pieces = list(_pieces(values))  # in order, they are slices
    for piece in pieces:
        k, first = piece.panel, weights[0][piece.where]
        low[k], high[k] = min(low[k], piece.low), max(high[k], piece.high)
        atoms[k] += first.size
        size[k] += first.sum() if any(first.strides) else first.size * first[0]
    used = np.flatnonzero(atoms)
    wide = (atoms > _NODES) & (low < high)
    panels = {int(p): _Moments(low[p], high[p], len(weights)) if wide[p] else _Atoms() for p in used}
    work = np.ones((_FEW, _CHUNK))
    for piece in pieces:
        s, w = values[piece.where], [x[piece.where] for x in weights]
        panels[piece.panel].add(*_fewer(piece, s, w, work))
    found = [panels[int(p)].nodes() for p in used]
    return Nodes(
        np.concatenate([s for s, _ in found]),
        np.concatenate([w for _, w in found], axis=1),
        (used.astype(np.int64) << _SHIFT).view(np.float64),
        size[used],
    )


@dataclass(frozen=True)
class _Run:
    """A run of eigenvalues in one panel: the number of the panel, the places, and the ends."""

    panel: int
    where: slice | np.ndarray
    low: float
    high: float


def _pieces(values: np.ndarray) -> Iterator[_Run]:
    """Give the eigenvalues in pieces."""
    for start in range(0, values.size, _CHUNK):
        s = values[start : start + _CHUNK]
        low, high = s.min(), s.max()
        if _panel(low) == _panel(high):
            yield _Run(int(_panel(low)), slice(start, start + s.size), float(low), float(high))
            continue
        panels = _panel(np.ascontiguousarray(s))
        order = np.argsort(panels, kind="stable")
        for places in np.split(order, np.flatnonzero(np.diff(panels[order])) + 1):
            yield _Run(int(panels[places[0]]), places + start, float(s[places].min()), float(s[places].max()))


def _panel(x: Any) -> Any:
    return x.view(np.int64) >> _SHIFT


def _fewer(
    piece: _Run, s: np.ndarray, weights: Sequence[np.ndarray], work: np.ndarray
) -> tuple[np.ndarray, Sequence[np.ndarray]]:
    r"""Return data, or the fewer nodes that serve for data close together; ``work`` has ones in its first row.

    In :math:`z=(s-m)/h` the nearest pole of a range of middle m and half-width h is at :math:`|z|\ge m/h`, so that n nodes leave
    :math:`\rho^{-n}`, :math:`\rho\approx2m/h`.
    """
    if piece.low == piece.high:
        return s[:1], [w.sum(keepdims=True) for w in weights]
    middle, half = (piece.low + piece.high) / 2, (piece.high - piece.low) / 2
    count = math.ceil(_DIGITS / math.log10(2 * middle / half))
    if count > _FEW or s.size <= _LONG:
        return s, weights
    powers = work[:count, : s.size]  # the row of ones stays
    np.subtract(s, middle, out=powers[1])
    if half > _TINY:
        powers[1] *= 1 / half
    else:
        powers[1] /= half
    for k in range(2, count):
        np.multiply(powers[k - 1], powers[1], out=powers[k])
    sums = np.array(
        [powers @ w if any(w.strides) else float(w[0]) * (powers @ powers[0]) for w in weights], dtype=float
    )
    return middle + half * _chebyshev(count)[1], list(sums @ _from_powers(count))


@lru_cache(maxsize=_NODES)
def _from_powers(count: int) -> np.ndarray:
    """Return the matrix from the moments of powers to the weights of the Chebyshev nodes."""
    chebyshev = np.stack(
        [np.pad(np.polynomial.chebyshev.cheb2poly(row), (0, count - 1 - i)) for i, row in enumerate(np.eye(count))]
    )
    doubled = np.full(count, 2.0)
    doubled[0] = 1
    return np.asarray((chebyshev * doubled[:, None]).T @ _chebyshev(count) / count)


class _Atoms:
    """A panel that keeps its atoms."""

    def __init__(self) -> None:
        self.pieces: list[tuple[np.ndarray, np.ndarray]] = []

    def add(self, s: np.ndarray, weights: Sequence[np.ndarray]) -> None:
        """Add some of the data."""
        self.pieces.append((s, np.array(weights, dtype=float)))

    def nodes(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the atoms in order, each once, and the rows of their weights."""
        s, w = (np.concatenate(x, axis=-1) for x in zip(*self.pieces, strict=True))
        distinct, where = np.unique(s, return_inverse=True)
        out = np.zeros((len(w), distinct.size))
        for row, weights in zip(out, w, strict=True):
            np.add.at(row, where, weights)
        return distinct, out


class _Moments:
    r"""The moments of the weights in a panel.

    A degree is written :math:`r+4c`, :math:`0\le r<4`: the sums over the data, of :math:`z^rT_{4c}(z)`, are one matrix product of
    few rows, and the Chebyshev moments follow from :math:`2T_rT_{4c}=T_{4c+r}+T_{4c-r}`.
    """

    def __init__(self, low: float, high: float, weights: int) -> None:
        self.middle = float(np.sqrt(low) * np.sqrt(high))
        root = float(np.sqrt(high / low))
        self.reach = (root - 1) / (root + 1)
        self.products = np.zeros((_COLUMNS, weights * _ROWS))
        self.waiting: list[tuple[np.ndarray, np.ndarray]] = []
        self.count = 0

    def add(self, s: np.ndarray, weights: Sequence[np.ndarray]) -> None:
        """Add some of the data; few are kept until they are many."""
        self.waiting.append((s, np.array(weights, dtype=float)))
        self.count += s.size
        if self.count >= _CHUNK:
            self._multiply()

    def _multiply(self) -> None:
        s, w = (np.concatenate(x, axis=-1) for x in zip(*self.waiting, strict=True))
        self.waiting, self.count = [], 0
        z = (s - self.middle) / ((s + self.middle) * self.reach)
        square = z * z
        chebyshev = np.empty((_COLUMNS, s.size))
        chebyshev[0] = 1
        chebyshev[1] = 8 * square * (square - 1) + 1  # T4
        for c in range(2, _COLUMNS):
            np.multiply(2 * chebyshev[1], chebyshev[c - 1], out=chebyshev[c])
            chebyshev[c] -= chebyshev[c - 2]
        powers = np.stack([np.ones(s.size), z, square, square * z])
        self.products += chebyshev @ (powers * w[:, None]).reshape(-1, s.size).T

    def nodes(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the nodes in order, and the rows of their weights."""
        if self.waiting:
            self._multiply()
        p = self.products.reshape(_COLUMNS, -1, _ROWS)
        by_row = [p[..., 0], p[..., 1], 2 * p[..., 2] - p[..., 0], 4 * p[..., 3] - 3 * p[..., 1]]  # T_r in powers
        moments = np.empty((p.shape[1], _NODES))
        for degree in range(_NODES):
            c, r = divmod(degree, _ROWS)
            moments[:, degree] = 2 * by_row[r][c] - moments[:, degree - 2 * r] if r and c else by_row[r][c]
        moments[:, 1:] *= 2
        chebyshev = _chebyshev(_NODES)
        u = self.reach * chebyshev[1]
        return self.middle * ((1 + u) / (1 - u)), moments @ chebyshev / _NODES


@lru_cache(maxsize=_NODES)
def _chebyshev(count: int) -> np.ndarray:
    """Return the Chebyshev polynomials by degree at the nodes, in order."""
    turns = np.arange(count)[:, None] * (2 * np.arange(count)[::-1] + 1) % (4 * count)  # large angles lose digits
    return np.cos(turns * (np.pi / (2 * count)))
