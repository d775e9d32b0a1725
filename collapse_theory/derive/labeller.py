r"""The labeller recursion: the test error of every pipeline whose samples have inputs of their own that one fit uses.

A fit that pools rows with labellers :math:`w_i` in shares :math:`p_i=T_i/N` is, for the asymptotic error, a fit on rows
labelled by :math:`\bar w=\sum_ip_iw_i` with noise variance
:math:`\tau^2=\sum_ip_i\sigma_i^2+\sum_ip_i\|w_i-\bar w\|_\Sigma^2`. Its inputs are independent of all labellers, so the errors
:math:`e_k=\hat w_k-w_0` have

.. math:: \mathbb Ee_k=-\ell_k(\Sigma)w_0,\qquad
   \Sigma\operatorname{Cov}(e_k,e_l)\simeq\sum_jx_j\,\gamma_k^j\gamma_l^j(\Sigma)\,h_j(\Sigma),\qquad h_j=r_j^2,

with :math:`r=\Sigma(\Sigma+\kappa)^{-1}` and :math:`c=\kappa(\Sigma+\kappa)^{-1}` of each fit. One step (:func:`fitted`) is

.. math:: \ell_k=r_k\bar\ell+c_k,\qquad\gamma_k^j=r_k\bar\gamma^j,\quad\gamma_k^k=1,\qquad
   x_k=\frac{\mathbb E\|c_k\bar w\|_\Sigma^2+\tau^2}{T_k-\mathrm{df}_2(\kappa_k)},

the generation operator (:mod:`.operator`) applied forward; :math:`H\mapsto r^2(H+x)` is the transpose of
:math:`M\mapsto r^2M+\kappa^2a'[M]\,r^2\Sigma^{-1}`. What a labeller *lost* is carried beside what it kept, and labellers
disagree by what they lost: all terms are squares of quantities in which nothing cancels, and what is unbiased has no bias, to
the last bit.

Where every fit has one sample, labelled by the fit before, the same step read backwards (:func:`chain_risk`) needs no
covariances: :math:`M_l=\mathcal G_l[M_{l+1}]` from :math:`M=\Sigma`. It gives the formula that is printed, and the powers of the
operator that stand for a symbolic number of fits.

Source: Dohmatob, Feng, Kempe 2024 (one generation); Dohmatob, Feng, Subramonian, Kempe 2024 (mixed samples); the recursion over
fits is ours (``derivations/mean_labeller.py``, ``derivations/ridge_chain.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from sympy import Add, Expr, S, sqrt, together

from collapse_theory.algebra.effective import EffectiveRidge, ResidualDegrees
from collapse_theory.algebra.integrals import QuadraticForm, SpectralTrace
from collapse_theory.derive.operator import Generation, response, shrinkage, spread
from collapse_theory.derive.pooled import COMMON, Noise, PooledDesign, PooledFit, PooledSystem
from collapse_theory.symbols import eigenvalue

__all__ = [
    "FitStep",
    "Fluctuation",
    "Integrals",
    "LabelledRows",
    "Law",
    "PooledStage",
    "chain_risk",
    "fitted",
    "pooled_risk",
    "pooled_stages",
    "risk",
    "system_of",
]


@dataclass(frozen=True)
class LabelledRows:
    """The rows of a fit that one labeller labels.

    Attributes:
        share: Rows over all rows of the fit.
        truth: Coefficient of the truth.
        missing: One minus the sum of all coefficients: the share of the signal that the labeller does not carry.
        fits: Coefficient of each earlier fit, by its place among the stages.
    """

    share: Any
    truth: Any
    missing: Any
    fits: Mapping[int, Any]


@dataclass(frozen=True)
class PooledStage:
    """One fit on inputs of its own.

    Attributes:
        T: All its rows.
        lam: Ridge on the mean squared error.
        noise: Variance of the label noise, averaged over the rows.
        labels: Its labellers, no two alike.
    """

    T: Any
    lam: Any
    noise: Any
    labels: tuple[LabelledRows, ...]


def pooled_stages(system: PooledSystem) -> tuple[PooledStage, ...]:
    """Return the stages of a system that :func:`collapse_theory.describe.recognise.own_inputs` accepts.

    Rows of equal labellers are one sample, so that their shares add before anything is computed with them.
    """
    return tuple(_stage(f.ridge / f.designs[0].weight, f.N, f.designs) for f in system.fits)


def _stage(lam: Expr, N: Expr, designs: Sequence[PooledDesign]) -> PooledStage:
    rows: dict[tuple[Any, ...], Expr] = {}
    noise = S.Zero
    for design in designs:
        labeller = (design.truth, tuple(sorted(design.labellers)))
        rows[labeller] = rows.get(labeller, S.Zero) + design.T
        noise += design.T / N * sum((e.share**2 * e.sigma**2 for e in design.noises), S.Zero)
    labels = (
        LabelledRows(T / N, truth, 1 - truth - sum(c for _, c in fits), dict(fits)) for (truth, fits), T in rows.items()
    )
    return PooledStage(N, lam, noise, tuple(labels))


def system_of(stages: Sequence[PooledStage]) -> PooledSystem:
    """Return stages as a system of fits, the rows of each labeller a design of its own; the inverse of :func:`pooled_stages`."""
    sample = count()
    return PooledSystem(tuple(
        PooledFit(f.lam, f.T, tuple(_design(f, rows, next(sample)) for rows in f.labels)) for f in stages
    ))  # fmt: skip


def _design(f: PooledStage, rows: LabelledRows, sample: int) -> PooledDesign:
    labellers, noise = tuple(rows.fits.items()), Noise(sample, S.One, sqrt(f.noise))
    return PooledDesign(sample, COMMON, rows.share * f.T, S.One, rows.truth, labellers, (noise,))


# ---------------------------------------------------------------------- the step, in any arithmetic
@dataclass(frozen=True)
class Integrals:
    """The eigenvalue of an arithmetic, a symbol or the nodes, and its integrals.

    Attributes:
        s: The eigenvalue.
        trace: Integral of a function of ``s`` against the counting measure.
        form: Integral against the target energies.
    """

    s: Any
    trace: Callable[[Any], Any]
    form: Callable[[Any], Any]


@dataclass(frozen=True)
class FitStep:
    """What a fit does to the labels, by its effective ridge.

    Attributes:
        kept: ``r = s/(s + kappa)``.
        lost: ``c = kappa/(s + kappa)``.
        square: ``c**2`` as a constant and a function: a formula has the constant before its integrals, and numbers have
            it inside, where it does not overflow.
        residual: Residual degrees of freedom.
    """

    kept: Any
    lost: Any
    square: tuple[Any, Any]
    residual: Any


@dataclass(frozen=True)
class Fluctuation:
    """A fluctuation that some fits share, ``Sigma Cov(e_k, e_l) = x gain_k gain_l shape``.

    Attributes:
        target: What the target contributes to ``x``.
        noise: What the label noises contribute.
        shape: A function of the eigenvalue.
        gains: The gain of each fit that has a part in it.
    """

    target: Any
    noise: Any
    shape: Any
    gains: Mapping[int, Any]


@dataclass(frozen=True)
class Law:
    """Means and covariances of fits.

    Attributes:
        kept: ``E w_k = kept_k(Sigma) w0``, by place.
        lost: One minus it, without a difference.
        sources: The independent fluctuations.
    """

    kept: Mapping[int, Any]
    lost: Mapping[int, Any]
    sources: tuple[Fluctuation, ...]


def fitted(law: Law, k: int, labels: Sequence[LabelledRows], noise: Any, step: FitStep, integrals: Integrals) -> Law:
    """Return the law of the fits with fit ``k`` on rows of these labels and noise variance."""
    s, form = integrals.s, integrals.form
    each = [_labeller(one, law) for one in labels]
    mean = each[0] if len(each) == 1 else _mean([one.share for one in labels], each)
    kept, lost, gains = mean
    outer, inner = step.square
    wobble = _fluctuation(law, integrals, inner, gains)
    target = outer * (form(s * inner * kept**2) + wobble[0])
    noise = outer * wobble[1] + noise
    if len(each) > 1:  # labellers that disagree are noise
        for one, (_, own, gain) in zip(labels, each, strict=True):
            apart = _fluctuation(law, integrals, 1, _difference(gain, gains))
            target = target + one.share * (form(s * (own - lost) ** 2) + apart[0])
            noise = noise + one.share * apart[1]
    inherited = (
        Fluctuation(x.target, x.noise, x.shape, {**x.gains, k: step.kept * gains[j]} if j in gains else x.gains)
        for j, x in enumerate(law.sources)
    )
    own_source = Fluctuation(target / step.residual, noise / step.residual, step.kept**2, {k: 1})
    return Law(
        {**law.kept, k: step.kept * kept}, {**law.lost, k: step.kept * lost + step.lost}, (*inherited, own_source)
    )


def risk(law: Law, k: int, integrals: Integrals) -> tuple[Any, Any]:
    """Return bias and variance of fit ``k``."""
    gains = {j: x.gains[k] for j, x in enumerate(law.sources) if k in x.gains}
    bias, variance = _fluctuation(law, integrals, 1, gains)
    return integrals.form(integrals.s * law.lost[k] ** 2) + bias, variance


Combination = tuple[Any, Any, dict[int, Any]]
"""What a combination of fits and the truth keeps, what it lost, and its gain from each source."""


def _fluctuation(law: Law, integrals: Integrals, weight: Any, gains: Mapping[int, Any]) -> tuple[Any, Any]:
    """Return the weighted square of a combination's fluctuation, from target and noises."""
    masses = [(law.sources[j], integrals.trace(weight * law.sources[j].shape * y**2)) for j, y in gains.items()]
    return sum(x.target * mass for x, mass in masses), sum(x.noise * mass for x, mass in masses)


