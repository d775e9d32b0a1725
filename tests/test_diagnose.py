"""The diagnosis of real inputs: Gaussian rows are trusted, rare pixels are not unless a ridge hides them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import collapse_theory as ct
from collapse_theory.describe.data import dataset


def gaussian(seed, N=3000, d=12):
    return np.random.default_rng(seed).standard_normal((N, d)) * np.arange(1, d + 1) ** -0.7


def test_columns_of_the_table_are_what_they_say():
    X = gaussian(0)
    found = ct.diagnose(X, T=50, lam=0.1)
    Xc = X - X.mean(axis=0)
    s, V = np.linalg.eigh(Xc.T @ Xc / len(X))
    z = Xc @ V[:, ::-1] / np.sqrt(s[::-1])
    np.testing.assert_allclose(found.eigenvalues, s[::-1], rtol=1e-9)
    np.testing.assert_allclose(found.fourth_moments, (z**4).mean(axis=0), rtol=1e-8)
    np.testing.assert_allclose(found.leverages, (z**2).max(axis=0) / len(X), rtol=1e-8)
    np.testing.assert_allclose(found.use, s[::-1] / (s[::-1] + found.kappa), rtol=1e-9)
    assert found.table(3)[0].keys() == {"direction", "eigenvalue", "fourth moment", "leverage", "use"}


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_gaussian_rows_are_trusted(seed):
    assert ct.diagnose(gaussian(seed), T=100).verdict == "trust"


@given(st.integers(0, 2**32 - 1), st.floats(1e-8, 1e8))
@settings(max_examples=20, deadline=None)
def test_verdict_does_not_depend_on_units(seed, unit):
    X = gaussian(seed)
    X[:, 3] = 0
    X[0, 3] = 0.1
    a, b = ct.diagnose(X, T=100, lam=0.01), ct.diagnose(unit * X, T=100, lam=0.01 * unit**2)
    assert a.verdict == b.verdict
    np.testing.assert_allclose(a.leverage, b.leverage, rtol=1e-6)


def test_digits_are_trusted_with_a_ridge_only_and_simulation_agrees():
    """The verdicts mean what they say: measured against simulation with the real images."""
    digits = dataset("digits")
    for lam, verdict in ((0.1, "trust"), (0.0, "distrust")):
        assert ct.diagnose(digits.X, T=600, lam=lam).verdict == verdict
        pipe = ct.workflows.replace(0, downstream=ct.Stage(T=600, noise=0.3, ridge=lam))
        theory = ct.test_error(pipe).evaluate(spectrum=digits.spectrum, target=digits.target)
        real = ct.simulate(pipe, inputs=digits.X, targets=digits.y, trials=60, seed=1)
        assert (abs(real.mean / theory - 1) < 0.1) == (verdict == "trust")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"T": 0}, "T"),
        ({"lam": -1}, "lam"),
        ({"X": [[1.0, np.nan], [0.0, 1.0]]}, "nan"),
        ({"X": np.ones((5, 2))}, "varies"),
        ({"X": np.ones(5)}, "dimension"),
    ],
)
def test_bad_input(change, words):
    arguments = {"X": gaussian(0), "T": 10, "lam": 0.1, **change}
    with pytest.raises(ct.DomainError, match=words):
        ct.diagnose(arguments.pop("X"), **arguments)
