"""Derivatives through the implicit scalars against differences of fifty digits, over the whole domain."""

import mpmath
import pytest
from hypothesis import given, settings
from mpmath import mpf

import collapse_theory as ct
from tests import reference as ref
from tests.helpers import problems

MEASURE = {"spectrum": ct.PowerLaw(10, 1.5), "target": ct.RandomTarget()}
VALUES = {"sigma": 0.5, "T0": 14, "n": 2, "sigma0": 0.3}
CLEAN, REPLACE = ct.catalog["ridge-clean"].error, ct.catalog["ridge-replace"].error
SLOPE = CLEAN.diff("lam")
NAMES = ("T", "T0", "lam", "sigma", "sigma0")
AROUND_THE_RANK = [3, 9.9999, 10, 10.0000001, 10.5, 13, 100, 1e6]


def slopes(err, values, name):
    """Return the symmetric difference of every term, from values of 70 digits."""
    h = abs(mpf(values[name])) * mpf(10) ** -25
    with mpmath.workdps(90):
        ends = [
            err.evaluate(digits=70, terms=True, **MEASURE, **{**values, name: mpf(values[name]) + e}) for e in (h, -h)
        ]
        return {k: (ends[0][k] - ends[1][k]) / (2 * h) for k in ends[0]}


@pytest.fixture(scope="module")
def derivatives():
    return {name: REPLACE.diff(name) for name in NAMES}


@pytest.mark.parametrize("T", AROUND_THE_RANK)
@pytest.mark.parametrize("lam", [1e-12, 1e-4, 0.3, 1e4])
def test_every_derivative_agrees_with_fifty_digit_differences(derivatives, T, lam):
    values = {**VALUES, "T": T, "lam": lam}
    for name in NAMES:
        got = derivatives[name].evaluate(terms=True, **MEASURE, **values)
        for term, want in slopes(REPLACE, values, name).items():
            if (name, term, T, lam) == ("lam", "bias", 3, 1e-12):
                continue  # an isotropic target has its optimum at no ridge: the slope is the sum of two terms of order one
            assert ref.relative(got[term], want) < 1e-9, (name, term)


def test_the_check_sees_a_missing_path_through_the_ridge():
    """The partial derivative at a fixed effective ridge is not the derivative."""
    err, values = ct.catalog["ridge-clean"].error, {"T": 13, "lam": 0.3, "sigma": 0.5}
    want = slopes(err, values, "T")["variance"]
    df2 = ct.degrees_of_freedom(MEASURE["spectrum"], ct.effective_ridge(MEASURE["spectrum"], T=13, lam=0.3), order=2)
    assert ref.relative(err.diff("T").evaluate(terms=True, **MEASURE, **values)["variance"], want) < 1e-12
    assert ref.relative(-0.25 * df2 / (13 - df2) ** 2, want) > 1e-2


def test_derivatives_without_a_ridge_on_either_side_of_the_rank():
    slope = ct.catalog["ridge-clean"].error.diff("T")
    at = [slope.evaluate(terms=True, **MEASURE, T=T, lam=0, sigma=0.5) for T in (9, 10, 11)]
    assert at[0]["variance"] > 0 > at[2]["variance"] == pytest.approx(-0.25 * 10)
    assert at[1]["variance"] == -mpmath.inf
    assert at[2]["bias"] == 0


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


def test_bias_derivative_does_not_cancel_where_the_ridge_dominates():
    s, w2 = [1.0, 0.5, 0.1], [1.0, 2.0, 3.0]
    got = CLEAN.diff("lam").evaluate(spectrum=ct.Eigenvalues(s), target=ct.Energies(w2), T=10, lam=1e10, sigma=0)
    with mpmath.workdps(90):
        h = mpf(10) ** -15
        a, b = (ref.chain(ref.numbers(s), ref.numbers(w2), [(mpf(10), mpf(10) ** 10 + e, mpf(0))])[0] for e in (h, -h))
        want = (a - b) / (2 * h)
    assert ref.relative(got, want) <= 1e-11


def test_an_even_power_of_a_negative_number_has_a_real_slope():
    """(w - 1)^(2n) between the rounds is ((w - 1)^2)^n."""
    error, at = ct.catalog["regular-fresh-real"].error, {"T": 50, "T0": 30, "w": 0.625}

    def continued(n):
        T, T0, w = (mpmath.mpf(at[x]) for x in ("T", "T0", "w"))
        q = (1 - w) ** 2
        return q**n + (T * q + T0 * w**2) / T0 * (1 - q**n) / (1 - q)

    assert error.evaluate(n=3, **at) == pytest.approx(float(continued(3)), rel=1e-14)
    assert error.diff("n").evaluate(n=3, **at) == pytest.approx(float(mpmath.diff(continued, 3)), rel=1e-12)
