"""Systems of pooled fits at one point, in any numbers: values, and slopes in dual numbers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

from sympy import Expr, Symbol

from collapse_theory.core.errors import DomainError
from collapse_theory.derive.pooled import PooledSystem
from collapse_theory.numerics.dual import Dual
from collapse_theory.numerics.jets import Jet
from collapse_theory.numerics.measure import Measure
from collapse_theory.numerics.network import Numbers, PipelineEquivalent
from collapse_theory.symbols import d as dimension

__all__ = ["pooled_terms", "terms", "visible", "without_unseen"]


def pooled_terms(
    numbers: Numbers,
    system: PooledSystem,
    measure: Measure,
    values: Mapping[Symbol, Any],
    direction: Mapping[Symbol, Any],
) -> tuple[Any, Any]:
    """Return bias and variance of the last fit of a system, or their slopes along a direction where one is given.

    Args:
        numbers: The numbers of everything else.
        system: The pooled fits.
        measure: Eigenvalues, counts and energies.
        values: Values of the system's symbols.
        direction: Derivative of each value that moves.
    """
    measure = measure.over(system.covariances)
    equivalent = visible(system, numbers, measure, values, direction)
    return terms(equivalent, numbers, measure, values, direction)


def terms(
    equivalent: PipelineEquivalent,
    numbers: Numbers,
    measure: Measure,
    values: Mapping[Symbol, Any],
    direction: Mapping[Symbol, Any],
    unit: Any = 1,
) -> tuple[Any, Any]:
    """Return bias and variance, or their slopes, where ridges are measured in a unit."""
    moving = {x: Jet(values[x], v) for x, v in direction.items()}
    found = equivalent.solve(Dual(numbers) if moving else numbers, measure, {**values, **moving}, unit)
    bias, noise = found.bias, found.noise + 0 * found.bias
    if not moving:
        return bias, noise
    bias, noise = (x if isinstance(x, Jet) else Jet(x, 0 * x) for x in (bias, noise))
    return bias.slope + 0 * bias.value, noise.slope + 0 * noise.value


def visible(
    system: PooledSystem,
    numbers: Numbers,
    measure: Measure,
    values: Mapping[Symbol, Any],
    direction: Mapping[Symbol, Any],
) -> PipelineEquivalent:
    """Return the equivalent without the designs whose weight is zero at a point: no fit sees their rows.

    Raises:
        DomainError: If all weights of a fit vanish, or one is to be differentiated there.
    """
    weights = tuple({x.weight: None for f in system.fits for x in f.designs if x.weight.free_symbols})
    if not weights:
        return _equivalent(system)
    sizes = numbers.evaluate(weights, {dimension: numbers.array(measure.dimension)[()], **values})
    unseen = frozenset(e for e, size in zip(weights, sizes, strict=True) if size == 0)
    if not unseen:
        return _equivalent(system)
    return _equivalent(without_unseen(system, unseen, [x for x, v in direction.items() if v != 0]))


def without_unseen(system: PooledSystem, unseen: Collection[Expr], moving: Collection[Symbol]) -> PooledSystem:
    """Return the system without the designs whose weights are zero.

    Raises:
        DomainError: If all weights of a fit vanish, or one of them moves.
    """
    if any(x in e.free_symbols for e in unseen for x in moving):
        raise DomainError(
            "a derivative needs samples of positive row weight, got weight 0, where the design changes; "
            "take it at a small weight"
        )
    return system.without(unseen)


@lru_cache(maxsize=32)
def _equivalent(system: PooledSystem) -> PipelineEquivalent:
    return PipelineEquivalent(system)
