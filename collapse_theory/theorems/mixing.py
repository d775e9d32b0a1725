r"""Real labels mixed into synthetic ones on one design, when the two are not equally precise: the best share.

The variance is split by whose labels are noisy, those of the truth (``variance``) or those of a model (``synthetic_variance``).
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

from sympy import And, Expr, Gt, Le, Ne, Poly, S, cancel, factor, invert, oo, rem, roots, sqrt
from sympy.logic.boolalg import Boolean

from collapse_theory import symbols
from collapse_theory.algebra.signs import positive_factors
from collapse_theory.derive.exact import fixed_design_step, mean_inverse_gram, one_design_risk
from collapse_theory.derive.formula import ErrorFormula
from collapse_theory.describe.pipeline import TRUTH, Pipeline, Source
from collapse_theory.symbols import T, k, sigma, sigma0, w
from collapse_theory.theorems.affine import for_ever, in_rounds
from collapse_theory.theorems.theorem import Relation, register

__all__: list[str] = []


def _mixed(count: int, T: Any, sigma: Any, sigma0: Any, w: Any) -> Pipeline:
    """Return a clean fit, then fits on ``w`` real and ``1 - w`` synthetic labels of noises ``sigma`` and ``sigma0``."""
    pipe = Pipeline()
    first = pipe.sample(T=T, noise=sigma)
    last = Source.of(pipe.fit(first))
    for _ in range(count):
        noise = sqrt(w**2 * sigma**2 + (1 - w) ** 2 * sigma0**2)
        last = Source.of(pipe.fit(pipe.sample(design=first, noise=noise, source=w * TRUTH + (1 - w) * last)))
    return pipe


def _precision(n: Any, T: Any, sigma: Any, w: Any, k: Any) -> Pipeline:
    return _mixed(int(n), T, sigma, S(sigma) / sqrt(k), S(w))


@register(
    "ols-mix-precision",
    title="Mixing on a fixed design, real and synthetic labels of unequal precision",
    regime="exact",
    hypotheses=r"""Gaussian inputs drawn once ($T$ rows); a clean least-squares fit, then $n$ fits whose labels are $w$ times fresh
