r"""Systems of pooled fits at many points at once, where every fit has one effective ridge.

If all rows of a fit have one weight and the common covariance, its effective ridge is :math:`\kappa(T,\lambda N/aT)`, which is
solved for all points together. In the scale in which :math:`R_{kk}=(\Sigma+\kappa_k)^{-1}` no direction and no design needs
another one, with or without a ridge, so the recursion of :mod:`.cavity` runs on arrays of points times nodes. The slope of an
effective ridge is :math:`\dot\kappa=(T\dot\lambda+(\lambda-\kappa)\dot T)/(T-\mathrm{df}_2)`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sympy import Expr, Symbol

from collapse_theory.derive.cavity import Cavity, OwnFit
from collapse_theory.derive.pooled import PooledSystem
from collapse_theory.numerics.complements import SolvedFit
from collapse_theory.numerics.effective_ridge import residual_degrees, solve_effective_ridge
from collapse_theory.numerics.jets import Jet, value_of
from collapse_theory.numerics.measure import COMMON, Measure
from collapse_theory.numerics.network import PipelineArrays, needed_numbers
from collapse_theory.numerics.reals import Reals
from collapse_theory.symbols import d as dimension

__all__ = ["has_one_ridge_each", "pooled_batch"]


def has_one_ridge_each(system: PooledSystem, measure: Measure) -> bool:
    """Return whether every fit has one weight and the common covariance, and no direction is without variance."""
    alike = all(len({x.weight for x in f.designs}) == 1 and f.features is None for f in system.fits)
    return alike and system.covariances == (COMMON,) and bool((measure.nodes > 0).all())


def pooled_batch(
    system: PooledSystem,
    numbers: Reals,
    measure: Measure,
    values: Mapping[Symbol, Any],
    unit: np.ndarray,
    nudge: np.ndarray,
) -> tuple[Any, Any]:
    """Return bias and noise of the last fit at every point.

    Args:
        system: Pooled fits of one ridge each.
        numbers: float64, or dual numbers over it.
        measure: Eigenvalues, counts and energies.
        values: Values of the system's symbols, of shape (points, 1) or scalars; dual ones have slopes.
        unit: What to multiply the covariance and the ridges with before solving, shape (points, 1).
        nudge: Units of round-off by which effective ridges and traces are off, shape (points, 1).
    """
    expressions = needed_numbers(system)
    given = {dimension: numbers.array(measure.dimension)[()], **values}
    number = dict(zip(expressions, numbers.evaluate(expressions, given), strict=True))
    s = {COMMON: measure.nodes * unit}
    alike: dict[tuple[Any, ...], SolvedFit] = {}
    fits = []
    for f in system.fits:
        key = f.alone
        if key not in alike:
            alike[key] = _solved(f, number, measure, s, unit, nudge * numbers.epsilon)
        fits.append(alike[key])
    cavity = Cavity(system, PipelineArrays(system, numbers, measure, number, fits, nudge.ravel().tolist()))
    bias, noise = (0.0 if x is None else x for x in (cavity.bias(), cavity.variance()))
    return bias / unit, noise


def _solved(
    f: Any, number: Mapping[Expr, Any], measure: Measure, s: Any, unit: np.ndarray, off: np.ndarray
) -> SolvedFit:
    """Return one fit at every point."""
    rows: Any = sum(number[x.T] for x in f.designs)
    mass = number[f.designs[0].weight] * rows / number[f.N]
    ridge = number[f.ridge] / mass
    kappa, share = _effective_ridge(measure, rows, ridge)
    kappa, share = kappa * (unit * (1 + off)), share * (1 - off)
    kernel = 1 / (s[COMMON] + kappa)
    response = 1 / mass + 0 * kappa
    size = len(f.designs)
    own = OwnFit(kernel, kappa * kernel, [response] * size, [1] * size, [mass * share] * size)
    load = np.concatenate([number[x.T] / rows + 0 * kappa for x in f.designs], axis=-1)
    offset = np.concatenate([share] * len(f.designs), axis=-1)
    return SolvedFit(own, uniform=True, s=s, load=load, offset=offset)


def _effective_ridge(measure: Measure, rows: Any, ridge: Any) -> tuple[Any, Any]:
    """Return the effective ridge and the ridge's share of it, ``lam/kappa = 1 - df1/T``, of shape (points, 1)."""
    T, lam = (np.atleast_1d(np.ravel(x)).astype(float) for x in np.broadcast_arrays(value_of(rows), value_of(ridge)))
    at, back = np.unique(np.stack([T, lam]), axis=1, return_inverse=True)
    kappa = solve_effective_ridge(measure, at[0], at[1])
    left = residual_degrees(measure, at[0], at[1], kappa)  # T - df2
    ridgeless = np.maximum(0.0, 1 - measure.rank / at[0])
    share = np.divide(at[1], kappa, out=ridgeless, where=kappa > 0)
    kappa, share, left = (x[back.ravel()][:, None] for x in (kappa, share, left))
    if not (isinstance(rows, Jet) or isinstance(ridge, Jet)):
        return kappa, share
    dT, dlam = (x.slope if isinstance(x, Jet) else 0 * kappa for x in (rows, ridge))
    T, lam = T[:, None], lam[:, None]
    slope = (T * dlam + (lam - kappa) * dT) / left
    # share = 1 - df1/T, so that its slope is (df1 dT/T + (df1 - df2) dkappa/kappa)/T, with (df1 - df2)/kappa = tr s/(s + kappa)^2
    bend = measure.trace(measure.nodes / (measure.nodes + kappa) ** 2)[:, None]
    return Jet(kappa, slope), Jet(share, ((1 - share) * dT + bend * slope) / T)
