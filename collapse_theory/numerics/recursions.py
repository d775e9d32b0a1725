"""Recursions over fits as steps of a plan: which arrays go where, in any arithmetic with arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Protocol

import mpmath
import numpy as np
from sympy import MatrixExpr, Symbol

from collapse_theory.core.errors import DomainError
from collapse_theory.derive.pooled import PooledSystem
from collapse_theory.describe.spectra import Eigenvalues
from collapse_theory.engine.equivalent import DeterministicEquivalent, deterministic_equivalent
from collapse_theory.numerics.equivalent_values import solve_equivalent
from collapse_theory.numerics.jets import Jet, value_of
from collapse_theory.numerics.measure import Measure
from collapse_theory.numerics.network import PipelineEquivalent
from collapse_theory.numerics.reals import FLOAT64, MultiPrecision, Reals
from collapse_theory.symbols import d as dimension
from collapse_theory.symbols import ordered

__all__ = ["FixedPoint", "Rule", "Tangent", "Verified"]


class Rule(Protocol):
    """A recursion: data, so that a plan pickles."""

    @property
    def checked(self) -> bool:
        """Whether it knows its own error and limits."""
        return False

    def run(self, measure: Any, arguments: Sequence[Any]) -> tuple[Any, ...]:
        """Return one value per name; arguments are scalars or columns of shape (n, 1)."""


@dataclass(frozen=True)
class Tangent:
    """The derivative of a recursion along given slopes of its arguments.

    Attributes:
        rule: The recursion.
        moving: Places of the arguments that have a slope.
    """

    rule: Rule
    moving: tuple[int, ...]

    @property
    def checked(self) -> bool:
        """As the recursion itself."""
        return self.rule.checked

    def run(self, measure: Measure, arguments: Sequence[Any]) -> tuple[Any, Any]:
        """Return the slopes of bias and variance; arguments are all values, then the slopes of the moving ones."""
        count = len(arguments) - len(self.moving)
        slopes = dict(zip(self.moving, arguments[count:], strict=True))
        jets = [Jet(x, slopes[i]) if i in slopes else x for i, x in enumerate(arguments[:count])]
        bias, variance = (x.slope if isinstance(x, Jet) else 0 * x for x in self.rule.run(measure, jets))
        return bias, variance


@dataclass(frozen=True)
class FixedPoint:
    """The operator-valued fixed point of a system of pooled fits, component by component."""

    system: PooledSystem
    checked: ClassVar[bool] = True

    @property
    def symbols(self) -> tuple[Symbol, ...]:
        """The arguments of :meth:`run`, in order."""
        return _equivalent(self.system).symbols

    def run(self, measure: Measure, arguments: Sequence[Any]) -> tuple[Any, Any]:
        """Return bias and variance of the last fit, one point after the other; in the numbers of the measure."""
        measure = measure.over(self.system.covariances)
        entry = next(iter(measure.values.values()))[0]
        if isinstance(entry, mpmath.ctx_mp_python._mpf):
            return self._exact(MultiPrecision(entry.context), measure, arguments)
        moving = [isinstance(x, Jet) for x in arguments]
        numbers = [value_of(x) for x in arguments] + [x.slope for x in arguments if isinstance(x, Jet)]
        columns = np.broadcast_arrays(*(np.asarray(x, dtype=float) for x in numbers), np.zeros(()))[:-1]
        with np.errstate(all="ignore"):  # it checks its own numbers
            return self._points(measure, columns, moving)

    def _points(self, measure: Measure, columns: Any, moving: list[bool]) -> tuple[Any, Any]:
        shape = columns[0].shape if columns else ()
        out = np.empty((2, *shape))
        names = self.symbols
        for i in np.ndindex(shape):
            point = {x: float(c[i]) for x, c in zip(names, columns[: len(names)], strict=True)}
            equivalent = self._seen(FLOAT64, measure, point, differentiated=any(moving))
            if any(moving):
                slopes = (float(c[i]) for c in columns[len(names) :])
                direction = {x: next(slopes) for x, moves in zip(names, moving, strict=True) if moves}
                out[(slice(None), *i)] = equivalent.slope(measure, point, direction)
            else:
                error = equivalent.evaluate(measure, point)
                out[(slice(None), *i)] = error.bias, error.noise
        bias, variance = out.reshape(2, -1) if shape else out
        return (Jet(0, bias), Jet(0, variance)) if any(moving) else (bias, variance)

    def _seen(
        self, reals: Reals, measure: Measure, point: Mapping[Symbol, Any], *, differentiated: bool
    ) -> PipelineEquivalent:
        """Return the equivalent without the designs whose weight is zero at a point: no fit sees their rows.

        Raises:
            DomainError: If all weights of a fit vanish, or one is to be differentiated there.
        """
        weights = tuple({x.weight: None for f in self.system.fits for x in f.designs if x.weight.free_symbols})
        if not weights:
            return _equivalent(self.system)
        values = reals.evaluate(weights, {dimension: reals.array(measure.dimension)[()], **point})
        unseen = frozenset(e for e, value in zip(weights, values, strict=True) if value == 0)
        if not unseen:
            return _equivalent(self.system)
        if differentiated:
            raise DomainError(
                "a derivative needs samples of positive row weight, got weight 0, where the design changes; "
                "take it at a small weight"
            )
        return _equivalent(self.system.without(unseen))

    def _exact(self, reals: MultiPrecision, measure: Measure, arguments: Sequence[Any]) -> tuple[Any, Any]:
        point = dict(zip(self.symbols, map(value_of, arguments), strict=True))
        direction = {x: a.slope for x, a in zip(self.symbols, arguments, strict=True) if isinstance(a, Jet)}
        equivalent = self._seen(reals, measure, point, differentiated=bool(direction))
        if direction:
            bias, variance = equivalent.exact_slope(reals, measure, point, direction)
            return Jet(0, bias), Jet(0, variance)
        exact = equivalent.solve(reals, measure, point)
        return exact.bias, exact.noise


@dataclass(frozen=True)
class Verified:
    """The check that a matrix expression has a deterministic equivalent, as a recursion that returns one or raises."""

    expression: MatrixExpr
    checked: ClassVar[bool] = False

    @property
    def symbols(self) -> tuple[Symbol, ...]:
        """The arguments of :meth:`run`, in order."""
        return ordered(_expression(self.expression).symbols.values())

    @property
    def covariances(self) -> tuple[str, ...]:
        """Names of the covariances whose eigenvalues the check needs."""
        return tuple(sorted(name for names in _expression(self.expression).pencil.families.values() for name in names))

    def run(self, measure: Measure | None, arguments: Sequence[Any]) -> tuple[Any]:
        """Return one for each point.

        Raises:
            DomainError: If there is no equivalent at a point.
            ConvergenceError: If that cannot be told.
        """
        equivalent = _expression(self.expression)
        spectra = {} if measure is None else {
            name: Eigenvalues(np.repeat(measure.at(name).astype(float), measure.counts)) for name in self.covariances
        }  # fmt: skip
        columns = np.broadcast_arrays(*(np.asarray(x, dtype=float).ravel() for x in arguments), np.zeros(1))[:-1]
        with np.errstate(all="ignore"):  # it checks its own numbers
            for point in zip(*columns, strict=True) if columns else [()]:
                solve_equivalent(
                    equivalent, spectra, **{x.name: float(v) for x, v in zip(self.symbols, point, strict=True)}
                )
        return (1.0,)


@lru_cache(maxsize=32)
def _expression(expression: MatrixExpr) -> DeterministicEquivalent:
    return deterministic_equivalent(expression)


@lru_cache(maxsize=32)
def _equivalent(system: PooledSystem) -> PipelineEquivalent:
    return PipelineEquivalent(system)
