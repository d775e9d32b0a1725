"""A large batch that repeats its ridges costs what these cost, and every point has the value it has alone."""

import numpy as np

import collapse_theory as ct
from collapse_theory.numerics import float64


def test_points_of_a_large_batch_are_those_of_single_calls(monkeypatch):
    predict = ct.catalog["ridge-replace"].error.compile(spectrum=ct.PowerLaw(40, beta=1.2), target=ct.RandomTarget())
    T, lam = np.array([30.0, 90.0])[:, None, None], np.append(np.logspace(-3, 1, 40), 0.0)
    values = {"T": T, "T0": 70, "sigma": 0.4, "sigma0": 0.3, "n": np.arange(9)[:, None], "lam": lam}
    monkeypatch.setattr(float64, "_BLOCK", 10**9)
    whole = predict(**values)
    for block in (40 * 7, 40 * 41, 40 * 500):  # pieces of 7 and 41 distinct points, and all 82 in one
        monkeypatch.setattr(float64, "_BLOCK", block)
        np.testing.assert_allclose(predict(**values), whole, rtol=1e-15)
    for i, n, j in np.ndindex(2, 9, 41):
        if (i + n + j) % 37 == 0:
            alone = predict(**{**values, "T": T[i, 0, 0], "n": n, "lam": lam[j]})
            np.testing.assert_allclose(whole[i, n, j], alone, rtol=1e-14)


def test_the_work_is_that_of_the_distinct_ridges(monkeypatch):
    predict = ct.catalog["ridge-replace"].error.compile(spectrum=ct.PowerLaw(300, beta=1.2), target=ct.RandomTarget())
    sizes = []
    monkeypatch.setattr(
        float64, "MANY", 10**9
    )  # as sums over the nodes; from tables a ridge costs less than to look for it
    solve = float64.solve_effective_ridge
    monkeypatch.setattr(
        float64, "solve_effective_ridge", lambda m, T, lam, **how: sizes.append(lam.size) or solve(m, T, lam, **how)
    )
    predict(T=600, T0=900, sigma=0.4, sigma0=0.3, n=np.arange(51)[:, None], lam=np.logspace(-4, 1, 200))
    assert sum(sizes) == 200
