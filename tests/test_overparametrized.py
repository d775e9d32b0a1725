"""Over-parametrized generators: closed forms in n, the decomposition, and what is said outside the domain."""

import numpy as np
import pytest
import sympy as sp

import collapse_theory as ct
from collapse_theory.symbols import d, n
from tests import reference as ref

SLUG = "ridge-replace-overparametrized"
FAMILY = [SLUG, "ridge-replace-same-design"]
AT = {"T": 400, "T0": 120, "lam": 0.05, "sigma": 0.2, "sigma0": 0.1}


def error(slug):
    return ct.catalog[slug].error


@pytest.mark.parametrize("count", [0, 1, 4, 40])
def test_equals_the_chain_of_operators(count):
    s, w2 = ref.numbers(np.arange(1, 13) ** -1.2), ref.numbers(np.linspace(1, 2, 12))
    stages = [(7, 0, 0.7)] * count + [(40, 0.05, 0.5)]
    measure = {"spectrum": ct.Eigenvalues(np.arange(1, 13) ** -1.2), "target": ct.Energies(np.linspace(1, 2, 12))}
    got = error(SLUG).evaluate(n=count, T=40, T0=7, lam=0.05, sigma=0.5, sigma0=0.7, **measure)
    assert ref.relative(got, sum(ref.chain(s, w2, stages))) < 1e-12


def test_the_isotropic_closed_form_is_the_formula():
    """With d a symbol or a number, at several n: what is printed is what is evaluated."""
    want = error(SLUG).evaluate(spectrum=ct.Isotropic(200), target=ct.RandomTarget(norm2=2.0), n=4, terms=True, **AT)
    for size in (d, 200):
        closed = error(SLUG).doit(spectrum=ct.Isotropic(size))
        assert not any(e.has(sp.Symbol("Sigma")) for e in closed.parts.values())
        given = {**AT, "rho2": 2.0, "n": 4} | ({"d": 200} if size is d else {})
        got = closed.evaluate(terms=True, **given)
        assert all(got[k] == pytest.approx(x, rel=1e-10) for k, x in want.items())


def test_the_closed_form_shows_the_decay():
    """Added bias and variance are a number times one minus the power of T0/d, which alone contains n."""
    closed = error(SLUG).doit(spectrum=ct.Isotropic(d))
    for name in ("synthetic_bias", "synthetic_variance"):
        powers = [x for x in closed.parts[name].atoms(sp.Pow) if x.has(n)]
        assert powers == [(ct.symbols.T0 / d) ** n]
        assert closed.parts[name].subs(n, 0) == 0
    assert not any(closed.parts[name].has(n) for name in ("bias", "variance"))


def test_a_chain_of_any_ridge_is_closed_on_one_eigenvalue():
    chain = error("ridge-chain")
    values = {**AT, "lam0": 0.3, "n": 6}
    closed = chain.doit(spectrum=ct.Isotropic(d, scale=0.5))
    want = chain.evaluate(spectrum=ct.Isotropic(200, scale=0.5), target=ct.RandomTarget(norm2=2.0), **values)
    assert closed.evaluate(rho2=2.0, d=200, **values) == pytest.approx(want, rel=1e-10)
    spiked = chain.doit(spectrum=ct.Spiked(d, spikes=[5], bulk=0.5))
    energies = {"w2_1": 0.4, "w2_bulk": 1.6}
    target = ct.Energies([0.4, *[1.6 / 199] * 199])
    want = chain.evaluate(spectrum=ct.Spiked(200, [5], bulk=0.5), target=target, **values)
    assert spiked.evaluate(d=200, **energies, **values) == pytest.approx(want, rel=1e-13)


def test_the_signal_dies_without_noise_and_lives_on_one_design():
    quiet = {**AT, "sigma": 0, "sigma0": 0, "lam": 0, "T": 10**8}
    iso = {"spectrum": ct.Isotropic(200), "target": ct.RandomTarget(norm2=1.0)}
    for count in (1, 3, 10):
        assert error(SLUG).evaluate(n=count, **iso, **quiet) == pytest.approx(1 - 0.6**count, rel=1e-6)
        assert error("ridge-replace-same-design").evaluate(n=count, **iso, **quiet) == pytest.approx(0.4, rel=1e-6)


def test_labels_without_signal_may_take_from_the_bias():
    """A fit that takes weak directions for strong ones gains from labels that have lost them: what is added is negative."""
    spectrum = ct.Eigenvalues(np.r_[np.full(10, 100.0), np.full(100, 0.01)])
    target = ct.Energies(np.r_[np.zeros(10), np.ones(100)])
    values = {"T0": 50, "lam": 0, "sigma": 0.1, "sigma0": 0}
    few, many = (
        error(SLUG).evaluate(n=2, T=T, spectrum=spectrum, target=target, terms=True, **values) for T in (12, 60)
    )
    assert few["bias"] > -few["synthetic_bias"] > 0
    assert many["synthetic_bias"] > 0


@pytest.mark.parametrize("slug", FAMILY)
def test_outside_the_domain_the_remedy_is_a_theorem_that_holds_there(slug):
    iso = {"spectrum": ct.Isotropic(100), "target": ct.RandomTarget(), "n": 2}
    with pytest.raises(ct.DomainError, match="use ridge-replace for"):
        error(slug).evaluate(**iso, **AT)
    error("ridge-replace").evaluate(**iso, **AT)
    with pytest.raises(ct.DomainError, match=r"use ridge-replace-overparametrized for T0 < d"):
        error("ridge-replace").evaluate(**iso, **{**AT, "T0": 60})
    error(slug).evaluate(**iso, **{**AT, "T0": 60})


def test_an_isotropic_theorem_refuses_other_spectra():
    err, values = error("minnorm-replace-isotropic"), {"T0": 60, "n": 2, "sigma0": 0.1, "rho2": 2.0}
    with pytest.raises(ct.DomainError, match=r"isotropic spectrum, got eigenvalues from 0\.5 to 1"):
        err.evaluate(spectrum=ct.Eigenvalues([1, 0.5] * 100), **values)
    by_hand = 2 * (1 - 0.3**3) + 0.01 * 60 / 139 * (1 + 0.3 + 0.09)
    for given in ({"d": 200}, {"spectrum": ct.Isotropic(200, scale=3)}, {"spectrum": {"Sigma": ct.Isotropic(200)}}):
        assert err.evaluate(**given, **values) == pytest.approx(by_hand, rel=1e-13)
    with pytest.raises(ct.DomainError, match="use ols-replace"):
        err.evaluate(**{**values, "d": 61})
