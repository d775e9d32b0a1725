r"""Pipelines whose fits share inputs or features, on JAX arrays.

It is the recursion of :mod:`collapse_theory.derive.cavity` at one point, in the field of every other arithmetic at one point
(:class:`.PipelineArrays`); many points are mapped over. A fit whose rows have one weight and one covariance has one effective
ridge, of which the derivatives are known (:mod:`.jax_ridges`), with or without a ridge. Any other fit solves the equations of
:mod:`.resolvents`,

.. math:: b_i=\varphi_i(b)=\lambda+\frac{a_i}N\operatorname{tr}\Sigma_i\Big(1+\sum_l\frac{a_lT_l}{N\,b_l}\Sigma_l\Big)^{-1},

by Newton's iteration from above, for a positive ridge; its differential is the linear system that these equations leave,

.. math:: \sum_j\Big(\delta_{ij}-\frac{b_j}{b_i}\frac{\partial\varphi_i}{\partial b_j}\Big)\,d\log b_j
   =\frac1{b_i}\frac{\partial\varphi_i}{\partial p}\,dp .
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from sympy import Expr, Symbol

from collapse_theory.core.errors import DomainError
from collapse_theory.derive.cavity import Cavity, OwnFit
from collapse_theory.derive.pooled import PooledFit, PooledSystem
from collapse_theory.numerics.compiled import numeric_function
from collapse_theory.numerics.complements import SolvedFit
from collapse_theory.numerics.jax_functions import jax_functions
from collapse_theory.numerics.jax_ridges import ridge_of_features, ridge_of_rows
from collapse_theory.numerics.magnitude import LOSS
from collapse_theory.numerics.measure import Measure
from collapse_theory.numerics.network import PipelineArrays, needed_numbers
from collapse_theory.symbols import d as dimension
from collapse_theory.symbols import ordered

__all__ = ["JaxReals", "pooled_point"]

_STEPS = 400  # a monotone iteration at least halves its distance
_SHORT = 1e-9
_OFF = 2.0**-36  # far above round-off, and so small that what it does is linear


def pooled_point(system: PooledSystem, measure: Measure, values: Mapping[Symbol, Any]) -> tuple[Any, Any]:
    """Return bias and variance of what a system asks for, scalars; NaN where they lose too many digits.

    They are computed once more with every trace off by a little, and an error that grows too much on the way is seen.

    Args:
        system: The pooled fits.
        measure: Eigenvalues, counts and energies.
        values: A scalar for each symbol of the system.
    """
    found = jax.vmap(lambda off: _terms(system, measure, values, off))(jnp.array([0.0, _OFF]))
    bias, variance = (jnp.where(abs(x[1] - x[0]) <= LOSS * _OFF * abs(x[0]), x[0], jnp.nan) for x in found)
    return bias, variance


def _terms(system: PooledSystem, measure: Measure, values: Mapping[Symbol, Any], off: Any) -> tuple[Any, Any]:
    """Return both terms where the weight of each node has a relative error of a random sign."""
    exponent = int(np.frexp(max(s.max() for s in measure.values.values()))[1])
    unit, signs = 2.0**-exponent, np.random.default_rng(0).choice([-1.0, 1.0], measure.size)
    scaled = replace(measure, values={name: s * unit for name, s in measure.values.items()})
    moved = replace(scaled, counts=measure.counts * (1 + off * signs))
    expressions = needed_numbers(system)
    names, call = _compiled(expressions)
    given = {dimension: jnp.asarray(measure.dimension, dtype=float), **values}
    number = dict(zip(expressions, call(*(given[x] for x in names)), strict=True))
    alone: dict[Any, SolvedFit] = {}
    for f in system.fits:
        if f.alone not in alone:
            alone[f.alone] = _fit(f, scaled, number, unit)
    cavity = Cavity(system, PipelineArrays(system, JaxReals(), moved, number, [alone[f.alone] for f in system.fits]))
    bias, variance = (jnp.zeros(()) if x is None else x[0] for x in (cavity.bias(), cavity.variance()))
    return bias / unit, variance


class JaxReals:
    """float64 arrays of JAX, as a :class:`.Reals`."""

    epsilon = float(np.finfo(float).eps)

    def array(self, x: Any) -> Any:
        """Return an array."""
        return jnp.asarray(x, dtype=float)

    def solve(self, matrix: Any, right: Any) -> Any:
        """Return ``x`` of ``matrix x = right``."""
        return jnp.linalg.solve(matrix, right)

    def evaluate(self, expressions: Any, values: Mapping[Symbol, Any]) -> list[Any]:
        """Return the values of expressions."""
        names, call = _compiled(tuple(expressions))
        return list(call(*(values[x] for x in names)))


def _fit(f: PooledFit, measure: Measure, number: Mapping[Expr, Any], unit: float) -> SolvedFit:
    """Return one fit on its own.

    Raises:
        DomainError: If it sees features of inputs that do not vary in all directions.
    """
    weights, rows = (
        jnp.stack([jnp.asarray(number[e], dtype=float) for e in each])
        for each in ([x.weight for x in f.designs], [x.T for x in f.designs])
    )
    N, ridge = (jnp.asarray(number[e], dtype=float) for e in (f.N, f.ridge))
    names = {x.covariance for x in f.designs}
    if len({x.weight for x in f.designs}) == 1 and len(names) == 1 and (measure.at(*names) > 0).all():
        m = None if f.features is None else number[f.features.m]
        return _one_ridge(measure, names.pop(), weights[0], rows, N, ridge * unit, m)
    if f.features is not None:
        raise DomainError(
            'backend="jax" needs features of inputs of one covariance that varies in every direction, got '
            f"{', '.join(sorted(names))}; compile without a backend"
        )
    s = np.stack([measure.at(x.covariance) for x in f.designs])
    return _several_ridges(measure, s, weights, rows, N, ridge * unit)


def _one_ridge(measure: Measure, name: str, weight: Any, rows: Any, N: Any, ridge: Any, m: Any) -> SolvedFit:
    """Return a fit of one weight and covariance, in the scale in which its kernel is the resolvent."""
    T = rows.sum()
    mass, common = weight * T / N, Measure({"Sigma": measure.at(name)}, measure.counts, None, measure.extent)
    lam = ridge / mass
    if m is not None:  # the features leave it the ridge that rows leave to features
        lam, _ = ridge_of_features(common, m, T, lam)
    kappa, residual, share = ridge_of_rows(common, T, lam)
    kappa = jnp.where(residual > 0, kappa, jnp.nan)[None]
    kernel = 1 / (measure.at(name) + kappa)
    size = range(rows.shape[0])
    own = OwnFit(
        kernel,
        kappa * kernel,
        [1 / mass[None]] * len(size),
        [1] * len(size),
        [(share * mass)[None]] * len(size),
        None if m is None else kappa + 0 * kernel,
    )
    return SolvedFit(own, uniform=True, s=measure.values, load=rows / T, offset=jnp.stack([share] * len(size)))


def _several_ridges(measure: Measure, s: np.ndarray, weights: Any, rows: Any, N: Any, ridge: Any) -> SolvedFit:
    """Return a fit of several weights or covariances; NaN without a ridge."""
    own_size = range(len(s))

    def image(x: Any, p: tuple[Any, ...]) -> Any:
        weights, _, N, ridge = p
        return ridge + weights / N * measure.trace(s * _kernel(s, x, p))

    def matrix(x: Any, p: tuple[Any, ...]) -> Any:
        return jnp.eye(len(s)) - jax.jacfwd(lambda u: image(x * jnp.exp(u), p))(0 * x) / x[:, None]

    @jax.custom_jvp
    def solved(p: tuple[Any, ...]) -> Any:
        weights, _, N, ridge = p

        def step(state: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
            count, x, _ = state
            change = jnp.linalg.solve(matrix(x, p), image(x, p) / x - 1)
            return count + 1, x * (1 + change), jnp.abs(change).max()

        def unsettled(state: tuple[Any, Any, Any]) -> Any:
            return (state[0] < _STEPS) & (state[2] >= _SHORT)

        top = ridge + weights / N * measure.trace(s)
        _, x, change = jax.lax.while_loop(unsettled, step, (0, top, jnp.asarray(jnp.inf)))
        grows = jnp.linalg.solve(matrix(x, p), jnp.ones(len(s))).max()  # how much an error of the equations does
        return jnp.where((change < _SHORT) & (ridge > 0) & (grows < LOSS), x, jnp.nan)

    @solved.defjvp
    def moved(at: tuple[Any], along: tuple[Any]) -> tuple[Any, Any]:
        (p,), (dp,) = at, along
        x = solved(p)
        _, change = jax.jvp(lambda p: image(x, p), (p,), (dp,))
        return x, x * jnp.linalg.solve(matrix(x, p), change / x)

    p = (weights, rows, N, ridge)
    x = solved(p)
    kernel, left = _kernel(s, x, p), jnp.stack([ridge] * len(s))
    own = OwnFit(
        kernel,
        kernel,
        [1 / x[n : n + 1] for n in own_size],
        [1] * len(s),
        [left[n : n + 1] for n in own_size],
    )
    return SolvedFit(own, uniform=True, s=measure.values, load=weights * rows / (N * x), offset=left / x)


def _kernel(s: np.ndarray, x: Any, p: tuple[Any, ...]) -> Any:
    weights, rows, N, _ = p
    return 1 / (1 + (weights * rows / (N * x)) @ s)


@lru_cache(maxsize=64)
def _compiled(expressions: tuple[Expr, ...]) -> tuple[tuple[Symbol, ...], Any]:
    names = ordered({x for e in expressions for x in e.free_symbols})
    return names, numeric_function(names, expressions, modules=[dict(jax_functions()), "numpy"], cse=False)
