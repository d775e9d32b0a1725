"""Plans in mpmath: any number of digits, and the limit at an interpolation threshold.

A result is accepted when a run at higher precision confirms its digits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import mpmath
import numpy as np
from mpmath.libmp import dps_to_prec
from sympy import Expr

from collapse_theory.core.errors import ConvergenceError, DomainError
from collapse_theory.core.precision import exact_context, public_number
from collapse_theory.numerics.effective_ridge import exact_ridge
from collapse_theory.numerics.feature_ridge import exact_features
from collapse_theory.numerics.interpreter import interpret
from collapse_theory.numerics.kernels import mpmath_kernels
from collapse_theory.numerics.measure import DEPTH, Measure, at_depth
from collapse_theory.numerics.plan import Plan
from collapse_theory.numerics.points import PointArithmetic
from collapse_theory.numerics.reals import SINGULAR
from collapse_theory.numerics.resolvents import Resolvent
from collapse_theory.numerics.solved_fits import FitNumbers, float64_start

__all__ = ["Digits", "ThresholdError", "evaluate_digits", "limit_at_threshold"]

MeasureFactory = Callable[[Any, int], Measure | None]
ValueFactory = Callable[[Any], Mapping[Any, Any]]

_GUARD = 20
_FLOAT64_DIGITS = 17
_DOUBLINGS = 7  # to 4,000 digits: what numbers of the range of float64 can cancel


class ThresholdError(DomainError):
    """A fit is at an interpolation threshold, where values are limits."""


class Digits(PointArithmetic):
    """Numbers of an mpmath context, which nobody else's precision can touch.

    Args:
        context: An ``mpmath.MPContext`` with its precision set.
        vanishing: Exponent of the ridge, in units of the smallest eigenvalue, that stands for none at a threshold; by
            default a threshold is refused.
    """

    def __init__(self, context: Any, vanishing: int | None = None) -> None:
        self.context, self.vanishing = context, vanishing
        self.kernels = mpmath_kernels(context)
        self.epsilon = context.mpf(2) ** (1 - context.prec)

    def number(self, x: Any) -> Any:
        """Return a number of the context."""
        return self.context.mpf(x._to_mpmath(self.context.prec) if isinstance(x, Expr) else x)

    def ridge(self, measure: Measure, T: Any, lam: Any) -> tuple[Any, Any]:
        """Return the effective ridge and the residual degrees of freedom.

        Raises:
            ThresholdError: At a threshold, where they are limits.
        """
        if self.vanishing is not None and lam == 0 and measure.rank == T:
            lam = self._vanishing_ridge(measure)
        return _regular(*exact_ridge(self.context, measure, T, lam))

    def features(self, measure: Measure, T: Any, m: Any, lam: Any) -> tuple[Any, Any]:
        """Return the same for a fit on random features.

        Raises:
            ThresholdError: At a threshold, where they are limits.
        """
        if self.vanishing is not None and lam == 0:
            lam = self._vanishing_ridge(measure)
        return _regular(*exact_features(self.context, measure, T, m, lam))

    def _vanishing_ridge(self, measure: Measure) -> Any:
        return min(measure.nodes) * self.context.mpf(10) ** self.vanishing

    def resolvent(self, fit: FitNumbers) -> Resolvent:
        """Return the effective ridges of one fit, from those of float64."""
        return fit.solved(self, start=float64_start(fit))

    def solve(self, matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Solve by elimination with pivoting, one system after the other.

        Raises:
            ConvergenceError: If a matrix is singular.
        """
        out = np.empty(right.shape, dtype=object)
        for i in np.ndindex(right.shape[:-1]):
            try:
                solved = self.context.lu_solve(self.context.matrix(matrix[i].tolist()), list(right[i]))
            except ZeroDivisionError as e:
                raise ConvergenceError(SINGULAR) from e
            out[i] = list(solved)
        return out


def _regular(kappa: Any, residual: Any) -> tuple[Any, Any]:
    if residual == 0:
        raise ThresholdError("T = rank without a ridge is a limit, at which no equation is solved; give a ridge > 0")
    return kappa, residual


