r"""Ensembles: the mean of exchangeable fits, as a model or as a labeller.

What differs between K exchangeable fits averages out: :math:`E_K=E_\infty+(E_1-E_\infty)/K`, with :math:`E_\infty` the error of
the mean fit. In the theory of a fit on inputs of its own, all that differs from draw to draw is divided by its residual degrees of
freedom :math:`T-\mathrm{df}_2`, once: the ensemble has K times as many.
"""

from __future__ import annotations

from typing import Any

from sympy import Expr, Gt, Rational, S, oo

from collapse_theory.algebra.effective import ResidualDegrees
from collapse_theory.core.errors import PipelineError, shown
from collapse_theory.derive.formula import ErrorFormula
from collapse_theory.derive.labeller import chain_risk
from collapse_theory.derive.operator import Generation
from collapse_theory.describe.pipeline import Fit, Pipeline, Source
from collapse_theory.symbols import T0, K, N, T, lam, lam0, sigma, sigma0
from collapse_theory.theorems.theorem import Relation, register

__all__ = ["mean_model"]


def mean_model(fits: list[Fit]) -> Source:
    """Return the mean of some fits as a model.

    >>> pipe = Pipeline()
    >>> mean_model([pipe.fit(pipe.sample(T=9)) for _ in range(2)])
    1/2*m1 + 1/2*m2
    """
    share = Rational(1, len(fits))
    first, *others = (share * Source.of(f) for f in fits)
    return sum(others, first)


def _averaged(e: Expr, stage: Generation) -> Expr:
    """Return an error in which K independent fits of one stage take the place of one."""
    left = ResidualDegrees(stage.T, stage.lam)
    return e.xreplace({left: K * left})


def _bias_and_variance(stages: list[Generation]) -> ErrorFormula:
    """Return the error of a chain whose first fit is the mean of K."""
    bias, variance = (_averaged(e, stages[0]) for e in chain_risk(stages))
    return ErrorFormula({"bias": bias, "variance": variance}, "proportional", (), (), "operator")


def _several(pipe: Pipeline, K: Any, T: Any, lam: Any, sigma: Any) -> list[Fit]:
    """Append K fits on rows of their own."""
    count = S(K)
    if not (count.is_Integer and count >= 1):
        raise PipelineError(f"K needs to be a positive integer, got {shown(K)}; a pipeline is built fit by fit")
    return [pipe.fit(pipe.sample(T=T, noise=sigma), ridge=lam) for _ in range(int(count))]


def _ensemble(K: Any, T: Any, lam: Any, sigma: Any) -> Pipeline:
    pipe = Pipeline()
    _several(pipe, K, T, lam, sigma)
    return pipe


def _blocks(K: Any, N: Any, lam: Any, sigma: Any) -> Pipeline:
    return _ensemble(K, N / S(K), lam, sigma)


def _teachers(K: Any, T: Any, T0: Any, lam: Any, lam0: Any, sigma: Any, sigma0: Any) -> Pipeline:
    pipe = Pipeline()
    labeller = mean_model(_several(pipe, K, T0, lam0, sigma0))
    pipe.fit(pipe.sample(T=T, noise=sigma, source=labeller), ridge=lam)
    return pipe


_SOURCES = ("breiman1996bagging", "dohmatob2024regression")
_LAW = r"$E_K=E_\infty+(E_1-E_\infty)/K$"


@register(
    "ensemble",
    title="The mean of K ridge regressions on rows of their own",
    regime="proportional",
    hypotheses=r"""$K$ ridge regressions, each on $T$ fresh rows labelled by the truth; the tested model is their mean.
What differs between the fits averages out: """
    + _LAW
    + r", with $E_\infty$ the bias of the mean fit. The pipeline has the $K$ fits",
    build=_ensemble,
    sources=_SOURCES,
    relations=(
        Relation("ridge-clean", "equals", {"K": 1}, "one fit"),
        Relation("ridge-clean", "bounded by", note="averaging helps", strict=Gt(K, 1)),
    ),
    simulates=False,
)
def ensemble() -> ErrorFormula:
    """Give one fit the residual degrees of freedom of K."""
    return _bias_and_variance([Generation(T, lam, sigma)])


@register(
    "ensemble-blocks",
    title="Bagging on disjoint blocks: N rows dealt to K ridge regressions",
    regime="proportional",
    hypotheses=r"""$N$ rows labelled by the truth are dealt to $K$ ridge regressions, $N/K$ each; the tested model is
their mean. The pipeline has the $K$ fits""",
    build=_blocks,
    sources=_SOURCES,
    relations=(
        Relation("ridge-clean", "equals", {"K": 1}, "one block", there={"T": N}),
        Relation("ensemble", "equals", note="rows per fit", there={"T": N / K}),
    ),
    simulates=False,
)
def ensemble_blocks() -> ErrorFormula:
    """Give each fit of an ensemble its share of the rows."""
    return ensemble().mapped(lambda e: e.xreplace({T: N / K}))


@register(
    "ensemble-teachers",
    title="A student of the mean of K teachers",
    regime="proportional",
    hypotheses=r"""$K$ teachers, ridge regressions with ridge $\lambda_0$ on $T_0$ fresh rows each, labelled by the
truth; the student is ridge regression on $T$ fresh rows labelled by their mean. """
    + _LAW
    + r", with $E_\infty$ the error of the student of the mean teacher",
    build=_teachers,
    sources=_SOURCES,
    relations=(
        Relation("ridge-chain", "equals", {"K": 1}, "one teacher", there={"n": 1}),
        Relation("ridge-chain", "bounded by", note="more teachers help", there={"n": 1}, strict=Gt(K, 1)),
        Relation(
            "ensemble",
            "tends to",
            {"lam": 0, "T": oo},
            "a student on as many rows as one likes copies the mean",
            there={"T": T0, "lam": lam0, "sigma": sigma0},
        ),
        Relation(
            "ensemble-blocks",
            "tends to",
            {"lam": 0, "T": oo},
            "whose rows are dealt to the teachers",
            there={"N": K * T0, "lam": lam0, "sigma": sigma0},
        ),
    ),
)
def ensemble_teachers() -> ErrorFormula:
    """Give the teacher of a chain the residual degrees of freedom of K."""
    return _bias_and_variance([Generation(T0, lam0, sigma0), Generation(T, lam, sigma)])
