r"""From a pipeline to the pencil whose solution is its test error.

Each fit :math:`k` has the error :math:`\delta_k=\hat w_k-w_0` and, for every design :math:`D` it pools, the residuals
:math:`r_{k,D}`. With pooled row weights :math:`a_D`, labeller coefficients :math:`c_{D,m}` and noise :math:`\xi_D`,

.. math::
   \frac{\lambda_k}{\gamma_k}(\delta_k+w_0)-\sum_D\frac{a_D}{N_k}X_D^\top r_{k,D}=0,\qquad
   \gamma_kr_{k,D}+X_D\Big(\delta_k-\sum_mc_{D,m}\delta_m+\big(1-\sum c_D\big)w_0\Big)=\xi_D,

for any scale :math:`\gamma_k`: 1, or :math:`\lambda_k` where the residuals vanish in the ridgeless limit. In errors
rather than coefficients nothing cancels. The system :math:`Q`, its transpose and the test covariance between them
give :math:`P^\top\Sigma_{\rm test}P` with :math:`\delta_K=P\,(w_0,\varepsilon)`: the bias is its quadratic form in
:math:`w_0`, and every noise source adds :math:`\sigma_i^2` times the trace of its own block.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sympy import Expr, S, sqrt

from collapse_theory import symbols
from collapse_theory.describe.pipeline import Fit, Pipeline, Sample, Source, Truth
from collapse_theory.equivalents.matrices import GaussianMatrix
from collapse_theory.equivalents.pencil import Block, Letter, Pencil
from collapse_theory.errors import PipelineError
from collapse_theory.symbols import family_eigenvalue

__all__ = ["PooledDesign", "PooledFit", "TestErrorPencil", "pooled", "test_error_pencil"]

COMMON = "Sigma"
"""Name of the covariance of the samples that have none of their own."""


@dataclass(frozen=True)
class PooledDesign:
    """The rows of one fit that share inputs: labels averaged with the row weights.

    Attributes:
        inputs: The sample that drew the inputs.
        weight: Total row weight.
        labellers: Coefficient of each earlier fit, by its index.
        truth: Coefficient of the truth.
        noises: Coefficient of each sample's label noise, by its index.
    """

    inputs: Sample
    weight: Expr
    labellers: Mapping[int, Expr]
    truth: Expr
    noises: Mapping[int, Expr]

    @property
    def covariance(self) -> str:
        """Name of the covariance of the inputs."""
        return self.inputs.covariance or COMMON


@dataclass(frozen=True)
class PooledFit:
    """A fit as the weighted sum over its distinct designs."""

    fit: Fit
    designs: tuple[PooledDesign, ...]

    @property
    def ridge(self) -> Expr:
        """The ridge; none given means zero."""
        return S.Zero if self.fit.ridge is None else self.fit.ridge


def pooled(fit: Fit) -> PooledFit:
    """Return the fit with samples of one design merged.

    Raises:
        PipelineError: If a sample is not of the linear kind.
    """
    groups: dict[Sample, list[tuple[Expr, Sample]]] = {}
    for a, s in zip(fit.weights, fit.samples, strict=True):
        if not isinstance(s.source, Source) or s.pool:
            what = "a subsample" if s.pool else "rows with random labellers"
            raise PipelineError(
                f"free probability needs samples labelled by linear combinations, got {s.name!r}, {what}; "
                "use a scalar family for it, or separate samples"
            )
        if not a.is_zero:
            groups.setdefault(s.inputs, []).append((a, s))
    return PooledFit(fit, tuple(_design(inputs, members) for inputs, members in groups.items()))


def _design(inputs: Sample, members: list[tuple[Expr, Sample]]) -> PooledDesign:
    total = sum((a for a, _ in members), S.Zero)
    labellers: dict[int, Expr] = {}
    noises: dict[int, Expr] = {}
    truth = S.Zero
    for a, s in members:
        share = a / total
        for m, c in s.source:
            if isinstance(m, Truth):
                truth += share * c
            else:
                labellers[m.index] = labellers.get(m.index, S.Zero) + share * c
        if s.noise is not None and not s.noise.is_zero:
            noises[s.index] = share
    return PooledDesign(inputs, total, labellers, truth, noises)


@dataclass(frozen=True)
class TestErrorPencil:
    """The pencil of a pipeline's test error.

    Attributes:
        pencil: Results ``w0`` (a function of the covariance) and one ``noise i`` per noise source (a scalar per row).
        fits: The pooled fits behind the tested one.
        noises: The sample of each noise source by the name of its result.
        error_of: Index of the error of each fit, by fit index.
        residual_of: Index of the residuals, by fit index and sample index of the design.
    """

    __test__ = False  # the name starts like a test; test runners are not to collect it

    pencil: Pencil
    fits: tuple[PooledFit, ...]
    noises: Mapping[str, Sample]
    error_of: Mapping[int, int]
    residual_of: Mapping[tuple[int, int], int]

    def untransposed(self, i: int) -> int:
        """Return the index of the forward half that index ``i`` is the transpose of, or ``i`` itself."""
        half = self.pencil.size // 2
        return i - half if i >= half else i


def test_error_pencil(
    pipeline: Pipeline,
    model: Fit | None = None,
    *,
    test_covariance: str | None = None,
    ridges: Mapping[int, Expr] | None = None,
    vanishing: frozenset[int] = frozenset(),
) -> TestErrorPencil:
    """Return the pencil of the test error of one fit.

    Args:
        pipeline: A linear pipeline.
        model: The tested fit; None is the last.
        test_covariance: Name of the covariance of the test inputs; None is that of the samples without one.
        ridges: What to write for the ridge of a fit, by index; by default its own.
        vanishing: Indices of the fits whose residuals vanish in the ridgeless limit: their scale is the ridge.

    Raises:
        PipelineError: If a sample is not of the linear kind.
    """
    tested = pipeline.model(model)
    fits = tuple(pooled(f) for f in pipeline.ancestors(tested))
    noisy = sorted({i for f in fits for design in f.designs for i in design.noises})
    dimensions: list[Expr] = [symbols.d]
    error_of, residual_of, noise_of = {}, {}, {}
    for f in fits:
        error_of[f.fit.index] = len(dimensions)
        dimensions.append(symbols.d)
        for design in f.designs:
            residual_of[f.fit.index, design.inputs.index] = len(dimensions)
            dimensions.append(design.inputs.T)
    for i in noisy:
        noise_of[i] = len(dimensions)
        dimensions.append(pipeline.samples[i].T)
    half: dict[tuple[int, int], Block] = {(i, i): Block(S.One) for i in (0, *noise_of.values())}
    for f in fits:
        ridge = (ridges or {}).get(f.fit.index, f.ridge)
        half.update(_fit_blocks(f, ridge, f.fit.index in vanishing, error_of, residual_of, noise_of))
    n = len(dimensions)
    blocks = {key: b for key, b in half.items() if b}
    blocks |= {(n + j, n + i): b.transpose for (i, j), b in blocks.items()}
    last = error_of[tested.index]
    blocks[n + last, last] = Block(-family_eigenvalue(test_covariance or COMMON))
    noises = {f"noise {i}": pipeline.samples[i] for i in noisy}
    inputs = {"w0": 0} | {name: noise_of[s.index] for name, s in noises.items()}
    family = {design.covariance for f in fits for design in f.designs} | {test_covariance or COMMON}
    pencil = Pencil(
        tuple(dimensions * 2), blocks, inputs, {name: n + i for name, i in inputs.items()}, {symbols.d: tuple(sorted(family))}
    )
    return TestErrorPencil(pencil, fits, noises, error_of, residual_of)


def _fit_blocks(
    f: PooledFit,
    ridge: Expr,
    vanishing: bool,
    error_of: Mapping[int, int],
    residual_of: Mapping[tuple[int, int], int],
    noise_of: Mapping[int, int],
) -> dict[tuple[int, int], Block]:
    """Return the equations of one fit."""
    k = error_of[f.fit.index]
    scale, penalty = (ridge, S.One) if vanishing else (S.One, ridge)
    out = {(k, k): Block(penalty), (k, 0): Block(penalty)}
    for design in f.designs:
        r = residual_of[f.fit.index, design.inputs.index]
        X = Letter(
            GaussianMatrix(f"Z_{design.inputs.name}", design.inputs.T, symbols.d), False, right=sqrt(family_eigenvalue(design.covariance))
        )
        out[k, r] = Block(random={X.transpose: -design.weight / f.fit.N})
        out[r, r] = Block(scale)
        out[r, k] = Block(random={X: S.One})
        for m, c in design.labellers.items():
            out[r, error_of[m]] = Block(random={X: -c})
        surplus = 1 - design.truth - sum(design.labellers.values(), S.Zero)
        if surplus != 0:
            out[r, 0] = Block(random={X: surplus})
        for i, share in design.noises.items():
            out[r, noise_of[i]] = Block(-share)
    return out
