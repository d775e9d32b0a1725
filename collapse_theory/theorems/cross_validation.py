r"""Cross-validation on synthetic labels: what it estimates is the distance to the labeller.

A fit knows nothing of its labeller but the labels: its error *relative to the labeller* is the clean error with the labeller in
place of the truth, and generalised cross-validation estimates that plus the label noise. The labeller is an earlier fit, whose
second moments are those of a generation.
"""

from __future__ import annotations

from typing import Any

from sympy import Expr, Ge, oo

from collapse_theory.algebra.integrals import QuadraticForm
from collapse_theory.derive.formula import ErrorFormula
from collapse_theory.derive.labeller import chain_risk
from collapse_theory.derive.operator import Generation, response, shrinkage
from collapse_theory.describe import workflows
from collapse_theory.describe.pipeline import Pipeline, Stage
from collapse_theory.symbols import T0, T, d, eigenvalue, error, lam, lam0, sigma, sigma0
from collapse_theory.theorems.ridge import gathered
from collapse_theory.theorems.theorem import Relation, register

__all__: list[str] = []


def _labelled(e: Expr, teacher: Generation) -> tuple[Expr, Expr]:
    r"""Return what :math:`w_0^\top fw_0` are on average with a fit in place of :math:`w_0`: its share of signal and of noise.

    :math:`\mathbb E\hat w^\top f\hat w=w_0^\top\mathcal G[f]w_0+\sigma_0^2\,\frac1{T_0}\operatorname{tr}[f\,RSR]`.
    """
    forms = e.atoms(QuadraticForm)
    r = shrinkage(teacher.kappa)
    answers = {q: response(q.integrand, teacher) for q in forms}
    spread = teacher.kappa**2 * r**2 / eigenvalue
    signal = {q: QuadraticForm(q.integrand * r**2) + answers[q] * QuadraticForm(spread) for q in forms}
    noise = {q: teacher.sigma**2 * answers[q] for q in forms}
    return e.xreplace(signal), e.xreplace(noise)


def _synthetic(T: Any, T0: Any, lam: Any, lam0: Any, sigma: Any, sigma0: Any) -> Pipeline:
    return workflows.replace(1, Stage(T=T0, noise=sigma0, ridge=lam0), Stage(T=T, noise=sigma, ridge=lam))


@register(
    "gcv-synthetic",
    title="Cross-validation on synthetic labels estimates the distance to the labeller",
    regime="proportional",
    hypotheses=r"""A generator with ridge $\lambda_0$ on $T_0$ fresh rows labelled by the truth, then ridge regression
on $T$ fresh rows labelled by it. $E$ is what generalised cross-validation of the second fit tends to: $\mathbb
E\|\hat w-\hat w_{\rm lab}\|_\Sigma^2+\sigma^2$, the distance to the generator and the noise of its labels. The truth
occurs through the generator only: from inside, collapse is invisible""",
    build=_synthetic,
    sources=("golub1979gcv", "dohmatob2024regression"),
    relations=(
        Relation(
            "ridge-clean",
            "equals",
            {"lam0": 0, "sigma0": 0},
            "labels of a generator that knows the truth: the error and the label noise",
            of=error - sigma**2,
            where=(Ge(T0, d + 1),),
        ),
        Relation(
            "ridge-clean",
            "tends to",
            {"lam0": 0, "T0": oo},
            "or that has as many rows as one likes",
            of=error - sigma**2,
        ),
    ),
)
def gcv_synthetic() -> ErrorFormula:
    """Put the generator in the place of the truth in the clean error, and add the label noise."""
    stage, teacher = Generation(T, lam, sigma), Generation(T0, lam0, sigma0)
    bias, variance = chain_risk([stage])
    signal, noise = _labelled(gathered(bias, stage), teacher)
    parts = {"bias": signal, "variance": noise + variance + sigma**2}
    return ErrorFormula(parts, "proportional", (), (), "operator", measured="cross-validation")
