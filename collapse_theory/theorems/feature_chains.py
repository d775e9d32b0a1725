r"""Fits of any size: a weak teacher and a strong student, and chains of models that see random features."""

from __future__ import annotations

from typing import Any

from sympy import Ge, S, oo
from sympy.logic.boolalg import Boolean

from collapse_theory.derive.formula import ErrorFormula, value_for
from collapse_theory.derive.labeller import chain_risk
from collapse_theory.derive.labeller_scalars import ChainBias, ChainVariance, block
from collapse_theory.derive.operator import Generation
from collapse_theory.derive.regression import excess_risk
from collapse_theory.describe.pipeline import TRUTH, Pipeline, Source
from collapse_theory.symbols import T0, T, lam, lam0, m, m0, sigma, sigma0
from collapse_theory.symbols import n as generations
from collapse_theory.theorems.per_round import per_round
from collapse_theory.theorems.theorem import Relation, register

__all__: list[str] = []

_TEACHER, _STUDENT = Generation(T0, lam0, sigma0, m0), Generation(T, lam, sigma, m)
_SIZES: tuple[Boolean, ...] = (Ge(m0, 1), Ge(m, 1))
_FEATURES = (
    r"""of $N(0,1/m)$ entries, drawn anew for every fit: $\hat w=F(F^\top X^\top XF/T+\lambda)^{-1}F^\top X^\top y/T$"""
)


def _weak_to_strong(T: Any, T0: Any, lam: Any, lam0: Any, sigma: Any, sigma0: Any, m: Any, m0: Any) -> Pipeline:
    return _pipeline([(T0, lam0, sigma0, m0)], (T, lam, sigma, m))


def _chain(T: Any, T0: Any, lam: Any, lam0: Any, sigma: Any, sigma0: Any, m: Any, m0: Any, n: Any) -> Pipeline:
    """Return n generators and the tested fit."""
    return _pipeline([(T0, lam0, sigma0, m0)] * int(n), (T, lam, sigma, m))


def _replace(T: Any, T0: Any, lam: Any, lam0: Any, sigma: Any, sigma0: Any, m: Any, n: Any) -> Pipeline:
    return _chain(T, T0, lam, lam0, sigma, sigma0, m, m, n)


def _pipeline(generators: Any, tested: Any) -> Pipeline:
    pipe, last = Pipeline(), Source.of(TRUTH)
    for rows, ridge, noise, size in (*generators, tested):
        last = Source.of(pipe.fit(pipe.sample(T=rows, noise=noise, source=last), ridge=ridge, features=size))
    return pipe


@register(
    "weak-to-strong",
    title="Weak to strong: a small teacher labels for a large student",
    regime="proportional",
    hypotheses=r"""A teacher on $m_0$ random features $F^\top x$ and $T_0$ fresh rows labelled by the truth, then a student on $m$
features and $T$ fresh rows labelled by the teacher; ridge regression with independent $F$ """
    + _FEATURES
    + r"; $d,T_0,T,m_0,m\to\infty$ together",
    build=_weak_to_strong,
    sources=("burns2023weak", "ildiz2024distillation"),
    relations=(
        Relation("features-chain", "equals", note="one generator", there={"n": 1}),
        Relation(
            "random-features-ridge",
            "tends to",
            {"T0": oo, "m0": oo, "lam0": 0},
            "a teacher without a size: the student has real labels",
        ),
        Relation("ridge-chain", "tends to", {"m0": oo, "m": oo}, "both see the inputs themselves", there={"n": 1}),
    ),
)
def weak_to_strong() -> ErrorFormula:
    r"""Compose two generation operators with features of their own: :math:`M_0=\mathcal G_0\mathcal G[\Sigma]`.

    The teacher alone is ``random-features-ridge``. Without noise and with all rows, a teacher of any ridge has
    :math:`\kappa_0w_0^\top\Sigma(\Sigma+\kappa_0)^{-1}w_0`; a student of all sizes and rows is better for small ridges iff

    .. math:: \frac{w_0^\top\Sigma(\Sigma+\kappa_0)^{-2}w_0}{w_0^\top\Sigma^2(\Sigma+\kappa_0)^{-2}w_0}
       <\frac{\operatorname{tr}(\Sigma+\kappa_0)^{-2}}{\operatorname{tr}\Sigma(\Sigma+\kappa_0)^{-2}},

    so always if the target has no preferred directions (``derivations/weak_to_strong.py``).
    """
    bias, variance = chain_risk([_TEACHER, _STUDENT])
    return ErrorFormula({"bias": bias, "variance": variance}, "proportional", _SIZES, method="operator")


def _at(n: int, **parameters: Any) -> ErrorFormula:
    """Return the chain at an integer n; generator parameters may be sequences with one value per generation."""
    count = int(value_for(generations, n))
    each, once = (T0, lam0, sigma0, m0), (T, lam, sigma, m)
    values = per_round("features-chain", count, parameters, each, once, "generation")
    generators = zip(*(values[x.name] for x in each), strict=True)
    return excess_risk(_pipeline(generators, [values[x.name][0] for x in once]), method="operator")


@register(
    "features-chain",
    title="A chain of fits on random features: any sizes, rows, ridges and noises",
    regime="proportional",
    hypotheses=r"""$n$ generators on $m_0$ random features $F^\top x$ and $T_0$ fresh rows each with ridge $\lambda_0\ge0$, the
first labelled by the truth and the next by the previous fit, then a fit on $m$ features and $T$ fresh rows labelled by the last
generator; $F$ """
    + _FEATURES
    + r""". $\mathcal G$ and $\mathcal G_0$ are the generation operators of the tested fit and of a generator;
$d,T_0,T,m_0,m\to\infty$ together""",
    build=_chain,
    sources=("dohmatob2024regression", "adlam2020triple"),
    relations=(
        Relation("random-features-ridge", "equals", {"n": 0}, "no generation"),
        Relation("ridge-chain", "tends to", {"m0": oo, "m": oo}, "all see the inputs themselves"),
    ),
    unfold=_at,
)
def features_chain() -> ErrorFormula:
    r"""Compose the generation operator: :math:`M_0=\mathcal G_0^n\mathcal G[\Sigma]`, the exponent symbolic."""
    return _powers(_TEACHER, _STUDENT, _SIZES)


@register(
    "features-replace",
    title="Replace with models of one size: n generations on m random features",
    regime="proportional",
    hypotheses=r"""The setting of \texttt{features-chain} with $m_0=m$: every model is of one size""",
    build=_replace,
    sources=("dohmatob2024regression", "adlam2020triple"),
    relations=(
        Relation("features-chain", "equals", note="all of one size", there={"m0": m}),
        Relation("random-features-ridge", "equals", {"n": 0}, "no generation"),
        Relation("ridge-chain", "tends to", {"m": oo}, "models without a size"),
    ),
)
def features_replace() -> ErrorFormula:
    r"""Take :math:`m_0=m` in the chain."""
    return _powers(Generation(T0, lam0, sigma0, m), _STUDENT, _SIZES[1:])


def _powers(generator: Generation, tested: Generation, conditions: tuple[Boolean, ...]) -> ErrorFormula:
    blocks = block(generator, generations), block(tested, S.One)
    parts = {"bias": ChainBias(*blocks), "variance": ChainVariance(*blocks)}
    return ErrorFormula(parts, "proportional", conditions, method="operator")
