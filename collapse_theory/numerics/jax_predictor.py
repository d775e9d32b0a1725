"""A predictor on JAX arrays: ``predict(T=..., lam=...)`` under ``jit``, ``grad`` and ``vmap``.

It computes in float64, in the context of JAX that switches it on; the global flag is not set. Where values are known, they are
checked, and points that float64 has no digits for are computed as NumPy's predictor does it. Where JAX traces a function nothing
can be raised: the result is NaN at such points and outside the domain, and so are its derivatives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from sympy import Expr, Symbol
from sympy.logic.boolalg import Boolean

from collapse_theory.core.errors import DomainError
from collapse_theory.core.numbers import flag
from collapse_theory.numerics.arrays import broadcast_shape, float64_array
from collapse_theory.numerics.compiled import numeric_function
from collapse_theory.numerics.generations import Generations
from collapse_theory.numerics.interpreter import interpret
from collapse_theory.numerics.jax_arithmetic import JaxArithmetic
from collapse_theory.numerics.jax_functions import jax_functions
from collapse_theory.numerics.predictor import Predictor, condition_in_float64
from collapse_theory.numerics.steps import (
    AddUp,
    Assign,
    Integrate,
    Recurse,
    SolveFeatures,
    SolvePooled,
    SolveRidge,
    Unroll,
)
from collapse_theory.symbols import ordered

__all__ = ["JaxPredictor"]

_SMALLEST, _LARGEST = 2.0**-300, 2.0**300  # numbers of which low powers and their products stay normal
_BLOCK = 1 << 18  # entries of a (points, nodes) array, of which a few fit the cache
_LARGE_BLOCK = 1 << 26  # and such that an accelerator has work
_REMEMBERED = 64  # numbers of fits whose functions are kept
_COVERED = Assign | AddUp | SolveRidge | SolveFeatures | Integrate | Recurse | SolvePooled | Unroll


class JaxPredictor(Predictor):
    """A formula at one spectrum and target, on JAX arrays; arguments as of :class:`.Predictor`.

    Raises:
        DomainError: If the formula has a step that JAX does not take, or the spectrum no end.

    >>> import collapse_theory as ct
    >>> error, measure = ct.catalog["ridge-clean"].error, {"spectrum": ct.Isotropic(50), "target": ct.RandomTarget()}
    >>> predict = error.compile(**measure, backend="jax")
    >>> round(float(predict(T=100, lam=0.1, sigma=0.5) / error.evaluate(**measure, T=100, lam=0.1, sigma=0.5)), 12)
    1.0
    >>> with jax.enable_x64(True):
    ...     slope = jax.grad(lambda lam: predict(T=100, lam=lam, sigma=0.5))(0.1)
    >>> round(float(slope), 12)
    -0.119313054425
    """

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        for s in self.program.plan.steps:
            if not isinstance(s, _COVERED) or (isinstance(s, Recurse) and not isinstance(s.rule, Generations)):
                raise DomainError(f'backend="jax" needs steps that JAX takes, got {s}; compile without a backend')
        if self._rank_or_none == np.inf:
            raise DomainError('backend="jax" needs a finite d, got d=oo; take a finite d, or compile without a backend')
        found = [] if self.measure is None else [*self.measure.values.values(), *self.measure.offsets.values()]
        found += [] if self.measure is None or self.measure.energies is None else [self.measure.energies]
        self._normal = all(_is_normal(np, x).all() for x in found)
        self._functions: dict[Any, Callable[..., Any]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_functions": {}}

    def __call__(self, *, terms: bool = False, test_noise: Any = None, **values: Any) -> Any:
        """Return the test error at the given values, in float64.

        It is an array of JAX where JAX holds float64, or traces; elsewhere one of NumPy, which loses nothing.

        Args:
            terms: Return a mapping from term name to value instead of the sum.
            test_noise: Standard deviation of the test point's label noise; its square is added.
            **values: One value per free symbol, by name; numbers, arrays, or what JAX traces, in float64.

        Raises:
            DomainError: If a value is missing or unknown, or is known and out of range or violates a condition; if a traced one is
                of another precision, or decides how many fits are run.
        """
        terms = flag(terms, "terms")
        bound = self._bind(values)
        traced = {x: v for x, v in bound.items() if isinstance(v, jax.core.Tracer)}
        known = {x: float64_array(x.name, v) for x, v in bound.items() if x not in traced}
        for x in self.counts & traced.keys():
            raise DomainError(
                f"{self.name} needs {x.name} to be known, because it decides how many fits are run, got a traced value; "
                f'keep it out of jit and vmap: functools.partial(predict, {x.name}=3), or static_argnames="{x.name}"'
            )
        noise = 0 if test_noise is None else test_noise
        if not isinstance(noise, jax.core.Tracer):
            noise = float64_array("test_noise", noise)
        self.check(known | self.numbers, np.zeros(()) if isinstance(noise, jax.core.Tracer) else noise)
        double = bool(traced) or jax.config.jax_enable_x64
        fixed = {x: known.pop(x) for x in self.counts & known.keys()}
        # What is known is known inside a traced function too.
        with jax.enable_x64(True), nullcontext() if traced else jax.ensure_compile_time_eval():  # noqa: FBT003 - its only argument
            moving = {x: _float64(x.name, v) for x, v in (known | traced).items()}
            shape = broadcast_shape({x.name: a for x, a in (fixed | moving).items()})
            fixed, moving = ({x: _flat(a, shape) for x, a in each.items()} for each in (fixed, moving))
            outputs = self._function(fixed)({x.name: a for x, a in moving.items()})
            if not traced:
                outputs = self._completed(outputs, known | fixed, shape)
            shaped = {name: jnp.broadcast_to(x, (int(np.prod(shape)),)).reshape(shape) for name, x in outputs.items()}
            if test_noise is not None:
                shaped["test noise"] = added = _float64("test_noise", noise) ** 2
                shaped["total"] = shaped["total"] + added
            if not double:
                shaped = {name: np.asarray(x) if x.ndim else float(x) for name, x in shaped.items()}
            total = shaped.pop("total")
            return shaped if terms else total

    @property
    def counts(self) -> frozenset[Symbol]:
        """The symbols that decide how many fits, or terms of a sum, there are."""
        found: set[Symbol] = set()
        for s in self.program.plan.steps:
            if isinstance(s, Unroll):
                found |= s.rounds.free_symbols
            elif isinstance(s, AddUp):
                found |= s.low.free_symbols | s.high.free_symbols
            elif isinstance(s, Recurse) and isinstance(s.rule, Generations):
                found |= set().union(*(s.arguments[i].free_symbols for i in s.rule.counts))
        return frozenset(found)

    def _function(self, fixed: Mapping[Symbol, np.ndarray]) -> Callable[..., Any]:
        """Return the compiled function of the values that move, by name."""
        key = tuple(sorted((x.name, a.shape, a.tobytes()) for x, a in fixed.items()))
        if key not in self._functions:
            names = {x.name: x for x in (*self.program.symbols, *self.program.optional)}

            def function(moving: Mapping[str, Any]) -> dict[str, Any]:
                return self._in_blocks(fixed, {names[name]: a for name, a in moving.items()})

            while len(self._functions) >= _REMEMBERED:
                self._functions.pop(next(iter(self._functions)))
            self._functions[key] = jax.jit(function)
        return self._functions[key]

    def _in_blocks(self, fixed: Mapping[Symbol, np.ndarray], moving: Mapping[Symbol, Any]) -> dict[str, Any]:
        """Return the outputs of many points block by block; a derivative computes each block again rather than keep them all."""
        points = {x.name: a for x, a in moving.items() if a.ndim}
        size, measure = max((a.size for a in points.values()), default=1), self.measure
        few = self.program.float64.tabulated
        nodes = 1 if measure is None else (measure.compressed if few else measure).size
        block = max(1, (_BLOCK if jax.default_backend() == "cpu" else _LARGE_BLOCK) // nodes)
        if size <= block or any(a.ndim for a in fixed.values()):
            return self._traced({**fixed, **moving})

        def at(point: Mapping[str, Any]) -> dict[str, Any]:
            return self._traced({**fixed, **moving, **{x: point[x.name] for x in moving if x.name in point}})

        found: dict[str, Any] = jax.lax.map(jax.checkpoint(at), points, batch_size=block)
        return found

    def _traced(self, values: Mapping[Symbol, Any]) -> dict[str, Any]:
        """Return the outputs and their sum; NaN where they are not to be trusted."""
        whole = {**values, **self.numbers}
        arithmetic: Any = JaxArithmetic(self.program.plan)
        given = {x: a if x in self.counts else jnp.asarray(a) for x, a in whole.items()}
        outputs = interpret(self.program.plan, arithmetic, self.measure, given)
        total = sum(outputs.values())
        good = ~jnp.asarray(arithmetic.lost) & jnp.isfinite(total) & self._inside(whole)
        sign = jnp.where(good, 1.0, jnp.nan)  # as a factor it reaches the derivatives too
        return {name: x * sign for name, x in {**outputs, "total": total}.items()}

    def _inside(self, values: Mapping[Symbol, Any]) -> Any:
        """Say where values are in the domain, and such that nothing overflows."""
        good = jnp.asarray(self._normal)
        for x, a in values.items():
            good &= _is_normal(jnp, a)
            good &= (a > 0) if x.is_positive else (a >= 0) if x.is_nonnegative else True
            good &= (a == jnp.floor(a)) if x.is_integer else True
        for condition in self.program.conditions:
            found, test = _compiled(condition)
            good &= test(*(values[x] for x in found))
        return good

    def _completed(self, outputs: Mapping[str, Any], known: Mapping[Symbol, np.ndarray], shape: tuple[int, ...]) -> Any:
        """Return the outputs with those that are lost computed as NumPy's predictor does it."""
        size = int(np.prod(shape))
        plain = {name: np.array(np.broadcast_to(x, (size,))) for name, x in outputs.items()}
        lost = np.flatnonzero(np.isnan(plain["total"]))
        if not lost.size:
            return outputs
        spots: dict[str, Any] = {x.name: a if a.ndim == 0 else _flat(a, shape)[lost] for x, a in known.items()}
        if self.spectrum is not None:
            spots.pop("d", None)
        found = self.evaluate(terms=True, **spots)
        for name, x in found.items():
            plain[name][lost] = x
        plain["total"][lost] = sum(found.values())
        return {name: jnp.asarray(x) for name, x in plain.items()}


def _is_normal(xp: Any, x: Any) -> Any:
    return (x == 0) | ((xp.abs(x) > _SMALLEST) & (xp.abs(x) < _LARGEST))


def _float64(name: str, value: Any) -> Any:
    """Return a value in float64; one that was rounded to fewer digits before is refused."""
    if isinstance(value, jax.core.Tracer) and not (value.dtype == float or jnp.issubdtype(value.dtype, jnp.integer)):
        raise DomainError(
            f"{name} needs to be traced in float64, got {value.dtype}; call jit, grad and vmap inside `with jax.enable_x64(True):`"
        )
    return jnp.asarray(value).astype(float)


def _flat(a: Any, shape: tuple[int, ...]) -> Any:
    if a.ndim == 0:
        return a
    return np.broadcast_to(a, shape).ravel() if isinstance(a, np.ndarray) else jnp.broadcast_to(a, shape).ravel()


@lru_cache(maxsize=256)
def _compiled(condition: Boolean) -> tuple[tuple[Symbol, ...], Callable[..., Any]]:
    found = ordered(condition.free_symbols)
    expression: Expr = condition_in_float64(condition)
    return found, numeric_function(found, expression, modules=[dict(jax_functions()), "numpy"])
