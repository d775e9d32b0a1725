"""Exponents of spectra and targets: recovery, coverage, head and tail, and real data."""

import gzip
import math
import os
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.datasets import load_digits

import collapse_theory as ct

SPECTRUM = ct.PowerLaw(1000, beta=1.5)
IMAGES = "t10k-images-idx3-ubyte.gz"


def scattered(r, seed, spectrum=SPECTRUM):
    """Coefficients of a source law in general position."""
    rng = np.random.default_rng(seed)
    return ct.Coefficients(np.sqrt(ct.SourceTarget(r).energies(spectrum)) * rng.standard_normal(1000))


def test_a_power_law_gives_back_its_exponents():
    found = ct.fit_exponents(ct.PowerLaw(500, beta=2.2, scale=7), ct.SourceTarget(r=0.3, scale=4))
    assert (found.beta, found.r) == pytest.approx((2.2, 0.3), rel=1e-9)
    assert found.beta_interval == pytest.approx((2.2, 2.2), rel=1e-9)
    assert (float(found.spectrum.scale), float(found.target.scale)) == pytest.approx((7, 4), rel=1e-9)
    assert found.spectrum.dimension == 500
    assert found.halves == pytest.approx((1 + 2 * 2.2 * 0.3,) * 2, rel=1e-9)


def test_the_order_and_zeros_do_not_matter():
    s = np.append(SPECTRUM.eigenvalues, [0.0] * 7)
    e = np.append(scattered(0.4, 1).energies(SPECTRUM), [3.0] * 7)
    order = np.random.default_rng(0).permutation(s.size)
    one = ct.fit_exponents(SPECTRUM, scattered(0.4, 1))
    other = ct.fit_exponents(ct.Eigenvalues(s[order]), ct.Energies(e[order]))
    assert (other.beta, other.r, *other.r_interval) == pytest.approx((one.beta, one.r, *one.r_interval))


def test_the_likelihood_has_its_maximum_there():
    target = scattered(0.4, 3)
    found = ct.fit_exponents(SPECTRUM, target, window=(5, 300))
    j = np.arange(5, 301)
    e = (SPECTRUM.eigenvalues * target.energies(SPECTRUM))[4:300]

    def cost(x):
        log = x[0] - x[1] * np.log(j)
        return (log + e * np.exp(-log)).sum()

    best = minimize(cost, [0.0, 2.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 9999})
    assert 1 + 2 * found.r * found.beta == pytest.approx(best.x[1], abs=1e-6)
    assert math.log(found.target.scale) == pytest.approx(best.x[0], abs=1e-5)


def test_head_and_tail_do_not_matter():
    s = SPECTRUM.eigenvalues.copy()
    s[:3] *= [40, 5, 2]
    s[250:] = s[250] * np.exp(-(np.arange(250, 1000) - 250) / 30)
    e = scattered(0.4, 1).energies(SPECTRUM)
    found = ct.fit_exponents(ct.Eigenvalues(s), ct.Energies(e * SPECTRUM.eigenvalues / s))
    want = ct.fit_exponents(SPECTRUM, scattered(0.4, 1))
    assert (found.beta, found.r) == pytest.approx((want.beta, want.r))
    with_head = ct.fit_exponents(ct.Eigenvalues(s), ct.Energies(e), window=(1, 999))
    assert abs(with_head.beta - 1.5) > 0.1


def shares(level, runs=100):
    """How often the intervals hold the exponents: a spectrum whose local slope wanders, a target in general position."""
    beta, r = 0, 0
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        steps = rng.standard_normal(40) * 0.05
        bent = np.interp(np.log(np.arange(1, 1001)), np.linspace(0, math.log(1000), 40), np.cumsum(steps))
        spectrum = ct.Eigenvalues(SPECTRUM.eigenvalues * np.exp(bent))
        energies = scattered(0.4, seed).energies(SPECTRUM) * SPECTRUM.eigenvalues / spectrum.eigenvalues
        found = ct.fit_exponents(spectrum, ct.Energies(energies), level=level, draws=150, seed=seed)
        beta += found.beta_interval[0] <= 1.5 <= found.beta_interval[1]
        r += found.r_interval[0] <= 0.4 <= found.r_interval[1]
    return beta, r


@pytest.mark.heavy
def test_intervals_cover_and_those_of_a_lower_level_do_not():
    """Of 100 runs 90 % are 90, give or take 3."""
    beta, r = shares(0.9)
    assert beta >= 80
    assert 80 <= r <= 98
    assert max(shares(0.4)) < 75


def test_exponents_of_sampled_rows():
    """Covariance and least-squares target of rows drawn from a power law, where the ranks are far fewer than the rows."""
    rng = np.random.default_rng(5)
    d, N = 200, 4000
    s, w = np.arange(1.0, d + 1) ** -1.4, np.sqrt(np.arange(1.0, d + 1) ** (1.4 - 1 - 2 * 0.5 * 1.4))
    X = rng.standard_normal((N, d)) * np.sqrt(s)
    found = ct.fit_exponents(*ct.from_data(X, X @ (w * rng.choice([-1, 1], d))), window=(3, 60))
    assert found.beta == pytest.approx(1.4, abs=0.05)
    assert found.r == pytest.approx(0.5, abs=0.06)


