"""From values by name to numbers: binding, checking, and choosing the arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from mpmath.libmp import dps_to_prec
from sympy import Abs, Eq, Expr, Ge, Gt, Le, Lt, Ne, Rel, Symbol
from sympy.logic.boolalg import Boolean

from collapse_theory.core.errors import DomainError, nearest, shown
from collapse_theory.core.numbers import flag, float64_number, integer, show, worker_count
from collapse_theory.core.precision import exact_context, exact_number, exact_value, public_number
from collapse_theory.describe.spectra import Spectrum
from collapse_theory.describe.targets import Target
from collapse_theory.describe.truths import Tasks, given_target
from collapse_theory.numerics.arrays import broadcast_shape, float64_array
from collapse_theory.numerics.ball_tail import tailed_measure
from collapse_theory.numerics.balls import TooWideError, evaluate_certified
from collapse_theory.numerics.compiled import numeric_function
from collapse_theory.numerics.digits import ThresholdError, evaluate_digits, limit_at_threshold
from collapse_theory.numerics.float64 import Batch, Float64Program
from collapse_theory.numerics.kernels import float64_kernels
from collapse_theory.numerics.measure import (
    COMMON,
    DEPTH,
    Measure,
    Spectra,
    TooShallow,
    at_depth,
    check_pair,
    live_directions,
    long_power_law,
)
from collapse_theory.numerics.plan import Plan, compile_plan
from collapse_theory.numerics.scalar import ScalarFunction, scalar_function
from collapse_theory.symbols import Generated, ordered
from collapse_theory.symbols import d as dimension

if TYPE_CHECKING:
    from collapse_theory.derive.formula import ErrorFormula

__all__ = ["Predictor", "Program", "predictor_of", "program_of"]


@dataclass(frozen=True)
class Program:
    """What evaluation needs of a formula, compiled once: its plan, its symbols and its conditions."""

    plan: Plan
    float64: Float64Program
    symbols: tuple[Symbol, ...]
    numbers: tuple[tuple[Symbol, Expr], ...]
    conditions: tuple[Boolean, ...]
    optional: tuple[Symbol, ...] = ()
    remedies: tuple[tuple[Boolean, str], ...] = ()
    isotropic: bool = False

    @classmethod
    def of(
        cls,
        parts: Mapping[str, Expr],
        conditions: tuple[Boolean, ...],
        numbers: Mapping[Symbol, Expr],
        symbols: Iterable[Symbol],
        optional: tuple[Symbol, ...] = (),
        remedies: Mapping[Boolean, str] | None = None,
        isotropic: bool = False,
    ) -> Program:
        """Compile the parts of a formula."""
        plan = compile_plan(parts)
        remedial = tuple((remedies or {}).items())
        return cls(
            plan,
            Float64Program(plan),
            ordered(symbols),
            tuple(numbers.items()),
            conditions,
            optional,
            remedial,
            isotropic,
        )


_EQUAL = 1e-12
_DIGITS = 17  # of float64
_MOST_DIGITS = 10_000


class Predictor:
    """A formula at one spectrum and target: ``predict(T=..., lam=...)`` returns the test error.

    Args:
        program: The compiled formula.
        name: What messages call the formula.
        spectrum: Eigenvalues of the input covariance, a mapping by name for commuting covariances, or None.
        target: Energies of the true coefficients, or None; of several truths a mapping by name.
        overlaps: The overlaps of several truths (:class:`.Truths`), or None.

    Raises:
        DomainError: If the formula needs a spectrum or a target that is not given, or they do not match.
    """

    def __init__(
        self, program: Program, name: str, spectrum: Spectra | None, target: Target | Tasks | None, overlaps: Any = None
    ) -> None:
        spectra = spectrum.values() if isinstance(spectrum, Mapping) else [spectrum]
        if not all(isinstance(s, Spectrum | None) for s in spectra):
            raise DomainError(f"spectrum needs to be a spectrum, got {shown(spectrum)}; write ct.Eigenvalues(values)")
        target = given_target(target, overlaps)
        if program.plan.needs_spectrum and spectrum is None:
            raise DomainError(f"{name} needs a spectrum, got none; pass spectrum=ct.Isotropic(d=...) or another one")
        if program.plan.needs_target and target is None:
            raise DomainError(
                f"{name} needs a target for its bias, got none; pass target=ct.RandomTarget() or another one"
            )
        if program.isotropic and spectrum is not None:
            _check_isotropic(name, spectrum)
        self.program, self.name, self.spectrum, self.target = program, name, spectrum, target
        self.depth = DEPTH
        if spectrum is not None:
            check_pair(spectrum, target)

    @cached_property
    def measure(self) -> Measure | None:
        """The float64 measure; None where no integral is taken.

        Raises:
            DomainError: If an eigenvalue or energy is beyond float64.
        """
        return self._measure(DEPTH)

    def _measure(self, octaves: int) -> Measure | None:
        if not self._integrates or self.spectrum is None:
            return None
        return Measure.of(self.spectrum, self.target, octaves=octaves)

    def _run(self, flat: Mapping[Symbol, np.ndarray], size: int, *, rough: bool = False, jobs: int = 1) -> Batch:
        """Return the outputs in float64, on a measure as deep as the points need; all are beyond where there is none."""
        run = self.program.float64.run
        if self._rank_or_none != math.inf:
            return run(self.measure, flat, size, rough=rough, jobs=jobs)
        try:
            self.depth, batch = at_depth(
                lambda depth: (depth, run(self._measure(depth), flat, size, rough=rough, jobs=jobs)), self.depth
            )
        except TooShallow:
            outputs = {name: np.full(size, np.nan) for name, _ in self.program.plan.outputs}
            return Batch(outputs, np.zeros(size, dtype=bool), np.ones(size, dtype=bool))
        return batch

    @property
    def _rank_or_none(self) -> int | float | None:
        return None if self.spectrum is None else self._rank

    @property
    def _integrates(self) -> bool:
        return self.program.plan.needs_spectrum

    def __getstate__(self) -> dict[str, Any]:
        return {name: x for name, x in self.__dict__.items() if name not in {"measure", "one_point"}}

    @cached_property
    def one_point(self) -> ScalarFunction | None:
        """The function of one point, where there is one."""
        if self._rank_or_none == math.inf:
            return None
        fixed = {x: float(v) for x, v in self.numbers.items()}
        inputs = [x for x in self.program.symbols if x != dimension or self.spectrum is None]
        if dimension in self.program.symbols and self.spectrum is not None:
            fixed[dimension] = float(self._rank)
        conditions = [_tested(c) for c in self.program.conditions]
        return scalar_function(self.program.float64, self.measure, inputs, fixed, conditions)

    def __call__(self, *, terms: bool = False, test_noise: Any = None, jobs: int = 1, **values: Any) -> Any:
        """Return the test error at the given values, in float64; single points are the quickest, and the largest batches.

        Arguments, values and errors are those of :meth:`evaluate`, with which it agrees to round-off.
        """
        if (
            test_noise is None
            and type(jobs) is int
            and jobs == 1
            and self.one_point is not None
            and (terms is False or terms is True)
        ):
            found = self.one_point(values)
            if found is not None:
                names = (name for name, _ in self.program.plan.outputs)
                return dict(zip(names, found, strict=True)) if terms else sum(found)
        return self.evaluate(terms=terms, test_noise=test_noise, jobs=jobs, **values)

    def evaluate(self, *, terms: bool = False, test_noise: Any = None, jobs: int = 1, **values: Any) -> Any:
        """Return the test error at the given values, in float64.

        Args:
            terms: Return a mapping from term name to value instead of the sum.
            test_noise: Standard deviation of the test point's label noise; its square is added.
            jobs: Threads that share a large batch, -1 for one on each core.
            **values: One value per free symbol, by name; scalars or arrays that broadcast.

        Raises:
            DomainError: If a value is missing, unknown, out of range, or violates a condition.
        """
        terms, jobs = flag(terms, "terms"), worker_count(jobs)
        arrays = self.arrays(values)
        noise = float64_array("test_noise", 0 if test_noise is None else test_noise)
        shape = broadcast_shape({**{x.name: a for x, a in arrays.items()}, "test_noise": noise})
        size = int(np.prod(shape))
        flat = {x: a if a.ndim == 0 else np.broadcast_to(a, shape).ravel() for x, a in arrays.items()}
        flat |= self.numbers
        self.check(flat, noise)
        if size == 0:
            outputs: dict[str, Any] = {name: np.empty(0) for name, _ in self.program.plan.outputs}
            total: Any = np.empty(0)
        else:
            outputs, total = self._values(flat, size, jobs=jobs)
        if test_noise is not None:
            with np.errstate(over="ignore", under="ignore"):
                outputs["test noise"] = (noise if noise.ndim == 0 else np.broadcast_to(noise, shape).ravel()) ** 2
                total = total + outputs["test noise"]
            if np.isinf(outputs["test noise"]).any():
                raise _overflow(self.name, "test noise", "more than 1.8e308")
        shaped = {k: np.array(np.broadcast_to(v, (size,))).reshape(shape) for k, v in outputs.items()}
        whole = np.array(np.broadcast_to(total, (size,))).reshape(shape)
        self._refuse_nan(shaped if terms else {**shaped, "total": whole})
        return {k: _plain(v) for k, v in shaped.items()} if terms else _plain(whole)

    def digits(self, digits: int, *, terms: bool = False, test_noise: Any = None, **values: Any) -> Any:
        """Return the test error as an mpmath number with ``digits`` significant digits, from scalar values.

        Raises:
            DomainError: As in a call, and if a value is not a scalar.
        """
        digits = integer(digits, "digits", least=1, most=_MOST_DIGITS, remedy="give for example 30")
        terms = flag(terms, "terms")
        bound = self._scalars(values, test_noise, "digits=")
        exactly = (self.program.plan, self._exact_measure, lambda mp: self._exact(bound, mp), int(digits))
        try:
            outputs, total = evaluate_digits(*exactly)
        except ThresholdError:
            outputs, total = limit_at_threshold(*exactly)
        if test_noise is not None:
            with exact_context(dps_to_prec(int(digits) + 10)) as mp:
                added = exact_value(test_noise, mp) ** 2
                outputs["test noise"], total = public_number(added), public_number(mp.convert(total) + added)
        return outputs if terms else total

    def certified(self, *, terms: bool = False, test_noise: Any = None, **values: Any) -> Any:
        """Return an interval that contains the exact test error (:class:`.Enclosure`), from scalar values.

        A power law means its powers, a number of float64 its exact value.

        Raises:
            DomainError: As in a call, if a value is not a scalar, without python-flint, and at an interpolation threshold.
            ConvergenceError: If no precision suffices.
        """
        terms = flag(terms, "terms")
        bound = self._scalars(values, test_noise, "certified=")
        noise = None if test_noise is None else partial(exact_value, test_noise)
        outputs, total = evaluate_certified(
            self.program.plan, self._listed_measure, lambda balls: self._exact(bound, balls), noise
        )
        return outputs if terms else total

    # ------------------------------------------------------------------ binding
    def _scalars(self, values: Mapping[str, Any], test_noise: Any, argument: str) -> dict[Symbol, Any]:
        """Return values by symbol, as they are given; each is a scalar and in the domain."""
        bound = self._bind(values)
        scalars = {x: float64_array(x.name, value) for x, value in bound.items()}
        noise = float64_array("test_noise", 0 if test_noise is None else test_noise)
        for name, array in (*((x.name, a) for x, a in scalars.items()), ("test_noise", noise)):
            if array.ndim:
                raise DomainError(f"{name} needs to be a scalar with {argument}, got shape {array.shape}; loop over it")
        self.check(scalars | self.numbers, noise)
        return bound

    def _bind(self, values: Mapping[str, Any]) -> dict[Symbol, Any]:
        wanted = {x.name for x in self.program.symbols}
        bound = dict(values)
        if self.spectrum is not None:
            if dimension.name in bound:
                raise DomainError(f"d comes from the spectrum (rank {self._rank}), got d={bound['d']!r} too; omit it")
            if dimension.name in wanted:
                bound[dimension.name] = self._rank
        for name in bound:
            if name not in wanted and name not in {x.name for x in self.program.optional}:
                raise DomainError(f"{self.name} has no symbol {shown(name)}{nearest(name, wanted)}")
        missing = sorted(wanted - set(bound))
        if missing:
            remedy = "pass a spectrum" if missing == ["d"] else f"pass {'=..., '.join(missing)}=..."
            raise DomainError(f"{self.name} needs a value for {', '.join(missing)}, got none; {remedy}")
        known = {x.name: x for x in (*self.program.optional, *self.program.symbols)}
        return {known[name]: value for name, value in bound.items()}

    @property
    def _rank(self) -> int | float:
        if self.spectrum is None:
            raise AssertionError("a rank needs a spectrum")
        return live_directions(self.spectrum)

    @property
    def numbers(self) -> dict[Symbol, np.ndarray]:
        """The values of the symbols that stand for numbers."""
        return {x: np.asarray(float64_number(e, _public(x))) for x, e in self.program.numbers}

    def arrays(self, values: Mapping[str, Any]) -> dict[Symbol, np.ndarray]:
        """Return values by name as arrays by symbol, ``d`` among them.

        Raises:
            DomainError: If a value is missing, unknown or not a real number.
        """
        return {x: float64_array(x.name, value) for x, value in self._bind(values).items()}

    def total(self, flat: Mapping[Symbol, np.ndarray], size: int, *, rough: bool = False) -> np.ndarray:
        """Return the sum of the terms at points that are known to be in the domain, shape (size,).

        Args:
            flat: Arrays by symbol, of shape () or (size,).
            size: The number of points, positive.
            rough: Leave as they are the values that lost digits in float64; what is not finite is computed in mpmath all
                the same.
        """
        whole = {x: a for x, a in flat.items() if x in self._known} | self.numbers
        if not rough:
            return self._values(whole, size)[1]
        with np.errstate(invalid="ignore", over="ignore"):
            total = sum(self._run(whole, size, rough=True).outputs.values(), np.zeros(size))
        lost = np.flatnonzero(~np.isfinite(total))
        if lost.size:
            total[lost] = self._values({x: a[lost] if a.ndim else a for x, a in whole.items()}, lost.size)[1]
        return total

    @cached_property
    def _known(self) -> frozenset[Symbol]:
        return frozenset((*self.program.symbols, *self.program.optional))

    def _exact(self, bound: Mapping[Symbol, Any], mp: Any) -> dict[Symbol, Any]:
        exact = {x: exact_value(value, mp) for x, value in bound.items()}
        return exact | {x: exact_number(e, mp) for x, e in self.program.numbers}

    def _exact_measure(self, mp: Any, octaves: int) -> Measure | None:
        if not self._integrates or self.spectrum is None:
            return None
        return Measure.exact(self.spectrum, self.target, mp, octaves=octaves)

    def _listed_measure(self, balls: Any, octaves: int) -> Measure | None:
        if not self._integrates or self.spectrum is None:
            return None
        law = long_power_law(self.spectrum, self.target)
        if law is not None:
            check_pair(self.spectrum, self.target)
            return tailed_measure(*law, self.target, balls, octaves)
        found = Measure.listed(self.spectrum, self.target, balls)
        if found.rank != self._rank:
            raise TooWideError("whether an eigenvalue is positive")
        return found

    # ------------------------------------------------------------------ values
    def _values(
        self, flat: Mapping[Symbol, np.ndarray], size: int, *, jobs: int = 1
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Return the outputs and their sum; limits at a threshold, and what float64 cannot hold on the way, in mpmath."""
        plan = self.program.plan
        batch = self._run(flat, size, jobs=jobs)
        outputs = {name: np.array(x) for name, x in batch.outputs.items()}
        with np.errstate(invalid="ignore", over="ignore"):
            total = sum(outputs.values(), np.zeros(size))
        numbers = {x for x, _ in self.program.numbers}
        for i in np.flatnonzero(batch.threshold | batch.beyond):
            point = {k: float(v if v.ndim == 0 else v[i]) for k, v in flat.items() if k not in numbers}
            exactly = partial(self._exact, point)
            if batch.threshold[i]:
                limits, whole = limit_at_threshold(plan, self._exact_measure, exactly)
                total[i] = float(whole)
            else:
                exact, whole = evaluate_digits(plan, self._exact_measure, exactly, _DIGITS, floor="1e-400")
                limits = {name: self._rounded(name, x) for name, x in exact.items()}
                total[i] = self._rounded("total", whole)
            for name, value in limits.items():
                outputs[name][i] = value
        if np.isinf(total[~batch.threshold]).any() and not self.program.float64.checked:
            raise _overflow(self.name, "total", "more than 1.8e308")
        return outputs, total

    def _rounded(self, term: str, value: Any) -> float:
        number = float(value)
        if np.isinf(number):
            _, _, exponent, bits = value._mpf_
            raise _overflow(self.name, term, f"about 1e{int((exponent + bits) * math.log10(2))}")
        return number

    # ------------------------------------------------------------------ checking
    def check(self, values: Mapping[Symbol, np.ndarray], noise: np.ndarray) -> None:
        """Check that values are in the range of their symbols and fulfil the conditions of the formula.

        Raises:
            DomainError: If they are not.
        """
        given = (x for x in self.program.optional if x in values)
        for x in (*self.program.symbols, *given, *(x for x, _ in self.program.numbers)):
            if x == dimension and self._rank_or_none == math.inf:
                continue
            _check_assumptions(self.name, x, values[x])
        if not (np.isfinite(noise) & (noise >= 0)).all():
            raise DomainError(f"test_noise needs to be finite and >= 0, got {noise}; give a standard deviation")
        for condition in self.program.conditions:
            self._check_condition(condition, values)
        if np.any(np.isinf(values.get(dimension, 0))) and dimension in self._of_outputs:
            raise DomainError(f"{self.name} needs a finite d, got d=oo, at which it has no value; take a finite d")

    @cached_property
    def _of_outputs(self) -> frozenset[Symbol]:
        """The symbols that occur elsewhere than in a condition."""
        return frozenset(x for _, e in self.program.plan.outputs for x in e.free_symbols)

    def _check_condition(self, condition: Boolean, values: Mapping[Symbol, np.ndarray]) -> None:
        found, test = _compiled(condition)
        holds = np.asarray(test(*(values[x] for x in found)))
        if holds.all():
            return
        i = int(np.flatnonzero(~holds.ravel())[0])
        got = ", ".join(f"{_public(x)}={_number(values[x] if values[x].ndim == 0 else values[x][i])}" for x in found)
        shown = _readable(condition)
        raise DomainError(f"{self.name} needs {shown}, got {got}; {self._remedy(condition)}")

    def _remedy(self, condition: Boolean) -> str:
        for failed, remedy in self.program.remedies:
            if failed == condition:
                return remedy if self._rank_or_none != math.inf else f"take a finite d, or {remedy}"
        if dimension in condition.free_symbols and self._rank_or_none == math.inf:
            return "take a finite d"
        rows = sorted(_public(x) for x in condition.free_symbols if x.name.startswith(("T", "N")))
        if dimension in condition.free_symbols and rows:
            return f'increase {rows[0]}, or use test_error(pipeline, method="operator"), which covers chains at every T'
        return "change the arguments"

    def _refuse_nan(self, outputs: Mapping[str, np.ndarray]) -> None:
        for name, value in outputs.items():
            if np.isnan(value).any():
                raise DomainError(
                    f"{self.name}: the {name} term is not a number in float64 at these values (overflow or underflow); "
                    "rescale the spectrum, the ridge and the target, or use digits="
                )