def evaluate_digits(
    plan: Plan, measure: MeasureFactory, values: ValueFactory, digits: int, *, floor: str = "0"
) -> tuple[dict[str, Any], Any]:
    """Return the outputs of a plan to ``digits`` significant digits and their sum, as numbers of mpmath's default context.

    That context is never changed: the work is done in private ones.

    Args:
        plan: The steps and outputs.
        measure: Gives the measure in a context, so many octaves deep if it is endless.
        values: Gives the inputs in a context, exactly.
        digits: Significant digits, positive.
        floor: What is smaller need not settle, as a decimal.

    Raises:
        ThresholdError: At a threshold; :func:`limit_at_threshold` gives the limits.
        ConvergenceError: If the digits do not settle as the working precision grows.
    """
    before: dict[str, Any] | None = None
    depth = DEPTH
    for extra in (_GUARD, *(digits + 3 * _GUARD * 2**k for k in range(_DOUBLINGS))):
        with exact_context(dps_to_prec(digits + extra)) as mp:
            inputs = values(mp)

            def at(octaves: int, mp: Any = mp, inputs: Any = inputs) -> tuple[int, dict[str, Any]]:
                return octaves, interpret(plan, Digits(mp), measure(mp, octaves), inputs)

            try:
                depth, now = at_depth(at, depth)
            except ZeroDivisionError as e:
                raise DomainError(
                    "digits= meets a division by zero at these values; evaluate in float64, or move them"
                ) from e
            except ConvergenceError:  # at a threshold a component is singular until there are digits enough
                continue
            if before is not None and all(_agree(mp, before[k], now[k], digits, floor) for k in now):
                return {k: public_number(v) for k, v in now.items()}, public_number(mp.fsum(now.values()))
        before = now
    last = ", ".join(f"{name} = {mpmath.nstr(value, 3)}" for name, value in (before or {}).items()) or "none"
    raise ConvergenceError(
        f"{digits} digits did not settle at {digits + extra} working digits, last {last}; a term may vanish exactly here"
    )


def limit_at_threshold(
    plan: Plan, measure: MeasureFactory, values: ValueFactory, digits: int = _FLOAT64_DIGITS
) -> tuple[dict[str, Any], Any]:
    """Return the limits of the outputs and of their sum as a vanishing ridge tends to zero where ``T = rank``.

    Near it each output is a power of the ridge times a convergent series, so two tiny ridges tell the three cases
    apart: between them an output grows by many orders of magnitude (infinite), falls by many (zero), or stays. What stays is off by
    a multiple of the square root of the ridge.

    Args:
        plan: The steps and outputs.
        measure: Gives the measure in a context; it is finite.
        values: Gives the inputs in a context, exactly.
        digits: Significant digits of the limits, numbers of mpmath's default context.

    Raises:
        ConvergenceError: If the two ridges do not agree to so many digits on a limit.
    """
    exponent = 2 * digits + 26
    with exact_context(dps_to_prec(2 * exponent)) as mp:
        far, near = (
            interpret(plan, Digits(mp, -ridge), measure(mp, DEPTH), values(mp)) for ridge in (exponent - 20, exponent)
        )
        apart = mp.mpf(10) ** 5  # the ridges differ by 10^20; the slowest power of the ridge is its square root

        def limit(here: Any, there: Any) -> Any:
            if abs(here) > apart * abs(there):
                return mp.sign(here) * mp.inf
            if apart * abs(here) < abs(there):
                return mp.zero
            if abs(here - there) > abs(here) * mp.mpf(10) ** (10 - digits):  # the nearer one is 10^10 times nearer
                raise ConvergenceError(f"the limit at T = rank did not settle to {digits} digits; move T off the rank")
            return here

        limits = {name: limit(value, far[name]) for name, value in near.items()}
        total = mp.fsum(limits.values())
        if mp.isnan(total):  # infinite terms of opposite signs, in a derivative: their sum has a limit of its own
            total = limit(mp.fsum(near.values()), mp.fsum(far.values()))
        return {name: public_number(x) for name, x in limits.items()}, public_number(total)


def _agree(mp: Any, a: Any, b: Any, digits: int, floor: str) -> bool:
    return bool(abs(mp.convert(a) - b) <= max(abs(b) * mp.mpf(10) ** -(digits + 2), mp.mpf(floor)))
