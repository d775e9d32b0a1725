r"""Fits that share inputs: accumulate with a ridge, keep the real data, relabel or mix labels on one design, strong collapse."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import accumulate
from typing import Any

from sympy import Eq, Expr, Ge, Gt, Le, S, Symbol, factor, oo, sqrt

from collapse_theory.algebra.effective import shared_degrees
from collapse_theory.algebra.integrals import SpectralTrace
from collapse_theory.derive.exact import disagreement, fresh_step, mean_inverse_gram
from collapse_theory.derive.family import Described
from collapse_theory.derive.formula import ErrorFormula, value_for
from collapse_theory.derive.labeller import chain_risk
from collapse_theory.derive.operator import Generation, response, shrinkage
from collapse_theory.derive.regression import excess_risk
from collapse_theory.derive.rounds import RoundRule, round_terms
from collapse_theory.describe import workflows
from collapse_theory.describe.literals import without_literals
from collapse_theory.describe.pipeline import TRUTH, Pipeline, Source, Stage
from collapse_theory.symbols import (
    T0,
    N,
    T,
    d,
    eigenvalue,
    eigenvalue_of,
    error,
    lam,
    lam0,
    n,
    p1,
    p2,
    sigma,
    sigma0,
    w,
)
from collapse_theory.symbols import n as rounds
from collapse_theory.theorems.per_round import per_round
from collapse_theory.theorems.ridge import gathered, ridge_clean
from collapse_theory.theorems.theorem import Relation, register

__all__ = ["mixture"]


def _per_round(
    derive: Callable[[int], Mapping[str, Expr]],
    parameters: tuple[Symbol, ...],
    least: int = 0,
    method: str = "free-probability",
) -> ErrorFormula:
    """Return the formula of a theorem that is derived for each number of rounds."""
    conditions = (Ge(n, least),) if least else ()
    return ErrorFormula(round_terms(RoundRule(derive, parameters, least), n), "proportional", conditions, (), method)


_RECURSION = r""". No closed form in $n$ is known. A recursion over the fits gives
$Q_{kl}=\mathbb E(\hat w_k-w_0)^\top\Sigma(\hat w_l-w_0)$; design $D$ has $T_D$ rows, row $k$ of $C_D$ is fit $k$ minus its
labellers there, and fit $k$ has $N_k$ rows"""


# ---------------------------------------------------------------- accumulate
def _accumulate(n: Any, T: Any, lam: Any, sigma: Any, scaling: Any = "normalised") -> Pipeline:
    return workflows.accumulate(n, Stage(T=T, noise=sigma, ridge=lam), ridge_scaling=scaling)


_STAGE = (T, lam, sigma)


def _accumulate_rounds(count: int) -> Mapping[str, Expr]:
    return excess_risk(_accumulate(count, *_STAGE)).parts


@register(
    "ridge-accumulate",
    title="Accumulate with a ridge on the mean loss",
    regime="proportional",
    hypotheses=r"""$n$ rounds of $T$ fresh rows each; round $k$ labels its rows by the fit of round $k-1$ (the truth
for $k=1$) and fits ridge regression with ridge $\lambda$ on the mean loss over all $kT$ rows"""
    + _RECURSION,
    build=_accumulate,
    sources=("gerstgrasser2024inevitable", "subramonian2025autofpt"),
    relations=(
        Relation("ridge-clean", "equals", {"n": 1}, "one round"),
        Relation("ridge-accumulate-constant", "equals", {"lam": 0}, "minimum norm: no penalty to scale"),
    ),
)
def ridge_accumulate() -> ErrorFormula:
    """Solve the fixed point of the pencil of the asked number of rounds."""
    return _per_round(_accumulate_rounds, _STAGE, least=1)


_accumulate_constant = partial(_accumulate, scaling="constant")


def _telescoped(count: int) -> Mapping[str, Expr]:
    return _unequal_rounds([T] * count, [sigma] * count, lam)


def _unequal_rounds(rows: Sequence[Expr], noises: Sequence[Expr], ridge: Expr) -> Mapping[str, Expr]:
    r"""Sum the increments :math:`(H_i+\Lambda)(\hat w_i-\hat w_{i-1})=X_i^\top\varepsilon_i`, whose rows are exchangeable.

    The new rows have the share :math:`T_i/N_i` of the variance of a clean fit on all :math:`N_i` rows with the penalty
    :math:`\Lambda=T_1\lambda`, and the first increment alone has a bias.
    """
    first = Generation(rows[0], ridge, noises[0])
    bias = gathered(chain_risk([first])[0], first)
    variance = S.Zero
    for T_i, N_i, noise in zip(rows, accumulate(rows), noises, strict=True):
        variance += T_i / N_i * chain_risk([Generation(N_i, rows[0] * ridge / N_i, noise)])[1]
    return {"bias": bias, "variance": variance}


def _constant_at(n: int, **parameters: Any) -> ErrorFormula:
    """Return the formula with the rows and noise of each round; the penalty is that of the first round's ridge."""
    values = per_round("ridge-accumulate-constant", int(value_for(rounds, n)), parameters, (T, sigma), (lam,), "round")
    (ridge,) = values["lam"]
    pipe, last = Pipeline(), Source.of(TRUTH)
    for T_i, N_i, noise in zip(values["T"], accumulate(values["T"]), values["sigma"], strict=True):
        pipe.sample(T=T_i, noise=noise, source=last)
        last = Source.of(pipe.fit(pipe.samples, ridge=ridge * values["T"][0] / N_i))
    copy, _, numbers = without_literals(pipe, pipe.fits[-1])
    parts = _unequal_rounds([s.T for s in copy.samples], [s.noise for s in copy.samples], copy.fits[0].ridge)
    return ErrorFormula(
        parts, "proportional", method="operator", numbers=numbers, pipeline=Described(pipe), model=pipe.fits[-1]
    )


