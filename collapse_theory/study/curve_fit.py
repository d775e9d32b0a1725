r"""Weighted non-linear least squares of a formula to an observed curve, at given integers.

An unknown :math:`x` ranges over what its symbol and the conditions of the theorem allow, :math:`a<x<b`, and is moved in
:math:`t=\log\frac{x-a}{u}`, or :math:`\log\frac{x-a}{b-x}` if b is finite. The Jacobian is that of the exact derivatives of the
formula. Many starts are compared, the best are taken to their local minimum, and an end that belongs to the range
(:math:`t=\pm\infty`; no noise, no ridge) is a candidate too: there the derivative by a noise vanishes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.optimize import brentq, least_squares
from scipy.special import expit
from scipy.stats import qmc
from sympy import Symbol

from collapse_theory.numerics.predictor import Predictor
from collapse_theory.study.observed import Observed
from collapse_theory.study.search import Search

__all__ = ["CurveFit", "Found", "FreeParameter"]

_EDGE = 40.0  # |t| that is searched: e**40 is 2e17 units
_STARTS, _SPREAD, _POLISHED = 16, 12.0, 3  # starts per unknown, their |t|, and how many are followed
_GRID = np.linspace(-16, 16, 17)  # coordinates from which an unknown leaves its end
_LEAST, _MOST = 1e-300, 1e300  # errors of which a logarithm is taken
_TOLERANCE, _ROUGH = 1e-9, 1e-6  # of a minimum, and of one whose least sum alone counts
_SAME = 1e-9
_STEP, _SETTLED = (
    (0.01, 0.5, 8.0),
    1e-4,
)  # least, usual and largest first step of t; accuracy of an end, of its distance


@dataclass(frozen=True)
class FreeParameter:
    """A continuous unknown and its range.

    Attributes:
        name: Of the symbol, or ``test_noise``.
        low: Lower end.
        high: Upper end, possibly infinite.
        low_closed: Whether the lower end belongs to the range.
        high_closed: Whether the upper one does.
        unit: Its scale if the range is unbounded.
    """

    name: str
    low: float
    high: float
    low_closed: bool
    high_closed: bool
    unit: float

    def value(self, t: np.ndarray) -> np.ndarray:
        """Return x at coordinates."""
        if np.isfinite(self.high):
            return np.asarray(self.low + (self.high - self.low) * expit(t))
        return np.asarray(self.low + self.unit * np.exp(t))

    def slope(self, t: np.ndarray) -> np.ndarray:
        """Return :math:`dx/dt`."""
        if np.isfinite(self.high):
            return np.asarray((self.high - self.low) * expit(t) * expit(-np.asarray(t)))
        return np.asarray(self.unit * np.exp(t))

    @property
    def ends(self) -> tuple[float, ...]:
        """The coordinates of the ends that belong to the range."""
        return (-np.inf,) * self.low_closed + (np.inf,) * self.high_closed


@dataclass(frozen=True, eq=False)
class Found:
    """A minimum.

    Attributes:
        chi2: The sum of squared residuals.
        t: Coordinates of the unknowns.
    """

    chi2: float
    t: np.ndarray


@dataclass(frozen=True, eq=False)
class CurveFit:
    """The least-squares problem.

    Attributes:
        search: The formula over its unknown symbols.
        observed: The curve.
        unknowns: The symbols' ranges, in the order of ``search.over``; after them that of ``test_noise`` if it is unknown.
        test_variance: Known label noise of the test points, its variance, shape (points,).
    """

    search: Search
    observed: Observed
    unknowns: tuple[FreeParameter, ...]
    test_variance: np.ndarray

    def at(self, integers: Mapping[Symbol, int]) -> CurveFit:
        """Return the problem at integers."""
        values = {**self.search.values, **{x: np.asarray(float(i)) for x, i in integers.items()}}
        return replace(self, search=replace(self.search, values=values))

    # ------------------------------------------------------------------ the curve
    @cached_property
    def _place(self) -> np.ndarray:
        """The point of ``search`` that each observation is."""
        each = self.search.place.reshape(self.search.shape)
        return np.broadcast_to(each, self.observed.shape).ravel()

    def values(self, t: np.ndarray) -> np.ndarray:
        """Return the unknowns at coordinates whose last axis is over unknowns."""
        return np.stack([u.value(t[..., k]) for k, u in enumerate(self.unknowns)], axis=-1) if self.unknowns else t

    def errors(self, x: np.ndarray) -> np.ndarray:
        """Return the predicted errors at unknowns of shape (curves, unknowns), shape (curves, points)."""
        return self._run(self.search.error, x) + self.test_variance + self._offset(x) ** 2

    def slopes(self, x: np.ndarray, which: Sequence[int] | None = None) -> np.ndarray:
        """Return the derivatives of the errors by some unknowns, by default all, at ``x`` of shape (unknowns,).

        Returns:
            Of shape (points, derivatives).
        """
        columns = []
        for k in range(len(self.unknowns)) if which is None else which:
            by_noise = k == self.search.count
            columns.append(
                np.full(self.observed.size, 2 * x[k]) if by_noise else self._run(self.search.slopes[k], x[None])[0]
            )
        return np.stack(columns, axis=1) if columns else np.empty((self.observed.size, 0))

    def _run(self, predict: Predictor, x: np.ndarray) -> np.ndarray:
        curves, size = x.shape[0], self.search.size
        flat = {s: a if a.ndim == 0 else np.tile(a, curves) for s, a in self.search.values.items()}
        flat |= {s: np.repeat(x[:, k], size) for k, s in enumerate(self.search.over)}
        total: np.ndarray = predict.total(flat, curves * size)
        return total.reshape(curves, size)[:, self._place]

    def _offset(self, x: np.ndarray) -> np.ndarray:
        known = len(self.unknowns) == self.search.count
        return np.zeros((x.shape[0], 1)) if known else x[:, -1:]

    def check(self, x: np.ndarray) -> None:
        """Check that unknowns are where the formula holds.

        Raises:
            DomainError: If they are not.
        """
        point = dict(zip(self.search.over, np.asarray(x)[: self.search.count], strict=True))
        self.search.error.check({**self.search.values, **point, **self.search.error.numbers}, np.zeros(()))

    # ------------------------------------------------------------------ least squares
    def residuals(self, t: np.ndarray) -> np.ndarray:
        """Return the standardised residuals at coordinates of shape (unknowns,)."""
        return self._residuals(t[None])[0]

    def _residuals(self, t: np.ndarray) -> np.ndarray:
        predicted = np.log(np.clip(self.errors(self.values(t)), _LEAST, _MOST))
        return self.observed.whiten((predicted - self.observed.centre).T).T

    def jacobian(self, t: np.ndarray, which: Sequence[int] | None = None) -> np.ndarray:
        """Return the derivatives of the residuals by some coordinates, by default all, shape (points, derivatives)."""
        x, chosen = self.values(t), range(t.size) if which is None else which
        predicted = np.clip(self.errors(x[None])[0], _LEAST, _MOST)
        speed = np.array([self.unknowns[k].slope(t[k]) for k in chosen])
        return self.observed.whiten(self.slopes(x, chosen) * speed / predicted[:, None])

    @cached_property
    def starts(self) -> np.ndarray:
        """Coordinates spread over the range, the nearest to the observed curve first; shape (starts, unknowns)."""
        count = len(self.unknowns)
        spread = _SPREAD * (2 * qmc.Halton(count, scramble=False).random(_STARTS * count + 1)[1:] - 1)
        return np.asarray(spread[np.argsort(self._cost(spread), kind="stable")])

    def _cost(self, t: np.ndarray) -> np.ndarray:
        return np.asarray((self._residuals(t) ** 2).sum(axis=1))

    @cached_property
    def best(self) -> Found:
        """The least sum of squares, over all starts and ends."""
        if not self.unknowns:
            return Found(float(self._cost(np.empty((1, 0)))[0]), np.empty(0))
        found = min((self.polished(t, {}) for t in self.starts[:_POLISHED]), key=lambda f: f.chi2)
        for k, unknown in enumerate(self.unknowns):
            for end in unknown.ends:
                there = self.polished(found.t, {k: end})
                if there.chi2 <= found.chi2 + _SAME * (1 + found.chi2):
                    found = there
        return found

    def profile(self, k: int, t: float, start: np.ndarray) -> Found:
        """Return the least sum of squares with one unknown held, from a start; other unknowns may leave their ends."""
        held = {k: t}
        found = self.polished(start, held, _ROUGH)
        for j in np.flatnonzero(~np.isfinite(found.t)):
            if j != k:
                away = np.tile(found.t, (_GRID.size, 1))
                away[:, j] = _GRID
                found = min(found, self.polished(away[self._cost(away).argmin()], held, _ROUGH), key=lambda f: f.chi2)
        return found

    def polished(self, start: np.ndarray, held: Mapping[int, float], tolerance: float = _TOLERANCE) -> Found:
        """Return the local minimum below a start, some coordinates held; those at infinity stay there."""
        t = np.array(start, dtype=float)
        for k, value in held.items():
            t[k] = value
        moving = [k for k in range(t.size) if k not in held and np.isfinite(t[k])]

        def whole(moved: np.ndarray) -> np.ndarray:
            out = t.copy()
            out[moving] = moved
            return out

        def residuals(moved: np.ndarray) -> np.ndarray:
            return self.residuals(whole(moved))

        def jacobian(moved: np.ndarray) -> np.ndarray:
            return self.jacobian(whole(moved), moving)

        if moving:
            inside = np.clip(t[moving], -0.99 * _EDGE, 0.99 * _EDGE)
            run = least_squares(
                residuals,
                inside,
                jac=jacobian,
                bounds=(-_EDGE, _EDGE),
                xtol=tolerance,
                ftol=tolerance,
                gtol=tolerance,
            )
            t = whole(run.x)
        return Found(float((self.residuals(t) ** 2).sum()), t)

    # ------------------------------------------------------------------ intervals
    def interval(self, k: int, threshold: float) -> tuple[float, float]:
        """Return where the profile of an unknown first exceeds a threshold on either side of its estimate.

        An end of the range is returned if the threshold is not exceeded there.
        """
        unknown, best = self.unknowns[k], self.best
        ends = []
        for side, limit in ((-1, unknown.low), (1, unknown.high)):
            crossing = self._crossing(k, side, threshold)
            ends.append(limit if crossing is None else float(unknown.value(np.asarray(crossing))))
        estimate = float(self.values(best.t)[k])
        return min(ends[0], estimate), max(ends[1], estimate)

    def _crossing(self, k: int, side: int, threshold: float) -> float | None:
        """Return where; found in the root of the increase, which is nearly linear in t."""
        best = self.best
        if best.t[k] == side * np.inf:
            return None
        centre = inner = float(np.clip(best.t[k], -_EDGE, _EDGE))
        start, step = best.t, self._first_step(k, threshold - best.chi2)
        while True:
            t = float(np.clip(inner + side * step, -_EDGE, _EDGE))
            found = self.profile(k, t, start)
            if found.chi2 > threshold:
                break
            if t == side * _EDGE:
                return None
            start, inner, step = found.t, t, 2 * step

        nearest = found.t

        def beyond(x: float) -> float:
            nonlocal nearest
            there = self.profile(k, x, nearest)
            nearest = there.t
            return float(np.sqrt(max(there.chi2 - best.chi2, 0.0)) - np.sqrt(threshold - best.chi2))

        for end, is_outside in ((inner, beyond(inner) >= 0), (t, beyond(t) <= 0)):
            if is_outside:  # but for round-off the crossing is there
                return end
        root: float = brentq(beyond, inner, t, xtol=_SETTLED * min(1.0, abs(t - centre)))
        return root

    def _first_step(self, k: int, rise: float) -> float:
        """Return the distance at which a quadratic profile would have risen so much."""
        least, usual, largest = _STEP
        t = self.best.t
        if not np.isfinite(t).all():
            return usual
        _, triangle = np.linalg.qr(np.roll(self.jacobian(t), -k - 1, axis=1))
        speed = abs(triangle[-1, -1])  # of the residuals by this unknown, what the others can do taken out
        return float(np.clip(np.sqrt(rise) / speed, least, largest)) if speed > 0 else usual
