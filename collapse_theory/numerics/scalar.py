"""One point at a time without arrays: the tables of a measure read with Python's own floats, some ten microseconds a point.

It covers plans of effective ridges and integrals of one ridge each, at points inside the tables (:mod:`.octaves`,
:mod:`.trace_tables`) where nothing cancels and nothing is a limit. Of any other point, and of every value that is to be refused, it
gives nothing: the general evaluation then computes it or says what is wrong.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
from sympy import And, Expr, Symbol
from sympy.logic.boolalg import Boolean

from collapse_theory.describe.truths import ENERGIES
from collapse_theory.numerics.compiled import numeric_function
from collapse_theory.numerics.float64 import Float64Program, trace_table
from collapse_theory.numerics.integrand_shape import ridge_of
from collapse_theory.numerics.kernels import float64_kernels
from collapse_theory.numerics.magnitude import LOSS
from collapse_theory.numerics.measure import Measure
from collapse_theory.numerics.octaves import DEGREE
from collapse_theory.numerics.steps import Assign, Integrate, SolveRidge
from collapse_theory.symbols import ordered

__all__ = ["ScalarFunction", "scalar_function"]

_STEPS = 12
_SHORT = 1e-9
_TINY = float(np.finfo(float).tiny)
_ROWS = 2.0**100
_EXPONENTS = 900
_LN2 = math.log(2)
_Row = tuple[float, ...]
_Place = tuple[int, float]


def _polynomial(c: _Row, z: float) -> float:
    """Return a polynomial, written out: a loop takes three times as long."""
    a, b, c2, d, e, f, g, h, i, j, k, m, n, o, p = c
    return ((((((((((((((p * z + o) * z + n) * z + m) * z + k) * z + j) * z + i) * z + h) * z + g) * z + f) * z + e) * z + d) * z + c2) * z + b) * z + a)  # fmt: skip  # noqa: E501


class _Ridges:
    """The effective ridges of a measure, one at a time."""

    def __init__(self, measure: Measure) -> None:
        unit, self.exponent = measure.unit
        octaves = unit.octaves
        self.scale = math.ldexp(1.0, -self.exponent)
        ends, directions, complement = octaves.edges
        self.ends, self.counts, self.edges = ends.tolist(), directions.tolist(), complement.tolist()
        self.rows = [tuple(row) for row in octaves.complement.T.tolist()]
        powers = np.arange(1, DEGREE + 1)[:, None]
        self.slopes = [(*row, 0.0) for row in (octaves.complement[1:] * powers).T.tolist()]
        self.apart = [tuple(row) for row in octaves.apart.T.tolist()]
        self.first = octaves.first + self.exponent  # of the octave of row 1, in the units of the measure

    def solve(self, T: float, lam: float) -> tuple[float, float, _Place] | None:
        """Return ridge, residual degrees and place; None outside the octaves, or if the iteration does not settle."""
        load = T * (lam * self.scale)

        def beyond(i: int) -> bool:
            return (T - self.counts[i]) + self.edges[i] >= load / self.ends[i]

        row = bisect_left(range(len(self.ends)), True, key=beyond)  # noqa: FBT003
        if row == 0 or row == len(self.ends):
            return None
        base, spare = self.ends[row - 1], T - self.counts[row - 1]
        values, slopes = self.rows[row], self.slopes[row]
        x = 0.5
        for _ in range(_STEPS):
            z, phi = 2 * x - 1, load / (base * 2.0**x)
            step = (spare + _polynomial(values, z) - phi) / (2 * _polynomial(slopes, z) + _LN2 * phi)
            x = min(max(x - step, 0.0), 1.0)
            if -_SHORT < step < _SHORT:
                kappa, z = base * 2.0**x, 2 * x - 1
                return kappa / self.scale, load / kappa + _polynomial(self.apart[row], z), (row - 1, z)
        return None


@dataclass(frozen=True)
class ScalarFunction:
    """A plan on the tables of one measure.

    Attributes:
        names: The inputs, by name.
        checks: Positions of the inputs with their ranges: whether zero is out, and whether they are integers.
        fixed: The first values of all slots: numbers, and zeros to be written.
        conditions: Says whether the conditions hold, and the positions of its arguments.
        steps: What to do in turn; each says whether it could.
        outputs: The compiled outputs and the positions of their arguments.
    """

    names: tuple[str, ...]
    checks: tuple[tuple[int, bool, bool, bool], ...]
    fixed: tuple[Any, ...]
    conditions: Callable[[Sequence[Any]], bool]
    steps: tuple[Callable[[list[Any]], bool], ...]
    outputs: Callable[[Sequence[Any]], Sequence[float] | None]

    def __call__(self, values: Mapping[str, Any]) -> Sequence[float] | None:
        """Return the outputs at one point; None where the general evaluation is to answer."""
        if len(values) != len(self.names):
            return None
        slots = list(self.fixed)
        try:
            for i, name in enumerate(self.names):
                value = values[name]
                if type(value) is not float:
                    if type(value) is not int and type(value) is not np.float64:
                        return None
                    value = float(value)
                slots[i] = value
            for i, positive, nonnegative, whole in self.checks:
                value = slots[i]
                if not -math.inf < value < math.inf or (positive and value <= 0) or (nonnegative and value < 0):
                    return None
                if whole and value != math.floor(value):
                    return None
            if not self.conditions(slots):
                return None
            for step in self.steps:
                if not step(slots):
                    return None
            return self.outputs(slots)
        except (KeyError, ArithmeticError, ValueError):
            return None


def scalar_function(
    program: Float64Program,
    measure: Measure | None,
    symbols: Sequence[Symbol],
    fixed: Mapping[Symbol, float],
    conditions: Sequence[Boolean],
) -> ScalarFunction | None:
    """Return the function of one point; None if the plan has steps, or the measure numbers, that it does not cover.

    Args:
        program: The plan, with its expressions compiled.
        measure: Eigenvalues; None if no step is on them.
        symbols: The inputs.
        fixed: Values of the other symbols.
        conditions: What has to hold, of numbers in float64.
    """
    steps = program.plan.steps
    if measure is not None and not _is_covered(measure):
        return None
    place = {x: i for i, x in enumerate((*symbols, *fixed))}
    for s in steps:
        for x in s.names:
            place[x] = len(place)
    start = [*([0.0] * len(symbols)), *map(float, fixed.values())]
    made: list[Callable[[list[Any]], bool]] = []
    solved: dict[Symbol, int] = {}  # a ridge, and the slot of its place in the tables
    for s in steps:
        if isinstance(s, Assign):
            made.append(_assignment(program, s, place))
        elif isinstance(s, SolveRidge) and measure is not None:
            solved[s.names[0]] = len(place) + len(solved)
            made.append(_ridge(program, measure, s, place, solved[s.names[0]]))
        elif isinstance(s, Integrate) and measure is not None:
            read = _integrals(program, measure, s, place, solved)
            if read is None:
                return None
            made += read
        else:
            return None
    room = [None] * (len(place) + len(solved) - len(start))
    ranges = tuple((place[x], bool(x.is_positive), bool(x.is_nonnegative), bool(x.is_integer)) for x in symbols)
    return ScalarFunction(
        tuple(x.name for x in symbols),
        ranges,
        (*start, *room),
        _condition(conditions, place),
        tuple(made),
        _values(program, tuple(e for _, e in program.plan.outputs), place),
    )


def _is_covered(measure: Measure) -> bool:
    if len(measure.values) > 1 or (measure.extent is not None and measure.extent.tail):
        return False
    lost = measure.energies is not None and bool(np.any(measure.energies == _TINY))
    return not lost and measure.nodes.min() >= _TINY and abs(measure.unit[1]) < _EXPONENTS


def _getter(symbols: Sequence[Symbol], place: Mapping[Symbol, int]) -> Callable[[Sequence[Any]], tuple[Any, ...]]:
    positions = [place[x] for x in symbols]
    if len(positions) == 1:
        return lambda slots: (slots[positions[0]],)
    return itemgetter(*positions) if positions else lambda slots: ()  # noqa: ARG005


def _values(
    program: Float64Program, expressions: tuple[Expr, ...], place: Mapping[Symbol, int]
) -> Callable[[Sequence[Any]], Sequence[float] | None]:
    """Return the function of the slots that computes expressions; None where one cancels or is no normal number."""
    compiled = program.function(expressions)
    call, take, count = compiled.call, _getter(compiled.inputs, place), compiled.count
    watched = [(i, count + k) for i, k in compiled.place.items()]

    def values(slots: Sequence[Any]) -> Sequence[float] | None:
        out = call(*take(slots))
        for i, k in watched:
            if abs(out[i]) * LOSS < out[k]:
                return None
        found = [float(x) for x in out[:count]]
        for x in found:
            if not (_TINY <= x < math.inf or x == 0 or -math.inf < x <= -_TINY):
                return None
        return found

    return values


def _assignment(program: Float64Program, step: Assign, place: Mapping[Symbol, int]) -> Callable[[list[Any]], bool]:
    values, to = _values(program, (step.expression,), place), place[step.names[0]]

    def assign(slots: list[Any]) -> bool:
        out = values(slots)
        if out is None:
            return False
        slots[to] = out[0]
        return True

    return assign


def _ridge(
    program: Float64Program, measure: Measure, step: SolveRidge, place: Mapping[Symbol, int], where: int
) -> Callable[[list[Any]], bool]:
    values, first, second = _values(program, (step.T, step.lam), place), *(place[x] for x in step.names)
    ridges: Any = _Ridges(measure)

    def solve(slots: list[Any]) -> bool:
        given = values(slots)
        if given is None or not (0 < given[0] < _ROWS and given[1] >= 0):
            return False
        found = ridges.solve(*given)
        if found is None:
            return False
        slots[first], slots[second], slots[where] = found
        return True

    return solve


def _integrals(
    program: Float64Program,
    measure: Measure,
    step: Integrate,
    place: Mapping[Symbol, int],
    solved: Mapping[Symbol, int],
) -> list[Callable[[list[Any]], bool]] | None:
    made = []
    unit, exponent = measure.unit
    first = unit.octaves.first + exponent
    last = first + unit.octaves.rows - 3
    for name, f, energy in zip(step.names, step.integrands, step.energy, strict=True):
        ridge = ridge_of(f)
        if ridge not in solved or energy not in {None, ENERGIES} or program.function((f,)).place:
            return None
        table = trace_table(program, measure, f, energy, first, last)
        shift = first - table.first
        rows = [tuple(row) for row in table.coefficients.T.tolist()]
        kept = [row if good else None for row, good in zip(rows, table.good.tolist(), strict=True)]
        made.append(_integral(kept[shift:], solved[ridge], place[name]))
    return made


def _integral(rows: Sequence[_Row | None], where: int, to: int) -> Callable[[list[Any]], bool]:
    def integrate(slots: list[Any]) -> bool:
        at, z = slots[where]
        row = rows[at]
        if row is None:
            return False
        slots[to] = _polynomial(row, z)
        return True

    return integrate


def _condition(conditions: Sequence[Boolean], place: Mapping[Symbol, int]) -> Callable[[Sequence[Any]], bool]:
    if not conditions:
        return lambda slots: True  # noqa: ARG005
    found = ordered({x for c in conditions for x in c.free_symbols})
    test = numeric_function(found, And(*conditions), modules=[dict(float64_kernels()), "math"])
    take = _getter(found, place)
    return lambda slots: bool(test(*take(slots)))
