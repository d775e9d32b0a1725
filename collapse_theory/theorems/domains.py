r"""Rows of two domains in one fit, which differ in their truths.

The other domain has the truth :math:`w_1=\theta w_0+\delta`: a part along that of the tested one, their overlap, and a random part.
"""

from __future__ import annotations

from typing import Any

from sympy import Eq, S, factor

from collapse_theory.algebra.integrals import QuadraticForm
from collapse_theory.derive.formula import ErrorFormula
from collapse_theory.derive.labeller import LabelledRows, PooledStage, pooled_risk
from collapse_theory.derive.operator import Generation, response
from collapse_theory.describe.pipeline import TRUTH, Pipeline
from collapse_theory.symbols import N, eigenvalue, lam, p1, p2, sigma, theta
from collapse_theory.theorems.shared_inputs import offset_variance
from collapse_theory.theorems.theorem import Relation, register

__all__: list[str] = []


def _domains(N: Any, p1: Any, p2: Any, lam: Any, sigma: Any, theta: Any) -> Pipeline:
    """Return the mixture without the random part of the other truth."""
    pipe = Pipeline()
    own, other = pipe.sample(T=p1 * N, noise=sigma), pipe.sample(T=p2 * N, noise=sigma, source=theta * TRUTH)
    pipe.fit([own, other], ridge=lam)
    return pipe


@register(
    "domain-mixture",
    title="Rows of another domain: a bias that rows do not cure against variance that they do",
    regime="proportional",
    hypotheses=r"""Ridge regression on $N$ rows, a share $p_1$ of the tested domain, labelled by $w_0$, and a share $p_2=1-p_1$ of
another one, labelled by $\theta w_0+\delta$ with an overlap $\theta$ of any sign and a zero-mean $\delta$ of covariance $\Delta$
that is independent of $w_0$ and diagonal in the eigenbasis of $\Sigma$. Inputs of both have the covariance $\Sigma$; truths whose
overlap differs between directions are pipelines for \texttt{test\_error}""",
    build=_domains,
    sources=("dohmatob2024strong",),
    relations=(Relation("strong-collapse", "equals", {"theta": 1}, "the tested truth and an offset"),),
)
def domain_mixture() -> ErrorFormula:
    r"""Add what the random part of the other truth makes to the error of rows of two proportional truths.

    The rows are those of the mean labeller :math:`(p_1+p_2\theta)w_0+p_2\delta`, and the disagreement of labellers is noise; the
    two parts of the other truth are uncorrelated, and their errors add.
    """
    mean = LabelledRows(S.One, p1 + p2 * theta, p2 * (1 - theta), {})
    bias, variance = pooled_risk([PooledStage(N, lam, sigma**2, (mean,))])
    apart = factor(p1 * p2**2 + p2 * p1**2) * (1 - theta) ** 2 * QuadraticForm(eigenvalue)
    bias += apart * response(eigenvalue, Generation(N, lam, sigma))
    parts = {"bias": bias, "variance": variance, "synthetic_variance": offset_variance()}
    return ErrorFormula(parts, "proportional", (Eq(p1 + p2, 1),), (), "operator")
