"""Bounds of round-off: no error within the given ones goes beyond the bound, and the worst comes close to it."""

import itertools

import numpy as np
import pytest

from collapse_theory.numerics.roundoff import _Tracked, _Tracking


@pytest.mark.parametrize("seed", range(5))
def test_the_bound_of_a_linear_system_is_what_the_worst_errors_do(seed):
    rng = np.random.default_rng(seed)
    c, x = rng.normal(size=2), 0.4 * rng.normal(size=(2, 2))
    dc, dx = 1e-7 * rng.uniform(size=2), 1e-7 * rng.uniform(size=(2, 2))
    solved = _Tracking._solved(
        [_Tracked(*pair) for pair in zip(c, dc, strict=True)],
        [[_Tracked(*pair) for pair in zip(*rows, strict=True)] for rows in zip(x, dx, strict=True)],
    )
    plain = np.linalg.solve(np.eye(2) - x, c)
    np.testing.assert_allclose([s.value for s in solved], plain, rtol=1e-13)
    worst = np.zeros(2)
    for signs in itertools.product((-1, 1), repeat=6):
        a, b = np.array(signs[:2]), np.reshape(signs[2:], (2, 2))
        moved = np.linalg.solve(np.eye(2) - x - b * dx, c + a * dc)
        worst = np.maximum(worst, np.abs(moved - plain))
    np.testing.assert_allclose([s.error for s in solved], worst, rtol=1e-5)


def test_sums_and_products_carry_their_errors():
    a, b = _Tracked(np.array(3.0), 1e-7), _Tracked(np.array(-5.0), 1e-8)
    assert (a + b).error == pytest.approx(1.1e-7)
    assert (a * b).error == pytest.approx(5e-7 + 3e-8)
    assert (-a).value == -3
    assert (-a).error == 1e-7
    assert 0 < (_Tracked(np.array(3.0), 0.0) * _Tracked(np.array(7.0), 0.0)).error < 1e-14
