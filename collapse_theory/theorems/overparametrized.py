r"""Replace with over-parametrized generators, minimum-norm fits of :math:`T_0<d` rows: the signal dies, geometrically.

Each theorem has the clean error of the tested fit, what generators that lose signal add to its bias, and what the label noise of
the generators adds to its variance.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from sympy import Dummy, Expr, Ge, Lt, S, factor, factor_terms, oo, solve, sqrt
from sympy.logic.boolalg import Boolean

from collapse_theory.algebra.effective import EffectiveRidge
from collapse_theory.algebra.integrals import QuadraticForm, SpectralTrace
from collapse_theory.algebra.special import GeometricSum
from collapse_theory.derive.exact import affine_closed_form, mean_inverse_gram
from collapse_theory.derive.formula import ErrorFormula
from collapse_theory.derive.labeller import chain_risk
from collapse_theory.derive.labeller_scalars import ChainBias, ChainVariance
from collapse_theory.derive.operator import Generation, response, shrinkage
from collapse_theory.describe import workflows
from collapse_theory.describe.pipeline import TRUTH, Pipeline, Source, Stage
from collapse_theory.symbols import T0, T, d, eigenvalue, lam, n, rho2, sigma, sigma0
from collapse_theory.theorems.ridge import ridge_clean
from collapse_theory.theorems.theorem import Relation, register

__all__: list[str] = []

_FEW: Boolean = Lt(T0, d)
_REMEDY = {_FEW: "use ridge-replace for T0 >= d + 2; ridge-chain with lam0 = 0 covers every T0"}


def _replace(n: Any, T: Any, T0: Any, lam: Any, sigma: Any, sigma0: Any) -> Pipeline:
    return workflows.replace(n, Stage(T=T0, noise=sigma0), Stage(T=T, noise=sigma, ridge=lam))


@register(
    "ridge-replace-overparametrized",
    title="Replace: n over-parametrized generators, ridge regression downstream",
    regime="proportional",
    hypotheses=r"""$n$ minimum-norm generators on $T_0<d$ fresh rows each, the first labelled by the truth and the next by the
previous fit, then ridge regression on $T$ fresh rows labelled by the last generator. $\mathcal G$ and $\mathcal G_0$ are the
generation operators of the tested fit and of a generator, $\mathcal G_0$ with the proportional constant $T_0-\mathrm{df}_2$; for
$\Sigma=sI$ it is multiplication by $T_0/d$""",
    build=_replace,
    sources=("dohmatob2024regression",),
    relations=(
        Relation("ridge-clean", "equals", {"n": 0}, "no generation"),
        Relation("ridge-replace-overparametrized-limit", "tends to", {"n": oo}, "for ever"),
    ),
)
def ridge_replace_overparametrized() -> ErrorFormula:
    r"""Compose the generation operator, beside the clean error: :math:`n` stays an exponent.

    Labels of less signal take from the bias what the tested fit would have made of it, so the bias that is added has either sign.
    """
    generators, tested = (T0, S.Zero, sigma0, n), (T, lam, S.Zero, S.One)
    clean = ridge_clean()
    return ErrorFormula(
        parts={
            "bias": clean.parts["bias"],
            "synthetic_bias": ChainBias(generators, tested) - ChainBias(tested),
            "variance": clean.parts["variance"],
            "synthetic_variance": ChainVariance(generators, tested),
        },
        regime="proportional",
        conditions=(_FEW,),
        method="operator",
        remedies=_REMEDY,
    )


_SETTLED = 12


def stationary_noise() -> Expr:
    r"""Return :math:`\Sigma\operatorname{Cov}\hat w` of the last of infinitely many generators.

    A generator makes :math:`H\mapsto r^2(H+x)` of it, :math:`x=(\operatorname{tr}c^2H+\sigma_0^2)/(T_0-\mathrm{df}_2)`. The fixed
    point is :math:`x\,r^2/(1-r^2)`; without a ridge :math:`T_0=\mathrm{df}_1`, and the equation of :math:`x` is
    :math:`x\operatorname{tr}\big[r-r^2-c^2r^2/(1-r^2)\big]=\sigma_0^2`.
    """
    kept, shape, x = Dummy(positive=True), Dummy(), Dummy()
    fixed = solve(kept**2 * (shape + x) - shape, shape)[0]
    r = shrinkage(EffectiveRidge(T0, S.Zero))
    left = factor((kept - kept**2 - (1 - kept) ** 2 * fixed / x).together())
    per_row = sigma0**2 / SpectralTrace(factor(left.xreplace({kept: r})))
    return factor((fixed / x).xreplace({kept: r})) * per_row


@register(
    "ridge-replace-overparametrized-limit",
    title="Replace with over-parametrized generators for ever",
    regime="proportional",
    hypotheses=r"""The setting of \texttt{ridge-replace-overparametrized} after infinitely many generators: nothing is left of the
