r"""The equations in one unknown, each once and in any arithmetic: residual, slope, and a bracket with the inequality behind it.

Source: the equations are those of :mod:`collapse_theory.algebra.effective` and
:mod:`collapse_theory.algebra.feature_scalars`; brackets and bounds of round-off are ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from collapse_theory.numerics.measure import Measure

__all__ = ["EffectiveRidgeEquation", "RandomFeaturesEquation"]

_ABOVE = 1 + 1e-9  # an upper bound stays one when it is rounded


@dataclass(frozen=True)
class EffectiveRidgeEquation:
    r"""The equation of the effective ridge :math:`\kappa` of T rows.

    .. math:: f(\kappa)=\kappa\,(T-\mathrm{df}_1(\kappa))-T\lambda=0,\qquad f'=T-\mathrm{df}_2.

    **Start.** :math:`f''=2\sum_js_j^2/(s_j+\kappa)^3\ge0`: Newton's iteration descends monotonically from any upper bound. The q
    leading directions, :math:`q\le T`, take at most their number of the degrees of freedom, and the others at most
    :math:`\sum_{j>q}s_j/\kappa`. So with :math:`B=T\lambda+\sum_{j>q}s_j`, and c directions at the last of the leading eigenvalues,

    .. math:: (T-q)\kappa\le B,\qquad c\,\frac{\kappa^2}{s_q+\kappa}\le B\quad\Rightarrow\quad
       \kappa\le\frac Bc+\sqrt{\frac{Bs_q}c}.

    The least of these bounds at q = 0, about T/2 and about T is of the order of the root, also at T = rank with next to no
    ridge and in the gap of a spectrum; where T is just below a number of directions the iteration halves its way to the root.
    :math:`\kappa\ge\lambda` is the other end.

    **Round-off.** The residual is written with the complement that follows :math:`\kappa`: the N directions above it count whole,
    and what the ridge takes from them is small,

    .. math:: T-\mathrm{df}_1=(T-N)+\sum_{\rm above}\frac{\kappa}{s_j+\kappa}-\sum_{\rm below}\frac{s_j}{s_j+\kappa}.

    Its round-off is at most a few units of :math:`T-\mathrm{df}_2`, the slope of the equation, because each term of the two sums is
    at most twice its share :math:`s_j\kappa/(s_j+\kappa)^2` of the slope (five times, where the boundary is that of a panel): so
    :math:`\kappa` itself is good to a few units, whatever the spectrum, at T = d, in a gap and without a ridge alike.

    Attributes:
        measure: Eigenvalues and directions; in float64 of a scale at which products of eigenvalue, ridge and rows are normal.
        T: Rows, positive, shape (n,).
        lam: Ridges, >= 0, shape (n,).
        space: Work space that is kept from step to step, shape (2, n, k).
        start: Where the iteration begins, if that is known better; shape (n,).
    """

    measure: Measure
    T: np.ndarray
    lam: np.ndarray
    space: np.ndarray = field(repr=False)
    start: np.ndarray | None = None

    @property
    def sums(self) -> Measure:
        """The nodes as such: on the way to a root an endless spectrum may not be resolved, and the complement form has a jump."""
        return self.measure.plain

    @classmethod
    def of(
        cls, measure: Measure, T: np.ndarray, lam: np.ndarray, start: np.ndarray | None = None
    ) -> EffectiveRidgeEquation:
        """Return the equations of paired rows and ridges."""
        return cls(measure, T, lam, np.empty((2, T.size, measure.size), dtype=measure.nodes.dtype), start)

    @cached_property
    def bracket(self) -> tuple[np.ndarray, np.ndarray]:
        """The ridge, and the least of the upper bounds; 0 without a ridge where the rows cover the rank."""
        if self.start is not None:
            return self.lam, self.start
        first = self.lam + self.measure.trace(self.measure.nodes) / self.T
        whole, s, count, rest = self.measure.leading(np.stack([self.T / 2, self.T]))
        B, below, c = self.T * self.lam + rest, whole < self.T, np.where(count > 0, count, 1)
        spared = np.where(below, B / np.where(below, self.T - whole, 1), first)
        shared = np.where(count > 0, B / c + B**0.5 * (s / c) ** 0.5, first)
        return self.lam, np.minimum(first, np.minimum(spared, shared).min(axis=0)) * _ABOVE

    def local(self, x: np.ndarray, *, rough: bool) -> tuple[np.ndarray, np.ndarray]:
        """Return residual and slope."""
        s, column = self.measure.nodes, x[:, None]
        floor, directions = self.measure.split(x)
        share, work = self.space[:, : x.size]
        np.minimum(s, column, out=share)
        np.add(s, column, out=work)
        share /= work
        np.copyto(work, share)
        if floor is not x:  # a boundary between panels: some of the directions are on the other side of the ridge
            beside = (s >= floor[:, None]) != (s >= column)
            np.subtract(1, share, out=work, where=beside)
        np.negative(work, out=work, where=s < floor[:, None])
        unexplained = (self.T - directions) + self.sums.trace(work, rough=rough)
        np.subtract(1, share, out=work)
        work *= share
        return x * unexplained - self.T * self.lam, unexplained + self.sums.trace(work, rough=rough)

    def among(self, places: np.ndarray) -> EffectiveRidgeEquation:
        """Return some of the equations, in the same work space."""
        return replace(self, T=self.T[places], lam=self.lam[places])


@dataclass(frozen=True)
class RandomFeaturesEquation:
    r"""The equation of the ridge y that the fewer of rows and features, a, leave to the more of them, b.

    .. math:: f(y)=y\,(b-\mathrm{df}_1(\kappa))-b\lambda=0,\qquad\kappa=\kappa_a(y)\text{ the effective ridge of a rows at }y,\qquad
       f'=b-\mathrm{df}_1+\frac{ay}{a-\mathrm{df}_2}\sum_j\frac{s_j}{(s_j+\kappa)^2}.

    With :math:`y=\kappa(1-\mathrm{df}_1/a)` nothing cancels in :math:`b-\mathrm{df}_1=(b-a)+ay/\kappa`.

    **Start.** :math:`\kappa_a` is increasing and concave in y, the inverse of an increasing convex function; so
    :math:`y^2/\kappa_a` is convex, and f with it, and Newton's iteration descends monotonically from any upper bound. From
    :math:`(b-a)y\le b\lambda`, :math:`y\le\lambda+\operatorname{tr}\Sigma/b` and :math:`ay^2\le b\lambda\kappa`,

    .. math:: y\le y_0=\min\Big(\frac{b\lambda}{b-a},\lambda+\frac{\operatorname{tr}\Sigma}b\Big),\qquad
       y\le\sqrt{\frac{b\lambda}a\kappa_a(y_0)}.

    Attributes:
        measure: Eigenvalues and directions.
        a: The fewer of rows and features, positive, shape (n,).
        b: The more of them, shape (n,).
        lam: Ridges, >= 0, shape (n,).
        ridge: Solves the effective ridge of rows and ridges of shape (n,).
    """

    measure: Measure
    a: np.ndarray
    b: np.ndarray
    lam: np.ndarray
    ridge: Callable[[Measure, np.ndarray, np.ndarray], np.ndarray]

    @cached_property
    def bracket(self) -> tuple[np.ndarray, np.ndarray]:
        """The ridge, and the least of the upper bounds; 0 without a ridge."""
        spare = self.b - self.a
        first = self.lam + self.measure.trace(self.measure.nodes) / self.b
        plain = self.b * (self.lam / np.where(spare > 0, spare, 1))
        first = np.where(spare > 0, np.minimum(first, plain), first)
        kappa = self.ridge(self.measure, self.a, first)
        high = np.minimum(first, (self.b / self.a) ** 0.5 * self.lam**0.5 * kappa**0.5)
        return self.lam, np.where(self.lam > 0, np.maximum(high * _ABOVE, self.lam), 0 * self.lam)

    def at(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        r"""Return the effective ridge, :math:`a-\mathrm{df}_1`, and :math:`\sum_js_j/(s_j+\kappa)^2`."""
        kappa, s = self.ridge(self.measure, self.a, y), self.measure.nodes
        over = 1 / (s + kappa[:, None])
        positive = kappa > 0
        unexplained = np.where(positive, self.a * (y / np.where(positive, kappa, 1)), self.a - self.measure.rank)
        return kappa, unexplained, self.measure.trace(s * over * over, rough=True)

    def local(self, x: np.ndarray, *, rough: bool) -> tuple[np.ndarray, np.ndarray]:  # noqa: ARG002 - a slope is never careful
        """Return residual and slope."""
        kappa, unexplained, spread = self.at(x)
        rest = (self.b - self.a) + unexplained
        return x * rest - self.b * self.lam, rest + x * self.a * spread / (unexplained + kappa * spread)

    def among(self, places: np.ndarray) -> RandomFeaturesEquation:
        """Return some of the equations."""
        return replace(self, a=self.a[places], b=self.b[places], lam=self.lam[places])
