r"""Effective ridges on JAX arrays, with exact derivatives of any order.

A root is read off the tables of :mod:`.octaves`, as in NumPy: bisection over the ends of the octaves, Newton's iteration inside.
No derivative passes through that iteration. A root obeys :math:`T(\kappa-\lambda)=\kappa\,\mathrm{df}_1(\kappa)`, whose
differential is one linear step,

.. math:: (T-\mathrm{df}_2)\,d\kappa=T\,d\lambda-\frac{\kappa\,\mathrm{df}_1}T\,dT,\qquad
   d(T-\mathrm{df}_2)=dT+2\operatorname{tr}\frac{\Sigma^2}{(\Sigma+\kappa)^3}\,d\kappa,\qquad
   d\Big(1-\frac{\mathrm{df}_1}T\Big)=\frac1T\Big(\frac{\mathrm{df}_1}T\,dT+\operatorname{tr}\frac{\Sigma}{(\Sigma+\kappa)^2}\,d\kappa\Big),

in the root and traces at it alone, so that it is differentiated again in the same way. It holds without a ridge too. For rows T
and m random features :math:`T\lambda=K(T-\mathrm{df}_1)`, :math:`K=\kappa(1-\mathrm{df}_1/m)`, and with
:math:`e=\operatorname{tr}\Sigma(\Sigma+\kappa)^{-2}`

.. math:: D\,dK=T\,d\lambda-(K-\lambda)\,dT-\frac{Ke\,(K-\kappa)}{m-\mathrm{df}_2}\,dm,\qquad
   D=T-\mathrm{df}_1+\frac{\kappa\,(m-\mathrm{df}_1)}{m-\mathrm{df}_2}\,e,\qquad
   (m-\mathrm{df}_2)\,d\kappa=m\,dK+(K-\kappa)\,dm .

Source: the implicit function theorem; custom derivatives of roots as in Blondel et al., Efficient and modular implicit
differentiation, NeurIPS 2022.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from collapse_theory.numerics.measure import Measure
from collapse_theory.numerics.octaves import Given, Octaves, Rows, RowsOnFeatures

__all__ = ["ridge_of_features", "ridge_of_rows"]

_STEPS = 40
_SHORT = 1e-9  # a step whose square is round-off
_LARGE, _MOST = 2.0**300, 2.0**60  # ridges and nodes at unit scale, and rows, of which powers stay normal
_EXPONENTS = 300
_FAR = 16.0
_LN2 = math.log(2)


def ridge_of_rows(measure: Measure, T: Any, lam: Any) -> tuple[Any, Any, Any]:
    r"""Return :math:`\kappa`, :math:`T-\mathrm{df}_2` and :math:`1-\mathrm{df}_1/T`; NaN where float64 has no root.

    Args:
        measure: Eigenvalues and directions.
        T: Rows, positive.
        lam: Ridges, >= 0; broadcast against the rows.
    """
    traces = _Traces(measure)

    @jax.custom_jvp
    def solved(T: Any, lam: Any) -> tuple[Any, Any, Any]:
        kappa = traces.root(Rows(T, lam), T, T)
        positive = kappa > 0
        share = lam / jnp.where(positive, kappa, 1)
        residual = T * share + kappa * traces.spread(kappa)
        left = jnp.where(positive, share, jnp.maximum(0.0, 1 - traces.rank / T))
        return kappa, jnp.where(kappa == 0, T - traces.rank, residual), left

    @solved.defjvp
    def moved(at: tuple[Any, ...], along: tuple[Any, ...]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        (T, lam), (dT, dlam) = at, along
        kappa, residual, left = solved(T, lam)
        explained = traces.df1(kappa) / T
        dkappa = (T * dlam - kappa * explained * dT) / residual
        dleft = (explained * dT + traces.spread(kappa) * dkappa) / T
        return (kappa, residual, left), (dkappa, dT + 2 * traces.bend(kappa, 2) * dkappa, dleft)

    kappa, residual, left = solved(*jnp.broadcast_arrays(T, lam / traces.scale))
    return kappa * traces.scale, residual, left


def ridge_of_features(measure: Measure, T: Any, m: Any, lam: Any) -> tuple[Any, Any]:
    """Return the features' effective ridge K and the residual degrees of freedom D; NaN where float64 has no root.

    Args:
        measure: Eigenvalues and directions.
        T: Rows, positive.
        m: Features, positive.
        lam: Ridges, >= 0; all three broadcast.
    """
    traces = _Traces(measure)

    @jax.custom_jvp
    def solved(T: Any, m: Any, lam: Any) -> tuple[Any, ...]:
        fewer, more = jnp.minimum(T, m), jnp.maximum(T, m)
        given = RowsOnFeatures(fewer, more, lam)
        kappa = traces.root(given, fewer, more)
        unexplained = jnp.where(kappa > 0, given.share(kappa)[0], jnp.maximum(fewer - traces.rank, 0.0))
        spread = traces.spread(kappa)
        features = (m - fewer) + unexplained  # m - df1; every term is positive
        left = features + kappa * spread
        share = jnp.where(kappa > 0, kappa * features / jnp.where(left > 0, left, 1), 0 * kappa)
        return kappa * (features / m), (T - fewer) + unexplained + share * spread, kappa, features

    @solved.defjvp
    def moved(at: tuple[Any, ...], along: tuple[Any, ...]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        (T, m, lam), (dT, dm, dlam) = at, along
        K, residual, kappa, features = found = solved(T, m, lam)
        spread = traces.spread(kappa)
        left = features + kappa * spread  # m - df2
        dK = (T * dlam - (K - lam) * dT + K * spread * (kappa - K) / left * dm) / residual
        dkappa = (m * dK + (K - kappa) * dm) / left
        dspread, dfeatures = -2 * traces.bend(kappa, 1) * dkappa, dm + spread * dkappa
        dleft = dm + 2 * traces.bend(kappa, 2) * dkappa
        dshare = (features * dkappa + kappa * dfeatures - kappa * features / left * dleft) / left
        dresidual = dT + spread * dkappa + spread * dshare + kappa * features / left * dspread
        return found, (dK, dresidual, dkappa, dfeatures)

    K, residual, _, _ = solved(*jnp.broadcast_arrays(T, m, lam / traces.scale))
    return K * traces.scale, residual


class _Traces:
    """The roots and traces of one measure, in units of a power of two in which its largest eigenvalue is near one."""

    def __init__(self, measure: Measure) -> None:
        self.measure, exponent = measure.unit
        self.rank, self.octaves = measure.rank, self.measure.octaves
        self.normal = abs(exponent) < _EXPONENTS and bool(self.measure.nodes.min() > 1 / _LARGE)
        self.scale = 2.0**exponent if self.normal else math.nan

    def root(self, given: Rows | RowsOnFeatures, fewer: Any, more: Any) -> Any:
        """Return the root; NaN where float64 has not the exponents, or the iteration does not settle."""
        lam = given.lam
        held = ((lam == 0) | ((lam > 1 / _LARGE) & (lam < _LARGE))) & (fewer > 1 / _MOST) & (more < _MOST)
        positive = (lam > 0) | (fewer < self.measure.total)
        return jnp.where(held, jnp.where(positive, _root(self.octaves, given), 0.0), jnp.nan)

    def df1(self, kappa: Any) -> Any:
        """Return the degrees of freedom."""
        s, x = self.measure.nodes, kappa[..., None]
        return self.measure.trace(s / (s + x))

    def spread(self, kappa: Any) -> Any:
        r"""Return :math:`\operatorname{tr}\Sigma(\Sigma+\kappa)^{-2}`."""
        s, x = self.measure.nodes, kappa[..., None]
        return self.measure.trace(s / (s + x) / (s + x))

    def bend(self, kappa: Any, power: int) -> Any:
        r"""Return :math:`\operatorname{tr}\Sigma^p(\Sigma+\kappa)^{-3}`."""
        s, x = self.measure.nodes, kappa[..., None]
        return self.measure.trace((s / (s + x)) ** power * (1 / (s + x)) ** (3 - power))


def _root(octaves: Octaves, given: Given) -> Any:
    """Return the roots at unit scale, positive; NaN where the iteration does not settle."""
    ends, directions, edges = map(jnp.asarray, octaves.edges)
    rows, table = given.rows, jnp.asarray(octaves.complement)
    row, high = jnp.zeros(rows.shape, dtype=int), jnp.full(rows.shape, ends.size)
    for _ in range(ends.size.bit_length()):
        middle = (row + high) >> 1
        at = jnp.minimum(middle, ends.size - 1)
        beyond = ((rows - directions[at]) + edges[at] < given.share(ends[at])[0]) & (middle < high)
        row, high = jnp.where(beyond, middle + 1, row), jnp.where(beyond, high, middle)
    below, above = row == 0, row == octaves.rows - 1
    base, spare = ends[jnp.maximum(row - 1, 0)], rows - jnp.asarray(octaves.directions)[row]
    coefficients = table[:, row]

    def following(kappa: Any) -> Any:
        x = jnp.log2(kappa / base)
        t = jnp.where(below, kappa / octaves.small, jnp.where(above, octaves.large / kappa, 2 * x - 1))
        value, slope = coefficients[-1], jnp.zeros(rows.shape)
        for c in coefficients[-2::-1]:
            value, slope = value * t + c, slope * t + value
        u, v = spare + value, slope * jnp.where(below, t, jnp.where(above, -t, 2 / _LN2))
        phi, fall = given.share(kappa)
        inside = base * jnp.exp2(jnp.clip(x - (u - phi) / (v + fall) / _LN2, 0, 1))
        outside = kappa * jnp.maximum(1 - (u - phi) / (u + v - phi + fall), 1 / _FAR)
        return jnp.where(below | above, outside, inside)

    def step(state: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
        count, kappa, _ = state
        after = following(kappa)
        return count + 1, after, jnp.abs(after / kappa - 1)

    def unsettled(state: tuple[Any, Any, Any]) -> Any:
        count, _, change = state
        return (count < _STEPS) & jnp.any(change >= _SHORT)

    near = (1 + 1 / _FAR) * given.bound(spare, octaves.complement[1, 0] / octaves.small * jnp.ones(rows.shape))
    far = given.start(-octaves.complement[1, -1] * octaves.large)
    start = jnp.where(below, jnp.minimum(near, octaves.small), jnp.where(above, far, base * math.sqrt(2)))
    _, kappa, change = jax.lax.while_loop(unsettled, step, (0, start, jnp.full(rows.shape, jnp.inf)))
    return jnp.where(change < _SHORT, kappa, jnp.nan)
