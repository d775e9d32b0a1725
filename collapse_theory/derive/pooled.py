r"""From a pipeline to the pencil whose solution is its test error.

Each fit :math:`k` has the error :math:`\delta_k=\hat w_k-w_0` and, for every design :math:`D` it pools, the residuals
:math:`r_{k,D}`. With pooled row weights :math:`a_D`, labeller coefficients :math:`c_{D,l}` and noise :math:`\xi_D`,

.. math::
   \frac{\lambda_k}{g_k}(\delta_k+w_0)-\sum_D\frac{a_D}{N_k}\frac{\gamma_{k,D}}{g_k}X_D^\top r_{k,D}=0,\qquad
   \gamma_{k,D}r_{k,D}+X_D\Big(\delta_k-\sum_lc_{D,l}\delta_l+\big(1-\sum c_D\big)w_0\Big)=\xi_D,

for any scales :math:`\gamma_{k,D}` of designs and :math:`g_k` of directions: 1, or :math:`\lambda_k` where the residuals
vanish in the ridgeless limit and in the directions that are not determined there (:mod:`.ranks`). So the limit is an
equation like any other, and errors rather than coefficients are carried. The system :math:`Q`, its transpose and the
test covariance between them give :math:`P^\top\Sigma_{\rm test}P` with :math:`\delta_K=P\,(w_0,\varepsilon)`: the bias
is its quadratic form in :math:`w_0`, and every noise source adds :math:`\sigma_i^2` times the trace of its own block.

Source: the pencil of a regression, Subramonian, Dohmatob, auto-fpt: Automating Free Probability Theory Calculations for Machine
Learning Theory, 2025. That of a pipeline, with errors and residuals as unknowns and ridgeless limits, is ours.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from sympy import Expr, Float, Integer, Rational, S, Symbol, Tuple, sqrt
from sympy.core.symbol import Str

from collapse_theory import symbols
from collapse_theory.core.errors import DomainError, PipelineError, shown
from collapse_theory.describe.pipeline import Fit, Pipeline, Sample, Source, Truth
from collapse_theory.engine.letters import GaussianMatrix
from collapse_theory.engine.pencil import Block, Letter, Pencil
from collapse_theory.symbols import eigenvalue_of

__all__ = [
    "COMMON",
    "Noise",
    "PooledDesign",
    "PooledFit",
    "PooledSystem",
    "Scaling",
    "TestErrorPencil",
    "error_pencil",
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


@dataclass(frozen=True)
class TestErrorPencil:
    """The pencil of a pipeline's test error.

    Attributes:
        pencil: Results ``w0`` (a function of the covariance) and one per noise source (a scalar per row).
        noises: Variance of all rows, ``sigma_i^2 T_i``, of each noise source by the name of its result.
        error_of: Index of the error of each fit, by position.
        residual_of: Index of the residuals, by position of the fit and of the design in it.
    """

    __test__ = False  # the name starts like a test; test runners are not to collect it

    pencil: Pencil
    noises: Mapping[str, Expr]
    error_of: Mapping[int, int]
    residual_of: Mapping[tuple[int, int], int]

    @cached_property
    def fit_at(self) -> Mapping[int, int]:
        """Position of the fit whose error, or the transpose of it, has an index."""
        return self._places(self.error_of)

    @cached_property
    def design_at(self) -> Mapping[int, tuple[int, int]]:
        """Position of the fit and the design in it whose residuals, or their transpose, have an index."""
        return self._places(self.residual_of)

    def _places(self, index: Mapping[Any, int]) -> dict[int, Any]:
        half = self.pencil.size // 2
        return {i + n: place for place, i in index.items() for n in (0, half)}


@dataclass(frozen=True)
class Scaling:
    """How the equations of one fit are scaled, so that they have a limit without ridge.

    Attributes:
        ridge: The ridge, which scales the residuals of the open designs.
        penalty: The ridge over the scale of each direction.
        reach: Scale of the residuals of an open design over that of each direction.
        opened: The open designs, by position in the fit.
    """

    ridge: Expr
    penalty: Expr
    reach: Expr = S.One
    opened: frozenset[int] = frozenset()

    @classmethod
    def vanishing(cls, ridge: Expr, fit: PooledFit) -> Scaling:
        """Return the scaling by the ridge of every residual."""
        return cls(ridge, S.One, opened=frozenset(range(len(fit.designs))))


def error_pencil(system: PooledSystem, scalings: Mapping[int, Scaling] | None = None) -> TestErrorPencil:
    """Return the pencil of the test error.

    Args:
        system: The pooled fits.
        scalings: The scaling of each fit, by position; by default none, with the ridge as the penalty.
    """
    noise_sources = {e.sample: (e.sigma, x.T) for f in system.fits for x in f.designs for e in x.noises}
    dimensions: list[Expr] = [symbols.d]
    error_of, residual_of, noise_of = {}, {}, {}
    for k, f in enumerate(system.fits):
        error_of[k] = len(dimensions)
        dimensions.append(symbols.d)
        for n, design in enumerate(f.designs):
            residual_of[k, n] = len(dimensions)
            dimensions.append(design.T)
    for i, (_, T) in sorted(noise_sources.items()):
        noise_of[i] = len(dimensions)
        dimensions.append(T)
    half: dict[tuple[int, int], Block] = {(i, i): Block(S.One) for i in (0, *noise_of.values())}
    for k, f in enumerate(system.fits):
        scaling = (scalings or {}).get(k, Scaling(f.ridge, f.ridge))
        half.update(_fit_blocks(k, f, scaling, (error_of, residual_of, noise_of)))
    n = len(dimensions)
    blocks = {key: b for key, b in half.items() if b}
    blocks |= {(n + j, n + i): b.transpose for (i, j), b in blocks.items()}
    last = error_of[len(system.fits) - 1]
    blocks[n + last, last] = Block(-eigenvalue_of(system.test_covariance))
    inputs = {"w0": 0} | {f"noise {i}": j for i, j in noise_of.items()}
    outputs = {name: n + i for name, i in inputs.items()}
    pencil = Pencil(tuple(dimensions * 2), blocks, inputs, outputs, {symbols.d: system.covariances})
    return TestErrorPencil(
        pencil, {f"noise {i}": sigma**2 * T for i, (sigma, T) in sorted(noise_sources.items())}, error_of, residual_of
    )


def _fit_blocks(
    k: int, f: PooledFit, scaling: Scaling, places: tuple[Mapping[Any, int], ...]
) -> dict[tuple[int, int], Block]:
    """Return the equations of one fit."""
    error_of, residual_of, noise_of = places
    w = error_of[k]
    out = {(w, w): Block(scaling.penalty), (w, 0): Block(scaling.penalty)}
    for n, design in enumerate(f.designs):
        r = residual_of[k, n]
        Z, root = GaussianMatrix(f"Z_{design.inputs}", design.T, symbols.d), sqrt(eigenvalue_of(design.covariance))
        opened = n in scaling.opened
        X = Letter(Z, transposed=False, right=root)
        scaled = Letter(Z, transposed=False, right=root * scaling.reach) if opened else X
        out[w, r] = Block(random={scaled.transpose: -design.weight / f.N})
        out[r, r] = Block(scaling.ridge if opened else S.One)
        out[r, w] = Block(random={X: S.One})
        for at, c in design.labellers:
            out[r, error_of[at]] = Block(random={X: -c})
        surplus = 1 - design.truth - sum((c for _, c in design.labellers), S.Zero)
        if surplus != 0:
            out[r, 0] = Block(random={X: surplus})
        for e in design.noises:
            out[r, noise_of[e.sample]] = Block(-e.share)
    return out
