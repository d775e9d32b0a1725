"""What a data set says: a pair, a mapping, and a noise level that a simulation of known noise confirms."""

import copy
import pickle

import numpy as np
import pytest

import collapse_theory as ct
from collapse_theory.describe.noise_level import cross_validated_noise


def rows(N, d, noise, seed, power=0.0):
    rng = np.random.default_rng(seed)
    s = np.arange(1, d + 1.0) ** -power
    X = rng.standard_normal((N, d)) * np.sqrt(s) + 2
    w = rng.standard_normal(d)
    w /= np.sqrt(s @ w**2)
    return X, X @ w + noise * rng.standard_normal(N)


def test_it_unpacks_as_a_pair_and_by_name():
    X, y = rows(80, 6, 0.3, 0)
    data = ct.from_data(X, y)
    spectrum, target = data
    assert len(data) == 2
    assert data[0] is data["spectrum"] is data.spectrum is spectrum
    assert {**data} == {"spectrum": spectrum, "target": target}
    err = ct.catalog["ols-replace"].error
    values = {"T": 40, "T0": 50, "n": 2, "sigma": 0.5, "sigma0": 0.5}
    assert err.evaluate(**data, **values) == err.evaluate(spectrum=spectrum, target=target, **values)
    with pytest.raises(KeyError):
        data["noise"]


@pytest.mark.parametrize("move", [copy.copy, copy.deepcopy, lambda data: pickle.loads(pickle.dumps(data))])
def test_it_keeps_its_estimates_when_it_is_copied(move):
    data = ct.from_data(*rows(80, 6, 0.3, 0))
    other = move(data)
    assert (other.noise, other.explained, other.estimator) == (data.noise, data.explained, data.estimator)
    np.testing.assert_array_equal(other.spectrum.eigenvalues, data.spectrum.eigenvalues)


@pytest.mark.parametrize("center", [True, False])
def test_the_residual_variance_is_unbiased(center):
    """The mean over data sets is the noise variance within four standard errors; with one degree of freedom less it is not."""
    N, d, noise, repeats = 16, 8, 0.7, 1500
    found = []
    for seed in range(repeats):
        X, y = rows(N, d, noise, seed)
        data = ct.from_data(X, y, center=center)
        assert data.estimator == "residual variance"
        found.append(data.noise**2)
    mean, sem = np.mean(found), np.std(found) / repeats**0.5
    degrees = N - d - int(center)
    assert abs(mean - noise**2) < 4 * sem
    assert abs(mean * degrees / (degrees + 1) - noise**2) > 4 * sem


@pytest.mark.parametrize("noise", [0.3, 1.0])
def test_cross_validation_finds_the_noise_of_more_columns_than_rows(noise):
    found = []
    for seed in range(12):
        data = ct.from_data(*rows(150, 200, noise, seed, power=1.5))
        assert data.estimator == "generalised cross-validation"
        found.append(data.noise)
    assert np.mean(found) == pytest.approx(noise, rel=0.1)


def test_the_explained_share_is_the_adjusted_coefficient_of_determination():
    X, y = rows(60, 5, 1.0, 3)
    data = ct.from_data(X, y)
    design = np.column_stack([np.ones(60), X])
    rest = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
    assert data.explained == pytest.approx(1 - (rest @ rest / 54) / (y.var() * 60 / 59), rel=1e-10)
    assert ct.from_data(X, np.ones(60)).explained == 1.0
    assert ct.from_data(X, np.ones(60)).noise < 1e-12


def test_scales_of_the_data_scale_the_noise():
    X, y = rows(30, 40, 0.5, 1, power=1.0)
    one = ct.from_data(X, y)
    for a, b in ((1e3, 1.0), (1.0, 1e-3)):
        other = ct.from_data(a * X, b * y)
        assert other.noise == pytest.approx(b * one.noise, rel=1e-6)
        assert other.explained == pytest.approx(one.explained, rel=1e-6)


def test_a_kernel_has_a_noise_level_too():
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(200, 1))
    y = np.sin(6 * x[:, 0]) + 0.2 * rng.standard_normal(200)
    K = np.exp(-20 * (x - x.T) ** 2) + 1e-8 * np.eye(200)
    data = ct.from_kernel(K, y)
    assert data.noise == pytest.approx(0.2, rel=0.15)
    assert 0.85 < data.explained < 0.97
    assert {**data}["target"].lost < 0.2


def test_where_nothing_tells_truth_from_noise_all_is_noise():
    assert cross_validated_noise(np.ones(20), np.full(20, 3.0), 0.0, 20) == pytest.approx(3.0, rel=1e-3)


def test_tables_of_pandas_are_data():
    pandas = pytest.importorskip("pandas")
    X, y = rows(40, 3, 0.3, 0)
    table = pandas.DataFrame(X, columns=["a", "b", "c"])
    table["whole"] = np.arange(40)
    one, two = ct.from_data(table, pandas.Series(y)), ct.from_data(table.to_numpy(), y)
    np.testing.assert_array_equal(one.spectrum.eigenvalues, two.spectrum.eigenvalues)
    assert one.noise == two.noise
    with pytest.raises(ct.DomainError, match="real numbers"):
        ct.from_data(table.assign(name="text"), y)
