r"""From a pipeline to the system of fits that its test error depends on.

Labels of samples that share inputs are averaged with their row weights: each fit is a weighted sum over *designs*, with
coefficients of the truth and of earlier fits, and independent noises. What is asked of the fits is a mean square too: of a
combination of them on fresh inputs (:class:`Combination`), or of the residuals of one on its own rows (:class:`Residuals`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from sympy import Expr, Float, Integer, Rational, S, Symbol, Tuple
from sympy.core.symbol import Str

from collapse_theory import symbols
from collapse_theory.core.errors import DomainError, PipelineError, shown
from collapse_theory.describe.pipeline import TRUTH, Features, Fit, Pipeline, Sample, Source, Truth

__all__ = [
    "COMMON",
    "Combination",
    "Measured",
    "Noise",
    "PooledDesign",
    "PooledFeatures",
    "PooledFit",
    "PooledSystem",
    "Residuals",
    "pooled_system",
]

Measured = Literal["test error", "training error", "cross-validation"]
"""What is measured of a tested model."""

COMMON = "Sigma"
"""Name of the covariance of the samples that have none of their own."""


@dataclass(frozen=True)
class Noise:
    """A sample's label noise in the averaged labels of one design."""

    sample: int
    share: Expr
    sigma: Expr


@dataclass(frozen=True)
class PooledDesign:
    """The rows of one fit that share inputs: labels averaged with the row weights.

    Attributes:
        inputs: Index of the sample that drew the inputs.
        covariance: Name of their covariance.
        T: Number of rows.
        weight: Total row weight.
        truth: Coefficient of the truth, that of other truths included.
        labellers: Position among the system's fits, and coefficient, of each earlier fit.
        noises: Label noises.
        offsets: Name and coefficient of every other truth's offset from the tested one.
    """

    inputs: int
    covariance: str
    T: Expr
    weight: Expr
    truth: Expr
    labellers: tuple[tuple[int, Expr], ...]
    noises: tuple[Noise, ...]
    offsets: tuple[tuple[str, Expr], ...] = ()


@dataclass(frozen=True)
class PooledFeatures:
    r"""Random features that a fit sees.

    An activation sees :math:`\mu_1F^\top x` and noise of the variance :math:`\mu_*^2\operatorname{tr}\Sigma/m` in each feature: in
    units of :math:`\mu_1`, linear features with the noise :math:`\mu_*^2/\mu_1^2` and a ridge over :math:`\mu_1^2`.

    Attributes:
        drawn: Which: fits with the same number share them.
        m: How many.
        noise: Variance of the noise in all of them together over the trace of the covariance; 0 are linear features.
    """

    drawn: int
    m: Expr
    noise: Expr = S.Zero


@dataclass(frozen=True)
class PooledFit:
    """A fit as the weighted sum over its distinct designs.

    Attributes:
        ridge: Ridge on the mean squared error.
        N: All rows, those of weight zero included.
        designs: The distinct designs of positive weight.
        features: The features that it sees, or None: the inputs.
    """

    ridge: Expr
    N: Expr
    designs: tuple[PooledDesign, ...]
    features: PooledFeatures | None = None

    @property
    def alone(self) -> tuple[Any, ...]:
        """What the fit depends on as if it were the only one: equal ones have the same effective ridges."""
        seen = () if self.features is None else (self.features.m, self.features.noise)
        return (self.ridge, self.N, tuple((x.T, x.weight, x.covariance) for x in self.designs), *seen)


@dataclass(frozen=True)
class Combination:
    r"""A combination of models on fresh inputs, :math:`\|\sum_kc_k\hat w_k+(c-1)w_0\|_\Sigma^2`.

    Attributes:
        fits: Position and coefficient of each fit.
        truth: The coefficient :math:`c` of the truth.
    """

    fits: tuple[tuple[int, Expr], ...]
    truth: Expr = S.Zero


