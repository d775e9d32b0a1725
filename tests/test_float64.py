"""float64 against 50 digits over a wide domain, limits, shapes and bad values."""

import math
import pickle
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from fractions import Fraction

import mpmath
import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mpf

import collapse_theory as ct
from collapse_theory.numerics.digits import _agree
from tests import reference as ref

CLEAN, REPLACE, CHAIN = (ct.catalog[k].error for k in ("ridge-clean", "ridge-replace", "ridge-chain"))
SLOPE = CLEAN.diff("lam")
OLS = {"spectrum": ct.Isotropic(50), "T": 80, "T0": 90, "n": 3, "sigma": 0.5, "sigma0": 0.4}


@st.composite
def problems(draw):
    d = draw(st.integers(2, 12))
    scale = 10.0 ** draw(st.integers(-12, 12))
    s = [scale * 10.0 ** draw(st.floats(-6, 1)) for _ in range(d)]
    if d > 3 and draw(st.booleans()):
        s[-1] = 0.0
    w2 = [draw(st.floats(0.01, 10)) / scale for _ in range(d)]
    rank = sum(x > 0 for x in s)
    T = draw(st.integers(1, 30).filter(lambda T: rank != T) | st.floats(0.5, 40).filter(lambda T: abs(T - rank) > 1e-3))
    lam = scale * draw(st.just(0.0) | st.floats(-12, 9).map(lambda x: 10.0**x))
    return s, w2, T, lam


@settings(max_examples=60, deadline=None, derandomize=True)
@given(problems(), st.floats(0, 3), st.floats(0, 3), st.integers(0, 50))
def test_terms_agree_with_fifty_digits(problem, sigma, sigma0, n):
    s, w2, T, lam = problem
    rank = sum(x > 0 for x in s)
    T0 = rank + 2.5
    got = REPLACE.evaluate(
        spectrum=ct.Eigenvalues(s),
        target=ct.Energies(w2),
        terms=True,
        T=T,
        T0=T0,
        lam=lam,
        sigma=sigma,
        sigma0=sigma0,
        n=n,
    )
    want = ref.ridge_replace(ref.numbers(s), ref.numbers(w2), n, mpf(T), mpf(T0), mpf(lam), mpf(sigma), mpf(sigma0))
    for (name, value), exact in zip(got.items(), want, strict=True):
        assert value >= 0, name
        assert ref.relative(value, exact) <= 1e-11 or abs(exact) < 1e-290, name


@settings(max_examples=25, deadline=None, derandomize=True)
@given(problems(), st.floats(0.5, 30), st.floats(-3, 3), st.integers(0, 4))
def test_chains_agree_with_fifty_digits(problem, T0, log_lam0, n):
    s, w2, T, lam = problem
    lam0 = max(s) * 10.0**log_lam0
    got = CHAIN.evaluate(
        spectrum=ct.Eigenvalues(s),
        target=ct.Energies(w2),
        terms=True,
        T=T,
        T0=T0,
        lam=lam,
        lam0=lam0,
        sigma=0.3,
        sigma0=0.7,
        n=n,
    )
    stages = [(mpf(T0), mpf(lam0), mpf(0.7))] * n + [(mpf(T), mpf(lam), mpf(0.3))]
    want = ref.chain(ref.numbers(s), ref.numbers(w2), stages)
    for (name, value), exact in zip(got.items(), want, strict=True):
        assert value >= 0, name
        assert ref.relative(value, exact) <= 1e-11 or abs(exact) < 1e-60, name