truth, and the noise of the labels is stationary""",
    build=partial(_replace, n=_SETTLED),
    simulates=False,
    sources=("dohmatob2024regression",),
)
def ridge_replace_overparametrized_limit() -> ErrorFormula:
    r"""Take :math:`n\to\infty`: the tested fit learns a labeller of mean zero and the stationary covariance."""
    clean, stage, covariance = ridge_clean(), Generation(T, lam, sigma), stationary_noise() / eigenvalue
    r = shrinkage(stage.kappa)
    spread = stage.kappa**2 * response(eigenvalue, stage)
    return ErrorFormula(
        parts={
            "bias": clean.parts["bias"],
            "synthetic_bias": QuadraticForm(eigenvalue) - clean.parts["bias"],
            "variance": clean.parts["variance"],
            "synthetic_variance": factor_terms(
                SpectralTrace(covariance * eigenvalue * r**2) + spread * SpectralTrace(covariance * r**2 / eigenvalue)
            ),
        },
        regime="proportional",
        conditions=(_FEW,),
        method="operator",
        remedies=_REMEDY,
    )


# ---------------------------------------------------------------- isotropic inputs, exact
def _minnorm(n: Any, T0: Any, sigma0: Any, rho2: Any) -> Pipeline:
    del rho2  # the energy of the target is no part of the pipeline
    stage = Stage(T=T0, noise=sigma0)
    return workflows.replace(n, stage, stage)


@register(
    "minnorm-replace-isotropic",
    title="Replace on isotropic inputs, minimum norm: exact at finite size",
    regime="exact",
    hypotheses=r"""Gaussian inputs with $\Sigma=sI$ and $\rho^2=w_0^\top\Sigma w_0$; $n+1$ minimum-norm fits on $T_0<d$ fresh rows
