r"""Least squares on fresh real rows and rows of the previous fit, every round: exact, with the cost of labellers that disagree.

The variance is split by whose labels are noisy, those of the truth (``variance``) or those of a model (``synthetic_variance``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from sympy import Dummy, Expr, Le, S, Symbol, collect, oo

from collapse_theory.algebra.signs import positive_factors
from collapse_theory.derive.exact import disagreement, own_inputs_risk
from collapse_theory.derive.formula import ErrorFormula
from collapse_theory.derive.labeller import LabelledRows, PooledStage
from collapse_theory.describe import workflows
from collapse_theory.describe.pipeline import Pipeline, Stage
from collapse_theory.symbols import N, T, d, sigma, sigma0
from collapse_theory.theorems.affine import for_ever, in_rounds
from collapse_theory.theorems.theorem import Relation, register

__all__: list[str] = []


def _fresh_real(n: Any, T: Any, N: Any, sigma: Any, sigma0: Any) -> Pipeline:
    return workflows.fresh_real(n, Stage(T=T, noise=sigma), Stage(T=N - T, noise=sigma0))


@register(
    "ols-fresh-real",
    title="Fresh real rows every round, pooled with rows of the model before: least squares",
    regime="exact",
    hypotheses=r"""Gaussian inputs; a clean least-squares fit on $T$ rows, then $n$ rounds of $N$ rows each, all of weight
one: $T$ fresh ones labelled by the truth (noise $\sigma$) and $N-T$ fresh ones labelled by the previous fit (noise $\sigma_0$).
With the shares $p_1=T/N$ and $p_2=1-p_1$ a round keeps $p_2^2+\tau p_1p_2$ of the error of the model before, where $\tau$, the cost
of labellers that disagree, is that of \texttt{ols-strong-collapse}. The variance is split by whose labels are noisy""",
    build=_fresh_real,
    sources=("he2025golden", "dohmatob2024strong"),
    relations=(
        Relation("ols-fresh-real-limit", "tends to", {"n": oo}, r"$n\to\infty$"),
        Relation("ols-replace", "equals", {"n": 0}, "no round"),
    ),
)
def ols_fresh_real() -> ErrorFormula:
    r"""Derive :math:`v\leftarrow v[p_2^2+\tau p_1p_2]+\frac d{N-d-1}(p_1\sigma^2+p_2\sigma_0^2)` from three fits."""
    return _formula(in_rounds)


def _formula(solved: Callable[[Sequence[Expr], Mapping[Symbol, Any]], Expr]) -> ErrorFormula:
    clean = PooledStage(T, S.Zero, sigma**2, (LabelledRows(S.One, S.One, S.Zero, {}),))
    real, synthetic = T / N, (N - T) / N
    noise = real * sigma**2 + synthetic * sigma0**2
    rounds = [
        PooledStage(
            N,
            S.Zero,
            noise,
            (LabelledRows(real, S.One, S.Zero, {}), LabelledRows(synthetic, S.Zero, S.Zero, {j: S.One})),
        )
        for j in range(2)
    ]
    tau = Dummy("tau", positive=True)
    risks = [own_inputs_risk([clean, *rounds[:j]], cost=lambda _: tau) for j in range(3)]
    inside = {T: 5, N: 9, d: 1}

    def term(quiet: Symbol) -> Expr:
        e = solved([parts["variance"].xreplace({quiet: S.Zero}) for parts, _ in risks], inside)
        e = e.replace(lambda x: x.is_Add and x.has(tau), lambda x: collect(x, tau))
        return positive_factors(e.xreplace({tau: disagreement(N)}), inside)

    return ErrorFormula(
        parts={"bias": S.Zero, "variance": term(sigma0), "synthetic_variance": term(sigma)},
        regime="exact",
        conditions=(*risks[0][1], Le(T, N)),  # so that N >= d + 2 too
    )


@register(
    "ols-fresh-real-limit",
    title="Fresh real rows every round for ever: least squares",
    regime="exact",
    hypotheses=r"The setting of \texttt{ols-fresh-real} after infinitely many rounds",
    build=partial(_fresh_real, n=1),
    simulates=False,
    sources=("he2025golden", "dohmatob2024strong"),
)
def ols_fresh_real_limit() -> ErrorFormula:
    """Take the fixed point: with real rows in every round the clean fit is forgotten."""
    return _formula(for_ever)
