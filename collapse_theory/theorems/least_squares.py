r"""Least squares, exact for finite d and T: replace, accumulate on fresh and on fixed inputs, mixing on a fixed design."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sympy import And, Ge, Gt, Le, S, oo, summation

from collapse_theory.algebra.special import sum_of_simple_poles
from collapse_theory.derive.exact import (
    affine_closed_form,
    fixed_design_step,
    fresh_step,
    mean_inverse_gram,
    one_design_risk,
    telescoped_risk,
)
from collapse_theory.derive.formula import ErrorFormula, value_for
from collapse_theory.derive.regression import excess_risk
from collapse_theory.describe import workflows
from collapse_theory.describe.pipeline import TRUTH, Pipeline, Source, Stage
from collapse_theory.describe.recognise import increments
from collapse_theory.symbols import T0, T, error, n, sigma, sigma0, summation_index, w
from collapse_theory.symbols import n as rounds
from collapse_theory.theorems.per_round import per_round
from collapse_theory.theorems.theorem import Relation, register

__all__: list[str] = []

_IN_CLEAN_FITS = error / (sigma**2 * fixed_design_step(S.One, T))
"""The error in units of one clean fit on T rows, as for regular models."""


def _replace(n: Any, T: Any, T0: Any, sigma: Any, sigma0: Any) -> Pipeline:
    return workflows.replace(n, Stage(T=T0, noise=sigma0), Stage(T=T, noise=sigma))


@register(
    "ols-replace",
    title="Replace: n least-squares generators, least squares downstream",
    regime="exact",
    hypotheses=r"""Gaussian inputs, $n$ least-squares generators on $T_0$ fresh rows each, the first labelled by the truth and the