# ------------------------------------------------------------------ real data
def gaussian_kernel(X, width):
    square = (X**2).sum(axis=1)
    return np.exp(-width * np.maximum(square[:, None] + square - 2 * X @ X.T, 0))


def predicted_and_exact(K, y, window=None):
    """Errors of a tuned ridge by the fitted laws, and by the eigenvalues themselves."""
    about = ct.from_kernel(K, y)
    found = ct.fit_exponents(*about, window=window)
    err = ct.catalog["ridge-clean"].error
    T = np.geomspace(60, 400, 5)
    exact, law = (
        ct.optimal_ridge(err, spectrum=s, target=t, T=T, sigma=0.3).error
        for s, t in (about, (found.spectrum, found.target))
    )
    return found, np.diff(np.log(exact)) / np.diff(np.log(T)), np.diff(np.log(law)) / np.diff(np.log(T))


def test_a_kernel_on_digits_feeds_the_laws():
    X, y = load_digits(return_X_y=True)
    found, exact, law = predicted_and_exact(gaussian_kernel(X / 16, 0.1), (y - y.mean()) / y.std())
    assert 1.2 < found.beta_interval[0] < found.beta < found.beta_interval[1] < 1.6
    assert 0.1 < found.r_interval[0] < found.r < found.r_interval[1] < 0.3
    np.testing.assert_allclose(exact, law, atol=0.1)


def test_digits_are_no_power_law_and_the_interval_says_so():
    X, y = load_digits(return_X_y=True)
    found = ct.fit_exponents(*ct.from_data(X / 4, y), window=(4, 50))
    assert found.beta_interval[1] - found.beta_interval[0] > 0.5
    assert found.local[-1] > 2 * found.local[:3].mean()


def mnist():
    folder = Path(os.environ.get("COLLAPSE_THEORY_MNIST", ""))
    if not (folder / IMAGES).is_file():
        pytest.skip(f"set COLLAPSE_THEORY_MNIST to a folder with {IMAGES} and the labels beside it")
    pixels = np.frombuffer(gzip.decompress((folder / IMAGES).read_bytes()), np.uint8, offset=16).reshape(-1, 784) / 255
    labels = gzip.decompress((folder / IMAGES.replace("images-idx3", "labels-idx1")).read_bytes())
    y = np.frombuffer(labels, np.uint8, offset=8).astype(float)
    return pixels[:2000], (y[:2000] - y[:2000].mean()) / y[:2000].std()


def test_a_gaussian_kernel_on_mnist_feeds_the_laws():
    X, y = mnist()
    found, exact, law = predicted_and_exact(gaussian_kernel(X, 0.01), y)
    assert 0.9 < found.beta_interval[0] < found.beta < found.beta_interval[1] < 1.3
    assert 0 < found.r_interval[0] < found.r < found.r_interval[1] < 0.2
    np.testing.assert_allclose(exact, law, atol=0.1)


def test_a_polynomial_kernel_on_mnist_has_a_target_without_a_power():
    X, y = mnist()
    about = ct.from_kernel((1 + X @ X.T / 784) ** 3, y)
    with pytest.raises(ct.DomainError, match="fall faster than 1/j"):
        ct.fit_exponents(*about)
    assert ct.fit_exponents(*about, window=(4, 64)).r_interval[0] < 0


# ------------------------------------------------------------------ bad input
@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda: ct.fit_exponents(ct.PowerLaw(60, beta=2), ct.SourceTarget(1)),
            "window is needed where there are fewer",
        ),
        (lambda: ct.fit_exponents(SPECTRUM, ct.SourceTarget(1), window=(4, 20)), "at least a factor of 8 apart"),
        (lambda: ct.fit_exponents(SPECTRUM, ct.SourceTarget(1), window=(4, 2000)), r"window\[1\] needs to be"),
        (lambda: ct.fit_exponents(SPECTRUM, ct.SourceTarget(1), window=9), "window needs the first and the last rank"),
        (lambda: ct.fit_exponents(SPECTRUM, ct.Energies(np.zeros(1000))), "needs energies > 0"),
        (lambda: ct.fit_exponents(SPECTRUM, ct.Energies(np.arange(1, 1001.0) ** 1.5)), "fall faster than 1/j"),
        (lambda: ct.fit_exponents(ct.PowerLaw(math.inf, beta=2), ct.SourceTarget(1)), "needs a finite d"),
        (lambda: ct.fit_exponents(ct.Isotropic(400), ct.RandomTarget()), "got equal ones"),
        (lambda: ct.fit_exponents(SPECTRUM, ct.SourceTarget(1), level=1.5), "level needs to be"),
    ],
)
def test_bad_input(call, said):
    with pytest.raises(ct.DomainError, match=said):
        call()
