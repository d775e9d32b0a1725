"""The nodes of a pipeline, immutable: samples, fits, and who labels the rows of a sample.

Rows are labelled by the truth, an earlier fit, a linear combination of these, or one of them drawn at random. A
:class:`Stage` describes one round of a workflow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

from sympy import Expr, S

from collapse_theory.core.errors import PipelineError, shown
from collapse_theory.core.numbers import Scalar, real, show

__all__ = [
    "TRUTH",
    "Fit",
    "Labeller",
    "Node",
    "OneOf",
    "Sample",
    "Source",
    "Stage",
    "Truth",
    "one_of",
    "optional",
    "row_count",
    "rows_behind",
]


class Labeller:
    """What can label inputs: the truth or a fit. Labellers add and scale to a :class:`Source`."""

    def __add__(self, other: Any) -> Source:
        return Source.of(self) + other

    __radd__ = __add__

    def __sub__(self, other: Any) -> Source:
        return Source.of(self) - other

    def __rsub__(self, other: Any) -> Source:
        return (-1) * Source.of(self) + other

    def __mul__(self, factor: Scalar) -> Source:
        return Source.of(self) * factor

    __rmul__ = __mul__

    def __truediv__(self, divisor: Scalar) -> Source:
        return Source.of(self) / divisor

    def __neg__(self) -> Source:
        return Source.of(self) * -1


@dataclass(frozen=True)
class Truth(Labeller):
    """The true coefficients ``w0``."""

    def __repr__(self) -> str:
        return "TRUTH"


TRUTH = Truth()
"""The true labeller, ``w0``."""


@dataclass(frozen=True)
class Source:
    """A linear combination of labellers, ``sum_i c_i w_i``.

    Attributes:
        coefficients: Pairs (labeller, coefficient) in order of appearance, each labeller once, no zero coefficient.

    >>> 0.5 * TRUTH + 0.25 * TRUTH
    0.75*TRUTH
    """

    coefficients: tuple[tuple[Truth | Fit, Expr], ...]

    @staticmethod
    def of(value: Any) -> Source:
        """Return ``value`` as a source.

        Raises:
            PipelineError: If it is neither a labeller nor a combination of labellers.
        """
        if isinstance(value, Source):
            return value
        if isinstance(value, Labeller):
            return Source(((cast("Truth | Fit", value), S.One),))
        raise PipelineError(
            f"source needs to be TRUTH, a fit, or a linear combination of them, got {shown(value)}; "
            "write for example 0.6*ct.TRUTH + 0.4*m1"
        )

    def __add__(self, other: Any) -> Source:
        total: dict[Truth | Fit, Expr] = dict(self.coefficients)
        for labeller, c in Source.of(other).coefficients:
            total[labeller] = total.get(labeller, S.Zero) + c
        return Source(tuple((labeller, c) for labeller, c in total.items() if c != 0))

    __radd__ = __add__

    def __sub__(self, other: Any) -> Source:
        return self + Source.of(other) * -1

    def __rsub__(self, other: Any) -> Source:
        return self * -1 + other

    def __mul__(self, factor: Scalar) -> Source:
        c = real(factor, "source coefficient", error=PipelineError)
        return Source(tuple((labeller, a * c) for labeller, a in self.coefficients if a * c != 0))

    __rmul__ = __mul__

    def __truediv__(self, divisor: Scalar) -> Source:
        c = real(divisor, "source divisor", error=PipelineError)
        if c.is_zero:
            raise PipelineError("source divisor needs to be non-zero, got 0; scale by a non-zero number")
        return self * (1 / c)

    def __neg__(self) -> Source:
        return self * -1

    def __iter__(self) -> Iterator[tuple[Truth | Fit, Expr]]:
        return iter(self.coefficients)

    def __repr__(self) -> str:
        def term(labeller: Truth | Fit, c: Expr) -> str:
            factor = f"({show(c)})" if c.is_Add else show(c)
            return _label(labeller) if c == 1 else f"{factor}*{_label(labeller)}"

        return " + ".join(term(labeller, c) for labeller, c in self.coefficients) or "0"


@dataclass(frozen=True)
class OneOf:
    """Each row is labelled by one labeller, drawn uniformly at random (for the scalar families).

    Attributes:
        labellers: The labellers to draw from, in order; repeats count.
    """

    labellers: tuple[Truth | Fit, ...]

    def __repr__(self) -> str:
        return f"one_of({', '.join(map(_label, self.labellers))})"


def one_of(*labellers: Truth | Fit) -> OneOf:
    """Return the source that labels each row by a labeller drawn uniformly from ``labellers``.

    Raises:
        PipelineError: If there is none, or one of them is not the truth or a fit.

    >>> one_of(TRUTH, TRUTH)
    one_of(TRUTH, TRUTH)
    """
    if not labellers:
        raise PipelineError("one_of needs at least one labeller, got none; pass ct.TRUTH or fits")
    for labeller in labellers:
        if not isinstance(labeller, Labeller):
            raise PipelineError(f"one_of needs TRUTH or fits, got {shown(labeller)}; mixtures go into separate samples")
    return OneOf(tuple(labellers))


def _label(labeller: Truth | Fit) -> str:
    return "TRUTH" if isinstance(labeller, Truth) else labeller.name


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
    """Rows with labels. Made by :meth:`.Pipeline.sample` and :meth:`.Pipeline.subsample`.

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
        return tuple(labeller for labeller, _ in self.source)


@dataclass(frozen=True, eq=False, repr=False)
class Fit(Node, Labeller):
    """A weighted ridge fit on pooled samples. Made by :meth:`.Pipeline.fit`.

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