@settings(max_examples=40, deadline=None, derandomize=True)
@given(problems())
def test_derivative_in_the_ridge_agrees_with_fifty_digit_differences(problem):
    s, w2, T, lam = problem
    lam = lam or max(s) * 1e-3
    S, W = ref.numbers(s), ref.numbers(w2)
    got = SLOPE.evaluate(spectrum=ct.Eigenvalues(s), target=ct.Energies(w2), terms=True, T=T, lam=lam, sigma=1.0)
    with mpmath.workdps(80):
        h = mpf(lam) * mpf(10) ** -20
        above, below = (ref.chain(S, W, [(mpf(T), mpf(lam) + e, mpf(1))]) for e in (h, -h))
        bias, variance = ((a - b) / (2 * h) for a, b in zip(above, below, strict=True))
    assert ref.relative(got["variance"], variance) <= 1e-11
    # The bias derivative is a difference of two positive terms where the ridge does not matter; they bound its error.
    k = ref.kappa([x for x in S if x > 0], mpf(T), mpf(lam))
    slope = T / (T - mpmath.fsum((e / (e + k)) ** 2 for e in S))
    size = slope**2 * 2 * k * mpmath.fsum(w * e**2 / (e + k) ** 3 for w, e in zip(W, S, strict=True))
    assert abs(got["bias"] - bias) <= 1e-11 * (abs(size) + abs(bias))


def test_the_smallest_ridges_converge():
    assert ct.effective_ridge(ct.Isotropic(5), T=5, lam=1e-300) == pytest.approx(1e-150, rel=1e-14)


@pytest.mark.parametrize(
    ("s", "T", "lam"),
    [
        ([1] * 3 + [1e-8] * 4, 3, 0),
        ([1] * 100 + [1e-16] * 100, 100, 0),
        ([1] * 3 + [1e-14] * 4, 3, 1e-20),
        ([1, 1e-3, 1e-20, 1e-40], 2, 1e-30),
        ([1, 1e-3, 1e-20, 1e-40], 3, 1e-45),
        ([1] * 50 + [1e-3] * 50, 49.9999, 1e-4),
    ],
)
def test_a_gap_in_the_spectrum_at_the_last_row(s, T, lam):
    """df1 is then nearly T by itself: T - df1 must not be a difference."""
    got = ct.effective_ridge(ct.Eigenvalues(s), T=T, lam=lam)
    assert ref.relative(got, ref.kappa(ref.numbers(s), mpf(T), mpf(lam))) < 1e-14
    w2 = np.ones(len(s))
    terms = CLEAN.evaluate(spectrum=ct.Eigenvalues(s), target=ct.Energies(w2), terms=True, T=T, lam=lam, sigma=0.5)
    want = ref.chain(ref.numbers(s), ref.numbers(w2), [(mpf(T), mpf(lam), mpf(0.5))])
    assert ref.relative(terms["bias"], want[0]) < 1e-11
    assert ref.relative(terms["variance"], want[1]) < 1e-11


def test_bias_derivative_does_not_cancel_where_the_ridge_dominates():
    s, w2 = [1.0, 0.5, 0.1], [1.0, 2.0, 3.0]
    got = CLEAN.diff("lam").evaluate(spectrum=ct.Eigenvalues(s), target=ct.Energies(w2), T=10, lam=1e10, sigma=0)
    with mpmath.workdps(90):
        h = mpf(10) ** -15
        a, b = (ref.chain(ref.numbers(s), ref.numbers(w2), [(mpf(10), mpf(10) ** 10 + e, mpf(0))])[0] for e in (h, -h))
        want = (a - b) / (2 * h)
    assert ref.relative(got, want) <= 1e-11


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


@pytest.mark.parametrize("lam", [1e-60, 1e-30, 1e-8])
def test_a_tiny_ridge_at_the_threshold(lam):
    got = ct.effective_ridge(ct.Isotropic(5), T=5, lam=lam)
    assert ref.relative(got, ref.kappa([mpf(1)] * 5, mpf(5), mpf(lam))) < 1e-14


@pytest.mark.parametrize(
    "value",
    [
        "80",
        None,
        math.nan,
        math.inf,
        1j,
        [80, None],
        True,
        sp.Symbol("x"),
        sp.I,
        {},
        [80, [81]],
        np.array(80 + 0j),
        b"8",
    ],
)
@pytest.mark.filterwarnings("error")
def test_what_is_not_a_finite_real_number_is_refused(value):
    with pytest.raises(ct.DomainError, match="T"):
        CLEAN.evaluate(spectrum=ct.Isotropic(5), target=ct.RandomTarget(), T=value, lam=0.1, sigma=0.1)
    with pytest.raises(ct.DomainError, match="T"):
        ct.effective_ridge(ct.Isotropic(5), T=value, lam=0.1)


