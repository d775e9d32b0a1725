"""The estimator for real and synthetic rows: scikit-learn's own checks, the law it presumes, and that it is worth it."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.linear_model import RidgeCV
from sklearn.utils.estimator_checks import check_estimator

import collapse_theory as ct
from collapse_theory.sklearn import CollapseAwareRidge
from collapse_theory.study.labellers import Message, Summary, estimate_truth


@pytest.mark.heavy
def test_scikit_learn_accepts_it():
    check_estimator(CollapseAwareRidge())


def problem(seed, d=20, real=40, synthetic=200, noise=0.7, labeller_rows=60):
    rng = np.random.default_rng(seed)
    w = rng.standard_normal(d) / np.sqrt(d)
    X, seen = rng.standard_normal((real + synthetic, d)), rng.standard_normal((labeller_rows, d))
    taught = np.linalg.lstsq(seen, seen @ w + noise * rng.standard_normal(labeller_rows), rcond=None)[0]
    generation = np.repeat([0, 1], [real, synthetic])
    y = np.where(generation == 0, X @ w, X @ taught) + noise * rng.standard_normal(real + synthetic)
    return X, y, generation, w


def test_it_beats_ridge_on_the_mixture_and_on_the_real_rows():
    """The mean gain of paired repetitions is beyond four standard errors; ridge on the mixture has none over itself."""
    risks = []
    for seed in range(25):
        X, y, generation, w = problem(seed)
        real = generation == 0
        models = CollapseAwareRidge().fit(X, y, generation), RidgeCV().fit(X, y), RidgeCV().fit(X[real], y[real])
        risks.append([np.square(m.coef_ - w).sum() + m.intercept_**2 for m in models])
    ours, *others = np.array(risks).T
    for other in others:
        gain = other - ours
        assert gain.mean() > 4 * gain.std() / len(gain) ** 0.5


def test_messages_are_the_marginal_likelihood():
    """The evidence is the density of all labels, written out as one Gaussian of rows, labellers and truth."""
    rng = np.random.default_rng(0)
    p, tau2, shrink, q, noises = 3, 1.7, np.array([0.9, 0.5, 1.0]), np.array([0.2, 0.4, 0.0]), (0.3, 0.6)
    Z = [rng.standard_normal((n, p)) for n in (5, 4)]
    y = [rng.standard_normal(n) for n in (5, 4)]
    parts = [Summary(a.T @ a, a.T @ b, float(b @ b), len(b)) for a, b in zip(Z, y, strict=True)]
    said = (
        Message(np.zeros((p, p)), np.zeros(p), 0.0)
        .plus(parts[1], noises[1])
        .through(shrink, q)
        .plus(parts[0], noises[0])
    )
    c = said.through(np.zeros(p), np.full(p, tau2)).c
    joint = tau2 * np.block([[np.eye(p), np.diag(shrink)], [np.diag(shrink), np.diag(shrink**2 + q / tau2)]])
    design = np.block([[Z[0], np.zeros((5, p))], [np.zeros((4, p)), Z[1]]])
    labels = design @ joint @ design.T + np.diag(np.repeat(noises, (5, 4)))
    density = multivariate_normal(cov=labels).logpdf(np.concatenate(y))
    assert c - 4.5 * np.log(2 * np.pi) == pytest.approx(density, rel=1e-12)
    mean = joint[:p] @ design.T @ np.linalg.solve(labels, np.concatenate(y))
    np.testing.assert_allclose(said.mean(np.full(p, tau2)), mean, rtol=1e-10)


def test_a_labeller_has_the_law_of_the_channel():
    """Mean and variance of ridge fits along the eigenvectors, against the two numbers of the channel."""
    s, T, lam, sigma = np.arange(1, 41.0) ** -1.0, 120, 0.02, 0.5
    rng = np.random.default_rng(0)
    w = np.ones(40)
    kappa = float(ct.effective_ridge(ct.Eigenvalues(s), T=T, lam=lam))
    fits = []
    for _ in range(400):
        X = rng.standard_normal((T, 40)) * np.sqrt(s)
        y = X @ w + sigma * rng.standard_normal(T)
        fits.append(np.linalg.solve(X.T @ X / T + lam * np.eye(40), X.T @ y / T))
    fits = np.array(fits)
    np.testing.assert_allclose(fits.mean(0), s / (s + kappa), atol=0.05)
    df2 = float(ct.degrees_of_freedom(ct.Eigenvalues(s), kappa, order=2))
    nu2 = (sigma**2 + kappa**2 * np.sum(s / (s + kappa) ** 2)) / (T - df2)
    ratio = fits.var(0) / (nu2 * s / (s + kappa) ** 2)
    assert ratio.mean() == pytest.approx(1.0, abs=0.05)
    assert np.ptp([ratio[:20].mean(), ratio[20:].mean()]) < 0.1  # along large and small eigenvalues alike


def test_weights_fall_with_generations_and_with_what_labellers_miss():
    X, y, generation, _ = problem(0)
    model = CollapseAwareRidge().fit(X, y, generation)
    assert model.weights_[0] == pytest.approx(1.0)
    assert 0 < model.weights_[1] < 0.9
    third = CollapseAwareRidge().fit(X, y, 3 * generation)
    assert third.weights_.shape == (4,)
    assert list(third.weights_[1:3]) == [0, 0]  # no row is of these


def test_without_noise_and_labellers_errors_it_is_exact():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((100, 4)) * [1, 10, 0.1, 1] + 5
    w = np.array([1.0, -2, 3, 0])
    model = CollapseAwareRidge().fit(X, X @ w + 7, np.repeat([0, 1], 50))
    np.testing.assert_allclose(model.coef_, w, atol=1e-2)
    np.testing.assert_allclose(model.predict(X), X @ w + 7, atol=1e-2)


def test_units_do_not_matter():
    X, y, generation, _ = problem(1)
    one = estimate_truth(X, y, generation)
    other = estimate_truth(100 * X, 1e-3 * y + 5, generation)
    np.testing.assert_allclose(1e5 * other.coefficients, one.coefficients, rtol=1e-2, atol=1e-3)
    assert 1e3 * other.noise == pytest.approx(one.noise, rel=1e-2)
    np.testing.assert_allclose(other.weights, one.weights, rtol=2e-2)


def test_labels_that_do_not_vary():
    model = CollapseAwareRidge().fit([[1.0, 2], [3, 4], [5, 7]], [2.0, 2, 2], [0, 0, 1])
    np.testing.assert_array_equal(model.predict([[9.0, 9]]), [2.0])


@pytest.mark.parametrize(
    ("generation", "what"),
    [
        ([0, 1], "one integer per row"),
        ([0, 1, -1], "count from 0"),
        ([1, 1, 2], "without real rows"),
        ([0, 0.5, 1], "needs integers"),
        (["0", "1", "1"], "needs integers"),
        ([0, 1, 10**6], "count from 0"),
        ([0, 1, np.nan], "needs integers"),
    ],
)
def test_bad_generations(generation, what):
    with pytest.raises(ValueError, match=what):
        CollapseAwareRidge().fit([[1.0], [2], [3]], [1.0, 2, 3], generation)
