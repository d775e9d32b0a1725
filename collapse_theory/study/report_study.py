"""A study: the theory of every curve of a pipeline file over its sweep, and the simulations that check it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from collapse_theory.check.diagnose import diagnose_fits
from collapse_theory.check.diagnosis import Diagnosis, worst
from collapse_theory.check.validate import judge
from collapse_theory.check.verdict import Validation
from collapse_theory.core.errors import DomainError
from collapse_theory.core.numbers import real
from collapse_theory.derive.formula import ErrorFormula
from collapse_theory.derive.test_error import test_error
from collapse_theory.describe.files import Settings
from collapse_theory.describe.pipeline import Pipeline
from collapse_theory.describe.recipe import Curve
from collapse_theory.families.averaging import Averaging
from collapse_theory.families.named import family_of
from collapse_theory.families.token_errors import Bracket
from collapse_theory.simulate.trials import simulate
from collapse_theory.study.optimum import optimal_ridge

__all__ = ["Point", "Series", "Study", "run_study"]

_THRESHOLD = 4.0  # standard errors, as in validate
_SIMULATED = 8  # points of a long sweep that are simulated: enough to see a curve go wrong, few enough to wait for


@dataclass(frozen=True, eq=False)
class Point:
    """One value of the sweep.

    Attributes:
        x: The value; NaN without a sweep.
        terms: Theory, by term.
        checks: Comparison with the simulation of each kind of inputs that was run here.
    """

    x: float
    terms: Mapping[str, float]
    checks: Mapping[str, Validation]

    @property
    def theory(self) -> float:
        """The predicted test error."""
        return float(sum(self.terms.values()))


@dataclass(frozen=True, eq=False)
class Series:
    """One line of the figure.

    Attributes:
        name: What the legend calls it.
        pipeline: The pipeline at the last point.
        formula: Its test error; None if something else is measured, which has no formula but a value.
        method: How theory was derived.
        points: Along the sweep.
        diagnosis: Whether real inputs may be trusted, for the worst fit of the series; None without data.
        optimum: Where on the sweep the error is least, and that error; None if it is least at an end, or if the sweep is not
            over a continuous symbol.
    """

    name: str
    pipeline: Pipeline
    formula: ErrorFormula | None
    method: str
    points: tuple[Point, ...]
    diagnosis: Diagnosis | None
    optimum: tuple[float, float] | None


@dataclass(frozen=True, eq=False)
class Study:
    """Theory and simulation of a pipeline file.

    Attributes:
        settings: The file.
        sweep: Name of the swept symbol or argument; None without a sweep.
        series: One per curve and value of the further sweeps.
    """

    settings: Settings
    sweep: str | None
    series: tuple[Series, ...]

    def checks(self, kind: str) -> list[tuple[Series, Point, Validation]]:
        """Return every comparison with simulations on one kind of inputs."""
        return [(s, p, p.checks[kind]) for s in self.series for p in s.points if kind in p.checks]

    def largest(self, kind: str, size: Callable[[Validation], float]) -> tuple[Series, Point, Validation] | None:
        """Return the comparison of one kind that is largest in absolute ``size``, or None if there is none."""
        return max(self.checks(kind), key=lambda c: abs(size(c[2])), default=None)


def run_study(
    settings: Settings,
    *,
    progress: Callable[[str, int, int], None] = lambda *_: None,
    checkpoints: Path | None = None,
) -> Study:
    """Return theory and simulations of every curve of a file.

    Args:
        settings: From ``ct.load``.
        progress: Called with what is being done, how many simulations are done, and how many there are.
        checkpoints: Folder for the finished trials of each simulation; an interrupted study resumes from it.

    Raises:
        DomainError: If the file lacks a spectrum or a value, or a condition of the theory fails.
        PipelineError: If no theory covers a pipeline.
    """
    families = any(c.family or settings.family for c in settings.curves)
    if settings.spectrum is None and not families:
        raise DomainError('a report needs inputs, got neither spectrum nor data; add spectrum = "..." to the file')
    name = next(iter(settings.sweep), None)
    others = [k for k in settings.sweep if k != name]
    lines = [
        (curve, dict(zip(others, values, strict=True)))
        for curve in settings.curves
        for values in itertools.product(*(settings.sweep[k].tolist() for k in others))
    ]
    xs = [math.nan] if name is None else settings.sweep[name].tolist()
    simulated = set(np.unique(np.linspace(0, len(xs) - 1, min(_SIMULATED, len(xs))).round().astype(int)).tolist())
    worker = (_FamilyWorker if families else _Worker)(
        settings, progress, checkpoints, len(lines) * len(simulated) * len(settings.inputs)
    )
    return Study(settings, name, tuple(worker.series(curve, fixed, name, xs, simulated) for curve, fixed in lines))


@dataclass(frozen=True, eq=False)
class _Theory:
    """What theory says of one pipeline, at one value of the sweep or at all of them.

    Attributes:
        pipeline: The pipeline.
        values: Of its symbols.
        terms: The parts of what is predicted.
        formula: Of the test error; None if something else is measured.
        method: How it was derived.
        family: What is fitted; None is linear regression.
        expected: The value with its bounds, of a family.
    """

    pipeline: Pipeline
    values: dict[str, Any]
    terms: Mapping[str, Any]
    formula: ErrorFormula | None
    method: str
    family: Averaging | None = None
    expected: Bracket | None = None

    def at(self, name: str, value: Any) -> _Theory:
        """Return the same at one value of a symbol."""
        return replace(self, values={**self.values, name: value})


class _Worker:
    pointwise = False
    """Whether theory wants every point by itself, or all values of a symbol together."""

    def __init__(self, settings: Settings, progress: Any, checkpoints: Path | None, total: int) -> None:
        self.settings, self.progress, self.checkpoints = settings, progress, checkpoints
        self.done, self.total = 0, total

    def series(
        self, curve: Curve, fixed: Mapping[str, Any], name: str | None, xs: list[Any], simulated: set[int]
    ) -> Series:
        own = [curve.name] if len(self.settings.curves) > 1 or not fixed else []
        label = ", ".join([*own, *(f"{k} = {v:g}" for k, v in fixed.items())])
        structural = self.pointwise or name in self.settings.recipe.paths
        data = self.settings.data
        diagnosed = data is not None and data.kernel is None  # of a kernel there are no inputs to look at
        points: list[Point] = []
        stages: set[tuple[float, float]] = set()
        for first, together in enumerate([[x] for x in xs] if structural else [xs]):  # one pipeline, one derivation
            at = dict(fixed) if name is None else {**fixed, name: together[0] if structural else np.asarray(together)}
            theory = self.theory(curve, at)
            for i, x in enumerate(together):
                terms = {k: float(np.broadcast_to(v, len(together))[i]) for k, v in theory.terms.items()}
                here = theory if structural or name is None else theory.at(name, x)
                checks = self.checks(label, name, x, here) if first + i in simulated else {}
                points.append(Point(float(x), terms, checks))
                if diagnosed:
                    stages |= _stages(here.pipeline, here.values)
        found = worst(diagnose_fits(data.X, sorted(stages))) if diagnosed and data is not None else None
        best = None if name is None or theory.formula is None else self.optimum(theory.formula, name, xs, theory.values)
        return Series(label, theory.pipeline, theory.formula, theory.method, tuple(points), found, best)

    def described(self, curve: Curve, at: Mapping[str, Any]) -> tuple[Pipeline, dict[str, Any]]:
        """Return the pipeline of a curve and the values of its symbols."""
        settings, paths = self.settings, self.settings.recipe.paths
        pipe = settings.recipe.build(curve, **{k: v for k, v in at.items() if k in paths})
        values = {**settings.values_of(curve), **{k: v for k, v in at.items() if k not in paths}}
        used = {s.name for s in pipe.free_symbols}
        return pipe, {k: v for k, v in values.items() if k in used}

    def theory(self, curve: Curve, at: Mapping[str, Any]) -> _Theory:
        """Return the test error of a curve, at an array of values of a symbol if ``at`` has one."""
        settings = self.settings
        pipe, values = self.described(curve, at)
        formula = test_error(pipe, method=settings.method)
        terms = formula.evaluate(spectrum=settings.spectrum, target=settings.target, terms=True, **values)
        return _Theory(pipe, values, terms, formula, formula.method)

    def checks(self, label: str, name: str | None, x: Any, theory: _Theory) -> dict[str, Validation]:
        """Return the comparison with a simulation of each kind at one point."""
        found = {}
        for kind in self.settings.inputs:
            self.progress(f"{label}{'' if name is None else f', {name} = {x:g}'}, {kind} inputs", self.done, self.total)
            found[kind] = self.check(kind, theory)
            self.done += 1
            self.progress(label, self.done, self.total)
        return found

    def optimum(
        self, formula: ErrorFormula, name: str, xs: list[Any], values: Mapping[str, Any]
    ) -> tuple[float, float] | None:
        """Return where the error is least between the ends of the sweep, from its exact derivative, and the least error."""
        swept = next((x for x in formula.free_symbols if x.name == name), None)
        if swept is None or swept.is_integer or min(xs) == max(xs):
            return None
        others = {k: v for k, v in values.items() if k != name}
        between = (float(min(xs)), float(max(xs)))
        about: dict[str, Any] = {"spectrum": self.settings.spectrum, "target": self.settings.target, **others}
        try:
            best = optimal_ridge(formula, over=name, between=between, **about)
        except DomainError:  # the error does not depend on it, or its range is tied to other arguments
            return None
        return (best.value, best.error) if best.stationary else None

    def store(self, kind: str) -> Path | None:
        """Return the checkpoint of the simulation that comes next."""
        return None if self.checkpoints is None else self.checkpoints / f"{self.done:04d}-{kind}.npz"

    def check(self, kind: str, theory: _Theory) -> Validation:
        settings, formula = self.settings, theory.formula
        assert formula is not None
        rows: dict[str, Any] = {}
        if kind == "real":
            if settings.data is None:
                raise DomainError('inputs = "real" needs data, got none; add data = "digits" or drop it')
            data = settings.data
            about = {"inputs": data.X} if data.kernel is None else {"kernel": data.kernel}
            rows = {**about, "targets": data.y}
        return judge(
            formula,
            spectrum=settings.spectrum,
            target=settings.target,
            trials=settings.trials,
            seed=settings.seed,
            jobs=settings.jobs,
            checkpoint=self.store(kind),
            **rows,
            **theory.values,
        )


class _FamilyWorker(_Worker):
    """Curves of a family other than linear regression: numbers at every point, and what is measured may be no test error."""

    pointwise = True

    def theory(self, curve: Curve, at: Mapping[str, Any]) -> _Theory:
        settings = self.settings
        family = family_of(curve.family or settings.family or "", settings.folder)
        pipe, values = self.described(curve, at)
        numeric = pipe.replaced({s: real(values[s.name], s.name) for s in pipe.free_symbols}) if values else pipe
        expected = family.expected(numeric, measured=settings.measured)
        formula = test_error(numeric, family=family) if settings.measured == "test error" else None
        return _Theory(numeric, {}, {"value": expected.value}, formula, expected.method, family, expected)

    def check(self, kind: str, theory: _Theory) -> Validation:
        """Return the comparison with simulated models; the half-width of bounds, where theory has no more, is allowed."""
        settings, expected = self.settings, theory.expected
        assert expected is not None
        found = simulate(
            theory.pipeline,
            family=theory.family,
            measured=settings.measured,
            trials=settings.trials,
            seed=settings.seed,
            jobs=settings.jobs,
            checkpoint=self.store(kind),
        )
        width = max(expected.upper - expected.value, expected.value - expected.lower)
        return Validation(expected.value, found, width / abs(expected.value) if width else 0.0, _THRESHOLD)


def _stages(pipe: Pipeline, values: Mapping[str, Any]) -> set[tuple[float, float]]:
    """Return the distinct (rows, ridge) of the fits."""

    def number(e: Any) -> float:
        return float(e.subs({s: values[s.name] for s in e.free_symbols}))

    return {(number(f.N), 0.0 if f.ridge is None else number(f.ridge)) for f in pipe.fits}
