r"""Variance after n rounds of the standard workflows, in symbolic ``n``.

Each round is run through the calculus on a probe: a pipeline whose previous fit has an undetermined variance ``c`` (a
fit on ``1/c`` real rows). What comes out is affine in ``c``, and :mod:`~collapse_theory.algebra.recurrence` solves it.
Variances are in units of one row, so that one clean fit on ``T`` rows has ``1/T``; ``T`` counts real rows or the rows
of every round, ``T0`` synthetic rows where they differ.

Source: Seddik et al. 2024, Suresh, Thangaraj, Khandavally 2024 (replace); Dey, Donoho 2024 (accumulate); He, Xu, Cheng 2025
(fresh real data). The others are ours, and all are derived here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sympy import Dummy, Expr, Gt, Product, S, Symbol, cancel, factor, limit, oo, summation, true, zeta
from sympy.logic.boolalg import Boolean

from collapse_theory import symbols
from collapse_theory.algebra.recurrence import affine, limit_of_sum, product_limit, solve_affine
from collapse_theory.algebra.special import GeometricSum
from collapse_theory.core.numbers import Scalar, real
from collapse_theory.describe.pipeline import Fit, Pipeline
from collapse_theory.families.calculus import RowLaw, moments

__all__ = [
    "VarianceForm",
    "accumulate",
    "accumulate_subsample",
    "fresh_real",
    "keep_real",
    "last_k_decay",
    "last_k_growth",
    "random_past",
    "random_past_rounds",
    "replace",
    "replace_geometric",
    "replace_growing",
]

T, T0, n, w, K = symbols.T, symbols.T0, symbols.n, symbols.w, symbols.k


@dataclass(frozen=True)
class VarianceForm:
    """The variance ``c_n`` of a workflow in closed form.

    Attributes:
        variance: ``c_n`` in symbolic ``n``, in units of one row.
        limit: ``c_n`` for ``n -> oo`` where ``condition`` holds.
        condition: When the limit is finite (regular models) or below 1 (tokens, Gaussians: some diversity survives).
    """

    variance: Expr
    limit: Expr
    condition: Boolean


def _index() -> Symbol:
    return Dummy("k", integer=True, positive=True)


def _round(law: RowLaw, build: Callable[[Pipeline, Fit], None]) -> tuple[Expr, Expr]:
    """Return ``(a, b)`` of ``c' = a c + b`` for the round that ``build`` appends after a fit of variance ``c``."""
    c = Dummy("c", positive=True)
    pipe = Pipeline()
    build(pipe, pipe.fit(pipe.sample(T=1 / c)))
    return affine(_last(pipe, law), c)


def _last(pipe: Pipeline, law: RowLaw) -> Expr:
    return moments(pipe, law, exact=True).covariances[-1, -1]


def _collapses(law: RowLaw) -> bool:
    return law is not RowLaw.CONSTANT


def replace(law: RowLaw) -> VarianceForm:
    r"""Return replace: ``1 - (1 - 1/T)^n`` (tokens, Gaussians), ``n/T`` (regular).

    >>> replace(RowLaw.TOKENS).variance, replace(RowLaw.CONSTANT).variance
    (1 - ((T - 1)/T)**n, n/T)
    """
    a, b = _replace_round(law, T)
    return VarianceForm(solve_affine(a, b, _index(), n), S.One if _collapses(law) else oo, S.false)


def _replace_round(law: RowLaw, rows: Expr) -> tuple[Expr, Expr]:
    def build(pipe: Pipeline, last: Fit) -> None:
        pipe.fit(pipe.sample(T=rows, source=last))

    return _round(law, build)


def replace_growing(law: RowLaw, exponent: Scalar) -> VarianceForm:
    r"""Return replace with ``T k^s`` rows in round k: the limit is finite exactly if ``s > 1``.

    Regular: ``H_n^{(s)}/T -> zeta(s)/T``. In general the sum of ``1/T_k`` decides: growth that is only linear still
    collapses.

    Args:
        law: Row law of the family.
        exponent: ``s``, a number or symbol.

    >>> replace_growing(RowLaw.CONSTANT, 2).limit
    pi**2/(6*T)
    """
    k, s = _index(), real(exponent, "exponent")
    rows = Dummy("T", positive=True)
    a, b = _replace_round(law, rows)
    a, b = cancel(a.subs(rows, T * k**s)), cancel(b.subs(rows, T * k**s))
    converges = Gt(s, 1)
    value = solve_affine(a, b, k, n)
    if not _collapses(law):
        return VarianceForm(value, oo if converges == S.false else zeta(s) / T, converges)
    return VarianceForm(value, S.One if converges == S.false else 1 - product_limit(a, k, 1), converges)


