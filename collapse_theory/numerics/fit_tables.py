r"""The scalar parameters of a pipeline's fits, in tables over designs and fits, for many points at a time.

A table has an axis for designs, one or two for fits, and the points last. Where a fit does not see a design it is zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from sympy import Expr

from collapse_theory.derive.cavity import Design, designs_of
from collapse_theory.derive.pooled import PooledSystem

__all__ = ["FitTables", "Layout", "layout_of"]


@dataclass(frozen=True)
class FitTables:
    r"""The parameters of the fits, in the notation of :mod:`collapse_theory.derive.cavity`.

    Attributes:
        mass: :math:`m_k=a_kT/N_k`, shape (designs, fits, points).
        per_row: :math:`a_k/N_k`, alike.
        unlabelled: :math:`t_k`, alike; None where the labels of every fit add up to one.
        labels: :math:`C_{kl}`, shape (designs, fits, fits, points).
        noise: Covariance of the label noises, alike.
    """

    mass: np.ndarray
    per_row: np.ndarray
    unlabelled: np.ndarray | None
    labels: np.ndarray
    noise: np.ndarray


class Layout:
    """The designs of a system, and where its parameters stand in the tables.

    Args:
        system: The pooled fits.

    Attributes:
        designs: Its designs.
        seen: Of each fit, the positions of its designs in their order.
        expressions: Every expression of the parameters whose value the solution needs; those of ridges are the last.
        ridges: The number of expressions of ridges.
    """

    def __init__(self, system: PooledSystem) -> None:
        self.system = system
        self.designs: list[Design] = designs_of(system)
        position = {D.inputs: i for i, D in enumerate(self.designs)}
        self.seen = [[position[x.inputs] for x in f.designs] for f in system.fits]
        self._number: dict[Expr, int] = {}
        self._mass, self._per_row, self._unlabelled = _Table(), _Table(), _Table()
        self._labels, self._noise = _Table(), _Table()
        for k, f in enumerate(system.fits):
            self._at(f.N)
            for D, x in zip(self.seen[k], f.designs, strict=True):
                self._at(x.T), self._at(x.weight)
                self._mass[D, k] = self._at(x.weight * x.T / f.N)
                self._per_row[D, k] = self._at(x.weight / f.N)
                surplus = 1 - x.truth - sum(c for _, c in x.labellers)
                if surplus != 0:
                    self._unlabelled[D, k] = self._at(surplus)
                for at, c in x.labellers:
                    self._labels[D, k, at] = self._at(c)
        for D, design in enumerate(self.designs):
            self._add_noises(D, design)
        ridges = dict.fromkeys(
            f.ridge for f in system.fits
        )  # apart from other uses of the same symbols: these have units
        self._ridge = {e: len(self._number) + i for i, e in enumerate(ridges)}
        self.expressions = (*self._number, *ridges)
        self.ridges = len(ridges)

    def _add_noises(self, D: int, design: Design) -> None:
        noises = {k: self.system.fits[k].designs[n].noises for k, n in design.place.items()}
        for k, mine in noises.items():
            for other, theirs in noises.items():
                shared = [a.share * b.share * a.sigma**2 for a in mine for b in theirs if a.sample == b.sample]
                if shared:
                    self._noise[D, k, other] = self._at(sum(shared))

    def _at(self, e: Expr) -> int:
        return self._number.setdefault(e, len(self._number))

    def value(self, e: Expr, numbers: np.ndarray) -> np.ndarray:
        """Return the value of one of the expressions, shape (points,)."""
        return numbers[self._number[e]]

    def ridge(self, k: int, numbers: np.ndarray) -> np.ndarray:
        """Return the ridge of a fit, shape (points,)."""
        return numbers[self._ridge[self.system.fits[k].ridge]]

    def tables(self, numbers: np.ndarray) -> FitTables:
        """Return the tables, from the values of the expressions, shape (expressions, points)."""
        fits, designs = len(self.system.fits), len(self.designs)
        labels = self._labels.filled((designs, fits, fits), -numbers)
        for D, design in enumerate(self.designs):
            for k in design.place:
                labels[D, k, k] = 1
        return FitTables(
            self._mass.filled((designs, fits), numbers),
            self._per_row.filled((designs, fits), numbers),
            self._unlabelled.filled((designs, fits), numbers) if self._unlabelled else None,
            labels,
            self._noise.filled((designs, fits, fits), numbers),
        )


class _Table(dict[tuple[int, ...], int]):
    """Which number stands where in a table."""

    def filled(self, shape: tuple[int, ...], numbers: np.ndarray) -> np.ndarray:
        out = np.zeros((*shape, numbers.shape[-1]), dtype=numbers.dtype)
        if self:
            out[tuple(np.array(list(self)).T)] = numbers[list(self.values())]
        return out


@lru_cache(maxsize=32)
def layout_of(system: PooledSystem) -> Layout:
    """Return the layout of a system."""
    return Layout(system)
