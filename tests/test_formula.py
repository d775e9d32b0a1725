"""ErrorFormula: symbols, substitution, closed forms, derivatives of pipelines."""

import pickle

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import collapse_theory as ct

CLEAN, REPLACE = ct.catalog["ridge-clean"].error, ct.catalog["ridge-replace"].error


SYMBOLIC = REPLACE.doit(ct.Isotropic(ct.symbols.d, sp.Symbol("c", positive=True)))


@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.integers(2, 20), st.integers(1, 60), st.sampled_from([0, 0.01, 1.0]), st.floats(0.1, 10))
def test_isotropic_closed_form_is_the_number(d, T, lam, scale):
    if lam == 0 and d == T:
        return
    values = {"T": T, "T0": 30, "n": 2, "lam": lam, "sigma": 0.5, "sigma0": 0.3}
    want = REPLACE.evaluate(spectrum=ct.Isotropic(d, scale), target=ct.RandomTarget(2), **values)
    assert SYMBOLIC.evaluate(d=d, c=scale, rho2=2, **values) == pytest.approx(want, rel=1e-8, abs=1e-12)
    numeric = REPLACE.subs({"lam": sp.nsimplify(lam, rational=True)}).doit(ct.Isotropic(d, scale))
    assert numeric.evaluate(rho2=2, **{k: v for k, v in values.items() if k != "lam"}) == pytest.approx(
        want, rel=1e-8, abs=1e-12
    )


def test_spiked_closed_form_is_the_number_and_keeps_the_conditions():
    a = sp.Symbol("a", positive=True)
    closed = REPLACE.doit(ct.Spiked(ct.symbols.d, [a]))
    assert closed.conditions == REPLACE.conditions
    assert closed.implicit
    assert REPLACE.doit(ct.Isotropic(50)).conditions == (sp.Ge(ct.symbols.T0, 52),)
    with pytest.raises(ct.DomainError, match="Isotropic or Spiked"):
        REPLACE.doit(ct.PowerLaw(5, 2))


def test_ridgeless_closed_form_has_both_branches():
    closed = CLEAN.subs({"lam": 0}).doit(ct.Isotropic(ct.symbols.d))
    at = closed.parts["variance"].subs({ct.symbols.d: 10, ct.symbols.sigma: 1})
    assert at.subs(ct.symbols.T, 25) == sp.Rational(10, 15)
    assert at.subs(ct.symbols.T, 4) == sp.Rational(4, 6)


def test_sympy_prints_a_formula_as_it_prints_itself():
    assert sp.latex(CLEAN) == CLEAN.latex()
    assert r"\lambda" in sp.latex(CLEAN)


def test_one_symbol_per_name():
    pipe = ct.workflows.replace(1, ct.Stage(T=sp.Symbol("T")), ct.Stage(T=ct.symbols.T, ridge=0.1))
    with pytest.raises(ct.DomainError, match="one symbol per name"):
        ct.test_error(pipe)


def test_substitution_checks_ranges_now_or_later():
    with pytest.raises(ct.DomainError, match="lam"):
        CLEAN.subs({"lam": -1})
    x = sp.Symbol("x")
    moved = CLEAN.subs({"lam": x - 1})
    kw = {"spectrum": ct.Isotropic(5), "target": ct.RandomTarget(), "T": 8, "sigma": 0.1}
    assert moved.evaluate(x=1.5, **kw) == CLEAN.evaluate(lam=0.5, **kw)
    with pytest.raises(ct.DomainError, match="x"):
        moved.evaluate(x=0.5, **kw)


def test_derivatives_take_the_values_of_the_formula():
    kw = {"spectrum": ct.Isotropic(5), "target": ct.RandomTarget(), "T": 8, "sigma": 0.1, "lam": 0.2}
    assert CLEAN.diff("sigma").diff("sigma").evaluate(**kw) > 0
    with pytest.raises(ct.DomainError, match="did you mean"):
        CLEAN.diff("sgima")


def test_formulas_of_pipelines_pickle_with_their_pipeline():
    pipe = ct.workflows.replace(2, ct.Stage(T=50, noise=0.1, ridge=0.1), ct.Stage(T=40, noise=0.2, ridge=0.1))
    err = pickle.loads(pickle.dumps(ct.test_error(pipe)))
    kw = {"spectrum": ct.PowerLaw(10, 1), "target": ct.RandomTarget()}
    assert err.evaluate(**kw) == ct.test_error(pipe).evaluate(**kw)
    assert err.pipeline().fits[-1].name == "m3"
    assert ct.validate(err, trials=400, **kw).passed


def test_validation_rejects_mutants():
    err = ct.catalog["ols-replace"].error
    kw = {"spectrum": ct.Isotropic(20), "T": 50, "T0": 60, "n": 2, "sigma": 0.3, "sigma0": 0.4, "trials": 500}
    assert ct.validate(err, **kw).passed
    assert not ct.validate(err.mapped(lambda e: 1.3 * e if isinstance(e, sp.Expr) else e), **kw).passed
    from dataclasses import replace

    from collapse_theory.check.validate import judge

    dropped = replace(err, parts={**err.parts, "synthetic_variance": sp.Integer(0)})
    kw_dropped = {k: v for k, v in kw.items() if k not in {"T0", "sigma0", "n"}}
    free = {x.name for x in dropped.free_symbols}
    assert "T0" in free
    assert not judge(
        replace(dropped, pipeline=lambda **_: ct.catalog["ols-replace"].pipeline(n=2, T0=60, sigma0=0.4)),
        T0=60,
        **kw_dropped,
    ).passed


def test_digits_are_digits():
    value = CLEAN.evaluate(
        spectrum=ct.PowerLaw(30, 1.5),
        target=ct.SourceTarget(r=0.5),
        T=40,
        lam=sp.Rational(1, 3),
        sigma=sp.sqrt(2),
        digits=60,
    )
    again = CLEAN.evaluate(
        spectrum=ct.PowerLaw(30, 1.5),
        target=ct.SourceTarget(r=0.5),
        T=40,
        lam=sp.Rational(1, 3),
        sigma=sp.sqrt(2),
        digits=100,
    )
    assert abs(value / again - 1) < 1e-59
    for bad in (0, True, 2.5):
        with pytest.raises(ct.DomainError, match="digits"):
            CLEAN.evaluate(spectrum=ct.Isotropic(5), target=ct.RandomTarget(), T=8, lam=1, sigma=1, digits=bad)
    assert np.isclose(
        float(value),
        CLEAN.evaluate(spectrum=ct.PowerLaw(30, 1.5), target=ct.SourceTarget(r=0.5), T=40, lam=1 / 3, sigma=2**0.5),
        rtol=1e-14,
    )
