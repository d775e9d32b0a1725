r"""Least squares on fresh real rows and rows of the previous fit, every round: exact, with the cost of labellers that disagree.

The variance is split by whose labels are noisy, those of the truth (``variance``) or those of a model (``synthetic_variance``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sympy import Dummy, Expr, Le, S, Symbol, collect, oo

from collapse_theory.algebra.signs import positive_factors
from collapse_theory.derive.exact import disagreement, own_inputs_risk
from collapse_theory.derive.formula import ErrorFormula
from collapse_theory.derive.labeller import Labels, PooledStage
from collapse_theory.describe import workflows
from collapse_theory.describe.pipeline import Pipeline, Stage
from collapse_theory.symbols import N, d, sigma, sigma0, w
from collapse_theory.theorems.affine import for_ever, in_rounds
from collapse_theory.theorems.theorem import Relation, register

__all__: list[str] = []


def _fresh_real(n: Any, N: Any, w: Any, sigma: Any, sigma0: Any) -> Pipeline:
    return workflows.fresh_real(n, Stage(T=w * N, noise=sigma), Stage(T=(1 - w) * N, noise=sigma0))


@register(
    "ols-fresh-real",
    title="Fresh real rows every round, pooled with rows of the model before: least squares",
    hypotheses=r"""Gaussian inputs; a clean least-squares fit on $wN$ rows, then $n$ rounds that each pool $wN$ fresh rows
labelled by the truth (noise $\sigma$) with $(1-w)N$ fresh rows labelled by the previous fit (noise $\sigma_0$), all rows of weight
one. A round keeps the share $(1-w)^2+\tau w(1-w)$ of the error of the model before, where $\tau$, the cost of labellers that
disagree, is that of \texttt{ols-strong-collapse}. The variance is split by whose labels are noisy""",
    build=_fresh_real,
    sources=("he2025golden", "dohmatob2024strong"),
    relations=(
        Relation("ols-fresh-real-limit", "tends to", {"n": oo}, r"$n\to\infty$"),
        Relation("ols-replace", "equals", {"n": 0, "w": 1, "N": 60, "T": 60}, "no round"),
    ),
)
def ols_fresh_real() -> ErrorFormula:
    r"""Derive :math:`v\leftarrow v[(1-w)^2+\tau w(1-w)]+\frac d{N-d-1}(w\sigma^2+(1-w)\sigma_0^2)` from three fits."""
    return _formula(in_rounds)


def _formula(solved: Callable[[Sequence[Expr], Mapping[Symbol, Any]], Expr]) -> ErrorFormula:
    clean = PooledStage(w * N, S.Zero, sigma**2, (Labels(S.One, S.One, S.Zero, {}),))
    noise = w * sigma**2 + (1 - w) * sigma0**2
    rounds = [
        PooledStage(N, S.Zero, noise, (Labels(w, S.One, S.Zero, {}), Labels(1 - w, S.Zero, S.Zero, {j: S.One})))
        for j in range(2)
    ]
    tau = Dummy("tau", positive=True)
    risks = [own_inputs_risk([clean, *rounds[:j]], cost=lambda _: tau) for j in range(3)]
    inside = {w: S.Half, N: 9, d: 1}

    def term(quiet: Symbol) -> Expr:
        e = solved([parts["variance"].xreplace({quiet: S.Zero}) for parts, _ in risks], inside)
        e = e.replace(lambda x: x.is_Add and x.has(tau), lambda x: collect(x, tau))
        return positive_factors(e.xreplace({tau: disagreement(N)}), inside)

    return ErrorFormula(
        parts={"bias": S.Zero, "variance": term(sigma0), "synthetic_variance": term(sigma)},
        regime="exact",
        conditions=(*risks[-1][1], Le(w, 1)),
    )


def _first_round(**values: Any) -> Pipeline:
    return _fresh_real(1, **values)


@register(
    "ols-fresh-real-limit",
    title="Fresh real rows every round for ever: least squares",
    hypotheses=r"The setting of \texttt{ols-fresh-real} after infinitely many rounds",
    build=_first_round,
    simulates=False,
    sources=("he2025golden", "dohmatob2024strong"),
)
def ols_fresh_real_limit() -> ErrorFormula:
    """Take the fixed point: with real rows in every round the clean fit is forgotten."""
    return _formula(for_ever)
