"""Special functions of the exact theory against fifty digits and exact sums."""

import mpmath
import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mpf

from collapse_theory.evaluate.kernels import digamma_difference, geometric_sum, harmonic
from collapse_theory.special import DigammaDifference, GeometricSum, sum_of_simple_poles


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
