r"""The test error of any linear pipeline as numbers, with a known error.

The recursion runs in float64 on the same problem written in several units of the covariances, and in all but the first
every trace and every effective ridge is off by a few random units of round-off. Exactly, the results agree; their spread
measures the rounding errors, whatever their cause (Vignes 2004, discrete stochastic arithmetic). Where it is too large
the recursion runs again in mpmath, with more digits until two precisions agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from mpmath.libmp import dps_to_prec
from sympy import Expr, S, Symbol

from collapse_theory import symbols
from collapse_theory.core.errors import ConvergenceError, DomainError
from collapse_theory.core.precision import private_context
from collapse_theory.derive.pooled import PooledSystem, Scaling, TestErrorPencil, error_pencil
from collapse_theory.engine.fixed_point import Atom, solve
from collapse_theory.engine.triangular import Structure, structure_of
from collapse_theory.numerics.complements import Complements
from collapse_theory.numerics.measure import Measure
from collapse_theory.numerics.network_arithmetic import PipelineArithmetic
from collapse_theory.numerics.reals import COMPLEX_STEP, FLOAT64, Float64, MultiPrecision, Reals
from collapse_theory.numerics.resolvents import Resolvent
from collapse_theory.numerics.solved_fits import fit_resolvent, solved_fit

__all__ = ["PipelineEquivalent", "TestErrorValues"]

_UNITS = (1.0, 1.3720911, 0.7318853)  # of the covariances; the first is exact, the others round everything anew
_NUDGES = (0, 3, -3)  # units of round-off by which equations and traces are off
_ACCEPTED = 1e-12  # largest spread over the units at which float64 is believed
_ACCEPTED_SLOPE = 1e-10
_AGREED = 1e-15  # of two precisions
_STEP = 1e-10  # of a complex step, relative: its error is the square
_SMALLEST = 1e-280
_DIGITS = (40, 90, 190, 400)


@dataclass(frozen=True)
class TestErrorValues:
    """The test error of a pipeline at given numbers.

    Attributes:
        bias: The part of the true coefficients.
        variance: Contribution of each noise source, by the name of its result.
        residual: Largest relative residual of the nonlinear equations.
        error: Estimated relative error of the less accurate one of bias and variance; None where it was not asked for.
        extended: Whether float64 did not suffice.
    """

    __test__ = False

    bias: Any
    variance: Mapping[str, Any]
    residual: float
    error: float | None = None
    extended: bool = False

    @property
    def total(self) -> Any:
        """Bias and variance together."""
        return self.bias + self.noise

    @property
    def noise(self) -> Any:
        """Variance of all noise sources."""
        return sum(self.variance.values())


@dataclass(frozen=True)
class PipelineEquivalent:
    """The deterministic equivalent of a pipeline's test error; the structure is derived once for many values.

    Args:
        system: The pooled fits. Rows, noises, ridges and weights may be symbols.

    >>> from collapse_theory import workflows
    >>> from collapse_theory.describe.pipeline import Stage
    >>> from collapse_theory.derive.pooled import pooled_system
    >>> pipe = workflows.accumulate(2, Stage(T=90, noise=0.4, ridge=0.05))
    >>> measure = Measure({"Sigma": np.ones(1)}, np.array([100]), energies=np.ones(1))
    >>> error = PipelineEquivalent(pooled_system(pipe)).evaluate(measure)
    >>> round(error.total, 6), error.error < 1e-13
    (0.491749, True)
    """

    system: PooledSystem

    @cached_property
    def _structures(self) -> dict[tuple[Any, ...], _Problem]:
        return {}

    @cached_property
    def symbols(self) -> tuple[Symbol, ...]:
        """The parameters that take values."""
        found = {x for e in _parameters(self.system) for x in e.free_symbols} - {symbols.d}
        return symbols.ordered(found)

    @cached_property
    def _numbers(self) -> tuple[Expr, ...]:
        """Every expression of the parameters that is needed as a number."""
        found = {e for f in self.system.fits for e in (f.ridge, f.N, *(e for x in f.designs for e in (x.T, x.weight)))}
        return tuple(sorted(found | set(error_pencil(self.system).noises.values()), key=lambda e: e.sort_key()))

    def evaluate(self, measure: Measure, values: Mapping[Symbol, float] | None = None) -> TestErrorValues:
        """Return bias and variances in float64, with a relative error of at most about 1e-12, which is estimated.

        Args:
            measure: Eigenvalues of every covariance in the common basis, and energies of the target.
            values: Values of the system's symbols.

        Raises:
            DomainError: At a threshold without ridge, or if the result is beyond the range of float64.
            ConvergenceError: If an equation is not solved, or two precisions do not agree (with the figures).
        """
        try:
            with np.errstate(all="ignore"):
                found = self._float64(measure, values or {})
        except ConvergenceError:
            found = None  # float64 cannot even solve it
        if found is not None and found.error is not None and found.error <= _ACCEPTED:
            return found
        return self._extended(measure, values or {}, None if found is None else found.error)

    def slope(
        self, measure: Measure, values: Mapping[Symbol, float], direction: Mapping[Symbol, float]
    ) -> tuple[float, float]:
        """Return the derivatives of bias and variance along a direction of the values, in float64.

        Args:
            measure: As in :meth:`evaluate`.
            values: As in :meth:`evaluate`.
            direction: Derivative of each value that moves.

        Raises:
            DomainError: As in :meth:`evaluate`.
            ConvergenceError: As in :meth:`evaluate`.
        """
        moving = {x: v for x, v in direction.items() if v != 0}
        if not moving:
            return 0.0, 0.0
        try:
            with np.errstate(all="ignore"):
                terms, error = self._complex_step(measure, values, moving)
        except ConvergenceError:
            error = np.inf
        if error <= _ACCEPTED_SLOPE:
            return float(terms[0]), float(terms[1])
        before: tuple[Any, Any] | None = None
        for digits in _DIGITS:
            reals = MultiPrecision(private_context(dps_to_prec(digits)))
            exact = measure.mapped(reals.array)
            given, along = ({x: reals.context.mpf(v) for x, v in m.items()} for m in (values, moving))
            try:
                now = self.exact_slope(reals, exact, given, along)
            except ConvergenceError:
                if digits == _DIGITS[-1]:
                    raise
                continue
            if before is not None and all(_distance(a, b) <= _AGREED for a, b in zip(now, before, strict=True)):
                return float(now[0]), float(now[1])
            before = now
        raise ConvergenceError("the derivative of the test error did not settle; give a larger ridge")

    def exact_slope(
        self,
        reals: MultiPrecision,
        measure: Measure,
        values: Mapping[Symbol, Any],
        direction: Mapping[Symbol, Any],
    ) -> tuple[Any, Any]:
        """Return the derivatives of bias and variance in multiple precision, by a central difference at a third of it."""
        h = reals.context.mpf(10) ** -(reals.context.dps // 3)
        step = h * min(abs(values[x] / v) if values[x] else 1 / abs(v) for x, v in direction.items())
        at = [
            self.solve(reals, measure, {**values, **{x: values[x] + sign * step * v for x, v in direction.items()}})
            for sign in (1, -1)
        ]
        bias, noise = (
            (a - b) / (2 * step)
            for a, b in zip(*((np.ravel(x.bias)[0], np.ravel(x.noise + 0 * x.bias)[0]) for x in at), strict=True)
        )
        return bias, noise

    def _complex_step(
        self, measure: Measure, values: Mapping[Symbol, float], direction: Mapping[Symbol, float]
    ) -> tuple[np.ndarray, float]:
        """Return the derivatives, and the spread of the less accurate one over the units."""
        step = _STEP * min(abs(values[x] / v) if values[x] else 1 / abs(v) for x, v in direction.items())
        if min(abs(step * v) for v in direction.values()) < _SMALLEST:
            return np.zeros(2), np.inf
        moved = {x: values[x] + 1j * step * v for x, v in direction.items()}
        found = self.solve(COMPLEX_STEP, measure, {**values, **moved}, self._units(measure))
        terms = np.imag([found.bias, found.noise + np.zeros(len(_UNITS))]) / step
        spread = np.abs(terms - terms[:, :1]).max(axis=1)
        usable = np.isfinite(terms).all()
        error = np.divide(spread, np.abs(terms[:, 0]), out=np.full(2, np.inf), where=terms[:, 0] != 0)
        return terms[:, 0], float(np.max(np.where(spread > 0, error, 0.0))) if usable else np.inf

    def _units(self, measure: Measure) -> list[float]:
        """Return the units of the covariances, the first a power of two that brings the largest eigenvalue near one."""
        tops = [measure.at(x.covariance).max() for f in self.system.fits for x in f.designs]
        exponent = -np.frexp(max(tops))[1]
        return [float(np.ldexp(u, exponent)) for u in _UNITS]

    def _float64(self, measure: Measure, values: Mapping[Symbol, float]) -> TestErrorValues:
        found = self.solve(FLOAT64, measure, values, self._units(measure))
        terms = np.array([found.bias, found.noise + np.zeros(len(_UNITS))])
        spread = np.abs(terms - terms[:, :1]).max(axis=1)
        usable = np.isfinite(terms).all() and (terms >= 0).all()
        error = float(np.max(np.divide(spread, terms[:, 0], out=np.zeros(2), where=spread > 0))) if usable else np.inf
        first = {name: float(v[0]) for name, v in found.variance.items()}
        return TestErrorValues(float(found.bias[0]), first, found.residual, error)

    def _extended(
        self, measure: Measure, values: Mapping[Symbol, float], float64_error: float | None
    ) -> TestErrorValues:
        before: TestErrorValues | None = None
        error = np.inf
        for digits in _DIGITS:
            reals = MultiPrecision(private_context(dps_to_prec(digits)))
            exact = measure.mapped(reals.array)
            given = {x: reals.context.mpf(v) for x, v in values.items()}
            try:
                now = self.solve(reals, exact, given)
            except ConvergenceError:
                if digits == _DIGITS[-1]:
                    raise
                continue
            if before is not None:
                error = max(_distance(now.bias, before.bias), _distance(now.noise, before.noise))
                if error <= _AGREED:
                    return _rounded(now, error)
            before = now
        first = "no solution" if float64_error is None else f"a relative spread of {float64_error:.1e}"
        raise ConvergenceError(
            f"the test error did not settle: {first} in float64, {error:.1e} between {_DIGITS[-2]} and {_DIGITS[-1]} digits; "
            "give a larger ridge, or rows further from the rank"
        )

    def solve(
        self,
        reals: Reals,
        measure: Measure,
        values: Mapping[Symbol, Any],
        units: Sequence[Any] = (1,),
    ) -> TestErrorValues:
        """Return bias and variances in any real numbers.

        Args:
            reals: The numbers of the arrays and values.
            measure: As in :meth:`evaluate`.
            values: As in :meth:`evaluate`.
            units: What to multiply covariances and ridges with before solving; one result for each.

        Returns:
            Bias and variances as arrays of shape (len(units),).
        """
        given: dict[Symbol, Any] = {symbols.d: reals.array(measure.dimension)[()], **values}
        number = dict(zip(self._numbers, reals.evaluate(self._numbers, given), strict=True))
        nudges = _NUDGES[: len(units)]
        alike: dict[tuple[Any, ...], list[Resolvent]] = {}
        solved = []
        for f in self.system.fits:
            key = (f.ridge, f.N, tuple((x.T, x.weight, x.covariance) for x in f.designs))
            if key not in alike:
                pairs = zip(units, nudges, strict=True)
                alike[key] = [fit_resolvent(f, measure, number, unit, reals, nudge) for unit, nudge in pairs]
            solved.append(alike[key])
        problem = self._problem([r[0] for r in solved])
        column = (
            np.array([[u] for u in units], dtype=object) if not isinstance(reals, Float64) else np.array(units)[:, None]
        )
        parameters: dict[Symbol, Any] = dict(given)
        for k, (f, found) in enumerate(zip(self.system.fits, solved, strict=True)):
            parameters[_ridge(k)] = number[f.ridge] * column
            parameters[_penalty(k)] = parameters[_reach(k)] = np.stack([r.penalty for r in found])
        for name, s in measure.values.items():
            parameters[symbols.eigenvalue_of(name)] = s * column
        spaces = {symbols.d: measure} | {
            x.T: Measure({}, reals.array([number[x.T]]))
            for f in self.system.fits
            for x in f.designs
            if symbols.d != x.T
        }
        functions = dict(zip(problem.expressions, reals.evaluate(problem.expressions, parameters), strict=True))
        start = _Start(problem.pencil, solved)
        scaled = {name: parameters[symbols.eigenvalue_of(name)] for name in measure.values}
        fits = [solved_fit(f, found, number, scaled, reals) for f, found in zip(self.system.fits, solved, strict=True)]
        complements = Complements(self.system, problem.pencil, fits, measure)
        arithmetic = PipelineArithmetic(reals, spaces, functions, start, complements, _rounding(reals, nudges))
        solution = solve(problem.structure, arithmetic)
        pencil = problem.structure.pencil
        shape = (len(units), measure.size)
        result = {
            name: np.broadcast_to(solution.green.get((pencil.outputs[name], i), 0 * column), shape)
            if name == "w0"
            else np.ravel(solution.green.get((pencil.outputs[name], i), 0 * column))
            for name, i in pencil.inputs.items()
        }
        bias = measure.form(result["w0"]) / column[:, 0]
        variance = {name: number[e] * result[name] for name, e in problem.pencil.noises.items()}
        residual = max(arithmetic.residual, *(r.residual for found in solved for r in found))
        return TestErrorValues(bias, variance, float(residual))

    def _problem(self, resolvents: Sequence[Resolvent]) -> _Problem:
        """Return the pencil and its structure for what is open in each fit."""
        key = tuple(
            (tuple(r.opened.designs), bool(r.opened.directions.any()), bool(r.opened.directions.all()))
            for r in resolvents
        )
        if key not in self._structures:
            scalings = {
                k: Scaling(
                    _ridge(k),
                    S.One if every else _penalty(k) if some else _ridge(k),
                    S.One if every else _reach(k),
                    frozenset(int(n) for n in np.flatnonzero(designs)),
                )
                for k, (designs, some, every) in enumerate(key)
            }
            self._structures[key] = _Problem.of(error_pencil(self.system, scalings))
        return self._structures[key]


@dataclass(frozen=True)
class _Problem:
    """A pencil, its structure and the expressions in it."""

    pencil: TestErrorPencil
    structure: Structure
    expressions: tuple[Expr, ...]

    @classmethod
    def of(cls, pencil: TestErrorPencil) -> _Problem:
        structure = structure_of(pencil.pencil)
        found = {b.fixed for b in structure.pencil.blocks.values()} | {f.factor for f in structure.feeds}
        found |= {f.unknown.weight for f in structure.feeds} | {S.Zero}
        return cls(pencil, structure, tuple(sorted(found, key=str)))


@dataclass(frozen=True)
class _Start:
    """The unknowns of a fit's own atom, from its effective ridges."""

    pencil: TestErrorPencil
    solved: Sequence[Sequence[Resolvent]]

    def __call__(self, atom: Atom, arithmetic: PipelineArithmetic) -> Sequence[Any]:
        """Return the values of the atom's unknowns."""
        fit_of = {i: k for k, i in self.pencil.error_of.items()}
        design_of = {i: key for key, i in self.pencil.residual_of.items()}
        out = []
        for u in atom.unknowns:
            i = self.pencil.untransposed(u.row)
            if i in fit_of:
                entry = np.stack([r.error for r in self.solved[fit_of[i]]])
            else:
                k, n = design_of[i]
                entry = np.array([[1 / r.scale[n]] for r in self.solved[k]])
            out.append(arithmetic.trace(u.dimension, arithmetic.function(u.weight) * entry))
        return out


