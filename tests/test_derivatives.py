"""Derivatives through the implicit scalars against differences of fifty digits, over the whole domain."""

import mpmath
import pytest
from mpmath import mpf

import collapse_theory as ct
from tests import reference as ref

MEASURE = {"spectrum": ct.PowerLaw(10, 1.5), "target": ct.RandomTarget()}
VALUES = {"sigma": 0.5, "T0": 14, "n": 2, "sigma0": 0.3}
REPLACE = ct.catalog["ridge-replace"].error
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
