r"""The effective ridges of one fit at many points, and the fit on its own that they make.

If all rows of a fit have one weight and one covariance that no direction is without, its effective ridge is
:math:`\kappa(T,\lambda N/aT)`. In the scale in which :math:`R_{kk}=(\Sigma+\kappa)^{-1}` no direction and no design needs another
one, with or without a ridge. Any other fit solves the system of :mod:`.resolvents`.

Derivatives are infinitesimal imaginary parts. Those of the roots obey the linear equations that the roots' equations leave,

.. math:: \dot\kappa=\frac{T\dot\lambda+(\lambda-\kappa)\dot T}{T-\mathrm{df}_2},\qquad
   \Big(-\frac{\partial g}{\partial\log x}\Big)\frac{\dot x}{x}=\operatorname{Im}g(x;\text{parameters}).

Source: the complex step, Squire, Trapp, Using complex variables to estimate derivatives of real functions, SIAM Review 1998.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from collapse_theory.derive.pooled import PooledFit
from collapse_theory.numerics.effective_ridge import residual_degrees, solve_effective_ridge
from collapse_theory.numerics.fit_tables import Layout
from collapse_theory.numerics.measure import Measure
from collapse_theory.numerics.newton import accepted
from collapse_theory.numerics.overlaps import FitArrays
from collapse_theory.numerics.ranks import openness
from collapse_theory.numerics.reals import FLOAT64
from collapse_theory.numerics.resolvents import FitEquations, fit_equations, solve_resolvent

__all__ = ["FitPoints", "FitRidges", "Units", "fit_ridges"]

_EPSILON = FLOAT64.epsilon


@dataclass(frozen=True)
class FitPoints:
    """The parameters of one fit at many points, complex where they move.

    Attributes:
        weights: Row weights, shape (points, designs).
        rows: Rows, alike.
        total_rows: Rows in all, shape (points,).
        ridge: Ridge on the mean squared error, alike.
    """

    weights: np.ndarray
    rows: np.ndarray
    total_rows: np.ndarray
    ridge: np.ndarray

    @classmethod
    def of(cls, k: int, layout: Layout, numbers: np.ndarray) -> FitPoints:
        """Return the parameters of a fit, from the values of the layout's expressions, shape (expressions, points)."""
        f = layout.system.fits[k]

        def values(*expressions: Any) -> np.ndarray:
            return np.stack([layout.value(e, numbers) for e in expressions], axis=-1)

        weights, rows = values(*(x.weight for x in f.designs)), values(*(x.T for x in f.designs))
        return cls(weights, rows, layout.value(f.N, numbers), layout.ridge(k, numbers))

    def at(self, places: Any) -> FitPoints:
        """Return the parameters at some of the points."""
        return FitPoints(self.weights[places], self.rows[places], self.total_rows[places], self.ridge[places])

    @property
    def real(self) -> FitPoints:
        """The parameters that do not move."""
        return FitPoints(self.weights.real, self.rows.real, self.total_rows.real, self.ridge.real)

    @property
    def moves(self) -> bool:
        """Whether the parameters are complex."""
        return any(np.iscomplexobj(x) for x in (self.weights, self.rows, self.total_rows, self.ridge))


@dataclass(frozen=True)
class Units:
    """Repetitions of the same points, whose round-off differs.

    Attributes:
        scale: What covariances and ridges are multiplied with, shape (repetitions,).
        off: Relative error that effective ridges and traces are given, alike.
    """

    scale: np.ndarray
    off: np.ndarray

    def columns(self, points: int) -> tuple[np.ndarray, np.ndarray]:
        """Return both for every point of every repetition, shape (repetitions * points, 1)."""
        return np.repeat(self.scale, points)[:, None], np.repeat(self.off, points)[:, None]

    def repeated(self, x: np.ndarray) -> np.ndarray:
        """Return an array of points for every repetition, one after the other."""
        return np.concatenate([x] * len(self.scale)) if len(self.scale) > 1 else x


class FitRidges(Protocol):
    """The solved effective ridges of one fit."""

    @property
    def solved(self) -> np.ndarray:
        """Whether float64 has a solution, shape (points,)."""

    @property
    def kind(self) -> np.ndarray:
        """What points need in common to be computed together, shape (points, n)."""

    def arrays(self, places: Any, units: Units, values: Mapping[str, np.ndarray]) -> FitArrays:
        """Return the fit on its own at some of the points, in each of the units; ``values`` are the eigenvalues there."""


def fit_ridges(f: PooledFit, points: FitPoints, measure: Measure) -> FitRidges:
    """Return the effective ridges of a fit.

    Args:
        f: The fit.
        points: Its parameters.
        measure: The directions, in the unit in which ridges are given.
    """
    names = {x.covariance for x in f.designs}
    alike = len({x.weight for x in f.designs}) == 1 and len(names) == 1
    if alike and bool((measure.at(*names) > 0).all()):
        return _OneRidge(names.pop(), points, measure)
    return _SeveralRidges(tuple(x.covariance for x in f.designs), points, measure)