def _rounding(reals: Reals, nudges: Sequence[int]) -> Callable[[], Any]:
    """Return what rounds a trace: for each scale its nudge, with a sign that a fixed seed draws for each trace."""
    if not any(nudges):
        return lambda: 1
    rng, size = np.random.default_rng(0), np.array(nudges)[:, None] * reals.epsilon
    return lambda: 1 + size * rng.choice((-1.0, 1.0), size.shape)


def _ridge(k: int) -> Symbol:
    return symbols.scaling("ridge", k)


def _penalty(k: int) -> Symbol:
    return symbols.scaling("penalty", k)


def _reach(k: int) -> Symbol:
    return symbols.scaling("reach", k)


def _distance(a: Any, b: Any) -> float:
    """Return the relative distance of two arrays of one number each."""
    a, b = np.ravel(a)[0], np.ravel(b)[0]
    return 0.0 if a == b else float(abs(a - b) / max(abs(a), abs(b)))


def _rounded(found: TestErrorValues, error: float) -> TestErrorValues:
    """Return one solution of multiple precision in float64."""

    def nearest(x: Any) -> float:
        number = float(np.ravel(x)[0])
        if not np.isfinite(number):
            raise DomainError(
                f"float64 needs the test error to be below 1.8e308, got {np.ravel(x)[0]}; rescale noise or target, or use digits="
            )
        return number

    return TestErrorValues(
        nearest(found.bias),
        {name: nearest(v) for name, v in found.variance.items()},
        found.residual,
        error,
        extended=True,
    )


def _parameters(system: PooledSystem) -> Iterator[Expr]:
    for f in system.fits:
        yield from (f.ridge, f.N)
        for x in f.designs:
            yield from (
                x.T,
                x.weight,
                x.truth,
                *(c for _, c in x.labellers),
                *(e for y in x.noises for e in (y.share, y.sigma)),
            )
