r"""The optimal ridge, or any other argument: where a test error is least, what it is there, and what correcting was worth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from sympy import Eq, Expr, Symbol

from collapse_theory.algebra.closed_roots import closed_roots
from collapse_theory.core.arguments import instance
from collapse_theory.core.attributes import Displayed
from collapse_theory.core.errors import DomainError, shown
from collapse_theory.derive.clean import clean_counterpart
from collapse_theory.derive.formula import ErrorFormula
from collapse_theory.numerics.joint_minimum import minimise_jointly
from collapse_theory.numerics.minimise import minimise
from collapse_theory.study.search import Search, pair
from collapse_theory.symbols import n as generations

if TYPE_CHECKING:
    from collapse_theory.describe.targets import Target
    from collapse_theory.numerics.measure import Spectra

__all__ = ["Optimum", "chosen_argument", "optimal_ridge", "ranges"]


_QUOTIENT = 2.0**-12  # of the argument: the central quotient of an exact slope, good to its square


@dataclass(frozen=True)
class Optimum(Displayed):
    r"""Where a test error is least.

    Values are floats for scalar arguments, else arrays of the broadcast shape; a mapping by name if several arguments were
    optimised. The clean counterpart is the same fit labelled by the truth; where there is none, or it does not depend on
    the argument, or several arguments were optimised, what refers to it is None.

    Attributes:
        formula: The test error.
        over: The arguments that were optimised, by name.
        value: The minimiser, relative error at most 1e-8.
        error: The least error.
        stationary: Whether the derivative vanishes there; otherwise the minimum is at an end that belongs to the range.
        minima: All local minima between the ends, ascending; nested tuples for arrays. Of one argument only.
    """

    formula: ErrorFormula
    over: tuple[str, ...]
    value: Any
    error: Any
    stationary: Any
    minima: Any
    asked: _Question

    @cached_property
    def condition(self) -> Any:
        r"""The stationarity condition :math:`\partial E/\partial x=0`, derived; a tuple for several arguments."""
        found = tuple(Eq(self.formula.diff(name).expr, 0, evaluate=False) for name in self.over)
        return found[0] if len(found) == 1 else found

    @cached_property
    def roots(self) -> tuple[Expr, ...]:
        """The solutions of the condition in closed form, where it has linear and quadratic factors in the one argument."""
        return closed_roots(self.condition.lhs, self.formula.symbol(self.over[0])) if len(self.over) == 1 else ()

    @property
    def clean_value(self) -> Any:
        """The minimiser of the clean error; where that keeps falling to an end, the end."""
        return None if self._clean is None else self._clean[1]

    @property
    def clean_error(self) -> Any:
        """The least clean error."""
        return None if self._clean is None else self._clean[2]

    @cached_property
    def excess(self) -> Any:
        """What not correcting costs: the error at ``clean_value`` minus the least error; NaN if that is infinite."""
        if self._clean is None:
            return None
        x, known = np.asarray(self._clean[1]), np.isfinite(self._clean[1])
        there = {self.over[0]: np.where(known, x, self.value)}
        error = self.formula.evaluate(**{**self.asked.about, **self.asked.values, **there})
        return _plain(np.where(known, np.maximum(error - self.error, 0), np.nan))

    @cached_property
    def correction(self) -> Expr | None:
        r"""The first-order correction of the clean optimum, :math:`-\partial_xE/\partial_x^2E_0`, as a formula.

        :math:`E_0` is the clean error; both derivatives are taken where :math:`\partial_xE_0=0`, so that the numerator is the
        slope of what synthetic data add. None where the clean error has no written second derivative, as that of weighted
        rows; :attr:`first_order` is there all the same.
        """
        bend = self._bend
        return None if bend is None else -self.formula.diff(self.over[0]).expr / bend.expr

    @cached_property
    def first_order(self) -> Any:
        """The clean optimum plus the first-order correction there; NaN where the clean error is least at an end."""
        if self._clean is None:
            return None
        _, x, _, inside = self._clean
        name, about, values = self.over[0], self.asked.about, self.asked.values
        there = np.where(inside, x, self.value)
        at: dict[str, Any] = {**about, **values, name: there}
        slope = self.formula.diff(name).evaluate(**at)
        with np.errstate(divide="ignore", invalid="ignore"):
            return _plain(np.where(inside, x - slope / self._curvature(there), np.nan))

    def _curvature(self, x: np.ndarray) -> Any:
        """Return the second derivative of the clean error; where it is not written out, a difference quotient of the first."""
        assert self._clean is not None
        name, about = self.over[0], self.asked.about
        bend, clean = self._bend, self._clean[0].diff(self.over[0])
        known: dict[str, Any] = {**about, **_known(bend or clean, self.asked.values)}
        if bend is not None:
            return bend.evaluate(**{**known, name: x})
        right, left = (clean.evaluate(**{**known, name: x * (1 + h)}) for h in (_QUOTIENT, -_QUOTIENT))
        return (right - left) / (2 * _QUOTIENT * x)

    @cached_property
    def _bend(self) -> ErrorFormula | None:
        """The second derivative of the clean error; None where that is not written out."""
        if self._clean is None:
            return None
        try:
            return self._clean[0].diff(self.over[0]).diff(self.over[0])
        except DomainError:
            return None

    @cached_property
    def _clean(self) -> tuple[ErrorFormula, Any, Any, Any] | None:
        """The clean error, its minimiser, its least value, and whether it is stationary there."""
        if len(self.over) > 1:
            return None
        formula = clean_counterpart(self.formula, self.asked.values.get(generations.name))
        if formula is None or self.over[0] not in {x.name for x in formula.free_symbols}:
            return None
        symbol = (formula.symbol(self.over[0]),)
        search = Search.of(formula, symbol, self.asked.about, self.asked.between, _known(formula, self.asked.values))
        found = minimise(*search.along(0, np.empty((1, search.size))))
        if found.flat.any():
            return None
        shape = np.shape(self.value)

        def spread(a: np.ndarray) -> Any:
            return _plain(np.array(np.broadcast_to(search.spread(a), shape)))

        return formula, spread(found.value), spread(found.error), spread(found.end == 0)

    def __repr__(self) -> str:
        return f"Optimum({self.formula.name}: {', '.join(self.over)} = {self.value}, error = {self.error})"


@dataclass(frozen=True)
class _Question:
    """What was asked: spectrum and target, ranges, and the values of the other arguments."""

    about: Mapping[str, Any]
    between: Mapping[str, tuple[float, float]]
    values: Mapping[str, Any]


def optimal_ridge(
    err: ErrorFormula,
    *,
    spectrum: Spectra | None = None,
    target: Target | None = None,
    over: str | Symbol | Iterable[str | Symbol] = "lam",
    between: Any = None,
    **values: Any,
) -> Optimum:
    r"""Return where a test error is least over its ridge, or over any other argument or list of arguments.

    For one argument the minimum is global on its range: all changes of sign of the exact derivative are found on a refined
    grid (:mod:`collapse_theory.numerics.minimise`) and compared with the ends. Several arguments are minimised in turn,
    each globally, from three starts, until Newton's iteration on the gradient settles: the result is stationary, with a
    positive definite Hessian, and no argument alone improves it.

    Args:
        err: Any test error.
        spectrum: Eigenvalues of the input covariance.
        target: Energies of the true coefficients.
        over: The argument, or several. A number of rows is treated as real.
        between: The range, a pair ``(low, high)`` whose ends belong to it; a mapping by name for several arguments. By
            default what the symbol's assumptions and the conditions of the theorem allow, and at most 1 for ``w``, ``p1``,
            ``p2``.
        **values: One value per other symbol, by name; scalars or arrays that broadcast.

    Raises:
        DomainError: If the argument is unknown, an integer, or has no influence; if the error keeps falling towards an end
            that is not in the range; or as in :meth:`~collapse_theory.derive.formula.ErrorFormula.evaluate`.

    >>> import collapse_theory as ct
    >>> err = ct.catalog["ridge-replace"].error
    >>> best = ct.optimal_ridge(err, spectrum=ct.Isotropic(100), target=ct.RandomTarget(norm2=2.0),
    ...                         n=4, T=160, T0=250, sigma=0.3, sigma0=0.5)
    >>> round(best.clean_value, 6), round(best.value, 6), best.stationary
    (0.028125, 0.145052, True)
    """
    instance(err, ErrorFormula, "err", "derive one with ct.test_error(pipeline)", DomainError)
    chosen = _arguments(err, over, values)
    names = tuple(x.name for x in chosen)
    asked = _Question({"spectrum": spectrum, "target": target}, ranges(between, names), values)
    search = Search.of(err, chosen, asked.about, asked.between, values)
    minima: Any = None
    if len(chosen) == 1:
        found = minimise(*search.along(0, np.empty((1, search.size))))
        _refuse(search, found.value[None], found.end[None], found.attained[None], found.flat[None])
        value, stationary = search.spread(found.value), search.spread(found.end == 0)
        each = [found.of(i) for i in range(search.size)]
        minima = each[0] if not search.shape else tuple(each[i] for i in search.place)
        return Optimum(err, names, value, search.spread(found.error), stationary, minima, asked)
    joint = minimise_jointly(search)
    _refuse(search, joint.value, joint.end, joint.attained, joint.flat)
    value = {x: search.spread(v) for x, v in zip(names, joint.value, strict=True)}
    return Optimum(
        err, names, value, search.spread(joint.error), search.spread((joint.end == 0).all(axis=0)), minima, asked
    )


def _arguments(err: ErrorFormula, over: Any, values: Mapping[str, Any]) -> tuple[Symbol, ...]:
    several = isinstance(over, Iterable) and not isinstance(over, str | Symbol)
    chosen = tuple(err.symbol(x) for x in (over if several else [over]))
    if not chosen or len(set(chosen)) < len(chosen):
        raise DomainError(f"over needs different arguments, got {shown(over)}; for example over='lam'")
    for x in chosen:
        _refuse_argument(x, values)
    return chosen


def chosen_argument(err: ErrorFormula, over: Any, values: Mapping[str, Any]) -> Symbol:
    """Return the one argument that is asked for.

    Raises:
        DomainError: If it is unknown, an integer, or has a value.
    """
    (x,) = _arguments(err, err.symbol(over), values)
    return x


def _refuse_argument(x: Symbol, values: Mapping[str, Any]) -> None:
    if x.is_integer:
        raise DomainError(
            f"over needs a continuous argument, got {x.name!r}, an integer; compare err.evaluate({x.name}=np.arange(50)), or "
            f"write a number of rows as sympy.Symbol({x.name!r}, positive=True)"
        )
    if x.name in values:
        raise DomainError(f"over needs an argument without a value, got {x.name}={shown(values[x.name])}; omit it")


def ranges(between: Any, names: tuple[str, ...]) -> dict[str, tuple[float, float]]:
    """Return the ranges by name.

    Raises:
        DomainError: If one is not a pair in order, or of another argument.
    """
    if between is None:
        return {}
    if not isinstance(between, Mapping):
        if len(names) > 1:
            raise DomainError(f"between needs a mapping by name, got {shown(between)}; write {{{names[0]!r}: (0, 1)}}")
        between = {names[0]: between}
    for name in between:
        if name not in names:
            raise DomainError(
                f"between needs ranges of {', '.join(names)}, got one of {shown(name)}; put it into over="
            )
    return {name: pair(value, f"between of {name}") for name, value in between.items()}


def _refuse(search: Search, value: np.ndarray, end: np.ndarray, attained: np.ndarray, flat: np.ndarray) -> None:
    """Refuse an argument without influence, and an error that keeps falling to an end that is not in the range."""
    for k, x in enumerate(search.over):
        bad = flat[k] | ~attained[k]
        if not bad.any():
            continue
        i = int(np.flatnonzero(bad)[0])
        at = ", ".join(f"{s.name}={float(a if a.ndim == 0 else a[i]):g}" for s, a in search.values.items())
        at = f" at {at}" if at else ""
        if flat[k, i]:
            raise DomainError(f"{search.formula.name} does not depend on {x.name}{at}; optimise another argument")
        to = "its upper end" if end[k, i] > 0 else "its lower end"
        raise DomainError(
            f"{search.formula.name} has no minimum over {x.name}{at}: the error keeps falling to {to} ({value[k, i]:.3g} was "
            "looked at); give a range with between=(low, high)"
        )


def _plain(a: np.ndarray) -> Any:
    """Return an array, or the number in one without axes."""
    return a if a.ndim else a.item()


def _known(formula: ErrorFormula, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of the symbols that a formula has."""
    names = {x.name for x in formula.free_symbols}
    return {name: value for name, value in values.items() if name in names}
