"""A pipeline of linear regressions compiled to a flat list of steps with plain numbers.

Workers receive the program: no SymPy, no graph to walk, no recursion. Only what the tested model depends on is in it,
and nodes are numbered by first use, so the random numbers of a trial do not depend on names or on unrelated nodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from sympy import Expr, Symbol

from collapse_theory.core.errors import DomainError, PipelineError, nearest, shown
from collapse_theory.core.numbers import real
from collapse_theory.describe import pipeline as describe
from collapse_theory.describe.activations import Activation
from collapse_theory.describe.pipeline import (
    Features,
    Fit,
    GradientFlow,
    Labels,
    OneOf,
    Pipeline,
    Sample,
    Source,
    Truth,
)
from collapse_theory.simulate.solve import EarlyStopping

__all__ = [
    "COMMON",
    "MOST_ENTRIES",
    "TRUTH",
    "Draw",
    "Feature",
    "Label",
    "PooledRows",
    "Procedure",
    "Solve",
    "compile_linear",
]

MOST_ENTRIES = 2**28
"""Rows of a sample, and entries of the rows of a fit: two gigabytes."""

TRUTH = -1
"""The number of the truth among the models of a program; other truths count down from it, fits up from 0."""

COMMON = "Sigma"
"""Name of the common covariance in a mapping of spectra."""


@dataclass(frozen=True)
class Draw:
    """Draw the inputs ``X`` of one design: ``rows`` rows of one covariance."""

    design: int
    rows: int
    covariance: str


@dataclass(frozen=True)
class Feature:
    """Draw random features ``F``: i.i.d. ``N(0, 1/m)`` entries, ``m`` columns; with an activation, or linear ones."""

    features: int
    m: int
    activation: Activation | None = None


@dataclass(frozen=True)
class Label:
    """Label a design: ``y = X (sum_i c_i w_i) + sum_j b_j y_j + noise * N(0, I)``.

    Attributes:
        sample: Number of the sample.
        design: Its inputs.
        coefficients: Pairs (model, ``c_i``).
        noise: Standard deviation of the label noise.
        reused: Pairs (earlier sample on these inputs, ``b_j``).
    """

    sample: int
    design: int
    coefficients: tuple[tuple[int, float], ...]
    noise: float
    reused: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class PooledRows:
    """All samples of one fit that share a design.

    ``sum_i a_i |X w - y_i|^2`` differs from ``A |X w - sum_i (a_i/A) y_i|^2`` with ``A = sum_i a_i`` by a constant, so
    they are one set of rows. This keeps the rows of a fit in general position where least squares relies on it.

    Attributes:
        design: The common inputs.
        covariance: Name of their covariance.
        weight: The total row weight ``A > 0``.
        shares: Pairs (sample, ``a_i/A``).
    """

    design: int
    covariance: str
    weight: float
    shares: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Solve:
    """Fit ``w_hat = (sum_i a_i X_i^T X_i/N + ridge I)^{-1} sum_i a_i X_i^T y_i/N``.

    Attributes:
        fit: Number of the fitted model.
        blocks: The pooled rows with positive weight.
        N: All rows of the fit, those of weight zero included.
        ridge: Ridge on the mean loss; 0 is the minimum-norm solution.
        features: Number of the random features it sees instead of the inputs, or None.
        stopping: How it is stopped early, or None.
        release: Designs that no later step uses.
    """

    fit: int
    blocks: tuple[PooledRows, ...]
    N: int
    ridge: float
    features: int | None = None
    stopping: EarlyStopping | None = None
    release: tuple[int, ...] = ()


Step = Draw | Feature | Label | Solve


@dataclass(frozen=True)
class Procedure:
    """Steps in order, and what is measured in the end.

    Attributes:
        steps: The steps.
        tested: Pairs (model, coefficient): the tested combination.
        measured: "test error", or "training error" or "cross-validation" of the last fit.
        others: Names of the other truths: those with the numbers after :data:`TRUTH`, counted down.
    """

    steps: tuple[Step, ...]
    tested: tuple[tuple[int, float], ...]
    measured: str = "test error"
    others: tuple[str, ...] = field(default=(), repr=False)  # a checkpoint knows them by their coefficients

    def model(self, models: Mapping[int, np.ndarray]) -> np.ndarray:
        """Return the tested combination of models."""
        (first, c), *others = self.tested
        out = c * models[first]
        for k, share in others:
            out = out + share * models[k]
        return np.asarray(out)

    @property
    def layers(self) -> tuple[Feature, ...]:
        """The random features with an activation."""
        return tuple(step for step in self.steps if isinstance(step, Feature) and step.activation is not None)

    @property
    def covariances(self) -> tuple[str, ...]:
        """Names of the covariances drawn from, sorted."""
        return tuple(sorted({step.covariance for step in self.steps if isinstance(step, Draw)}))


def compile_linear(
    pipeline: Pipeline, model: Fit | Source, values: Mapping[str, Any], measured: str = "test error"
) -> Procedure:
    """Return the program of ``model`` with the pipeline's symbols replaced by ``values``.

    Args:
        pipeline: Any pipeline of linear regressions.
        model: The tested fit, or a combination of fits and the truth.
        values: Values of the symbols by name.
        measured: What is measured of it.

    Raises:
        PipelineError: If the model depends on ``one_of`` or a subsample.
        DomainError: If a symbol has no value, a name is unknown, or a value is out of range.

    >>> pipe = Pipeline()
    >>> m = pipe.fit(pipe.sample(T=5, noise=0.5))
    >>> draw, label, solve = compile_linear(pipe, m, {}).steps
    >>> draw
    Draw(design=0, rows=5, covariance='Sigma')
    >>> label
    Label(sample=0, design=0, coefficients=((-1, 1.0),), noise=0.5, reused=())
    >>> solve.N, solve.ridge, solve.release
    (5, 0.0, (0,))
    """
    compiler = _Compiler(_Values(pipeline, values))
    for fit in pipeline.ancestors(model):
        compiler.solve(fit)
    tested = tuple(
        (compiler.number(x), compiler.values(c, "coefficient of model", signed=True)) for x, c in Source.of(model)
    )
    return Procedure(_with_release(compiler.steps), tested, measured, tuple(compiler.others))


class _Compiler:
    """Emits each design, labelled sample and fit once, in the order in which they are needed."""

    def __init__(self, values: _Values) -> None:
        self.values = values
        self.steps: list[Step] = []
        self.designs: dict[Sample, int] = {}
        self.samples: dict[Sample, int] = {}
        self.fits: dict[Truth | Fit, int] = {}
        self.others: dict[str, int] = {}
        self.features: dict[Features | Fit, int] = {}

    def solve(self, fit: Fit) -> None:
        where = f"of fit {fit.name!r}"
        weights = [self.values(a, f"weights[{i}] {where}", signed=True) for i, a in enumerate(fit.weights)]
        if not any(weights):
            raise DomainError(f"weights {where} need a positive value, got {weights}; a fit on nothing is not defined")
        pooled: dict[int, list[tuple[Sample, float]]] = {}
        for s, a in zip(fit.samples, weights, strict=True):
            if a != 0:
                self.label(s)
                pooled.setdefault(self.designs[s.inputs], []).append((s, a))
        blocks = []
        for design, parts in pooled.items():
            total = sum(a for _, a in parts)
            if total <= 0:
                raise DomainError(
                    f"weights {where} need to add up to more than zero on each set of inputs, got {total:.6g} on those of "
                    f"{shown(parts[0][0].name)}: the pooled Gram matrix would not be positive definite"
                )
            shares = tuple((self.samples[s], a / total) for s, a in parts)
            blocks.append(PooledRows(design, parts[0][0].covariance or COMMON, total, shares))
        ridge = 0.0 if fit.ridge is None else self.values(fit.ridge, f"ridge {where}")
        seen, stopping = self.seen(fit, where), self.stopping(fit, where)
        index = self.fits[fit] = len(self.fits)
        rows = sum(self.rows(s) for s in fit.samples)
        self.steps.append(Solve(index, tuple(blocks), rows, ridge, seen, stopping))

    def seen(self, fit: Fit, where: str) -> int | None:
        """Return the number of the features that a fit sees, drawn where it is the first."""
        if fit.features is None:
            return None
        shared = isinstance(fit.features, Features)
        key = fit.features if isinstance(fit.features, Features) else fit
        if key not in self.features:
            m, activation = fit.features, None
            if isinstance(fit.features, Features):
                m, activation = fit.features.m, fit.features.activation
            name = f"features {shown(fit.features.name)}" if shared else f"features {where}"
            self.features[key] = len(self.features)
            self.steps.append(Feature(self.features[key], self.values.integer(m, name, MOST_ENTRIES), activation))
        return self.features[key]

    def stopping(self, fit: Fit, where: str) -> EarlyStopping | None:
        if fit.filter is None:
            return None
        if isinstance(fit.filter, GradientFlow):
            return EarlyStopping(self.values(fit.filter.parameters[0], f"time {where}"))
        step, steps = fit.filter.parameters
        size = self.values(step, f"step {where}")
        return EarlyStopping(size * self.values.integer(steps, f"steps {where}", MOST_ENTRIES), size)

    def number(self, labeller: Any) -> int:
        """Return the number of a truth or a fit."""
        if isinstance(labeller, Truth):
            if labeller == describe.TRUTH:
                return TRUTH
            return self.others.setdefault(labeller.name, TRUTH - 1 - len(self.others))
        return self.fits[labeller]

    def label(self, s: Sample) -> None:
        if s in self.samples:
            return
        if s.pool or isinstance(s.source, OneOf):
            what = "a subsample" if s.pool else f"source {s.source}"
            raise PipelineError(
                f"linear regression needs samples labelled by a linear combination, got {what} (sample {shown(s.name)}); "
                "subsamples and one_of belong to the families Categorical, Gaussian and Regular"
            )
        if s.inputs not in self.designs:
            self.designs[s.inputs] = len(self.designs)
            self.steps.append(Draw(self.designs[s.inputs], self.rows(s), s.covariance or COMMON))
        where = f"of sample {s.name!r}"
        noise = 0.0 if s.noise is None else self.values(s.noise, f"noise {where}")
        for again in s.relabelled:
            self.label(again)
        terms = [(x, self.values(c, f"coefficient {where}", signed=True)) for x, c in s.source]
        coefficients = tuple((self.number(x), c) for x, c in terms if not isinstance(x, Labels))
        reused = tuple((self.samples[x.sample], c) for x, c in terms if isinstance(x, Labels))
        self.samples[s] = len(self.samples)
        self.steps.append(Label(self.samples[s], self.designs[s.inputs], coefficients, noise, reused))

    def rows(self, s: Sample) -> int:
        return self.values.integer(s.T, f"T of sample {s.name!r}", MOST_ENTRIES)


def _with_release(steps: list[Step]) -> tuple[Step, ...]:
    """Mark at each fit the designs that no later step uses: a long chain then keeps one design in memory, not all."""
    seen: set[int] = set()
    out: list[Step] = []
    for step in reversed(steps):
        if isinstance(step, Solve):
            used = {b.design for b in step.blocks}
            step = replace(step, release=tuple(sorted(used - seen)))
            seen |= used
        elif isinstance(step, Label):
            seen.add(step.design)
        out.append(step)
    return tuple(reversed(out))


class _Values:
    """The values of a pipeline's symbols, matched by name and checked against the symbols' assumptions."""

    def __init__(self, pipeline: Pipeline, values: Mapping[str, Any]) -> None:
        self.known: dict[str, Symbol] = {}
        for symbol in sorted(pipeline.free_symbols, key=lambda s: (s.name, str(sorted(s.assumptions0.items())))):
            if symbol.name in self.known:
                raise DomainError(
                    f"pipeline needs one symbol per name, got two symbols {shown(symbol.name)} with different assumptions; "
                    "take the symbols from ct.symbols"
                )
            self.known[symbol.name] = symbol
        self.change: dict[Expr, Expr] = {}
        for name, value in values.items():
            if name not in self.known:
                raise DomainError(
                    f"simulate needs names of symbols of the pipeline, got {name}={shown(value)}{nearest(name, self.known)}"
                )
            symbol = self.known[name]
            number = real(
                value,
                name,
                positive=bool(symbol.is_positive),
                nonnegative=bool(symbol.is_nonnegative),
                integer=bool(symbol.is_integer),
            )
            if not number.is_number:
                raise DomainError(f"{name} needs to be a number, got {shown(value)}; give every symbol a numeric value")
            self.change[symbol] = number

    def __call__(self, expr: Expr, what: str, *, signed: bool = False) -> float:
        return float(self._number(expr, what, nonnegative=not signed))

    def integer(self, expr: Expr, what: str, most: int) -> int:
        return int(self._number(expr, what, positive=True, integer=True, most=most))

    def _number(
        self,
        expr: Expr,
        what: str,
        *,
        positive: bool = False,
        nonnegative: bool = False,
        integer: bool = False,
        most: int | None = None,
    ) -> Expr:
        number = expr.xreplace(self.change)
        missing = sorted(s.name for s in number.free_symbols)
        if missing:
            raise DomainError(
                f"{what} = {expr} needs a value of {missing[0]}, got none; pass {missing[0]}=... to simulate"
            )
        return real(number, what, positive=positive, nonnegative=nonnegative, integer=integer, most=most)
