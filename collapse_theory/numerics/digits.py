"""Plans in mpmath: any number of digits, and the limit at an interpolation threshold.

Expressions are interpreted as trees, scalars and arrays of mpmath numbers alike; a result is accepted when a run at
higher precision confirms its digits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import mpmath
import numpy as np
from mpmath.libmp import dps_to_prec
from sympy import Add, Expr, Mul, Number, NumberSymbol, Pow, Symbol

from collapse_theory.core.errors import ConvergenceError, DomainError
from collapse_theory.core.precision import exact_context, public_number
from collapse_theory.numerics.effective_ridge import exact_ridge
from collapse_theory.numerics.feature_ridge import exact_features
from collapse_theory.numerics.kernels import mpmath_kernels
from collapse_theory.numerics.measure import Measure
from collapse_theory.numerics.plan import Integrate, Plan, Recurse, SolveFeatures, SolveRidge, round_count
from collapse_theory.symbols import Eigenvalue

__all__ = ["evaluate_digits", "limit_at_threshold"]

MeasureFactory = Callable[[Any], Measure | None]
ValueFactory = Callable[[Any], Mapping[str, Any]]

_GUARD = 20
_DOUBLINGS = 7  # to 4,000 digits: what numbers of the range of float64 can cancel


def evaluate_digits(
    plan: Plan, measure: MeasureFactory, values: ValueFactory, digits: int, *, floor: str = "0"
) -> tuple[dict[str, Any], Any]:
    """Return the outputs of a plan to ``digits`` significant digits and their sum, as numbers of mpmath's default context.

    That context is never changed: the work is done in private ones.

    Args:
        plan: The steps and outputs.
        measure: Gives the measure in a context.
        values: Gives the inputs in a context, exactly.
        digits: Significant digits, positive.
        floor: What is smaller need not settle, as a decimal.

    Raises:
        ConvergenceError: If the digits do not settle as the working precision grows.
    """
    before: dict[str, Any] | None = None
    for extra in (_GUARD, *(digits + 3 * _GUARD * 2**k for k in range(_DOUBLINGS))):
        with exact_context(dps_to_prec(digits + extra)) as mp:
            try:
                now = _Interpreter(plan, mp).run(measure, values)
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


def limit_at_threshold(plan: Plan, measure: MeasureFactory, values: ValueFactory) -> tuple[dict[str, float], float]:
    """Return the limits of the outputs and of their sum as a vanishing ridge tends to zero where ``T = rank``.

    Near it each output is a power of the ridge times a convergent series, so two tiny ridges tell the three cases
    apart: between them an output grows by many orders of magnitude (infinite), falls by many (zero), or stays.

    Args:
        plan: The steps and outputs.
        measure: Gives the measure in a context.
        values: Gives the inputs in a context, exactly.
    """
    with exact_context(dps_to_prec(120)) as mp:
        far, near = (_Interpreter(plan, mp, vanishing=exponent).run(measure, values) for exponent in (-40, -60))
        apart = mp.mpf(10) ** 5  # the ridges differ by 10^20; the slowest power of the ridge is its square root

        def limit(here: Any, there: Any) -> float:
            if abs(here) > apart * abs(there):
                return math.copysign(math.inf, here)
            return 0.0 if apart * abs(here) < abs(there) else float(here)

        limits = {name: limit(value, far[name]) for name, value in near.items()}
        total = sum(limits.values())
        if math.isnan(total):  # infinite terms of opposite signs, in a derivative: their sum has a limit of its own
            total = limit(mp.fsum(near.values()), mp.fsum(far.values()))
        return limits, total


def _agree(mp: Any, a: Any, b: Any, digits: int, floor: str) -> bool:
    return bool(abs(mp.convert(a) - b) <= max(abs(b) * mp.mpf(10) ** -(digits + 2), mp.mpf(floor)))


class _Interpreter:
    def __init__(self, plan: Plan, mp: Any, vanishing: int | None = None) -> None:
        self.plan = plan
        self.vanishing = vanishing
        self.mp = mp
        self.kernels = mpmath_kernels(mp)

    def run(self, measure: MeasureFactory, values: ValueFactory) -> dict[str, Any]:
        return self.outputs(self.plan, measure(self.mp), dict(values(self.mp)))

    def outputs(self, plan: Plan, atoms: Measure | None, env: dict[Any, Any]) -> dict[str, Any]:
        """Return the outputs of a plan at inputs by symbol."""
        for s in plan.steps:
            if isinstance(s, Recurse):
                results = s.rule.run(atoms, [self.tree(e, env) for e in s.arguments])
                env.update({x: np.asarray(v).item() for x, v in zip(s.names, results, strict=True)})
                continue
            if atoms is None:
                raise AssertionError("a step on the eigenvalues needs a measure")
            if isinstance(s, SolveRidge):
                T, lam = self.tree(s.T, env), self.tree(s.lam, env)
                if self.vanishing is not None and lam == 0 and atoms.rank == T:
                    lam = min(atoms.nodes) * self.mp.mpf(10) ** self.vanishing
                env[s.kappa], env[s.residual] = exact_ridge(self.mp, atoms, T, lam)
            elif isinstance(s, SolveFeatures):
                T, m, lam = (self.tree(e, env) for e in (s.T, s.m, s.lam))
                if self.vanishing is not None and lam == 0:
                    lam = min(atoms.nodes) * self.mp.mpf(10) ** self.vanishing
                env[s.kappa], env[s.residual] = exact_features(self.mp, atoms, T, m, lam)
            elif isinstance(s, Integrate):
                nodes = {**env, _NODES: atoms}
                for name, f, energy in zip(s.names, s.integrands, s.energy, strict=True):
                    env[name] = (atoms.form if energy else atoms.trace)(self.tree(f, nodes))
            else:
                inner = {x: self.tree(e, env) for x, e in zip(s.rule.parameters, s.arguments, strict=True)}
                unrolled = self.outputs(s.plan(round_count(self.tree(s.rounds, env))), atoms, inner)
                env.update({x: unrolled[name] for x, name in zip(s.names, s.terms, strict=True)})
            if isinstance(s, SolveRidge | SolveFeatures) and env[s.residual] == 0:
                raise DomainError(
                    "digits= needs a point away from T = rank without ridge, a limit; evaluate in float64"
                )
        return {name: self.tree(e, env) for name, e in plan.outputs}

    def tree(self, e: Expr, env: Mapping[Any, Any]) -> Any:
        """Return the value of an expression, each distinct sub-expression computed once."""
        seen: dict[Expr, Any] = {}

        def value(x: Expr) -> Any:
            if x not in seen:
                seen[x] = compute(x)
            return seen[x]

        def compute(x: Expr) -> Any:
            if isinstance(x, Symbol):
                return env[_NODES].at(x.name) if isinstance(x, Eigenvalue) else env[x]
            if isinstance(x, (Number, NumberSymbol)):
                return self.mp.mpf(x._to_mpmath(self.mp.prec))
            arguments = [value(a) for a in x.args]
            # Arrays first: a number of mpmath would try to convert the array beside it, and print it to say that it cannot.
            if isinstance(x, Add | Mul):
                arguments.sort(key=lambda a: not isinstance(a, np.ndarray))
            if isinstance(x, Add):
                return sum(arguments[1:], arguments[0])
            if isinstance(x, Mul):
                out = arguments[0]
                for a in arguments[1:]:
                    out = out * a
                return out
            if isinstance(x, Pow):
                return arguments[0] ** (int(x.exp) if x.exp.is_Integer else arguments[1])
            kernel = self.kernels.get(type(x).__name__)
            if kernel is None:
                raise DomainError(f"digits= has no kernel for {type(x).__name__}; evaluate in float64 instead")
            return kernel(*arguments)

        return value(e)


_NODES = "measure"
