"""Elliptic rows and rows of a finite population: against the Gaussian theory, their equations, and naive simulations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

import collapse_theory as ct
from collapse_theory.numerics.elliptic import clean_fit
from tests.naive import agrees

POWER = np.arange(1, 121) ** -1.0
TWO = np.array([0.1, 1.9])
LOGNORMAL = np.exp(0.8 * np.random.default_rng(1).standard_normal(200))
LOGNORMAL /= LOGNORMAL.mean()
ONE = np.ones(1)


def total(fit, s, energies, sigma):
    return float(fit.bias(s) @ energies) + sigma**2 * fit.noise


@given(st.integers(0, 2**32 - 1), st.integers(5, 400), st.sampled_from([0.0, 1e-12, 1e-3, 0.3, 20.0]))
@settings(max_examples=15, deadline=None)
def test_rows_of_one_scale_are_the_gaussian_theory(seed, T, lam):
    rng = np.random.default_rng(seed)
    s, energies = rng.lognormal(size=40), rng.random(40)
    if lam == 0 and abs(T - 40) < 2:
        return
    pipe = ct.Pipeline()
    pipe.fit(pipe.sample(T=T, noise=0.7), ridge=lam)
    theory = ct.test_error(pipe, method="operator").evaluate(spectrum=ct.Eigenvalues(s), target=ct.Energies(energies))
    fit = clean_fit(s, ONE, T=T, lam=lam)
    assert total(fit, s, energies, 0.7) == pytest.approx(theory, rel=1e-8)
    np.testing.assert_allclose(fit.kappa, ct.effective_ridge(ct.Eigenvalues(s), T=T, lam=lam), rtol=1e-9)


@pytest.mark.parametrize(("T", "lam"), [(100, 0.05), (24, 0.2), (30, 1e-3), (80, 2.0)])
def test_two_scales_are_two_samples_with_row_weights(T, lam):
    """Half the rows with weight tau_1 and noise sigma/sqrt(tau_1), half with tau_2: free probability knows such a fit."""
    s, energies, sigma = np.arange(1, 41) ** -0.8, np.linspace(1, 2, 40), 0.6
    pipe = ct.Pipeline()
    halves = [pipe.sample(T=T // 2, noise=sigma / math.sqrt(tau)) for tau in TWO]
    pipe.fit(halves, weights=TWO.tolist(), ridge=lam)
    theory = ct.test_error(pipe).evaluate(spectrum=ct.Eigenvalues(s), target=ct.Energies(energies))
    fit = clean_fit(s, TWO, T=T, lam=lam)
    assert total(fit, s, energies, sigma) == pytest.approx(theory, rel=1e-9)
    assert total(clean_fit(s, ONE, T=T, lam=lam), s, energies, sigma) != pytest.approx(theory, rel=1e-3)


@pytest.mark.parametrize("tau", [TWO, LOGNORMAL], ids=["two scales", "lognormal"])
@pytest.mark.parametrize(("T", "lam"), [(250, 0.02), (60, 0.01), (60, 3.0)])
def test_fresh_rows_solve_the_elliptic_equations(tau, T, lam):
    """df1 = T E[c tau/(1 + c tau)], lam = kappa E[tau/(1 + c tau)]; the noise is df2/T times the slope of kappa."""

    def kappa(ridge):
        def off(log_c):
            c = math.exp(log_c)
            k = ridge / np.mean(tau / (1 + c * tau))
            return np.sum(POWER / (POWER + k)) - T * np.mean(c * tau / (1 + c * tau))

        c = math.exp(brentq(off, -40, 40, xtol=1e-14))
        return ridge / np.mean(tau / (1 + c * tau))

    fit = clean_fit(POWER, tau, T=T, lam=lam)
    assert fit.kappa == pytest.approx(kappa(lam), rel=1e-10)
    slope = (kappa(lam * (1 + 1e-5)) - kappa(lam * (1 - 1e-5))) / (2e-5 * lam)
    df2 = np.sum((POWER / (POWER + fit.kappa)) ** 2)
    assert fit.noise == pytest.approx(slope * df2 / T, rel=1e-6)


def test_least_squares_noise_is_the_root_of_its_equation():
    for tau in (TWO, LOGNORMAL):
        fit = clean_fit(POWER, tau, T=200, lam=0.0)
        assert fit.kappa == 0
        assert 200 * np.mean(fit.noise * tau / (1 + fit.noise * tau)) == pytest.approx(120, rel=1e-12)


@pytest.mark.parametrize("population", [math.inf, 300.0])
@pytest.mark.parametrize("T", [60, 250])
def test_least_squares_is_the_limit_of_a_vanishing_ridge(population, T):
    a, b = (clean_fit(POWER, TWO, T=T, lam=lam, population=population) for lam in (0.0, 1e-13))
    assert a.noise == pytest.approx(b.noise, rel=1e-7)
    np.testing.assert_allclose(a.bias(POWER), b.bias(POWER), rtol=1e-6, atol=1e-15)


@pytest.mark.parametrize(("T", "lam"), [(250, 0.02), (60, 0.0), (60, 0.01), (250, 0.0)])
def test_a_large_population_is_fresh_rows(T, lam):
    fresh, drawn = (clean_fit(POWER, TWO, T=T, lam=lam, population=N) for N in (math.inf, 1e7))
    np.testing.assert_allclose([drawn.kappa, drawn.noise], [fresh.kappa, fresh.noise], rtol=2e-4)
    np.testing.assert_allclose(drawn.bias(POWER), fresh.bias(POWER), rtol=2e-4)


def test_a_population_drawn_a_thousand_times_is_itself():
    """Every row is in the fit: the resampled covariance is the covariance, and ridge regression keeps its own bias."""
    s = POWER[:40]
    fit = clean_fit(s, TWO, T=1e6, lam=0.1, population=100)
    assert fit.kappa == pytest.approx(0.1, rel=1e-3)
    np.testing.assert_allclose(fit.bias(s), 0.01 * s / (s + 0.1) ** 2, rtol=1e-3)
    assert fit.noise == pytest.approx(np.sum((s / (s + 0.1)) ** 2) / 1e6, rel=1e-3)


def test_as_many_rows_as_directions_diverge_without_nan():
    fit = clean_fit(np.ones(50), TWO, T=50, lam=0.0)
    assert fit.noise == math.inf
    assert not fit.bias(np.ones(50)).any()


@pytest.mark.parametrize("lam", [1e-199, 1e-30, 1e30, 1e199])
@pytest.mark.parametrize("population", [math.inf, 500.0])
def test_extreme_ridges_are_finite(lam, population):
    fit = clean_fit(POWER, LOGNORMAL, T=200, lam=lam, population=population)
    assert np.isfinite([fit.kappa, fit.inflation, fit.noise]).all()
    assert fit.noise >= 0
    assert np.isfinite(fit.bias(POWER)).all()


@pytest.mark.parametrize("lam", [1e-201, 1e201])
def test_what_float64_has_no_room_for_is_refused(lam):
    with pytest.raises(ct.DomainError, match="1e200 times the largest eigenvalue"):
        clean_fit(POWER, ONE, T=200, lam=lam)
    with pytest.raises(ct.DomainError, match="T needs to be between"):
        clean_fit(POWER, ONE, T=1 / lam, lam=0.1)


@pytest.mark.parametrize("T", [1e-90, 1e-89, 1e89, 1e90])
@pytest.mark.parametrize("lam", [0.0, 1e-199, 1e199])
def test_what_it_has_room_for_is_not(T, lam):
    fit = clean_fit(POWER, TWO, T=T, lam=lam, population=500)
    assert np.isfinite([fit.kappa, fit.inflation, fit.noise]).all()


def test_often_drawn_rows_need_few_nodes():
    """On both sides of where the draws count as normal."""
    a, b = (clean_fit(POWER[:30], LOGNORMAL, T=200 * mean, lam=0.1, population=200) for mean in (999.9, 1000.1))
    assert a.noise * 999.9 == pytest.approx(b.noise * 1000.1, rel=1e-6)
    np.testing.assert_allclose(a.bias(POWER[:30]), b.bias(POWER[:30]), rtol=1e-6)


def simulated(s, tau, T, lam, N, trials, seed):
    """Return bias and noise of naive fits, each with its prediction (of the populations, if any)."""
    rng = np.random.default_rng(seed)
    d = s.size
    bias, noise, expected = [], [], []
    for _ in range(trials):
        w = rng.standard_normal(d)
        if N is None:
            X = np.sqrt(rng.choice(tau, T))[:, None] * rng.standard_normal((T, d)) * np.sqrt(s)
            Sigma, fit, eigenvalues, energies = np.diag(s), clean_fit(s, tau, T=T, lam=lam), s, np.ones(d)
        else:
            scales = np.resize(tau, N)
            P = np.sqrt(scales)[:, None] * rng.standard_normal((N, d)) * np.sqrt(s)
            Sigma, X = P.T @ P / N, P[rng.integers(N, size=T)]
            eigenvalues, V = np.linalg.eigh(Sigma)
            energies = (V.T @ w) ** 2
            fit = clean_fit(eigenvalues, scales, T=T, lam=lam, population=N)
        A = np.linalg.solve(X.T @ X + T * lam * np.eye(d), X.T) if lam else np.linalg.pinv(X, rcond=1e-9)
        e = w - A @ (X @ w)
        bias.append(e @ Sigma @ e - (fit.bias(eigenvalues) @ energies if N else 0.0))
        noise.append(np.sum((Sigma @ A) * A))
        expected.append((fit.bias(eigenvalues) @ energies, fit.noise))
    b, v = np.mean(expected, axis=0)
    bias = np.array(bias) + (
        b if N else 0.0
    )  # differences within a population: its own bias varies more than the theory errs
    return (bias, b), (np.array(noise), v)


CASES = [
    ("fresh, T > d", POWER, TWO, 250, 0.05, None),
    ("fresh, T < d", POWER, LOGNORMAL, 60, 0.05, None),
    ("fresh, least squares", POWER, LOGNORMAL, 360, 0.0, None),
    ("population", POWER[:80], TWO, 160, 0.05, 240),
    ("population of one scale", POWER[:80], ONE, 60, 0.1, 150),
    ("population, oversampled", POWER[:80], LOGNORMAL, 500, 0.02, 200),
    ("population, least squares", POWER[:60], TWO, 300, 0.0, 400),
]


@pytest.mark.parametrize(("name", "s", "tau", "T", "lam", "N"), CASES, ids=[c[0] for c in CASES])
def test_simulation_agrees_and_rejects_mutants(name, s, tau, T, lam, N):
    """Within 4 standard errors and 2 % of finite size; the Gaussian theory, and 8 % more noise, must be rejected."""
    (bias, b), (noise, v) = simulated(s, tau, T, lam, N, 40 if lam else 150, 0)
    gaussian = clean_fit(s, ONE, T=T, lam=lam)
    assert agrees(noise, v, 0.02), noise
    assert not agrees(noise, 1.08 * v, 0.02)
    assert not agrees(noise, 0.92 * v, 0.02)
    if lam > 0:
        assert agrees(bias, b, 0.02), bias
    assert not (agrees(noise, gaussian.noise, 0.02) and agrees(bias, float(gaussian.bias(s).sum()), 0.02))
