r"""Compressed spectra: a few hundred nodes that stand for any number of eigenvalues, in one pass over them.

The positive axis is cut into panels of two octaves. In a panel from l to h with :math:`g=\sqrt{lh}` the map

.. math:: z=\frac1{z_0}\,\frac{s-g}{s+g},\qquad z_0=\frac{\sqrt{h/l}-1}{\sqrt{h/l}+1}\le\frac13,

takes its data to :math:`[-1,1]`, and every pole :math:`s=-\kappa`, wherever on the negative axis, to a real z with
:math:`|z|\ge1/z_0\ge3`. A sum :math:`\sum_jw_jf(s_j)` over the panel is replaced by that of the interpolant of f at the n Chebyshev
nodes. This is linear in the weights (counts, energies, of any sign), so that it is a sum over the nodes, with weights

.. math:: W_k=\frac1n\Big(m_0+2\sum_{0<i<n}m_iT_i(z_k)\Big),\qquad m_i=\sum_jw_jT_i(z_j).

The nodes are the same for all weights and serve all functions. A panel with no more atoms than nodes keeps its atoms. Panels are as
wide as their data.

**Error.** The interpolant of :math:`1/(p-z)` is wrong by exactly :math:`T_n(z)/(T_n(p)(p-z))`, so by at most :math:`1/T_n(3)`
relative to it. Differentiated b - 1 times by p this is a bound for poles of order b,

.. math:: \frac{|f-\text{interpolant}|}{f}\le\frac1{T_n(3)}\sum_{k<b}\frac1{k!}\Big(\frac{4n}{\sqrt8}\Big)^k(1+\dots)\qquad\text{for }
   f=\frac1{(p-z)^b},

with terms left out that are smaller by :math:`1/n`. For n = 28 it is :math:`10^{-21}` for one resolvent, :math:`10^{-17}` for
four and :math:`10^{-15}` for six; numerators, which are polynomials of a degree of at most b, do not enlarge its order. Relative to
:math:`\sum_j|w_j|f(s_j)` a sum is as good, but for round-off.

Source: the error of an interpolant of :math:`1/(p-z)` at Chebyshev nodes, Trefethen, Approximation Theory and Approximation
Practice, 2013, ch. 11; the transposed interpolation is the adjoint of that of Fong and Darve, The black-box fast multipole method,
Journal of Computational Physics 2009. The panels and the map are ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

__all__ = ["ORDER", "Nodes", "compress", "panel_floor"]

ORDER = 6
"""Up to how many resolvents a function of an eigenvalue may be a product of."""

_ROWS, _COLUMNS = 4, 7  # a degree is a row plus four columns
_NODES = _ROWS * _COLUMNS
_CHUNK = 1 << 13  # eigenvalues worked on at a time: a dozen arrays of them fit the cache
_SHIFT = 53  # the bits of a float64 beyond these are its exponent halved: the panel
_PANELS = 1 << 10


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
    for panel, where in _pieces(values):
        s, first = values[where], weights[0][where]
        low[panel], high[panel] = min(low[panel], s.min()), max(high[panel], s.max())
        atoms[panel] += s.size
        size[panel] += first.sum()
    used = np.flatnonzero(atoms)
    wide = (atoms > _NODES) & (low < high)
    kept: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {int(panel): [] for panel in used}
    sums: dict[int, _Moments] = {int(p): _Moments(low[p], high[p], len(weights)) for p in np.flatnonzero(wide)}
    for panel, where in _pieces(values):
        s, w = values[where], np.array([x[where] for x in weights], dtype=float)
        if wide[panel]:
            sums[panel].add(s, w)
        elif low[panel] < high[panel]:
            kept[panel].append((s, w))
        else:
            kept[panel].append((s[:1], w.sum(axis=1, keepdims=True)))
    found = [sums[int(p)].nodes() if wide[p] else _sorted_atoms(kept[int(p)]) for p in used]
    return Nodes(
        np.concatenate([s for s, _ in found]),
        np.concatenate([w for _, w in found], axis=1),
        (used.astype(np.int64) << _SHIFT).view(np.float64),
        size[used],
    )


def _pieces(values: np.ndarray) -> Iterator[tuple[int, slice | np.ndarray]]:
    """Give the eigenvalues in pieces, each of one panel: its number and the places."""
    for start in range(0, values.size, _CHUNK):
        panels = np.ascontiguousarray(values[start : start + _CHUNK]).view(np.int64) >> _SHIFT
        first, last = int(panels.min()), int(panels.max())
        if first == last:
            yield first, slice(start, start + panels.size)
            continue
        order = np.argsort(panels, kind="stable")
        ends = np.flatnonzero(np.diff(panels[order])) + 1
        for places in np.split(order, ends):
            yield int(panels[places[0]]), places + start


def _sorted_atoms(pieces: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Return the atoms of a panel, in order, each once."""
    s, w = (np.concatenate(x, axis=-1) for x in zip(*pieces, strict=True))
    distinct, where = np.unique(s, return_inverse=True)
    out = np.zeros((len(w), distinct.size))
    for row, weights in zip(out, w, strict=True):
        np.add.at(row, where, weights)
    return distinct, out


