"""Plans in float64: array kernels over a batch of parameter values.

Where no operation overflows, underflows or is undefined, and no difference cancels (:mod:`collapse_theory.numerics.magnitude`),
every step is good to round-off. Where one does the batch is halved until the points behind it are found: they are *beyond
float64*, and are computed in mpmath instead. So an intermediate that leaves the range of float64, or its digits, never makes a
wrong number, a NaN or an infinity.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from sympy import Expr, Symbol

from collapse_theory.core.errors import DomainError
from collapse_theory.derive.pooled import PooledSystem
from collapse_theory.describe.truths import ENERGIES, Pair
from collapse_theory.numerics.effective_ridge import MANY, residual_degrees, solve_effective_ridge
from collapse_theory.numerics.existence_check import check_existence
from collapse_theory.numerics.feature_ridge import solve_features
from collapse_theory.numerics.integrand_shape import is_product_of_few, ridge_of
from collapse_theory.numerics.interpreter import interpret
from collapse_theory.numerics.iteration import solve_equations
from collapse_theory.numerics.magnitude import cancels
from collapse_theory.numerics.measure import Measure
from collapse_theory.numerics.plan import Plan, round_plan
from collapse_theory.numerics.pooled_float64 import pooled_points
from collapse_theory.numerics.reals import Float64
from collapse_theory.numerics.steps import (
    AddUp,
    Assign,
    CheckExistence,
    Integrate,
    Rule,
    SolveEquations,
    SolveFeatures,
    SolvePooled,
    SolveRidge,
    Unroll,
)
from collapse_theory.numerics.trace_tables import TraceTable, octaves_of
from collapse_theory.numerics.vectorised import Vectorised, magnitudes_of
from collapse_theory.symbols import kappa as kappa_symbol
from collapse_theory.symbols import ordered

__all__ = ["Batch", "Float64Program", "trace_table"]

_BLOCK = 1 << 17  # entries of a (batch, node) array: a megabyte, so that a block costs more than the calls on it
_CACHED = 1 << 15  # of which a few fit the cache
_POINTS = 1 << 16  # points of a block where the eigenvalues are only met in tables


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

    def at(self, places: np.ndarray) -> Batch:
        """Return the batch of the points at some places, in their order."""
        outputs = {name: x[places] for name, x in self.outputs.items()}
        return Batch(outputs, self.threshold[places], self.beyond[places])


class Float64Program:
    """A plan with its scalar expressions compiled to NumPy; pickles as the plan.

    Args:
        plan: The steps and outputs.

    Attributes:
        checked: Whether a step knows its own error and limits, so that its infinities are meant.
        tabulated: Whether the eigenvalues are only met in ridges and in integrals of one ridge each.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._compiled: dict[tuple[Expr, ...], Vectorised] = {}
        self._programs: dict[tuple[Unroll, float], Float64Program] = {}
        self._magnitudes = magnitudes_of(plan)
        self.checked = any(isinstance(s, SolvePooled) for s in plan.steps)
        self._blocks_itself = self.checked and all(isinstance(s, SolvePooled | Assign) for s in plan.steps)
        self.tabulated = _is_tabulated(plan)

    def __getstate__(self) -> Plan:
        return self.plan

    def __setstate__(self, plan: Plan) -> None:
        self.__init__(plan)  # type: ignore[misc]

    def run(
        self,
        measure: Measure | None,
        values: Mapping[Symbol, np.ndarray],
        size: int,
        *,
        rough: bool = False,
        jobs: int = 1,
    ) -> Batch:
        """Evaluate the outputs for a batch.

        Args:
            measure: Nodes and weights; None if the plan takes no integral.
            values: Inputs by symbol: float64 of shape () or (size,).
            size: Batch size, positive.
            rough: Do not look for the points that need another arithmetic; all of them are said to be in float64. Sums are taken
                in the fastest order, and pooled fits are solved once.
            jobs: Threads that share the pieces of a large batch, -1 for one on each core.
        """
        nodes = 1 if measure is None else measure.size
        step = size if self._blocks_itself else max(1, _BLOCK // nodes)
        if self.tabulated and measure is not None and len(measure.values) == 1 and size > step:
            step = max(step, _POINTS)
            if size > step:
                return self._in_pieces(measure, _pieces(values, size, step), rough=rough, jobs=jobs)
        elif size > step:
            place = self._repeated(values, size)
            if place is None:
                values = self._ahead(measure, values, rough=rough)
                return self._in_pieces(measure, _pieces(values, size, step), rough=rough, jobs=jobs)
            if place.max() >= step:
                return self._gathered(measure, values, place, step, rough=rough)
        outputs, threshold, reported = self._block(measure, values, rough=rough)
        reported &= not (rough or self.checked)
        if not reported or size == 1:
            threshold = np.broadcast_to(threshold, (size,))
            outputs = {name: np.broadcast_to(x, (size,)) for name, x in outputs.items()}
            return Batch(outputs, threshold, np.full(size, reported) & ~threshold)
        return _joined([self.run(measure, v, k) for v, k in _pieces(values, size, (size + 1) // 2)])

    def _in_pieces(
        self,
        measure: Measure | None,
        pieces: Sequence[tuple[Mapping[Symbol, np.ndarray], int]],
        *,
        rough: bool,
        jobs: int,
    ) -> Batch:
        """Evaluate a batch piece by piece; threads serve, because NumPy's loops let each other run."""
        if jobs == 1:
            return _joined([self.run(measure, v, k, rough=rough) for v, k in pieces])
        from joblib import Parallel, delayed

        first, *rest = pieces  # builds the tables that the others share
        head = self.run(measure, *first, rough=rough)
        tail = Parallel(n_jobs=jobs, require="sharedmem")(
            delayed(self.run)(measure, v, k, rough=rough) for v, k in rest
        )
        return _joined([head, *tail])

    def _repeated(self, values: Mapping[Symbol, np.ndarray], size: int) -> np.ndarray | None:
        """Return which of its distinct points on the eigenvalues each point of a batch is; None if that saves nothing.

        Effective ridges and integrals are taken at distinct arguments only, so that a batch is as large as these.
        """
        if not all(isinstance(s, SolveRidge | Integrate) for s in self.plan.steps):
            return None
        used = [values[x] for x in _inputs(self.plan) if x in values]
        if not any(x.ndim for x in used):
            return np.zeros(size, dtype=int)
        return _distinct(used)[1]

    def _ahead(
        self, measure: Measure | None, values: Mapping[Symbol, np.ndarray], *, rough: bool
    ) -> Mapping[Symbol, np.ndarray]:
        """Return the values with the effective ridges that repeat in the whole batch, whose pieces would each solve them again."""
        known, ahead = dict(values), dict[Any, np.ndarray]()
        for step in self.plan.steps:
            if measure is None or not isinstance(step, SolveRidge | SolveFeatures):
                continue
            arguments = (step.T, step.lam) if isinstance(step, SolveRidge) else (step.T, step.m, step.lam)
            if not set().union(*(e.free_symbols for e in arguments)) <= set(known):
                continue
            arithmetic = _Rough(self) if rough else _Watched(self)
            with np.errstate(all="call", call=lambda what, _, reports=arithmetic.reports: reports.append(what)):
                points, inverse = _distinct(np.broadcast_arrays(*arithmetic.evaluate(arguments, known)))
                if inverse is None:
                    continue
                solve = arithmetic.ridge if isinstance(step, SolveRidge) else arithmetic.features
                found = solve(measure, *points)
            if not arithmetic.reports:
                solved = dict(zip(step.names, (x[inverse] for x in found), strict=True))
                known |= solved
                ahead |= {_Ahead(x): v for x, v in solved.items()}
        return {**values, **ahead}

    def _gathered(
        self, measure: Measure | None, values: Mapping[Symbol, np.ndarray], place: np.ndarray, step: int, *, rough: bool
    ) -> Batch:
        """Evaluate a batch in pieces of so many distinct points each."""
        order = np.argsort(place, kind="stable")
        ends = np.searchsorted(place[order], np.arange(0, place.max() + step + 1, step))
        batches = []
        for a, b in pairwise(ends):
            here = {x: v if v.ndim == 0 else v[order[a:b]] for x, v in values.items()}
            batches.append(self.run(measure, here, int(b - a), rough=rough))
        return _joined(batches).at(np.argsort(order, kind="stable"))

    def _block(
        self, measure: Measure | None, values: Mapping[Symbol, np.ndarray], *, rough: bool
    ) -> tuple[dict[str, Any], Any, bool]:
        arithmetic = _Rough(self) if rough else _Watched(self)
        with np.errstate(all="call", call=lambda what, _: arithmetic.reports.append(what)):
            ahead = {x.name: v for x, v in values.items() if isinstance(x, _Ahead)}
            for step in self.plan.steps:
                if step.names[0] in ahead:
                    arithmetic.known(*(ahead[x] for x in step.names))
            given = {x: v for x, v in values.items() if not isinstance(x, _Ahead)}
            outputs = interpret(self.plan, arithmetic, measure, given, ahead)
        if any(np.any(_abnormal(x)) for x in outputs.values()):
            arithmetic.reports.append("output")
        return outputs, arithmetic.threshold, bool(arithmetic.reports)

    def after(self, step: Unroll, rounds: float) -> Float64Program:
        """Return the program of a step's terms after a number of rounds."""
        if (step, rounds) not in self._programs:
            self._programs[step, rounds] = Float64Program(round_plan(step.rule, step.orders, rounds))
        return self._programs[step, rounds]

    def function(self, expressions: tuple[Expr, ...]) -> Vectorised:
        """Return the compiled expressions."""
        if expressions not in self._compiled:
            self._compiled[expressions] = Vectorised(expressions, self._magnitudes)
        return self._compiled[expressions]


def trace_table(
    program: Float64Program,
    measure: Measure,
    f: Expr,
    energy: Pair | None,
    first: int,
    last: int,
) -> TraceTable:
    """Return the table of an integral of one ridge over a range of octaves at least; it is kept by the measure.

    Args:
        program: Compiles the integrand.
        measure: Eigenvalues.
        f: The integrand, of one ridge.
        energy: Against what the integral is: the energies, or the counting measure.
        first: Exponent of the first octave.
        last: Exponent of the last octave.
    """
    ridge = ridge_of(f)
    key = (f.xreplace({ridge: kappa_symbol}), energy)
    table: TraceTable | None = measure.tables.get(key)
    if table is not None and table.covers(first, last):
        return table
    if table is not None:
        first, last = min(first, table.first), max(last, table.last)
    on = measure.compressed if is_product_of_few(f) else measure
    call, integral = program.function((f,)), on.integral(energy)

    def at(x: np.ndarray) -> Any:
        step = max(1, _CACHED // on.size)
        parts = [integral(call({ridge: x[i : i + step, None]}, on)[0][0]) for i in range(0, x.size, step)]
        return np.concatenate(parts) if np.ndim(parts[0]) else parts[0]

    table = measure.tables[key] = TraceTable.of(at, first, last)
    return table


class _Watched(Float64):
    """float64 over a batch, with reports of what left its range or lost its digits.

    Attributes:
        program: The compiled expressions.
        reports: What was reported, in words.
        threshold: Whether a point sits at an interpolation threshold.
        located: The ridges last met, and their octaves and places.
    """

    rough = False

    def __init__(self, program: Float64Program) -> None:
        self.program = program
        self.reports: list[str] = []
        self.threshold: Any = np.False_
        self.located: tuple[np.ndarray, tuple[np.ndarray, np.ndarray] | None] | None = None

    def evaluate(self, expressions: Sequence[Expr], values: Mapping[Symbol, Any]) -> list[Any]:
        """Return arrays of values; what cancels is reported."""
        found, sizes = self.program.function(tuple(expressions))(values, None)
        if any(size is not None and cancels(x, size) for x, size in zip(found, sizes, strict=True)):
            self.reports.append("cancellation")
        return [np.asarray(x, dtype=float) for x in found]

    def arguments(self, expressions: Sequence[Expr], env: Mapping[Symbol, Any]) -> list[Any]:
        """Return arrays of values. What cancels in the shares of labels is measured against the whole label: no loss."""
        found, _ = self.program.function(tuple(expressions))(env, None)
        return [np.asarray(x, dtype=float) for x in found]

    def integrate(
        self, measure: Measure, integrands: Sequence[Expr], energy: Sequence[Pair | None], env: Mapping[Symbol, Any]
    ) -> list[Any]:
        """Return sums over the eigenvalues: of many points from tables, where these serve, and on few nodes."""
        totals: list[Any] = [None] * len(integrands)
        rest: dict[bool, list[int]] = {}
        for i, (f, e) in enumerate(zip(integrands, energy, strict=True)):
            totals[i] = self._tabulated(measure, f, e, env)
            if totals[i] is None:
                rest.setdefault(is_product_of_few(f), []).append(i)
        for few, places in rest.items():
            on = measure.compressed if few else measure
            found = self._summed(on, [integrands[i] for i in places], [energy[i] for i in places], env)
            for i, total in zip(places, found, strict=True):
                totals[i] = total
        return totals

    def _tabulated(self, measure: Measure, f: Expr, energy: Pair | None, env: Mapping[Symbol, Any]) -> Any:
        """Return an integral of one ridge at many points; None where there is no table of it."""
        ridge = ridge_of(f)
        if energy not in {None, ENERGIES}:
            return None
        if ridge is None or np.size(env[ridge]) <= MANY or self.program.function((f,)).place:
            return None
        kappa = env[ridge]
        positive = kappa > 0
        least = kappa[positive].min(initial=np.inf)
        if not least < np.inf:
            return None
        if self.located is None or self.located[0] is not kappa:  # integrals of one ridge follow each other
            self.located = kappa, octaves_of(np.where(positive, kappa, least))
        if self.located[1] is None:
            return None
        exponent, z = self.located[1]
        table = trace_table(self.program, measure, f, energy, int(exponent.min()), int(exponent.max()))
        total, good = table(exponent, z)
        lost = np.flatnonzero(~(good & positive))
        if lost.size:
            on = measure.compressed if is_product_of_few(f) else measure
            total[lost] = self._summed(on, [f], [energy], {ridge: kappa[lost]})[0]
        return total

    def _summed(
        self, measure: Measure, integrands: Sequence[Expr], energy: Sequence[Pair | None], env: Mapping[Symbol, Any]
    ) -> list[Any]:
        """Return sums over the nodes."""
        points, inverse = _points(integrands, env)
        size = max((x.size for x in points.values() if np.ndim(x)), default=1)
        step = max(1, _BLOCK // measure.size)
        parts = []
        for i in range(0, size, step):
            here = {name: x if np.ndim(x) == 0 else x[i : i + step, None] for name, x in points.items()}
            parts.append(self._sums(measure, integrands, energy, here))
        totals = [x[0] if np.ndim(x[0]) == 0 else np.concatenate(x) for x in zip(*parts, strict=True)]
        return [total if inverse is None or np.ndim(total) == 0 else total[inverse] for total in totals]

    def _sums(
        self, measure: Measure, integrands: Sequence[Expr], energy: Sequence[Pair | None], columns: Mapping[Symbol, Any]
    ) -> list[Any]:
        """Return sums over the nodes for a block of points, as columns; what was lost is reported."""
        functions, sizes = self.program.function(tuple(integrands))(columns, measure)
        totals = []
        for f, size, truths in zip(functions, sizes, energy, strict=True):
            integral, plain = measure.integral(truths), measure.sizes(truths)
            if truths not in {None, ENERGIES}:
                size = np.abs(f) if size is None else size  # products of two truths have both signs
            with np.errstate(under="ignore"):
                total = integral(f)
                if size is not None and cancels(total, plain(size)):
                    self.reports.append("cancellation")
            # What underflows in a sum is lost in its round-off, unless the sum itself is as small.
            nonzero = plain(f != 0) != 0
            if np.any((np.abs(total) < _LOST) & nonzero) or (
                truths == ENERGIES and _lost_energy_counts(f, measure, total)
            ):
                self.reports.append("integral")
            totals.append(total)
        return totals

    def ridge(self, measure: Measure, T: Any, lam: Any) -> tuple[Any, Any]:
        """Return effective ridges and residual degrees of freedom.

        Raises:
            DomainError: If a ridge is negative.
        """
        T, lam = np.broadcast_arrays(T, lam)
        if (lam < 0).any():
            raise DomainError(
                f"an effective ridge needs a ridge >= 0, got {lam.min():g}; change the shift, or evaluate the "
                "deterministic equivalent itself, which covers shifts outside the spectrum"
            )
        shape = T.shape
        T, lam, inverse = T.ravel(), lam.ravel(), None
        if T.size <= MANY:  # more are read off tables, which takes less time than to sort them
            (T, lam), inverse = _distinct([T, lam])
        kappa = solve_effective_ridge(measure, T, lam, rough=self.rough)
        residual = residual_degrees(measure, T, lam, kappa)
        if inverse is not None:
            kappa, residual = kappa[inverse], residual[inverse]
        return self._solved(shape, kappa, residual)

    def features(self, measure: Measure, T: Any, m: Any, lam: Any) -> tuple[Any, Any]:
        """Return the same for fits on random features."""
        T, m, lam = np.broadcast_arrays(T, m, lam)
        return self._solved(T.shape, *solve_features(measure, T.ravel(), m.ravel(), lam.ravel()))

    def on_atoms(
        self,
        atoms: Sequence[Sequence[Any]],
        env: Mapping[Symbol, Any],
        step: Callable[[Measure, Mapping[Symbol, Any]], Sequence[Any]],
    ) -> Sequence[Any]:
        """Return the results of a step; the points of each spectrum are computed together."""
        sizes = np.cumsum([len(x) for x in atoms])[:-1]
        table = np.stack(np.broadcast_arrays(*(y for x in atoms for y in x)), axis=-1)
        if table.ndim == 1:
            return step(_atoms(table, sizes), env)
        before, threshold = self.threshold, np.zeros(len(table), dtype=bool)
        first, second = np.empty((2, len(table)))
        spectra, where = np.unique(table, axis=0, return_inverse=True)
        for i, spectrum in enumerate(spectra):
            here, self.threshold = where.ravel() == i, np.False_
            first[here], second[here] = step(
                _atoms(spectrum, sizes),
                {x: v[here] if np.ndim(v) else v for x, v in env.items()},
            )
            threshold[here] = self.threshold
        self.threshold = before | threshold
        return first, second

    def equations(self, step: SolveEquations, measure: Measure, env: Mapping[Symbol, Any]) -> Sequence[Any]:
        """Return the positive solution of equations."""
        return solve_equations(step, partial(interpret, step.sides, self, measure), env, self.epsilon)

    def whole(self, x: Any) -> int:
        """Return an integer."""
        return int(x)

    def known(self, kappa: Any, residual: Any) -> None:
        """Look at a solution that was found ahead."""
        self._solved(np.shape(kappa), kappa, residual)

    def _solved(self, shape: tuple[int, ...], kappa: np.ndarray, residual: np.ndarray) -> tuple[Any, Any]:
        """Return a solution in its shape; remember where it sits at an interpolation threshold."""
        if np.any(_abnormal(kappa)) or np.any(_abnormal(residual)):
            self.reports.append("ridge")
        residual = residual.reshape(shape)
        self.threshold = self.threshold | (residual == 0)
        return kappa.reshape(shape), residual

    def pooled(
        self, system: PooledSystem, measure: Measure, values: Mapping[Symbol, Any], direction: Mapping[Symbol, Any]
    ) -> tuple[Any, Any]:
        """Return bias and variance, or their slopes."""
        return pooled_points(system, measure, values, direction)

    def recurse(self, rule: Rule, measure: Measure, arguments: Sequence[Any]) -> Sequence[Any]:
        """Return the results of a recursion over fits."""
        return rule.run(measure, arguments)

    def exists(self, step: CheckExistence, measure: Measure | None, arguments: Sequence[Any]) -> float:
        """Return one where the expression has an equivalent."""
        check_existence(step, measure, arguments)
        return 1.0

    def unroll(self, step: Unroll, measure: Measure, rounds: Any, arguments: Sequence[Any]) -> Sequence[Any]:
        """Return the terms; the points of each number of rounds are evaluated together."""
        rounds, *arguments = np.broadcast_arrays(rounds, *arguments)
        out, threshold = np.empty((len(step.names), *rounds.shape)), np.zeros(rounds.shape, dtype=bool)
        for count in np.unique(rounds):
            here = rounds == count
            values = {x: a[here] for x, a in zip(step.rule.parameters, arguments, strict=True)}
            program = self.program.after(step, float(count))
            batch = program.run(measure, values, int(here.sum()))
            out[:, here] = [batch.outputs[name] for name in step.rule.terms]
            threshold[here] = batch.threshold
            self.program.checked |= program.checked
            if batch.beyond.any():
                self.reports.append("rounds")
        self.threshold = self.threshold | threshold
        return list(out)


class _Rough(_Watched):
    """float64 that does not look for what it lost: sums in the fastest order, and pooled fits are solved once."""

    rough = True

    def _sums(
        self, measure: Measure, integrands: Sequence[Expr], energy: Sequence[Pair | None], columns: Mapping[Symbol, Any]
    ) -> list[Any]:
        """Return sums over the nodes."""
        functions, _ = self.program.function(tuple(integrands))(columns, measure)
        return [measure.integral(truths)(f, rough=True) for f, truths in zip(functions, energy, strict=True)]

    def pooled(
        self, system: PooledSystem, measure: Measure, values: Mapping[Symbol, Any], direction: Mapping[Symbol, Any]
    ) -> tuple[Any, Any]:
        """Return bias and variance, or their slopes; NaN where float64 has no solution."""
        return pooled_points(system, measure, values, direction, rough=True)


@lru_cache(maxsize=256)
def _is_tabulated(plan: Plan) -> bool:
    """Say whether a plan meets the eigenvalues only in ridges and in integrals of one ridge each."""
    on_eigenvalues = [s for s in plan.steps if not isinstance(s, Assign | AddUp)]
    return all(
        isinstance(s, SolveRidge | SolveFeatures)
        or (isinstance(s, Integrate) and all(ridge_of(f) is not None for f in s.integrands))
        for s in on_eigenvalues
    )


@lru_cache(maxsize=256)
def _inputs(plan: Plan) -> tuple[Symbol, ...]:
    """Return the symbols that occur in the ridges and integrals of a plan."""
    found: set[Symbol] = set()
    for step in plan.steps:
        if isinstance(step, SolveRidge):
            found |= step.T.free_symbols | step.lam.free_symbols
        elif isinstance(step, Integrate):
            found |= set().union(*(f.free_symbols for f in step.integrands))
    return ordered(found)


def _atoms(spectrum: np.ndarray, places: np.ndarray) -> Measure:
    """Return the measure of eigenvalues and, behind them, their counts and energies."""
    nodes, counts, energies = np.split(spectrum, places)
    return Measure.of_atoms(nodes, counts.tolist(), energies)


@lru_cache(maxsize=1024)
def _symbols(expressions: tuple[Expr, ...]) -> tuple[Symbol, ...]:
    """Return the symbols of expressions, in an order; to find them takes as long as to evaluate a block."""
    return ordered(set().union(*(e.free_symbols for e in expressions)))


def _points(integrands: Sequence[Expr], env: Mapping[Symbol, Any]) -> tuple[dict[Symbol, Any], np.ndarray | None]:
    """Return the values that integrands depend on, each point once, and where each point of the batch is."""
    used = {name: env[name] for name in _symbols(tuple(integrands)) if name in env}
    points, inverse = _distinct(list(used.values()))
    return dict(zip(used, points, strict=True)), inverse


def _distinct(arrays: Sequence[Any]) -> tuple[list[Any], np.ndarray | None]:
    """Return the points of a batch without repetition, and where each came from; None where that saves nothing.

    A sweep over noises or generations repeats its ridges, and what is dear depends on these alone.
    """
    varying = [a for a in arrays if np.ndim(a)]
    if not varying or any(_mostly_distinct(a) for a in varying):  # to sort whole points takes ten times as long
        return list(arrays), None
    place, first = np.zeros(varying[0].size, dtype=np.int64), np.zeros(1, dtype=np.int64)
    for a in varying:  # to sort numbers, one argument at a time, is ten times as fast as to sort rows
        values, here = np.unique(a, return_inverse=True)
        _, first, place = np.unique(place * values.size + here, return_index=True, return_inverse=True)
        if 2 * first.size > place.size:
            return list(arrays), None
    return [a[first] if np.ndim(a) else a for a in arrays], place


def _mostly_distinct(a: np.ndarray) -> bool:
    ascending = np.sort(a)
    return bool(2 * (1 + np.count_nonzero(ascending[1:] != ascending[:-1])) > a.size)


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


class _Ahead(NamedTuple):
    """Key of a result that is known before its step, apart from all symbols: an inner plan may have the name again."""

    name: Symbol


def _pieces(values: Mapping[Symbol, np.ndarray], size: int, step: int) -> list[tuple[dict[str, np.ndarray], int]]:
    return [
        ({k: v if v.ndim == 0 else v[i : i + step] for k, v in values.items()}, min(step, size - i))
        for i in range(0, size, step)
    ]


def _joined(parts: list[Batch]) -> Batch:
    outputs = {name: np.concatenate([p.outputs[name] for p in parts]) for name in parts[0].outputs}
    return Batch(outputs, np.concatenate([p.threshold for p in parts]), np.concatenate([p.beyond for p in parts]))