@dataclass(frozen=True)
class Residuals:
    r"""The residuals of a fit on its own labels, :math:`\frac1N\sum_ia_i\|y_i-X_i\hat w\|^2`.

    Attributes:
        fit: Its position.
        validated: Whether they are divided by the square of the share of rows that are degrees of freedom of the residuals, as
            generalised cross-validation does.
        deviations: Where several samples share inputs, the deviation of each one's labels from their weighted mean.
    """

    fit: int
    validated: bool
    deviations: tuple[PooledDesign, ...]


@dataclass(frozen=True)
class PooledSystem:
    """Everything the error of a linear pipeline depends on.

    Attributes:
        fits: The fits behind the tested one, and itself.
        test_covariance: Name of the covariance of the test inputs.
        asked: What is measured; None is the test error of the last fit.
    """

    fits: tuple[PooledFit, ...]
    test_covariance: str = COMMON
    asked: Combination | Residuals | None = None

    @property
    def measured(self) -> Combination | Residuals:
        """What is measured."""
        return self.asked or Combination(((len(self.fits) - 1, S.One),))

    @property
    def deviations(self) -> tuple[PooledDesign, ...]:
        """The labels on designs that are measured without being fitted as they are."""
        return self.asked.deviations if isinstance(self.asked, Residuals) else ()

    @property
    def others(self) -> tuple[str, ...]:
        """Names of the truths that label rows without being tested by, sorted."""
        rows = (*(x for f in self.fits for x in f.designs), *self.deviations)
        return tuple(sorted({name for x in rows for name, _ in x.offsets}))

    @property
    def feature_noises(self) -> tuple[Expr, ...]:
        """The noises of features that are not linear, each once, in the order of the fits."""
        noises = (f.features.noise for f in self.fits if f.features is not None)
        return tuple(dict.fromkeys(x for x in noises if x != 0))

    @property
    def covariances(self) -> tuple[str, ...]:
        """Names of the covariances that occur, sorted."""
        return tuple(sorted({design.covariance for f in self.fits for design in f.designs} | {self.test_covariance}))

    @property
    def symbols(self) -> tuple[Symbol, ...]:
        """The parameters that take values, all but the dimension."""
        found = set[Symbol]().union(*(e.free_symbols for e in self._parameters)) - {symbols.d}
        return symbols.ordered(found)

    @property
    def _parameters(self) -> Iterator[Expr]:
        for f in self.fits:
            yield from (f.ridge, f.N)
            if f.features is not None:
                yield from (f.features.m, f.features.noise)
        for x in (*(x for f in self.fits for x in f.designs), *self.deviations):
            yield from (x.T, x.weight, x.truth, *(c for _, c in x.labellers))
            yield from (e for y in x.noises for e in (y.share, y.sigma))
            yield from (c for _, c in x.offsets)
        if isinstance(self.asked, Combination):
            yield from (self.asked.truth, *(c for _, c in self.asked.fits))

    def without(self, weights: Collection[Expr]) -> PooledSystem:
        """Return the system in which designs of these weights are not seen; their rows still count in ``N``.

        Raises:
            DomainError: If a fit sees nothing then.
        """
        fits = [replace(f, designs=tuple(x for x in f.designs if x.weight not in weights)) for f in self.fits]
        if not all(f.designs for f in fits):
            raise DomainError("a fit needs a sample of positive weight, got weight 0 for all of them; change a weight")
        return replace(self, fits=tuple(fits))

    def args(self) -> tuple[Any, ...]:
        """Return the system as SymPy arguments, from which :meth:`of` rebuilds it."""
        fits = [Tuple(f.ridge, f.N, *_features_args(f.features), *map(_design_args, f.designs)) for f in self.fits]
        asked = self.asked
        if isinstance(asked, Combination):
            fits.append(Tuple(Str("combination"), asked.truth, *(Tuple(Integer(at), c) for at, c in asked.fits)))
        elif asked is not None:
            kind = Str("cross-validation" if asked.validated else "residuals")
            fits.append(Tuple(kind, Integer(asked.fit), *map(_design_args, asked.deviations)))
        return (Str(self.test_covariance), *fits)

    @classmethod
    def of(cls, test_covariance: Str, *fits: Any) -> PooledSystem:
        """Return the system of SymPy arguments."""
        asked: Combination | Residuals | None = None
        if isinstance(fits[-1].args[0], Str):
            *fits, (kind, head, *rest) = fits  # type: ignore[assignment]
            asked = (
                Combination(tuple((int(at), c) for at, c in rest), head)
                if kind.name == "combination"
                else Residuals(int(head), kind.name == "cross-validation", tuple(map(_design_of, rest)))
            )
        return cls(tuple(_fit_of(*f) for f in fits), test_covariance.name, asked)