class _Moments:
    r"""The Chebyshev moments of the weights in one panel.

    A degree is written :math:`r+4c`, :math:`0\le r<4`: of the products :math:`2T_rT_{4c}=T_{4c+r}+T_{4c-r}`, sums over the data are
    matrix products of 4 and 7 rows instead of 28 single sums.
    """

    def __init__(self, low: float, high: float, weights: int) -> None:
        self.middle = float(np.sqrt(low) * np.sqrt(high))
        root = float(np.sqrt(high / low))
        self.reach = (root - 1) / (root + 1)
        self.products = np.zeros((weights, _COLUMNS, _ROWS))
        self.work = np.empty((_COLUMNS + _ROWS, _CHUNK))

    def add(self, s: np.ndarray, weights: np.ndarray) -> None:
        """Add some of the data."""
        columns, rows = self.work[:_COLUMNS, : s.size], self.work[_COLUMNS:, : s.size]
        z = rows[1]
        np.subtract(s, self.middle, out=z)
        np.add(s, self.middle, out=rows[0])
        rows[0] *= self.reach
        z /= rows[0]
        rows[0] = 1
        _double(z, out=rows[2])
        np.multiply(rows[2], 2, out=rows[3])
        rows[3] -= 1
        rows[3] *= z  # T3 = (2 T2 - 1) T1
        columns[0] = 1
        _double(rows[2], out=columns[1])
        for c in range(2, _COLUMNS):
            np.multiply(columns[1], columns[c - 1], out=columns[c])
            columns[c] *= 2
            columns[c] -= columns[c - 2]
        for total, w in zip(self.products, weights, strict=True):
            total += columns @ (rows * w).T

    def nodes(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the nodes in order, and the rows of their weights."""
        moments = np.empty((len(self.products), _NODES))
        moments[:, :_ROWS] = self.products[:, 0]
        for degree in range(_ROWS, _NODES):
            c, r = divmod(degree, _ROWS)
            moments[:, degree] = 2 * self.products[:, c, r] - moments[:, degree - 2 * r] if r else self.products[:, c, 0]
        moments[:, 1:] *= 2
        u = self.reach * _CHEBYSHEV[1]
        return self.middle * ((1 + u) / (1 - u)), moments @ _CHEBYSHEV / _NODES


def _chebyshev() -> np.ndarray:
    """Return the Chebyshev polynomials by degree at the nodes, in order."""
    turns = np.arange(_NODES)[:, None] * (2 * np.arange(_NODES)[::-1] + 1) % (4 * _NODES)  # large angles lose digits
    return np.cos(turns * (np.pi / (2 * _NODES)))


_CHEBYSHEV = _chebyshev()


def _double(x: np.ndarray, out: np.ndarray) -> None:
    """Write :math:`2x^2-1`, the Chebyshev polynomial of twice the degree."""
    np.multiply(x, x, out=out)
    out *= 2
    out -= 1