@lru_cache(maxsize=256)
def _compiled(condition: Boolean) -> tuple[tuple[Symbol, ...], Callable[..., Any]]:
    """Return the symbols of a condition and the function of their values that says where it holds.

    It is kept: to compile a condition takes longer than to evaluate most formulas.
    """
    found = ordered(condition.free_symbols)
    return found, numeric_function(found, _tested(condition), modules=[dict(float64_kernels()), "numpy"])


def _tested(condition: Boolean) -> Boolean:
    """Return what is tested in float64: shares such as 0.3 + 0.7 sum to one up to round-off."""
    return Abs(condition.lhs - condition.rhs) <= _EQUAL if isinstance(condition, Eq) else condition


def program_of(formula: ErrorFormula) -> Program:
    """Return what evaluation needs of a formula."""
    return Program.of(
        formula.parts,
        formula.conditions,
        formula.numbers,
        formula.free_symbols,
        formula.dropped,
        formula.remedies,
        formula.isotropic,
    )


def predictor_of(
    formula: ErrorFormula, *, spectrum: Spectra | None, target: Target | Tasks | None, overlaps: Any = None
) -> Predictor:
    """Return a formula at one spectrum and target."""
    return Predictor(formula.program, formula.name, spectrum, target, overlaps)


def _check_isotropic(owner: str, spectrum: Spectra) -> None:
    common = spectrum if isinstance(spectrum, Spectrum) else spectrum[COMMON]
    live = common.nodes[common.positive]
    if (live != live[0]).any():
        raise DomainError(
            f"{owner} needs an isotropic spectrum, got eigenvalues from {live.min():g} to {live.max():g}; describe the pipeline "
            "and use test_error, which covers every spectrum"
        )


