r"""Self-distillation: a fit on its own predictions mixed with the labels it was trained on, on the same inputs.

Relabelling one design by :math:`(1-\xi)y+\xi X\hat w`, the *same noisy labels* y, gives :math:`\hat w_\xi=\hat w+\xi\lambda\,
\partial_\lambda\hat w`, since :math:`R(1-\xi+\xi SR)=R-\xi\lambda R^2`. The risk is a quadratic in :math:`\xi`, and its
coefficients are values and slopes of one function of two ridges on one design (:func:`_two_ridges`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sympy import Dummy, Expr, Gt, S, factor, oo

from collapse_theory.algebra.effective import EffectiveRidge, ResidualDegrees
from collapse_theory.algebra.integrals import QuadraticForm, SpectralTrace
from collapse_theory.derive.formula import ErrorFormula
from collapse_theory.derive.regression import excess_risk
from collapse_theory.derive.rounds import RoundRule, round_terms
from collapse_theory.describe.pipeline import Pipeline
from collapse_theory.symbols import T, lam, n, sigma, xi
from collapse_theory.symbols import eigenvalue as s
from collapse_theory.theorems.theorem import Relation, register

__all__ = ["Distilled", "best_mixing"]


@dataclass(frozen=True)
class Distilled:
    r"""A term :math:`R+\xi\lambda R'+\xi^2\lambda^2Q` of the risk of a distilled fit.

    Attributes:
        risk: :math:`R`, the term of the fit on the labels themselves.
        slope: :math:`R'=\partial_\lambda R`.
        curvature: :math:`Q`, the term of the mean square of :math:`\partial_\lambda\hat w`.
    """

    risk: Expr
    slope: Expr
    curvature: Expr

    def at(self, step: Expr) -> Expr:
        r"""Return the term at :math:`\xi\lambda`."""
        return self.risk + step * self.slope + step**2 * self.curvature


def _two_ridges() -> tuple[Distilled, Distilled]:
    r"""Return bias and variance of the risk as functions of the ridge, with slopes, from two fits of different ridges.

    The equivalent of one resolvent, applied to the block matrix :math:`S\otimes I_2+\begin{pmatrix}\lambda_1&zM\\0&\lambda_2
    \end{pmatrix}`, gives in its corner, with :math:`M_{12}=\operatorname{tr}\Sigma^2(\Sigma+\kappa_1)^{-1}(\Sigma+\kappa_2)^{-1}`,

    .. math:: \mathbb E\langle\hat w_1-w_0,\hat w_2-w_0\rangle_\Sigma
       =\frac{T\,w_0^\top\kappa_1\kappa_2\Sigma(\Sigma+\kappa_1)^{-1}(\Sigma+\kappa_2)^{-1}w_0+\sigma^2M_{12}}{T-M_{12}} .

    :math:`R` is its value at equal ridges, :math:`R'` twice its slope in one of them, :math:`Q` its mixed slope; and
    :math:`\kappa_i` moves with :math:`\lambda_i` alone, by :math:`T/(T-\mathrm{df}_2)`.
    """
    x1, x2 = Dummy(positive=True), Dummy(positive=True)
    kappa, left = EffectiveRidge(T, lam), ResidualDegrees(T, lam)

    def expanded(f: Expr, integral: Any) -> tuple[Expr, Expr, Expr]:
        """Return an integral, its slope in one effective ridge and its mixed slope, at equal ones."""
        return tuple(integral(factor(e).xreplace({x1: kappa, x2: kappa})) for e in (f, f.diff(x1), f.diff(x1, x2)))

    shared = expanded(s**2 / ((s + x1) * (s + x2)), SpectralTrace)
    missed = expanded(x1 * x2 * s / ((s + x1) * (s + x2)), QuadraticForm)
    a, b = Dummy(), Dummy()

    def series(at: tuple[Expr, Expr, Expr]) -> Expr:
        return at[0] + (a + b) * at[1] + a * b * at[2]

    def term(numerator: Expr, risk: Expr) -> Distilled:
        e, moved, here = numerator / (left - series((S.Zero, *shared[1:]))), T / left, {a: S.Zero, b: S.Zero}
        return Distilled(risk, 2 * moved * e.diff(a).xreplace(here), moved**2 * e.diff(a, b).xreplace(here))

    return (
        term(T * series(missed), T * missed[0] / left),
        term(T * sigma**2, sigma**2 * shared[0] / left),  # up to a constant: M/(T - M) = T/(T - M) - 1
    )


def best_mixing() -> Expr:
    r"""Return :math:`\xi^*=-R'/(2\lambda Q)`, the mixing of least risk; its sign is that of :math:`-R'`, for :math:`Q>0`.

    >>> from collapse_theory.derive.formula import ErrorFormula
    >>> from collapse_theory.describe.spectra import PowerLaw
    >>> from collapse_theory.describe.targets import SourceTarget
    >>> found = ErrorFormula({"xi": best_mixing()}, "proportional")
    >>> about = dict(spectrum=PowerLaw(200, beta=1.2), target=SourceTarget(r=0.5), T=150, sigma=0.5)
    >>> round(found.evaluate(lam=0.02, **about), 2)
    0.19
    """
    bias, variance = _two_ridges()
    return -(bias.slope + variance.slope) / (2 * lam * (bias.curvature + variance.curvature))


# ---------------------------------------------------------------- pipelines
def _distilled(n: Any, T: Any, lam: Any, sigma: Any, xi: Any) -> Pipeline:
    pipe = Pipeline()
    real = pipe.sample(T=T, noise=sigma)
    model = pipe.fit(real, ridge=lam)
    for _ in range(int(n)):
        soft = pipe.sample(design=real, source=(1 - xi) * real.labels + xi * model)
        model = pipe.fit(soft, ridge=lam)
    return pipe


def _once(T: Any, lam: Any, sigma: Any, xi: Any) -> Pipeline:
    return _distilled(1, T, lam, sigma, xi)


def _at_best(T: Any, lam: Any, sigma: Any) -> Pipeline:
    """Return the pipeline with the mixing that is best; a number of it needs a spectrum."""
    return _distilled(1, T, lam, sigma, xi)


_SOURCES = ("mobahi2020selfdistillation", "pareek2024selfdistillation")
_SETTING = r"""Ridge regression on $T$ rows labelled by the truth, then the same fit on the same inputs with labels that are $1-\xi$
times \emph{the same noisy labels} plus $\xi$ times the predictions of the first fit"""


@register(
    "self-distillation",
    title="Self-distillation: mixing a fit's predictions into the labels it was trained on",
    regime="proportional",
    hypotheses=_SETTING + r", $\xi$ of either sign: $R+\xi\lambda R'+\xi^2\lambda^2Q$",
    build=_once,
    sources=_SOURCES,
    relations=(
        Relation("ridge-clean", "equals", {"xi": 0}, "the labels as they are"),
        Relation("self-distillation-repeated", "equals", {}, "one round", there={"n": 1}),
    ),
)
def self_distillation() -> ErrorFormula:
    r"""Expand the risk in the mixing: :math:`R+\xi\lambda R'+\xi^2\lambda^2Q`."""
    bias, variance = _two_ridges()
    return ErrorFormula(
        {"bias": bias.at(xi * lam), "variance": variance.at(xi * lam)}, "proportional", (), (), "operator"
    )


@register(
    "self-distillation-best",
    title="Self-distillation with the best mixing",
    regime="proportional",
    hypotheses=_SETTING
    + r""", with $\xi=\xi^*=-R'/(2\lambda Q)$ of least risk. $\xi^*$ has the sign of $-R'(\lambda)$: positive where the ridge
