"""Systems of pooled fits at many points at once, in float64, each point in several units whose round-off differs.

The measure is nodes with weights of the directions and of the energies; whether these are all eigenvalues or fewer nodes that
stand for them is nothing to the recursion. The points of one kind, in which the same designs are open, are computed together, in
blocks that fit the cache. A slope is the imaginary part that infinitesimal ones of the parameters make.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sympy import Symbol

from collapse_theory.core.errors import ConvergenceError
from collapse_theory.derive.pooled import PooledSystem
from collapse_theory.numerics.dual import Dual
from collapse_theory.numerics.fit_ridges import FitPoints, FitRidges, Units, fit_ridges
from collapse_theory.numerics.fit_tables import Layout, layout_of
from collapse_theory.numerics.jets import Jet, value_of
from collapse_theory.numerics.measure import Measure
from collapse_theory.numerics.overlaps import pooled_moments
from collapse_theory.numerics.reals import FLOAT64
from collapse_theory.symbols import d as dimension

__all__ = ["pooled_batch", "relative_speed"]

_STEP = 2.0**-300  # infinitesimal: its square is nothing beside one, and it is far from the smallest number
_BLOCK = 1 << 20  # entries of the stacked rows of R, so that a block costs more than the calls on it
_TINY = float(np.finfo(float).tiny)


def pooled_batch(
    system: PooledSystem,
    measure: Measure,
    values: Mapping[Symbol, np.ndarray],
    direction: Mapping[Symbol, np.ndarray],
    units: Units,
) -> np.ndarray:
    """Return bias and noise of the last fit at every point, or their slopes along a direction where one is given.

    Args:
        system: The pooled fits.
        measure: Eigenvalues, counts and energies.
        values: Values of the system's symbols, of shape (points,).
        direction: Derivative of each value that moves, alike.
        units: The repetitions.

    Returns:
        Array of shape (repetitions, 2, points), not finite where float64 has no solution.
    """
    layout = layout_of(system)
    size = max(np.size(x) for x in values.values()) if values else 1
    problem = _Problem.of(layout, measure, values, direction, size)
    out = np.full((len(units.scale), 2, size), np.nan)
    found: dict[Any, FitRidges] = {}
    try:
        for k, f in enumerate(system.fits):
            if (key := f.alone) not in found:
                found[key] = fit_ridges(f, FitPoints.of(k, layout, problem.numbers), problem.measure)
            problem.ridges.append(found[key])
    except ConvergenceError:
        return out
    blocks = list(problem.blocks(len(units.scale)))
    while blocks:
        block = blocks.pop()
        try:
            out[:, :, block] = problem.moments(block, units)
        except ConvergenceError:  # a point is singular, and is found by halving
            blocks += np.array_split(block, 2) if block.size > 1 else []
    return out


def relative_speed(
    system: PooledSystem, measure: Measure, values: Mapping[Symbol, Any], direction: Mapping[Symbol, Any]
) -> Any:
    """Return how fast the fastest parameter moves, relative to its size; zeros have that of one, or of the spectrum."""
    at, moving = ({x: np.ravel(v) for x, v in each.items()} for each in (values, direction))
    return _Problem.of(layout_of(system), measure, at, moving, 1).speed[0]


@dataclass(frozen=True)
class _Problem:
    """A system at many points, in units in which the largest eigenvalue, energy and noise are near one.

    Attributes:
        layout: The designs of the system.
        measure: The directions in these units.
        numbers: Values of the layout's expressions, shape (expressions, points); the imaginary parts are infinitesimal.
        speed: How fast the fastest of these moves, relative to its size, shape (points,).
        good: Where float64 has numbers for them.
        energy: Unit of the energies times that of the eigenvalues, as an exponent of two.
        ridges: The effective ridges of every fit.
    """

    layout: Layout
    measure: Measure
    numbers: np.ndarray
    speed: np.ndarray
    good: np.ndarray
    energy: int
    ridges: list[FitRidges]

    @classmethod
    def of(
        cls,
        layout: Layout,
        measure: Measure,
        values: Mapping[Symbol, np.ndarray],
        direction: Mapping[Symbol, np.ndarray],
        size: int,
    ) -> _Problem:
        """Return the problem at values of the symbols."""
        top = _exponent(max(measure.at(x.covariance).max() for f in layout.system.fits for x in f.designs))
        most = 0 if measure.energies is None else _exponent(measure.energies.max(initial=0.0))
        extent = measure.extent
        if extent is not None and extent.floors is not None:
            extent = replace(extent, floors=np.ldexp(extent.floors, -top))
        scaled = replace(
            measure,
            values={name: np.ldexp(s, -top) for name, s in measure.values.items()},
            energies=None if measure.energies is None else np.ldexp(measure.energies, -most),
            extent=extent,
        )
        moving = {x: Jet(values[x], v) for x, v in direction.items()}
        reals: Any = Dual(FLOAT64) if direction else FLOAT64  # type: ignore[arg-type]
        given = {dimension: np.asarray(measure.dimension, dtype=float)[()], **values, **moving}
        found = reals.evaluate(layout.expressions, given)
        numbers = np.stack([np.broadcast_to(value_of(x), (size,)).astype(float) for x in found])
        ridges = slice(-layout.ridges, None)
        before = numbers[ridges]
        numbers[ridges] = np.ldexp(before, -top)
        good = np.isfinite(numbers).all(axis=0) & ((before == 0) | (np.abs(numbers[ridges]) >= _TINY)).all(axis=0)
        if not direction:
            return cls(layout, scaled, numbers, np.ones(size), good, most + top, [])
        slopes = np.stack([np.broadcast_to(x.slope if isinstance(x, Jet) else 0.0, (size,)) for x in found])
        slopes[ridges] = np.ldexp(slopes[ridges], -top)
        sizes = np.where(numbers == 0, 1.0, np.abs(numbers))
        fastest = np.max(np.abs(slopes) / sizes, axis=0)
        speed = np.where(fastest > 0, fastest, 1.0)
        good &= np.isfinite(slopes).all(axis=0) & np.isfinite(_STEP / speed)
        return cls(layout, scaled, numbers + 1j * (_STEP / speed * slopes), speed, good, most + top, [])

    def blocks(self, repetitions: int) -> Iterator[np.ndarray]:
        """Return the places of points that are of one kind and can be solved, in blocks."""
        good = self.good.copy()
        for x in self.ridges:
            good &= x.solved
        places = np.flatnonzero(good)
        kinds = np.concatenate([x.kind[places] for x in self.ridges], axis=1)
        if kinds.shape[1]:
            _, of = np.unique(kinds, axis=0, return_inverse=True)
            groups = [places[of.ravel() == i] for i in range(of.max(initial=-1) + 1)]
        else:
            groups = [places]
        entries = len(self.ridges) ** 2 * self.measure.size * repetitions
        for group in groups:
            if group.size:
                yield from np.array_split(group, min(group.size, -(-group.size * entries // _BLOCK)))

    def moments(self, places: np.ndarray, units: Units) -> np.ndarray:
        """Return bias and noise, or their slopes, at some of the points, shape (repetitions, 2, points)."""
        scale, off = units.columns(len(places))
        values = {name: s * scale for name, s in self.measure.values.items()}
        tables = self.layout.tables(units.repeated(self.numbers[:, places].T).T)
        noise = np.frexp(np.abs(tables.noise).max(axis=(0, 1, 2)))[1]
        tables = replace(tables, noise=tables.noise * np.ldexp(1.0, -noise))
        kept: dict[int, Any] = {}
        fits = []
        for x in self.ridges:
            if id(x) not in kept:
                kept[id(x)] = x.arrays(places, units, values)
            fits.append(kept[id(x)])
        found = pooled_moments(self.layout, tables, self.measure, values, fits, off[:, 0])
        if np.iscomplexobj(found):
            found = found.imag / units.repeated(_STEP / self.speed[places])
        out = np.stack([np.ldexp(found[0] / scale[:, 0], self.energy), np.ldexp(found[1], noise)])
        return out.reshape(2, len(units.scale), len(places)).swapaxes(0, 1)


def _exponent(x: Any) -> int:
    return int(np.frexp(x)[1])
