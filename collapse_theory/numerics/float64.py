"""Plans in float64: array kernels over a batch of parameter values.

Where no operation overflows, underflows or is undefined, and no difference cancels (:mod:`collapse_theory.numerics.magnitude`),
every step is good to round-off. Where one does the batch is halved until the points behind it are found: they are *beyond
float64*, and are computed in mpmath instead. So an intermediate that leaves the range of float64, or its digits, never makes a
wrong number, a NaN or an infinity.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sympy import Expr, Symbol
from sympy.printing.numpy import NumPyPrinter

from collapse_theory.core.errors import DomainError
from collapse_theory.numerics.compiled import numeric_function
from collapse_theory.numerics.effective_ridge import residual_degrees, solve_effective_ridge
from collapse_theory.numerics.feature_ridge import solve_features
from collapse_theory.numerics.kernels import float64_kernels
from collapse_theory.numerics.magnitude import Magnitudes, cancels, input_sum
from collapse_theory.numerics.measure import Measure
from collapse_theory.numerics.plan import Integrate, Plan, Recurse, SolveFeatures, SolveRidge, Unroll, round_count
from collapse_theory.numerics.recursions import Tangent
from collapse_theory.symbols import Eigenvalue, ordered

__all__ = ["Batch", "Float64Program"]

_BLOCK = 1 << 15  # entries of a (batch, node) array: a handful of them stays in cache


@dataclass(frozen=True)
class Batch:
    """The outputs of a batch and where they need another arithmetic.

    Attributes:
        outputs: By name, float64 of shape (size,).
        threshold: Whether a point sits at an interpolation threshold (``T = rank`` without ridge), where outputs are limits.
        beyond: Whether an operation behind a point left the range of float64.
    """

    outputs: Mapping[str, np.ndarray]
    threshold: np.ndarray
    beyond: np.ndarray


class Float64Program:
    """A plan with its scalar expressions compiled to NumPy; pickles as the plan.

    Args:
        plan: The steps and outputs.

    Attributes:
        checked: Whether a step knows its own error and limits, so that its infinities are meant.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._compiled: dict[tuple[Expr, ...], _Vectorised] = {}
        self._programs: dict[tuple[Unroll, int], Float64Program] = {}
        self._magnitudes = _magnitudes(plan)
        self.checked = any(isinstance(s, Recurse) and s.rule.checked for s in plan.steps)

    def __getstate__(self) -> Plan:
        return self.plan

    def __setstate__(self, plan: Plan) -> None:
        self.__init__(plan)  # type: ignore[misc]

    def run(self, measure: Measure | None, values: Mapping[Symbol, np.ndarray], size: int) -> Batch:
        """Evaluate the outputs for a batch.

        Args:
            measure: Nodes and weights; None if the plan takes no integral.
            values: Inputs by symbol: float64 of shape () or (size,).
            size: Batch size, positive.
        """
        nodes = 1 if measure is None else measure.size
        step = max(1, _BLOCK // nodes)
        if size > step:
            return _joined([self.run(measure, v, k) for v, k in _pieces(values, size, step)])
        outputs, threshold, reported = self._block(measure, values)
        if not reported or size == 1:
            threshold = np.broadcast_to(threshold, (size,))
            outputs = {name: np.broadcast_to(x, (size,)) for name, x in outputs.items()}
            return Batch(outputs, threshold, np.full(size, reported and not self.checked) & ~threshold)
        return _joined([self.run(measure, v, k) for v, k in _pieces(values, size, (size + 1) // 2)])

    def _block(self, measure: Measure | None, values: Mapping[Symbol, np.ndarray]) -> tuple[dict[str, Any], Any, bool]:
        env: dict[Symbol, Any] = dict(values)
        threshold: Any = np.False_
        reports: list[str] = []
        with np.errstate(all="call", call=lambda what, _: reports.append(what)):
            for s in self.plan.steps:
                if isinstance(s, Recurse):
                    self._recurse(s, measure, env)
                    continue
                if measure is None:
                    raise AssertionError("a step on the eigenvalues needs a measure")
                if isinstance(s, SolveRidge):
                    T, lam = np.broadcast_arrays(*self._scalars((s.T, s.lam), env, reports))
                    if (lam < 0).any():
                        raise DomainError(
                            f"an effective ridge needs a ridge >= 0, got {lam.min():g}; change the shift, or evaluate the "
                            "deterministic equivalent itself, which covers shifts outside the spectrum"
                        )
                    kappa = solve_effective_ridge(measure, T.ravel(), lam.ravel())
                    residual = residual_degrees(measure, T.ravel(), lam.ravel(), kappa)
                    threshold |= self._solved(s, (kappa, residual), T.shape, env, reports)
                elif isinstance(s, SolveFeatures):
                    T, m, lam = np.broadcast_arrays(*self._scalars((s.T, s.m, s.lam), env, reports))
                    solved = solve_features(measure, T.ravel(), m.ravel(), lam.ravel())
                    threshold |= self._solved(s, solved, T.shape, env, reports)
                elif isinstance(s, Integrate):
                    self._integrate(s, measure, env, reports)
                else:
                    threshold = threshold | self._unroll(s, measure, env, reports)
            names, outer = zip(*self.plan.outputs, strict=True)
            outputs = dict(zip(names, self._scalars(outer, env, reports), strict=True))
        if any(np.any(_abnormal(x)) for x in outputs.values()):
            reports.append("output")
        return outputs, threshold, bool(reports)

    def _solved(
        self, s: SolveRidge | SolveFeatures, solved: Any, shape: Any, env: dict[Symbol, Any], reports: Any
    ) -> Any:
        """Name the solution; say where it sits at an interpolation threshold."""
        env[s.kappa], env[s.residual] = (x.reshape(shape) for x in solved)
        if any(np.any(_abnormal(x)) for x in solved):
            reports.append("ridge")
        return env[s.residual] == 0

    def _integrate(self, s: Integrate, measure: Measure, env: dict[Symbol, Any], reports: list[str]) -> None:
        columns = {name: value if np.ndim(value) == 0 else value[:, None] for name, value in env.items()}
        functions, sizes = self._function(s.integrands)(columns, measure)
        for name, f, size, energy in zip(s.names, functions, sizes, s.energy, strict=True):
            integral = measure.form if energy else measure.trace
            with np.errstate(under="ignore"):
                env[name] = total = integral(f)
                if size is not None and cancels(total, integral(size)):
                    reports.append("cancellation")
            # What underflows in a sum is lost in its round-off, unless the sum itself is as small.
            nonzero = integral(f != 0) != 0
            if np.any((np.abs(total) < _LOST) & nonzero) or (energy and _lost_energy_counts(f, measure, total)):
                reports.append("integral")

    def _recurse(self, s: Recurse, measure: Measure | None, env: dict[Symbol, Any]) -> None:
        # What cancels in the shares of labels is measured against the whole label, so it is no loss.
        columns = [v if np.ndim(v) == 0 else v[:, None] for v in self._scalars(s.arguments, env, [])]
        env.update(zip(s.names, s.rule.run(measure, columns), strict=True))

    def _unroll(self, s: Unroll, measure: Measure, env: dict[Symbol, Any], reports: list[str]) -> Any:
        """Evaluate the entries of each number of rounds together; return the mask of those at a threshold."""
        rounds, *arguments = np.broadcast_arrays(*self._scalars((s.rounds, *s.arguments), env, reports))
        out, threshold = np.empty((len(s.names), *rounds.shape)), np.zeros(rounds.shape, dtype=bool)
        for count in np.unique(rounds):
            here = rounds == count
            values = {x: a[here] for x, a in zip(s.rule.parameters, arguments, strict=True)}
            program = self._programs.setdefault((s, int(count)), Float64Program(s.plan(round_count(count))))
            batch = program.run(measure, values, int(here.sum()))
            out[:, here] = [batch.outputs[name] for name in s.terms]
            threshold[here] = batch.threshold
            self.checked |= program.checked
            if batch.beyond.any():
                reports.append("rounds")
        env.update(zip(s.names, out, strict=True))
        return threshold

    def _scalars(
        self, expressions: tuple[Expr, ...], env: Mapping[Symbol, Any], reports: list[str]
    ) -> list[np.ndarray]:
        values, sizes = self._function(expressions)(env, None)
        if any(size is not None and cancels(x, size) for x, size in zip(values, sizes, strict=True)):
            reports.append("cancellation")
        return [np.asarray(x, dtype=float) for x in values]

    def _function(self, expressions: tuple[Expr, ...]) -> _Vectorised:
        if expressions not in self._compiled:
            self._compiled[expressions] = _Vectorised(expressions, self._magnitudes)
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


_TINY = np.finfo(float).tiny
_LOST = 2.0**60 * _TINY


def _abnormal(x: Any) -> Any:
    """Say where a number is not finite, or has lost digits to underflow."""
    return ~np.isfinite(x) | ((x != 0) & (np.abs(x) < _TINY))


def _lost_energy_counts(f: Any, measure: Measure, total: Any) -> bool:
    """Say whether energies that underflowed, and stand at the smallest normal number, show in an integral."""
    lost = measure.energies == _TINY
    if not np.any(lost):
        return False
    with np.errstate(under="ignore"):
        share = np.sum(np.abs(f) * np.where(lost, _TINY, 0), axis=-1)
    return bool(np.any(share * 2.0**60 > np.abs(total)))


def _pieces(values: Mapping[Symbol, np.ndarray], size: int, step: int) -> list[tuple[dict[str, np.ndarray], int]]:
    return [
        ({k: v if v.ndim == 0 else v[i : i + step] for k, v in values.items()}, min(step, size - i))
        for i in range(0, size, step)
    ]


def _joined(parts: list[Batch]) -> Batch:
    outputs = {name: np.concatenate([p.outputs[name] for p in parts]) for name in parts[0].outputs}
    return Batch(outputs, np.concatenate([p.threshold for p in parts]), np.concatenate([p.beyond for p in parts]))


def _magnitudes(plan: Plan) -> Magnitudes:
    """Return the magnitudes of a plan: ridges, and integrals of what cannot cancel, are not negative."""
    results: set[Symbol] = set()
    nonnegative: set[Symbol] = set()
    for s in plan.steps:
        if isinstance(s, SolveRidge | SolveFeatures):
            nonnegative |= {s.kappa, s.residual}
        elif isinstance(s, Integrate):
            results |= set(s.names)
            of = Magnitudes(frozenset(results), frozenset(nonnegative))
            nonnegative |= {name for name, f in zip(s.names, s.integrands, strict=True) if of(f) == f}
        else:
            results |= set(s.names)
            if isinstance(s, Recurse) and not isinstance(s.rule, Tangent):
                nonnegative |= set(s.names)
    return Magnitudes(frozenset(results | nonnegative), frozenset(nonnegative))


class _Vectorised:
    """Expressions compiled together, common sub-expressions named, called with an environment of arrays."""

    def __init__(self, expressions: tuple[Expr, ...], magnitudes: Magnitudes) -> None:
        found = ordered({x for e in expressions for x in e.free_symbols})
        self.inputs = [x for x in found if not isinstance(x, Eigenvalue)]
        nodes = [x for x in found if isinstance(x, Eigenvalue)]
        self.covariances = [x.name for x in nodes]
        watched = [i for i, e in enumerate(expressions) if magnitudes.can_cancel(e)]
        self.count, self.place = len(expressions), {i: k for k, i in enumerate(watched)}
        self.call: Callable[..., Any] = numeric_function(
            [*self.inputs, *nodes],
            [*expressions, *(magnitudes(expressions[i]) for i in watched)],
            modules=[{**float64_kernels(), "InputSum": input_sum}, "numpy"],
            cse=True,
            printer=_KERNEL_PRINTER,
        )

    def __call__(self, env: Mapping[Symbol, Any], measure: Measure | None) -> tuple[list[Any], list[Any]]:
        """Return the values, and the magnitudes of those in which something may cancel."""
        nodes = [] if measure is None else [measure.at(name) for name in self.covariances]
        out = list(self.call(*(env[x] for x in self.inputs), *nodes))
        values, sizes = out[: self.count], out[self.count :]
        return values, [sizes[self.place[i]] if i in self.place else None for i in range(self.count)]