def _labeller(labels: LabelledRows, law: Law) -> Combination:
    kept, lost = labels.truth, labels.missing
    gains: dict[int, Any] = {}
    for place, coefficient in labels.fits.items():
        kept, lost = kept + coefficient * law.kept[place], lost + coefficient * law.lost[place]
        for j, x in enumerate(law.sources):
            if place in x.gains:
                gains[j] = gains.get(j, 0) + coefficient * x.gains[place]
    return kept, lost, gains


def _mean(shares: Sequence[Any], each: Sequence[Combination]) -> Combination:
    gains: dict[int, Any] = {}
    for p, (_, _, one) in zip(shares, each, strict=True):
        for j, y in one.items():
            gains[j] = gains.get(j, 0) + p * y
    return (
        sum(p * a for p, (a, _, _) in zip(shares, each, strict=True)),
        sum(p * b for p, (_, b, _) in zip(shares, each, strict=True)),
        gains,
    )


def _difference(a: Mapping[int, Any], b: Mapping[int, Any]) -> dict[int, Any]:
    return {j: a.get(j, 0) - b.get(j, 0) for j in sorted({*a, *b})}


# ---------------------------------------------------------------------- formulas
def pooled_risk(stages: Sequence[PooledStage]) -> tuple[Expr, Expr]:
    """Return bias and variance of the last stage as explicit expressions.

    >>> from collapse_theory.symbols import T, lam, sigma
    >>> stage = PooledStage(T, lam, sigma**2, (LabelledRows(S.One, S.One, S.Zero, {}),))
    >>> pooled_risk([stage])[1] == chain_risk([Generation(T, lam, sigma)])[1]
    True
    """
    integrals = Integrals(eigenvalue, SpectralTrace, QuadraticForm)
    law = Law({}, {}, ())
    for k, stage in enumerate(stages):
        law = fitted(law, k, stage.labels, stage.noise, _step(stage), integrals)
    return risk(law, len(stages) - 1, integrals)


