r"""Ridge regression in the proportional limit: clean, replace with least-squares generators, and chains of any ridges."""

from __future__ import annotations

from typing import Any

from sympy import And, Expr, Ge, Gt, S, factor, factor_terms, oo

from collapse_theory.algebra.effective import ResidualDegrees
from collapse_theory.algebra.integrals import SpectralTrace, df
from collapse_theory.derive.exact import mean_inverse_gram
from collapse_theory.derive.formula import ErrorFormula, value_for
from collapse_theory.derive.labeller import chain_risk
from collapse_theory.derive.labeller_scalars import ChainBias, ChainVariance
from collapse_theory.derive.operator import Generation, response, shrinkage
from collapse_theory.derive.regression import excess_risk
from collapse_theory.describe import workflows
from collapse_theory.describe.pipeline import TRUTH, Pipeline, Source, Stage
from collapse_theory.symbols import T0, T, d, eigenvalue, lam, lam0, sigma, sigma0
from collapse_theory.symbols import n as generations
from collapse_theory.theorems.per_round import per_round
from collapse_theory.theorems.theorem import Relation, register

__all__: list[str] = []


def _clean(T: Any, lam: Any, sigma: Any) -> Pipeline:
    return workflows.replace(0, downstream=Stage(T=T, noise=sigma, ridge=lam))


@register(
    "ridge-clean",
    title="Ridge regression on real data",
    regime="proportional",
    hypotheses=r"Ridge regression on $T$ fresh rows labelled by the truth",
    build=_clean,
    sources=("hastie2022surprises", "dohmatob2024regression"),
    relations=(
        Relation(
            "ridge-replace",
            "bounded by",
            note="least-squares generators add variance and no bias",
            strict=And(Ge(generations, 1), Gt(sigma0, 0)),
        ),
    ),
)
def ridge_clean() -> ErrorFormula:
    r"""Derive bias and variance as one step of the generation operator.

    :math:`B=\kappa^2w_0^\top\Sigma(\Sigma+\kappa)^{-2}w_0/(1-\mathrm{df}_2/T)`, :math:`V=\sigma^2\mathrm{df}_2/(T-\mathrm{df}_2)`.
    """
    stage = Generation(T, lam, sigma)
    bias, variance = chain_risk([stage])
    return ErrorFormula(parts={"bias": gathered(bias, stage), "variance": variance}, regime="proportional")


def gathered(bias: Expr, stage: Generation) -> Expr:
    """Return ``x + x df2/(T - df2)`` as ``x T/(T - df2)``."""
    residual = ResidualDegrees(stage.T, stage.lam)
    explained = df(2, stage.kappa)
    return factor(bias).subs(residual + explained, stage.T)


def _replace(n: Any, T: Any, T0: Any, lam: Any, sigma: Any, sigma0: Any) -> Pipeline:
    return workflows.replace(n, Stage(T=T0, noise=sigma0), Stage(T=T, noise=sigma, ridge=lam))


@register(
    "ridge-replace",
    title="Replace: n least-squares generators, ridge regression downstream",
    regime="proportional",
    hypotheses=r"""$n$ least-squares generators on $T_0\ge d+2$ fresh rows each, the first labelled by the truth and the next by the
previous fit, then ridge regression on $T$ fresh rows labelled by the last generator. Exact in the generators, proportional
downstream""",
    build=_replace,
    sources=("dohmatob2024regression",),
    relations=(
        Relation("ridge-clean", "equals", {"n": 0}, "no generation"),
        Relation("ridge-clean", "equals", {"sigma0": 0}, "generators without noise"),
        Relation("ridge-clean", "tends to", {"T0": oo}, "generators on as many rows as one likes"),
        Relation("ridge-chain", "same limit", {"lam0": 0}, "generators exact here, proportional there"),
    ),
)
def ridge_replace() -> ErrorFormula:
    r"""Derive the clean error plus :math:`\operatorname{tr}[C\,\mathcal G[\Sigma]]`, C the covariance of the last generator.

    The generators' errors are uncorrelated with mean zero, so :math:`C=n\sigma_0^2\,\mathbb E(X_0^\top X_0)^{-1}`.
    """
    clean, stage = ridge_clean(), Generation(T, lam, sigma)
    inverse_gram, condition = mean_inverse_gram(T0)
    spread = stage.kappa**2 * response(eigenvalue, stage)
    r = shrinkage(stage.kappa)
    synthetic = SpectralTrace(inverse_gram * eigenvalue * r**2) + spread * SpectralTrace(
        inverse_gram * r**2 / eigenvalue
    )
    return ErrorFormula(
        parts={**clean.parts, "synthetic_variance": generations * sigma0**2 * factor_terms(synthetic)},
        regime="proportional",
        conditions=(condition,),
        remedies={
            condition: "increase T0, or use ridge-replace-overparametrized for T0 < d; ridge-chain with lam0 = 0 covers every T0"
        },
    )


def _chain(n: Any, T: Any, T0: Any, lam: Any, lam0: Any, sigma: Any, sigma0: Any) -> Pipeline:
    return workflows.replace(n, Stage(T=T0, noise=sigma0, ridge=lam0), Stage(T=T, noise=sigma, ridge=lam))


def _chain_at(n: int, **parameters: Any) -> ErrorFormula:
    """Return the chain at an integer n; generator parameters may be sequences with one value per generation."""
    count = int(value_for(generations, n))
    values = per_round("ridge-chain", count, parameters, (T0, lam0, sigma0), (T, lam, sigma), "generation")
    pipe, last = Pipeline(), Source.of(TRUTH)
    for rows, ridge, noise in zip(values["T0"], values["lam0"], values["sigma0"], strict=True):
        last = Source.of(pipe.fit(pipe.sample(T=rows, noise=noise, source=last), ridge=ridge))
    (rows,), (ridge,), (noise,) = values["T"], values["lam"], values["sigma"]
    pipe.fit(pipe.sample(T=rows, noise=noise, source=last), ridge=ridge)
    return excess_risk(pipe, method="operator").doit()


@register(
    "ridge-chain",
    title="A chain of ridge fits: any rows, ridges and noises",
    regime="proportional",
    hypotheses=r"""$n$ generators on $T_0$ fresh rows each with ridge $\lambda_0\ge0$ (minimum norm at $\lambda_0=0$), the first
labelled by the truth and the next by the previous fit, then ridge regression on $T$ fresh rows labelled by the last generator; any
$T_0,T\gtrless d$. $\mathcal G$ and $\mathcal G_0$ are the generation operators of the tested fit and of a generator""",
    build=_chain,
    sources=("dohmatob2024regression",),
    relations=(
        Relation("ridge-clean", "equals", {"n": 0}, "no generation"),
        Relation(
            "ridge-replace-overparametrized",
            "equals",
            {"lam0": 0},
            "minimum-norm generators on fewer rows than features",
        ),
        Relation(
            "ridge-clean",
            "equals",
            {"lam0": 0, "sigma0": 0},
            "least-squares generators without noise",
            where=(Ge(T0, d + 1),),
        ),
        Relation("ridge-clean", "tends to", {"lam0": 0, "T0": oo}, "generators on as many rows as one likes"),
    ),
    unfold=_chain_at,
)
def ridge_chain() -> ErrorFormula:
    r"""Compose the generation operator: :math:`M_0=\mathcal G_0^n\mathcal G[\Sigma]`, the exponent symbolic."""
    stages = ((T0, lam0, sigma0, generations), (T, lam, sigma, S.One))
    return ErrorFormula(
        parts={"bias": ChainBias(*stages), "variance": ChainVariance(*stages)}, regime="proportional", method="operator"
    )
