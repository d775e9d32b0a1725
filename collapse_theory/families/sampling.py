"""One simulated run of a pipeline for the families beyond regression. No formula is imported here.

A :class:`Sampler` says what rows, subsets of rows and fits are; :class:`Run` walks the DAG with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Protocol

import numpy as np

from collapse_theory.core.errors import DomainError
from collapse_theory.core.numbers import real
from collapse_theory.describe.pipeline import Fit, OneOf, Pipeline, Sample, Truth, rows_behind
from collapse_theory.simulate.trial import Setting, digest

__all__ = ["GaussianSampler", "RegularModel", "RegularSampler", "Run", "Sampler", "TokenSampler", "numeric"]


class Sampler(Protocol):
    """Rows and fits of one family. A mixture is a tuple of models with shares; rows may be of any type."""

    @property
    def identity(self) -> tuple[Any, ...]:
        """Plain data that tell this sampler from another of its class."""

    def truth(self) -> Any:
        """Return the true model."""

    def average(self, models: Sequence[Any], shares: Sequence[float]) -> Any:
        """Return the model with the averaged parameters."""

    def draw(self, rng: np.random.Generator, T: int, models: Sequence[Any], shares: Sequence[float]) -> Any:
        """Return T rows, each from a model drawn with these shares."""

    def subset(self, rng: np.random.Generator, pool: Sequence[Any], T: int) -> Any:
        """Return T rows drawn from the pooled rows without replacement."""

    def fit(self, samples: Sequence[Any], weights: Sequence[float]) -> Any:
        """Return the model fitted to the samples with these row weights."""

    def error(self, model: Any) -> float:
        """Return the error of a model."""


@dataclass(frozen=True)
class Run:
    """One run: ``run(rng)`` is the error of the tested fit. Picklable.

    Attributes:
        pipeline: Numeric pipeline.
        fit: Position of the tested fit.
        sampler: Rows and fits of the family.
        scale: Factor on the error.
    """

    pipeline: Pipeline
    fit: int
    sampler: Sampler
    scale: float = 1.0
    plan: tuple[Sample | Fit, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Keep only the nodes that the tested fit depends on, in order."""
        fits = self.pipeline.ancestors(self.pipeline.fits[self.fit])
        used = {s.index for f in fits for s in rows_behind(f.samples)}
        plan: list[Sample | Fit] = []
        for f in fits:
            for s in rows_behind(f.samples):
                if s.index in used:
                    used.remove(s.index)
                    plan.append(s)
            plan.append(f)
        object.__setattr__(self, "plan", tuple(plan))

    @property
    def fingerprint(self) -> str:
        """Digest of the pipeline, the family and the truth."""
        nodes = [_record(node) for node in self.plan]
        return digest(type(self.sampler).__name__, *self.sampler.identity, self.scale, *nodes)

    def models(self, rng: np.random.Generator) -> dict[int, Any]:
        """Return the models of one run by the position of their fit."""
        rows: dict[int, Any] = {}
        models: dict[int, Any] = {}
        for node in self.plan:
            if isinstance(node, Fit):
                weights = [float(a) for a in node.weights]
                models[node.index] = self.sampler.fit([rows[s.index] for s in node.samples], weights)
            elif node.pool:
                rows[node.index] = self.sampler.subset(rng, [rows[s.index] for s in node.pool], int(node.T))
            else:
                rows[node.index] = self._rows(rng, node, models)
        return models

    def _rows(self, rng: np.random.Generator, node: Sample, models: dict[int, Any]) -> Any:
        mixed = isinstance(node.source, OneOf)
        labellers = (
            node.source.labellers if isinstance(node.source, OneOf) else [labeller for labeller, _ in node.source]
        )
        shares = [1 / len(labellers)] * len(labellers) if mixed else [float(c) for _, c in node.source]  # type: ignore[union-attr]
        known = [
            models[labeller.index] if isinstance(labeller, Fit) else self.sampler.truth() for labeller in labellers
        ]
        if len(known) > 1 and not mixed:
            known, shares = [self.sampler.average(known, shares)], [1.0]
        return self.sampler.draw(rng, int(node.T), known, shares)

    def __call__(self, rng: np.random.Generator) -> float:
        """Return the error of the tested model of one run."""
        return self.scale * self.sampler.error(self.models(rng)[self.fit])


