r"""Minimum-norm fits on isotropic inputs, exact at finite size: what a random projection leaves of an error.

A minimum-norm fit on :math:`T<d` rows labelled by :math:`w` is :math:`Pw+X^+\varepsilon`, with :math:`P` the projection on the
span of its rows. For isotropic Gaussian inputs that span is uniformly random, :math:`\mathbb EP=\eta` with :math:`\eta=T/d`, so
for every :math:`w` that it is independent of

.. math:: \mathbb E\|w_0-Pw\|^2=(1-\eta)\|w_0\|^2+\eta\,\|w_0-w\|^2 :

a share of the truth is lost, a share of the labeller's error is inherited. All theorems here follow from this and from
:math:`\mathbb E\operatorname{tr}(XX^\top)^{-1}`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from sympy import Expr, Ge, Le, S, Symbol, factor, oo, sqrt
from sympy.logic.boolalg import Boolean

from collapse_theory.algebra.integrals import QuadraticForm
from collapse_theory.derive.exact import telescoped_risk
from collapse_theory.derive.formula import ErrorFormula
from collapse_theory.describe import workflows
from collapse_theory.describe.pipeline import TRUTH, Pipeline, Source, Stage
from collapse_theory.describe.recognise import increments
from collapse_theory.symbols import T0, T, d, eigenvalue, n, rho2, sigma, sigma0, w
from collapse_theory.theorems.affine import for_ever, in_rounds
from collapse_theory.theorems.overparametrized import row_noise
from collapse_theory.theorems.theorem import Relation, register

__all__: list[str] = []


def projected(error: Expr, rows: Expr, truth: Expr = rho2) -> Expr:
    """Return the error of a minimum-norm fit without noise whose labeller is off by ``error``."""
    return (1 - rows / d) * truth + rows / d * error


def _noise(rows: Expr) -> tuple[Expr, Boolean]:
    """Return what a unit of noise variance adds to the error of a minimum-norm fit, and the condition."""
    value, condition = row_noise()
    return value.xreplace({T0: rows}), condition.xreplace({T0: rows})


# ---------------------------------------------------------------- one design
def _same_design(n: Any, T0: Any, sigma0: Any, rho2: Any) -> Pipeline:
    del rho2  # the energy of the target is no part of the pipeline
    pipe = Pipeline()
    first = pipe.sample(T=T0, noise=sigma0)
    last = pipe.fit(first)
    for _ in range(int(n)):
        last = pipe.fit(pipe.sample(design=first, noise=sigma0, source=last))
    return pipe


@register(
    "minnorm-same-design",
    title="Replace on one isotropic design, minimum norm: the bias is paid once",
    regime="exact",
    hypotheses=r"""Gaussian inputs with $\Sigma=sI$ and $\rho^2=w_0^\top\Sigma w_0$; $T_0<d$ inputs drawn once and labelled
$n+1$ times, first by the truth and then by the previous of $n+1$ minimum-norm fits. Exact, with the constant $T_0/(d-T_0-1)$. On
fresh inputs the signal dies: \texttt{minnorm-replace-isotropic}""",
    build=_same_design,
    sources=("dohmatob2024regression",),
    relations=(
        Relation("minnorm-replace-isotropic", "equals", {"n": 0}, "one fit"),
        Relation(
            "minnorm-replace-isotropic",
            "bounded by",
            {"sigma0": 0},
            "without noise: the signal dies on fresh inputs",
            strict=Ge(n, 1),
        ),
    ),
)
def minnorm_same_design() -> ErrorFormula:
    r"""Derive one fit of noise variance :math:`(n+1)\sigma_0^2`.

    With :math:`P=X^+X` and :math:`PX^+=X^+` the projection acts once:
    :math:`\hat w_n=P\hat w_{n-1}+X^+\varepsilon_n=Pw_0+X^+(\varepsilon_0+\dots+\varepsilon_n)`.
    """
    own, condition = _noise(T0)
    return ErrorFormula(
        parts={
            "bias": projected(S.Zero, T0),
            "variance": sigma0**2 * own,
            "synthetic_variance": n * sigma0**2 * own,
        },
        regime="exact",
        conditions=(condition,),
        remedies={condition: "for T0 >= d + 2 nothing is lost, and each fit adds a clean one's error: use ols-replace"},
        isotropic=True,
    )


# ---------------------------------------------------------------- least-squares generators
def _replace(n: Any, T: Any, T0: Any, sigma: Any, sigma0: Any, rho2: Any) -> Pipeline:
    del rho2
    return workflows.replace(n, Stage(T=T0, noise=sigma0), Stage(T=T, noise=sigma))


@register(
    "minnorm-replace",
    title="Replace: n least-squares generators, minimum norm downstream: where the peak is",
    regime="exact",
    hypotheses=r"""Gaussian inputs with $\Sigma=sI$ and $\rho^2=w_0^\top\Sigma w_0$; $n$ least-squares generators on $T_0\ge