@register(
    "ridge-accumulate-constant",
    title="Accumulate with a constant penalty: telescoping equations",
    regime="proportional",
    hypotheses=r"""The setting of \texttt{ridge-accumulate} with ridge $\lambda/k$ on the mean loss of round $k$, so
that the unnormalised penalty is $T\lambda$ in every round: the bias stays that of the first fit. The
variance is a sum over the rounds, without a closed form in $n$""",
    build=_accumulate_constant,
    sources=("gerstgrasser2024inevitable",),
    relations=(Relation("ridge-clean", "equals", {"n": 1}, "one round"),),
    unfold=_constant_at,
)
def ridge_accumulate_constant() -> ErrorFormula:
    r"""Telescope as without a ridge: :math:`E_n=B(T,\Lambda/T)+\sum_{i\le n}\frac1iV(iT,\Lambda/(iT))`."""
    return _per_round(_telescoped, _STAGE, least=1, method="operator")


# ---------------------------------------------------------------- keep the real data
def _keep_real(n: Any, T: Any, T0: Any, lam: Any, sigma: Any, sigma0: Any) -> Pipeline:
    return workflows.keep_real(n, Stage(T=T, noise=sigma, ridge=lam), Stage(T=T0, noise=sigma0, ridge=lam))


_KEEP = (T, T0, lam, sigma, sigma0)


def _keep_real_rounds(count: int) -> Mapping[str, Expr]:
    return excess_risk(_keep_real(count, *_KEEP)).parts