def _step(stage: PooledStage) -> FitStep:
    kappa = EffectiveRidge(stage.T, stage.lam)
    lost = kappa / (eigenvalue + kappa)
    square = (kappa**2, (eigenvalue + kappa) ** -2)
    return FitStep(shrinkage(kappa), lost, square, ResidualDegrees(stage.T, stage.lam))


def chain_risk(stages: Sequence[Generation]) -> tuple[Expr, Expr]:
    r"""Return bias and variance of the last fit of a chain, each fit on its own sample labelled by the one before.

    Backwards from :math:`M=\Sigma`, with :math:`M_l=\mathcal G_l[M_{l+1}]` kept as a product of shrinkages plus terms
    :math:`c_jh_j(\Sigma)` with positive scalars, so that the bias :math:`w_0^\top(\Sigma-2u_0+M_0)w_0` comes out as
    :math:`w_0^\top\Sigma(1-\prod_lr_l)^2w_0+\sum_jc_jw_0^\top h_jw_0`: a sum of squares.

    Args:
        stages: Fits in order, the tested one last.

    >>> from collapse_theory.symbols import T, lam, sigma
    >>> bias, variance = chain_risk([Generation(T, lam, sigma)])
    >>> variance
    sigma**2*tr[Sigma**2/(Sigma + EffectiveRidge(T, lam))**2]/ResidualDegrees(T, lam)
    """
    mean, variance = S.One, S.Zero
    moved: list[tuple[Expr, Expr]] = []
    for stage in reversed(stages):
        r, M = shrinkage(stage.kappa), [(S.One, eigenvalue * mean**2), *moved]
        answer = Add(*(c * response(h, stage) for c, h in M))
        variance += stage.sigma**2 * answer
        mean *= r
        moved = [(c, h * r**2) for c, h in moved] + spread(M, answer, stage)
    lost = together(1 - mean)
    bias = QuadraticForm(eigenvalue * lost**2) + Add(*(c * QuadraticForm(h) for c, h in moved))
    return bias, variance
