r"""Token distributions, Gaussians and regular models: the error after the standard workflows, in symbolic n.

Every formula is solved by :mod:`collapse_theory.families.closed_forms` from rounds that the covariance calculus
derives. The three families share one calculus, so each workflow is registered once per family, in the family's unit: of
``1 - sum p^2`` (tokens), of ``tr Sigma`` (Gaussian mean), of the variance of one clean fit on ``T`` rows (regular
models).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from sympy import Add, Expr, Ge, GoldenRatio, Gt, Ne, S, cancel, factor, oo

from collapse_theory.derive.formula import ErrorFormula, Regime
from collapse_theory.describe import workflows
from collapse_theory.describe.pipeline import Pipeline, Stage
from collapse_theory.families import closed_forms
from collapse_theory.families.calculus import RowLaw
from collapse_theory.families.closed_forms import VarianceForm
from collapse_theory.symbols import T0, T, error, n, w
from collapse_theory.theorems.theorem import Relation, register

if TYPE_CHECKING:
    from collapse_theory.families.averaging import Averaging

__all__: list[str] = []


@dataclass(frozen=True)
class _Workflow:
    """One workflow for all families.

    Attributes:
        slug: Second half of the theorem's name.
        title: One line.
        setting: The workflow in words.
        form: Returns its closed form.
        rounds: The number of rounds of that form in terms of ``n`` as the theorem counts.
        conditions: Besides ``T >= 1``.
        build: Returns the pipeline from the formula's symbols.
    """

    slug: str
    title: str
    setting: str
    form: Callable[[Any], VarianceForm]
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


def _tokens() -> Averaging:
    from collapse_theory.families.categorical import Categorical

    return Categorical([0.5, 0.3, 0.2], relative=True)


def _gaussians() -> Averaging:
    from collapse_theory.families.gaussian import Gaussian

    return Gaussian()


def _regular() -> Averaging:
    from collapse_theory.families.regular import Regular

    return Regular()


@dataclass(frozen=True)
class _Kind:
    """One family.

    Attributes:
        name: First half of the theorem's name.
        model: The family in words.
        regime: That of its formulas.
        family: Returns it; a call, so that the catalogue lists without importing SciPy.
        unit: Unit of the variance.
        sources: BibTeX keys.
    """

    name: str
    model: str
    regime: Regime
    family: Callable[[], Averaging]
    unit: Expr
    sources: tuple[str, ...]


_KINDS = (
    _Kind(
        "token",
        "Token frequencies, $p$ any distribution",
        "exact",
        _tokens,
        S.One,
        ("seddik2024synthetic", "suresh2024rate"),
    ),
    _Kind(
        "gaussian",
        "Gaussians fitted by maximum likelihood",
        "exact",
        _gaussians,
        S.One,
        ("shumailov2023curse", "kazdan2024collapse"),
    ),
    _Kind(
        "regular",
        "A regular parametric model, maximum likelihood, to leading order in $1/T$",
        "leading order",
        _regular,
        T,
        ("gerstgrasser2024inevitable", "dey2024universality", "he2025golden"),
    ),
)


def _formula(kind: _Kind, value: Callable[[Any], Expr], conditions: tuple[Any, ...]) -> ErrorFormula:
    family = kind.family()
    return ErrorFormula(
        parts={"bias": S.Zero, "variance": Add(*(kind.unit * part for part in Add.make_args(value(family.law))))},
        regime=family.regime,
        conditions=(Ge(T, 1), *conditions),
        method="exact" if family.regime == "exact" else "calculus",
        family=family,
    )


def _neighbours(workflow: str, kind: str) -> tuple[Relation, ...]:
    """Return the relations of a workflow of one family: to its siblings, and to the same workflow of the next family."""
    found = tuple(replace(r, to=f"{kind}-{r.to}") for r in _WITHIN.get(workflow, ()))
    if kind == "gaussian":
        found += (
            Relation(f"token-{workflow}", "equals", note="the variance of a row is one law"),
            Relation(f"regular-{workflow}", "same limit", note="to leading order a regular model", of=T * error),
        )
    if (kind, workflow) == ("token", "replace"):
        found += (
            Relation(
                "token-total-collapse",
                "equals",
                note="Markov's inequality for the diversity",
                of=(1 - error) / _LEAST_DIVERSITY,
            ),
        )
    return found


_LEAST_DIVERSITY = factor(1 - (1 - 1 / T) ** 2 - 1 / T**2)
"""Of T rows with two tokens or more."""
_BEST_SHARE = GoldenRatio - 1
_FOR_EVER = {"n": oo}
_CLEAN: dict[str, Any] = {"n": 0}
_WITHIN: dict[str, tuple[Relation, ...]] = {
    "accumulate": (
        Relation("replace", "equals", {"n": 1}, "one round", there=_CLEAN),
        Relation("accumulate-limit", "tends to", _FOR_EVER, "for ever"),
        Relation("accumulate-limit", "bounded by", note="every round adds"),
        Relation("accumulate-subsample", "bounded by", note="all rows are worth more than some", strict=Ge(n, 2)),
    ),
    "keep-real": (
        Relation("replace", "equals", _CLEAN, "no round"),
        Relation("replace", "tends to", {"T0": oo}, "so many rows that a model copies the one before", there=_CLEAN),
        Relation("keep-real-limit", "tends to", _FOR_EVER, "for ever"),
    ),
    "fresh-real": (
        Relation("replace", "equals", _CLEAN, "no round"),
        Relation("replace", "equals", {"w": 1}, "real rows only", there=_CLEAN),
        Relation("replace", "equals", {"w": 0, "T0": T}, "synthetic rows only"),
        Relation("fresh-real-limit", "tends to", _FOR_EVER, "for ever"),
    ),
    "fresh-real-limit": (Relation("replace", "equals", {"w": 1}, "real rows only", there=_CLEAN),),
    "random-past": (
        Relation("accumulate", "equals", note="the draws of one round share no model"),
        Relation("random-past-limit", "tends to", _FOR_EVER, "for ever"),
    ),
    "random-past-limit": (Relation("accumulate-limit", "equals", note="the draws of one round share no model"),),
    "accumulate-subsample": (
        Relation("replace", "bounded by", note="the data that are kept help", there={"n": n - 1}, strict=Ge(n, 2)),
        Relation("accumulate-subsample-limit", "tends to", _FOR_EVER, "for ever"),
    ),
}


def _register(workflow: _Workflow, kind: _Kind) -> None:
    limited = workflow.slug != "replace"
    limit_slug = f"{kind.name}-{workflow.slug}-limit"

    @register(
        f"{kind.name}-{workflow.slug}",
        title=f"{workflow.title} ({kind.name})",
        regime=kind.regime,
        hypotheses=f"{kind.model}; {workflow.setting}",
        build=workflow.build,
        sources=kind.sources,
        relations=_neighbours(workflow.slug, kind.name),
    )
    def rounds() -> ErrorFormula:
        def value(law: Any) -> Expr:
            return workflow.form(law).variance.subs(n, workflow.rounds)

        return _formula(kind, value, workflow.conditions)

    if limited:

        @register(
            limit_slug,
            title=f"{workflow.title} for ever ({kind.name})",
            regime=kind.regime,
            hypotheses=f"{kind.model}; {workflow.setting}, as $n\\to\\infty$",
            build=partial(workflow.build, n=1),
            simulates=False,
            sources=kind.sources,
            relations=_neighbours(f"{workflow.slug}-limit", kind.name),
        )
        def limit() -> ErrorFormula:
            conditions = tuple(c for c in workflow.conditions if n not in c.free_symbols)
            return _formula(kind, lambda law: workflow.form(law).limit, conditions)


for _workflow in _WORKFLOWS:
    for _kind in _KINDS:
        _register(_workflow, _kind)


def _best_share() -> Expr:
    from collapse_theory.families.efficiency import best_stationary_weight

    return best_stationary_weight(_regular()).subs(T0, T)


@register(
    "regular-fresh-real-golden",
    title="Golden ratio: the best share of fresh real data",
    regime="leading order",
    hypotheses=r"""A regular parametric model, to leading order in $1/T$; every round pools $T$ new real rows with the
    best share
