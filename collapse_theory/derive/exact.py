r"""Exact theory of least squares on Gaussian inputs, for any finite number of rows and features.

One primitive, the mean of an inverse Wishart matrix, :math:`\mathbb E(X^\top X)^{-1}=\Sigma^{-1}/(N-d-1)` for
:math:`N\ge d+2`, and two structures in which the noise enters through one inverse Gram matrix at a time:

* *telescoping* (replace and accumulate): :math:`H_k(\hat w_k-\hat w_{k-1})=\sum_{\text{new}}X_i^\top\varepsilon_i`;
* *one design*: every fit is a linear combination of :math:`w_0` and of :math:`(X^\top X)^{-1}X^\top\varepsilon_i`;

and a third that needs one more moment, what labellers cost that disagree (:func:`disagreement`):

* *own inputs*: every fit pools rows of several labellers, all independent of its inputs.

Source: Muirhead, Aspects of Multivariate Statistical Theory, 1982, ch. 3 (the mean of an inverse Wishart matrix); Dohmatob,
Feng, Kempe 2024 (replace); Gerstgrasser et al. 2024 (accumulate on one design). Telescoping on fresh inputs, and the exact
constant of labellers that disagree, are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

from sympy import Add, Expr, Ge, S, Symbol, factor
from sympy.logic.boolalg import Boolean

from collapse_theory.algebra.integrals import QuadraticForm, SpectralTrace
from collapse_theory.algebra.special import GeometricSum
from collapse_theory.derive.labeller import PooledStage
from collapse_theory.describe.pipeline import Fit, OneOf, Pipeline, Truth
from collapse_theory.describe.recognise import Increment
from collapse_theory.symbols import N, d, eigenvalue

__all__ = [
    "affine_closed_form",
    "disagreement",
    "fixed_design_step",
    "fresh_step",
    "mean_inverse_gram",
    "one_design_risk",
    "own_inputs_risk",
    "telescoped_risk",
]


def mean_inverse_gram(rows: Expr) -> tuple[Expr, Boolean]:
    r"""Return ``f`` with :math:`\mathbb E(X^\top X)^{-1}=f(\Sigma)` for ``rows`` Gaussian rows, and its condition.

    >>> from collapse_theory.symbols import T
    >>> mean_inverse_gram(T)
    (1/(Sigma*(T - d - 1)), T >= d + 2)
    """
    return 1 / (eigenvalue * (rows - d - 1)), Ge(rows, d + 2)


def fresh_step(new: Expr, rows: Expr) -> Expr:
    r"""Return the risk per unit noise variance of :math:`H^{-1}\sum_{\text{new}}X_i^\top\varepsilon_i`, all rows independent.

    The rows are exchangeable, so :math:`\mathbb E[H^{-1}X_{\text{new}}^\top X_{\text{new}}H^{-1}]` is the share of the new rows
    of :math:`\mathbb E[H^{-1}HH^{-1}]`.

    Args:
        new: Number of new rows.
        rows: Number of all rows of the fit.
    """
    inverse, _ = mean_inverse_gram(rows)
    return new / rows * SpectralTrace(eigenvalue * inverse)


def fixed_design_step(share: Expr, rows: Expr) -> Expr:
    r"""Return the risk per unit noise variance of :math:`H^{-1}X^\top\varepsilon` with :math:`H=X^\top X/\text{share}`.

    Args:
        share: Weight of the new labels among all labels on the design.
        rows: Number of rows of the design.
    """
    inverse, _ = mean_inverse_gram(rows)
    return share**2 * SpectralTrace(eigenvalue * inverse)


def disagreement(rows: Expr) -> Expr:
    r"""Return :math:`\tau`, the risk per unit of :math:`\sum_ip_i\|w_i-\bar w\|_\Sigma^2` of labellers pooled in one fit.

    With whitened rows :math:`x_a`, :math:`H=\sum_ax_ax_a^\top` and :math:`u_a` the deviation from :math:`\bar w` of the labeller of
    row a, the fit is off by :math:`H^{-1}\sum_ax_ax_a^\top u_a`. Rows are exchangeable and isotropic, so its mean square is
    :math:`\alpha\sum_a|u_a|^2+\beta\sum_{a\ne b}u_a\cdot u_b`. Equal :math:`u_a` are fitted exactly,
    :math:`N\alpha+N(N-1)\beta=1`, and deviations sum to zero: :math:`\tau=N(\alpha-\beta)`.

    For :math:`\alpha=\frac1d\mathbb E|x|^2x^\top H^{-2}x` take x out of H: with :math:`H'=H-xx^\top` and x along the first axis,
    :math:`(H'^{-1})_{1\cdot}=m(1,-b)`, where :math:`1/m` is a chi-square of :math:`N-d` degrees of freedom, independent of
    the regression coefficients b of mean square :math:`(d-1)/(N-d-1)`. Hence :math:`d\alpha=(1+\mathbb E|b|^2)\,\mathbb EB^2` with
    :math:`B=|x|^2m/(1+|x|^2m)`, a Beta variable of :math:`d/2` and :math:`(N-d)/2`.

    Args:
        rows: Number of all rows of the fit, at least ``d + 2``.

    >>> from collapse_theory.symbols import N
    >>> disagreement(N).subs({N: 8, d: 2})
    71/175
    """
    return _disagreement().xreplace({N: rows})


@cache
def _disagreement() -> Expr:
    inverse, _ = mean_inverse_gram(N)
    coefficients = (d - 1) * (eigenvalue * inverse).subs({N: N - 1, d: d - 1}, simultaneous=True)
    a, total = d / 2, N / 2
    square = a * (a + 1) / (total * (total + 1))
    alpha = (1 + coefficients) * square / d
    beta = (1 - N * alpha) / (N * (N - 1))
    return factor(N * (alpha - beta))


def telescoped_risk(steps: tuple[Increment, ...]) -> tuple[Mapping[str, Expr], tuple[Boolean, ...]]:
    """Return the terms and conditions for fits that replace or accumulate.

    >>> from collapse_theory.describe.workflows import replace
    >>> from collapse_theory.describe.pipeline import Stage
    >>> from collapse_theory.describe.recognise import increments
    >>> from collapse_theory.symbols import T, sigma
    >>> pipe = replace(0, downstream=Stage(T=T, noise=sigma))
    >>> telescoped_risk(increments(pipe, pipe.fits[-1]))[0]["variance"]
    d*sigma**2/(T - d - 1)
    """
    variance, conditions = S.Zero, []
    for step in steps:
        for s in step.new:
            variance += (s.noise or S.Zero) ** 2 * fresh_step(s.T, step.rows)
        conditions.append(mean_inverse_gram(step.rows)[1])
    return {"bias": S.Zero, "variance": variance}, tuple(dict.fromkeys(conditions))


def one_design_risk(pipeline: Pipeline, model: Fit, rows: Expr) -> tuple[Mapping[str, Expr], tuple[Boolean, ...]]:
    r"""Return the terms and conditions for least-squares fits on one design.

    Forward over the graph: :math:`\hat w=b\,w_0+\sum_ig_i(X^\top X)^{-1}X^\top\varepsilon_i`; a sample's labels
    fit its source plus its own noise, a fit averages its samples' labels with their weights.
    """
    signal: dict[Truth | Fit, Expr] = {}
    noise: dict[Truth | Fit, dict[int, Expr]] = {}

    def expansion(labeller: Truth | Fit) -> tuple[Expr, dict[int, Expr]]:
        return (S.One, {}) if isinstance(labeller, Truth) else (signal[labeller], noise[labeller])

    for f in pipeline.ancestors(model):
        total = sum(f.weights, S.Zero)
        signal[f], noise[f] = S.Zero, {}
        for s, a in zip(f.samples, f.weights, strict=True):
            if isinstance(s.source, OneOf):
                raise AssertionError("one_design admits no random labellers")  # noqa: TRY004 - a bug, not bad input
            for made, c in s.resolved.noises:
                noise[f][made.index] = noise[f].get(made.index, S.Zero) + a / total * c
            for labeller, c in s.resolved.signal:
                b, gains = expansion(labeller)
                signal[f] += a / total * c * b
                for i, g in gains.items():
                    noise[f][i] = noise[f].get(i, S.Zero) + a / total * c * g
    lost = (S.One - signal[model]).factor()
    step = fixed_design_step(S.One, rows)
    variance = sum(
        (g.factor() ** 2 * (pipeline.samples[i].noise or S.Zero) ** 2 * step for i, g in noise[model].items()), S.Zero
    )
    return {"bias": lost**2 * QuadraticForm(eigenvalue), "variance": variance}, (mean_inverse_gram(rows)[1],)


def own_inputs_risk(
    stages: Sequence[PooledStage], cost: Callable[[Expr], Expr] = disagreement
) -> tuple[Mapping[str, Expr], tuple[Boolean, ...]]:
    r"""Return the terms and conditions for least-squares fits that each pool rows of labellers independent of their inputs.

    With the shares :math:`p_i`, the errors :math:`e_i` of the labellers and :math:`\bar e=\sum_ip_ie_i`, a fit has

    .. math:: \mathbb E\langle e,e_l\rangle=\mathbb E\langle\bar e,e_l\rangle,\qquad
       \mathbb E\|e\|^2=\mathbb E\|\bar e\|^2+\tau\sum_ip_i\mathbb E\|e_i-\bar e\|^2+\frac{d\sum_ip_i\sigma_i^2}{N-d-1}

    in the norm of :math:`\Sigma`, for every fit :math:`l` before it: exchangeable rows leave the mean labeller unchanged on
    average. So the Gram matrix of the errors obeys a linear recursion of numbers.

    Args:
        stages: The fits in order, the tested one last; their ridges are not looked at.
        cost: Returns :math:`\tau` from the rows of a fit; a name for it keeps a derivation short.

    >>> from collapse_theory.derive.labeller import LabelledRows
    >>> from collapse_theory.symbols import T, sigma
    >>> clean = PooledStage(T, S.Zero, sigma**2, (LabelledRows(S.One, S.One, S.Zero, {}),))
    >>> own_inputs_risk([clean])[0]["variance"]
    d*sigma**2/(T - d - 1)
    """
    parts = {
        "bias": _last_square(stages, S.One, S.Zero, cost) * QuadraticForm(eigenvalue),
        "variance": _last_square(stages, S.Zero, S.One, cost),
    }
    return parts, tuple(dict.fromkeys(mean_inverse_gram(x.T)[1] for x in stages))


_NOTHING = -1
"""Place of the labeller that has lost all of the signal: its error is the truth itself."""


def _last_square(stages: Sequence[PooledStage], signal: Expr, noisy: Expr, cost: Callable[[Expr], Expr]) -> Expr:
    """Return the mean square of the last fit's error, the truth of energy ``signal`` and the noises times ``noisy``."""
    gram: dict[tuple[int, int], Expr] = {(_NOTHING, _NOTHING): signal}
    for k, stage in enumerate(stages):
        each = [(x.share, {_NOTHING: x.missing, **x.fits}) for x in stage.labels]
        places = sorted({place for _, e in each for place, c in e.items() if c != 0})
        mean = {a: Add(*(p * e.get(a, S.Zero) for p, e in each)) for a in places}
        spread = cost(stage.T) if len(each) > 1 else S.Zero

        def gain(a: int, b: int, each: Any = each, mean: Any = mean, spread: Expr = spread) -> Expr:
            apart = Add(*(p * (e.get(a, S.Zero) - mean[a]) * (e.get(b, S.Zero) - mean[b]) for p, e in each))
            return _factored(mean[a] * mean[b]) + spread * _factored(apart)

        square = Add(*(gain(a, b) * gram[a, b] for a in places for b in places))
        for earlier in range(_NOTHING, k):
            gram[k, earlier] = gram[earlier, k] = Add(*(mean[a] * gram[a, earlier] for a in places))
        gram[k, k] = square + noisy * stage.noise * fresh_step(stage.T, stage.T)
    return gram[len(stages) - 1, len(stages) - 1]


@lru_cache(maxsize=1024)
def _factored(e: Expr) -> Expr:
    """Return the factors of a gain; equal fits have equal ones."""
    return factor(e)


def affine_closed_form(v0: Expr, v1: Expr, v2: Expr, n: Symbol) -> Expr:
    r"""Return :math:`v_n` of the affine recursion :math:`v_{k+1}=\alpha v_k+\beta` from its first three values.

    The increments are geometric, :math:`v_n=v_0+(v_1-v_0)\sum_{k<n}\alpha^k`, which stays accurate as
    :math:`\alpha\to1`.

    >>> from collapse_theory.symbols import n
    >>> affine_closed_form(S(1), S(3), S(7), n).doit().simplify()
    2**(n + 1) - 1
    """
    first, second = (v1 - v0).factor(), (v2 - v1).factor()
    return v0 + first * GeometricSum((1 - second / first).factor(), n)
