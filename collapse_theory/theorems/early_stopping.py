r"""Early stopping over generations: a chain of fits by gradient flow."""

from __future__ import annotations

from typing import Any

from sympy import S, oo
from sympy.core.symbol import Str

from collapse_theory.core.numbers import integer
from collapse_theory.derive.filter_chain import FilterBias, FilterVariance
from collapse_theory.derive.formula import ErrorFormula
from collapse_theory.describe.filters import GradientFlow
from collapse_theory.describe.pipeline import TRUTH, Pipeline, Source
from collapse_theory.symbols import T0, T, sigma, sigma0, t, t0
from collapse_theory.symbols import n as generations
from collapse_theory.theorems.theorem import Relation, register

__all__: list[str] = []


def _flow_replace(n: Any, T: Any, T0: Any, t: Any, t0: Any, sigma: Any, sigma0: Any) -> Pipeline:
    pipe, last = Pipeline(), Source.of(TRUTH)
    for _ in range(integer(n, "n", least=0)):
        last = Source.of(pipe.fit(pipe.sample(T=T0, noise=sigma0, source=last), filter=GradientFlow(t0)))
    pipe.fit(pipe.sample(T=T, noise=sigma, source=last), filter=GradientFlow(t))
    return pipe


@register(
    "flow-replace",
    title="Replace with early stopping: n generators by gradient flow, and a tested fit",
    regime="proportional",
    hypotheses=r"""$n$ generators on $T_0$ fresh rows each, trained by gradient flow on half the mean squared error from zero for a
time $t_0$, the first labelled by the truth and the next by the previous fit, then a fit by gradient flow for a time $t$ on
$T$ fresh rows labelled by the last generator; any $T_0,T\gtrless d$. $\mathcal G$ and $\mathcal G_0$ are the generation operators
of the tested fit and of a generator""",
    build=_flow_replace,
    sources=("ali2019early", "dohmatob2024regression"),
    relations=(
        Relation("ridge-chain", "tends to", {"t": oo, "t0": oo}, "trained to the end", there={"lam": 0, "lam0": 0}),
        Relation("ridge-clean", "tends to", {"n": 0, "t": oo}, "no generation, trained to the end", there={"lam": 0}),
    ),
)
def flow_replace() -> ErrorFormula:
    r"""Compose the generation operator of gradient flow: :math:`M_0=\mathcal G_0^n\mathcal G[\Sigma]`, the exponent symbolic."""
    flow = Str(GradientFlow.__name__)
    stages = ((T0, (flow, t0), sigma0, generations), (T, (flow, t), sigma, S.One))
    return ErrorFormula(
        parts={"bias": FilterBias(*stages), "variance": FilterVariance(*stages)},
        regime="proportional",
        method="operator",
    )