@register(
    "ridge-keep-real",
    title="Keep the real data, and pool fresh synthetic rows with it",
    regime="proportional",
    hypotheses=r"""A clean ridge fit on $T$ real rows, then $n$ rounds that pool the same real rows with $T_0$ fresh
rows labelled by the previous fit; noise $\sigma$ on real and $\sigma_0$ on synthetic labels, one
ridge"""
    + _RECURSION,
    build=_keep_real,
    sources=("gerstgrasser2024inevitable", "subramonian2025autofpt"),
    relations=(
        Relation("ridge-clean", "equals", {"n": 0}, "no round"),
        Relation("ridge-clean", "tends to", {"T0": 0}, "no synthetic rows"),
        Relation("ridge-clean", "tends to", {"lam": 0, "T0": oo}, "so many rows that a fit copies the one before"),
        Relation(
            "regular-keep-real",
            "tends to",
            {"lam": 0, "sigma0": sigma, "T0": T, "T": oo},
            "many rows per direction, in units of one clean fit",
            of=error * T / (sigma**2 * d),
        ),
    ),
)
def ridge_keep_real() -> ErrorFormula:
    """Solve the fixed point of the pencil of the asked number of rounds."""
    return _per_round(_keep_real_rounds, _KEEP)


# ---------------------------------------------------------------- one design
def _same_design(n: Any, T: Any, lam: Any, lam0: Any, sigma: Any, sigma0: Any) -> Pipeline:
    pipe, last, first = Pipeline(), Source.of(TRUTH), None
    stages = [(sigma0, lam0)] * int(n) + [(sigma, lam)]
    for noise, ridge in stages:
        where = {"T": T} if first is None else {"design": first}
        sample = pipe.sample(noise=noise, source=last, **where)
        first = first or sample
        last = Source.of(pipe.fit(sample, ridge=ridge))
    return pipe


_SAME = (T, lam, lam0, sigma, sigma0)


def _same_design_rounds(count: int) -> Mapping[str, Expr]:
    return excess_risk(_same_design(count, *_SAME)).parts


@register(
    "ridge-same-design",
    title="Replace on the same inputs: one design, relabelled",
    regime="proportional",
    hypotheses=r"""$T$ inputs drawn once. $n$ generators with ridge $\lambda_0$, the first on labels of the truth and
the next on the previous fit's labels of the same inputs, then ridge regression on the last
generator's labels of them"""
    + _RECURSION,
    build=_same_design,
    sources=("dohmatob2024regression", "subramonian2025autofpt"),
    relations=(
        Relation("ridge-clean", "equals", {"n": 0}, "no generation"),
        Relation(
            "ridge-clean",
            "equals",
            {"lam0": 0},
            "minimum-norm generators: one fit of all noises",
            there={"sigma": sqrt(sigma**2 + n * sigma0**2)},
        ),
    ),
)
def ridge_same_design() -> ErrorFormula:
    """Solve the fixed point of the pencil of the asked number of generations."""
    return _per_round(_same_design_rounds, _SAME)


def _label_mix(n: Any, T: Any, lam: Any, sigma: Any, w: Any) -> Pipeline:
    return workflows.label_mix(n, Stage(T=T, noise=sigma, ridge=lam), weight=w)


_MIX = (T, lam, sigma, w)


def _label_mix_rounds(count: int) -> Mapping[str, Expr]:
    return excess_risk(_label_mix(count, *_MIX)).parts


@register(
    "ridge-label-mix",
    title="Mixing fresh real labels into synthetic ones on one design",
    regime="proportional",
    hypotheses=r"""$T$ inputs drawn once; a clean ridge fit, then $n$ fits on labels that are $w$ times fresh real
labels plus $1-w$ times fresh labels of the previous fit (\texttt{ridge-label-mix-limit} is the limit $n\to\infty$)"""
    + _RECURSION,
    build=_label_mix,
    sources=("garg2025overparametrization",),
    relations=(
        Relation("ridge-clean", "equals", {"n": 0}, "no round"),
        Relation("ridge-clean", "equals", {"w": 1}, "real labels only"),
        Relation("ridge-same-design", "equals", {"w": 0, "lam0": lam, "sigma0": sigma}, "synthetic labels only"),
        Relation("ridge-label-mix-limit", "tends to", {"n": oo}, "for ever"),
    ),
)
def ridge_label_mix() -> ErrorFormula:
    """Solve the fixed point of the pencil of the asked number of rounds."""
    return _per_round(_label_mix_rounds, _MIX)


_SETTLED = 12
"""Rounds that stand for the limit: the distance to it falls like ``(1-w)**(2 n)``."""


