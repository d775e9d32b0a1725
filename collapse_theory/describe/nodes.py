"""The nodes of a pipeline, immutable: samples, fits, and who labels the rows of a sample.

Rows are labelled by a truth, an earlier fit, the labels of an earlier sample on the same inputs, a linear combination of
these, or one of them drawn at random. A :class:`Stage` describes one round of a workflow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

from sympy import Expr, S

from collapse_theory.core.errors import PipelineError, shown
from collapse_theory.core.numbers import Scalar, real, show
from collapse_theory.describe.activations import Activation
from collapse_theory.describe.filters import Filter

__all__ = [
    "TRUTH",
    "Features",
    "Fit",
    "Labeller",
    "Labels",
    "Node",
    "OneOf",
    "Resolved",
    "Sample",
    "Source",
    "Stage",
    "Truth",
    "feature_count",
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
    """True coefficients: ``w0``, by which models are tested, or those of another task. Made by :meth:`.Pipeline.truth`.

    Attributes:
        name: What targets, files and messages call them.
    """

    name: str = "w0"

    def __repr__(self) -> str:
        return "TRUTH" if self.name == "w0" else self.name


TRUTH = Truth()
"""The true labeller, ``w0``."""


@dataclass(frozen=True)
class Labels(Labeller):
    """The labels of a sample, its label noise included: they label other rows on the same inputs.

    Attributes:
        sample: The sample.
    """

    sample: Sample

    @property
    def name(self) -> str:
        """What text sources call it."""
        return f"{self.sample.name}.labels"

    def __repr__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Source:
    """A linear combination of labellers, ``sum_i c_i w_i``; the coefficients may have any sign.

    Attributes:
        coefficients: Pairs (labeller, coefficient) in order of appearance, each labeller once, no zero coefficient.

    >>> 0.5 * TRUTH + 0.25 * TRUTH
    0.75*TRUTH
    """

    coefficients: tuple[tuple[Truth | Fit | Labels, Expr], ...]

    @staticmethod
    def of(value: Any) -> Source:
        """Return ``value`` as a source.

        Raises:
            PipelineError: If it is neither a labeller nor a combination of labellers.
        """
        if isinstance(value, Source):
            return value
        if isinstance(value, Labeller):
            return Source(((cast("Truth | Fit | Labels", value), S.One),))
        raise PipelineError(
            f"source needs to be TRUTH, a fit, the labels of a sample, or a linear combination of them, got {shown(value)}; "
            "write for example 0.6*ct.TRUTH + 0.4*m1"
        )

    def __add__(self, other: Any) -> Source:
        total: dict[Truth | Fit | Labels, Expr] = dict(self.coefficients)
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

    def __iter__(self) -> Iterator[tuple[Truth | Fit | Labels, Expr]]:
        return iter(self.coefficients)

    def __repr__(self) -> str:
        def term(labeller: Truth | Fit | Labels, c: Expr) -> str:
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
        if not isinstance(labeller, (Truth, Fit)):
            raise PipelineError(f"one_of needs TRUTH or fits, got {shown(labeller)}; mixtures go into separate samples")
    return OneOf(tuple(labellers))


def _label(labeller: Truth | Fit | Labels) -> str:
    return repr(labeller) if isinstance(labeller, Truth) else labeller.name


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
        """The truths and fits that its labels depend on, those behind reused labels included."""
        if isinstance(self.source, OneOf):
            return tuple(dict.fromkeys(self.source.labellers))
        return tuple(labeller for labeller, _ in self.resolved.signal)

    @property
    def labels(self) -> Labels:
        """Its labels as a source for samples on the same inputs."""
        return Labels(self)

    @property
    def relabelled(self) -> tuple[Sample, ...]:
        """The samples whose labels it reuses."""
        if isinstance(self.source, OneOf):
            return ()
        return tuple(x.sample for x, _ in self.source if isinstance(x, Labels))

    @property
    def resolved(self) -> Resolved:
        """What its labels are made of, reused labels followed to where they were made.

        Raises:
            PipelineError: If each row is labelled by a labeller drawn at random.
        """
        if isinstance(self.source, OneOf):
            raise PipelineError(
                f"labels of sample {shown(self.name)} need to be a linear combination, got {self.source}; use separate samples"
            )
        signal: dict[Truth | Fit, Expr] = {}
        noises: dict[Sample, Expr] = {} if self.noise is None or self.noise.is_zero else {self: S.One}
        for x, c in self.source:
            inner = x.sample.resolved if isinstance(x, Labels) else Resolved(((x, S.One),), ())
            for labeller, share in inner.signal:
                signal[labeller] = signal.get(labeller, S.Zero) + c * share
            for made, share in inner.noises:
                noises[made] = noises.get(made, S.Zero) + c * share
        return Resolved(
            tuple((x, c) for x, c in signal.items() if c != 0), tuple((x, c) for x, c in noises.items() if c != 0)
        )


@dataclass(frozen=True)
class Resolved:
    """Labels as linear combinations of models and label noises.

    Attributes:
        signal: Pairs (truth or fit, coefficient).
        noises: Pairs (sample, coefficient of its label noise).
    """

    signal: tuple[tuple[Truth | Fit, Expr], ...]
    noises: tuple[tuple[Sample, Expr], ...]


@dataclass(frozen=True, eq=False, repr=False)
class Features(Node):
    r"""Random features that fits see instead of the inputs. Made by :meth:`.Pipeline.features`.

    Attributes:
        owner: Key of the pipeline it belongs to.
        index: Position among the pipeline's features.
        name: What figures, messages and files call it.
        m: Their number; :math:`F` is ``d x m`` with i.i.d. :math:`N(0,1/m)` entries.
        activation: The activation of :math:`F^\top x`, or None: linear features.
        linear: Its linear coefficient :math:`\mu_1`.
        noise: The variance :math:`\mu_*^2/\mu_1^2` of what else it is, in units of that.
    """

    owner: str
    index: int
    name: str
    m: Expr
    activation: Activation | None = None
    linear: Expr = S.One
    noise: Expr = S.Zero


@dataclass(frozen=True, eq=False, repr=False)
class Fit(Node, Labeller):
    """A weighted fit on pooled samples: ridge regression, or another spectral filter. Made by :meth:`.Pipeline.fit`.

    Attributes:
        owner: Key of the pipeline it belongs to.
        index: Position among the pipeline's fits.
        name: What figures and messages call it.
        samples: The pooled samples, each once.
        weights: Row weights ``a_i`` that multiply the squared errors of sample ``i``; not renormalised.
        ridge: The ridge on the mean squared error over all ``N`` rows, or None where none was given.
        features: Number of its own random features, features that it shares with other fits, or None: the inputs themselves.
        filter: The spectral filter that takes the place of the ridge, or None.
    """

    owner: str
    index: int
    name: str
    samples: tuple[Sample, ...]
    weights: tuple[Expr, ...]
    ridge: Expr | None
    features: Expr | Features | None = None
    filter: Filter | None = None

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


def feature_count(value: Any) -> Expr:
    """Return a number of features, checked to be a positive integer where it is a number."""
    return real(value, "features", positive=True, integer=True, error=PipelineError)


def optional(value: Any, name: str) -> Expr | None:
    """Return a noise or a ridge, checked to be non-negative; None stays."""
    return None if value is None else real(value, name, nonnegative=True, error=PipelineError)


def rows_behind(samples: Iterable[Sample]) -> tuple[Sample, ...]:
    """Return ``samples`` and those that they were drawn from or whose labels they reuse, each once, in order of appearance."""
    found: dict[int, Sample] = {}
    todo = list(samples)
    while todo:
        s = todo.pop()
        if s.index not in found:
            found[s.index] = s
            todo += (*s.pool, *s.relabelled)
    return tuple(found[i] for i in sorted(found))
