"""Plans in float64: array kernels over a batch of parameter values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from sympy import Expr, Symbol
from sympy.printing.numpy import NumPyPrinter

from collapse_theory.compiled import numeric_function
from collapse_theory.errors import DomainError
from collapse_theory.evaluate.features import solve_features
from collapse_theory.evaluate.kernels import float64_kernels
from collapse_theory.evaluate.measure import Measure
from collapse_theory.evaluate.plan import Integrate, Plan, Recurse, SolveFeatures, SolveRidge, Unroll, round_count
from collapse_theory.evaluate.ridge import residual_degrees, solve_effective_ridge
from collapse_theory.symbols import Eigenvalue, ordered

__all__ = ["Float64Program"]

_BLOCK = 1 << 15  # entries of a (batch, node) array: a handful of them stays in cache


class Float64Program:
    """A plan with its scalar expressions compiled to NumPy; pickles as the plan.

    Args:
        plan: The steps and outputs.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._compiled: dict[tuple[Expr, ...], _Vectorised] = {}
        self._programs: dict[tuple[Unroll, int], Float64Program] = {}

    def __getstate__(self) -> Plan:
        return self.plan

    def __setstate__(self, plan: Plan) -> None:
        self.__init__(plan)  # type: ignore[misc]

    def run(
        self, measure: Measure | None, values: Mapping[Symbol, np.ndarray], size: int
    ) -> tuple[dict[str, Any], Any]:
        """Evaluate the outputs for a batch.

        Args:
            measure: Nodes and weights; None if the plan takes no integral.
            values: Inputs by symbol: float64 of shape () or (size,).
            size: Batch size.

        Returns:
            The outputs by name, float64 of shape () or (size,), and a mask of the entries at an interpolation threshold
            (``T = rank`` without ridge), which are limits that float64 cannot take.
        """
        nodes = 1 if measure is None else measure.counts.size
        step = max(1, _BLOCK // nodes)
        if size <= step:
            return self._block(measure, values)
        parts = [
            self._block(measure, {k: v if v.ndim == 0 else v[i : i + step] for k, v in values.items()})
            for i in range(0, size, step)
        ]
        lengths = [min(step, size - i) for i in range(0, size, step)]

        def joined(pieces: list[Any]) -> np.ndarray:
            return np.concatenate([np.broadcast_to(p, (k,)) for p, k in zip(pieces, lengths, strict=True)])

        return {name: joined([p[0][name] for p in parts]) for name, _ in self.plan.outputs}, joined(
            [p[1] for p in parts]
        )

    def _block(self, measure: Measure | None, values: Mapping[Symbol, np.ndarray]) -> tuple[dict[str, Any], Any]:
        env: dict[Symbol, Any] = dict(values)
        threshold: Any = np.False_
        with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
            for s in self.plan.steps:
                if measure is None:
                    raise AssertionError("a plan with steps needs a measure")
                if isinstance(s, SolveRidge):
                    T, lam = np.broadcast_arrays(*self._scalars((s.T, s.lam), env))
                    kappa = solve_effective_ridge(measure, T.ravel(), lam.ravel())
                    residual = residual_degrees(measure, T.ravel(), lam.ravel(), kappa)
                    _refuse_extremes(measure, kappa)
                    env[s.kappa], env[s.residual] = kappa.reshape(T.shape), residual.reshape(T.shape)
                    threshold |= env[s.residual] == 0
                elif isinstance(s, SolveFeatures):
                    T, m, lam = np.broadcast_arrays(*self._scalars((s.T, s.m, s.lam), env))
                    solved = solve_features(measure, T.ravel(), m.ravel(), lam.ravel())
                    env[s.kappa], env[s.residual] = (x.reshape(T.shape) for x in solved)
                    threshold |= env[s.residual] == 0
                elif isinstance(s, Integrate):
                    self._integrate(s, measure, env)
                elif isinstance(s, Unroll):
                    threshold = threshold | self._unroll(s, measure, env)
                else:
                    self._recurse(s, measure, env)
            names, outer = zip(*self.plan.outputs, strict=True)
            outputs = self._scalars(outer, env)
        return dict(zip(names, outputs, strict=True)), threshold

    def _integrate(self, s: Integrate, measure: Measure, env: dict[Symbol, Any]) -> None:
        columns = {name: value if np.ndim(value) == 0 else value[:, None] for name, value in env.items()}
        functions = self._function(s.integrands)(columns, measure)
        for name, f, energy in zip(s.names, functions, s.energy, strict=True):
            weights = measure.energies if energy else measure.counts
            if weights is None:
                raise AssertionError("a quadratic form needs the energies of the target")
            env[name] = np.asarray(f) @ weights if np.ndim(f) else f * np.sum(weights)

    def _recurse(self, s: Recurse, measure: Measure, env: dict[Symbol, Any]) -> None:
        columns = [v if np.ndim(v) == 0 else v[:, None] for v in self._scalars(s.arguments, env)]
        env.update(zip(s.names, s.rule.run(measure, columns), strict=True))

    def _unroll(self, s: Unroll, measure: Measure, env: dict[Symbol, Any]) -> Any:
        """Evaluate the entries of each number of rounds together; return the mask of those at a threshold."""
        rounds, *arguments = np.broadcast_arrays(*self._scalars((s.rounds, *s.arguments), env))
        out, threshold = np.empty((len(s.names), *rounds.shape)), np.zeros(rounds.shape, dtype=bool)
        for count in np.unique(rounds):
            here = rounds == count
            values = {x: a[here] for x, a in zip(s.rule.parameters, arguments, strict=True)}
            program = self._programs.setdefault((s, int(count)), Float64Program(s.plan(round_count(count))))
            results, limits = program.run(measure, values, int(here.sum()))
            out[:, here] = [np.broadcast_to(results[name], here.sum()) for name in s.terms]
            threshold[here] = limits
        env.update(zip(s.names, out, strict=True))
        return threshold

    def _scalars(self, expressions: tuple[Expr, ...], env: Mapping[Symbol, Any]) -> list[np.ndarray]:
        return [np.asarray(x, dtype=float) for x in self._function(expressions)(env, None)]

    def _function(self, expressions: tuple[Expr, ...]) -> _Vectorised:
        if expressions not in self._compiled:
            self._compiled[expressions] = _Vectorised(expressions)
        return self._compiled[expressions]


class _KernelPrinter(NumPyPrinter):
    """Prints small integer powers as products: NumPy's general power is ten times slower on arrays."""

    def _print_Pow(self, expr: Expr, rational: bool = False) -> str:
        base, exponent = expr.args
        if not (exponent.is_Integer and 2 <= abs(exponent) <= _PRODUCT):
            return str(super()._print_Pow(expr, rational=rational))
        product = "*".join([f"({self._print(base)})"] * abs(int(exponent)))
        return f"(1/({product}))" if exponent < 0 else f"({product})"


_PRODUCT = 8
_KERNEL_PRINTER = _KernelPrinter({"fully_qualified_modules": False, "inline": True, "allow_unknown_functions": True})


def _refuse_extremes(measure: Measure, kappa: np.ndarray) -> None:
    """Refuse scales at which fourth powers in an integrand would silently overflow or vanish."""
    scale = np.maximum(measure.nodes.max(), kappa)
    if scale.min(initial=1.0) < 1 / _LARGEST_SCALE or scale.max(initial=1.0) > _LARGEST_SCALE:
        raise DomainError(
            f"float64 needs the spectrum and ridge to be of order {1 / _LARGEST_SCALE:.0e} to {_LARGEST_SCALE:.0e}, "
            f"got {scale.min():.1e} to {scale.max():.1e}; rescale them together, or use digits="
        )


_LARGEST_SCALE = 1e75


class _Vectorised:
    """Expressions compiled together, common sub-expressions named, called with an environment of arrays."""

    def __init__(self, expressions: tuple[Expr, ...]) -> None:
        found = ordered({x for e in expressions for x in e.free_symbols})
        self.inputs = [x for x in found if not isinstance(x, Eigenvalue)]
        nodes = [x for x in found if isinstance(x, Eigenvalue)]
        self.covariances = [x.name for x in nodes]
        self.call: Callable[..., Any] = numeric_function(
            [*self.inputs, *nodes], expressions, modules=[float64_kernels(), "numpy"], cse=True, printer=_KERNEL_PRINTER
        )

    def __call__(self, env: Mapping[Symbol, Any], measure: Measure | None) -> list[Any]:
        nodes = [] if measure is None else [measure.at(name) for name in self.covariances]
        return list(self.call(*(env[x] for x in self.inputs), *nodes))