real labels, of noise $\sigma$, plus $1-w$ times fresh labels of the previous fit, of noise $\sigma/\sqrt k$: $k$ is the precision
of a synthetic label over that of a real one""",
    build=_precision,
    sources=("he2025golden", "garg2025overparametrization"),
    relations=(
        Relation("ols-mix-precision-limit", "tends to", {"n": oo}, r"$n\to\infty$"),
        Relation("ols-mix-fixed-design", "equals", {"k": 1}, "labels of equal precision"),
    ),
)
def ols_mix_precision() -> ErrorFormula:
    r"""Derive :math:`v_{j+1}=w^2+(1-w)^2(1/k+v_j)`, :math:`v_0=1`, from three fits, and solve it for each of the noises."""
    return _formula(*(in_rounds(three, _INSIDE) for three in _shares()))


_INSIDE = {w: S.Half}


def _shares() -> tuple[list[Expr], list[Expr]]:
    """Return what the variances of a real and of a synthetic label count in the errors of three fits."""
    fits = [_mixed(j, T, sigma, sigma0, w) for j in range(3)]
    three = [one_design_risk(pipe, pipe.fits[-1], T)[0]["variance"] / fixed_design_step(S.One, T) for pipe in fits]
    real = [factor(v.xreplace({sigma0: S.Zero}) / sigma**2) for v in three]
    synthetic = [factor(v.xreplace({sigma: S.Zero}) / sigma0**2) for v in three]
    return real, synthetic


def _formula(real: Expr, synthetic: Expr, *more: Boolean) -> ErrorFormula:
    unit = sigma**2 * fixed_design_step(S.One, T)
    return ErrorFormula(
        parts={"bias": S.Zero, "variance": unit * real, "synthetic_variance": unit * synthetic / k},
        regime="exact",
        conditions=(mean_inverse_gram(T)[1], *more, Le(w, 1)),
    )


@register(
    "ols-mix-precision-limit",
    title="Mixing labels of unequal precision on a fixed design for ever",
    regime="exact",
    hypotheses=r"The setting of \texttt{ols-mix-precision} after infinitely many fits",
    build=partial(_precision, n=1),
    simulates=False,
    sources=("he2025golden", "garg2025overparametrization"),
)
def ols_mix_precision_limit() -> ErrorFormula:
    """Take the fixed point: unless w = 0 the first fit is forgotten."""
    return _formula(*_settled(), Gt(w, 0))


def _settled() -> tuple[Expr, Expr]:
    real, synthetic = (positive_factors(factor(for_ever(three, _INSIDE)), _INSIDE) for three in _shares())
    return real, synthetic


@lru_cache(maxsize=1)
def best_share() -> Expr:
    r"""Return :math:`w^*`, where the limit is least: the root of :math:`kw^2+w-1` in :math:`(0,1)`.

    The derivative of the limit has the sign of a quadratic in :math:`w` that is negative at 0 and positive at 1, with a positive
    leading coefficient: exactly one root lies between, the limit falls before it and rises after it, and the other root is
    negative. It is written as the product of the roots over the negative one, in which nothing cancels.

    >>> best_share(), best_share().subs(k, 1)
    (2/(sqrt(4*k + 1) + 1), 2/(1 + sqrt(5)))
    """
    equation = _stationary()
    a, b, c = equation.all_coeffs()
    assert a.is_positive
    assert c.is_negative
    assert (a + b + c).is_positive
    # no root vanishes at any k, so that a branch is negative at all of them or at none
    (negative,) = (root for root in roots(equation) if root.subs(k, 1).is_negative)
    return (-c / a) / factor((-negative).expand())


def _factor() -> Expr:
    """Return the limit over a clean fit's error, a function of ``w`` and ``k``."""
    real, synthetic = _settled()
    return cancel(real + synthetic / k)


def _stationary() -> Poly:
    """Return the numerator of the derivative of the factor by ``w``; the denominator is a square, up to ``k``."""
    slope, below = cancel(_factor().diff(w)).as_numer_denom()
    assert factor(below / k).is_nonnegative
    return Poly(slope, w)


def _at_the_best_share(T: Any, sigma: Any, k: Any) -> Pipeline:
    return _precision(_SETTLED, T, sigma, best_share().subs(symbols.k, k), k)


_SETTLED = 24


@register(
    "ols-mix-precision-best",
    title="The best share of real labels, of unequal precision: the error is the share",
    regime="exact",
    hypotheses=r"""The setting of \texttt{ols-mix-precision-limit} with the best share $w^*=(\sqrt{1+4k}-1)/(2k)$ of real labels,
the positive root of $kw^2+w=1$; the golden ratio $(\sqrt5-1)/2$ for labels of equal precision. The error is $w^*$ times that of
a clean fit""",
    build=_at_the_best_share,
    sources=("he2025golden",),
    relations=(
        Relation(
            "ols-mix-precision-limit",
            "bounded by",
            note="no share does better",
            strict=And(Gt(sigma, 0), Ne(w, best_share())),
        ),
        Relation("ols-mix-precision-limit", "equals", there={"w": best_share()}, note="the best share"),
    ),
)
def ols_mix_precision_best() -> ErrorFormula:
    r"""Put the best share into the limit: modulo the equation of :math:`w^*` the factor is :math:`w^*` itself."""
    equation = _stationary().as_expr()
    top, bottom = _factor().as_numer_denom()
    reduced = factor(rem(top * invert(bottom, equation, w), equation, w))
    return ErrorFormula(
        parts={"bias": S.Zero, "variance": sigma**2 * fixed_design_step(S.One, T) * reduced.subs(w, best_share())},
        regime="exact",
        conditions=(mean_inverse_gram(T)[1],),
    )