def _overflow(owner: str, term: str, size: str) -> DomainError:
    return DomainError(
        f"{owner}: the {term} term needs to fit float64, got an overflow, {size}; it is finite: rescale the spectrum, the ridge, "
        "the noise and the target, or use digits="
    )


def _check_assumptions(owner: str, x: Symbol, value: np.ndarray) -> None:
    tests = (
        ("finite", ~np.isfinite(value)),
        ("> 0", value <= 0 if x.is_positive else np.False_),
        (">= 0", value < 0 if x.is_nonnegative else np.False_),
        ("an integer", value != np.floor(value) if x.is_integer else np.False_),
    )
    for want, fails in tests:
        if np.any(fails):
            bad = value if value.ndim == 0 else value[np.asarray(fails)].flat[0]
            raise DomainError(f"{owner} needs {_public(x)} to be {want}, got {_number(bad)}; change {_public(x)}")


def _plain(value: np.ndarray) -> Any:
    return float(value) if value.ndim == 0 else value


def _public(x: Symbol) -> str:
    return str(x.name.split("#")[0]) if isinstance(x, Generated) else str(x.name)


def _number(value: Any) -> str:
    number = float(value)
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)


def _readable(condition: Boolean) -> str:
    if not isinstance(condition, Rel):
        return show(condition)
    signs = {Eq: "=", Ge: ">=", Gt: ">", Le: "<=", Lt: "<", Ne: "!="}
    sides = [show(side.xreplace({x: Symbol(_public(x)) for x in side.free_symbols})) for side in condition.args]
    return f"{sides[0]} {signs[type(condition)]} {sides[1]}"
