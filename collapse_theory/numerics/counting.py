"""Plans interpreted by counting: how many operations of each kind an evaluation takes.

A counted number carries its float64 value, which only says which way the steps go (how many rounds, which designs are
open). A solve counts as one, whatever it iterates; a sum over the eigenvalues counts its nodes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from numbers import Real
from operator import add, ge, gt, le, lt, mul, sub, truediv
from typing import Any

import numpy as np
from sympy import Symbol

from collapse_theory.numerics.effective_ridge import residual_degrees, solve_effective_ridge
from collapse_theory.numerics.feature_ridge import solve_features
from collapse_theory.numerics.filtered_fits import FilteredFits
from collapse_theory.numerics.interpreter import interpret
from collapse_theory.numerics.jets import Jet
from collapse_theory.numerics.kernels import float64_kernels
from collapse_theory.numerics.measure import Measure
from collapse_theory.numerics.plan import Plan
from collapse_theory.numerics.points import PointArithmetic
from collapse_theory.numerics.reals import FLOAT64
from collapse_theory.numerics.resolvents import Resolvent
from collapse_theory.numerics.solved_fits import FitNumbers
from collapse_theory.numerics.steps import CheckExistence, Rule

__all__ = ["Counted", "Counting", "count_operations"]


def _counted(kind: str, operate: Callable[[Any, Any], Any], *, swapped: bool = False) -> Callable[..., Any]:
    """Return an operator of counted numbers that adds one to the tally; arrays of them apply it to their entries."""

    def method(self: Counted, other: Any) -> Any:
        if not isinstance(other, Counted | Real):
            return NotImplemented
        self.context.tally[kind] += 1
        first, second = (_plain(other), self.value) if swapped else (self.value, _plain(other))
        return Counted(self.context, np.float64(operate(first, second)))

    return method


def _compared(compare: Callable[[Any, Any], bool]) -> Callable[..., bool]:
    return lambda self, other: bool(compare(self.value, _plain(other)))


class Counted:
    """A number whose operations are counted.

    Args:
        context: The arithmetic that counts.
        value: The float64 value.
    """

    __slots__ = ("context", "value")

    def __init__(self, context: Counting, value: np.float64) -> None:
        self.context, self.value = context, value

    __add__, __radd__ = _counted("additions", add), _counted("additions", add, swapped=True)
    __sub__, __rsub__ = _counted("additions", sub), _counted("additions", sub, swapped=True)
    __mul__, __rmul__ = _counted("multiplications", mul), _counted("multiplications", mul, swapped=True)
    __truediv__, __rtruediv__ = _counted("divisions", truediv), _counted("divisions", truediv, swapped=True)
    __pow__, __rpow__ = _counted("powers", pow), _counted("powers", pow, swapped=True)
    __lt__, __le__, __gt__, __ge__ = map(_compared, (lt, le, gt, ge))
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return bool(self.value == _plain(other))

    def __neg__(self) -> Counted:
        return Counted(self.context, -self.value)

    def __abs__(self) -> Counted:
        return Counted(self.context, abs(self.value))

    def __float__(self) -> float:
        return float(self.value)


class Counting(PointArithmetic):
    """Object arrays of counted numbers.

    Attributes:
        tally: Operations so far, by kind: ``additions``, ``multiplications``, ``divisions``, ``powers``, ``functions``,
            ``solves``, ``integrals`` and ``nodes``.
    """

    epsilon = FLOAT64.epsilon

    def __init__(self) -> None:
        self.tally: Counter[str] = Counter()
        self.kernels = {name: partial(self._function, f) for name, f in float64_kernels().items()}
        self.kernels |= {"Abs": abs, "Max": max, "Min": min}
        self.kernels |= {
            name: partial(self._function, getattr(np, name)) for name in ("exp", "log", "sin", "cos", "tan")
        }

    def _function(self, f: Callable[..., Any], *arguments: Any) -> Counted:
        self.tally["functions"] += 1
        return self.number(f(*map(float, arguments)))

    def number(self, x: Any) -> Counted:
        """Return a counted number."""
        return x if isinstance(x, Counted) else Counted(self, np.float64(x))

    def measure(self, measure: Measure | None) -> Measure | None:
        """Return a float64 measure in counted numbers."""
        if measure is None:
            return None
        return measure.mapped(self.array)

    def fsum(self, terms: np.ndarray) -> Any:
        """Return the sum, as a context of numbers does."""
        self.tally["integrals"] += 1
        self.tally["nodes"] += terms.size
        return terms.sum()

    def ridge(self, measure: Measure, T: Any, lam: Any) -> tuple[Any, Any]:
        """Return the effective ridge and the residual degrees of freedom."""
        given = _floats(measure), np.array([float(T)]), np.array([float(lam)])
        kappa = solve_effective_ridge(*given)
        return self._solved(kappa, residual_degrees(*given, kappa))

    def features(self, measure: Measure, T: Any, m: Any, lam: Any) -> tuple[Any, Any]:
        """Return the same for a fit on random features."""
        return self._solved(*solve_features(_floats(measure), *(np.array([float(x)]) for x in (T, m, lam))))

    def _solved(self, kappa: np.ndarray, residual: np.ndarray) -> tuple[Counted, Counted]:
        self.tally["solves"] += 1
        return self.number(kappa[0]), self.number(residual[0])

    def recurse(self, rule: Rule, measure: Measure, arguments: Sequence[Any]) -> Sequence[Any]:
        """Return the results of a recursion over fits; one by contours counts as a solve for each block of fits."""
        if not isinstance(rule, FilteredFits):
            return super().recurse(rule, measure, arguments)
        self.tally["solves"] += len(rule.filters)
        return [self._of(x, self.number) for x in rule.run(_floats(measure), [self._of(x, float) for x in arguments])]

    @staticmethod
    def _of(x: Any, number: Callable[[Any], Any]) -> Any:
        return Jet(number(x.value), number(x.slope)) if isinstance(x, Jet) else number(x)

    def resolvent(self, fit: FitNumbers) -> Resolvent:
        """Return the effective ridges of one fit."""
        self.tally["solves"] += 1
        s, weights, rows = (np.asarray(x, dtype=float) for x in (fit.s, fit.weights, fit.rows))
        plain = FitNumbers(s, _floats(fit.measure), weights, rows, float(fit.total_rows), float(fit.ridge))
        found = plain.solved(FLOAT64)
        scale, constant, error, penalty = map(self.array, (found.scale, found.constant, found.error, found.penalty))
        return Resolvent(found.opened, scale, constant, error, penalty, found.residual)

    def solve(self, matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Return the solution of linear systems."""
        self.tally["solves"] += int(np.prod(right.shape[:-1]))
        return self.array(FLOAT64.solve(matrix.astype(float), right.astype(float)))

    def exists(self, step: CheckExistence, measure: Measure | None, arguments: Any) -> Any:
        """Return one where the expression has an equivalent."""
        self.tally["solves"] += 1
        return super().exists(step, measure, arguments)