@register(
    "ridge-label-mix-limit",
    title="Mixing fresh real labels into synthetic ones on one design for ever",
    regime="proportional",
    hypotheses=r"The setting of \texttt{ridge-label-mix} after infinitely many rounds",
    build=partial(_label_mix, n=_SETTLED),
    sources=("garg2025overparametrization",),
    relations=(
        Relation("ridge-clean", "equals", {"w": 1}, "real labels only"),
        Relation("minnorm-label-mix", "equals", {"lam": 0}, "minimum norm"),
    ),
)
def ridge_label_mix_limit() -> ErrorFormula:
    r"""Derive the stationary error.

    On one design all fits are functions of :math:`S=X^\top X/T` and commute. Mean and covariance settle at
    :math:`S(S+\lambda/w)^{-1}w_0` and, with :math:`v=\sigma^2(w^2+(1-w)^2)`, at
    :math:`\frac vT\,S[(S+\lambda)^2-(1-w)^2S^2]^{-1}=\frac vT\,S(wS+\lambda)^{-1}((2-w)S+\lambda)^{-1}`: the clean
    bias at :math:`z_1=\lambda/w`, and a product of two resolvents at :math:`z_1` and
    :math:`z_2=\lambda/(2-w)`, whose equivalent is that of their difference over :math:`z_1-z_2`.
    """
    z1, z2 = lam / w, lam / (2 - w)
    first = Generation(T, z1, sigma)
    bias = gathered(chain_risk([first])[0], first)
    both, residual = shared_degrees(T, z1, z2)
    gain = sigma**2 * (w**2 + (1 - w) ** 2) / (w * (2 - w))
    return ErrorFormula(
        {"bias": bias, "variance": gain * both / residual}, "proportional", (Gt(w, 0), Le(w, 1)), (), "operator"
    )


@register(
    "minnorm-label-mix",
    title="Mixing labels for ever, minimum norm: the golden ratio",
    regime="proportional",
    hypotheses=r"The setting of \texttt{ridge-label-mix-limit} without a ridge (minimum norm where $T<d$)",
    build=partial(_label_mix, n=_SETTLED, lam=0),
    sources=("garg2025overparametrization", "he2025golden"),
    relations=(
        Relation("ridge-clean", "equals", {"w": 1, "lam": 0}, "real labels only"),
        Relation(
            "regular-fresh-real-limit",
            "equals",
            note="in units of one clean fit, a regular model on equal rows",
            there={"T0": T},
            of=error * (T - d) / (sigma**2 * d),
            where=(Gt(T, d),),
        ),
    ),
)
def minnorm_label_mix() -> ErrorFormula:
    r"""Take :math:`\lambda\to0`: the effective ridges coincide, and mixing enters as a factor, least at the golden ratio."""
    return ridge_label_mix_limit().mapped(lambda e: e.xreplace({lam: S.Zero}))


# ---------------------------------------------------------------- strong collapse
_GENERATED = n * sigma0**2 * mean_inverse_gram(T0)[0]
"""Eigenvalues of the covariance of the last of n least-squares generators."""


def mixture(N: Any, p1: Any, p2: Any, lam: Any, sigma: Any, m: Any = None) -> Pipeline:
    """Return the real part and a synthetic part labelled by the truth: the mixture without its offset, on m features if any."""
    pipe = Pipeline()
    pipe.fit([pipe.sample(T=p1 * N, noise=sigma), pipe.sample(T=p2 * N, noise=sigma)], ridge=lam, features=m)
    return pipe


