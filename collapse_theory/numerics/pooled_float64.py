r"""Systems of pooled fits in float64, with a known error.

The recursion runs on the same problem written in several units of the covariances, and in all but the first every trace and
every effective ridge is off by a few random units of round-off. Exactly, the results agree; their spread measures the
rounding errors, whatever their cause. Where it is too large the recursion runs again in mpmath, with more digits until two
precisions agree. The same holds for slopes, which run in dual numbers.

Source: Vignes, Discrete stochastic arithmetic for validating results of numerical software, Numerical Algorithms 2004.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from mpmath.libmp import dps_to_prec
from sympy import Symbol

from collapse_theory.core.errors import ConvergenceError, DomainError
from collapse_theory.core.precision import private_context
from collapse_theory.derive.pooled import PooledSystem
from collapse_theory.numerics.digits import Digits
from collapse_theory.numerics.dual import Dual
from collapse_theory.numerics.jets import Jet
from collapse_theory.numerics.measure import Measure
from collapse_theory.numerics.network import PipelineEquivalent
from collapse_theory.numerics.pooled_batch import has_one_ridge_each, pooled_batch
from collapse_theory.numerics.pooled_point import terms, visible
from collapse_theory.numerics.reals import Float64
from collapse_theory.numerics.resolvents import Resolvent
from collapse_theory.numerics.solved_fits import FitNumbers, float64_resolvent

__all__ = ["PooledFloat64", "PooledValues", "pooled_points", "pooled_values"]

_UNITS = (1.0, 1.3720911, 0.7318853)  # of the covariances; the first is exact, the others round everything anew
_NUDGES = (0, 3, -3)  # units of round-off by which equations and traces are off
_ACCEPTED = 1e-12  # largest spread over the units at which float64 is believed
_ACCEPTED_SLOPE = 1e-10
_AGREED = 1e-15  # of two precisions
_DIGITS = (40, 90, 190, 400)


class PooledFloat64(Float64):
    """float64 with the effective ridges of fits."""

    def resolvent(self, fit: FitNumbers, unit: float, nudge: int = 0) -> Resolvent:
        """Return the effective ridges of one fit."""
        return float64_resolvent(fit, unit, nudge)


_FLOAT64 = PooledFloat64()


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
    """Return bias and variance, or their slopes along a direction, one point after the other.

    Args:
        system: The pooled fits.
        measure: Eigenvalues, counts and energies.
        values: Values of the system's symbols, each a float or an array with one entry for each point.
        direction: Derivative of each value that moves, alike.
        rough: Whether to solve once, in float64, and to take what comes out; NaN where nothing does.
    """
    measure = measure.over(system.covariances)
    columns: Any = np.broadcast_arrays(
        *(np.asarray(x, dtype=float) for x in (*values.values(), *direction.values())), np.zeros(())
    )[:-1]
    shape = columns[0].shape if columns else ()
    out = np.full((2, *shape), np.nan)
    with np.errstate(all="ignore"):  # it checks its own numbers
        if columns and np.prod(shape) > 0 and has_one_ridge_each(system, measure):
            flat = [np.ravel(c)[:, None] for c in columns]
            points = dict(zip(values, flat, strict=False))
            along = dict(zip(direction, flat[len(values) :], strict=True))
            out = _together(system, measure, points, along, rough=rough).reshape(2, *shape)
        for at in np.argwhere(np.isnan(out[0])):
            i = tuple(at)
            numbers = [float(c[i]) for c in columns]
            point = dict(zip(values, numbers, strict=False))
            along = dict(zip(direction, numbers[len(point) :], strict=True))
            equivalent = visible(system, _FLOAT64, measure, point, along)
            if rough:
                out[(slice(None), *i)] = _once(equivalent, measure, point, along)
                continue
            found = pooled_values(equivalent, measure, point, along)
            out[(slice(None), *i)] = found.bias, found.variance
    return out[0], out[1]


def _once(
    equivalent: PipelineEquivalent, measure: Measure, values: Mapping[Symbol, float], direction: Mapping[Symbol, float]
) -> tuple[float, float]:
    """Return bias and variance, or their slopes, from one run in float64 whose error is not known."""
    moving = {x: v for x, v in direction.items() if v != 0}
    if direction and not moving:
        return 0.0, 0.0
    try:
        bias, noise = terms(equivalent, _FLOAT64, measure, values, moving, units=_units(equivalent, measure)[:1])
    except ConvergenceError:
        return np.nan, np.nan
    return float(bias[0]), float(noise[0])


def _together(
    system: PooledSystem,
    measure: Measure,
    values: Mapping[Symbol, Any],
    direction: Mapping[Symbol, Any],
    *,
    rough: bool,
) -> np.ndarray:
    """Return bias and variance of many points, or their slopes; not a number where they have to be solved one by one."""
    weights = tuple({x.weight: None for f in system.fits for x in f.designs if x.weight.free_symbols})
    size = max((len(v) for v in values.values()), default=1)
    if np.min([np.min(w) for w in _FLOAT64.evaluate(weights, values)], initial=1.0) <= 0:
        return np.full((2, size), np.nan)
    units, nudges = np.array(_UNITS)[: 1 if rough else None], np.array(_NUDGES)[: 1 if rough else None]
    units = units * np.ldexp(1.0, -np.frexp(measure.nodes.max())[1])
    numbers: Any = Dual(_FLOAT64) if direction else _FLOAT64
    each = {x: np.tile(v, (len(units), 1)) for x, v in values.items()}
    moving = {x: Jet(each[x], np.tile(v, (len(units), 1))) for x, v in direction.items()}
    unit, nudge = np.repeat(units, size)[:, None], np.repeat(nudges, size)[:, None]
    parts = pooled_batch(system, numbers, measure, {**each, **moving}, unit, nudge)
    if direction:
        parts = tuple(x.slope if isinstance(x, Jet) else 0 * x for x in parts)
    found = np.stack([np.broadcast_to(x, unit.shape).reshape(len(units), size) for x in parts], axis=1)
    exact = found[0]
    spread, scale = np.abs(found - exact).max(axis=0), np.abs(exact)
    believed = spread <= (_ACCEPTED_SLOPE if direction else _ACCEPTED) * scale
    believed &= np.isfinite(found).all(axis=0) & (True if direction else (found >= 0).all(axis=0))
    return np.where(believed.all(axis=0), exact, np.nan)


def pooled_values(
    equivalent: PipelineEquivalent,
    measure: Measure,
    values: Mapping[Symbol, float],
    direction: Mapping[Symbol, float] | None = None,
) -> PooledValues:
    """Return bias and variance with a relative error of at most about 1e-12 (slopes: 1e-10), which is estimated.

    Args:
        equivalent: The structure of the pooled fits.
        measure: Eigenvalues of every covariance in the common basis, and energies of the target.
        values: Values of the system's symbols.
        direction: Derivative of each value that moves; where given, the slopes along it are returned.

    Raises:
        DomainError: At a threshold without ridge, or if the result is beyond the range of float64.
        ConvergenceError: If an equation is not solved, or two precisions do not agree (with the figures).

    >>> from collapse_theory import workflows
    >>> from collapse_theory.describe.pipeline import Stage
    >>> from collapse_theory.derive.pooled import pooled_system
    >>> pipe = workflows.accumulate(2, Stage(T=90, noise=0.4, ridge=0.05))
    >>> measure = Measure({"Sigma": np.ones(1)}, np.array([100]), energies=np.ones(1))
    >>> found = pooled_values(PipelineEquivalent(pooled_system(pipe)), measure, {})
    >>> round(found.bias + found.variance, 6), found.error < 1e-13
    (0.491749, True)
    """
    moving = {x: v for x, v in (direction or {}).items() if v != 0}
    if direction and not moving:
        return PooledValues(0.0, 0.0, 0.0)
    error: float | None = None
    try:
        with np.errstate(all="ignore"):
            found = np.array(
                terms(
                    equivalent,
                    _FLOAT64,
                    measure,
                    values,
                    moving,
                    units=_units(equivalent, measure),
                    nudges=_NUDGES,
                )
            )
        error = _spread(found, signed=bool(moving))
    except ConvergenceError:
        pass  # float64 cannot even solve it
    if error is not None and error <= (_ACCEPTED_SLOPE if moving else _ACCEPTED):
        return PooledValues(float(found[0, 0]), float(found[1, 0]), error)
    return _extended(equivalent, measure, values, moving, error)


def _units(equivalent: PipelineEquivalent, measure: Measure) -> list[float]:
    """Return the units of the covariances, the first a power of two that brings the largest eigenvalue near one."""
    tops = [measure.at(x.covariance).max() for f in equivalent.system.fits for x in f.designs]
    exponent = -np.frexp(max(tops))[1]
    return [float(np.ldexp(u, exponent)) for u in _UNITS]


def _spread(found: np.ndarray, *, signed: bool) -> float:
    """Return the relative spread over the units of the less accurate term; infinite if a term is no number of its kind."""
    if not (np.isfinite(found).all() and (signed or (found >= 0).all())):
        return np.inf
    spread, size = np.abs(found - found[:, :1]).max(axis=1), np.abs(found[:, 0])
    return float(np.max(np.divide(spread, size, out=np.where(spread > 0, np.inf, 0.0), where=size > 0)))


def _extended(
    equivalent: PipelineEquivalent,
    measure: Measure,
    values: Mapping[Symbol, float],
    direction: Mapping[Symbol, float],
    float64_error: float | None,
) -> PooledValues:
    before: tuple[Any, Any] | None = None
    error = np.inf
    for digits in _DIGITS:
        numbers = Digits(private_context(dps_to_prec(digits)))
        exact = measure.mapped(numbers.array)
        given, along = ({x: numbers.number(v) for x, v in each.items()} for each in (values, direction))
        try:
            bias, noise = terms(equivalent, numbers, exact, given, along)
        except ConvergenceError:
            if digits == _DIGITS[-1]:
                raise
            continue
        now = bias[0], noise[0]
        if before is not None:
            error = max(_distance(a, b) for a, b in zip(now, before, strict=True))
            if error <= _AGREED:
                return PooledValues(_nearest(now[0]), _nearest(now[1]), error, extended=True)
        before = now
    what = "derivative of the test error" if direction else "test error"
    first = "no solution" if float64_error is None else f"a relative spread of {float64_error:.1e}"
    raise ConvergenceError(
        f"the {what} did not settle: {first} in float64, {error:.1e} between {_DIGITS[-2]} and {_DIGITS[-1]} digits; "
        "give a larger ridge, or rows further from the rank"
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