each, the first labelled by the truth and the next by the previous fit. The constant of the noise is $T_0/(d-T_0-1)$, where
the proportional theory of \texttt{ridge-replace-overparametrized} has $T_0/(d-T_0)$""",
    build=_minnorm,
    sources=("dohmatob2024regression",),
    relations=(
        Relation(
            "ridge-replace-overparametrized",
            "same limit",
            {"T": T0, "lam": 0, "sigma": sigma0, "rho2": QuadraticForm(eigenvalue)},
            "the tested fit is one more generator: exact here, proportional there",
        ),
    ),
)
def minnorm_replace_isotropic() -> ErrorFormula:
    r"""Derive the first two moments of the last fit.

    A fit projects on the span of its rows, :math:`P=X^\top(XX^\top)^{-1}X`, a uniformly random subspace: for any :math:`w` that it
    is independent of, :math:`\mathbb EPw=\eta w` and :math:`\mathbb E\|Pw\|^2=\eta\|w\|^2` with :math:`\eta=T_0/d`. The mean
    :math:`m` and the second moment :math:`q` of the fits, in units of the signal, follow, and the error is :math:`1-2m+q`.
    """
    eta = T0 / d
    noise, condition = row_noise()
    own = sigma0**2 * noise
    unexplained, variances, mean, second, variance = [], [], S.One, S.One, S.Zero
    for _ in range(3):
        mean, second, variance = eta * mean, eta * second, own + eta * variance
        unexplained.append(rho2 * (1 - 2 * mean + second))
        variances.append(variance)
    return ErrorFormula(
        parts={
            "bias": unexplained[0],
            "synthetic_bias": _grown(unexplained),
            "variance": variances[0],
            "synthetic_variance": _grown(variances),
        },
        regime="exact",
        conditions=(condition,),
        remedies={condition: "use ols-replace for T0 >= d + 2"},
        isotropic=True,
    )


def _grown(values: list[Expr]) -> Expr:
    """Return what n more fits add to the first of the values of an affine recursion, its ratio a sum and not a quotient."""
    added = affine_closed_form(values[0], values[1], values[2], n) - values[0]
    return added.replace(GeometricSum, lambda x, count: GeometricSum(x.expand(), count))


def row_noise() -> tuple[Expr, Boolean]:
    r"""Return :math:`s\,\mathbb E\operatorname{tr}(XX^\top)^{-1}` for :math:`T_0<d` rows of :math:`N(0,sI)`, and its condition.

    The columns of :math:`X` are :math:`d` independent rows of :math:`T_0` features: an inverse Gram matrix, their parts exchanged.
    """
    rows = Dummy(integer=True, positive=True)
    inverse, condition = mean_inverse_gram(rows)
    exchanged = {rows: d, d: T0}
    return T0 * (eigenvalue * inverse).subs(exchanged, simultaneous=True), condition.subs(exchanged, simultaneous=True)


# ---------------------------------------------------------------- generators that share their design
def _same_design(n: Any, T: Any, T0: Any, lam: Any, sigma: Any, sigma0: Any) -> Pipeline:
    pipe, last, first = Pipeline(), Source.of(TRUTH), None
    for _ in range(int(n)):
        where = {"T": T0} if first is None else {"design": first}
        sample = pipe.sample(noise=sigma0, source=last, **where)
        first = first or sample
        last = Source.of(pipe.fit(sample))
    pipe.fit(pipe.sample(T=T, noise=sigma, source=last), ridge=lam)
    return pipe


@register(
    "ridge-replace-same-design",
    title="Replace: n over-parametrized generators on one design, ridge regression downstream",
    regime="proportional",
    hypotheses=r"""$T_0<d$ inputs drawn once and relabelled $n\ge1$ times: the first minimum-norm generator is labelled by the
truth, the next by the previous fit; then ridge regression on $T$ fresh rows labelled by the last generator. The bias is paid
once""",
    build=_same_design,
    sources=("dohmatob2024regression",),
    relations=(
        Relation("ridge-replace-overparametrized", "equals", {"n": 1}, "one generator has a design of its own"),
        Relation(
            "ridge-replace-overparametrized",
            "bounded by",
            {"sigma0": 0},
            "without noise: the signal dies on fresh inputs",
            strict=Ge(n, 2),
            isotropic=True,
        ),
        Relation(
            "ridge-replace-overparametrized",
            "equals",
            {"sigma0": 0},
            "without noise: the bias is paid once",
            there={"n": 1},
        ),
    ),
)
def ridge_replace_same_design() -> ErrorFormula:
    r"""Derive one generator of noise variance :math:`n\sigma_0^2`.

    With :math:`P=X^+X` and :math:`PX^+=X^+` the projection acts once:
    :math:`\hat w_n=P\hat w_{n-1}+X^+\varepsilon_n=Pw_0+X^+(\varepsilon_1+\dots+\varepsilon_n)`.
    """
    clean, tested = ridge_clean(), Generation(T, lam, S.Zero)
    bias, variance = chain_risk([Generation(T0, S.Zero, sqrt(n) * sigma0), tested])
    return ErrorFormula(
        parts={
            "bias": clean.parts["bias"],
            "synthetic_bias": bias - clean.parts["bias"],
            "variance": clean.parts["variance"],
            "synthetic_variance": factor_terms(variance),
        },
        regime="proportional",
        conditions=(_FEW, Ge(n, 1)),
        method="operator",
        remedies=_REMEDY,
    )
