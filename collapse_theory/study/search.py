"""A formula as a curve, or a landscape, over some of its arguments, at many values of the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from sympy import Eq, Ge, Gt, Le, Lt, Symbol
from sympy.logic.boolalg import Boolean

from collapse_theory.core.errors import DomainError, shown
from collapse_theory.core.numbers import real_values
from collapse_theory.derive.formula import ErrorFormula
from collapse_theory.derive.pooled_scalars import PipelineScalar
from collapse_theory.numerics.arrays import broadcast_shape
from collapse_theory.numerics.compiled import numeric_function
from collapse_theory.numerics.measure import Measure
from collapse_theory.numerics.minimise import Curves, Interval
from collapse_theory.numerics.predictor import Predictor
from collapse_theory.symbols import ordered, p1, p2, w

__all__ = ["Search", "pair"]

_SHARES = frozenset(x.name for x in (w, p1, p2))
_CHECKED = np.geomspace(1e-8, 1e8, 17)
_ROUND_LOW, _ROUND_HIGH = 2.0**-100, 2.0**-50  # of a range: next to its ends
_RELATIONS = {Ge: (1, True), Gt: (1, False), Le: (-1, True), Lt: (-1, False)}


@dataclass(frozen=True)
class Search:
    """A formula over some of its arguments.

    Attributes:
        formula: The test error.
        over: The arguments.
        error: The error as a function.
        slopes: Its exact derivatives.
        values: The other arguments, of shape () or (size,); no point occurs twice.
        shape: The shape of the arguments as they were given.
        place: The point that each given one is.
        size: The number of points.
        between: Ranges by name, where they are given.
    """

    formula: ErrorFormula
    over: tuple[Symbol, ...]
    error: Predictor
    slopes: tuple[Predictor, ...]
    values: Mapping[Symbol, np.ndarray]
    shape: tuple[int, ...]
    place: np.ndarray
    size: int
    between: Mapping[str, tuple[float, float]]

    @classmethod
    def of(
        cls,
        formula: ErrorFormula,
        over: tuple[Symbol, ...],
        about: Mapping[str, Any],
        between: Mapping[str, tuple[float, float]],
        values: Mapping[str, Any],
    ) -> Search:
        """Bind a formula.

        Args:
            formula: The test error.
            over: The arguments.
            about: Spectrum and target.
            between: Ranges by name.
            values: All other arguments.

        Raises:
            DomainError: If a value is missing, unknown, or out of range.
        """
        error = formula.compile(**about)
        slopes = tuple(formula.diff(x).compile(**about) for x in over)
        arrays = error.arrays({**values, **{x.name: 1.0 for x in over}})
        arrays = {x: a for x, a in arrays.items() if x not in over}
        shape = broadcast_shape({x.name: a for x, a in arrays.items()})
        size = int(np.prod(shape))
        if size == 0:
            raise DomainError(f"arguments need at least one point, got shape {shape}; give values")
        flat = {x: a if a.ndim == 0 else np.broadcast_to(a, shape).ravel() for x, a in arrays.items()}
        varying = [x for x, a in flat.items() if a.ndim]
        place = np.zeros(size, dtype=int)
        if varying:
            rows = np.stack([flat[x] for x in varying], axis=1)
            _, first, place = np.unique(rows, axis=0, return_index=True, return_inverse=True)
            flat |= {x: flat[x][first] for x in varying}
            size = first.size
        return cls(formula, over, error, slopes, flat, shape, place.ravel(), size, between)

    @property
    def count(self) -> int:
        """The number of arguments."""
        return len(self.over)

    def spread(self, found: np.ndarray) -> Any:
        """Return results as they were asked for: a scalar, or an array of the given shape; leading axes stay."""
        out = found[..., self.place].reshape((*found.shape[:-1], *self.shape))
        return out[()] if out.ndim else out.item()

    # ------------------------------------------------------------------ curves
    def along(self, k: int, x: np.ndarray) -> tuple[Curves, Interval]:
        """Return the curves of one argument, the others held at ``x``, and its range; conditions are checked on it."""
        others = {**self.values, **{y: x[i] for i, y in enumerate(self.over) if i != k}}

        def at(y: np.ndarray, index: np.ndarray) -> dict[Symbol, np.ndarray]:
            return {s: a if a.ndim == 0 else a[index] for s, a in others.items()} | {self.over[k]: y}

        def error(y: np.ndarray, index: np.ndarray) -> np.ndarray:
            return self.error.total(at(y, index), index.size)

        interval = self.interval_of(self.over[k], others)

        def slope(y: np.ndarray, index: np.ndarray, *, rough: bool) -> np.ndarray:
            return self.slopes[k].total(at(self._seen(k, y, interval, index), index), index.size, rough=rough)

        index = np.repeat(np.arange(self.size), _CHECKED.size)
        inside = interval.place(np.tile(_CHECKED, self.size), index)
        self.error.check(at(inside, index) | self.error.numbers, np.zeros(()))
        return Curves(error, slope, self.size), interval

    def interval(self, k: int, x: np.ndarray) -> Interval:
        """Return the range of one argument, the others held at ``x``."""
        return self.interval_of(self.over[k], {**self.values, **dict(zip(self.over, x, strict=True))})

    def error_at(self, x: np.ndarray) -> np.ndarray:
        """Return the errors at arguments of shape (arguments, points)."""
        return self.error.total({**self.values, **dict(zip(self.over, x, strict=True))}, self.size)

    def gradient(self, x: np.ndarray, *, rough: bool) -> np.ndarray:
        """Return the gradients, shape (arguments, points); ``rough`` may lose digits to round-off."""
        flat, everywhere = {**self.values, **dict(zip(self.over, x, strict=True))}, np.arange(self.size)
        for k, symbol in enumerate(self.over):
            flat[symbol] = self._seen(k, x[k], self.interval(k, x), everywhere)
        return np.stack([s.total(flat, self.size, rough=rough) for s in self.slopes])

    def _seen(self, k: int, y: np.ndarray, interval: Interval, index: np.ndarray) -> np.ndarray:
        """Return arguments that weight rows away from the ends of their range: where rows are not seen there is no slope."""
        if self.over[k] not in self._weighting:
            return y
        low, high = interval.low[index], interval.high[index]
        width = np.where(np.isfinite(high), high - low, interval.unit[index])
        return np.clip(y, low + _ROUND_LOW * width, high - _ROUND_HIGH * np.where(np.isfinite(high), width, 0.0))

    @cached_property
    def _weighting(self) -> frozenset[Symbol]:
        """The symbols in the row weights of fits that share inputs."""
        scalars = set[PipelineScalar]().union(*(e.atoms(PipelineScalar) for e in self.formula.parts.values()))
        designs = (design for scalar in scalars for fit in scalar.system.fits for design in fit.designs)
        return frozenset[Symbol]().union(*(design.weight.free_symbols for design in designs))

    # ------------------------------------------------------------------ ranges
    def interval_of(self, x: Symbol, others: Mapping[Symbol, np.ndarray]) -> Interval:
        """Return what the symbol's assumptions, the conditions and ``between`` allow, one interval per point.

        Args:
            x: The symbol, of ``over`` or another.
            others: Values of the symbols that share a condition with it.

        Raises:
            DomainError: If nothing is left, or there is no lower end.
        """
        full = np.ones(self.size)
        low, high = np.full(self.size, -np.inf), np.inf * full
        low_closed, high_closed = full > 0, full > 0
        if x.is_nonnegative:
            low, low_closed = 0 * full, low_closed & (not x.is_positive)
        if x.name in _SHARES:
            high = full
        for condition in self.formula.conditions:
            if x in condition.free_symbols:
                side, closed, bound = _bound(x, condition, {**others, **self.error.numbers}, self.formula.name)
                if side > 0:
                    low, low_closed = np.maximum(low, bound), np.where(bound >= low, closed, low_closed)
                elif side < 0:
                    high, high_closed = np.minimum(high, bound), np.where(bound <= high, closed, high_closed)
        if x.name in self.between:
            a, b = self.between[x.name]
            low_closed, high_closed = low_closed | (a > low), high_closed | (b < high)
            low, high = np.maximum(low, a), np.minimum(high, b)
        if not np.isfinite(low).all():
            raise DomainError(f"{x.name} has no lower end; give its range as between=(low, high)")
        if (low >= high).any():
            i = int(np.flatnonzero(low >= high)[0])
            raise DomainError(
                f"{self.formula.name} leaves no range for {x.name}: it needs to be >= {low[i]:g} and <= {high[i]:g}; "
                "change the other arguments, or between="
            )
        unit = np.where(low > 0, low, full if x.is_positive else self._mean_eigenvalue())
        return Interval(low, high, low_closed, high_closed & np.isfinite(high), unit)

    def _mean_eigenvalue(self) -> float:
        spectrum = self.error.spectrum
        if spectrum is None:
            return 1.0
        main = next(iter(spectrum.values())) if isinstance(spectrum, Mapping) else spectrum
        measure = Measure.of(main, None)
        if measure.rank == np.inf:  # the mean is zero
            return float(measure.nodes.max())
        return float(measure.trace(measure.nodes) / measure.rank)


def _bound(
    x: Symbol, condition: Boolean, values: Mapping[Symbol, np.ndarray], name: str
) -> tuple[int, bool, np.ndarray]:
    """Return on which side a condition bounds an argument, whether the end belongs to it, and the end; side 0 if not linear."""
    if isinstance(condition, Eq):
        raise DomainError(f"{name} ties {x.name} to other arguments by {condition}; substitute it with err.subs first")
    difference = condition.lhs - condition.rhs
    slope = difference.diff(x)
    if type(condition) not in _RELATIONS or slope.has(x):
        return 0, False, np.zeros(())
    side, closed = _RELATIONS[type(condition)]
    expressions = (slope, difference.subs(x, 0))
    found = ordered(set().union(*(e.free_symbols for e in expressions)))
    a, b = (
        np.asarray(numeric_function(found, e, modules="numpy")(*(values[s] for s in found)), dtype=float)
        for e in expressions
    )
    if (a > 0).all() or (a < 0).all():
        return side * (1 if (a > 0).all() else -1), closed, -b / a
    return 0, False, np.zeros(())


def pair(value: Any, name: str) -> tuple[float, float]:
    """Return a range.

    Raises:
        DomainError: If it is not a pair of numbers in order.
    """
    ends = real_values(value, name, what="a pair (low, high)").ravel()
    if ends.size != 2 or not ends[0] < ends[1]:
        raise DomainError(f"{name} needs to be a pair (low, high) with low < high, got {shown(value)}; write (0, 1)")
    return float(ends[0]), float(ends[1])