def replace_geometric(law: RowLaw, ratio: Scalar) -> VarianceForm:
    r"""Return replace with ``T q^(k-1)`` rows in round k; the limit is finite exactly if ``q > 1``.

    Args:
        law: Row law of the family.
        ratio: ``q``, a number or symbol.

    >>> replace_geometric(RowLaw.CONSTANT, 2).limit
    2/T
    """
    k, q = _index(), real(ratio, "ratio", positive=True)
    rows = Dummy("T", positive=True)
    a, b = _replace_round(law, rows)
    a, b = a.subs(rows, T * q ** (k - 1)), b.subs(rows, T * q ** (k - 1))
    converges = Gt(q, 1)
    if _collapses(law):
        end = S.One if converges == S.false else 1 - Product(a, (k, 1, oo))
        return VarianceForm(1 - Product(a, (k, 1, n)), end, converges)
    value = (1 - q**-n) / (1 - 1 / q) / T if q != 1 else n / T
    return VarianceForm(value, oo if converges == S.false else q / (q - 1) / T, converges)


def accumulate(law: RowLaw) -> VarianceForm:
    r"""Return accumulate: ``1 - prod_{k<=n} (1 - 1/(T k^2))`` (tokens, Gaussians), ``sum_{k<=n} 1/k^2 / T`` (regular).

    The limits are ``1 - sin(pi/sqrt T)/(pi/sqrt T)`` and ``pi^2/(6 T)``.

    >>> accumulate(RowLaw.CONSTANT).limit, accumulate(RowLaw.TOKENS).limit
    (pi**2/(6*T), -sqrt(T)*sin(pi/sqrt(T))/pi + 1)
    """
    k = _index()
    a, b = _accumulate_round(law, k)
    value = solve_affine(a, b, k, n)
    end = 1 - product_limit(a, k, 1) if _collapses(law) else limit_of_sum(value, n)
    return VarianceForm(value, end, true)


def _accumulate_round(law: RowLaw, k: Symbol) -> tuple[Expr, Expr]:
    """Return round k: the earlier samples enter as one, with the share (k-1)/k and their average's variance."""

    def build(pipe: Pipeline, last: Fit) -> None:
        past = pipe.samples[0]
        pipe.fit([past, pipe.sample(T=T, source=last)], weights=[(k - 1) * T / past.T, S.One])

    return _round(law, build)


def keep_real(law: RowLaw) -> VarianceForm:
    r"""Return keep_real after n synthetic rounds: the same ``T`` real rows pooled with ``T0`` synthetic ones.

    The synthetic fit before is the real average plus independent noise, so its covariance with the real sample stays
    ``1/T``; the probe has this covariance and an undetermined variance.
    """
    c, rows = Dummy("c", positive=True), Dummy("rows", positive=True)
    pipe = Pipeline()
    real = pipe.sample(T=T)
    before = pipe.fit(pipe.sample(T=rows, source=pipe.fit(real)))
    base = moments(pipe, law, exact=True).covariances
    pipe.fit([real, pipe.sample(T=T0, source=before)])
    # the probe's variance is affine in 1/rows
    slope, clean = affine(base[-1, -1].subs(rows, 1 / c), c)
    a, b = affine(cancel(_last(pipe, law).subs(rows, slope / (c - clean))), c)
    value = solve_affine(a, b, _index(), n, start=1 / T)
    return VarianceForm(value, factor(b / (1 - a)), true)


def fresh_real(law: RowLaw, weighted: bool = False) -> VarianceForm:
    r"""Return fresh_real after n rounds: ``T`` new real rows pooled with ``T0`` synthetic ones in every round.

    Args:
        law: Row law of the family.
        weighted: Give the real part the share ``w`` of the total weight, instead of ``T/(T + T0)``.
    """

    def build(pipe: Pipeline, last: Fit) -> None:
        weights = [w / T, (1 - w) / T0] if weighted else None
        pipe.fit([pipe.sample(T=T), pipe.sample(T=T0, source=last)], weights=weights)

    a, b = _round(law, build)
    # as a geometric sum, which is n where the share of the real rows vanishes and nothing is forgotten
    value = a**n / T + b * GeometricSum(factor(1 - a), n) if weighted else solve_affine(a, b, _index(), n, start=1 / T)
    return VarianceForm(value, factor(b / (1 - a)), true)


def random_past(law: RowLaw) -> VarianceForm:
    r"""Return random_past: each row labelled by a past fit (or the truth) drawn uniformly, for the fit of round n.

    It is that of accumulate. The mixture ``q_{k+1} = (k q_k + theta_k)/(k+1)`` gains as much variance as accumulated
    data does in round k+1, for k+1 = 2..n; the draw from it adds what a clean round adds, which is round 1. The affine
    maps of all rounds share their fixed point (or are translations), so their order does not matter.
    """
    return accumulate(law)