next by the previous fit, then least squares on $T$ fresh rows labelled by the last generator""",
    build=_replace,
    sources=("dohmatob2024regression",),
    relations=(
        Relation(
            "ridge-replace",
            "same limit",
            {"lam": S.Zero},
            r"the same pipeline: exact here, proportional downstream there",
        ),
        Relation(
            "regular-replace",
            "equals",
            {"T0": T, "sigma0": sigma},
            "in units of one clean fit, a regular model",
            of=_IN_CLEAN_FITS,
        ),
    ),
)
def ols_replace() -> ErrorFormula:
    r"""Derive :math:`\sigma^2d/(T-d-1)+n\sigma_0^2d/(T_0-d-1)`.

    The increments are uncorrelated, and all generators contribute the same one.
    """
    pipe = _replace(1, T, T0, sigma, sigma0)
    generator, tested = (telescoped_risk(increments(pipe, f) or ())[0]["variance"] for f in pipe.fits)
    return ErrorFormula(
        parts={"bias": S.Zero, "variance": tested - generator, "synthetic_variance": n * generator},
        regime="exact",
        conditions=(mean_inverse_gram(T)[1], mean_inverse_gram(T0)[1]),
    )


def _accumulate(n: Any, T: Any, sigma: Any, design: Any = "fresh") -> Pipeline:
    return workflows.accumulate(n, Stage(T=T, noise=sigma), design=design)


def _accumulate_at(n: int, **parameters: Any) -> ErrorFormula:
    r"""Return accumulation with the rows and noise of each round: :math:`\sum_i\sigma_i^2\frac{T_i}{N_i}\frac d{N_i-d-1}`."""
    values = per_round("ols-accumulate", int(value_for(rounds, n)), parameters, (T, sigma), (), "round")
    pipe, last = Pipeline(), Source.of(TRUTH)
    for rows, noise in zip(values["T"], values["sigma"], strict=True):
        pipe.sample(T=rows, noise=noise, source=last)
        last = Source.of(pipe.fit(pipe.samples))
    return excess_risk(pipe, method="exact")


def _accumulate_fixed(n: Any, T: Any, sigma: Any) -> Pipeline:
    return _accumulate(n, T, sigma, design="fixed")


def _first_round(T: Any, sigma: Any) -> Pipeline:
    return _accumulate(1, T, sigma)


def _first_round_fixed(T: Any, sigma: Any) -> Pipeline:
    return _accumulate_fixed(1, T, sigma)


@register(
    "ols-accumulate",
    title="Accumulate with fresh inputs: least squares on all data so far",
    regime="exact",
    hypotheses=r"""Gaussian inputs, $n$ rounds of $T$ fresh rows each; round $k$ labels its rows by the fit of round $k-1$ (the
truth for $k=1$) and fits least squares on all $kT$ rows""",
    build=_accumulate,
    sources=("gerstgrasser2024inevitable", "dey2024universality"),
    relations=(
        Relation("ols-replace", "equals", {"n": 1}, "one round", there={"n": 0}),
        Relation("ols-accumulate-limit", "tends to", {"n": oo}, "for ever"),
        Relation("ols-accumulate-limit", "bounded by", note="every round adds", strict=Gt(sigma, 0)),
        Relation(
            "ols-accumulate-fixed-design",
            "bounded by",
            note="fresh inputs are worth more than the same ones",
            strict=And(Ge(n, 2), Gt(sigma, 0)),
        ),
        Relation("ridge-accumulate", "same limit", {"lam": 0}, "exact here, proportional there"),
        Relation("regular-accumulate", "tends to", {"T": oo}, "many rows per direction", of=_IN_CLEAN_FITS),
    ),
    unfold=_accumulate_at,
)
def ols_accumulate() -> ErrorFormula:
    r"""Derive :math:`\sigma^2\sum_{i\le n}\frac1i\frac d{iT-d-1}` and sum it by partial fractions."""
    i = summation_index("i")
    total = sum_of_simple_poles(sigma**2 * fresh_step(T, i * T), i, n)
    return ErrorFormula(
        parts={"bias": S.Zero, "variance": total}, regime="exact", conditions=(mean_inverse_gram(T)[1], Ge(n, 1))
    )


@register(
    "ols-accumulate-limit",
    title="Accumulate with fresh inputs for ever",
    regime="exact",
    hypotheses=r"The setting of \texttt{ols-accumulate} after infinitely many rounds",
    build=_first_round,
    simulates=False,
    sources=("gerstgrasser2024inevitable", "dey2024universality"),
    relations=(
        Relation(
            "ols-accumulate-fixed-design-limit",
            "bounded by",
            note="fresh inputs are worth more than the same ones",
            strict=Gt(sigma, 0),
        ),
        Relation("regular-accumulate-limit", "tends to", {"T": oo}, "many rows per direction", of=_IN_CLEAN_FITS),
    ),
)
def ols_accumulate_limit() -> ErrorFormula:
    r"""Take :math:`n\to\infty` in the closed form: the digamma difference at infinity vanishes."""
    return _limit(ols_accumulate())


@register(
    "ols-accumulate-fixed-design",
    title="Accumulate on the same inputs: the pi^2/6 law",
    regime="exact",
    hypotheses=r"""Gaussian inputs drawn once ($T$ rows); every round labels them anew by the fit of the round before and fits least
