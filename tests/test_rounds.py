"""Terms that are derived per number of rounds are expressions like any other: what is printed is what is computed."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

import collapse_theory as ct
from collapse_theory.derive.rounds import RoundTerm
from collapse_theory.numerics.plan import round_plan
from collapse_theory.symbols import lam

KW = {"spectrum": ct.PowerLaw(30, beta=1.2), "target": ct.SourceTarget(r=0.5)}
VALUES = {"T": 45, "T0": 25, "lam": 0.1, "lam0": 0.2, "sigma": 0.3, "sigma0": 0.4, "w": 0.6, "xi": 0.3}
PER_ROUND = [s for s in ct.catalog if any(e.has(RoundTerm) for e in ct.catalog[s].error.parts.values())]


def values_of(err):
    return {x.name: VALUES[x.name] for x in err.free_symbols if x.name in VALUES}


def test_there_are_such_theorems():
    assert set(PER_ROUND) >= {"ridge-accumulate", "ridge-accumulate-constant", "ridge-keep-real", "ridge-label-mix"}


@pytest.mark.parametrize("slug", PER_ROUND)
def test_a_substitution_is_what_is_evaluated(slug):
    err = ct.catalog[slug].error
    values = values_of(err)
    want = err.evaluate(n=2, **KW, **values)
    halved = {**values, "lam": values["lam"] / 2}
    assert err.subs({"lam": 2 * lam}).evaluate(n=2, **KW, **halved) == pytest.approx(want, rel=1e-13)
    assert err.subs({"n": 2}).evaluate(**KW, **values) == want
    assert err.evaluate(n=2, **KW, **halved) != pytest.approx(want, rel=1e-3)


@pytest.mark.parametrize("slug", PER_ROUND)
def test_the_terms_are_what_is_evaluated(slug):
    err = ct.catalog[slug].error
    tripled = replace(err, parts={k: 3 * e for k, e in err.parts.items()})
    values = values_of(err)
    assert tripled.evaluate(n=2, **KW, **values) == pytest.approx(3 * err.evaluate(n=2, **KW, **values), rel=1e-13)
    again = pickle.loads(pickle.dumps(err))
    assert again.expr == err.expr
    assert again.evaluate(n=2, **KW, **values) == err.evaluate(n=2, **KW, **values)


@pytest.mark.parametrize("slug", PER_ROUND)
def test_rounds_broadcast_like_every_other_value(slug):
    err = ct.catalog[slug].error
    values = values_of(err)
    got = err.evaluate(n=[[1], [2]], **KW, **{**values, "lam": [0.1, 0.3, 0.0]})
    want = [[ct.catalog[slug].at(n).evaluate(**KW, **{**values, "lam": x}) for x in (0.1, 0.3, 0.0)] for n in (1, 2)]
    np.testing.assert_allclose(got, want, rtol=1e-12)
    terms = err.evaluate(n=[1, 2], terms=True, **KW, **values)
    np.testing.assert_allclose(sum(terms.values()), err.evaluate(n=[1, 2], **KW, **values), rtol=1e-14)


def test_validation_follows_the_terms():
    err = ct.catalog["ridge-accumulate"].error
    setting = {"spectrum": ct.PowerLaw(60, beta=1.2), "target": ct.SourceTarget(r=0.5), "trials": 200, "seed": 1}
    values = {"n": 2, "T": 90, "lam": 0.1, "sigma": 0.3}
    assert ct.validate(err, **setting, **values).passed
    assert not ct.validate(replace(err, parts={k: 3 * e for k, e in err.parts.items()}), **setting, **values).passed


@pytest.mark.parametrize("change", [{"lam": 2 * lam}, {"n": 2}, {"T": 90, "lam": ct.symbols.sigma}])
def test_what_was_substituted_is_simulated(change):
    err = ct.catalog["ridge-accumulate"].error
    values = {"n": 2, "T": 90, "lam": 0.1, "sigma": 0.3}
    changed = err.subs(change)
    own = {k: v for k, v in values.items() if k in {x.name for x in changed.free_symbols}}
    meant = {**values, "lam": 0.2 if change == {"lam": 2 * lam} else 0.3 if "T" in change else 0.1}

    def simulated(formula, given):
        pipe, settings = formula.described(given)
        return ct.simulate(pipe, **KW, trials=5, seed=1, **settings).mean

    assert simulated(changed, own) == simulated(err, meant)
    assert changed.evaluate(**KW, **own) == pytest.approx(err.evaluate(**KW, **meant), rel=1e-13)


@pytest.mark.parametrize("slug", [s for s in ct.catalog if ct.symbols.n in ct.catalog[s].error.free_symbols])
def test_unfolding_refuses_what_is_no_parameter_or_out_of_range(slug):
    th = ct.catalog[slug]
    names = {x.name for x in th.error.free_symbols}
    with pytest.raises(ct.CollapseTheoryError, match="foo"):
        th.at(2, foo=3)
    for name in sorted(names & {"lam", "lam0", "sigma", "sigma0", "T", "T0"}):
        with pytest.raises(ct.CollapseTheoryError, match=name):
            th.at(2, **{name: -1})
    for n in (-1, 1.5):
        with pytest.raises(ct.CollapseTheoryError, match="n"):
            th.at(n)


def test_a_number_of_rounds_has_a_range():
    err = ct.catalog["ridge-accumulate"].error
    with pytest.raises(ct.DomainError, match="n >= 1"):
        err.evaluate(n=0, **KW, **values_of(err))
    with pytest.raises(ct.DomainError, match="integer"):
        err.evaluate(n=1.5, **KW, **values_of(err))
    with pytest.raises(ct.DomainError, match="becomes false"):
        ct.catalog["ridge-accumulate"].at(0)
    with pytest.raises(ct.DomainError, match="real parameter"):
        err.diff("n")
    with pytest.raises(ct.DomainError, match="each number of rounds"):
        next(iter(err.parts.values())).doit()


@pytest.mark.parametrize("value", [-1, -1.0, 0.5, -0.5])
def test_rounds_are_counted(value):
    term = next(iter(ct.catalog["ridge-keep-real"].error.expr.atoms(RoundTerm)))
    rule, _, _, _, orders = term.args
    assert round_plan(rule, tuple(map(int, orders)), 3.0).outputs
    with pytest.raises(ct.DomainError, match="integer >= 0"):
        round_plan(rule, tuple(map(int, orders)), value)


def test_the_dimension_is_no_parameter_of_a_spectral_formula():
    err = ct.catalog["ridge-replace"].error
    with pytest.raises(ct.DomainError, match="spectrum"):
        err.diff("d")
    with pytest.raises(ct.DomainError, match="spectrum"):
        err.subs({"d": 5})
    ols = ct.catalog["ols-replace"].error
    assert ols.diff("d").evaluate(d=10, T=30, T0=40, n=2, sigma=0.5, sigma0=0.4) > 0
