r"""Break-even: where a test error equals another one, as when synthetic rows stop helping."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from sympy import Eq, Expr, Rational, Symbol

from collapse_theory.algebra.closed_roots import closed_roots
from collapse_theory.core.arguments import instance
from collapse_theory.core.attributes import Displayed
from collapse_theory.core.errors import DomainError, shown
from collapse_theory.core.numbers import real_values
from collapse_theory.derive.formula import ErrorFormula
from collapse_theory.numerics.arrays import broadcast_shape, float64_array
from collapse_theory.numerics.crossings import crossings
from collapse_theory.numerics.minimise import Curves, Interval
from collapse_theory.study.optimum import chosen_argument, ranges
from collapse_theory.study.search import Search
from collapse_theory.symbols import declared

if TYPE_CHECKING:
    from collapse_theory.describe.targets import Target
    from collapse_theory.numerics.measure import Spectra

__all__ = ["BreakEven", "break_even"]


@dataclass(frozen=True)
class BreakEven(Displayed):
    """Where a test error equals another one.

    Values are tuples for scalar arguments, nested tuples of the broadcast shape for arrays.

    Attributes:
        formula: The test error.
        over: The argument, by name.
        level: The error it is compared with: a number or an array, or a formula.
        value: Where the errors are equal and their difference changes its sign, ascending; relative error at most 1e-8. The
            argument of the comparison itself is not among them.
        below: The intervals in which the error is lower, ascending.
        at: The argument of the comparison, where the errors are one; NaN if it is not one of the argument.
    """

    formula: ErrorFormula
    over: str
    level: Any
    value: Any
    below: Any
    at: float

    @property
    def condition(self) -> Eq:
        """That the errors are equal."""
        if isinstance(self.level, ErrorFormula):
            level = self.level.expr
        else:
            level = declared("level") if np.ndim(self.level) else Rational(self.level)
        return Eq(self.formula.expr, level, evaluate=False)

    @cached_property
    def roots(self) -> tuple[Expr, ...]:
        """The solutions of the condition in closed form, where it has linear and quadratic factors in the argument."""
        found = closed_roots(self.condition.lhs - self.condition.rhs, self.formula.symbol(self.over))
        return tuple(e for e in found if not (e.is_number and float(e) == self.at))

    def __repr__(self) -> str:
        return f"BreakEven({self.formula.name}: {self.over} = {self.value})"


def break_even(
    err: ErrorFormula,
    over: str | Symbol,
    *,
    level: Any,
    spectrum: Spectra | None = None,
    target: Target | None = None,
    between: Any = None,
    **values: Any,
) -> BreakEven:
    r"""Return where a test error equals another one, over one argument.

    All crossings are found: between its stationary points, of which :mod:`collapse_theory.numerics.minimise` finds all, the
    difference of the two errors is monotone.

    Args:
        err: Any test error.
        over: The argument. A number of rows is treated as real.
        level: What the error is compared with: the same error at other arguments, a mapping such as ``{"k": 0}``; another
            formula, its symbols with the same values; or a number.
        spectrum: Eigenvalues of the input covariance.
        target: Energies of the true coefficients.
        between: The range, a pair ``(low, high)``, as in :func:`~collapse_theory.study.optimum.optimal_ridge`.
        **values: One value per other symbol of the two errors, by name; scalars or arrays that broadcast.

    Raises:
        DomainError: As in :func:`~collapse_theory.study.optimum.optimal_ridge`, or if the difference does not depend on the
            argument.

    >>> import collapse_theory as ct
    >>> err = ct.catalog["ols-replace"].error
    >>> found = err.break_even("T0", level=1.0, spectrum=ct.Isotropic(10), n=2, T=40, sigma=1.0, sigma0=1.0)
    >>> [round(x, 6) for x in found.value], [(round(a, 6), b) for a, b in found.below]
    ([41.526316], [(41.526316, inf)])
    """
    instance(err, ErrorFormula, "err", "derive one with ct.test_error(pipeline)", DomainError)
    x = chosen_argument(err, over, values)
    between = ranges(between, (x.name,))
    known: Any = np.nan
    if isinstance(level, Mapping):
        known = level.get(x.name, level.get(x, np.nan))
        level = err.subs(level)
    elif not isinstance(level, ErrorFormula):
        level = real_values(level, "level", what="a number, a mapping of arguments, or a formula")
        if level.size == 0 or not np.isfinite(level).all():
            raise DomainError(f"level needs to be finite numbers, got {shown(level)}; give an error that can be met")
    other = {y.name for y in level.free_symbols} - {x.name} if isinstance(level, ErrorFormula) else set[str]()
    own = {y.name for y in err.free_symbols}
    shape, flat, number = _flat(values, level)
    size = int(np.prod(shape))
    about = {"spectrum": spectrum, "target": target}
    first = _Side.of(err, x, about, between, {k: v for k, v in flat.items() if k in own or k not in other}, size)
    if not isinstance(level, ErrorFormula):
        second = _Side.constant(number, size)
    elif x in level.free_symbols:
        second = _Side.of(level, x, about, between, {k: v for k, v in flat.items() if k in other}, size)
    else:
        arguments: dict[str, Any] = {**about, **{k: v for k, v in flat.items() if k in other}}
        second = _Side.constant(level.evaluate(**arguments), size)
    curves = Curves(
        lambda y, index: first.error(y, index) - second.error(y, index),
        lambda y, index, *, rough: first.slope(y, index, rough=rough) - second.slope(y, index, rough=rough),
        size,
    )
    found = crossings(
        curves,
        _common(first.interval, second.interval),
        lambda y, index: np.abs(first.error(y, index)) + np.abs(second.error(y, index)),
        np.full(size, known),
    )
    if any(c.flat for c in found):
        raise DomainError(
            f"break_even needs errors whose difference depends on {x.name}, got a constant one; take another argument"
        )
    value, below = (_shaped([of(c) for c in found], shape) for of in (lambda c: c.zeros, lambda c: c.below))
    compared = level if isinstance(level, ErrorFormula) or level.ndim else level.item()
    return BreakEven(err, x.name, compared, value, below, float(known))


@dataclass(frozen=True)
class _Side:
    """One of the two errors at the points that were asked for.

    Attributes:
        place: The curve that each point is on.
        curves: The error over the argument and its slope; None where it does not depend on it.
        interval: The range of the argument at each point.
        value: The error where it is constant, shape (size,).
    """

    place: np.ndarray
    interval: Interval
    curves: Curves | None = None
    value: np.ndarray | None = None

    @classmethod
    def of(
        cls,
        formula: ErrorFormula,
        x: Symbol,
        about: Mapping[str, Any],
        between: Mapping[str, tuple[float, float]],
        values: Mapping[str, np.ndarray],
        size: int,
    ) -> _Side:
        """Return an error over the argument."""
        search = Search.of(formula, (formula.symbol(x),), about, between, values)
        curves, interval = search.along(0, np.empty((1, search.size)))
        place = np.broadcast_to(search.place, (size,))
        return cls(place, Interval(*(np.asarray(getattr(interval, f.name))[place] for f in fields(Interval))), curves)

    @classmethod
    def constant(cls, value: Any, size: int) -> _Side:
        """Return an error that does not depend on the argument."""
        infinite = np.full(size, np.inf)
        everything = Interval(-infinite, infinite, infinite > 0, infinite > 0, infinite)
        return cls(np.arange(size), everything, value=np.broadcast_to(np.asarray(value, dtype=float), (size,)))

    def error(self, y: np.ndarray, index: np.ndarray) -> np.ndarray:
        """Return the errors at arguments of the points at ``index``."""
        if self.value is not None:
            return self.value[index]
        assert self.curves is not None
        return self.curves.error(y, self.place[index])

    def slope(self, y: np.ndarray, index: np.ndarray, *, rough: bool) -> np.ndarray:
        """Return their slopes."""
        if self.curves is None:
            return np.zeros(index.size)
        return np.asarray(self.curves.slope(y, self.place[index], rough=rough))


def _flat(values: Mapping[str, Any], level: Any) -> tuple[tuple[int, ...], dict[str, np.ndarray], np.ndarray | None]:
    """Return the common shape, the values as scalars or one for each point, and the level likewise."""
    arrays = {name: float64_array(name, value) for name, value in values.items()}
    extra = {} if isinstance(level, ErrorFormula) else {"level": np.asarray(level)}
    shape = broadcast_shape({**arrays, **extra})
    flat = {name: a if a.ndim == 0 else np.broadcast_to(a, shape).ravel() for name, a in arrays.items()}
    return shape, flat, np.broadcast_to(extra["level"], shape).ravel() if extra else None


def _common(a: Interval, b: Interval) -> Interval:
    """Return where both errors are defined."""
    low, high = np.maximum(a.low, b.low), np.minimum(a.high, b.high)
    closed = ((x.low < low) | x.low_closed for x in (a, b))
    closed_above = ((x.high > high) | x.high_closed for x in (a, b))
    return Interval(low, high, np.logical_and(*closed), np.logical_and(*closed_above) & np.isfinite(high), a.unit)


def _shaped(found: list[Any], shape: tuple[int, ...]) -> Any:
    """Return results as nested tuples of a shape."""
    if not shape:
        return found[0]
    step = len(found) // shape[0]
    return tuple(_shaped(found[i * step : (i + 1) * step], shape[1:]) for i in range(shape[0]))
