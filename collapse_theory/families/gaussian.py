r"""Gaussians fitted by maximum likelihood: mean and covariance, exact in expectation for every pipeline.

``Cov(mu_a, mu_b) = c_ab Sigma`` and ``E Sigma_k = v_k Sigma``; ``v_k = 1 - c_kk`` whenever rows come from single
models or from densities mixed row by row (:func:`~collapse_theory.describe.nodes.one_of`). A linear source is the
Gaussian with the averaged mean and covariance, whose rows spread less than the mixture; then ``v_k = s_k - c_kk`` with
``s_k < 1``.

Along a chain (each fit on one sample labelled by the fit before) the determinants are products of independent
chi-squares and the one-dimensional variance has the exact law :class:`.VarianceLaw`.

Source: the decomposition of a Wishart determinant is Bartlett's (1933). The forward substitution is ours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from sympy import Add, EulerGamma, Expr, Rational, S, digamma, gamma, log, sqrt

from collapse_theory.algebra.special import DigammaDifference, GammaRatio
from collapse_theory.core.errors import DomainError, PipelineError, shown
from collapse_theory.core.numbers import flag, real
from collapse_theory.core.precision import exact_context
from collapse_theory.derive.formula import Regime
from collapse_theory.describe.pipeline import Fit, Pipeline, Truth
from collapse_theory.families.averaging import Averaging
from collapse_theory.families.calculus import RowLaw
from collapse_theory.families.sampling import GaussianSampler, Run, numeric
from collapse_theory.families.token_errors import Bracket, certain
from collapse_theory.families.variance_law import VarianceLaw
from collapse_theory.simulate.trial import Setting, Trial

__all__ = ["Gaussian"]

_WRITTEN = 1000  # rows up to which SymPy may write a special function out as a sum or product of so many terms


@dataclass(frozen=True)
class Gaussian(Averaging):
    """A Gaussian whose mean and covariance are both fitted by maximum likelihood.

    Args:
        d: Dimension, >= 1. The errors of mean and covariance in units of Sigma do not depend on it; the determinant
            does.

    Raises:
        DomainError: If ``d`` < 1.

    >>> from collapse_theory.describe import workflows
    >>> from collapse_theory.describe.pipeline import Stage
    >>> Gaussian().covariance_factor(workflows.replace(1, Stage(T=10), Stage(T=10)))
    0.81
    """

    d: int = 1

    name: ClassVar[str] = "Gaussian"
    quantity: ClassVar[str] = r"expected error $E=\mathbb{E}\|\hat\mu-\mu\|^2/\operatorname{tr}\Sigma$ of the mean"
    law: ClassVar[RowLaw] = RowLaw.GAUSSIAN
    regime: ClassVar[Regime] = "exact"
    references: ClassVar[tuple[str, ...]] = ("shumailov2023curse", "kazdan2024collapse")
    convex: ClassVar[bool] = True
    measures: ClassVar[tuple[str, ...]] = ("test error", "variance", "log variance")

    def __post_init__(self) -> None:
        """Check the dimension."""
        object.__setattr__(self, "d", int(real(self.d, "d", positive=True, integer=True, number=True, most=10**6)))

    def error_terms(self, pipeline: Pipeline, model: Fit) -> Mapping[str, Expr]:
        """Return ``E|mu_hat - mu|^2 / tr Sigma = c`` of a fit; unbiased, so all of it is variance."""
        return {"bias": S.Zero, "variance": S(self.moments(pipeline).covariances[model.index, model.index])}

    def trial(self, pipeline: Pipeline, model: Fit, setting: Setting) -> Trial:
        """Return one simulated ``|mu_hat - mu|^2 / tr Sigma``, or what else is measured, as a function of the generator."""
        self.check(pipeline)
        return Run(numeric(pipeline, setting), model.index, GaussianSampler(self.d, setting.measured))

    def _expected(self, pipeline: Pipeline, model: Fit, measured: str) -> Bracket:
        match measured:
            case "variance":
                return certain(float(self.covariance_factor(pipeline, model)), "covariance calculus")
            case "log variance":
                value = float(self.expected_log_determinant(pipeline, model)) / self.d
                return certain(value, "Bartlett decomposition")
            case _:
                return super()._expected(pipeline, model, measured)

    def covariance_factor(self, pipeline: Pipeline, model: Fit | None = None) -> Any:
        """Return ``v`` with ``E Sigma_hat = v Sigma``: a float, or an expression if symbols are free.

        Raises:
            PipelineError: If the pipeline means nothing for Gaussians.
        """
        self.check(pipeline)
        k = pipeline.model(model).index
        v = self.moments(pipeline).factors[k]
        return v if pipeline.free_symbols else float(v)

    # ------------------------------------------------------------------ chains
    def expected_log_determinant(self, pipeline: Pipeline, model: Fit | None = None) -> Expr:
        r"""Return ``E log(det Sigma_hat / det Sigma)`` along a chain.

        ``sum_g sum_{i=1..d} [psi((T_g - i)/2) + log(2/T_g)]``: given the model before, ``T_g Sigma_g`` is Wishart with
        ``T_g - 1`` degrees of freedom, and its determinant a product of independent chi-squares (Bartlett).

        Raises:
            PipelineError: If the pipeline is no chain.
            DomainError: If some ``T_g`` <= d, where the fitted covariance is singular.
        """
        total = S.Zero
        for T in self._chain(pipeline, model):
            if T.is_number and self.d >= T:
                raise DomainError(f"expected_log_determinant needs T >= d + 1, got T={T}, d={self.d}; add rows")
            total += Add(*(_digamma((T - i) / 2) + log(2 / T) for i in range(1, self.d + 1)))
        return total

    def expected_wasserstein2(self, pipeline: Pipeline, model: Fit | None = None) -> Expr:
        r"""Return ``E W_2^2(model, truth) / sigma^2`` along a chain in one dimension.

        ``c + v + 1 - 2 E sqrt(variance ratio)`` (Dowson, Landau 1982: the distance of two normal laws), the last
        being the product of ``sqrt(2/T) Gamma(T/2)/Gamma((T-1)/2)``.

        Raises:
            PipelineError: If the pipeline is no chain.
            DomainError: If ``d`` > 1, where no closed form is known.
        """
        if self.d != 1:
            raise DomainError(f"expected_wasserstein2 needs d = 1, got d={self.d}; the square root of a product of "
                              "Wishart matrices has no closed mean, use ct.simulate")  # fmt: skip
        self.check(pipeline)
        fit = pipeline.model(model)
        rows = self._chain(pipeline, model)
        moments = self.moments(pipeline)
        root = S.One
        for T in rows:
            if T == 1:
                root = S.Zero
            elif T.is_number and T > _WRITTEN:
                root *= sqrt(2 / T) * GammaRatio((T - 1) / 2, Rational(1, 2))
            else:
                root *= sqrt(2 / T) * gamma(T / 2) / gamma((T - 1) / 2)
        c, v = S(moments.covariances[fit.index, fit.index]), S(moments.factors[fit.index])
        return c + v + 1 - 2 * root

    def variance_law(self, T: int, generations: int) -> VarianceLaw:
        """Return the exact law of the fitted variance over the true one after ``generations`` resamplings (d = 1).

        Raises:
            DomainError: If ``d`` > 1, ``T`` < 2 or ``generations`` < 1.
        """
        if self.d != 1:
            raise DomainError(f"variance_law needs d = 1, got d={self.d}; see expected_log_determinant for larger d")
        return VarianceLaw(T, generations)

    def collapse_time(self, T: int, below: float = 0.01, typical: bool = False) -> int:
        r"""Return the first resampling at which the fitted variance is at most ``below`` times the true one.

        In expectation, ``(1 - 1/T)^n <= below``; ``typical``: for the mean logarithm in d dimensions per direction,
        which collapses earlier because rare runs keep a large variance.

        Raises:
            DomainError: If ``below`` is not in (0, 1), ``T`` < 1, or ``typical`` with ``T`` <= d.

        >>> Gaussian().collapse_time(T=100), Gaussian().collapse_time(T=100, typical=True)
        (459, 229)
        """
        rows = real(T, "T", positive=True, integer=True, number=True)
        flag(typical, "typical")
        if not 0 < real(below, "below", number=True) < 1:
            raise DomainError(f"below needs to be in (0, 1), got {shown(below)}; it is a fraction of the true variance")
        if typical:
            if rows <= self.d:
                raise DomainError(
                    f"collapse_time of the typical run needs T >= d + 1, got T={rows}, d={self.d}; add rows"
                )
            per_round = self._mean_logarithm(int(rows))
        elif rows == 1:
            return 1
        else:
            per_round = math.log1p(-1 / int(rows))
        if per_round == 0:
            raise DomainError(
                f"collapse_time needs T <= 1e308, got T={rows}; the time is about {-math.log(float(below)):.3g} * T"
            )
        return math.ceil(math.log(float(below)) / per_round)

    def _mean_logarithm(self, T: int) -> float:
        """Return what a resampling of T rows adds to the mean logarithm of the variance of a direction."""
        with exact_context(100 + 2 * T.bit_length()) as mp:  # about -d/(2T), a difference of logarithms
            terms = (mp.digamma(mp.mpf(T - i) / 2) for i in range(1, self.d + 1))
            return float(mp.fsum(terms) / self.d - mp.log(mp.mpf(T) / 2))

    def _chain(self, pipeline: Pipeline, model: Fit | None) -> list[Expr]:
        """Return the rows of the fits of a chain, first to last."""
        self.check(pipeline)
        fit: Truth | Fit = pipeline.model(model)
        rows: list[Expr] = []
        while isinstance(fit, Fit):
            sample = fit.samples[0]
            if len(fit.samples) > 1 or sample.pool or len(sample.labellers) != 1:
                raise PipelineError(
                    f"this law needs a chain (each fit on one sample labelled by one model), got fit {shown(fit.name)} on "
                    f"{[s.name for s in fit.samples]}; use covariance_factor or ct.simulate"
                )
            rows.append(sample.T)
            fit = sample.labellers[0]
        return rows[::-1]


def _digamma(x: Expr) -> Expr:
    """Return the digamma function; SymPy writes its value at a half-integer out as a sum of so many terms."""
    return DigammaDifference(S.One, x - 1) - EulerGamma if x.is_number and x > _WRITTEN else digamma(x)