def _fit_of(ridge: Expr, N: Expr, *designs: Any) -> PooledFit:
    features = None
    if isinstance(designs[0].args[0], Str):
        (_, drawn, *size), *designs = designs  # type: ignore[assignment]
        features = PooledFeatures(int(drawn), *size)
    return PooledFit(ridge, N, tuple(map(_design_of, designs)), features)


def _features_args(features: PooledFeatures | None) -> tuple[Tuple, ...]:
    if features is None:
        return ()
    noise = () if features.noise == 0 else (features.noise,)
    return (Tuple(Str("features"), Integer(features.drawn), features.m, *noise),)


def _design_args(x: PooledDesign) -> Tuple:
    return Tuple(
        Integer(x.inputs), Str(x.covariance), x.T, x.weight, x.truth,
        Tuple(*(Tuple(Integer(at), c) for at, c in x.labellers)),
        Tuple(*(Tuple(Integer(e.sample), e.share, e.sigma) for e in x.noises)),
        *([Tuple(*(Tuple(Str(name), c) for name, c in x.offsets))] if x.offsets else []),
    )  # fmt: skip


def _design_of(args: Any) -> PooledDesign:
    inputs, covariance, T, weight, truth, labellers, noises, *offsets = args
    return PooledDesign(
        int(inputs), covariance.name, T, weight, truth,
        tuple((int(at), c) for at, c in labellers),
        tuple(Noise(int(i), share, sigma) for i, share, sigma in noises),
        tuple((name.name, c) for each in offsets for name, c in each),
    )  # fmt: skip


def pooled_system(
    pipeline: Pipeline,
    model: Fit | Source | None = None,
    test_covariance: str | None = None,
    measured: Measured = "test error",
) -> PooledSystem:
    """Return what the error of ``model`` depends on.

    Args:
        pipeline: A linear pipeline.
        model: The tested fit, or a combination of models; None is the last fit.
        test_covariance: Name of the covariance of the test inputs; None is that of the samples without one.
        measured: "test error", or of a fit "training error" or "cross-validation".

    Raises:
        PipelineError: If a sample is not of the linear kind.
    """
    tested = pipeline.tested(model)
    fits = pipeline.ancestors(tested)
    place = {f.index: n for n, f in enumerate(fits)}
    asked: Combination | Residuals | None = None
    if isinstance(tested, Source):
        coefficients = tuple((place[x.index], c) for x, c in tested if isinstance(x, Fit))
        asked = Combination(coefficients, sum((c for x, c in tested if isinstance(x, Truth)), S.Zero))
    elif measured != "test error":
        asked = Residuals(place[tested.index], measured == "cross-validation", _deviations(tested, place))
    system = PooledSystem(tuple(_pooled(f, place) for f in fits), test_covariance or COMMON, asked)
    if system.feature_noises and system.covariances != (COMMON,):
        other = next(x for x in system.covariances if x != COMMON)
        raise PipelineError(
            f"features with an activation need all inputs to be of the common covariance, got {shown(other)} beside it: the "
            "Gaussian equivalent is that of one covariance; omit covariance= and test_covariance="
        )
    floats = set[Any]().union(*(e.atoms(Float) for e in system.args()))
    return PooledSystem.of(*(e.xreplace({x: Rational(x) for x in floats}) for e in system.args()))


