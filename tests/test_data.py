"""Spectra and targets from data against the definitions computed another way."""

import warnings

import numpy as np
import pytest

import collapse_theory as ct
from collapse_theory.describe.data import DATASETS, dataset


def data(N=200, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((N, 5)) @ rng.standard_normal((5, 5)) + 3.0
    return X, X @ np.array([1.0, -2, 0.5, 0, 3]) + rng.standard_normal(N)


@pytest.mark.parametrize("center", [True, False])
def test_eigenvalues_and_energies_are_those_of_the_covariance_and_the_normal_equations(center):
    X, y = data()
    spectrum, target = ct.from_data(X, y, center=center)
    Xc, yc = (X - X.mean(0), y - y.mean()) if center else (X, y)
    S = Xc.T @ Xc / len(y)
    s, V = np.linalg.eigh(S)
    w = np.linalg.solve(S, Xc.T @ yc / len(y))
    np.testing.assert_allclose(spectrum.eigenvalues, s[::-1], rtol=1e-10)
    np.testing.assert_allclose(target.energies(spectrum), (V.T @ w)[::-1] ** 2, rtol=1e-8)


def test_centring_matters():
    X, y = data()
    assert not np.allclose(
        ct.from_data(X, y)[0].eigenvalues, ct.from_data(X, y, center=False)[0].eigenvalues, rtol=0.01
    )


def test_the_scale_of_the_data_does_not_decide_what_is_live():
    X, y = data()
    for c in (1e-9, 1e9):
        spectrum, _ = ct.from_data(c * X, y)
        assert spectrum.rank == 5
        np.testing.assert_allclose(spectrum.eigenvalues, c**2 * ct.from_data(X, y)[0].eigenvalues, rtol=1e-10)


def test_dead_directions_are_exactly_zero():
    X, y = data()
    X = np.column_stack([X, X[:, 0] + X[:, 1], np.full(len(y), 0.1), np.full(len(y), 1e5 / 3)])
    spectrum, target = ct.from_data(X, y)
    assert spectrum.dimension == 8
    assert spectrum.rank == 5
    assert (spectrum.eigenvalues[5:] == 0).all()
    assert (target.energies(spectrum)[5:] == 0).all()


def test_fewer_rows_than_columns():
    rng = np.random.default_rng(1)
    X, y = rng.standard_normal((6, 20)), rng.standard_normal(6)
    spectrum, target = ct.from_data(X, y)
    assert (spectrum.dimension, spectrum.rank) == (20, 5)  # centring takes one direction
    # The least-squares target fits every centred label exactly.
    assert np.dot(spectrum.eigenvalues, target.energies(spectrum)) == pytest.approx(y.var(), rel=1e-10)


@pytest.mark.parametrize(
    ("X", "y", "what"),
    [
        ([[1.0, np.nan]], [1.0], "finite"),
        ([[1.0], [2.0]], [1.0, np.inf], "finite"),
        ([[1.0], [2.0]], [1.0], "one value per row"),
        ([1.0, 2.0], [1.0, 2.0], "two-dimensional"),
        ([[1.0], [2.0]], [[1.0], [2.0]], "one-dimensional"),
        ([[1.0], [1.0]], [1.0, 2.0], "column that varies"),
        (np.zeros((0, 3)), [], "empty"),
        ([["a"]], [1.0], "real numbers"),
        ([[1j]], [1.0], "real numbers"),
    ],
)
def test_bad_data(X, y, what):
    with pytest.raises(ct.DomainError, match=what):
        ct.from_data(X, y)


# ---------------------------------------------------------------------- kernels
def test_a_linear_kernel_gives_what_the_data_give():
    X, y = data(N=60)
    X, y = X - X.mean(0), y - y.mean()
    spectrum, target = ct.from_data(X, y)
    with pytest.warns(UserWarning, match="target energy"):
        kernel, energies = ct.from_kernel(X @ X.T, y)
    np.testing.assert_allclose(kernel.eigenvalues, spectrum.eigenvalues, rtol=1e-10)
    np.testing.assert_allclose(energies.energies(kernel), target.energies(spectrum), rtol=1e-7)
    fitted = X @ np.linalg.lstsq(X, y, rcond=None)[0]
    assert energies.lost == pytest.approx(1 - (fitted @ fitted) / (y @ y), rel=1e-9)


def test_a_full_rank_kernel_loses_nothing():
    rng = np.random.default_rng(2)
    x, y = rng.uniform(size=(30, 3)), rng.standard_normal(30)
    K = np.exp(-5 * ((x[:, None] - x) ** 2).sum(-1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        spectrum, target = ct.from_kernel(K, y)
    assert target.lost < 1e-12
    assert spectrum.eigenvalues.sum() == pytest.approx(1.0)
    assert np.dot(spectrum.eigenvalues, target.energies(spectrum)) == pytest.approx((y @ y) / 30)


def test_float32_kernels_have_float32_round_off():
    X, y = data(N=40)
    K = (X.astype(np.float32) @ X.astype(np.float32).T).astype(np.float32)
    assert ct.from_kernel(K, y)[0].dimension == 5


@pytest.mark.parametrize(
    ("K", "y", "what"),
    [
        (np.eye(3), [1.0, 2], "shape"),
        (np.ones((2, 3)), [1.0, 2], "shape"),
        ([[1.0, 0.5], [0.4, 1.0]], [1.0, 2], "symmetric"),
        ([[1.0, 2.0], [2.0, 1.0]], [1.0, 2], "semi-definite"),
        (-np.eye(2), [1.0, 2], "semi-definite"),
        (np.zeros((2, 2)), [1.0, 2], "positive eigenvalue"),
        ([[1.0, np.nan], [np.nan, 1.0]], [1.0, 2], "finite"),
        (np.eye(2), [1.0, np.nan], "finite"),
        (np.eye(2), [[1.0, 2.0]], "one-dimensional"),
    ],
)
def test_bad_kernels(K, y, what):
    with pytest.raises(ct.DomainError, match=what):
        ct.from_kernel(K, y)


# ---------------------------------------------------------------------- bundled
def test_digits_are_those_of_the_theory():
    d = dataset("digits")
    assert d.X.shape == (1797, 64)
    assert (d.spectrum.dimension, d.spectrum.rank) == (64, 61)
    np.testing.assert_allclose(d.X.mean(0), 0, atol=1e-12)
    assert d.X.max() <= 4
    assert d.y.std() == pytest.approx(1)
    assert d.spectrum.eigenvalues.sum() == pytest.approx((d.X**2).sum() / 1797)
    with pytest.raises(ValueError, match="read-only"):
        d.X[0, 0] = 1


def test_every_data_set_of_the_package_loads():
    """MNIST is not in the package; ``test_gallery`` reads a small copy of its form."""
    for name in set(DATASETS) - {"mnist"}:
        d = dataset(name)
        assert d.description
        assert d.target.energies(d.spectrum).shape == (d.X.shape[1],)
    with pytest.raises(ct.ParseError, match="did you mean 'digits'"):
        dataset("digit")