def random_past_rounds(law: RowLaw) -> VarianceForm:
    r"""Return the variant of random_past that draws *one* past model per round for all of its rows.

    Averaged over the draws, ``c_{k+1} = a mean(c_0, ..., c_k) + b``, hence for tokens and Gaussians
    ``1 - c_n = Gamma(n+1-1/T)/(n! Gamma(1-1/T))``: it decays to 0 like ``n^(-1/T)``. It is not a pipeline but a mixture
    of pipelines.
    """
    k = _index()
    a, b = _replace_round(law, T)
    # (k+1) c_{k+1} - k c_k = a c_k + b, written for round k
    value = solve_affine(factor((k - 1 + a) / k), factor(b / k), k, n)
    return VarianceForm(value, S.One if _collapses(law) else oo, S.false)


def accumulate_subsample(law: RowLaw) -> VarianceForm:
    r"""Return accumulate_subsample: each fit on ``T`` rows drawn without replacement from all rows so far.

    The pool after round k averages k samples; sample k is labelled by a subsample of the pool before, which adds
    ``h_{k-1}`` of the pool's remaining spread (read off the calculus) before the draw adds its own.
    """
    k = _index()
    h = _subsample_spread(law)
    step, noise = _replace_round(law, T)
    pool = Dummy("c", positive=True)
    before = h.subs(n, k - 1)
    rest = (1 - pool) if _collapses(law) else S.One
    model = pool + before * rest
    # sample k = pool + subsample noise + draw, all uncorrelated: the pool moves by these noises over k
    a, b = affine(cancel(pool + (step * model + noise - pool) / k**2), pool)
    start = _last(_clean(), law)
    value = solve_affine(a, b, k, n, start=start, first=2)
    spread = limit(h, n, oo)
    if not _collapses(law):
        return VarianceForm(value + h, limit_of_sum(value, n) + spread, true)
    pooled = 1 - (1 - start) * product_limit(a, k, 2)
    return VarianceForm(1 - (1 - value) * (1 - h), 1 - (1 - pooled) * (1 - spread), true)


def _clean() -> Pipeline:
    pipe = Pipeline()
    pipe.fit(pipe.sample(T=T))
    return pipe


def _subsample_spread(law: RowLaw) -> Expr:
    """Return the share ``h_n`` of the row variance that drawing T of the n T pooled rows leaves, from the calculus."""
    pipe = Pipeline()
    pool = pipe.sample(T=n * T)
    pipe.fit(pool)
    pipe.fit(pipe.subsample(pool, T=T))
    c = moments(pipe, law, exact=True).covariances
    rest = 1 - c[0, 0] if _collapses(law) else S.One
    return cancel((c[1, 1] - c[0, 0]) / rest)


def last_k_growth() -> Expr:
    r"""Return the variance that each round of last_k adds for regular models, ``4/((K+1)^2 T)``, window symbol ``k``.

    A fresh noise enters the long run with the weight that it keeps: sample j is used by the fits of rounds j to j+K-1,
    so the stationary weight of age i is proportional to ``(K-i)/K``, and the newest has ``1/sum_i (K-i)/K``.

    >>> last_k_growth()
    4/(T*(k + 1)**2)
    """
    i, window = Dummy("i", integer=True), Dummy("K", integer=True, positive=True)
    weight = 1 / summation((window - i) / window, (i, 0, window - 1))
    return (weight**2 / T).subs(window, K).factor()


def last_k_decay(window: int, rows: int) -> float:
    r"""Return the factor by which each round of last_k multiplies the diversity in the long run (tokens, Gaussians).

    The spectral radius of the linear map of ``1 - S_ij`` over the last ``window`` samples: the new sample has
    ``(1/K) sum_i (1 - S_ij)`` with sample j, and ``(1 - 1/T)(1/K^2) sum_ij (1 - S_ij)`` with itself.

    Args:
        window: K, >= 1.
        rows: T, >= 1.

    >>> last_k_decay(1, 10)
    0.9
    """
    index = np.arange(window * window).reshape(window, window)
    step = np.zeros((window * window, window * window))
    step[index[0, 0], :] = (1 - 1 / rows) / window**2
    for j in range(1, window):  # the new sample 0 against the sample that had age j-1
        step[index[0, j], index[:, j - 1]] += 1 / window
        step[index[j, 0], index[j - 1, :]] += 1 / window
        for i in range(1, window):
            step[index[i, j], index[i - 1, j - 1]] += 1
    return float(np.abs(np.linalg.eigvals(step)).max())
