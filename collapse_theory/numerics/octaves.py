r"""The degrees of freedom as polynomials in the logarithm of the ridge, one for each octave, and the roots read off them.

Of an octave :math:`2^e\le\kappa<2^{e+1}` the N directions above a boundary near it count whole, and

.. math:: T-\mathrm{df}_1(\kappa)=(T-N)+c(\kappa),\qquad
   c=\sum_{\rm above}\frac{\kappa}{s+\kappa}-\sum_{\rm below}\frac{s}{s+\kappa},\qquad
   v=\kappa c'(\kappa)=\mathrm{df}_1-\mathrm{df}_2=\sum_j\frac{s_j\kappa}{(s_j+\kappa)^2}.

N is an integer, counted exactly: nothing is special at T = d, within one of it, in a gap or at repeated eigenvalues. The sums have
poles at :math:`\log\kappa=\log s\pm i\pi`; on an octave, of half-width :math:`h=\frac12\log2`, the Chebyshev series in
:math:`\log\kappa` falls like :math:`\rho^{-k}`, :math:`\rho=e^{\operatorname{arsinh}(\pi/h)}=18.2`, and degree 14 leaves
:math:`10^{-18}`. Sixteen times below the least eigenvalue and sixteen times above the largest, power series in
:math:`t=16\kappa/s_{\min}` and :math:`t=16s_{\max}/\kappa` take over, down to zero and up to any ridge.

**Roots.** A ridge solves :math:`T-\mathrm{df}_1(\kappa)=\varphi(\kappa)` with :math:`\varphi=T\lambda/\kappa` for T rows; for T
rows and m random features, :math:`\lambda=\kappa(1-\mathrm{df}_1/T)(1-\mathrm{df}_1/m)` gives, with a and b the fewer and the
more of them,

.. math:: a-\mathrm{df}_1=\varphi,\qquad\varphi=\frac{2C/\kappa}{D+\sqrt{D^2+4C/\kappa}},\qquad C=\lambda ab,\quad D=b-a,

one unknown also here, regular at b = a and for :math:`\lambda\to0`. The left side increases, the right one falls: bisection
over the ends of the octaves finds the octave of the root, and Newton's iteration in :math:`\log\kappa`, kept inside it, the root.

Source: the rate of a Chebyshev series, Trefethen, Approximation Theory and Approximation Practice, 2013, ch. 8; the tables and the
one unknown of random features are ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from collapse_theory.numerics.arrays import namespace
from collapse_theory.numerics.fast import compiled_polynomial, compiled_roots

if TYPE_CHECKING:
    from collapse_theory.numerics.measure import Measure

__all__ = [
    "DEGREE",
    "Octaves",
    "Rows",
    "RowsOnFeatures",
    "chebyshev_points",
    "horner",
    "polynomials",
    "series",
]

DEGREE = 14
_FAR = 16.0  # beyond so many times the spectrum its power series is used
_BLOCK = 1 << 13  # points worked on at a time: their arrays fit the cache
_MANY = 1 << 9  # points that are worth compiled loops
_STEPS = 40
_ROUGH_STEPS, _ROUGH_TERMS = 2, 6  # the first steps of an iteration take the first terms of a polynomial

_LN2 = math.log(2)


class Given(Protocol):
    """What a ridge is solved for."""

    @property
    def rows(self) -> np.ndarray:
        """The number that the degrees of freedom are subtracted from."""

    def share(self, kappa: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        r"""Return :math:`\varphi` and :math:`-\kappa\varphi'`."""

    def numbers(self) -> tuple[np.ndarray, np.ndarray]:
        r"""Return C and D; of rows alone, without features, :math:`T\lambda` and infinity."""

    def bound(self, spare: np.ndarray, slope: np.ndarray) -> np.ndarray:
        r"""Return where :math:`\mathrm{spare}+\mathrm{slope}\,\kappa` is at least :math:`\varphi`, a few times the root at most."""

    def start(self, trace: float) -> np.ndarray:
        """Return an upper bound of the root, close where it is large beside the spectrum of this trace."""

    def at(self, places: Any) -> Given:
        """Return some of the problems."""


@dataclass(frozen=True)
class Rows:
    """Rows ``T`` and ridges ``lam``, shape (n,) each."""

    rows: np.ndarray
    lam: np.ndarray

    def share(self, kappa: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the share of the ridge, which falls like one over kappa."""
        phi = self.rows * self.lam / kappa
        return phi, phi

    def numbers(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the load and an infinite spare."""
        return self.rows * self.lam, np.full(self.rows.shape, np.inf)

    def start(self, trace: float) -> np.ndarray:
        """Return an upper bound of the root, close where it is large beside the spectrum of this trace."""
        return self.lam + trace / self.rows

    def bound(self, spare: np.ndarray, slope: np.ndarray) -> np.ndarray:
        """Return an upper bound of the root of a linear count."""
        xp = namespace(spare)
        load, short = self.rows * self.lam, xp.maximum(-spare, 0) / slope
        rest = xp.sqrt(load) / xp.sqrt(slope)
        return short + xp.where(spare > 0, xp.minimum(rest, load / xp.where(spare > 0, spare, xp.inf)), rest)

    def at(self, places: Any) -> Rows:
        """Return some of the problems."""
        return Rows(self.rows[places], self.lam[places])


@dataclass(frozen=True)
class RowsOnFeatures:
    """The fewer and the more of rows and features, and ridges; shape (n,) each."""

    rows: np.ndarray
    more: np.ndarray
    lam: np.ndarray

    def share(self, kappa: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return what the fewer have beyond the degrees of freedom."""
        C, D = self.lam * self.rows * self.more / kappa, self.more - self.rows
        phi = 2 * C / (D + namespace(C).sqrt(D * D + 4 * C))
        return phi, phi * (D + phi) / (D + 2 * phi)

    def numbers(self) -> tuple[np.ndarray, np.ndarray]:
        """Return C and D."""
        return self.lam * self.rows * self.more, self.more - self.rows

    def start(self, trace: float) -> np.ndarray:
        """Return an upper bound of the root, close where it is large beside the spectrum of this trace."""
        return self.lam + trace / self.rows + trace / self.more

    def bound(self, spare: np.ndarray, slope: np.ndarray) -> np.ndarray:
        """Return an upper bound of the root of a linear count."""
        xp = namespace(spare)
        C, D, short = self.lam * self.rows * self.more, self.more - self.rows, xp.maximum(-spare, 0) / slope
        rest = xp.cbrt(C / slope / slope)
        with np.errstate(divide="ignore", invalid="ignore"):
            rest = xp.fmin(rest, xp.where(D > 0, xp.sqrt(C / slope / D), xp.inf))
            rest = xp.fmin(rest, xp.where(spare > 0, C / spare / (D + spare), xp.inf))
        return short + rest

    def at(self, places: Any) -> RowsOnFeatures:
        """Return some of the problems."""
        return RowsOnFeatures(self.rows[places], self.more[places], self.lam[places])


def chebyshev_points() -> np.ndarray:
    """Return the points at which a polynomial of the degree of the tables is determined."""
    return np.cos((2 * np.arange(DEGREE + 1) + 1) * (np.pi / (2 * (DEGREE + 1))))


def polynomials(values: np.ndarray) -> np.ndarray:
    """Return coefficients of powers, shape (degree + 1, rows), from values at the Chebyshev points, shape (rows, degree + 1).

    By way of the Chebyshev series, whose coefficients fall: those of the powers, larger by up to :math:`2^k`, lose nothing then.
    """
    return np.ascontiguousarray(_POWERS @ series(values))


def series(values: np.ndarray) -> np.ndarray:
    """Return the coefficients of the Chebyshev series, shape (degree + 1, rows), from values of shape (rows, degree + 1)."""
    return np.asarray(_SERIES @ values.T)


def _series() -> np.ndarray:
    """Return the matrix from values at the Chebyshev points to the coefficients of the Chebyshev series."""
    k = np.arange(DEGREE + 1)
    turns = k[:, None] * (2 * k + 1) % (4 * (DEGREE + 1))  # exact: a cosine of a large angle has lost digits
    out = np.cos(turns * (np.pi / (2 * (DEGREE + 1)))) * (2 / (DEGREE + 1))
    out[0] /= 2
    return out


def _powers() -> np.ndarray:
    """Return the integer matrix from coefficients of the Chebyshev series to those of powers."""
    columns = [np.polynomial.chebyshev.cheb2poly(row) for row in np.eye(DEGREE + 1)]
    return np.stack([np.pad(c, (0, DEGREE + 1 - c.size)) for c in columns], axis=1)


_SERIES, _POWERS = _series(), _powers()


def horner(table: np.ndarray, row: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return the polynomials of the given rows at z."""
    if z.size >= _MANY and (loop := compiled_polynomial()) is not None:
        return np.asarray(loop(table, row, z))
    out = table[-1].take(row)
    for coefficients in table[-2::-1]:
        out *= z
        out += coefficients.take(row)
    return out


def _with_slope(table: np.ndarray, row: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the polynomials of the given rows at z, and their derivatives."""
    out, slope = table[-1].take(row), np.zeros(z.shape)
    for coefficients in table[-2::-1]:
        slope *= z
        slope += out
        out *= z
        out += coefficients.take(row)
    return out, slope


@dataclass(frozen=True)
class Octaves:
    r"""The tables of one measure. Row 0 is the series below the spectrum, the last row the one above.

    Attributes:
        measure: Eigenvalues; the scale is arbitrary.
        first: Exponent of the first octave.
        floors: The boundary of each octave.
        directions: Directions above the boundary of each row, shape (rows,).
        small: Least eigenvalue over sixteen.
        large: Largest eigenvalue times sixteen.
    """

    measure: Measure
    first: int
    floors: np.ndarray
    directions: np.ndarray
    small: float
    large: float

    @classmethod
    def of(cls, measure: Measure) -> Octaves:
        """Return the tables, which are built when they are needed."""
        s = measure.nodes
        low, high = float(s.min()), float(s.max())
        first, last = math.frexp(low / _FAR)[1] - 1, math.frexp(high * _FAR)[1]
        starts = np.ldexp(1.0, np.arange(first, last + 1))
        floors, counts = measure.split(starts)
        small, large = float(starts[0]), float(starts[-1])
        directions = np.concatenate([[measure.total], counts[:-1], [0.0]])
        return cls(measure, first, floors[:-1], directions, small, large)

    @property
    def rows(self) -> int:
        """Number of octaves and series."""
        return self.directions.size

    @cached_property
    def edges(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The ends of the octaves; the directions above the boundary there; and the small part of the degrees of freedom."""
        ends = np.ldexp(1.0, self.first + np.arange(self.rows - 1))
        floors = np.append(self.floors, np.inf)
        return ends, self.directions[1:], self._complement(ends[:, None], floors[:, None])

    @cached_property
    def complement(self) -> np.ndarray:
        """The polynomials of c, shape (degree + 1, rows)."""
        values = self._complement(self.points[..., None], self.floors[:, None, None])
        s, w, k = self.measure.nodes, self.measure.weights, np.arange(1, DEGREE + 1)[:, None]
        signs = -((-1.0) ** k[:, 0])
        below = np.append(0, signs * ((self.small / s) ** k @ w))
        above = np.append(0, -signs * ((s / self.large) ** k @ w))
        return np.column_stack([below, polynomials(values), above])

    @cached_property
    def by_octave(self) -> np.ndarray:
        """The polynomials of c, shape (rows, degree + 1): those of an octave side by side."""
        return np.ascontiguousarray(self.complement.T)

    @cached_property
    def apart(self) -> np.ndarray:
        r"""The polynomials of :math:`v=\mathrm{df}_1-\mathrm{df}_2`."""
        s, w = self.measure.nodes, self.measure.weights
        kappa = self.points[..., None]
        share = np.minimum(s, kappa) / (s + kappa)
        values = polynomials(np.add.reduce((1 - share) * share * w, axis=-1))
        powers = np.arange(DEGREE + 1)
        c = self.complement
        return np.column_stack([powers * c[:, 0], values, -powers * c[:, -1]])

    @property
    def points(self) -> np.ndarray:
        """The ridges at which the octaves are determined, shape (octaves, degree + 1)."""
        return np.ldexp(np.exp2((1 + chebyshev_points()) / 2), self.first + np.arange(self.rows - 2)[:, None])

    def _complement(self, kappa: np.ndarray, floor: np.ndarray) -> np.ndarray:
        s = self.measure.nodes
        share = np.where(s >= floor, kappa, -s)
        share /= s + kappa
        share *= self.measure.weights
        return np.asarray(np.add.reduce(share, axis=-1))

    # ------------------------------------------------------------------ reading
    def locate(self, kappa: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows that positive ridges are in, and the places there."""
        mantissa, exponent = np.frexp(kappa)
        row = np.clip(exponent - self.first, 0, self.rows - 1)
        z = 2 * np.log2(mantissa) + 1
        outer = (row == 0) | (row == self.rows - 1)
        if outer.any():
            with np.errstate(under="ignore", over="ignore"):
                z = np.where(row == 0, kappa / self.small, np.where(outer, self.large / kappa, z))
        return row, z

    def spread(self, kappa: np.ndarray) -> np.ndarray:
        r"""Return :math:`\mathrm{df}_1-\mathrm{df}_2` at positive ridges."""
        return horner(self.apart, *self.locate(kappa))

    def octave(self, given: Given) -> np.ndarray:
        """Return the row that each root is in: the number of ends at which the degrees of freedom still exceed what is given."""
        ends, directions, complement = self.edges
        low, high = np.zeros(given.rows.shape, dtype=np.int64), np.full(given.rows.shape, ends.size)
        for _ in range(ends.size.bit_length()):
            middle = (low + high) >> 1
            at = np.minimum(middle, ends.size - 1)
            beyond = (given.rows - directions.take(at)) + complement.take(at) < given.share(ends.take(at))[0]
            beyond &= middle < high
            low = np.where(beyond, middle + 1, low)
            high = np.where(beyond, high, middle)
        return low

    def solve(self, given: Given) -> np.ndarray:
        """Return the roots, positive; NaN where the iteration does not settle."""
        if given.rows.size >= _MANY and (loop := compiled_roots()) is not None:
            rough = _ROUGH_STEPS, _ROUGH_TERMS
            out = np.asarray(loop(given.rows, *given.numbers(), *self.edges, self.by_octave, *rough))
            rest = np.flatnonzero(np.isnan(out))
            if rest.size:
                out[rest] = self._blocks(given.at(rest))
            return out
        return self._blocks(given)

    def _blocks(self, given: Given) -> np.ndarray:
        out = np.empty(given.rows.shape)
        for i in range(0, out.size, _BLOCK):
            out[i : i + _BLOCK] = self._solved(given.at(slice(i, i + _BLOCK)))
        return out

    def _solved(self, given: Given) -> np.ndarray:
        row = self.octave(given)
        outer = (row == 0) | (row == self.rows - 1)
        out = np.empty(row.shape)
        inner = np.flatnonzero(~outer)
        if inner.size == row.size:
            return self._inside(given, row)
        out[inner] = self._inside(given.at(inner), row[inner])
        beyond = np.flatnonzero(outer)
        out[beyond] = self._outside(given.at(beyond), row[beyond])
        return out

    def _inside(self, given: Given, row: np.ndarray) -> np.ndarray:
        """Return roots inside octaves, from the place that the ends suggest."""
        if not row.size:
            return np.empty(0)
        ends, _, _ = self.edges
        base, spare = ends.take(row - 1), given.rows - self.directions.take(row)
        u = spare + self.complement[0].take(row)
        v = self.apart[0].take(row)
        # one step from the middle of the octave; x is log2 of the ridge over the lower end
        v = self.complement[1].take(row) / (_LN2 / 2)
        phi, fall = given.share(base * math.sqrt(2))
        x = np.clip(0.5 - (u - phi) / (v + fall) / _LN2, 0, 1)
        moved = np.full(x.shape, np.inf)
        for i in range(_STEPS):
            terms = self.complement if i >= _ROUGH_STEPS else self.complement[:_ROUGH_TERMS]
            c, slope = _with_slope(terms, row, 2 * x - 1)
            phi, fall = given.share(base * np.exp2(x))
            following = np.clip(x - (spare + c - phi) / (2 * slope + _LN2 * fall), 0, 1)
            moved = np.abs(following - x)
            x = following
            if i >= _ROUGH_STEPS and moved.max() < _SHORT:
                break
        return np.where(moved < _SHORT, base * np.exp2(x), np.nan)

    def _outside(self, given: Given, row: np.ndarray) -> np.ndarray:
        """Return roots far from the spectrum, where the degrees of freedom are next to linear."""
        below = row == 0
        kappa = self._far_bound(given, row)
        spare, moved = given.rows - self.directions.take(row), np.full(kappa.shape, np.inf)
        for _ in range(_STEPS):
            t = np.where(below, kappa / self.small, self.large / kappa)
            c, slope = _with_slope(self.complement, row, t)
            u, v = spare + c, np.where(below, t, -t) * slope
            phi, fall = given.share(kappa)
            following = kappa * np.maximum(1 - (u - phi) / (u + v - phi + fall), 1 / _FAR)
            moved = np.abs(following / kappa - 1)
            kappa = following
            if moved.max() < _SHORT:
                break
        return np.where(moved < _SHORT, kappa, np.nan)

    def _far_bound(self, given: Given, row: np.ndarray) -> np.ndarray:
        """Return upper bounds of roots far from the spectrum."""
        spare = given.rows - self.directions.take(row)
        near = (1 + 1 / _FAR) * given.bound(spare, self.complement[1, 0] / self.small * np.ones_like(spare))
        far = given.start(-self.complement[1, -1] * self.large)
        return np.where(row == 0, np.minimum(near, self.small), far)

    def bound(self, given: Given) -> np.ndarray:
        """Return upper bounds of the roots: twice their size at most, or close to it far from the spectrum."""
        row = self.octave(given)
        ends, _, _ = self.edges
        out = ends.take(np.minimum(row, ends.size - 1))
        outer = np.flatnonzero((row == 0) | (row == self.rows - 1))
        if outer.size:
            out[outer] = self._far_bound(given.at(outer), row[outer])
        return np.asarray(out)


_SHORT = 1e-9
