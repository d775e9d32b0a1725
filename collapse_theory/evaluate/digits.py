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
from sympy import Add, Expr, Mul, Number, NumberSymbol, Pow, Symbol

from collapse_theory.errors import ConvergenceError, DomainError
from collapse_theory.evaluate.features import exact_features
from collapse_theory.evaluate.kernels import mpmath_kernels
from collapse_theory.evaluate.measure import Measure
from collapse_theory.evaluate.plan import Integrate, Plan, SolveFeatures, SolveRidge, Unroll, round_count
from collapse_theory.evaluate.ridge import upper_end
from collapse_theory.symbols import Eigenvalue

__all__ = ["evaluate_digits", "limit_at_threshold"]

MeasureFactory = Callable[[Any], Measure | None]
ValueFactory = Callable[[Any], Mapping[str, Any]]

_GUARD = 20
_NEWTON = 4000


def evaluate_digits(plan: Plan, measure: MeasureFactory, values: ValueFactory, digits: int) -> dict[str, Any]:
    """Return the outputs of a plan to ``digits`` significant digits, as numbers of mpmath's default context.

    Args:
        plan: The steps and outputs.
        measure: Gives the measure in a context.
        values: Gives the inputs in a context, exactly.
        digits: Significant digits, positive.

    Raises:
        ConvergenceError: If the digits do not settle as the working precision grows.
    """
    before: dict[str, Any] | None = None
    for extra in (_GUARD, digits + 3 * _GUARD, 3 * digits + 6 * _GUARD):
        try:
            now = _Interpreter(plan, digits + extra).run(measure, values)
        except ZeroDivisionError as e:
            raise DomainError(
                "digits= meets a division by zero at these values; evaluate in float64, or move them"
            ) from e
        except ConvergenceError:  # at a threshold a component is singular until there are digits enough
            continue
        if before is not None and all(_agree(before[k], now[k], digits) for k in now):
            return {k: mpmath.mp.make_mpf(v._mpf_) for k, v in now.items()}
        before = now
    raise ConvergenceError(f"{digits} digits did not settle at {4 * digits + 6 * _GUARD} working digits: {before}")


def limit_at_threshold(plan: Plan, measure: MeasureFactory, values: ValueFactory) -> tuple[dict[str, float], float]:
    """Return the limits of the outputs and of their sum as a vanishing ridge tends to zero where ``T = rank``.

    Near it each output is a power of the ridge times a convergent series, so two tiny ridges tell the three cases
    apart: between them an output grows by many orders of magnitude (infinite), falls by many (zero), or stays.

    Args:
        plan: The steps and outputs.
        measure: Gives the measure in a context.
        values: Gives the inputs in a context, exactly.
    """
    far, near = (_Interpreter(plan, 120, vanishing=exponent).run(measure, values) for exponent in (-40, -60))
    apart = mpmath.mpf(10) ** 5  # the ridges differ by 10^20; the slowest power of the ridge is its square root

    def limit(here: Any, there: Any) -> float:
        if abs(here) > apart * abs(there):
            return math.copysign(math.inf, here)
        return 0.0 if apart * abs(here) < abs(there) else float(here)

    # The sum has a limit of its own: infinite terms of a derivative may have opposite signs.
    total = limit(sum(near.values()), sum(far.values()))
    return {name: limit(value, far[name]) for name, value in near.items()}, total


def _agree(a: Any, b: Any, digits: int) -> bool:
    return bool(abs(a - b) <= abs(b) * mpmath.mpf(10) ** -(digits + 2))


class _Interpreter:
    def __init__(self, plan: Plan, digits: int, vanishing: int | None = None) -> None:
        self.plan = plan
        self.vanishing = vanishing
        self.mp = mpmath.MPContext()
        self.mp.dps = digits
        self.kernels = mpmath_kernels(self.mp)

    def run(self, measure: MeasureFactory, values: ValueFactory) -> dict[str, Any]:
        return self.outputs(self.plan, measure(self.mp), dict(values(self.mp)))

    def outputs(self, plan: Plan, atoms: Measure | None, env: dict[Any, Any]) -> dict[str, Any]:
        """Return the outputs of a plan at inputs by symbol."""
        for s in plan.steps:
            if atoms is None:
                raise AssertionError("a plan with steps needs a measure")
            if isinstance(s, SolveRidge):
                T, lam = self.tree(s.T, env), self.tree(s.lam, env)
                if self.vanishing is not None and lam == 0 and atoms.rank == T:
                    lam = min(atoms.nodes) * self.mp.mpf(10) ** self.vanishing
                env[s.kappa], env[s.residual] = self.ridge(atoms, T, lam)
            elif isinstance(s, SolveFeatures):
                T, m, lam = (self.tree(e, env) for e in (s.T, s.m, s.lam))
                if self.vanishing is not None and lam == 0:
                    lam = min(atoms.nodes) * self.mp.mpf(10) ** self.vanishing
                solved = exact_features(lambda *args: self.ridge(atoms, *args)[0], self.mp, atoms, T, m, lam)
                env[s.kappa], env[s.residual] = solved
            elif isinstance(s, Integrate):
                nodes = {**env, _NODES: atoms}
                for name, f, energy in zip(s.names, s.integrands, s.energy, strict=True):
                    weights = atoms.energies if energy else atoms.counts
                    env[name] = self.mp.fsum(np.broadcast_to(self.tree(f, nodes), atoms.counts.shape) * weights)
            elif isinstance(s, Unroll):
                inner = {x: self.tree(e, env) for x, e in zip(s.rule.parameters, s.arguments, strict=True)}
                unrolled = self.outputs(s.plan(round_count(self.tree(s.rounds, env))), atoms, inner)
                env.update({x: unrolled[name] for x, name in zip(s.names, s.terms, strict=True)})
            else:
                results = s.rule.run(atoms, [self.tree(e, env) for e in s.arguments])
                env.update({x: np.asarray(v).item() for x, v in zip(s.names, results, strict=True)})
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

    def ridge(self, atoms: Measure, T: Any, lam: Any) -> tuple[Any, Any]:
        """Return the effective ridge by Newton from above, and the residual degrees of freedom."""
        s, m, mp = atoms.nodes, atoms.counts, self.mp
        if lam == 0 and atoms.rank <= T:
            return mp.zero, T - atoms.rank
        x = upper_end(T, lam, max(s), mp.fsum(s * m), atoms.rank, mp.sqrt)
        tolerance = mp.mpf(2) ** (8 - mp.prec)
        for _ in range(_NEWTON):
            inverse = 1 / (s + x)
            unexplained = (T - atoms.rank) + x * mp.fsum(inverse * m)
            slope = unexplained + x * mp.fsum(s * inverse**2 * m)
            following = max(x - (x * unexplained - T * lam) / slope, lam)
            step, x = abs(following - x), following
            if step <= tolerance * x:
                break
        else:
            raise ConvergenceError(f"effective ridge did not settle at T={T}, lam={lam}: step {mp.nstr(step, 3)}")
        inverse = 1 / (s + x)
        return x, T * lam / x + x * mp.fsum(s * inverse**2 * m)


_NODES = "measure"
