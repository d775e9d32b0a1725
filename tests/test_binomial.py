"""Binomial probabilities and deviations against fifty digits and sums over all counts."""

import mpmath
import numpy as np
import pytest
from scipy.stats import binom

from collapse_theory.families.binomial import mean_absolute_deviation, probabilities


@pytest.mark.parametrize(("T", "x"), [(1, 0.3), (7, 1e-9), (30, 0.999), (1000, 0.3), (10**6, 0.01), (10**6, 0.5)])
def test_binomial_probabilities_against_mpmath(T, x):
    with mpmath.workdps(50):
        for k in sorted({0, 1, T, int(T * x), min(T, int(T * x) + 3)}):
            want = mpmath.binomial(T, k) * mpmath.mpf(x) ** k * (1 - mpmath.mpf(x)) ** (T - k)
            if want > 1e-250:
                assert abs(probabilities(T, np.array([k]), np.array([x]))[0] / float(want) - 1) < 2e-12


def test_mean_absolute_deviation():
    for T, x in ((5, 0.3), (40, 0.01), (3, 1.0), (6, 0.5)):
        k = np.arange(T + 1)
        want = (np.abs(k / T - x) * binom.pmf(k, T, x)).sum()
        assert abs(mean_absolute_deviation(T, np.array([x]))[0] - want) < 1e-14
