"""Recursive training as a directed acyclic graph of samples and fits.

A *sample* draws rows (fresh inputs, or the inputs of an earlier sample) and labels them with a linear combination of
labellers (the truth, earlier fits) plus noise. A *fit* pools samples and minimises the weighted mean squared error plus
a ridge: with row weights ``a_i`` and ``N = sum T_i``,

``w_hat = (sum_i a_i X_i^T X_i / N + lam)^{-1} sum_i a_i X_i^T y_i / N``.

Nodes are immutable and the builder only appends, so a pipeline is acyclic by construction.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar

from sympy import Expr, Integer, S, Symbol

from collapse_theory.describe.numbers import Scalar, real, show
from collapse_theory.errors import PipelineError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["TRUTH", "Fit", "Labeller", "OneOf", "Pipeline", "Sample", "Source", "Stage", "Truth", "one_of"]


Node = TypeVar("Node", "Sample", "Fit")


class _Node:
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
    """A linear combination of labellers, ``sum_m c_m w_m``.

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
        if isinstance(value, (Truth, Fit)):
            return Source(((value, S.One),))
        raise PipelineError(
            f"source needs to be TRUTH, a fit, or a linear combination of them, got {value!r}; "
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
        def term(m: Truth | Fit, c: Expr) -> str:
            factor = f"({show(c)})" if c.is_Add else show(c)
            return _label(m) if c == 1 else f"{factor}*{_label(m)}"

        return " + ".join(term(m, c) for m, c in self.coefficients) or "0"


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
            raise PipelineError(f"one_of needs TRUTH or fits, got {labeller!r}; mixtures go into separate samples")
    return OneOf(tuple(labellers))


def _label(labeller: Truth | Fit) -> str:
    return "TRUTH" if isinstance(labeller, Truth) else labeller.name


@dataclass(frozen=True, eq=False, repr=False)
class Sample(_Node):
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
class Fit(_Node, Labeller):
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
        object.__setattr__(self, "T", _rows(self.T))
        object.__setattr__(self, "noise", _optional(self.noise, "noise"))
        object.__setattr__(self, "ridge", _optional(self.ridge, "ridge"))

    def __repr__(self) -> str:
        given = {"T": self.T, "noise": self.noise, "ridge": self.ridge}
        return f"Stage({', '.join(f'{k}={show(v)}' for k, v in given.items() if v is not None)})"


def _rows(T: Any) -> Expr:
    return real(T, "T", positive=True, integer=True, error=PipelineError)


def _optional(value: Any, name: str) -> Expr | None:
    return None if value is None else real(value, name, nonnegative=True, error=PipelineError)


@dataclass(frozen=True)
class _Ref:
    """A node of the same pipeline, by position, in a pickle."""

    place: int


class Pipeline:
    """A recursive training procedure: an append-only DAG of samples and fits.

    >>> pipe = Pipeline()
    >>> real = pipe.sample(T=600, noise=0.5)
    >>> m1 = pipe.fit(real, ridge=0.1)
    >>> fake = pipe.sample(T=600, noise=0.5, source=m1)
    >>> m2 = pipe.fit([real, fake], ridge=0.1)
    >>> pipe
    Pipeline(2 samples, 2 fits)
    """

    def __init__(self) -> None:
        self._key = uuid.uuid4().hex
        self._nodes: list[Sample | Fit] = []
        self._samples: list[Sample] = []
        self._fits: list[Fit] = []
        self._names: set[str] = set()

    def __getstate__(self) -> dict[str, Any]:
        """Pickle nodes as flat records that name each other by position: long chains would nest too deeply."""
        place = {node: i for i, node in enumerate(self._nodes)}

        def flat(value: Any) -> Any:
            if isinstance(value, (Sample, Fit)):
                return _Ref(place[value])
            if isinstance(value, Source):
                return Source(tuple((flat(m), c) for m, c in value))
            if isinstance(value, OneOf):
                return OneOf(tuple(flat(m) for m in value.labellers))
            return tuple(flat(v) for v in value) if isinstance(value, tuple) else value

        records = [(type(node), tuple(flat(getattr(node, f.name)) for f in fields(node))) for node in self._nodes]
        return {"key": self._key, "records": records}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Rebuild the nodes in order."""
        self.__init__()  # type: ignore[misc]
        self._key = state["key"]

        def deep(value: Any) -> Any:
            if isinstance(value, _Ref):
                return self._nodes[value.place]
            if isinstance(value, Source):
                return Source(tuple((deep(m), c) for m, c in value))
            if isinstance(value, OneOf):
                return OneOf(tuple(deep(m) for m in value.labellers))
            return tuple(deep(v) for v in value) if isinstance(value, tuple) else value

        for kind, record in state["records"]:
            self._append(kind(*(deep(v) for v in record)))

    # ------------------------------------------------------------------ build
    def sample(
        self,
        T: Scalar | None = None,
        noise: Scalar | None = None,
        source: Truth | Fit | Source | OneOf = TRUTH,
        design: Sample | None = None,
        covariance: str | None = None,
        name: str | None = None,
    ) -> Sample:
        """Append a sample: rows labelled by ``source`` plus one fresh noise.

        Args:
            T: Number of rows, positive; omitted where ``design`` gives them.
            noise: Standard deviation of the label noise, >= 0; None means 0 in linear regression.
            source: The truth, a fit, a linear combination of them, or :func:`one_of`.
            design: An earlier sample of this pipeline whose inputs are reused; None draws fresh inputs.
            covariance: Name of the covariance of the inputs in a declared commuting family; None is the common one.
            name: What figures and messages call it.

        Raises:
            PipelineError: If a value is out of range or a node belongs to another pipeline.
        """
        if (T is None) == (design is None):
            raise PipelineError(
                f"sample needs exactly one of T and design, got T={T!r}, design={design!r}; "
                "T draws fresh inputs, design reuses those of an earlier sample"
            )
        if design is not None:
            self._own(design, Sample, "design")
            if covariance not in {None, design.inputs.covariance}:
                raise PipelineError(
                    f"covariance of a sample with design is that of its inputs ({design.inputs.covariance!r}), "
                    f"got {covariance!r}; omit it"
                )
            covariance = design.inputs.covariance
        if covariance is not None and (not isinstance(covariance, str) or not covariance.isidentifier()):
            raise PipelineError(
                f"covariance needs to be a name such as 'Sigma1', got {covariance!r}; use an identifier"
            )
        checked = source if isinstance(source, OneOf) else Source.of(source)
        for labeller in checked.labellers if isinstance(checked, OneOf) else (m for m, _ in checked):
            if isinstance(labeller, Fit):
                self._own(labeller, Fit, "source")
        node = Sample(
            owner=self._key,
            index=len(self._samples),
            name=self._name(name, f"s{len(self._samples) + 1}"),
            T=_rows(T) if design is None else design.T,
            noise=_optional(noise, "noise"),
            source=checked,
            design=None if design is None else design.inputs,
            covariance=covariance,
        )
        return self._append(node)

    def subsample(self, pool: Sample | Iterable[Sample], T: Scalar, name: str | None = None) -> Sample:
        """Append a sample of ``T`` rows drawn without replacement from the pooled rows (scalar families).

        Args:
            pool: Samples of this pipeline, each once.
            T: Rows to draw, positive and at most the rows of the pool.
            name: What figures and messages call it.

        Raises:
            PipelineError: If the pool is empty, repeats a sample, or is smaller than ``T``.
        """
        samples = self._pool(pool, "pool")
        rows = _rows(T)
        total = sum((s.T for s in samples), S.Zero)
        if (total - rows).is_negative:
            raise PipelineError(f"subsample needs T <= rows of the pool = {total}, got T={T!r}; draw fewer rows")
        node = Sample(
            owner=self._key,
            index=len(self._samples),
            name=self._name(name, f"s{len(self._samples) + 1}"),
            T=rows,
            noise=None,
            source=Source(()),
            pool=samples,
        )
        return self._append(node)

    def fit(
        self,
        samples: Sample | Iterable[Sample],
        weights: Sequence[Scalar] | None = None,
        ridge: Scalar | None = None,
        name: str | None = None,
    ) -> Fit:
        """Append a fit that pools ``samples``.

        Args:
            samples: One sample or several of this pipeline, each once.
            weights: One row weight ``a_i >= 0`` per sample, not all zero; None means 1 each.
            ridge: Ridge on the mean squared error, >= 0; None means 0 (minimum norm) in linear regression.
            name: What figures, messages and text sources call it.

        Raises:
            PipelineError: If a value is out of range, the weights do not match, or a sample is of another pipeline.
        """
        pooled = self._pool(samples, "samples")
        a: tuple[Expr, ...] = (S.One,) * len(pooled)
        if weights is not None:
            given = tuple(weights) if isinstance(weights, Iterable) else (weights,)
            if len(given) != len(pooled):
                raise PipelineError(
                    f"weights needs one value per sample ({len(pooled)}), got {len(given)}: {given!r}; "
                    "give one row weight for each pooled sample"
                )
            a = tuple(real(x, f"weights[{i}]", nonnegative=True, error=PipelineError) for i, x in enumerate(given))
            if all(x.is_zero for x in a):
                raise PipelineError(f"weights needs a positive value, got {given!r}; a fit on nothing is not defined")
        node = Fit(
            owner=self._key,
            index=len(self._fits),
            name=self._name(name, f"m{len(self._fits) + 1}"),
            samples=pooled,
            weights=a,
            ridge=_optional(ridge, "ridge"),
        )
        return self._append(node)

    # ------------------------------------------------------------------ ask
    @property
    def nodes(self) -> tuple[Sample | Fit, ...]:
        """All samples and fits in the order they were appended, which is an order of dependency."""
        return tuple(self._nodes)

    @property
    def samples(self) -> tuple[Sample, ...]:
        """All samples in the order they were appended."""
        return tuple(self._samples)

    @property
    def fits(self) -> tuple[Fit, ...]:
        """All fits in the order they were appended."""
        return tuple(self._fits)

    @property
    def free_symbols(self) -> frozenset[Symbol]:
        """The symbols in rows, noises, ridges, weights and source coefficients."""
        found: set[Symbol] = set()
        for e in self.parameters():
            found |= e.free_symbols
        return frozenset(found)

    def parameters(self) -> Iterator[Expr]:
        """Every rows, noise, ridge, weight and coefficient expression, in a fixed order."""
        for s in self.samples:
            yield s.T
            if s.noise is not None:
                yield s.noise
            if isinstance(s.source, Source):
                yield from (c for _, c in s.source)
        for f in self.fits:
            yield from f.weights
            if f.ridge is not None:
                yield f.ridge

    def model(self, model: Fit | None = None) -> Fit:
        """Return the tested fit: ``model`` if given (checked to be of this pipeline), else the last fit.

        Raises:
            PipelineError: If there is no fit, or ``model`` is of another pipeline.
        """
        if model is None:
            if not self._fits:
                raise PipelineError("pipeline needs at least one fit, got none; call pipe.fit(sample)")
            return self._fits[-1]
        return self._own(model, Fit, "model")

    def ancestors(self, model: Fit) -> tuple[Fit, ...]:
        """Return the fits that ``model`` depends on, itself included, in order of appearance."""
        needed = {model.index}
        for f in reversed(self._fits[: model.index + 1]):
            if f.index in needed:
                for s in rows_behind(f.samples):
                    needed |= {m.index for m in s.labellers if isinstance(m, Fit)}
        return tuple(self._fits[i] for i in sorted(needed))

    def replaced(self, change: Mapping[Expr, Expr]) -> Pipeline:
        """Return a copy with every parameter rewritten by SymPy ``xreplace(change)``; names and order are kept."""
        out = Pipeline()
        copy: dict[Truth | Sample | Fit, Any] = {}

        def put(e: Expr | None) -> Expr | None:
            return None if e is None else e.xreplace(change)

        def translate(source: Source | OneOf) -> Source | OneOf:
            if isinstance(source, OneOf):
                return OneOf(tuple(copy.get(m, m) for m in source.labellers))
            return Source(tuple((copy.get(m, m), c.xreplace(change)) for m, c in source))

        for node in self._nodes:
            if isinstance(node, Fit):
                weights = [a.xreplace(change) for a in node.weights]
                copy[node] = out.fit([copy[s] for s in node.samples], weights, put(node.ridge), node.name)
            elif node.pool:
                copy[node] = out.subsample([copy[s] for s in node.pool], node.T.xreplace(change), node.name)
            else:
                where = {"T": put(node.T)} if node.design is None else {"design": copy[node.design]}
                copy[node] = out.sample(
                    **where,
                    noise=put(node.noise),
                    source=translate(node.source),
                    covariance=node.covariance,
                    name=node.name,
                )
        return out

    def draw(self) -> Figure:
        """Return a picture of the pipeline: who labels what, who fits on what.

        >>> pipe = Pipeline(); _ = pipe.fit(pipe.sample(T=10))
        >>> type(pipe.draw()).__name__
        'Figure'
        """
        from collapse_theory.present.draw import draw_pipeline

        return draw_pipeline(self)

    def __repr__(self) -> str:
        def count(k: int, what: str) -> str:
            return f"{k} {what}{'' if k == 1 else 's'}"

        return f"Pipeline({count(len(self._samples), 'sample')}, {count(len(self._fits), 'fit')})"

    # ------------------------------------------------------------------ check
    def _append(self, node: Node) -> Node:
        self._nodes.append(node)
        self._names.add(node.name)
        if isinstance(node, Sample):
            self._samples.append(node)
        else:
            self._fits.append(node)
        return node

    def _pool(self, samples: Any, argument: str) -> tuple[Sample, ...]:
        pooled = tuple(samples) if isinstance(samples, Iterable) else (samples,)
        if not pooled:
            raise PipelineError(f"{argument} needs at least one sample, got none; pass a sample of this pipeline")
        for s in pooled:
            self._own(s, Sample, argument)
        if len({s.index for s in pooled}) < len(pooled):
            raise PipelineError(
                f"{argument} needs each sample once, got {[s.name for s in pooled]}; use weights to count rows twice"
            )
        return pooled

    def _own(self, node: Any, kind: type[Node], argument: str) -> Node:
        if not isinstance(node, kind):
            what = kind.__name__
            raise PipelineError(
                f"{argument} needs a {what} of this pipeline, got {node!r}; see Pipeline.{what.lower()}"
            )
        if node.owner != self._key:
            raise PipelineError(
                f"{argument} needs a node of this pipeline, got {node.name!r} of another pipeline; "
                "build both in one ct.Pipeline()"
            )
        return node

    def _name(self, name: str | None, default: str) -> str:
        if name is None:
            while default in self._names:
                default += "_"
            return default
        if not isinstance(name, str) or not name.isidentifier() or name.lower() == "truth":
            raise PipelineError(f"name needs to be an identifier other than 'truth', got {name!r}; rename the node")
        if name in self._names:
            raise PipelineError(f"name needs to be unique in the pipeline, got {name!r} twice; rename the node")
        return name


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


def rows(samples: Iterable[Sample]) -> Expr:
    """Return the total number of rows of ``samples``."""
    return sum((s.T for s in samples), Integer(0))