is too small, negative where it is too large, and possibly beyond one. At fixed $\lambda$ the error is $R-R'^2/(4Q)$; over
$\lambda$ too, it is below the best ridge if $R''>2Q$ there""",
    build=_at_best,
    sources=_SOURCES,
    relations=(
        Relation("ridge-clean", "bounded by", note="the best mixing is at least as good as none"),
        Relation("self-distillation", "bounded by", note="or any other"),
    ),
    simulates=False,
)
def self_distillation_best() -> ErrorFormula:
    r"""Insert :math:`\xi^*\lambda=-R'/(2Q)`: :math:`R-R'^2/(4Q)`."""
    bias, variance = _two_ridges()
    gain = -((bias.slope + variance.slope) ** 2) / (4 * (bias.curvature + variance.curvature))
    parts = {"bias": bias.risk, "variance": variance.risk, "distillation": gain}
    return ErrorFormula(parts, "proportional", (Gt(lam, 0),), (), "operator")


_REPEATED = (T, lam, sigma, xi)


def _repeated_rounds(count: int) -> Mapping[str, Expr]:
    return excess_risk(_distilled(count, *_REPEATED), method="free-probability").parts


@register(
    "self-distillation-repeated",
    title="Repeated self-distillation on one design",
    regime="proportional",
    hypotheses=r"""Ridge regression on $T$ rows labelled by the truth, then $n$ times the same fit on the same inputs
with labels that are $1-\xi$ times \emph{the same noisy labels} plus $\xi$ times the predictions of the fit before. No
closed form in $n$ is known. For ever, it is ridge regression with $\lambda/(1-\xi)$""",
    build=_distilled,
    sources=_SOURCES,
    relations=(
        Relation("ridge-clean", "equals", {"n": 0}, "no round"),
        Relation("ridge-clean", "equals", {"xi": 0}, "the labels as they are"),
        Relation("ridge-clean", "tends to", {"n": oo}, "for ever, a larger ridge", there={"lam": lam / (1 - xi)}),
    ),
)
def self_distillation_repeated() -> ErrorFormula:
    """Solve the recursion over the fits of the asked number of rounds."""
    return ErrorFormula(
        round_terms(RoundRule(_repeated_rounds, _REPEATED), n), "proportional", (), (), "free-probability"
    )
