r"""Systems of pooled fits in float64, with a known error.

The recursion runs on the same problem written in several units of the covariances, and in all but the first every trace and
every effective ridge is off by a few random units of round-off. Exactly, the results agree; their spread measures the
rounding errors, whatever their cause. Where it is too large the recursion runs again in mpmath, with more digits until two
precisions agree. The same holds for slopes, which run in dual numbers.

Source: Vignes, Discrete stochastic arithmetic for validating results of numerical software, Numerical Algorithms 2004.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from mpmath.libmp import dps_to_prec
from sympy import Symbol

from collapse_theory.core.errors import ConvergenceError, DomainError
from collapse_theory.core.precision import private_context
from collapse_theory.derive.pooled import PooledSystem
from collapse_theory.numerics.compression import ORDER
from collapse_theory.numerics.digits import Digits
from collapse_theory.numerics.fit_ridges import Units
from collapse_theory.numerics.measure import Measure
from collapse_theory.numerics.network import PipelineEquivalent
from collapse_theory.numerics.pooled_batch import pooled_batch, relative_speed
from collapse_theory.numerics.pooled_each import pooled_each
from collapse_theory.numerics.pooled_point import terms, without_unseen
from collapse_theory.numerics.reals import FLOAT64
from collapse_theory.symbols import d as dimension

__all__ = ["PooledValues", "pooled_points", "pooled_values"]

_EPSILON = float(np.finfo(float).eps)
_UNITS = Units(np.array([1.0, 1.3720911, 0.7318853]), np.array([0, 3, -3]) * _EPSILON)
"""The first is exact, the others round everything anew."""
_ONCE = Units(np.ones(1), np.zeros(1))
_ACCEPTED = 1e-12  # largest spread over the units at which float64 is believed
_ACCEPTED_SLOPE = 1e-10
_AGREED = 1e-15  # of two precisions
_DIGITS = (40, 90, 190, 400)


@dataclass(frozen=True)
class PooledValues:
    """Bias and variance of a system of pooled fits in float64, or their slopes.

    Attributes:
        bias: The part of the true coefficients.
        variance: The part of all label noises.
        error: Estimated relative error of the less accurate one.
        extended: Whether float64 did not suffice.
    """

    bias: float
    variance: float
    error: float
    extended: bool = False


def pooled_points(
    system: PooledSystem,
    measure: Measure,
    values: Mapping[Symbol, Any],
    direction: Mapping[Symbol, Any],
    *,
    rough: bool = False,
) -> tuple[Any, Any]:
    """Return bias and variance, or their slopes along a direction, with a relative error of at most about 1e-12 (slopes: 1e-10).

    Args:
        system: The pooled fits.
        measure: Eigenvalues, counts and energies.
        values: Values of the system's symbols, each a float or an array with one entry for each point.
        direction: Derivative of each value that moves, alike.
        rough: Whether to solve once, in float64, and to take what comes out; NaN where nothing does.

    Raises:
        DomainError: At a threshold without ridge, or if the result is beyond the range of float64.
        ConvergenceError: If an equation is not solved, or two precisions do not agree (with the figures).
    """
    measure = measure.over(system.covariances)
    columns: Any = np.broadcast_arrays(
        *(np.asarray(x, dtype=float) for x in (*values.values(), *direction.values())), np.zeros(())
    )
    shape = columns[-1].shape
    flat = [np.ravel(c) for c in columns[:-1]]
    points, along = (
        dict(zip(x, c, strict=True)) for x, c in ((values, flat[: len(values)]), (direction, flat[len(values) :]))
    )
    out = np.full((2, int(np.prod(shape))), np.nan)
    with np.errstate(all="ignore"):  # it checks its own numbers
        for there, seen in _visible(system, points, along, out.shape[1], measure):
            at, moving = ({x: c[there] for x, c in each.items()} for each in (points, along))
            out[:, there] = found = _float64(seen, measure, at, moving, rough=rough)[0]
            if rough:
                continue
            for i in there[np.isnan(found).any(axis=0)]:
                point, slope = ({x: float(c[i]) for x, c in each.items()} for each in (points, along))
                exact = _extended(PipelineEquivalent(seen), measure, point, slope)
                out[:, i] = exact.bias, exact.variance
    return out[0].reshape(shape)[()], out[1].reshape(shape)[()]


def _visible(
    system: PooledSystem,
    values: Mapping[Symbol, np.ndarray],
    direction: Mapping[Symbol, np.ndarray],
    size: int,
    measure: Measure,
) -> Iterator[tuple[np.ndarray, PooledSystem]]:
    """Return the points at which the same designs have a positive weight, and the system of these designs.

    Raises:
        DomainError: If all weights of a fit vanish, or one is to be differentiated there.
    """
    weights = tuple({x.weight: None for f in system.fits for x in f.designs if x.weight.free_symbols})
    if not weights:
        yield np.arange(size), system
        return
    found = FLOAT64.evaluate(weights, {dimension: np.asarray(measure.dimension, dtype=float)[()], **values})
    unseen = np.array([np.broadcast_to(w == 0, (size,)) for w in found], dtype=bool).reshape(len(weights), size)
    if not unseen.any():
        yield np.arange(size), system
        return
    kinds, of = np.unique(unseen, axis=1, return_inverse=True)
    for i, kind in enumerate(kinds.T):
        there = np.flatnonzero(of.ravel() == i)
        gone = [e for e, x in zip(weights, kind, strict=True) if x]
        yield there, without_unseen(system, gone, [x for x, v in direction.items() if v[there].any()])


def _float64(
    system: PooledSystem,
    measure: Measure,
    values: Mapping[Symbol, np.ndarray],
    direction: Mapping[Symbol, np.ndarray],
    *,
    rough: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Return bias and variance of many points, or their slopes, not a number where they are not believed; and their errors."""
    plain = system.asked is None and not system.others and not any(f.features for f in system.fits)
    few = (
        measure.compressed if plain and 2 * len(system.fits) <= ORDER else measure
    )  # products of resolvents on each side
    solve = pooled_batch if plain else pooled_each
    found = solve(system, few, values, direction, _ONCE if rough else _UNITS)
    exact = found[0]
    spread, size = np.abs(found - exact).max(axis=0), np.abs(exact)
    error = np.divide(spread, size, out=np.where(spread == 0, 0.0, np.inf), where=size > 0)
    believed = error <= (_ACCEPTED_SLOPE if direction else _ACCEPTED)
    believed &= np.isfinite(found).all(axis=0) & (True if direction else (found >= 0).all(axis=0))
    return np.where(believed.all(axis=0), exact, np.nan), error.max(axis=0)


