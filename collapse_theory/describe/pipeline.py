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

from sympy import Expr, S, Symbol

from collapse_theory.core.attributes import NearNames
from collapse_theory.core.doors import through
from collapse_theory.core.errors import PipelineError, shown
from collapse_theory.core.numbers import Scalar, scalars
from collapse_theory.describe.nodes import (
    TRUTH,
    Fit,
    Labeller,
    OneOf,
    Sample,
    Source,
    Stage,
    Truth,
    one_of,
    optional,
    row_count,
    rows_behind,
)
from collapse_theory.symbols import RESERVED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "TRUTH",
    "Fit",
    "Labeller",
    "OneOf",
    "Pipeline",
    "Sample",
    "Source",
    "Stage",
    "Truth",
    "one_of",
    "rows_behind",
]

Node = TypeVar("Node", Sample, Fit)


@dataclass(frozen=True)
class _Ref:
    """A node of the same pipeline, by position, in a pickle."""

    place: int


class Pipeline(NearNames):
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
                return Source(tuple((flat(labeller), c) for labeller, c in value))
            if isinstance(value, OneOf):
                return OneOf(tuple(flat(labeller) for labeller in value.labellers))
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
                return Source(tuple((deep(labeller), c) for labeller, c in value))
            if isinstance(value, OneOf):
                return OneOf(tuple(deep(labeller) for labeller in value.labellers))
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
            source: The truth, a fit, a linear combination of them, or :func:`.one_of`.
            design: An earlier sample of this pipeline whose inputs are reused; None draws fresh inputs.
            covariance: Name of the covariance of the inputs; all of one pipeline commute. None is the common one.
            name: What figures and messages call it.

        Raises:
            PipelineError: If a value is out of range or a node belongs to another pipeline.
        """
        if (T is None) == (design is None):
            raise PipelineError(
                f"sample needs exactly one of T and design, got T={shown(T)}, design={shown(design)}; "
                "T draws fresh inputs, design reuses those of an earlier sample"
            )
        if design is not None:
            self._own(design, Sample, "design")
            if covariance not in {None, design.inputs.covariance}:
                raise PipelineError(
                    f"covariance of a sample with design is that of its inputs ({shown(design.inputs.covariance)}), "
                    f"got {shown(covariance)}; omit it"
                )
            covariance = design.inputs.covariance
        if covariance is not None and (not isinstance(covariance, str) or not covariance.isidentifier()):
            raise PipelineError(
                f"covariance needs to be a name such as 'Sigma1', got {shown(covariance)}; use an identifier"
            )
        checked = source if isinstance(source, OneOf) else Source.of(source)
        for labeller in checked.labellers if isinstance(checked, OneOf) else (labeller for labeller, _ in checked):
            if isinstance(labeller, Fit):
                self._own(labeller, Fit, "source")
        node = Sample(
            owner=self._key,
            index=len(self._samples),
            name=self._name(name, f"s{len(self._samples) + 1}"),
            T=row_count(T) if design is None else design.T,
            noise=optional(noise, "noise"),
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
        rows = row_count(T)
        total = sum((s.T for s in samples), S.Zero)
        if (total - rows).is_negative:
            raise PipelineError(f"subsample needs T <= rows of the pool = {total}, got T={shown(T)}; draw fewer rows")
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
            several = isinstance(weights, Iterable) and not isinstance(weights, Expr)
            a = scalars(weights if several else [weights], "weights", nonnegative=True, error=PipelineError)
            if len(a) != len(pooled):
                raise PipelineError(
                    f"weights needs one value per sample ({len(pooled)}), got {len(a)}: {shown(weights)}; "
                    "give one row weight for each pooled sample"
                )
            if all(x.is_zero for x in a):
                raise PipelineError(
                    f"weights needs a positive value, got {shown(weights)}; a fit on nothing is not defined"
                )
        node = Fit(
            owner=self._key,
            index=len(self._fits),
            name=self._name(name, f"m{len(self._fits) + 1}"),
            samples=pooled,
            weights=a,
            ridge=optional(ridge, "ridge"),
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
        for node in (*self.samples, *self.fits):
            yield from _expressions(node)

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
                    needed |= {labeller.index for labeller in s.labellers if isinstance(labeller, Fit)}
        return tuple(self._fits[i] for i in sorted(needed))

    def replaced(self, change: Mapping[Expr, Expr], rows: int = 1) -> Pipeline:
        """Return a copy with every parameter rewritten by SymPy ``xreplace(change)``; names and order are kept.

        Args:
            change: New expression by old one.
            rows: Factor on the rows of every sample; ridges and weights stay as they are.
        """
        out = Pipeline()
        copy: dict[Truth | Sample | Fit, Any] = {}

        def put(e: Expr | None) -> Expr | None:
            return None if e is None else e.xreplace(change)

        def translate(source: Source | OneOf) -> Source | OneOf:
            if isinstance(source, OneOf):
                return OneOf(tuple(copy.get(labeller, labeller) for labeller in source.labellers))
            return Source(tuple((copy.get(labeller, labeller), c.xreplace(change)) for labeller, c in source))

        for node in self._nodes:
            if isinstance(node, Fit):
                weights = [a.xreplace(change) for a in node.weights]
                copy[node] = out.fit([copy[s] for s in node.samples], weights, put(node.ridge), node.name)
            elif node.pool:
                copy[node] = out.subsample([copy[s] for s in node.pool], rows * node.T.xreplace(change), node.name)
            else:
                where = {"T": rows * node.T.xreplace(change)} if node.design is None else {"design": copy[node.design]}
                copy[node] = out.sample(
                    **where,
                    noise=put(node.noise),
                    source=translate(node.source),
                    covariance=node.covariance,
                    name=node.name,
                )
        return out

    def draw(self, ax: Axes | None = None) -> Figure:
        """Return a picture of the pipeline: who labels what, who fits on what. It shows itself in a notebook.

        Args:
            ax: Matplotlib axes to draw into; None makes a figure of the size that the pipeline needs.

        >>> pipe = Pipeline(); _ = pipe.fit(pipe.sample(T=10))
        >>> len(pipe.draw().axes)
        1
        """
        figure: Figure = through("Pipeline.draw")(self, ax)
        return figure

    def _repr_svg_(self) -> str:
        picture: Any = self.draw()
        svg: str = picture._repr_svg_()
        return svg

    def __repr__(self) -> str:
        def count(k: int, what: str) -> str:
            return f"{k} {what}{'' if k == 1 else 's'}"

        return f"Pipeline({count(len(self._samples), 'sample')}, {count(len(self._fits), 'fit')})"

    # ------------------------------------------------------------------ check
    def _append(self, node: Node) -> Node:
        for x in sorted({x.name for e in _expressions(node) for x in e.free_symbols} & RESERVED):
            raise PipelineError(
                f"a symbol needs a name that is no argument of evaluate or simulate, got {shown(x)}; rename the symbol"
            )
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
                f"{argument} needs a {what} of this pipeline, got {shown(node)}; see Pipeline.{what.lower()}"
            )
        if node.owner != self._key:
            raise PipelineError(
                f"{argument} needs a node of this pipeline, got {shown(node.name)} of another pipeline; "
                "build both in one ct.Pipeline()"
            )
        return node

    def _name(self, name: str | None, default: str) -> str:
        if name is None:
            while default in self._names:
                default += "_"
            return default
        if not isinstance(name, str) or not name.isidentifier() or name.lower() == "truth":
            raise PipelineError(
                f"name needs to be an identifier other than 'truth', got {shown(name)}; rename the node"
            )
        if name in self._names:
            raise PipelineError(f"name needs to be unique in the pipeline, got {shown(name)} twice; rename the node")
        return name


def _expressions(node: Any) -> Iterator[Expr]:
    """Yield the rows, noise and coefficients of a sample, or the weights and ridge of a fit."""
    if isinstance(node, Fit):
        yield from node.weights
        if node.ridge is not None:
            yield node.ridge
        return
    yield node.T
    if node.noise is not None:
        yield node.noise
    if isinstance(node.source, Source):
        yield from (c for _, c in node.source)
