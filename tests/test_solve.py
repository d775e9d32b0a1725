"""Solvers of a fit against the definition."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import collapse_theory as ct
from collapse_theory.simulate.solve import kernel_fit, ridge_fit


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 8), st.integers(1, 8), st.sampled_from([0.0, 1e-6, 0.3]), st.integers(0, 10**6))
def test_solvers_against_the_definition(M, d, ridge, seed):
    rng = np.random.default_rng(seed)
    X, y, a = rng.standard_normal((M, d)), rng.standard_normal(M), rng.uniform(0.1, 2, M)
    B = np.sqrt(a)[:, None] * X
    stacked = np.vstack([B, math.sqrt(ridge) * np.eye(d)])
    want = np.linalg.pinv(stacked) @ np.concatenate([np.sqrt(a) * y, np.zeros(d)])
    tol = 1e-11 * np.linalg.cond(B) ** 2 * max(1.0, np.linalg.norm(want))
    for general_position in (True, False):
        np.testing.assert_allclose(ridge_fit(X, y, a, ridge, general_position=general_position), want, atol=tol)
    np.testing.assert_allclose(X.T @ kernel_fit(X @ X.T, y, a, ridge), want, atol=100 * tol)


def test_solver_refuses_what_it_was_promised_not_to_get():
    with pytest.raises(ct.ConvergenceError, match="general position"):
        ridge_fit(np.array([[1.0, 1], [0, 0]]), np.ones(2), np.ones(2), 0.0, general_position=True)


def test_kernel_fit_cuts_what_rounding_left():
    """A tiny ridge under a negative eigenvalue from rounding: the direction is cut, not inverted."""
    K = np.diag([1.0, -1e-13])
    np.testing.assert_allclose(kernel_fit(K, np.ones(2), np.ones(2), 5e-15), [1, 0], rtol=1e-12)
