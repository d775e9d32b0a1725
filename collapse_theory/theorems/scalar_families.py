r"""Token distributions, Gaussians and regular models: the error after the standard workflows, in symbolic n.

Every formula is solved by :mod:`collapse_theory.families.closed_forms` from rounds that the covariance calculus
derives.
The three families share one calculus, so each workflow is registered once per family, in the family's unit: of
``1 - sum p^2`` (tokens), of ``tr Sigma`` (Gaussian mean), of the variance of one clean fit on ``T`` rows (regular
models).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sympy import Add, Expr, Ge, Gt, S, cancel, factor, oo

from collapse_theory.describe import workflows
from collapse_theory.describe.pipeline import Pipeline, Stage
from collapse_theory.families import closed_forms
from collapse_theory.families.categorical import Categorical
from collapse_theory.families.closed_forms import ClosedForm
from collapse_theory.families.efficiency import best_stationary_weight
from collapse_theory.families.gaussian import Gaussian
from collapse_theory.families.protocol import Family
from collapse_theory.families.rates import NoTotalCollapse
from collapse_theory.families.regular import Regular
from collapse_theory.formula import ErrorFormula
from collapse_theory.symbols import T0, T, m, n, w
from collapse_theory.theorems.theorem import Relation, register

__all__: list[str] = []


@dataclass(frozen=True)
class _Workflow:
    """One workflow for all families.

    Attributes:
        slug: Second half of the theorem's name.
        title: One line.
        setting: The workflow in words.
        form: Returns its closed form in symbolic ``m``.
        rounds: ``m`` in terms of ``n``, as the theorem counts.
        conditions: Besides ``T >= 1``.
        build: Returns the pipeline from the formula's symbols.
    """

    slug: str
    title: str
    setting: str
    form: Callable[[Any], ClosedForm]
    rounds: Expr
    conditions: tuple[Any, ...]
    build: Callable[..., Pipeline]


_WORKFLOWS = (
    _Workflow(
        "replace",
        "Replace",
        "$n$ models in a chain before the tested one, each fitted to $T$ rows of the model before (first: real ones)",
        closed_forms.replace,
        n + 1,
        (),
        lambda n, T: workflows.replace(n, Stage(T=T), Stage(T=T)),
    ),
    _Workflow(
        "accumulate",
        "Accumulate",
        "$n$ rounds; round $k$ draws $T$ rows from the model before (first: the truth) and fits all $kT$ rows so far",
        closed_forms.accumulate,
        n,
        (Ge(n, 1),),
        lambda n, T: workflows.accumulate(n, Stage(T=T)),
    ),
    _Workflow(
        "keep-real",
        "Keep the real data",
        "a clean fit on $T$ real rows, then $n$ rounds on the same real rows and $T_0$ rows of the model before",
        closed_forms.keep_real,
        n,
        (Ge(T0, 1),),
        lambda n, T, T0: workflows.keep_real(n, Stage(T=T), Stage(T=T0)),
    ),
    _Workflow(
        "fresh-real",
        "Fresh real data every round",
        "a clean fit on $T$ real rows, then $n$ rounds on $T$ new real rows with the share $w$ of the total weight and "
        "$T_0$ rows of the model before",
        lambda law: closed_forms.fresh_real(law, weighted=True),
        n,
        (Ge(T0, 1), Ge(1 - w, 0)),
        lambda n, T, T0, w: workflows.fresh_real(n, Stage(T=T), Stage(T=T0), weight=w),
    ),
    _Workflow(
        "random-past",
        "A random past model labels each row",
        "$n$ rounds of $T$ rows, each row drawn from a past model (or the truth) chosen uniformly at random",
        closed_forms.random_past,
        n,
        (Ge(n, 1), Gt(T, 1)),
        lambda n, T: workflows.random_past(n, Stage(T=T)),
    ),
    _Workflow(
        "accumulate-subsample",
        "Accumulate and subsample",
        "$n$ rounds as in accumulate, each model fitted to $T$ rows drawn without replacement from all rows so far",
        closed_forms.accumulate_subsample,
        n,
        (Ge(n, 1), Gt(T, 1)),
        lambda n, T: workflows.accumulate_subsample(n, Stage(T=T)),
    ),
)

_FAMILIES: tuple[tuple[str, str, Family, Expr], ...] = (
    ("token", "Token frequencies, $p$ any distribution", Categorical([0.5, 0.3, 0.2], relative=True), S.One),
    ("gaussian", "Gaussians fitted by maximum likelihood", Gaussian(), S.One),
    ("regular", "A regular parametric model, maximum likelihood, to leading order in $1/T$", Regular(), T),
)


def _formula(family: Family, unit: Expr, value: Expr, conditions: tuple[Any, ...]) -> ErrorFormula:
    return ErrorFormula(
        parts={"bias": S.Zero, "variance": Add(*(unit * part for part in Add.make_args(value)))},
        regime=family.regime,
        conditions=(Ge(T, 1), *conditions),
        method="exact" if family.regime == "exact" else "calculus",
        family=family,
    )


def _register(workflow: _Workflow, name: str, model: str, family: Family, unit: Expr) -> None:
    limited = workflow.slug != "replace"
    limit_slug = f"{name}-{workflow.slug}-limit"

    @register(
        f"{name}-{workflow.slug}",
        title=f"{workflow.title} ({name})",
        hypotheses=f"{model}; {workflow.setting}",
        build=workflow.build,
        sources=family.references,
        relations=(Relation(limit_slug, "tends to", {"n": oo}, r"$n\to\infty$"),) if limited else (),
    )
    def rounds() -> ErrorFormula:
        form = workflow.form(family.law)
        return _formula(family, unit, form.variance.subs(m, workflow.rounds), workflow.conditions)

    if limited:

        @register(
            limit_slug,
            title=f"{workflow.title} for ever ({name})",
            hypotheses=f"{model}; {workflow.setting}, as $n\\to\\infty$",
            build=lambda **values: workflow.build(n=1, **values),
            sources=family.references,
        )
        def limit() -> ErrorFormula:
            conditions = tuple(c for c in workflow.conditions if n not in c.free_symbols)
            return _formula(family, unit, workflow.form(family.law).limit, conditions)


for _workflow in _WORKFLOWS:
    for _name, _model, _family, _unit in _FAMILIES:
        _register(_workflow, _name, _model, _family, _unit)


@register(
    "regular-fresh-real-golden",
    title="Golden ratio: the best share of fresh real data",
    hypotheses=r"""A regular parametric model, to leading order in $1/T$; every round pools $T$ new real rows with the
    best share
