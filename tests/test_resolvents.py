"""Effective ridges of pooled designs solve their own equations."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collapse_theory.numerics.measure import Measure
from collapse_theory.numerics.resolvents import solve_resolvent


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(1, 4), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 1e-12, 1e-3, 1.0, 1e3]))
def test_effective_ridges_of_pooled_designs(count, seed, ridge):
    rng = np.random.default_rng(seed)
    s, measure = rng.exponential(size=(count, 30)) ** 3, Measure({}, np.ones(30))
    rows = rng.integers(2, 40, count).astype(float)
    if ridge == 0 and abs(rows.sum() - 30) < 3:
        rows += 3
    weights = rng.uniform(0.1, 3, count)
    got = solve_resolvent(s, measure, weights, rows, rows.sum(), ridge)
    a, mass = weights / rows.sum(), weights * rows / rows.sum()
    assert got.opened.designs.all() == (rows.sum() < 30)
    if rows.sum() < 30:
        want = ridge + a * (s / (1 + (mass / got.scale) @ s)).sum(axis=1)
    else:
        want = 1 + a * (s / (ridge + (mass / got.scale) @ s)).sum(axis=1)
    np.testing.assert_allclose(got.scale, want, rtol=1e-11)
    assert (got.scale > 0).all()


def test_many_points_are_solved_each_on_its_own():
    """Rows on either side of the ranks, so that the open designs differ: the same roots as one point at a time."""
    rng = np.random.default_rng(5)
    s, measure = np.stack([np.where(np.arange(12) < 7, 1.0, 0.0), np.linspace(0.1, 2, 12)]), Measure({}, np.ones(12))
    rows, weights = rng.choice([2.0, 5.0, 9.0, 30.0], (40, 2)), rng.uniform(0.1, 3, (40, 2))
    ridges = rng.choice([1e-14, 1e-5, 1.0, 1e4], 40)
    together = solve_resolvent(s, measure, weights, rows, rows.sum(axis=1), ridges)
    assert len(np.unique(together.opened.designs, axis=0)) == 3
    for i in range(40):
        alone = solve_resolvent(s, measure, weights[i], rows[i], rows[i].sum(), ridges[i])
        np.testing.assert_array_equal(together.opened.directions[i], alone.opened.directions)
        np.testing.assert_allclose(together.scale[i], alone.scale, rtol=1e-13)
        np.testing.assert_allclose(together.error[i], alone.error, rtol=1e-13)


@pytest.mark.parametrize(("rows", "ridge"), [(5.0, 1e-14), (5.000001, 0.0), (4.999999, 0.0), (5.000001, 1e-20)])
def test_a_threshold_of_a_part_of_the_rows(rows, ridge):
    """Thirty rows settle seven directions; about five more see five others, at the threshold, where roots are large."""
    s, measure = np.stack([np.where(np.arange(12) < 7, 1.0, 0.0), np.linspace(0.1, 2, 12)]), Measure({}, np.ones(12))
    T = np.array([30.0, rows])
    for weight in (0.1, 1.0, 10.0):
        got = solve_resolvent(s, measure, np.array([1.0, weight]), T, T.sum(), ridge)
        left = (T * got.constant / got.scale).sum() - (got.penalty * got.error).sum()
        assert left == pytest.approx(T.sum() - 12, rel=1e-12)
        assert got.scale[1] > 100 or rows < 5
