"""What a workflow is worth: effective sample size, best weights, and the synthetic data that an error budget allows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import nnls
from sympy import Dummy, Expr, Integer, Poly, Rational, S, factor, solve

from collapse_theory import symbols
from collapse_theory.core.errors import DomainError, PipelineError, shown
from collapse_theory.core.numbers import Scalar, real
from collapse_theory.describe.pipeline import Fit, OneOf, Pipeline, Sample, Source, Truth
from collapse_theory.families import closed_forms
from collapse_theory.families.averaging import Averaging
from collapse_theory.families.calculus import moments

__all__ = ["OptimalWeights", "best_stationary_weight", "effective_sample_size", "largest_synthetic", "optimal_weights",
           "relative_efficiency"]  # fmt: skip


def effective_sample_size(pipeline: Pipeline, family: Averaging, model: Fit | None = None) -> Any:
    """Return how many real rows would give a clean fit the variance of ``model``, ``1/c``.

    Returns:
        A float, or an expression if symbols are free.

    >>> from collapse_theory.families.regular import Regular
    >>> from collapse_theory.describe import workflows
    >>> from collapse_theory.describe.pipeline import Stage
    >>> effective_sample_size(workflows.replace(3, Stage(T=100), Stage(T=100)), Regular())
    25.0
    """
    k = pipeline.model(model).index
    c = family.moments(pipeline).covariances[k, k]
    return factor(1 / c) if pipeline.free_symbols else float(1 / c)


def relative_efficiency(pipeline: Pipeline, family: Averaging, model: Fit | None = None) -> Any:
    """Return the effective sample size over the rows of the first sample.

    It is the variance of a clean fit on these rows over that of ``model``.

    >>> from collapse_theory.families.regular import Regular
    >>> from collapse_theory.describe import workflows
    >>> from collapse_theory.describe.pipeline import Stage
    >>> round(1 / relative_efficiency(workflows.accumulate(2, Stage(T=100)), Regular()), 12)
    1.25
    """
    size = effective_sample_size(pipeline, family, model)
    return size / (pipeline.samples[0].T if pipeline.free_symbols else float(pipeline.samples[0].T))


@dataclass(frozen=True)
class OptimalWeights:
    """The pipeline with the best pooling weights.

    Attributes:
        pipeline: A copy with row weights under which each fit has the least variance given the fits before.
        shares: For each fit, the weights ``alpha_i`` of its samples, summing to one.
        variances: ``c_kk`` of each fit.
    """

    pipeline: Pipeline
    shares: tuple[tuple[float, ...], ...]
    variances: tuple[float, ...]


def optimal_weights(pipeline: Pipeline, family: Averaging) -> OptimalWeights:
    r"""Return the pooling weights that minimise the variance of each fit, forward over the DAG.

    ``min alpha^T S alpha`` over ``alpha >= 0, sum alpha = 1``, with ``S`` the covariances of the pooled samples given
    the fits before. Where every sample is used by one fit only, a smaller variance before can only help, so the last
    fit is then globally the best; with reused samples each fit is the best given those before it.

    Args:
        pipeline: Numeric; its own weights are ignored.
        family: Regular, Categorical or Gaussian.

    Raises:
        PipelineError: If symbols are free, or the pipeline means nothing for the family.

    >>> from collapse_theory.families.regular import Regular
    >>> from collapse_theory.describe import workflows
    >>> from collapse_theory.describe.pipeline import Stage
    >>> best = optimal_weights(workflows.fresh_real(30, Stage(T=100), Stage(T=100)), Regular())
    >>> round(best.shares[-1][0], 9)
    0.618033989
    """
    family.check(pipeline)
    if pipeline.free_symbols:
        raise PipelineError(
            f"optimal_weights needs numbers, got free symbols {sorted(map(str, pipeline.free_symbols))}; "
            "substitute values"
        )
    out = Pipeline()
    copy: dict[Sample | Fit, Any] = {}
    shares: list[tuple[float, ...]] = []
    for s in pipeline.samples:
        _copy_fits(out, copy, pipeline, s, family, shares)
        copy[s] = _copy_sample(out, copy, s)
    _copy_fits(out, copy, pipeline, None, family, shares)
    c = np.asarray(moments(out, family.law, exact=False).covariances)
    return OptimalWeights(out, tuple(shares), tuple(float(x) for x in np.diag(c)))


def _copy_sample(out: Pipeline, copy: dict[Sample | Fit, Any], s: Sample) -> Sample:
    if s.pool:
        return out.subsample([copy[p] for p in s.pool], s.T, name=s.name)

    def put(labeller: Truth | Fit) -> Any:
        return copy[labeller] if isinstance(labeller, Fit) else labeller

    if isinstance(s.source, OneOf):
        return out.sample(T=s.T, source=OneOf(tuple(put(labeller) for labeller in s.source.labellers)), name=s.name)
    return out.sample(T=s.T, source=Source(tuple((put(labeller), c) for labeller, c in s.resolved.signal)), name=s.name)


def _copy_fits(
    out: Pipeline,
    copy: dict[Sample | Fit, Any],
    pipeline: Pipeline,
    before: Sample | None,
    family: Averaging,
    shares: list[tuple[float, ...]],
) -> None:
    """Append the fits that ``before`` is labelled by (all remaining ones if None), each with its best weights."""
    last = (
        len(pipeline.fits) - 1
        if before is None
        else max((labeller.index for labeller in before.labellers if isinstance(labeller, Fit)), default=-1)
    )
    for fit in pipeline.fits[len(out.fits) : last + 1]:
        pooled = [copy[s] for s in fit.samples]
        share = _least_variance(_sample_covariance(out, pooled, family)) if len(pooled) > 1 else np.ones(1)
        size = np.array([float(s.T) for s in fit.samples])
        weights = share * size.sum() / size
        copy[fit] = out.fit(pooled, weights=weights.tolist(), name=fit.name)
        shares.append(tuple(share.tolist()))


def _sample_covariance(out: Pipeline, pooled: list[Sample], family: Averaging) -> np.ndarray:
    """Return the covariances of samples, by a fit on each alone in a scratch copy."""
    scratch = out.replaced({})
    for s in pooled:
        scratch.fit(scratch.samples[s.index])
    c = np.asarray(moments(scratch, family.law, exact=False).covariances)
    return c[-len(pooled) :, -len(pooled) :]


def _least_variance(S_: np.ndarray) -> np.ndarray:
    """Return the non-negative weights, summing to one, of least variance.

    ``x = argmin |L^T x|^2 + |1 - sum x|^2`` over ``x >= 0`` is proportional to them for a factor ``S = L L^T``.
    Source: Lawson, Hanson, Solving Least Squares Problems, 1974 (non-negative least squares).
    """
    value, vector = np.linalg.eigh(S_ / np.trace(S_))
    root = (vector * np.sqrt(np.maximum(value, 0))).T
    x, _ = nnls(np.vstack([root, np.ones(len(S_))]), np.r_[np.zeros(len(S_)), 1.0])
    return x / x.sum()


def best_stationary_weight(family: Averaging) -> Expr:
    r"""Return the real share ``w`` that minimises the limiting variance of fresh_real.

    Every round has ``T`` real and ``T0`` synthetic rows. It is the stationary point of the closed form in (0, 1); with
    ``T0 = T`` the golden ratio for regular models.

    >>> from collapse_theory.families.regular import Regular
    >>> best_stationary_weight(Regular()).subs(symbols.T0, symbols.T).cancel()
    -1/2 + sqrt(5)/2
    """
    limit = closed_forms.fresh_real(family.law, weighted=True).limit
    numerator = limit.diff(symbols.w).together().as_numer_denom()[0]
    at = {symbols.T: Integer(100), symbols.T0: Integer(100)}
    inside = [x for x in solve(numerator, symbols.w) if 0 < float(x.subs(at)) < 1]
    assert len(inside) == 1
    return inside[0]


def largest_synthetic(
    family: Averaging, T: Scalar, factor: Scalar, real_data: str = "fixed", generations: int | None = None
) -> float:
    r"""Return the most synthetic rows per round that keep the error within ``factor`` times that of the real data.

    The error is that of keep_real ("fixed": the same ``T`` real rows in every round) or fresh_real ("fresh"), after
    ``generations`` rounds or in the limit; the reference is one clean fit on ``T`` real rows. With fixed real data no
    amount of synthetic rows exceeds a factor of about 3/2; with fresh real data none exceeds 1.

    Args:
        family: Regular, Categorical or Gaussian.
        T: Real rows, > 1.
        factor: Allowed factor, >= 1.
        real_data: "fixed" or "fresh".
        generations: Rounds, >= 1; None is the limit.

    Returns:
        The number of rows up to which every number is allowed; ``math.inf`` if all are. (After few rounds the error
        falls again at very large numbers: they only repeat the model.)

    Raises:
        DomainError: If an argument is out of range.

    >>> from collapse_theory.families.regular import Regular
    >>> largest_synthetic(Regular(), T=1000, factor=1.25), largest_synthetic(Regular(), T=1000, factor=1.5)
    (500.0, inf)
    """
    rows, bound = real(T, "T", positive=True), real(factor, "factor", positive=True)
    if not (rows.is_number and rows > 1):
        raise DomainError(f"T needs to be > 1, got {shown(T)}; give the number of real rows")
    if not (bound.is_number and bound >= 1):
        raise DomainError(f"factor needs to be >= 1, got {shown(factor)}; a fit on the real rows alone has 1")
    if real_data not in {"fixed", "fresh"}:
        raise DomainError(f"real_data needs to be 'fixed' or 'fresh', got {shown(real_data)}; choose one of them")
    rows, bound = (Rational(x if x.is_Rational else x.evalf(30)) for x in (rows, bound))
    form = closed_forms.keep_real(family.law) if real_data == "fixed" else closed_forms.fresh_real(family.law)
    c = form.limit
    if generations is not None:
        c = form.variance.subs(symbols.n, real(generations, "generations", positive=True, integer=True))
    synthetic = Dummy("T0", positive=True)
    excess = (c.subs({symbols.T: rows, symbols.T0: synthetic}) * rows - bound).together()
    numerator = Poly(excess.as_numer_denom()[0], synthetic)
    # Brackets less than one row wide, not digits: refining a root of a high degree by bisection can take minutes.
    brackets = [bracket for bracket, _ in numerator.intervals(eps=Rational(1, 4), inf=0)]
    for allowed in dict.fromkeys(math.floor(end) for bracket in [(S.Zero, S.Zero), *brackets] for end in bracket):
        if excess.subs(synthetic, allowed + 1) > 0:
            return float(allowed)
    return math.inf
