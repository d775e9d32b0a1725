"""Kernels of the special functions against fifty digits and exact sums."""

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mpf

from collapse_theory.numerics.kernels import digamma_difference, geometric_sum, harmonic


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