@pytest.mark.parametrize(
    "value", [80.0, np.float32(80), np.int64(80), sp.Integer(80), Fraction(80), Decimal(80), mpf(80), np.array(80)]
)
def test_every_kind_of_real_number_counts(value):
    want = ct.catalog["ols-replace"].error.evaluate(**OLS)
    assert ct.catalog["ols-replace"].error.evaluate(**{**OLS, "T": value}) == want


@pytest.mark.parametrize(("change", "words"), [
    ({"T": 51}, ("T >= d + 2", "51", "operator")), ({"T0": 51.5}, ("T0 >= d + 2", "51.5")), ({"n": -1}, ("n", ">= 0")),
    ({"n": 2.5}, ("integer", "2.5")), ({"sigma": -1}, ("sigma", "-1")), ({"n": [1, 2], "T": [80, 81, 82]}, ("broadcast",)),
    ({"spectrum": [1, 2]}, ("ct.Eigenvalues",)), ({"target": 3}, ("ct.Energies",)), ({"test_noise": -1}, ("test_noise",)),
    ({"test_noise": math.nan}, ("test_noise",)), ({"d": 3}, ("spectrum",)), ({"sgima": 1}, ("sigma",)),
    ({"spectrum": None}, ("spectrum",)),
])  # fmt: skip
def test_errors_name_argument_condition_value_and_remedy(change, words):
    with pytest.raises(ct.DomainError) as caught:
        ct.catalog["ols-replace"].error.evaluate(**{**OLS, **change})
    assert all(w in str(caught.value) for w in words), caught.value


def test_the_noise_of_the_test_point_adds_its_square_with_digits_too():
    plain, noisy = (ct.catalog["ols-replace"].error.evaluate(digits=30, test_noise=s, **OLS) for s in (0, 0.5))
    assert abs(noisy - plain - 0.25) < 1e-28


def test_shapes_broadcast():
    err = ct.catalog["ols-replace"].error
    assert type(err.evaluate(**OLS)) is float
    assert err.evaluate(**{**OLS, "n": np.arange(6).reshape(2, 1, 3), "T": [[80], [90]]}).shape == (2, 2, 3)
    assert err.evaluate(**{**OLS, "n": np.zeros((0, 3))}).shape == (0, 3)
    terms = err.evaluate(terms=True, test_noise=0.5, **{**OLS, "n": [1, 2]})
    assert np.allclose(sum(terms.values()), err.evaluate(**{**OLS, "n": [1, 2]}) + 0.25)


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


def test_predictors_pickle_and_run_in_threads():
    predict = pickle.loads(pickle.dumps(CLEAN.compile(spectrum=ct.PowerLaw(20, 1.5), target=ct.RandomTarget())))
    lams = np.logspace(-3, 1, 32)
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda lam: predict(T=30, lam=lam, sigma=0.1), lams))
    assert np.allclose(got, predict(T=30, lam=lams, sigma=0.1), rtol=1e-14)


def test_terms_are_given_when_they_are_asked_for():
    at = {"T": 30, "lam": 0.1, "sigma": 0.5}
    predict = CLEAN.compile(spectrum=ct.PowerLaw(20, 1.5), target=ct.RandomTarget())
    terms = predict(terms=True, **at)
    assert isinstance(predict(**at), float)
    assert predict(**at) == predict(terms=False, **at) == pytest.approx(sum(terms.values()))


def test_digits_are_given_when_two_precisions_agree_on_two_more():
    with mpmath.workdps(60):
        one, off = mpmath.mpf(3), mpmath.mpf(10) ** -22
        assert _agree(mpmath, one * (1 + off / 2), one, 20, "0")
        assert not _agree(mpmath, one * (1 + off * 2), one, 20, "0")
        assert not _agree(mpmath, one * (1 - off * 2), one, 20, "0")
        assert _agree(mpmath, off, mpmath.mpf(0), 20, "1e-22")
        assert not _agree(mpmath, off, mpmath.mpf(0), 20, "1e-23")