$w=(\sqrt5-1)/2$ and $T$ rows of the model before, for ever""",
    build=lambda: workflows.fresh_real(20, Stage(T=1000), Stage(T=1000), weight=_best_share()),
    sources=("he2025golden",),
    relations=(
        Relation("regular-fresh-real-limit", "equals", note="the best share", there={"w": _BEST_SHARE, "T0": T}),
        Relation(
            "regular-fresh-real-limit",
            "bounded by",
            note="no share is better",
            there={"T0": T},
            strict=Ne(w, _BEST_SHARE),
        ),
    ),
)
def regular_golden() -> ErrorFormula:
    r"""Minimise the limit over ``w`` at equal rows: the least relative variance is the best share itself."""
    family = _regular()
    limit = closed_forms.fresh_real(family.law, weighted=True).limit.subs(T0, T).subs(w, _best_share())
    return ErrorFormula(
        {"bias": S.Zero, "variance": cancel(T * limit).radsimp().expand()},
        "leading order",
        (),
        method="calculus",
        family=family,
    )


@register(
    "token-total-collapse",
    title="Total collapse is exponentially certain",
    regime="upper bound",
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
    from collapse_theory.families.collapse_rates import NoTotalCollapse

    diversity = 1 - closed_forms.replace(RowLaw.TOKENS).variance.subs(n, n + 1)
    return ErrorFormula(
        {"bias": S.Zero, "variance": diversity / _LEAST_DIVERSITY},
        "upper bound",
        (Gt(T, 1),),
        method="exact",
        family=NoTotalCollapse(),
    )
