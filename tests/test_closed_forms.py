"""Closed forms of the scalar families against the calculus, and their limits."""

import pytest
import sympy as sp

import collapse_theory as ct
from collapse_theory.families import closed_forms
from collapse_theory.families.calculus import RowLaw, moments
from collapse_theory.families.efficiency import (
    best_stationary_weight,
)

W, Stage = ct.workflows, ct.Stage
T, T0, n, w = ct.symbols.T, ct.symbols.T0, ct.symbols.n, ct.symbols.w

FORMS = {
    "replace": (closed_forms.replace, lambda n: W.replace(n - 1, Stage(T=7), Stage(T=7))),
    "accumulate": (closed_forms.accumulate, lambda n: W.accumulate(n, Stage(T=7))),
    "keep_real": (closed_forms.keep_real, lambda n: W.keep_real(n, Stage(T=7), Stage(T=4))),
    "fresh_real": (closed_forms.fresh_real, lambda n: W.fresh_real(n, Stage(T=7), Stage(T=4))),
    "weighted": (
        lambda law: closed_forms.fresh_real(law, weighted=True),
        lambda n: W.fresh_real(n, Stage(T=7), Stage(T=4), weight=sp.Rational(3, 5)),
    ),
    "random_past": (closed_forms.random_past, lambda n: W.random_past(n, Stage(T=7))),
    "accumulate_subsample": (closed_forms.accumulate_subsample, lambda n: W.accumulate_subsample(n, Stage(T=7))),
}


AT = {T: 7, T0: 4, w: sp.Rational(3, 5)}


@pytest.mark.parametrize("law", list(RowLaw))
@pytest.mark.parametrize("name", sorted(FORMS))
def test_closed_form_is_the_calculus(name, law):
    form, build = FORMS[name]
    variance = form(law).variance
    for rounds in range(1, 6):
        got = variance.subs(n, rounds).subs(AT).doit()
        assert abs(sp.N(got - moments(build(rounds), law).covariances[-1, -1], 30)) < 1e-25


@pytest.mark.parametrize("law", [RowLaw.TOKENS, RowLaw.CONSTANT])
@pytest.mark.parametrize("name", sorted(set(FORMS) - {"replace"}))
def test_limit_is_approached(name, law):
    form = FORMS[name][0](law)
    gaps = [abs(float(sp.N((form.variance.subs(n, rounds) - form.limit).subs(AT)))) for rounds in (1000, 4000)]
    assert gaps[0] < 1e-3
    assert gaps[1] < max(gaps[0] / 3.5, 1e-12)


def test_named_limits():
    assert closed_forms.accumulate(RowLaw.CONSTANT).limit == sp.pi**2 / 6 / T
    assert (1 - closed_forms.accumulate(RowLaw.GAUSSIAN).limit - sp.sin(sp.pi / sp.sqrt(T)) * sp.sqrt(T) / sp.pi) == 0
    assert sp.simplify(closed_forms.keep_real(RowLaw.CONSTANT).limit * T - (T + 3 * T0) / (T + 2 * T0)) == 0
    assert sp.cancel(best_stationary_weight(ct.Regular()).subs(T0, T)) == (sp.sqrt(5) - 1) / 2


def test_growing_samples():
    """Linear growth still collapses; any faster power does not."""
    assert closed_forms.replace_growing(RowLaw.TOKENS, 1).limit == 1
    assert closed_forms.replace_growing(RowLaw.CONSTANT, 1).limit == sp.oo
    assert closed_forms.replace_growing(RowLaw.CONSTANT, w).condition == sp.Gt(w, 1)
    assert closed_forms.replace_geometric(RowLaw.CONSTANT, w).condition == sp.Gt(w, 1)
    form = closed_forms.replace_growing(RowLaw.TOKENS, 2)
    pipe, last = ct.Pipeline(), ct.TRUTH
    for k in range(1, 6):
        last = pipe.fit(pipe.sample(T=3 * k**2, source=last))
    want = float(ct.covariances(pipe, family=ct.Gaussian())[-1, -1])
    assert abs(float(form.variance.subs({n: 5, T: 3})) - want) < 1e-14
    geometric = closed_forms.replace_geometric(RowLaw.CONSTANT, 2)
    assert abs(float(geometric.variance.subs({n: 3, T: 5})) - (1 + 1 / 2 + 1 / 4) / 5) < 1e-15
    assert geometric.limit == 2 / T


def test_last_k():
    for K in (1, 2, 3, 5):
        c = moments(W.last_k(80, Stage(T=7), K), RowLaw.CONSTANT, exact=False).covariances
        growth = float(closed_forms.last_k_growth().subs({ct.symbols.k: K, T: 7}))
        assert abs(c[-1, -1] - c[-2, -2] - growth) < 1e-12
        c = moments(W.last_k(80, Stage(T=7), K), RowLaw.TOKENS, exact=False).covariances
        assert abs((1 - c[-1, -1]) / (1 - c[-2, -2]) - closed_forms.last_k_decay(K, 7)) < 1e-10


def test_without_real_rows_every_round_adds_its_own_variance():
    """At w = 0 the weighted workflow is replace on the synthetic rows; the closed form is no quotient of zeros there."""
    kw = {"T": 40, "T0": 20, "n": 5}
    assert ct.catalog["regular-fresh-real"].error.evaluate(**kw, w=0) == pytest.approx(1 + 5 * 40 / 20, rel=1e-14)
    near = ct.catalog["regular-fresh-real"].error.evaluate(**kw, w=1e-9)
    assert near == pytest.approx(1 + 5 * 40 / 20, rel=1e-7)