def _pooled(fit: Fit, place: Mapping[int, int]) -> PooledFit:
    if fit.filter is not None:
        raise PipelineError(
            f"free probability needs ridge regressions, got filter={fit.filter} at {shown(fit.name)}; use ridge= here, or simulate"
        )
    groups = _groups(fit)
    designs = tuple(_design(inputs, members, place) for inputs, members in groups.items())
    features, ridge = None, S.Zero if fit.ridge is None else fit.ridge
    if isinstance(fit.features, Features):
        drawn = fit.features
        features = PooledFeatures(-1 - drawn.index, drawn.m, drawn.noise)
        ridge = ridge / drawn.linear**2
    elif fit.features is not None:
        features = PooledFeatures(place[fit.index], fit.features)
    if features is not None and len({(x.weight, x.covariance) for x in designs}) > 1:
        raise PipelineError(
            f"a fit on features needs samples of one row weight and one covariance, got several at {shown(fit.name)}; "
            "give equal weights, or fit on the inputs"
        )
    if features is not None and designs[0].covariance != COMMON:
        raise PipelineError(
            f"a fit on features needs samples of the common covariance, got {shown(designs[0].covariance)} at {shown(fit.name)}; "
            "omit covariance="
        )
    return PooledFit(ridge, fit.N, designs, features)


def _groups(fit: Fit) -> dict[Sample, list[tuple[Expr, Sample]]]:
    """Return the samples of a fit with their row weights, by the inputs that they share."""
    groups: dict[Sample, list[tuple[Expr, Sample]]] = {}
    for a, s in zip(fit.weights, fit.samples, strict=True):
        if not isinstance(s.source, Source) or s.pool:
            what = "a subsample" if s.pool else "rows with random labellers"
            raise PipelineError(
                f"free probability needs samples labelled by linear combinations, got {shown(s.name)}, {what}; "
                "use a scalar family for it, or separate samples"
            )
        if not a.is_zero:
            groups.setdefault(s.inputs, []).append((a, s))
    return groups


def _deviations(fit: Fit, place: Mapping[int, int]) -> tuple[PooledDesign, ...]:
    """Return the deviations of labels on common inputs from their weighted mean."""
    out = []
    for inputs, members in _groups(fit).items():
        if len(members) == 1:
            continue
        total = sum((a for a, _ in members), S.Zero)
        for a, s in members:
            apart = [(int(other is s) - b / total, other) for b, other in members]
            out.append(PooledDesign(inputs.index, inputs.covariance or COMMON, inputs.T, a, *_averaged(apart, place)))
    return tuple(out)


def _design(inputs: Sample, members: list[tuple[Expr, Sample]], place: Mapping[int, int]) -> PooledDesign:
    total = sum((a for a, _ in members), S.Zero)
    labels = _averaged([(a / total, s) for a, s in members], place)
    return PooledDesign(inputs.index, inputs.covariance or COMMON, inputs.T, total, *labels)


def _averaged(
    members: Iterable[tuple[Expr, Sample]], place: Mapping[int, int]
) -> tuple[Expr, tuple[tuple[int, Expr], ...], tuple[Noise, ...], tuple[tuple[str, Expr], ...]]:
    """Return coefficient of the truth, of the fits, the noises, and the offsets in a combination of the labels of some samples."""
    offsets: dict[str, Expr] = {}
    labellers: dict[int, Expr] = {}
    noises: dict[Sample, Expr] = {}
    truth = S.Zero
    for share, s in members:
        for labeller, c in s.resolved.signal:
            if isinstance(labeller, Truth):
                truth += share * c
                if labeller != TRUTH:
                    offsets[labeller.name] = offsets.get(labeller.name, S.Zero) + share * c
            else:
                at = place[labeller.index]
                labellers[at] = labellers.get(at, S.Zero) + share * c
        for made, c in s.resolved.noises:
            noises[made] = noises.get(made, S.Zero) + share * c
    found = (Noise(s.index, share, s.noise or S.Zero) for s, share in noises.items())
    moved = tuple((name, c) for name, c in offsets.items() if c != 0)
    return truth, tuple(labellers.items()), tuple(found), moved