def pooled_values(
    system: PooledSystem,
    measure: Measure,
    values: Mapping[Symbol, float],
    direction: Mapping[Symbol, float] | None = None,
) -> PooledValues:
    """Return what :func:`pooled_points` returns at one point, and how good it is.

    Args:
        system: The pooled fits.
        measure: Eigenvalues of every covariance in the common basis, and energies of the target.
        values: Values of the system's symbols.
        direction: Derivative of each value that moves; where given, the slopes along it are returned.

    >>> from collapse_theory import workflows
    >>> from collapse_theory.describe.pipeline import Stage
    >>> from collapse_theory.derive.pooled import pooled_system
    >>> pipe = workflows.accumulate(2, Stage(T=90, noise=0.4, ridge=0.05))
    >>> measure = Measure({"Sigma": np.ones(1)}, np.array([100]), energies=np.ones(1))
    >>> found = pooled_values(pooled_system(pipe), measure, {})
    >>> round(found.bias + found.variance, 6), found.error < 1e-13
    (0.491749, True)
    """
    point, along = ({x: np.array([v], dtype=float) for x, v in each.items()} for each in (values, direction or {}))
    with np.errstate(all="ignore"):
        found, error = _float64(system, measure, point, along, rough=False)
        if not np.isnan(found).any():
            return PooledValues(float(found[0, 0]), float(found[1, 0]), float(error[0]))
        return _extended(PipelineEquivalent(system), measure, values, direction or {})


def _extended(
    equivalent: PipelineEquivalent,
    measure: Measure,
    values: Mapping[Symbol, float],
    direction: Mapping[Symbol, float],
) -> PooledValues:
    """Return the same in mpmath, with more digits until two precisions agree.

    A slope that is less than half the digits of what its terms are is one that vanishes: no number of digits would agree on it.
    """
    before: list[Any] | None = None
    error = np.inf
    speed = float(relative_speed(equivalent.system, measure, values, direction)) if direction else 0.0
    for digits in _DIGITS:
        numbers = Digits(private_context(dps_to_prec(digits)))
        exact = measure.mapped(numbers.array)
        given, along = ({x: numbers.number(v) for x, v in each.items()} for each in (values, direction))
        try:
            now = list(terms(equivalent, numbers, exact, given, along))
            if along:
                least = sum(terms(equivalent, numbers, exact, given, {})) * speed * numbers.number(10) ** (-digits // 2)
                now = [x if abs(x) > least else 0 * x for x in now]
        except ConvergenceError:
            if digits == _DIGITS[-1]:
                raise
            continue
        if before is not None:
            error = max(_distance(a, b) for a, b in zip(now, before, strict=True))
            if error <= _AGREED:
                return PooledValues(_nearest(now[0]), _nearest(now[1]), error, extended=True)
        before = now
    what = "derivative of the test error" if direction else "test error"
    raise ConvergenceError(
        f"the {what} did not settle: {error:.1e} between {_DIGITS[-2]} and {_DIGITS[-1]} digits; give a larger ridge, or rows "
        "further from the rank"
    )


def _distance(a: Any, b: Any) -> float:
    """Return the relative distance of two numbers."""
    return 0.0 if a == b else float(abs(a - b) / max(abs(a), abs(b)))


def _nearest(x: Any) -> float:
    number = float(x)
    if not np.isfinite(number):
        raise DomainError(
            f"float64 needs the test error to be below 1.8e308, got {x}; rescale noise or target, or use digits="
        )
    return number
