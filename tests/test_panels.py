"""Quadratures of the directions of a power law against sums that mpmath takes term by term, with a zeta series behind them."""

import math
from fractions import Fraction
from itertools import pairwise

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mpf

import collapse_theory as ct
from collapse_theory.core.precision import exact_context
from collapse_theory.numerics.measure import Measure
from collapse_theory.numerics.panels import gauss_jacobi, gregory
from tests import reference as ref

exponents = st.floats(1.01, 6)
sources = st.floats(math.log(0.05), math.log(3)).map(math.exp)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(exponents, sources, st.floats(-1, 1), st.sampled_from([(1, 1), (2, 2), (1, 2), (1, 4), (4, 4)]))
def test_integrals_against_mpmath(beta, r, place, powers):
    kappa, (a, b) = 10.0 ** (place * min(12, 3.4 * beta)), powers
    measure = Measure.of(ct.PowerLaw(math.inf, beta), ct.SourceTarget(r), octaves=64)
    f = measure.nodes**a / (measure.nodes + kappa) ** b
    with mpmath.workdps(40):
        beta, r = mpf(beta), mpf(r)
        want = (
            ref.endless_sum(beta, mpf(kappa), a, b, 0),
            ref.endless_sum(beta, mpf(kappa), a, b, beta - 1 - 2 * r * beta),
        )
    assert measure.counts.min() >= 0
    for got, x in zip((measure.trace(f), measure.form(f)), want, strict=True):
        assert abs(got / x - 1) < 4e-15


def test_a_sum_that_forgets_the_junction_is_seen():
    measure = Measure.of(ct.PowerLaw(math.inf, 1.5))
    f = measure.nodes / (measure.nodes + 1e-3)
    counts = np.where(
        (measure.counts > 0) & (measure.counts < 2), 1, measure.counts
    )  # a head without Gregory's weights
    with mpmath.workdps(40):
        want = ref.endless_sum(mpf(1.5), mpf(1e-3), 1, 1, 0)
    assert abs(float(measure.trace(f) / want - 1)) < 1e-15
    assert abs(float(f @ counts / want - 1)) > 1e-5


@pytest.mark.parametrize("bits", [110, 300])
@pytest.mark.heavy
def test_as_many_digits_as_the_context_has(bits):
    with exact_context(bits) as mp:
        measure = Measure.exact(ct.PowerLaw(math.inf, 1.5), ct.SourceTarget(0.25), mp, octaves=40)
        kappa = mp.mpf(10) ** -3
        got = [integral(measure.nodes / (measure.nodes + kappa) ** 2) for integral in (measure.trace, measure.form)]
    with mpmath.workprec(bits + 60):
        kappa, digits = mpf(10) ** -3, bits * 0.30103
        want = [ref.endless_sum(mpf(1.5), kappa, 1, 2, power, 2 * bits) for power in (0, mpf(-0.25))]
        lost = 2 + 0.15 * digits  # Gregory's weights alternate and grow like 2^order
        assert all(abs(mpf(g) / w - 1) < mpf(10) ** (lost - digits) for g, w in zip(got, want, strict=True))


@pytest.mark.parametrize("kappa", [1e6, 1.0, 1e-5, 1e-40, 1e-150, 1e-290])
def test_a_closed_form_at_any_ridge(kappa):
    # sum_j 1/(1 + kappa j^2) = (pi/(2 sqrt kappa)) coth(pi/sqrt kappa) - 1/2
    with mpmath.workdps(60):
        x = mpmath.pi / mpmath.sqrt(mpf(kappa))
        first, slope = x / 2 * mpmath.coth(x) - mpf(1) / 2, x / 4 * (mpmath.coth(x) - x * mpmath.csch(x) ** 2)
    got = [ct.degrees_of_freedom(ct.PowerLaw(math.inf, 2), kappa, order=k) for k in (1, 2)]
    for g, want in zip(got, (first, first - slope), strict=True):
        assert abs(g / want - 1) < 2e-15


@pytest.mark.parametrize("beta", [1.2, 1.7, 3.3, 5.5])
def test_the_asymptotic_series_of_small_ridges(beta):
    kappa = 1e-120
    with mpmath.workdps(60):
        lead = mpmath.pi / mpf(beta) / mpmath.sin(mpmath.pi / mpf(beta)) * mpf(kappa) ** (-1 / mpf(beta))
        want = lead - mpf(1) / 2 - mpf(kappa) * mpmath.zeta(-mpf(beta))
    assert abs(ct.degrees_of_freedom(ct.PowerLaw(math.inf, beta), kappa) / want - 1) < 2e-15


@pytest.mark.parametrize("order", [1, 4, 7])
def test_gregory_weights_sum_polynomials_exactly(order):
    weights = gregory(order)
    for power in range(
        order + 1
    ):  # sum_{j <= 0} weights (j + N)^p = sum_{j=1}^{N} j^p - integral from 0 to N beyond a constant
        N = 40
        head = sum(
            (weights[N - j] if N - j <= order else 1) * Fraction(j) ** power for j in range(1, N + 1)
        ) - Fraction(N ** (power + 1), power + 1)
        M = 50
        other = sum(
            (weights[M - j] if M - j <= order else 1) * Fraction(j) ** power for j in range(1, M + 1)
        ) - Fraction(M ** (power + 1), power + 1)
        assert head == other  # what is added to the head is the integral
    assert all(w > 0 for w in weights)


@pytest.mark.parametrize(("n", "b", "bits"), [(12, -0.99, 83), (15, 0, 83), (60, 5, 400), (40, -0.3, 200)])
def test_gauss_rules_integrate_their_powers(n, b, bits):
    with exact_context(bits) as mp:
        exponent = mp.mpf(b)
        y, w = gauss_jacobi(n, exponent, mp)
        assert all(0 < a < c < 1 for a, c in pairwise(y))
        for k in (0, 1, n, 2 * n - 1):
            assert abs(mp.fsum(c * x**k for x, c in zip(y, w, strict=True)) * (k + exponent + 1) - 1) < 2.0 ** (
                8 - bits
            )
        k = 2 * n
        assert abs(mp.fsum(c * x**k for x, c in zip(y, w, strict=True)) * (k + exponent + 1) - 1) > 2.0 ** (16 - bits)
