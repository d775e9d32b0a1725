"""The law of a fitted variance after any number of generations: chi-square, Gaussian tails, simulation."""

import math

import mpmath
import numpy as np
import pytest
from scipy.stats import chi2, norm

import collapse_theory as ct
from collapse_theory.families.log_gamma import centred_log_gamma
from collapse_theory.families.variance_law import VarianceLaw


@pytest.mark.parametrize("T", [2, 3, 10, 500])
def test_law_of_one_generation_is_chi_square(T):
    v = np.array([0.0, 1e-4, 0.01, 0.3, 0.9, 1.1, 3.0, 50.0])
    np.testing.assert_allclose(VarianceLaw(T, 1).cdf(v), chi2.cdf(T * v, T - 1), rtol=0, atol=1e-13)


def ratio_and_probability(T, m, deviations):
    """Return a float so many deviations from the mean logarithm, and its probability from the plain integral at 40 digits."""
    mp = mpmath.MPContext()
    mp.dps = 40
    a = mp.mpf(T - 1) / 2
    deviation = mp.sqrt(m * mp.psi(1, a))
    v = float(mp.exp(m * (mp.digamma(a) + mp.log(mp.mpf(2) / T)) + deviations * deviation))
    x = mp.log(mp.mpf(v))

    def characteristic(t):
        return mp.exp(m * (mp.mpc(0, t) * mp.log(mp.mpf(2) / T) + mp.loggamma(mp.mpc(a, t)) - mp.loggamma(a)))

    end = 9 / deviation
    while abs(characteristic(end)) > mp.mpf(10) ** -19:
        end *= mp.mpf(1.3)
    edges = mp.linspace(0, end, 17)
    integral = mp.quad(
        lambda t: mp.im(characteristic(t) * mp.expj(-t * x)) / t, edges, method="gauss-legendre", maxdegree=4
    )
    return v, float(mp.mpf(1) / 2 - integral / mp.pi)


@pytest.mark.parametrize(("T", "m"), [
    (2, 3), (10, 30), (33, 200), (1000, 5000), (10**4, 10**5), (10**6, 10**6), (10**9, 1), (10**9, 10**6),
])  # fmt: skip
def test_law_of_many_generations_against_mpmath(T, m):
    """Differences of logarithms of Gamma in float64 lose 1e-9 at T = 1000, m = 5000, and 1e-7 at T = 10^4, m = 10^5."""
    for deviations in (-2.0, 0.3, 3.0):
        v, probability = ratio_and_probability(T, m, deviations)
        assert abs(VarianceLaw(T, m).cdf(v) - probability) < 1e-14


@pytest.mark.parametrize(("T", "m"), [(20, 2), (500, 1), (1000, 1), (10**6, 10)])
def test_far_from_the_mean_the_law_is_zero_or_one(T, m):
    """The inversion on a grid is a periodic function of ``log v``."""
    law = VarianceLaw(T, m)
    np.testing.assert_allclose(law.cdf([1e-300, 1e-100, 1e-20]), 0, atol=1e-14)
    np.testing.assert_allclose(law.cdf([1e5, 1e10, 1e100, 1e300, np.inf]), 1, atol=1e-14)


@pytest.mark.parametrize("a", [0.5, 1.0, 3.5, 15.5, 16.0, 400.0, 5e5, 5e8])
@pytest.mark.parametrize("m", [1, 10**3, 10**6])
def test_centred_logarithm_of_gamma_against_mpmath(a, m):
    mp = mpmath.MPContext()
    mp.dps = 60
    t = np.array([-1.0, 0.1, 1.0, 9.0]) * math.sqrt(a / m)
    expected = [mp.loggamma(mp.mpc(a, s)) - mp.loggamma(a) - mp.mpc(0, s) * mp.digamma(a) for s in map(float, t)]
    np.testing.assert_allclose(centred_log_gamma(a, t), np.array([complex(g) for g in expected]), rtol=4e-15)


@pytest.mark.parametrize("T", [2, 7, 1000, 1001, 100_001, 10**9])
def test_rate_and_variance_of_the_logarithm_against_mpmath(T):
    """SymPy writes a polygamma of 50,000 out as a sum of so many terms, which takes minutes."""
    mp = mpmath.MPContext()
    mp.dps = 80
    a = mp.mpf(T - 1) / 2
    law = VarianceLaw(T, 3)
    for value, expected in [
        (law.log_rate, mp.digamma(a) + mp.log(mp.mpf(2) / T)),
        (law.log_variance, 3 * mp.psi(1, a)),
    ]:
        assert abs(mp.mpf(str(value.evalf(48))) / expected - 1) < mp.mpf(10) ** -45


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