def count_operations(plan: Plan, measure: Measure | None, values: Mapping[Symbol, Any]) -> Counter[str]:
    """Return how many operations of each kind an evaluation of a plan takes at one point.

    Args:
        plan: Steps and outputs.
        measure: The float64 measure; None if no step is on the eigenvalues.
        values: Inputs by symbol.

    >>> from collapse_theory.numerics.plan import compile_plan
    >>> from collapse_theory.algebra.integrals import df
    >>> from collapse_theory.symbols import kappa
    >>> measure = Measure({"Sigma": np.array([1.0, 2.0])}, np.array([3, 4]), None)
    >>> plan = compile_plan({"x": df(1, kappa)})  # sum_j s_j / (s_j + kappa)
    >>> sorted(count_operations(plan, measure, {kappa: 0.5}).items())
    [('additions', 3), ('integrals', 1), ('multiplications', 4), ('nodes', 2), ('powers', 2)]
    """
    counting = Counting()
    with np.errstate(all="ignore"):
        interpret(plan, counting, counting.measure(measure), {x: counting.number(v) for x, v in values.items()})
    return counting.tally


def _plain(x: Any) -> Any:
    return x.value if isinstance(x, Counted) else x


def _floats(measure: Measure) -> Measure:
    """Return the values of a counted measure."""
    return measure.mapped(lambda x: x.astype(float))
