"""Recursive training as a directed acyclic graph of samples and fits.

A *sample* draws rows (fresh inputs, or the inputs of an earlier sample) and labels them with a linear combination of
labellers (truths, earlier fits, earlier labels of the same rows) plus noise. A *fit* pools samples and minimises the weighted
mean squared error plus a ridge: with row weights ``a_i`` and ``N = sum T_i``,

``w_hat = (sum_i a_i X_i^T X_i / N + lam)^{-1} sum_i a_i X_i^T y_i / N``.

It may see random features of the inputs instead of the inputs, or be trained for a time instead of penalised.

Nodes are immutable and the builder only appends, so a pipeline is acyclic by construction.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar

from sympy import Expr, Float, S, Symbol

from collapse_theory.core.attributes import NearNames
from collapse_theory.core.doors import through
from collapse_theory.core.errors import PipelineError, shown
from collapse_theory.core.numbers import Scalar, scalars, show
from collapse_theory.describe.activations import Activation
from collapse_theory.describe.filters import Filter, GradientDescent, GradientFlow
from collapse_theory.describe.nodes import (
    TRUTH,
    Features,
    Fit,
    Labeller,
    Labels,
    OneOf,
    Sample,
    Source,
    Stage,
    Truth,
    feature_count,
    one_of,
    optional,
    row_count,
    rows_behind,
)
from collapse_theory.describe.toml_text import toml_text
from collapse_theory.symbols import RESERVED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "TRUTH",
    "Features",
    "Filter",
    "Fit",
    "GradientDescent",
    "GradientFlow",
    "Labeller",
    "Labels",
    "OneOf",
    "Pipeline",
    "Sample",
    "Source",
    "Stage",
    "Truth",
    "one_of",
    "rows_behind",
]

Node = TypeVar("Node", Sample, Fit, Features)


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
        self._nodes: list[Sample | Fit | Features] = []
        self._samples: list[Sample] = []
        self._fits: list[Fit] = []
        self._features: list[Features] = []
        self._truths: dict[str, Truth] = {TRUTH.name: TRUTH}
        self._names: set[str] = {TRUTH.name}

    def __getstate__(self) -> dict[str, Any]:
        """Pickle nodes as flat records that name each other by position: long chains would nest too deeply."""
        place = {node: i for i, node in enumerate(self._nodes)}

        def flat(value: Any) -> Any:
            if isinstance(value, (Sample, Fit, Features)):
                return _Ref(place[value])
            if isinstance(value, Labels):
                return Labels(flat(value.sample))
            if isinstance(value, Source):
                return Source(tuple((flat(labeller), c) for labeller, c in value))
            if isinstance(value, OneOf):
                return OneOf(tuple(flat(labeller) for labeller in value.labellers))
            return tuple(flat(v) for v in value) if isinstance(value, tuple) else value

        records = [(type(node), tuple(flat(getattr(node, f.name)) for f in fields(node))) for node in self._nodes]
        return {"key": self._key, "truths": tuple(self._truths), "records": records}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Rebuild the nodes in order."""
        self.__init__()  # type: ignore[misc]
        self._key = state["key"]
        for name in state["truths"]:
            if name != TRUTH.name:
                self.truth(name)

        def deep(value: Any) -> Any:
            if isinstance(value, _Ref):
                return self._nodes[value.place]
            if isinstance(value, Labels):
                return Labels(deep(value.sample))
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
        source: Labeller | Source | OneOf = TRUTH,
        design: Sample | None = None,
        covariance: str | None = None,
        name: str | None = None,
    ) -> Sample:
        """Append a sample: rows labelled by ``source`` plus one fresh noise.

        Args:
            T: Number of rows, positive; omitted where ``design`` gives them.
            noise: Standard deviation of the label noise, >= 0; None means 0 in linear regression.
            source: A truth, a fit, the :attr:`~.Sample.labels` of a sample on the same inputs, a linear combination of them, or
                :func:`.one_of`. Coefficients may have any sign.
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
            self._check_labeller(labeller, design)
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

    def truth(self, name: str) -> Truth:
        """Return the true coefficients of another task: a source like :data:`TRUTH`, by which models are tested.

        Args:
            name: What targets call them, for example ``"w1"``.

        Raises:
            PipelineError: If the name is taken or no identifier.

        >>> pipe = Pipeline()
        >>> other = pipe.truth("w1")
        >>> pipe.sample(T=10, source=0.5 * TRUTH + 0.5 * other).source
        0.5*TRUTH + 0.5*w1
        """
        made = Truth(self._name(name, ""))
        self._truths[made.name] = made
        self._names.add(made.name)
        return made

    def features(self, m: Scalar, name: str | None = None, activation: Any = None) -> Features:
        r"""Append random features, for one fit or for several to share: linear ones :math:`F^\top x`, or those of a network.

        With an activation :math:`\varphi` a fit is the output layer of a one-layer network with fixed random weights. It sees

        .. math:: \sqrt{\operatorname{tr}\Sigma/m}\;\big(\varphi(u)-\mu_0\big),\qquad u=\sqrt{m/\operatorname{tr}\Sigma}\,F^\top x,

        pre-activations :math:`u` of unit variance, the activation less its mean :math:`\mu_0`, in the scale of linear features,
        which are :math:`\varphi(u)=u`; a ReLU network sees :math:`\max(F^\top x,0)` less a constant. Theory replaces the activation
        by its Gaussian equivalent (:class:`.Activation`): an approximation for inputs in many directions,
        :math:`(\operatorname{tr}\Sigma)^2\gg\operatorname{tr}\Sigma^2`, with rows and features of their order.

        Args:
            m: Their number, positive; :math:`F` is ``d x m`` with i.i.d. :math:`N(0,1/m)` entries.
            name: What figures, messages and files call them.
            activation: ``"relu"``, ``"erf"``, ``"tanh"``, coefficients of a polynomial of rising powers, a function of an
                array, or a :class:`.Activation`; None is linear.

        Raises:
            PipelineError: If the number is out of range, or the activation has no linear part.

        >>> pipe = Pipeline()
        >>> phi = pipe.features(200)
        >>> pipe.fit(pipe.sample(T=50), ridge=0.1, features=phi).features.m
        200
        >>> network = pipe.fit(pipe.sample(T=50), ridge=0.1, features=pipe.features(200, activation="relu"))
        """
        if activation is None:
            return self._draw_features(m, name)
        phi = Activation.of(activation)
        return self._draw_features(
            m, name, phi, *(Float(f"{x:.15g}") for x in (phi.linear, (phi.residual / phi.linear) ** 2))
        )

    def _draw_features(self, m: Any, name: str | None, *activation: Any) -> Features:
        own = self._name(name, f"phi{len(self._features) + 1}")
        return self._append(Features(self._key, len(self._features), own, feature_count(m), *activation))

    def fit(
        self,
        samples: Sample | Iterable[Sample],
        weights: Sequence[Scalar] | None = None,
        ridge: Scalar | None = None,
        name: str | None = None,
        features: Scalar | Features | None = None,
        filter: Filter | None = None,  # noqa: A002 - the public name
    ) -> Fit:
        r"""Append a fit that pools ``samples``.

        Args:
            samples: One sample or several of this pipeline, each once.
            weights: One row weight ``a_i`` per sample, not all zero; those of samples on the same inputs may differ in sign if
                they add up to more than zero. None means 1 each.
            ridge: Ridge on the mean squared error, >= 0; None means 0 (minimum norm) in linear regression.
            name: What figures, messages and text sources call it.
            features: Number of random linear features of its own that it sees instead of the inputs, or :meth:`features`: those
                of a network, or features to share; of linear ones, with ``F`` of i.i.d. :math:`N(0,1/m)` entries,
                :math:`\hat w=F(F^\top SF+\lambda)^{-1}F^\top X^\top y/N`.
            filter: :class:`.GradientFlow` or :class:`.GradientDescent`, instead of a ridge.

        Raises:
            PipelineError: If a value is out of range, the weights do not match, a sample is of another pipeline, or both a ridge
                and a filter are given.
        """
        pooled = self._pool(samples, "samples")
        a: tuple[Expr, ...] = (S.One,) * len(pooled)
        if weights is not None:
            several = isinstance(weights, Iterable) and not isinstance(weights, Expr)
            a = scalars(weights if several else [weights], "weights", error=PipelineError)
            if len(a) != len(pooled):
                raise PipelineError(
                    f"weights needs one value per sample ({len(pooled)}), got {len(a)}: {shown(weights)}; "
                    "give one row weight for each pooled sample"
                )
            _check_weights(pooled, a, weights)
        if filter is not None:
            if not isinstance(filter, (GradientFlow, GradientDescent)):
                raise PipelineError(
                    f"filter needs ct.GradientFlow or ct.GradientDescent, got {shown(filter)}; a ridge is given by ridge="
                )
            for given, what in ((ridge, "ridge"), (features, "features")):
                if given is not None:
                    raise PipelineError(
                        f"filter takes the place of {what}, got {what}={shown(given)}; give one of them"
                    )
        if isinstance(features, Features):
            self._own(features, Features, "features")
        node = Fit(
            owner=self._key,
            index=len(self._fits),
            name=self._name(name, f"m{len(self._fits) + 1}"),
            samples=pooled,
            weights=a,
            ridge=optional(ridge, "ridge"),
            features=features if features is None or isinstance(features, Features) else feature_count(features),
            filter=filter,
        )
        return self._append(node)

    # ------------------------------------------------------------------ ask
    @property
    def nodes(self) -> tuple[Sample | Fit | Features, ...]:
        """All samples, fits and shared features in the order they were appended, which is an order of dependency."""
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
    def truths(self) -> tuple[Truth, ...]:
        """The true coefficients: :data:`TRUTH`, and those made by :meth:`truth`."""
        return tuple(self._truths.values())

    @property
    def free_symbols(self) -> frozenset[Symbol]:
        """The symbols in rows, noises, ridges, weights, features, filters and source coefficients."""
        found: set[Symbol] = set()
        for e in self.parameters():
            found |= e.free_symbols
        return frozenset(found)

    def parameters(self) -> Iterator[Expr]:
        """Every expression of a sample, shared features or a fit, in a fixed order."""
        for node in (*self.samples, *self._features, *self.fits):
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

    def tested(self, model: Fit | Source | None = None) -> Fit | Source:
        """Return the tested model: a fit, or a linear combination of fits and the truth.

        Raises:
            PipelineError: If there is no fit, or something else is combined.
        """
        if not isinstance(model, Source):
            return self.model(model)
        for x, _ in model:
            if isinstance(x, Fit):
                self._own(x, Fit, "model")
            elif x != TRUTH:
                raise PipelineError(
                    f"model needs to be a combination of fits and TRUTH, got {x} in {model}; labels and other truths are "
                    "no models to test"
                )
        fits = [(x, c) for x, c in model if isinstance(x, Fit)]
        if not fits:
            raise PipelineError(f"model needs at least one fit, got {model}; combine fits, as 0.5*m1 + 0.5*m2")
        return fits[0][0] if len(model.coefficients) == 1 and fits[0][1] == 1 else model

    def ancestors(self, model: Fit | Source) -> tuple[Fit, ...]:
        """Return the fits that ``model`` depends on, itself included, in order of appearance."""
        needed = {x.index for x, _ in Source.of(model) if isinstance(x, Fit)}
        for f in reversed(self._fits[: max(needed) + 1]):
            if f.index in needed:
                for s in rows_behind(f.samples):
                    needed |= {labeller.index for labeller in s.labellers if isinstance(labeller, Fit)}
        return tuple(self._fits[i] for i in sorted(needed))

    def replaced(self, change: Mapping[Expr, Expr], rows: int = 1) -> Pipeline:
        """Return a copy with every parameter rewritten by SymPy ``xreplace(change)``; names and order are kept.

        Args:
            change: New expression by old one.
            rows: Factor on the rows of every sample and on numbers of features; ridges and weights stay as they are.
        """
        return self.copied(lambda e, role: rows * e.xreplace(change) if role in {"T", "m"} else e.xreplace(change))[0]

    def copied(
        self,
        put: Callable[[Expr, str], Expr],
        keep: Callable[[Sample | Fit | Features], bool] = lambda _: True,
        combined: Callable[[Source], Source] | None = None,
        bare: Callable[[Sample], bool] = lambda _: False,
    ) -> tuple[Pipeline, dict[Any, Any]]:
        """Return a copy with every parameter rewritten, and the copy of each node.

        Args:
            put: Returns the new expression of an old one and its role: "T", "noise", "ridge", "weight", "number" (a coefficient),
                "m", "time", "step" or "steps".
            keep: Whether a node is copied; what a kept node needs has to be kept.
            combined: Rewrites the coefficients of a source, instead of ``put``.
            bare: Whether a sample is there for its inputs only, and loses its labels.
        """
        out, copy = Pipeline(), dict[Any, Any]()
        for truth in self._truths.values():
            copy[truth] = TRUTH if truth == TRUTH else out.truth(truth.name)

        def labeller(x: Any) -> Any:
            return Labels(copy[x.sample]) if isinstance(x, Labels) else copy[x]

        def optionally(e: Expr | None, role: str) -> Expr | None:
            return None if e is None else put(e, role)

        def source(given: Source | OneOf) -> Source | OneOf:
            if isinstance(given, OneOf):
                return OneOf(tuple(map(labeller, given.labellers)))
            new = Source(tuple((x, put(c, "number")) for x, c in given)) if combined is None else combined(given)
            return Source(tuple((labeller(x), c) for x, c in new))

        for node in filter(keep, self._nodes):
            if isinstance(node, Features):
                coefficients = put(node.linear, "number"), put(node.noise, "number")
                copy[node] = out._draw_features(put(node.m, "m"), node.name, node.activation, *coefficients)
            elif isinstance(node, Fit):
                copy[node] = out.fit(
                    [copy[s] for s in node.samples],
                    [put(a, "weight") for a in node.weights],
                    optionally(node.ridge, "ridge"),
                    node.name,
                    copy[node.features] if isinstance(node.features, Features) else optionally(node.features, "m"),
                    None if node.filter is None else node.filter.mapped(put),
                )
            elif node.pool:
                copy[node] = out.subsample([copy[s] for s in node.pool], put(node.T, "T"), node.name)
            else:
                where = {"T": put(node.T, "T")} if node.design is None else {"design": copy[node.design]}
                noise = None if bare(node) else optionally(node.noise, "noise")
                labelled = TRUTH if bare(node) else source(node.source)
                copy[node] = out.sample(
                    **where, noise=noise, source=labelled, covariance=node.covariance, name=node.name
                )
        return out, copy

    def to_toml(self) -> str:
        """Return the pipeline as the text of a pipeline file.

        It is what :func:`~collapse_theory.describe.files.load` reads back. Numbers come back to the last bit. Symbols come back as
        those of the notation table; a file that uses other ones gives them values in ``[values]``, or varies them in ``[sweep]``.

        Raises:
            PipelineError: If it has another truth, or parameters that text formulas do not have.

        >>> pipe = Pipeline(); _ = pipe.fit(pipe.sample(T=10, noise=0.5), ridge=0.1)
        >>> print(pipe.to_toml())
        [[sample]]
        name = "s1"
        T = 10
        noise = 0.5
        <BLANKLINE>
        [[fit]]
        name = "m1"
        data = ["s1"]
        ridge = 0.1
        <BLANKLINE>
        """
        return toml_text(self.nodes, self.truths)

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
        kinds: dict[type, list[Any]] = {Sample: self._samples, Fit: self._fits, Features: self._features}
        kinds[type(node)].append(node)
        return node

    def _check_labeller(self, labeller: Any, design: Sample | None) -> None:
        if isinstance(labeller, Fit):
            self._own(labeller, Fit, "source")
        elif isinstance(labeller, Labels):
            made = self._own(labeller.sample, Sample, "source")
            if design is None or made.inputs != design.inputs:
                got = "fresh inputs" if design is None else f"those of {shown(design.inputs.name)}"
                raise PipelineError(
                    f"source needs labels of a sample on the same inputs, got {labeller} on inputs of {shown(made.inputs.name)} "
                    f"for {got}; pass design={made.inputs.name}"
                )
            if made.pool or isinstance(made.source, OneOf):
                raise PipelineError(
                    f"source needs labels that are a linear combination, got {labeller}; use separate samples"
                )
        elif labeller != self._truths.get(labeller.name):
            raise PipelineError(
                f"source needs truths of this pipeline, got {labeller}; make it with pipe.truth({shown(labeller.name)})"
            )

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


def _check_weights(samples: Sequence[Sample], weights: Sequence[Expr], given: Any) -> None:
    """Refuse weights that fit on nothing, or with which the pooled Gram matrix has negative eigenvalues."""
    if all(x.is_zero for x in weights):
        raise PipelineError(f"weights needs a positive value, got {shown(given)}; a fit on nothing is not defined")
    totals: dict[Sample, Expr] = {}
    used = {s.inputs for s, a in zip(samples, weights, strict=True) if not a.is_zero}
    for s, a in zip(samples, weights, strict=True):
        totals[s.inputs] = totals.get(s.inputs, S.Zero) + a
    for s, a in totals.items():
        if a.is_negative or (a.is_zero and s in used):
            raise PipelineError(
                f"weights needs values that add up to more than zero on each set of inputs, got {show(a)} on those of "
                f"{shown(s.name)}: the pooled Gram matrix would not be positive definite; give a larger weight there"
            )


def _expressions(node: Any) -> Iterator[Expr]:
    """Yield the parameters of a sample, of features or of a fit."""
    if isinstance(node, Features):
        yield from (node.m, node.linear, node.noise)
        return
    if isinstance(node, Fit):
        yield from node.weights
        if node.ridge is not None:
            yield node.ridge
        if isinstance(node.features, Expr):
            yield node.features
        if node.filter is not None:
            yield from node.filter.parameters
        return
    yield node.T
    if node.noise is not None:
        yield node.noise
    if isinstance(node.source, Source):
        yield from (c for _, c in node.source)
