"""Gaussians: means and covariances of any pipeline by simulation, determinants, distances, and the time to collapse."""

import math

import mpmath
import numpy as np
import pytest

import collapse_theory as ct
from collapse_theory.families.variance_law import VarianceLaw
from tests import naive

W, Stage = ct.workflows, ct.Stage


def runs(pipe, d, number, seed):
    """Return the means and covariances of the last fit in independent runs, by drawing rows."""
    return naive.one_batch(pipe, naive.Gaussians(d), number, np.random.default_rng(seed))[pipe.fits[-1].index]


@pytest.mark.parametrize(("d", "T"), [(1, 5), (3, 12)])
def test_expected_log_determinant(d, T):
    pipe = W.replace(2, Stage(T=T), Stage(T=T))
    theory = float(ct.Gaussian(d).expected_log_determinant(pipe))
    values = np.linalg.slogdet(runs(pipe, d, 3000, 1)[1])[1]
    sem = np.std(values) / math.sqrt(3000)
    assert abs(np.mean(values) - theory) < 4 * sem
    assert abs(np.mean(values) - 1.1 * theory) > 4 * sem  # control


def test_wasserstein_in_one_dimension():
    pipe = W.replace(2, Stage(T=6), Stage(T=6))
    theory = float(ct.Gaussian().expected_wasserstein2(pipe))
    mean, cov = runs(pipe, 1, 4000, 2)
    values = mean[:, 0] ** 2 + (np.sqrt(cov[:, 0, 0]) - 1) ** 2
    sem = np.std(values) / math.sqrt(4000)
    assert abs(np.mean(values) - theory) < 4 * sem
    assert abs(np.mean(values) - 1.2 * theory) > 4 * sem
    with pytest.raises(ct.DomainError, match="d = 1"):
        ct.Gaussian(2).expected_wasserstein2(pipe)


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


@pytest.mark.parametrize("d", [1, 2, 5])
@pytest.mark.parametrize("below", [0.5, 0.01])
def test_typical_collapse_time_is_the_first_round_whose_mean_logarithm_is_below(d, below):
    """Per direction, from the mean log-determinant of an explicit chain; the mean variance takes longer."""
    family = ct.Gaussian(d)
    m = family.collapse_time(T=20, below=below, typical=True)

    def per_direction(rounds):
        return float(family.expected_log_determinant(W.replace(rounds - 1, Stage(T=20), Stage(T=20)))) / d

    assert per_direction(m) <= math.log(below)
    assert m == 1 or per_direction(m - 1) > math.log(below)
    mean = family.collapse_time(T=20, below=below)
    assert (1 - 1 / 20) ** mean <= below < (1 - 1 / 20) ** (mean - 1)
    assert m < mean


def test_collapse_time_at_the_edges():
    assert ct.Gaussian().collapse_time(T=1) == 1
    assert ct.Gaussian(3).collapse_time(T=4, typical=True) >= 1
    for call in (
        lambda: ct.Gaussian(3).collapse_time(T=3, typical=True),
        lambda: ct.Gaussian().collapse_time(T=1, typical=True),
        lambda: ct.Gaussian().collapse_time(T=5, below=1),
        lambda: ct.Gaussian().collapse_time(T=5, below=0),
        lambda: ct.Gaussian(3).expected_log_determinant(W.replace(0, downstream=Stage(T=3))),
    ):
        with pytest.raises(ct.DomainError):
            call()
    assert math.isfinite(float(ct.Gaussian(3).expected_log_determinant(W.replace(0, downstream=Stage(T=4)))))


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


def gaussian_mixture():
    pipe = ct.Pipeline()
    m1 = pipe.fit(pipe.sample(T=3))
    m2 = pipe.fit(pipe.sample(T=3, source=0.5 * ct.TRUTH + 0.5 * m1))
    a = pipe.sample(T=3, source=ct.one_of(m1, m2, ct.TRUTH))
    b = pipe.subsample([a, pipe.samples[0]], T=4)
    pipe.fit([b, pipe.sample(T=2, source=m2)], weights=[1, 0.5])
    return pipe


@pytest.mark.parametrize("build", [
    gaussian_mixture,
    lambda: W.random_past(4, Stage(T=3)),
    lambda: W.accumulate_subsample(3, Stage(T=3)),
    lambda: W.keep_real(3, Stage(T=3), Stage(T=4)),
])  # fmt: skip
def test_gaussian_mean_and_covariance_by_simulation(build):
    pipe, fam = build(), ct.Gaussian()
    theory = np.array([ct.test_error(pipe, family=fam).evaluate(), fam.covariance_factor(pipe)])
    mean, cov = runs(pipe, 1, 4000, seed=5)
    values = np.stack([mean[:, 0] ** 2, cov[:, 0, 0]])
    mean, sem = values.mean(axis=1), values.std(axis=1, ddof=1) / np.sqrt(4000)
    assert (np.abs(mean - theory) < 4 * sem).all()
    assert (np.abs(mean - 1.25 * theory) > 4 * sem).any()  # control: a quarter more is rejected


def test_averaged_gaussians_spread_less_than_mixtures():
    """A linear source averages parameters; one_of mixes densities. Only the latter keeps v = 1 - c."""
    pipe = ct.Pipeline()
    m1, m2 = pipe.fit(pipe.sample(T=2)), pipe.fit(pipe.sample(T=2))
    mixed = pipe.fit(pipe.sample(T=5, source=ct.one_of(m1, m2)))
    averaged = pipe.fit(pipe.sample(T=5, source=0.5 * m1 + 0.5 * m2))
    fam = ct.Gaussian()
    c = np.array(ct.covariances(pipe, family=fam).tolist(), dtype=float)
    assert abs(fam.covariance_factor(pipe, mixed) - (1 - c[2, 2])) < 1e-15
    assert fam.covariance_factor(pipe, averaged) < 1 - c[3, 3] - 0.1
    both = runs(pipe, 1, 4000, seed=0)[1][:, 0, 0]
    mean, sem = both.mean(), both.std() / np.sqrt(4000)
    assert abs(mean - fam.covariance_factor(pipe, averaged)) < 4 * sem
    assert abs(mean - (1 - c[3, 3])) > 4 * sem
