r"""From a pipeline to the system of fits that its test error depends on.

Labels of samples that share inputs are averaged with their row weights: each fit is a weighted sum over *designs*, with
coefficients of the truth and of earlier fits, and independent noises.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sympy import Expr, Float, Integer, Rational, S, Symbol, Tuple
from sympy.core.symbol import Str

from collapse_theory import symbols
from collapse_theory.core.errors import DomainError, PipelineError, shown
from collapse_theory.describe.pipeline import Fit, Pipeline, Sample, Source, Truth

__all__ = [
    "COMMON",
    "Noise",
    "PooledDesign",
    "PooledFit",
    "PooledSystem",
    "pooled_system",
]

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
        truth: Coefficient of the truth.
        labellers: Position among the system's fits, and coefficient, of each earlier fit.
        noises: Label noises.
    """

    inputs: int
    covariance: str
    T: Expr
    weight: Expr
    truth: Expr
    labellers: tuple[tuple[int, Expr], ...]
    noises: tuple[Noise, ...]


@dataclass(frozen=True)
class PooledFit:
    """A fit as the weighted sum over its distinct designs.

    Attributes:
        ridge: Ridge on the mean squared error.
        N: All rows, those of weight zero included.
        designs: The distinct designs of positive weight.
    """

    ridge: Expr
    N: Expr
    designs: tuple[PooledDesign, ...]


@dataclass(frozen=True)
class PooledSystem:
    """Everything the test error of a linear pipeline depends on; the tested fit is the last.

    Attributes:
        fits: The fits behind the tested one, and itself.
        test_covariance: Name of the covariance of the test inputs.
    """

    fits: tuple[PooledFit, ...]
    test_covariance: str = COMMON

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
            for x in f.designs:
                yield from (x.T, x.weight, x.truth, *(c for _, c in x.labellers))
                yield from (e for y in x.noises for e in (y.share, y.sigma))

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
        fits = [
            Tuple(f.ridge, f.N, *(
                Tuple(
                    Integer(x.inputs), Str(x.covariance), x.T, x.weight, x.truth,
                    Tuple(*(Tuple(Integer(at), c) for at, c in x.labellers)),
                    Tuple(*(Tuple(Integer(e.sample), e.share, e.sigma) for e in x.noises)),
                )
                for x in f.designs
            ))
            for f in self.fits
        ]  # fmt: skip
        return (Str(self.test_covariance), *fits)

    @classmethod
    def of(cls, test_covariance: Str, *fits: Any) -> PooledSystem:
        """Return the system of SymPy arguments."""
        return cls(
            tuple(
                PooledFit(ridge, N, tuple(
                    PooledDesign(
                        int(inputs), covariance.name, T, weight, truth,
                        tuple((int(at), c) for at, c in labellers),
                        tuple(Noise(int(i), share, sigma) for i, share, sigma in noises),
                    )
                    for inputs, covariance, T, weight, truth, labellers, noises in designs
                ))
                for ridge, N, *designs in fits
            ),
            test_covariance.name,
        )  # fmt: skip


def pooled_system(pipeline: Pipeline, model: Fit | None = None, test_covariance: str | None = None) -> PooledSystem:
    """Return what the test error of ``model`` depends on.

    Args:
        pipeline: A linear pipeline.
        model: The tested fit; None is the last.
        test_covariance: Name of the covariance of the test inputs; None is that of the samples without one.

    Raises:
        PipelineError: If a sample is not of the linear kind.
    """
    fits = pipeline.ancestors(pipeline.model(model))
    place = {f.index: n for n, f in enumerate(fits)}
    system = PooledSystem(tuple(_pooled(f, place) for f in fits), test_covariance or COMMON)
    floats = set[Any]().union(*(e.atoms(Float) for e in system.args()))
    return PooledSystem.of(*(e.xreplace({x: Rational(x) for x in floats}) for e in system.args()))


def _pooled(fit: Fit, place: Mapping[int, int]) -> PooledFit:
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
    designs = tuple(_design(inputs, members, place) for inputs, members in groups.items())
    return PooledFit(S.Zero if fit.ridge is None else fit.ridge, fit.N, designs)


def _design(inputs: Sample, members: list[tuple[Expr, Sample]], place: Mapping[int, int]) -> PooledDesign:
    total = sum((a for a, _ in members), S.Zero)
    labellers: dict[int, Expr] = {}
    noises: list[Noise] = []
    truth = S.Zero
    for a, s in members:
        share = a / total
        for labeller, c in Source.of(s.source):
            if isinstance(labeller, Truth):
                truth += share * c
            else:
                labellers[place[labeller.index]] = labellers.get(place[labeller.index], S.Zero) + share * c
        if s.noise is not None and not s.noise.is_zero:
            noises.append(Noise(s.index, share, s.noise))
    return PooledDesign(
        inputs.index, inputs.covariance or COMMON, inputs.T, total, truth, tuple(labellers.items()), tuple(noises)
    )