@dataclass(frozen=True, eq=False)
class TokenSampler:
    """Token counts; a model is a vector of frequencies. The error is ``|p_hat - p|^2``, or what else is measured."""

    p: np.ndarray
    measured: str = "test error"

    @property
    def identity(self) -> tuple[Any, ...]:
        """The true frequencies, and what is measured if it is not the error."""
        return (self.p,) if self.measured == "test error" else (self.p, self.measured)

    def truth(self) -> np.ndarray:
        """Return the true frequencies."""
        return self.p

    def average(self, models: Sequence[np.ndarray], shares: Sequence[float]) -> np.ndarray:
        """Return the averaged frequencies."""
        q = sum((c * model for c, model in zip(shares, models, strict=True)), np.zeros(len(self.p)))
        return q / q.sum()

    def draw(
        self, rng: np.random.Generator, T: int, models: Sequence[np.ndarray], shares: Sequence[float]
    ) -> np.ndarray:
        """Return the counts of T rows of the mixture."""
        return rng.multinomial(T, self.average(models, shares))

    def subset(self, rng: np.random.Generator, pool: Sequence[np.ndarray], T: int) -> np.ndarray:
        """Return the counts of T of the pooled rows."""
        return rng.multivariate_hypergeometric(np.sum(pool, axis=0), T, method="marginals")

    def fit(self, samples: Sequence[np.ndarray], weights: Sequence[float]) -> np.ndarray:
        """Return the weighted empirical frequencies."""
        total = sum((a * s for a, s in zip(weights, samples, strict=True)), np.zeros(len(self.p)))
        return total / total.sum()

    def error(self, model: np.ndarray) -> float:
        """Return what is measured of a model."""
        match self.measured:
            case "diversity":
                return float((model * (1 - model)).sum())
            case "total variation":
                return float(np.abs(model - self.p).sum()) / 2
            case "distinct tokens":
                return float((model > 0).sum())
            case _:
                return float(((model - self.p) ** 2).sum())


