r"""Chains of fits by any spectral filters, in any arithmetic: contours in place of one effective ridge.

With the nodes :math:`z_a` of a contour around the spectrum (:mod:`.contours`), their weights :math:`w_a` for the unlearned share
:math:`e`, complex effective ridges :math:`\kappa_a` and :math:`g_a=(\Sigma+\kappa_a)^{-1}`, a fit on a sample of its own keeps

.. math:: r=\Sigma\sum_aw_ag_a,\qquad1-r=\sum_aw_a\kappa_ag_a

of its labeller's mean, and makes of the labeller's second moment, and of the noise of its labels,

.. math:: H=r^2\bar H+\Sigma^2\sum_{ab}\frac{w_aw_b\kappa_a\kappa_b\,g_ag_b}{T-t_{ab}}
   \Big(w_0^\top\Sigma\bar k^2g_ag_bw_0+\operatorname{tr}\bar Hg_ag_b\Big)
   +\sigma^2\,\Sigma^2g_0\sum_a\frac{v_a\,g_a}{T-t_{a0}},\qquad t_{ab}=\operatorname{tr}\Sigma^2g_ag_b,

in the notation of :mod:`.operator_power`; :math:`v` are the weights of :math:`f^2`, and :math:`g_0` is taken at the effective ridge
without a ridge. Denominators are computed in the complement form
:math:`T-t_{ab}=-Tz_a/\kappa_a+\kappa_b\operatorname{tr}\Sigma g_ag_b`, which does not cancel at an interpolation threshold.

In float64 a value is accepted when twice as many nodes confirm it, point by point. In mpmath, where the run at higher precision
does that, sums over pairs of nodes are taken by partial fractions, :math:`g_ag_b=(g_a-g_b)/(\kappa_b-\kappa_a)` and
:math:`T-t_{ab}=T(z_b-z_a)/(\kappa_a-\kappa_b)`: no sum is then over pairs and eigenvalues, and the digits that differences lose are
there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sympy import Expr

from collapse_theory.algebra.effective import EffectiveRidge, ResidualDegrees
from collapse_theory.core.errors import DomainError
from collapse_theory.derive.filter_chain import RIDGE, FilterScalar
from collapse_theory.describe.filters import GradientDescent, GradientFlow
from collapse_theory.numerics.complex_ridge import complex_ridge, upper_edge
from collapse_theory.numerics.contours import Contour, Descent, Flow, Plane, openness, refuse_divergence
from collapse_theory.numerics.effective_ridge import solve_effective_ridge
from collapse_theory.numerics.jets import Jet, value_of
from collapse_theory.numerics.measure import Measure
from collapse_theory.numerics.operator_power import EqualFits, OneFit, Spread, repeated

__all__ = ["FilteredFits", "filter_recursion"]

_FIRST, _MOST = 32, 512  # nodes of a contour in float64
_MOST_IN_DIGITS = 450
_CLOSE = 1e-11  # to which twice as many nodes confirm a value, relative to the sum of the terms
_LOST = 1e-12  # of a term, what a slope is beside it that is round-off: it is zero
_ENTRIES = 1 << 21  # of a (points, nodes, eigenvalues) array


@dataclass(frozen=True)
class FilterFit:
    """A fit by a filter, labelled by one fit that nothing else sees; a fit of :mod:`.operator_power`.

    Attributes:
        measure: Nodes with counts and energies, shape (k,).
        kept: What a mean keeps, shape (n, k).
        lost: One minus it.
        added: What the noise of the labels adds, per unit of their variance.
        pairs: The sums over pairs of nodes.
    """

    measure: Measure
    kept: Any
    lost: Any
    added: Any
    pairs: Pairs | PairsInDigits

    @classmethod
    def of(cls, measure: Measure, T: Any, contour: Contour) -> FilterFit:
        """Return the fit.

        Args:
            measure: Nodes with counts and energies.
            T: Rows, shape (n, 1).
            contour: Nodes and weights of its filter.
        """
        s = measure.nodes
        kappa = _moved_ridge(measure, T, contour.z)
        kappa_noise = kappa if contour.z_noise is contour.z else _moved_ridge(measure, T, contour.z_noise)
        g, g_noise = (1 / (s + x[..., None]) for x in (kappa, kappa_noise))
        weighted = contour.w[..., None] * g
        start = _ridgeless(measure, T)
        g0 = 1 / (s + start)
        left = start * measure.trace(s * g_noise * g0[..., None, :]) - T * contour.z_noise / kappa_noise
        noise = (contour.v / left)[..., None] * g_noise
        kept, lost = s * _above(weighted), _above(weighted * kappa[..., None])
        if isinstance(kept, Jet):  # of one and the other, the slope that does not cancel at short times
            lost = Jet(value_of(lost), -kept.slope)
        build = Pairs.of if measure.nodes.dtype != object else PairsInDigits.of
        return cls(
            measure,
            kept,
            lost,
            s**2 * g0 * _above(noise),
            build(measure, T, contour.z, contour.w, kappa, g),
        )

    def after(self, before: Spread, noise: Any) -> Spread:
        """Return the fit labelled by the given one; ``noise`` is the variance of its label noise, a scalar or a column."""
        s, counts, energies = self.measure.nodes, self.measure.counts, self.measure.energies
        square = self.kept**2
        signal = before.target * counts + (s * energies) * before.kept**2
        return Spread(
            self.kept * before.kept,
            self.kept * before.lost + self.lost,
            square * before.target + s**2 * self.pairs.spread(signal),
            square * before.noise + s**2 * self.pairs.spread(before.noise * counts) + self.added * noise,
        )

    def block(self) -> EqualFits:
        """Return the block of this fit alone."""
        s2 = self.measure.nodes**2
        moved = s2[:, None] * self.pairs.matrix()
        return EqualFits(self.measure, self.kept, self.lost, moved, self.added)


@dataclass(frozen=True)
class Pairs:
    r"""Sums over pairs of nodes as products of matrices.

    Attributes:
        g: :math:`g_a` of the nodes above the real axis, shape (n, m, k).
        lost: :math:`\kappa_ag_a`.
        weights: :math:`w_aw_b/(T-t_{ab})` of these and of all nodes, shape (n, m, 2m).
    """

    g: Any
    lost: Any
    weights: Any

    @classmethod
    def of(cls, measure: Measure, T: Any, z: Any, w: Any, kappa: Any, g: Any) -> Pairs:
        """Return the pairs of a contour with its weights."""
        ridges, factors = (np.concatenate([x, x.conjugate()], axis=1) for x in (kappa, w))
        overlap = (g * (measure.nodes * measure.counts)) @ _all(g)
        residual = ridges[:, None, :] * overlap - (T * z / kappa)[..., None]
        return cls(g, kappa[..., None] * g, w[..., None] * factors[:, None, :] / residual)

    def spread(self, density: Any) -> Any:
        r"""Return :math:`\sum_{ab}W_{ab}\,\kappa_ag_a\kappa_bg_b\int g_ag_b` against a density on the eigenvalues, shape (n, k)."""
        seen = (self.g * density[:, None, :]) @ _all(self.g)
        return _above(self.lost * ((self.weights * seen) @ np.swapaxes(_all(self.lost), 1, 2)))

    def matrix(self) -> Any:
        """Return the spread of each eigenvalue, shape (n, k, k)."""
        return np.concatenate([self._matrix(slice(i, i + 1)) for i in range(self.g.shape[0])], axis=0)

    def _matrix(self, point: slice) -> Any:
        """Return the matrix of one point: as many products as pairs of nodes are held."""
        _, m, k = self.g.shape
        lost, seen = (
            np.reshape(x[:, :, None, :] * np.swapaxes(_all(x), 1, 2)[:, None, :, :], (1, 2 * m * m, k))
            for x in (self.lost[point], self.g[point])
        )
        weights = np.reshape(self.weights[point], (1, 2 * m * m))[..., None]
        return 2 * _real(np.swapaxes(lost * weights, 1, 2) @ seen)


@dataclass(frozen=True)
class PairsInDigits:
    r"""Sums over pairs of nodes by partial fractions, at one point.

    Attributes:
        g: :math:`g_a` of the nodes above the real axis, shape (1, m, k).
        factors: :math:`w_a\kappa_a` of all nodes, shape (2m,).
        inverse: :math:`1/(z_b-z_a)(\kappa_a-\kappa_b)`, zero on the diagonal, shape (m, 2m).
        total: Its sum against the factors, shape (m,).
        own: :math:`w_a^2\kappa_a^2/(T-t_{aa})`, shape (m,).
        rows: :math:`T`, shape (1,).
    """

    g: Any
    factors: Any
    inverse: Any
    total: Any
    own: Any
    rows: Any

    @classmethod
    def of(cls, measure: Measure, T: Any, z: Any, w: Any, kappa: Any, g: Any) -> PairsInDigits:
        """Return the pairs of a contour with its weights."""
        z, x, f, rows = z[0], kappa[0], w[0] * kappa[0], T[0]
        points, ridges, factors = (np.concatenate([y, y.conjugate()]) for y in (z, x, f))
        itself = np.eye(len(z), 2 * len(z), dtype=int)
        inverse = (1 - itself) / ((points - z[:, None] + itself) * (x[:, None] - ridges + itself))
        residual = x * measure.trace(measure.nodes * g[0] ** 2) - rows * z / x
        return cls(g, factors, inverse, inverse @ factors, f**2 / residual, rows)

    def spread(self, density: Any) -> Any:
        """Return the same as :meth:`Pairs.spread`."""
        g = self.g[0]
        single, double = (g * density).sum(axis=-1), (g**2 * density).sum(axis=-1)
        both = np.concatenate([single, single.conjugate()]) * self.factors
        paired = (2 / self.rows) * self.factors[: len(g)] * (single * self.total - self.inverse @ both)
        return _above(paired[:, None] * g + (self.own * double)[:, None] * g**2)[None]

    def matrix(self) -> Any:
        """Return the spread of each eigenvalue, shape (1, k, k)."""
        size = self.g.shape[-1]
        return np.concatenate([self.spread(row)[:, :, None] for row in np.eye(size, dtype=int)], axis=-1)


@dataclass(frozen=True)
class FilteredFits:
    """The recursion over blocks of equal fits, each labelled by the one before.

    Attributes:
        filters: The name of each block's filter, or that of a ridge.
    """

    filters: tuple[str, ...]

    def __str__(self) -> str:
        return f"fits by {', '.join(self.filters)}"

    def run(self, measure: Measure, arguments: Sequence[Any]) -> tuple[Any, Any]:
        """Return bias and variance of the last fit; NaN where float64 does not resolve them.

        Args:
            measure: Nodes with counts and energies, shape (k,).
            arguments: By block ``T``, the parameters of the filter, the noise variance and the number of fits; the parameters of a
                ridge are its effective ridge and residual. Scalars or columns of shape (n, 1).

        Raises:
            DomainError: If gradient descent diverges, or a spectrum is endless.
        """
        if measure.energies is None:
            measure.form(measure.nodes)
        if measure.extent is not None:
            raise DomainError(
                "a filter needs a spectrum that is listed, got a power law by quadrature; take fewer directions"
            )
        rows = max((len(a) for a in arguments if np.ndim(a) > 1), default=0)
        columns = [np.broadcast_to(_array(a, measure), (rows or 1, 1)) for a in arguments]
        with np.errstate(all="ignore"):
            if measure.nodes.dtype == object:
                bias, variance = self._in_digits(measure, columns)
            else:
                bias, variance = self._settled(measure, columns)
        return (bias, variance) if rows else (bias[0], variance[0])

    # ------------------------------------------------------------------ how many nodes
    def _settled(self, measure: Measure, columns: list[Any]) -> tuple[Any, Any]:
        """Return the values that twice as many nodes confirm, each point with its own."""
        n = columns[0].shape[0]
        out = [np.full(n, np.nan), np.full(n, np.nan)]
        rate, moved = self._rate(measure, columns), any(isinstance(x, Jet) for x in columns)
        slopes = [np.full(n, np.nan), np.full(n, np.nan)]
        todo, nodes, before = np.arange(n), _FIRST, None
        while todo.size and nodes <= _MOST:
            now = self._at(measure, [x[todo] for x in columns], Plane(nodes))
            if before is not None:
                close = _agree(before, now, rate[todo])
                for have, found, x in zip(out, slopes, now, strict=True):
                    have[todo[close]] = value_of(x)[close]
                    if moved:
                        lost = abs(_slope(x)) <= _LOST * rate[todo] * sum(abs(value_of(y)) for y in now)
                        found[todo[close]] = np.where(lost, 0.0, _slope(x))[close]
                todo, now = todo[~close], tuple(x[~close] for x in now)
            before, nodes = now, 2 * nodes
        return tuple(map(Jet, out, slopes)) if moved else tuple(out)  # type: ignore[return-value]

    def _rate(self, measure: Measure, columns: list[Any]) -> np.ndarray:
        """Return how fast the arguments move, relative to themselves; a short time relative to that of the fastest direction."""
        out = np.zeros(columns[0].shape[0])
        for x in self._stages(columns):
            time = value_of(x.parameters[0]) * (1 if isinstance(x.filter, Flow) else value_of(x.parameters[-1]))
            share = 1.0 if x.filter is None else np.minimum(1, time * upper_edge(measure, value_of(x.T)))
            for y, part in ((x.T, 1.0), (x.noise, 1.0), *((y, share) for y in x.parameters)):
                if isinstance(y, Jet):
                    out = np.maximum(out, np.where(y.value == 0, 0, abs(part * y.slope / y.value))[:, 0])
        return out

    def _at(self, measure: Measure, columns: list[Any], plane: Plane) -> tuple[Any, Any]:
        """Return the values with so many nodes; points whose contours are of different kinds are run apart."""
        stages = self._stages(columns)
        edges = [upper_edge(measure, value_of(x.T)) for x in stages]
        kinds = np.concatenate([x.short(plane, edge) for x, edge in zip(stages, edges, strict=True)], axis=1)
        signature = kinds @ (1 << np.arange(len(stages)))
        step = max(1, _ENTRIES // (plane.nodes * max(measure.size, plane.nodes)))
        pieces, places = [], []
        for kind in np.unique(signature):
            here = np.flatnonzero(signature == kind)
            for i in range(0, here.size, step):
                rows = here[i : i + step]
                some = self._stages([x[rows] for x in columns])
                pieces.append(_risk(measure, some, [e[rows] for e in edges], kinds[rows[0]], plane))
                places.append(rows)
        order = np.argsort(np.concatenate(places), kind="stable")
        return tuple(np.concatenate(list(x))[order] for x in zip(*pieces, strict=True))  # type: ignore[return-value]

    def _in_digits(self, measure: Measure, columns: list[Any]) -> tuple[Any, Any]:
        """Return the values at one point in numbers of mpmath."""
        plane = Plane.in_digits(measure.nodes[0].context)
        stages = self._stages(columns)
        edges = [upper_edge(measure, value_of(x.T)) for x in stages]
        kinds = [bool(x.short(plane, edge).all()) for x, edge in zip(stages, edges, strict=True)]
        opened = [
            float(openness(edge, x.filter.beyond(plane)).min())
            for x, edge, short in zip(stages, edges, kinds, strict=True)
            if short and x.filter is not None
        ]
        if opened:
            ellipses = plane.for_ellipses(min(opened))
            plane = ellipses if all(kinds) or ellipses.nodes > plane.nodes else plane
        if plane.nodes > _MOST_IN_DIGITS:
            raise DomainError(
                f"a filter needs contours of at most {_MOST_IN_DIGITS} nodes, got {plane.nodes} for {plane.context.dps} digits: "
                "the terms may be too small beside what they are differences of; take a shorter time, or fewer digits"
            )
        return _risk(measure, stages, edges, kinds, plane)

    def _stages(self, columns: list[Any]) -> list[_Stage]:
        values, stages = iter(columns), []
        for name in self.filters:
            T, parameters = next(values), [next(values) for _ in range(1 if name == GradientFlow.__name__ else 2)]
            noise, count = next(values), next(values)
            steps: Flow | Descent | None = None
            if name == GradientFlow.__name__:
                steps = Flow(parameters[0])
            elif name == GradientDescent.__name__:
                steps = Descent(parameters[0], np.asarray(value_of(parameters[1]), dtype=float))
            stages.append(_Stage(T, tuple(parameters), steps, noise, count))
        return stages


@dataclass(frozen=True)
class _Stage:
    """One block, its numbers as columns; without a filter its parameters are those of a ridge."""

    T: Any
    parameters: tuple[Any, ...]
    filter: Flow | Descent | None
    noise: Any
    count: Any

    def short(self, plane: Plane, edge: Any) -> np.ndarray:
        """Return where its contour is an ellipse."""
        if isinstance(self.filter, Descent):
            refuse_divergence(value_of(self.filter.step), edge)
        return np.zeros(edge.shape, dtype=bool) if self.filter is None else self.filter.short(plane, edge)

    def fit(self, measure: Measure, plane: Plane, edge: Any, *, closed: bool) -> OneFit | FilterFit:
        """Return one of its fits."""
        if self.filter is None:
            kappa, residual = self.parameters
            s = measure.nodes
            return OneFit.of(measure, s / (s + kappa), kappa / (s + kappa), residual)
        contour = self.filter.closed(plane, edge) if closed else self.filter.open(plane)
        return FilterFit.of(measure, self.T, contour)


def _risk(
    measure: Measure, stages: Sequence[_Stage], edges: Sequence[Any], kinds: Sequence[Any], plane: Plane
) -> tuple[Any, Any]:
    """Return bias and variance of the last fit, shape (n,)."""
    s = measure.nodes
    zero = 0 * s * value_of(stages[0].T)
    state = Spread(zero + 1, zero, zero, zero)
    for x, edge, short in zip(stages, edges, kinds, strict=True):
        state = repeated(x.fit(measure, plane, edge, closed=bool(short)), state, x.noise, x.count)
    return measure.form(s * state.lost**2) + measure.trace(state.target), measure.trace(state.noise)


# ---------------------------------------------------------------------- effective ridges that move
def _moved_ridge(measure: Measure, T: Any, z: Any) -> Any:
    r"""Return the complex effective ridges with their slopes, :math:`\partial_T\kappa=-(\kappa+z)/(T-\mathrm{df}_2)`."""
    kappa = complex_ridge(measure, value_of(T), z)
    if not isinstance(T, Jet):
        return kappa
    g = 1 / (measure.nodes + kappa[..., None])
    residual = kappa * measure.trace(measure.nodes * g**2) - T.value * z / kappa
    return Jet(kappa, -(kappa + z) / residual * T.slope)


def _ridgeless(measure: Measure, T: Any) -> Any:
    """Return the effective ridges without a ridge, shape (n, 1), with their slopes."""
    rows = value_of(T)
    kappa = solve_effective_ridge(measure, rows.ravel(), 0 * rows.ravel()).reshape(rows.shape)
    if not isinstance(T, Jet):
        return kappa
    positive = kappa > 0
    safe = np.where(positive, kappa, 1)
    residual = (measure.trace(measure.nodes / (measure.nodes + safe) ** 2))[..., None]
    return Jet(kappa, np.where(positive, -1 / residual, 0) * T.slope)


# ---------------------------------------------------------------------- arrays
def _above(x: Any) -> Any:
    """Return the sum over the nodes above the real axis and their conjugates, shape (n, k) of (n, m, k)."""
    return 2 * _real(x.sum(axis=-2))


def _all(x: Any) -> Any:
    """Return functions at all nodes as columns, shape (n, k, 2m) of (n, m, k)."""
    return np.swapaxes(np.concatenate([x, x.conjugate()], axis=1), 1, 2)


def _real(x: Any) -> Any:
    if isinstance(x, Jet):
        return Jet(_real(x.value), _real(x.slope))
    x = np.asarray(x)
    return np.vectorize(lambda y: y.real, otypes=[object])(x) if x.dtype == object else x.real


def _array(x: Any, measure: Measure) -> Any:
    return x if isinstance(x, Jet) else np.asarray(x, dtype=measure.nodes.dtype)


def _slope(x: Any) -> Any:
    return x.slope if isinstance(x, Jet) else 0 * x


def _agree(a: tuple[Any, Any], b: tuple[Any, Any], rate: np.ndarray) -> np.ndarray:
    """Return where two pairs of terms agree, and their slopes to what a small relative change of the arguments makes."""
    size = sum(abs(value_of(x)) for x in b)
    out = np.logical_and.reduce([abs(value_of(x) - value_of(y)) <= _CLOSE * size for x, y in zip(a, b, strict=True)])
    steep = sum(abs(_slope(x)) for x in b) + rate * size
    slopes = [abs(_slope(x) - _slope(y)) <= _CLOSE * steep for x, y in zip(a, b, strict=True)]
    return np.asarray(out & np.logical_and.reduce(slopes))


def filter_recursion(node: FilterScalar) -> tuple[FilteredFits, tuple[Expr, ...]]:
    """Return the rule that gives the bias and variance of a chain of filters, and its arguments."""
    arguments: list[Expr] = []
    names = []
    for T, (name, *parameters), sigma, count in node.args:
        ridge = str(name) == RIDGE
        names.append(str(name))
        own = (EffectiveRidge(T, *parameters), ResidualDegrees(T, *parameters)) if ridge else parameters
        arguments += [T, *own, sigma**2, count]
    return FilteredFits(tuple(names)), tuple(arguments)
