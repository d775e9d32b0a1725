r"""Ridge regression on random features: the number m of features is the size of the model.

Features :math:`S^\top x` with a Gaussian :math:`d\times m` matrix S, entries i.i.d. of variance :math:`1/m`, so that
:math:`SS^\top\to I` as m grows and the fit tends to ridge regression on the inputs with the same ridge.
"""

from __future__ import annotations

from typing import Any

from sympy import Add, Eq, Expr, Ge, factor, oo

from collapse_theory.algebra.effective import EffectiveRidge
from collapse_theory.algebra.feature_scalars import FeatureResidual, FeatureRidge, misfit, response
from collapse_theory.algebra.integrals import QuadraticForm, SpectralTrace
from collapse_theory.derive.formula import ErrorFormula
from collapse_theory.derive.operator import shrinkage
from collapse_theory.describe.pipeline import Pipeline
from collapse_theory.symbols import N, T, eigenvalue, eigenvalue_of, lam, m, p1, p2, sigma
from collapse_theory.theorems.shared_inputs import mixture
from collapse_theory.theorems.theorem import Relation, register

__all__: list[str] = []


def _mixture(N: Any, p1: Any, p2: Any, lam: Any, sigma: Any, m: Any) -> Pipeline:
    return mixture(N, p1, p2, lam, sigma, m)


def _clean(T: Any, m: Any, lam: Any, sigma: Any) -> Pipeline:
    pipe = Pipeline()
    pipe.fit(pipe.sample(T=T, noise=sigma), ridge=lam, features=m)
    return pipe


_SETTING = r"""Ridge regression on the $m$ features $S^\top x$, $S\in\mathbb{R}^{d\times m}$ with independent
$N(0,1/m)$ entries: $\hat w=S(S^\top X^\top XS/T+\lambda)^{-1}S^\top X^\top y/T$"""


@register(
    "random-features-ridge",
    title="Ridge regression on random features: the size of the model as a parameter",
    regime="proportional",
    hypotheses=_SETTING + r", on $T$ fresh rows labelled by the truth; $d,T,m\to\infty$ together",
    build=_clean,
    sources=("adlam2020triple", "dohmatob2024strong"),
    relations=(Relation("ridge-clean", "tends to", {"m": oo}, "as many features as one likes"),),
)
def random_features_ridge() -> ErrorFormula:
    r"""Derive the clean theorem in the space of the features, then take the features for rows.

    Given S, the labels are linear in the features plus a misfit that is independent of them. So with infinitely many
    rows at the effective ridge :math:`\kappa_1` the error would be :math:`w_0^\top g(\Sigma)w_0`, and on T rows it is
    :math:`T/(T-\mathrm{df}_2)` times that, plus the variance :math:`\sigma^2\mathrm{df}_2/(T-\mathrm{df}_2)`, with the
    features' :math:`\mathrm{df}_2`. Both are derivatives of :math:`\kappa_1(M+\kappa_1)^{-1}\simeq\kappa(\Sigma+\kappa)^{-1}`,
    :math:`M=\Sigma^{1/2}SS^\top\Sigma^{1/2}`: the resolvent of a sample covariance with m rows.
    """
    own = FeatureRidge(T, m, lam)
    bias = Add(*map(QuadraticForm, misfit(m, own))) * T / FeatureResidual(T, m, lam)
    return ErrorFormula(
        parts={"bias": bias, "variance": sigma**2 * _gain(T)},
        regime="proportional",
        conditions=(Ge(m, 1),),
        method="operator",
    )


def _gain(rows: Expr) -> Expr:
    """Return the variance per unit of label noise."""
    return response(m, FeatureRidge(rows, m, lam)) / FeatureResidual(rows, m, lam)


@register(
    "random-features-strong-collapse",
    title="Strong collapse on random features: does a larger model make it worse?",
    regime="proportional",
    hypotheses=_SETTING.replace("/T", "/N")
    + r""", on $N$ rows, a share $p_1$ labelled by the truth and a share $p_2=1-p_1$ by $w_0$ plus a zero-mean
offset of covariance $\Delta$ that is independent of $w_0$ and diagonal in the eigenbasis of $\Sigma$; $d,N,m\to\infty$ together""",
    build=_mixture,
    sources=("dohmatob2024strong",),
    relations=(
        Relation("strong-collapse", "tends to", {"m": oo}, "as many features as one likes"),
        Relation("random-features-ridge", "equals", {"p1": 1, "p2": 0, "T": N}, "real rows only"),
    ),
)
def random_features_strong_collapse() -> ErrorFormula:
    r"""Derive :math:`\zeta` by the mean-labeller theorem: the inputs and the features are independent of the labellers.

    The rows are those of the mean labeller :math:`w_0+p_2\delta` with extra noise :math:`p_1p_2\|\delta\|_\Sigma^2`. The
    mean offset is transported by :math:`\mathbb E[A^\top\Sigma A]`, :math:`A=\hat w/w_0`, which is the bias less
    :math:`\Sigma-2\Sigma\,\mathbb EA`.

    Does a larger model make collapse worse? With a small ridge :math:`\zeta` grows with m up to the interpolation
    threshold :math:`m=N`, where it peaks, and falls beyond it to that of ``strong-collapse``, still far above that of a
    small model. With :math:`d=60`, :math:`s_j=j^{-1.1}`, :math:`\Delta_j` from 0.3 to 0.6, :math:`N=50`, :math:`p_2=0.6`,
    :math:`\lambda=10^{-4}` it is 0.82, 2.18, 1.98 and 1.92 at m = 25, 50, 100 and infinity. A ridge removes the peak:
    at :math:`\lambda=0.1` all four lie between 0.22 and 0.225.
    """
    own, offset = FeatureRidge(N, m, lam), eigenvalue_of("Delta")
    clean, gain = random_features_ridge().mapped(lambda e: e.xreplace({T: N})), _gain(N)
    whole, rest = misfit(m, own)
    mean = shrinkage(EffectiveRidge(m, own))
    kept = factor(whole - eigenvalue + 2 * eigenvalue * mean)
    transported = SpectralTrace(offset * kept) + SpectralTrace(offset * rest)
    transported += gain * (SpectralTrace(offset * whole) + SpectralTrace(offset * rest))
    zeta = p2**2 * transported + p1 * p2 * gain * SpectralTrace(offset * eigenvalue)
    return ErrorFormula(
        {**clean.parts, "synthetic_variance": zeta},
        "proportional",
        (Eq(p1 + p2, 1), *clean.conditions),
        (),
        "operator",
    )
