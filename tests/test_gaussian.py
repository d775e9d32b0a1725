"""Laws of the Gaussian family beyond its second moments."""

import math

import numpy as np
import pytest
from scipy.stats import chi2, norm

import collapse_theory as ct
from collapse_theory.families.variance_law import VarianceLaw

W, Stage = ct.workflows, ct.Stage


def chains(T, generations, d, runs, seed):
    """Return fitted means and covariances of independent chains, by drawing rows."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(runs):
        mean, cov = np.zeros(d), np.eye(d)
        for _ in range(generations):
            x = rng.multivariate_normal(mean, cov, T, method="cholesky")
            mean, cov = x.mean(axis=0), np.atleast_2d(np.cov(x.T, bias=True))
        out.append((mean, cov))
    return out


@pytest.mark.parametrize(("d", "T"), [(1, 5), (3, 12)])
def test_expected_log_determinant(d, T):
    pipe = W.replace(2, Stage(T=T), Stage(T=T))
    theory = float(ct.Gaussian(d).expected_log_determinant(pipe))
    values = [np.linalg.slogdet(cov)[1] for _, cov in chains(T, 3, d, 3000, 1)]
    sem = np.std(values) / math.sqrt(3000)
    assert abs(np.mean(values) - theory) < 4 * sem
    assert abs(np.mean(values) - 1.1 * theory) > 4 * sem  # control


def test_wasserstein_in_one_dimension():
    pipe = W.replace(2, Stage(T=6), Stage(T=6))
    theory = float(ct.Gaussian().expected_wasserstein2(pipe))
    values = [mean[0] ** 2 + (math.sqrt(cov[0, 0]) - 1) ** 2 for mean, cov in chains(6, 3, 1, 4000, 2)]
    sem = np.std(values) / math.sqrt(4000)
    assert abs(np.mean(values) - theory) < 4 * sem
    assert abs(np.mean(values) - 1.2 * theory) > 4 * sem
    with pytest.raises(ct.DomainError, match="d = 1"):
        ct.Gaussian(2).expected_wasserstein2(pipe)


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


def test_covariance_factor_and_collapse_time():
    fam = ct.Gaussian()
    pipe = W.accumulate(400, Stage(T=10))
    limit = math.sin(math.pi / math.sqrt(10)) / (math.pi / math.sqrt(10))
    assert fam.covariance_factor(pipe) == pytest.approx(limit, rel=1e-3)
    m = fam.collapse_time(T=100, below=0.01)
    assert 0.99**m <= 0.01 < 0.99 ** (m - 1)
    law = fam.variance_law(T=100, generations=fam.collapse_time(T=100, below=0.01, typical=True))
    assert law.cdf(0.01) == pytest.approx(0.5, abs=0.02)
    T = ct.symbols.T
    assert fam.covariance_factor(W.replace(1, Stage(T=T), Stage(T=T))).subs({T: 4}) == pytest.approx(9 / 16)


@pytest.mark.parametrize("call", [
    lambda: ct.Gaussian(0),
    lambda: ct.Gaussian().variance_law(T=1, generations=2),
    lambda: ct.Gaussian().variance_law(T=5, generations=0),
    lambda: ct.Gaussian().collapse_time(T=5, below=2),
    lambda: ct.Gaussian(3).expected_log_determinant(W.replace(1, Stage(T=3), Stage(T=3))),
    lambda: ct.Gaussian().expected_log_determinant(W.accumulate(2, Stage(T=3))),
    lambda: VarianceLaw(5, 2).moment(-3),
    lambda: VarianceLaw(5, 2).cdf(-1),
])  # fmt: skip
def test_bad_input(call):
    with pytest.raises(ct.CollapseTheoryError):
        call()