$w=(\sqrt5-1)/2$ and $T$ rows of the model before, for ever""",
    build=lambda: workflows.fresh_real(
        20, Stage(T=1000), Stage(T=1000), weight=best_stationary_weight(Regular()).subs(T0, T)
    ),
    sources=("he2025golden",),
)
def regular_golden() -> ErrorFormula:
    r"""Minimise the limit over ``w`` at equal rows: the least relative variance is the best share itself."""
    best = best_stationary_weight(Regular()).subs(T0, T)
    limit = closed_forms.fresh_real(Regular.law, weighted=True).limit.subs(T0, T).subs(w, best)
    return ErrorFormula(
        {"bias": S.Zero, "variance": cancel(T * limit).radsimp()},
        "leading order",
        (),
        method="calculus",
        family=Regular(),
    )


@register(
    "token-total-collapse",
    title="Total collapse is exponentially certain",
    hypotheses=r"""Token frequencies, $p$ any distribution; replace with $T$ rows per model, $n$ models before the
    tested one""",
    build=lambda n, T: workflows.replace(n, Stage(T=T), Stage(T=T)),
    sources=("suresh2024rate", "seddik2024synthetic"),
)
def token_total_collapse() -> ErrorFormula:
    r"""Bound the chance that two tokens are left by Markov's inequality for the diversity.

    A model with two tokens or more has diversity at least ``1 - (1 - 1/T)^2 - 1/T^2 = 2(T-1)/T^2``; its mean is at
    most ``1 - c``.
    """
    least = factor(1 - (1 - 1 / T) ** 2 - 1 / T**2)
    diversity = 1 - closed_forms.replace(Categorical.law).variance.subs(m, n + 1)
    return ErrorFormula(
        {"bias": S.Zero, "variance": diversity / least},
        "upper bound",
        (Gt(T, 1),),
        method="exact",
        family=NoTotalCollapse(),
    )
