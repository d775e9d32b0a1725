"""The nodes of a pipeline: samples and fits, immutable; and the stage that describes one round of a workflow."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sympy import Expr, S

from collapse_theory.core.errors import PipelineError
from collapse_theory.core.numbers import Scalar, real, show
from collapse_theory.describe.sources import Labeller, OneOf, Source, Truth

__all__ = ["Fit", "Node", "Sample", "Stage", "optional", "row_count", "rows_behind"]


class Node:
    """Identity of a node: its pipeline, kind and position. Comparing contents would walk the whole graph behind it."""

    owner: str
    index: int
    name: str

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and (self.owner, self.index) == (other.owner, other.index)

    def __hash__(self) -> int:
        return hash((type(self).__name__, self.owner, self.index))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"


@dataclass(frozen=True, eq=False, repr=False)
class Sample(Node):
    """Rows with labels. Made by :meth:`Pipeline.sample` and :meth:`Pipeline.subsample`.

    Attributes:
        owner: Key of the pipeline it belongs to.
        index: Position among the pipeline's samples.
        name: What figures and messages call it.
        T: Number of rows.
        noise: Standard deviation of the label noise, or None where none was given.
        source: Who labels the rows.
        design: The earlier sample whose inputs are reused (never itself a reuse: chains are resolved), or None.
        covariance: Name of the covariance of its inputs, or None for the common one.
        pool: For a subsample, the samples whose rows it is drawn from without replacement; else empty.
    """

    owner: str
    index: int
    name: str
    T: Expr
    noise: Expr | None
    source: Source | OneOf
    design: Sample | None = None
    covariance: str | None = None
    pool: tuple[Sample, ...] = ()

    @property
    def inputs(self) -> Sample:
        """The sample whose inputs these are: itself, or the one whose design is reused."""
        return self if self.design is None else self.design

    @property
    def labellers(self) -> tuple[Truth | Fit, ...]:
        """The labellers its labels depend on."""
        if isinstance(self.source, OneOf):
            return tuple(dict.fromkeys(self.source.labellers))
        return tuple(m for m, _ in self.source)


@dataclass(frozen=True, eq=False, repr=False)
class Fit(Node, Labeller):
    """A weighted ridge fit on pooled samples. Made by :meth:`Pipeline.fit`.

    Attributes:
        owner: Key of the pipeline it belongs to.
        index: Position among the pipeline's fits.
        name: What figures and messages call it.
        samples: The pooled samples, each once.
        weights: Row weights ``a_i`` that multiply the squared errors of sample ``i``; not renormalised.
        ridge: The ridge on the mean squared error over all ``N`` rows, or None where none was given.
    """

    owner: str
    index: int
    name: str
    samples: tuple[Sample, ...]
    weights: tuple[Expr, ...]
    ridge: Expr | None

    @property
    def N(self) -> Expr:
        """All rows of the fit, ``N = sum_i T_i``."""
        return sum((s.T for s in self.samples), S.Zero)


@dataclass(frozen=True, repr=False)
class Stage:
    """Rows, label noise and ridge of one round (one sample and one fit) of a workflow.

    Args:
        T: Number of rows, positive.
        noise: Label-noise standard deviation; None means 0 in linear regression.
        ridge: Ridge of the fit; None means 0 in linear regression.

    Raises:
        PipelineError: If a value is out of range.

    >>> Stage(T=100, noise=0.5)
    Stage(T=100, noise=0.5)
    """

    T: Scalar
    noise: Scalar | None = None
    ridge: Scalar | None = None

    def __post_init__(self) -> None:
        """Check the ranges, so that a bad stage fails where it is written."""
        object.__setattr__(self, "T", row_count(self.T))
        object.__setattr__(self, "noise", optional(self.noise, "noise"))
        object.__setattr__(self, "ridge", optional(self.ridge, "ridge"))

    def __repr__(self) -> str:
        given = {"T": self.T, "noise": self.noise, "ridge": self.ridge}
        return f"Stage({', '.join(f'{k}={show(v)}' for k, v in given.items() if v is not None)})"


def row_count(T: Any) -> Expr:
    """Return a number of rows, checked to be a positive integer where it is a number."""
    return real(T, "T", positive=True, integer=True, error=PipelineError)


def optional(value: Any, name: str) -> Expr | None:
    """Return a noise or a ridge, checked to be non-negative; None stays."""
    return None if value is None else real(value, name, nonnegative=True, error=PipelineError)


def rows_behind(samples: Iterable[Sample]) -> tuple[Sample, ...]:
    """Return ``samples`` and, for subsamples, the samples they were drawn from, each once, in order of appearance."""
    found: dict[int, Sample] = {}
    todo = list(samples)
    while todo:
        s = todo.pop()
        if s.index not in found:
            found[s.index] = s
            todo += s.pool
    return tuple(found[i] for i in sorted(found))