class _OneRidge:
    """A fit with one effective ridge."""

    def __init__(self, covariance: str, points: FitPoints, measure: Measure) -> None:
        self.covariance, self.rows = covariance, points.rows
        self.kind = np.empty((len(points.rows), 0))
        T = points.rows.sum(axis=-1)
        self.mass = points.weights[:, 0] * T / points.total_rows
        lam = points.ridge / self.mass
        self.solved = ~((lam.real == 0) & (T.real == measure.rank)) & np.isfinite(lam)
        self.load = points.rows / T[:, None]
        self.kappa, self.share = (np.zeros(lam.shape, dtype=np.result_type(lam, float)) for _ in range(2))
        here = np.flatnonzero(self.solved)
        if here.size:
            common = Measure({"Sigma": measure.at(covariance)}, measure.counts, None, measure.extent)
            self.kappa[here], self.share[here] = _effective_ridge(common, T[here], lam[here])

    def arrays(self, places: Any, units: Units, values: Mapping[str, np.ndarray]) -> FitArrays:
        """Return the fit at some of the points."""
        scale, off = units.columns(np.size(self.kappa[places]))
        kappa = units.repeated(self.kappa[places])[:, None] * (scale * (1 + off))
        share = units.repeated(self.share[places]) * (1 - off[:, 0])
        kernel = 1 / (values[self.covariance] + kappa)
        response = 1 / units.repeated(self.mass[places])
        load = units.repeated(self.load[places]).T
        designs = len(load)
        return FitArrays(
            kernel=kernel,
            kept=kappa * kernel,
            penalty=None,
            scaled=[False] * designs,
            uniform=True,
            response=np.stack([response] * designs),
            load=load,
            offset=np.stack([share] * designs),
        )


def _effective_ridge(measure: Measure, rows: np.ndarray, ridge: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return effective ridges and the ridges' share of them, ``lam/kappa = 1 - df1/T``, of shape (points,)."""
    (T, lam), back = np.stack([rows.real, ridge.real]), np.arange(rows.size)
    if rows.size > 1:  # a sweep over noises repeats its ridges
        (T, lam), back = np.unique(np.stack([T, lam]), axis=1, return_inverse=True)
    kappa = solve_effective_ridge(measure, T, lam)
    share = np.divide(lam, kappa, out=np.maximum(0.0, 1 - measure.rank / T), where=kappa > 0)
    if not (np.iscomplexobj(rows) or np.iscomplexobj(ridge)):
        return kappa[back.ravel()], share[back.ravel()]
    left = residual_degrees(measure, T, lam, kappa)  # T - df2
    # share = 1 - df1/T, so that its slope is (df1 dT/T + (df1 - df2) dkappa/kappa)/T, where T - df2 without a ridge is df1 - df2
    spread = residual_degrees(measure, T, 0 * lam, kappa)
    bend = np.divide(spread, kappa, out=np.full(kappa.shape, measure.plain.trace(1 / measure.nodes)), where=kappa > 0)
    T, lam, kappa, share, left, bend = (x[back.ravel()] for x in (T, lam, kappa, share, left, bend))
    slope = (T * ridge.imag + (lam - kappa) * rows.imag) / left
    return kappa + 1j * slope, share + 1j * (((1 - share) * rows.imag + bend * slope) / T)


class _SeveralRidges:
    """A fit of several weights or covariances."""

    def __init__(self, covariances: tuple[str, ...], points: FitPoints, measure: Measure) -> None:
        self.covariances, self.points, self.measure = covariances, points, measure
        self.s = np.stack([measure.at(name) for name in covariances])
        plain = points.real
        opened = openness(self.s > 0, measure, plain.rows)
        self.kind = opened.designs
        few = (plain.ridge != 0) & ~(
            np.abs(plain.ridge) >= np.finfo(float).tiny
        )  # too few digits are left of such a ridge
        self.solved = ~((plain.ridge == 0) & (opened.threshold != 0)) & ~few
        self.x = np.full(plain.rows.shape, np.nan)
        here = np.flatnonzero(self.solved)
        for part in np.array_split(here, max(1, here.size * self.s.size // _BLOCK)):
            if part.size:
                p = plain.at(part)
                found = solve_resolvent(self.s, measure, p.weights, p.rows, p.total_rows, p.ridge)
                self.x[part] = found.scale
                self.solved[part] = found.residual <= accepted(_EPSILON)

    def arrays(self, places: Any, units: Units, values: Mapping[str, np.ndarray]) -> FitArrays:  # noqa: ARG002 - it needs none
        """Return the fit at some of the points, of one kind."""
        p, x = self.points.at(places), self.x[places]
        equations = self._equations(p.real)
        sensitivity = equations.sensitivity(x)
        opened = equations.opened
        if p.moves:
            equations = self._equations(p)
            gap, matrix, _ = equations.complemented(x, equations.kernel(x))
            x = x + 1j * x * FLOAT64.solve(matrix.real, gap.imag)
        scale, _ = units.columns(len(x))
        roots = [x * (1 + n / _EPSILON * sensitivity) for n in units.off]
        kernel = np.concatenate([equations.kernel(root) for root in roots])
        root = np.concatenate(roots) * np.where(units.repeated(opened.designs), scale, 1)
        is_open = units.repeated(opened.directions)
        kernel = np.where(is_open, kernel, kernel / scale)
        penalty = np.where(is_open, 1, units.repeated(p.ridge)[:, None] * scale)
        constant = np.where(units.repeated(opened.designs), units.repeated(p.ridge)[:, None] * scale, 1)
        mass = units.repeated(equations.mass)
        uniform = bool(opened.directions.all() or not opened.directions.any())
        scaled = [not uniform and bool(x) for x in opened.designs[0]]
        return FitArrays(
            kernel=kernel,
            kept=kernel * penalty,
            penalty=penalty if any(scaled) else None,
            scaled=scaled,
            uniform=uniform,
            response=(1 / root).T,
            load=(mass / root).T,
            offset=(constant / root).T,
        )

    def _equations(self, p: FitPoints) -> FitEquations:
        return fit_equations(self.s, self.measure, p.weights, p.rows, p.total_rows, p.ridge, FLOAT64)


_BLOCK = 1 << 20  # entries of a (points, designs, nodes) array