d+2$ fresh rows each, the first labelled by the truth and the next by the previous fit, then the minimum-norm fit on $T<d$ fresh
rows labelled by the last generator. The double-descent peak at $T=d$, where $T/(d-T-1)$ and on the other side $d/(T-d-1)$
diverge, is that of the tested fit's own label noise: what the generators added passes through with the factor $\min(T,d)/d$ and
has no peak""",
    build=_replace,
    sources=("hastie2022surprises", "dohmatob2024regression"),
    relations=(
        Relation(
            "ridge-replace",
            "same limit",
            {"lam": 0, "rho2": QuadraticForm(eigenvalue)},
            "without a ridge: exact here, proportional downstream there",
        ),
    ),
)
def minnorm_replace() -> ErrorFormula:
    """Derive it from the error of the last generator, which is independent of the tested fit's inputs."""
    generators = workflows.replace(0, downstream=Stage(T=T0, noise=sigma0))
    one, enough = telescoped_risk(increments(generators, generators.fits[-1]) or ())
    own, few = _noise(T)
    return ErrorFormula(
        parts={
            "bias": projected(S.Zero, T),
            "variance": sigma**2 * own,
            "synthetic_variance": projected(n * one["variance"], T, truth=S.Zero),
        },
        regime="exact",
        conditions=(few, *enough),
        remedies={
            few: "use ols-replace for T >= d + 2; at T = d - 1, d, d + 1 the mean is infinite",
            enough[0]: "use ridge-chain with lam = lam0 = 0 for T0 < d (proportional)",
        },
        isotropic=True,
    )


# ---------------------------------------------------------------- fresh inputs, mixed labels
def _mix(n: Any, T: Any, sigma: Any, w: Any, rho2: Any) -> Pipeline:
    del rho2
    w = S(w)
    pipe = Pipeline()
    last = Source.of(pipe.fit(pipe.sample(T=T, noise=sigma)))
    for _ in range(int(n)):
        noise = sqrt(w**2 + (1 - w) ** 2) * sigma
        last = Source.of(pipe.fit(pipe.sample(T=T, noise=noise, source=w * TRUTH + (1 - w) * last)))
    return pipe


@register(
    "minnorm-fresh-mix",
    title="Mixing labels on fresh isotropic inputs, minimum norm: exact at finite size",
    regime="exact",
    hypotheses=r"""Gaussian inputs with $\Sigma=sI$ and $\rho^2=w_0^\top\Sigma w_0$; a minimum-norm fit on $T<d$ rows
labelled by the truth, then $n$ minimum-norm fits on $T$ fresh rows each, whose labels are $w$ times fresh real labels plus $1-w$
times fresh labels of the previous fit. The variance is split by whose labels are noisy. Exact, with the constant $T/(d-T-1)$,
where the proportional theory has $T/(d-T)$""",
    build=_mix,
    sources=("garg2025overparametrization",),
    relations=(
        Relation("minnorm-fresh-mix-limit", "tends to", {"n": oo}, r"$n\to\infty$"),
        Relation(
            "minnorm-replace-isotropic",
            "equals",
            {"w": 0, "T": T0, "sigma": sigma0},
            "synthetic labels only",
        ),
    ),
)
def minnorm_fresh_mix() -> ErrorFormula:
    r"""Derive the affine recursion :math:`E\leftarrow(1-\eta)\rho^2+\eta(1-w)^2E+(w^2+(1-w)^2)\sigma^2\frac T{d-T-1}`.

    The labeller :math:`ww_0+(1-w)\hat w` is off by :math:`(1-w)^2E`, of which a projection keeps the share :math:`\eta`.
    """
    return _mixed_formula(in_rounds)


def _mixed_formula(solved: Callable[[Sequence[Expr], Mapping[Symbol, Any]], Expr]) -> ErrorFormula:
    own, few = _noise(T)
    bias, real, synthetic = [projected(S.Zero, T)], [sigma**2 * own], [S.Zero]
    for _ in range(2):
        bias.append(projected((1 - w) ** 2 * bias[-1], T))
        real.append(projected((1 - w) ** 2 * real[-1], T, truth=S.Zero) + w**2 * sigma**2 * own)
        synthetic.append(projected((1 - w) ** 2 * synthetic[-1], T, truth=S.Zero) + (1 - w) ** 2 * sigma**2 * own)
    return ErrorFormula(
        parts={
            "bias": bias[0],
            "synthetic_bias": solved([factor(e - bias[0]) for e in bias], {w: S.Half}),
            "variance": solved(real, {w: S.Half}),
            "synthetic_variance": solved(synthetic, {w: S.Half}),
        },
        regime="exact",
        conditions=(few, Le(w, 1)),
        remedies={few: "for T >= d + 2 least squares loses nothing: describe a pipeline and use test_error"},
        isotropic=True,
    )


@register(
    "minnorm-fresh-mix-limit",
    title="Mixing labels on fresh isotropic inputs for ever, minimum norm",
    regime="exact",
    hypotheses=r"The setting of \texttt{minnorm-fresh-mix} after infinitely many fits",
    build=partial(_mix, n=1),
    simulates=False,
    sources=("garg2025overparametrization",),
)
def minnorm_fresh_mix_limit() -> ErrorFormula:
    r"""Take the fixed point: the ratio :math:`\eta(1-w)^2` is below one even without real labels."""
    return _mixed_formula(for_ever)