@register(
    "strong-collapse",
    title="Strong collapse: any share of synthetic data leaves a floor",
    regime="proportional",
    hypotheses=r"""Ridge regression on $N$ rows, a share $p_1$ labelled by the truth and a share $p_2=1-p_1$ by $w_0$
plus a zero-mean offset of covariance $\Delta$ that is independent of $w_0$ and diagonal in the
eigenbasis of $\Sigma$. (A generator with a ridge has an offset that depends on $w_0$: describe it
as a pipeline and use \texttt{test\_error}.)""",
    build=mixture,
    sources=("dohmatob2024strong",),
    relations=(
        Relation("ridge-clean", "equals", {"p1": 1, "p2": 0, "T": N}, "real rows only"),
        Relation(
            "ridge-replace",
            "equals",
            {"p1": 0, "p2": 1, "T": N, "Delta": _GENERATED},
            "synthetic rows only, their offset the error of n least-squares generators",
            where=(Ge(n, 1), Gt(sigma0, 0)),
        ),
    ),
)
def strong_collapse() -> ErrorFormula:
    r"""Derive :math:`\zeta` by the mean-labeller theorem.

    The rows are those of the mean labeller :math:`w_0+p_2\delta` with extra noise
    :math:`p_1\|p_2\delta\|_\Sigma^2+p_2\|p_1\delta\|_\Sigma^2`, so :math:`\zeta` is
    :math:`p_2^2\operatorname{tr}\Delta\,\mathcal G[\Sigma]` plus that noise times the response.
    """
    clean = ridge_clean().mapped(lambda e: e.xreplace({T: N}))
    return ErrorFormula(
        {**clean.parts, "synthetic_variance": offset_variance()}, "proportional", (Eq(p1 + p2, 1),), (), "operator"
    )


def offset_variance() -> Expr:
    """Return what a share of rows whose labeller has a random offset adds to the error of a ridge regression."""
    stage, offset = Generation(N, lam, sigma), eigenvalue_of("Delta")
    r = shrinkage(stage.kappa)
    answer = response(eigenvalue, stage)
    image = (eigenvalue * r**2, stage.kappa**2 * answer, r**2 / eigenvalue)  # G[Sigma]: product, and rank-one term
    transported = SpectralTrace(offset * image[0]) + image[1] * SpectralTrace(offset * image[2])
    disagreement = factor(p1 * p2**2 + p2 * p1**2) * SpectralTrace(offset * eigenvalue)
    return p2**2 * transported + disagreement * answer


@register(
    "ols-strong-collapse",
    title="Real and synthetic rows in one least-squares fit",
    regime="exact",
    hypotheses=r"""Gaussian inputs; least squares on $N$ independent rows, a share $p_1$ labelled by the truth and a share
$p_2=1-p_1$ by $w_0$ plus a zero-mean offset of covariance $\Delta$""",
    build=partial(mixture, lam=0),
    sources=("dohmatob2024strong",),
    relations=(
        Relation("strong-collapse", "same limit", {"lam": 0}, "exact here, proportional there"),
        Relation("ols-replace", "equals", {"p1": 1, "p2": 0, "n": 0, "T": N}, "real rows only"),
        Relation(
            "ols-replace",
            "equals",
            {"p1": 0, "p2": 1, "T": N, "Delta": _GENERATED},
            "synthetic rows only, their offset the error of n least-squares generators",
            where=(Ge(n, 1), Gt(sigma0, 0)),
        ),
    ),
)
def ols_pooled() -> ErrorFormula:
    r"""Derive :math:`E=\|\bar w-w_0\|_\Sigma^2+\tau\sum_ip_i\|w_i-\bar w\|_\Sigma^2+\frac{d\sum_ip_i\sigma_i^2}{N-d-1}`.

    It holds for any labellers that are independent of the inputs; here :math:`\bar w=w_0+p_2\delta` and the deviations are
    :math:`-p_2\delta` on the real and :math:`p_1\delta` on the synthetic rows.
    """
    energy = SpectralTrace(eigenvalue_of("Delta") * eigenvalue)
    deviations = factor(p1 * p2**2 + p2 * p1**2)
    return ErrorFormula(
        {
            "bias": S.Zero,
            "variance": sigma**2 * fresh_step(N, N),
            "synthetic_bias": p2**2 * energy,
            "synthetic_variance": disagreement(N) * deviations * energy,
        },
        "exact",
        (mean_inverse_gram(N)[1], Eq(p1 + p2, 1)),
    )
