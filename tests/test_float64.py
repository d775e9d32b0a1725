"""Terms in float64 against 50 digits over a wide domain, and limits."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mpf

import collapse_theory as ct
from tests import reference as ref
from tests.helpers import problems

CLEAN, REPLACE, CHAIN = (ct.catalog[k].error for k in ("ridge-clean", "ridge-replace", "ridge-chain"))


def check(err, problem, want, *, smallest, **values):
    """Every term is positive and has eleven digits of the wanted one, or vanishes beside it."""
    s, w2, T, lam = problem
    got = err.evaluate(spectrum=ct.Eigenvalues(s), target=ct.Energies(w2), terms=True, T=T, lam=lam, **values)
    for (name, value), exact in zip(got.items(), want, strict=True):
        assert value >= 0, name
        assert ref.relative(value, exact) <= 1e-11 or abs(exact) < smallest, name


@settings(max_examples=60, deadline=None, derandomize=True)
@given(problems(), st.floats(0, 3), st.floats(0, 3), st.integers(0, 50))
def test_terms_agree_with_fifty_digits(problem, sigma, sigma0, n):
    s, w2, T, lam = problem
    T0 = sum(x > 0 for x in s) + 2.5
    want = ref.ridge_replace(ref.numbers(s), ref.numbers(w2), n, mpf(T), mpf(T0), mpf(lam), mpf(sigma), mpf(sigma0))
    check(REPLACE, problem, want, smallest=1e-290, T0=T0, sigma=sigma, sigma0=sigma0, n=n)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(problems(), st.floats(0.5, 30), st.floats(-3, 3), st.integers(0, 4))
def test_chains_agree_with_fifty_digits(problem, T0, log_lam0, n):
    s, w2, T, lam = problem
    lam0 = max(s) * 10.0**log_lam0
    stages = [(mpf(T0), mpf(lam0), mpf(0.7))] * n + [(mpf(T), mpf(lam), mpf(0.3))]
    want = ref.chain(ref.numbers(s), ref.numbers(w2), stages)
    check(CHAIN, problem, want, smallest=1e-60, T0=T0, lam0=lam0, sigma=0.3, sigma0=0.7, n=n)


def test_the_three_cases_without_ridge():
    kw = {"spectrum": ct.Isotropic(5), "target": ct.RandomTarget(), "lam": 0, "sigma": 0.3}
    got = CLEAN.evaluate(T=[3, 5, 8], **kw)
    assert got[1] == math.inf
    assert np.allclose(got[[0, 2]], [0.4 + 0.09 * 3 / 2, 0.09 * 5 / 3], rtol=1e-13)
    assert CLEAN.evaluate(T=5, **{**kw, "sigma": 0}) == 0
    assert CLEAN.diff("lam").evaluate(T=5, **kw) == -math.inf
    for T in (5 - 1e-7, 5 + 1e-7):
        want = sum(ref.chain([mpf(1)] * 5, [mpf(1) / 5] * 5, [(mpf(T), mpf(0), mpf(0.3))]))
        assert ref.relative(CLEAN.evaluate(T=T, **kw), want) < 1e-11


def test_extreme_scales_are_right_or_refused():
    s, w2 = np.array([2.0, 1, 0.1]), np.ones(3)
    want = CLEAN.evaluate(spectrum=ct.Eigenvalues(s), target=ct.Energies(w2), T=2, lam=1e-3, sigma=0.1)
    for c in (1e-60, 1e60):
        got = CLEAN.evaluate(spectrum=ct.Eigenvalues(c * s), target=ct.Energies(w2 / c), T=2, lam=c * 1e-3, sigma=0.1)
        assert got == pytest.approx(want, rel=1e-12)
    s_large, w2_small = 1e150 * s, 1e-150 * w2  # powers of these leave the range of float64, the error does not
    got = CLEAN.evaluate(spectrum=ct.Eigenvalues(s_large), target=ct.Energies(w2_small), T=2, lam=1, sigma=0.1)
    want = sum(ref.chain(ref.numbers(s_large), ref.numbers(w2_small), [(mpf(2), mpf(1), mpf(0.1))]))
    assert ref.relative(got, want) < 1e-13
    with pytest.raises(ct.DomainError, match=r"variance.*overflow.*1e320.*rescale"):
        CLEAN.evaluate(spectrum=ct.Eigenvalues(s), target=ct.Energies(w2), T=2, lam=1e-3, sigma=1e160)


def test_closed_forms_in_n_near_their_limits():
    acc, mix = ct.catalog["ols-accumulate"].error, ct.catalog["ols-mix-fixed-design"].error
    with mpmath.workdps(60):
        c = mpf(11) / 15
        want = mpf(10) / 11 * (mpmath.digamma(10**9 + 1 - c) - mpmath.digamma(1 - c) - mpmath.harmonic(10**9))
        assert ref.relative(acc.evaluate(spectrum=ct.Isotropic(10), T=15, n=10**9, sigma=1), want) < 1e-12
        for w in (1e-12, 1e-6, 0.3, 0.999999, 1.0):
            for n in (0, 1, 7, 10**6, 10**12):
                a = (1 - mpf(w)) ** 2
                b = mpf(w) ** 2 + a
                want = mpf(10) / 4 * (a**n + b * (1 - a**n) / (1 - a))
                assert ref.relative(mix.evaluate(spectrum=ct.Isotropic(10), T=15, n=n, sigma=1, w=w), want) < 1e-12, (
                    w,
                    n,
                )


def test_a_billion_generations_that_change_nothing_more_cost_nothing():
    kw = {
        "spectrum": ct.Isotropic(10),
        "target": ct.RandomTarget(),
        "T": 15,
        "T0": 30,
        "lam": 0.1,
        "lam0": 0,
        "sigma": 1,
        "sigma0": 0.1,
    }
    few, many = CHAIN.evaluate(n=[10, 10**9], **kw)
    clean = CHAIN.evaluate(n=0, **kw)
    assert (many - clean) / 1e9 == pytest.approx((few - clean) / 10, rel=1e-10)
