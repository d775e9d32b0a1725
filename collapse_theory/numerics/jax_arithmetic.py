"""Plans on JAX arrays: the same steps, to be differentiated, mapped and compiled by JAX.

Integrals are sums over the nodes of the compressed measure, effective ridges know their derivatives (:mod:`.jax_ridges`), and
slopes along a direction are forward derivatives. How many fits a recursion has, and how many terms a sum, decides what is computed
and not only on which numbers: these counts are NumPy's, known before anything runs. Nothing is raised on the way; where a number
has lost its digits is remembered instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from sympy import Expr, Symbol

from collapse_theory.core.errors import DomainError
from collapse_theory.derive.pooled import PooledSystem
from collapse_theory.describe.truths import ENERGIES, Pair
from collapse_theory.numerics.compression import ORDER
from collapse_theory.numerics.integrand_shape import is_product_of_few
from collapse_theory.numerics.interpreter import interpret
from collapse_theory.numerics.jax_functions import jax_functions
from collapse_theory.numerics.jax_pooled import JaxReals, pooled_point
from collapse_theory.numerics.jax_ridges import ridge_of_features, ridge_of_rows
from collapse_theory.numerics.jets import Jet, value_of
from collapse_theory.numerics.magnitude import LOSS
from collapse_theory.numerics.measure import Measure
from collapse_theory.numerics.operator_power import OneFit, Spread
from collapse_theory.numerics.plan import Plan, round_plan
from collapse_theory.numerics.steps import Unroll
from collapse_theory.numerics.vectorised import Vectorised, magnitudes_of

__all__ = ["JaxArithmetic"]

_MOST_FITS = 100_000


class JaxArithmetic(JaxReals):
    """float64 in JAX, for one plan of the steps that :class:`.JaxPredictor` takes.

    Args:
        plan: The plan that is interpreted.

    Attributes:
        lost: Whether a point has lost its digits on the way, or sits at an interpolation threshold.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.lost: Any = False

    def _values(self, expressions: Sequence[Expr], env: Mapping[Symbol, Any], measure: Measure | None) -> Any:
        return _compiled(self.plan, tuple(expressions))(env, measure)

    def _watch(self, value: Any, size: Any) -> None:
        if size is not None:
            self.lost = self.lost | (abs(value) * LOSS < size)

    def evaluate(self, expressions: Sequence[Expr], env: Mapping[Symbol, Any]) -> list[Any]:
        """Return the values of expressions; what cancels is remembered."""
        found, sizes = self._values(expressions, env, None)
        for x, size in zip(found, sizes, strict=True):
            self._watch(x, size)
        return list(found)

    def arguments(self, expressions: Sequence[Expr], env: Mapping[Symbol, Any]) -> list[Any]:
        """Return the arguments of a recursion."""
        return list(self._values(expressions, env, None)[0])

    def whole(self, x: Any) -> int:
        """Return an integer."""
        return int(x)

    # ------------------------------------------------------------------ on the eigenvalues
    def integrate(
        self, measure: Measure, integrands: Sequence[Expr], energy: Sequence[Pair | None], env: Mapping[Symbol, Any]
    ) -> list[Any]:
        """Return sums over the nodes."""
        columns = {x: v[..., None] if np.ndim(v) else v for x, v in env.items()}
        totals = []
        for f, truths in zip(integrands, energy, strict=True):
            on = measure.compressed if is_product_of_few(f) else measure
            (value,), (size,) = self._values((f,), columns, on)
            total = on.integral(truths)(value)
            if truths not in {None, ENERGIES}:
                size = abs(value) if size is None else size  # products of two truths have both signs
            self._watch(total, None if size is None else on.sizes(truths)(size))
            totals.append(total)
        return totals

    def ridge(self, measure: Measure, T: Any, lam: Any) -> tuple[Any, Any]:
        """Return effective ridges and residual degrees of freedom."""
        kappa, residual, _ = ridge_of_rows(measure, T, lam)
        self.lost = self.lost | ~(residual > 0)
        return kappa, residual

    def features(self, measure: Measure, T: Any, m: Any, lam: Any) -> tuple[Any, Any]:
        """Return the same for fits on random features."""
        ridge, residual = ridge_of_features(measure, T, m, lam)
        self.lost = self.lost | ~(residual > 0)
        return ridge, residual

    # ------------------------------------------------------------------ recursions
    def recurse(self, rule: Any, measure: Measure, arguments: Sequence[Any]) -> Sequence[Any]:
        """Return the results of a recursion over fits, and their slopes where arguments have some."""

        def run(*values: Any) -> tuple[Any, ...]:
            bias, variance = rule.risk(measure, iter(values), _repeated)
            return bias[..., 0], variance[..., 0]

        return along(run, arguments)

    def unroll(self, step: Unroll, measure: Measure, rounds: Any, arguments: Sequence[Any]) -> Sequence[Any]:
        """Return the terms; all points are evaluated for each number of rounds, and the right one is taken."""
        out: list[Any] = []
        for count in np.unique(rounds):
            plan = round_plan(step.rule, step.orders, float(count))
            inner: Any = JaxArithmetic(plan)
            found = interpret(plan, inner, measure, dict(zip(step.rule.parameters, arguments, strict=True)))
            here = rounds == count
            terms = [found[name] for name in step.rule.terms]
            out = [jnp.where(here, new, old) for new, old in zip(terms, out, strict=True)] if out else terms
            self.lost = self.lost | (inner.lost & here)
        return out

    def pooled(
        self, system: PooledSystem, measure: Measure, values: Mapping[Symbol, Any], direction: Mapping[Symbol, Any]
    ) -> tuple[Any, Any]:
        """Return bias and variance of a system of pooled fits, or their slopes; points are mapped over."""
        few = measure.compressed if 2 * len(system.fits) <= ORDER else measure  # products of resolvents on each side
        names = tuple(values)

        def run(*point: Any) -> tuple[Any, ...]:
            return pooled_point(system, few, dict(zip(names, point, strict=True)))

        columns = [jnp.asarray(values[x], dtype=float) for x in names]
        if any(x.ndim for x in columns):
            run = jax.vmap(run, in_axes=tuple(0 if x.ndim else None for x in columns))
        given = [Jet(x, direction[name]) if name in direction else x for name, x in zip(names, columns, strict=True)]
        bias, variance = along(run, given)
        return (bias.slope, variance.slope) if direction else (bias, variance)


