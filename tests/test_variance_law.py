"""The law of a fitted variance after any number of generations: chi-square, Gaussian tails, simulation."""

import math

import numpy as np
import pytest
from scipy.stats import chi2, norm

import collapse_theory as ct
from collapse_theory.families.variance_law import VarianceLaw


@pytest.mark.parametrize("T", [2, 3, 10, 500])
def test_law_of_one_generation_is_chi_square(T):
    v = np.array([0.0, 1e-4, 0.01, 0.3, 0.9, 1.1, 3.0, 50.0])
    np.testing.assert_allclose(VarianceLaw(T, 1).cdf(v), chi2.cdf(T * v, T - 1), atol=1e-9)


def test_far_tails_of_many_generations_of_large_samples_are_gaussian():
    """``log v`` is a sum of 5,000 small terms; its skewness of 6e-4 moves tails of five deviations by less than two per cent."""
    law = VarianceLaw(1000, 5000)
    deviations = np.array([-5.0, -4.5, -4.0, 4.0, 4.5])
    v = np.exp(5000 * float(law.log_rate) + deviations * float(law.log_variance) ** 0.5)
    tail = np.minimum(law.cdf(v), 1 - law.cdf(v))
    np.testing.assert_allclose(tail, norm.sf(np.abs(deviations)), rtol=0.02)


@pytest.mark.parametrize(("T", "m"), [(4, 3), (20, 50)])
def test_law_of_many_generations(T, m):
    law = ct.Gaussian().variance_law(T=T, generations=m)
    rng = np.random.default_rng(3)
    v = (rng.chisquare(T - 1, (20_000, m)) / T).prod(axis=1)
    for q in (0.1, 0.5, 0.9):
        at = float(np.quantile(v, q))
        assert abs(law.cdf(at) - q) < 4 * math.sqrt(q * (1 - q) / 20_000)
    assert abs(law.cdf(float(np.quantile(v, 0.5))) - 0.52) > 0.01  # control
    assert float(law.mean) == pytest.approx((1 - 1 / T) ** m)
    assert float(law.moment(2)) == pytest.approx(float((T + 1) * (T - 1) / T**2) ** m)
    assert np.log(v).mean() == pytest.approx(m * float(law.log_rate), abs=4 * np.log(v).std() / math.sqrt(20_000))
    assert np.log(v).var() == pytest.approx(float(law.log_variance), rel=0.05)
