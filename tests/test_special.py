"""Special functions of the exact theory against fifty digits and exact sums."""

import math

import mpmath
import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mpf

import collapse_theory as ct
from collapse_theory.algebra.special import DigammaDifference, GammaRatio, GeometricSum, sum_of_simple_poles
from collapse_theory.numerics.kernels import digamma_difference, float64_kernels, geometric_sum, harmonic


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.floats(-3, 12).map(lambda x: 10.0**x), st.floats(-15, 0).map(lambda x: 10.0**x), st.sampled_from([-1, 1]))
def test_digamma_difference(x, share, sign):
    h = sign * share * x * 0.9
    with mpmath.workdps(60):
        want = mpmath.digamma(mpf(x) + mpf(h)) - mpmath.digamma(mpf(x))
    assert abs(float(digamma_difference(x, h)) / want - 1) < 1e-13


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.floats(-15, 0).map(lambda x: 10.0**x), st.integers(0, 10**12))
def test_geometric_sum(x, n):
    with mpmath.workdps(60):
        want = (1 - (1 - mpf(x)) ** n) / mpf(x)
    assert abs(float(geometric_sum(x, n)) - want) <= 1e-13 * want


def test_edges_of_the_geometric_sum():
    assert np.array_equal(geometric_sum([0, 0, 1, 1, 1], [0, 5, 0, 1, 7]), [0, 5, 0, 1, 1])


@pytest.mark.parametrize("order", [1, 2])
def test_harmonic_numbers(order):
    assert np.allclose(harmonic(np.array([1, 2, 3]), order), np.cumsum(1 / np.arange(1, 4) ** order), rtol=1e-14)


@pytest.mark.parametrize(("f", "names"), [(DigammaDifference, "x h"), (GeometricSum, "x n")])
def test_derivatives_are_those_of_the_definition(f, names):
    a, b = sp.symbols(names, positive=True)
    at = {a: sp.Rational(1, 3), b: sp.Rational(7, 2)}
    for x in (a, b):
        assert sp.N(f(a, b).diff(x).doit().subs(at) - f(a, b).doit().diff(x).subs(at), 30) == pytest.approx(
            0, abs=1e-25
        )


def test_sums_of_simple_poles():
    i, n = sp.Symbol("i"), sp.Symbol("n")
    total = sum_of_simple_poles(1 / (i * (i + sp.Rational(1, 2))), i, n)
    for k in (1, 2, 6):
        want = sum(1 / (j * (j + sp.Rational(1, 2))) for j in range(1, k + 1))
        assert sp.N(total.subs(n, k).doit() - want, 30) == pytest.approx(0, abs=1e-25)
    for bad in (1 / i, 1 / i**2):
        with pytest.raises(ValueError, match=r"pole|decay"):
            sum_of_simple_poles(bad, i, n)


@pytest.mark.parametrize("x", [0.5, 15.9, 16.0, 1e3, 1e6, 1e12])
@pytest.mark.parametrize("h", [-0.4, -1e-9, 0.5, 1.3, 10.5])
def test_gamma_ratio_does_not_lose_what_cancels_between_two_logarithms(x, h):
    with mpmath.workdps(60):
        want = mpmath.gammaprod([mpmath.mpf(x) + mpmath.mpf(h)], [mpmath.mpf(x)])
        if x > 1e5:
            want = mpmath.exp(mpmath.loggamma(mpmath.mpf(x) + mpmath.mpf(h)) - mpmath.loggamma(mpmath.mpf(x)))
        for got in (float64_kernels()["GammaRatio"](x, h), float(GammaRatio(sp.Float(x), sp.Float(h)).evalf(20))):
            # The recurrence has 16 factors; the logarithm of the ratio, h log x, is rounded once or twice.
            assert abs(got - want) <= want * 2.0**-52 * (16 + 2 * abs(h) * math.log(x + 2))


@pytest.mark.parametrize("T", [1001, 10**8, 10**17])
def test_gaussian_chains_with_many_rows(T):
    gaussian, pipe = ct.Gaussian(), ct.workflows.replace(1, generator=ct.Stage(T=T), downstream=ct.Stage(T=T))
    with mpmath.workdps(80):
        x = mpmath.mpf(T)
        determinant = 2 * (mpmath.digamma((x - 1) / 2) + mpmath.log(2 / x))
        root = mpmath.sqrt(2 / x) * mpmath.exp(mpmath.loggamma(x / 2) - mpmath.loggamma((x - 1) / 2))
        distance = 1 + (1 - 1 / x) / x + 1 / x + (1 - 1 / x) ** 2 - 2 * root**2
        assert abs(float(gaussian.expected_log_determinant(pipe)) - determinant) < 1e-14 * abs(determinant)
        assert abs(float(gaussian.expected_wasserstein2(pipe)) - distance) < 1e-14 * distance
        assert (
            abs(gaussian.collapse_time(T, typical=True) / (2 * mpmath.log(mpmath.mpf(0.01)) / determinant) - 1) < 0.01
        )


def test_a_chain_that_cannot_be_built_is_refused():
    with pytest.raises(ct.DomainError, match=r"T <= 1e\+07.*fewer rows"):
        ct.Categorical([0.5, 0.5]).mean_collapse_time(T=10**9)