def along(function: Callable[..., tuple[Any, ...]], arguments: Sequence[Any]) -> Sequence[Any]:
    """Return the values of a function, as dual numbers where an argument is one."""
    moving = [i for i, x in enumerate(arguments) if isinstance(x, Jet)]
    plain = [value_of(x) for x in arguments]
    if not moving:
        return function(*plain)

    def moved(*values: Any) -> tuple[Any, ...]:
        given = dict(zip(moving, values, strict=True))
        return function(*(given.get(i, x) for i, x in enumerate(plain)))

    at = [jnp.asarray(plain[i], dtype=float) for i in moving]
    slopes = [
        jnp.broadcast_to(jnp.asarray(arguments[i].slope, dtype=float), x.shape) for i, x in zip(moving, at, strict=True)
    ]
    return [Jet(x, v) for x, v in zip(*jax.jvp(moved, tuple(at), tuple(slopes)), strict=True)]


@lru_cache(maxsize=1024)
def _compiled(plan: Plan, expressions: tuple[Expr, ...]) -> Vectorised:
    return Vectorised(expressions, magnitudes_of(plan), jax_functions())


def _repeated(fit: OneFit, before: Spread, noise: Any, count: Any) -> Spread:
    """Return the last of ``count`` equal fits, run one by one; see :func:`.operator_power.repeated`."""
    most = int(np.max(count))
    if most > _MOST_FITS:
        raise DomainError(
            f'backend="jax" needs chains of at most {_MOST_FITS} fits, got {most}; compile without a backend, which doubles them'
        )
    faithful = (fit.lost == 0).all(axis=-1, keepdims=True)  # adds its noise, and nothing else happens
    noise, repeats = jnp.where(faithful, count * noise, noise), jnp.where(faithful, np.minimum(count, 1), count)

    def step(i: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:
        return fit.after(Spread(*state), noise).chosen(i < repeats, Spread(*state)).functions

    if most == 0:
        return before
    first = step(0, before.functions)  # of the shapes that all later ones have
    return Spread(*jax.lax.fori_loop(1, most, step, first))