squares on all labels so far""",
    build=_accumulate_fixed,
    sources=("gerstgrasser2024inevitable",),
    relations=(
        Relation("ols-replace", "equals", {"n": 1}, "one round", there={"n": 0}),
        Relation("ols-accumulate-fixed-design-limit", "tends to", {"n": oo}, "for ever"),
        Relation("ols-accumulate-fixed-design-limit", "bounded by", note="every round adds", strict=Gt(sigma, 0)),
        Relation(
            "ols-replace",
            "bounded by",
            note="the data that are kept help",
            there={"n": n - 1, "T0": T, "sigma0": sigma},
            strict=And(Ge(n, 2), Gt(sigma, 0)),
        ),
        Relation("regular-accumulate", "equals", note="in units of one clean fit, a regular model", of=_IN_CLEAN_FITS),
    ),
)
def ols_accumulate_fixed_design() -> ErrorFormula:
    r"""Derive :math:`\frac{\sigma^2d}{T-d-1}\sum_{i\le n}i^{-2}`: the labels of round i have share 1/i on one design."""
    i = summation_index("i")
    return ErrorFormula(
        parts={"bias": S.Zero, "variance": sigma**2 * fixed_design_step(S.One, T) * summation(
            fixed_design_step(1 / i, T) / fixed_design_step(S.One, T), (i, 1, n))},
        regime="exact",
        conditions=(mean_inverse_gram(T)[1], Ge(n, 1)),
    )  # fmt: skip


@register(
    "ols-accumulate-fixed-design-limit",
    title="Accumulate on the same inputs for ever",
    regime="exact",
    hypotheses=r"The setting of \texttt{ols-accumulate-fixed-design} after infinitely many rounds",
    build=_first_round_fixed,
    simulates=False,
    sources=("gerstgrasser2024inevitable", "dey2024universality"),
    relations=(
        Relation(
            "regular-accumulate-limit", "equals", note="in units of one clean fit, a regular model", of=_IN_CLEAN_FITS
        ),
    ),
)
def ols_accumulate_fixed_design_limit() -> ErrorFormula:
    r"""Take :math:`n\to\infty`: the harmonic number of order two tends to :math:`\pi^2/6`."""
    return _limit(ols_accumulate_fixed_design())


def _limit(formula: ErrorFormula) -> ErrorFormula:
    at_infinity = {name: e.subs(n, oo) for name, e in formula.parts.items()}
    kept = tuple(c for c in formula.conditions if n not in c.free_symbols)
    return replace(formula, parts=at_infinity, conditions=kept)


def _mix(n: Any, T: Any, sigma: Any, w: Any) -> Pipeline:
    return workflows.label_mix(n, Stage(T=T, noise=sigma), weight=w)


@register(
    "ols-mix-fixed-design",
    title="Mixing fresh real labels into synthetic ones on a fixed design",
    regime="exact",
    hypotheses=r"""Gaussian inputs drawn once ($T$ rows); a clean least-squares fit, then $n$ fits whose labels are $w$ times fresh
real labels plus $1-w$ times fresh labels of the previous fit""",
    build=_mix,
    sources=("he2025golden", "garg2025overparametrization"),
    relations=(
        Relation("ols-replace", "equals", {"n": 0}, "no round"),
        Relation("ols-replace", "equals", {"w": 1}, "real labels only", there={"n": 0}),
        Relation("ols-replace", "equals", {"w": 0}, "synthetic labels only", there={"T0": T, "sigma0": sigma}),
        Relation("ridge-label-mix", "same limit", {"lam": 0}, "exact here, proportional there"),
        Relation(
            "regular-fresh-real",
            "equals",
            note="in units of one clean fit, a regular model on equal rows",
            there={"T0": T},
            of=_IN_CLEAN_FITS,
        ),
    ),
)
def ols_mix_fixed_design() -> ErrorFormula:
    r"""Derive the affine recursion :math:`v_{k+1}=w^2+(1-w)^2(1+v_k)` from three fits, and solve it."""
    clean = one_design_risk(*_tested(_mix(0, T, sigma, w)), T)[0]["variance"]
    factors = [(one_design_risk(*_tested(_mix(k, T, sigma, w)), T)[0]["variance"] / clean).factor() for k in range(3)]
    v0, v1, v2 = factors
    return ErrorFormula(
        parts={"bias": S.Zero, "variance": clean * affine_closed_form(v0, v1, v2, n)},
        regime="exact",
        conditions=(mean_inverse_gram(T)[1], Le(w, 1)),
    )


def _tested(pipe: Pipeline) -> tuple[Pipeline, Any]:
    return pipe, pipe.fits[-1]