@dataclass(frozen=True)
class GaussianSampler:
    """Rows in d dimensions; a model is (mean, covariance), the truth N(0, I). The error is ``|mean|^2/d``, or what is measured."""

    d: int
    measured: str = "test error"

    @property
    def identity(self) -> tuple[Any, ...]:
        """The dimension, and what is measured if it is not the error."""
        return (self.d,) if self.measured == "test error" else (self.d, self.measured)

    def truth(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the standard normal model."""
        return np.zeros(self.d), np.eye(self.d)

    def average(self, models: Sequence[Any], shares: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
        """Return the model with averaged mean and covariance."""
        pairs = list(zip(shares, models, strict=True))
        return sum(c * model[0] for c, model in pairs), sum(c * model[1] for c, model in pairs)

    def draw(self, rng: np.random.Generator, T: int, models: Sequence[Any], shares: Sequence[float]) -> np.ndarray:
        """Return T rows, each from a model drawn with these shares."""
        rows = []
        for count, (mean, covariance) in zip(rng.multinomial(T, shares), models, strict=True):
            value, vector = np.linalg.eigh(covariance)
            root = vector * np.sqrt(np.maximum(value, 0))  # round-off may push a zero eigenvalue below zero
            rows.append(mean + rng.standard_normal((count, self.d)) @ root.T)
        return np.concatenate(rows)

    def subset(self, rng: np.random.Generator, pool: Sequence[np.ndarray], T: int) -> np.ndarray:
        """Return T of the pooled rows."""
        return rng.permutation(np.concatenate(pool))[:T]

    def fit(self, samples: Sequence[np.ndarray], weights: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
        """Return the maximum-likelihood mean and covariance of the weighted rows."""
        rows = np.concatenate(samples)
        a = np.repeat(weights, [len(s) for s in samples])
        a = a / a.sum()
        mean = a @ rows
        return mean, (rows - mean).T @ ((rows - mean) * a[:, None])

    def error(self, model: tuple[np.ndarray, np.ndarray]) -> float:
        """Return what is measured of a model, per dimension."""
        mean, covariance = model
        match self.measured:
            case "variance":
                return float(np.trace(covariance)) / self.d
            case "log variance":
                return float(np.linalg.slogdet(covariance)[1]) / self.d
            case _:
                return float(mean @ mean) / self.d


class RegularModel(Protocol):
    """What ``ct.Regular(model)`` needs for simulation: a sampler, a fitter, the truth and its Fisher information."""

    @property
    def truth(self) -> np.ndarray:
        """The true parameter, shape (q,)."""

    @property
    def information(self) -> np.ndarray:
        """Fisher information of one row at the truth, shape (q, q)."""

    def sample(self, theta: np.ndarray, T: int, rng: np.random.Generator) -> np.ndarray:
        """Return T rows of the model ``theta``, rows first."""

    def fit(self, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Return the maximum-likelihood parameter of the weighted rows."""


@dataclass(frozen=True)
class RegularSampler:
    """Rows of a parametric model. The error is ``(theta_hat - theta)^T I (theta_hat - theta)/q``."""

    model: RegularModel

    @property
    def identity(self) -> tuple[Any, ...]:
        """The class and truth of the parametric model."""
        return (type(self.model).__name__, self.model.truth)

    def truth(self) -> np.ndarray:
        """Return the true parameter."""
        return self.model.truth

    def average(self, models: Sequence[np.ndarray], shares: Sequence[float]) -> np.ndarray:
        """Return the averaged parameter."""
        return np.asarray(shares) @ np.asarray(models)

    def draw(
        self, rng: np.random.Generator, T: int, models: Sequence[np.ndarray], shares: Sequence[float]
    ) -> np.ndarray:
        """Return T rows, each from a model drawn with these shares."""
        counts = rng.multinomial(T, shares) if len(models) > 1 else [T]
        return np.concatenate([self.model.sample(model, int(n), rng) for n, model in zip(counts, models, strict=True)])

    def subset(self, rng: np.random.Generator, pool: Sequence[np.ndarray], T: int) -> np.ndarray:
        """Return T of the pooled rows."""
        return rng.permutation(np.concatenate(pool))[:T]

    def fit(self, samples: Sequence[np.ndarray], weights: Sequence[float]) -> np.ndarray:
        """Return the maximum-likelihood parameter of the weighted rows."""
        return self.model.fit(np.concatenate(samples), np.repeat(weights, [len(s) for s in samples]))

    def error(self, model: np.ndarray) -> float:
        """Return the error in units of the information, per parameter."""
        gap = model - self.model.truth
        return float(gap @ self.model.information @ gap) / len(gap)


def numeric(pipeline: Pipeline, setting: Setting) -> Pipeline:
    """Return the pipeline with the setting's values for its symbols.

    Raises:
        DomainError: If the setting has inputs of a regression, or a symbol has no value or a value no symbol.
    """
    given = [
        f.name for f in fields(setting) if f.name not in {"values", "measured"} and getattr(setting, f.name) is not None
    ]
    if given:
        raise DomainError(f"{given[0]} belongs to linear regression; this family needs only the pipeline, omit it")
    symbols = {s.name: s for s in pipeline.free_symbols}
    if set(symbols) != set(setting.values):
        raise DomainError(
            f"simulate needs a value for each symbol of the pipeline ({', '.join(sorted(symbols)) or 'none'}), got "
            f"{', '.join(sorted(setting.values)) or 'none'}; pass them by name"
        )
    return (
        pipeline.replaced({symbols[name]: real(value, name) for name, value in setting.values.items()})
        if symbols
        else pipeline
    )


def _record(node: Sample | Fit) -> tuple[Any, ...]:
    """Return a node as plain data, for the fingerprint."""
    if isinstance(node, Fit):
        return ("fit", node.index, tuple(s.index for s in node.samples), tuple(map(float, node.weights)))
    pool = tuple(s.index for s in node.pool)
    if isinstance(node.source, OneOf):
        return ("mixed", node.index, int(node.T), tuple(_place(labeller) for labeller in node.source.labellers))
    return (
        "sample",
        node.index,
        int(node.T),
        pool,
        tuple((_place(labeller), float(c)) for labeller, c in node.resolved.signal),
    )


def _place(labeller: Truth | Fit) -> int:
    return labeller.index if isinstance(labeller, Fit) else -1
