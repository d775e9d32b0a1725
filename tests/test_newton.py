"""The Newton iterations, and the inequality behind the start of every equation."""

from itertools import pairwise

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import collapse_theory as ct
from collapse_theory.numerics.effective_ridge import solve_effective_ridge
from collapse_theory.numerics.equations import EffectiveRidgeEquation, RandomFeaturesEquation
from collapse_theory.numerics.measure import COMMON, Measure
from collapse_theory.numerics.newton import CAP, accepted, find_root, solve_system
from collapse_theory.numerics.solution import Status


class Power:
    """x^p = c."""

    def __init__(self, p, c, start):
        self.p, self.c, self.bracket = p, c, (0 * start, start)

    def local(self, x, *, rough):
        return x**self.p - self.c, self.p * x ** (self.p - 1)

    def among(self, places):
        return Power(self.p, self.c[places], self.bracket[1][places])


def test_descends_to_the_roots_of_many_equations():
    c = np.array([2.0, 9.0, 1e-20])
    found = find_root(Power(2, c, np.full(3, 10.0)))
    assert found.status is Status.SETTLED
    np.testing.assert_allclose(found.value, np.sqrt(c), rtol=4e-16)
    assert (found.residual <= accepted(2.0**-52)).all()


def test_from_the_wrong_side_the_bracket_opens():
    found = find_root(Power(0.5, np.array([1e6]), np.array([1e-3])))
    assert found.status is Status.SETTLED
    np.testing.assert_allclose(found.value, 1e12, rtol=4e-16)


class Outside(Power):
    def local(self, x, *, rough):
        return x * np.nan, x * np.nan

    def among(self, places):
        return self


class Shift:
    """An iteration that never settles."""

    def state(self, x):
        return None

    def residual(self, x, state):
        return 1.0

    def following(self, x, state):
        return x, state


def test_failures_have_a_status_a_residual_and_steps():
    never = solve_system(Shift(), 1.0)
    assert (never.status, never.residual, never.steps) == (Status.CAPPED, 1.0, CAP)
    with pytest.raises(ct.ConvergenceError, match=rf"^x did not settle.*residual 1.0e\+00 after {CAP} steps; move$"):
        never.checked("x", "move")
    with np.errstate(invalid="ignore"):
        outside = find_root(Outside(2, np.ones(1), np.ones(1)))
    assert outside.status is Status.UNDEFINED


POWERS = st.floats(-40, 0).map(lambda x: 10.0**x)
PROBLEMS = st.tuples(
    st.lists(POWERS, min_size=1, max_size=8), st.floats(0.01, 20) | st.integers(1, 9).map(float), st.just(0.0) | POWERS
)


def measured(s, mp=None):
    s = np.array(s) if mp is None else np.array([mp.mpf(x) for x in s], dtype=object)
    return Measure({COMMON: s}, np.ones(len(s), dtype=int))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(PROBLEMS)
def test_the_start_of_an_effective_ridge_is_above_it_and_of_its_order(problem):
    s, T, lam = problem
    with mpmath.workdps(300):
        number = [np.array([mpmath.mpf(x)], dtype=object) for x in (T, lam)]
        equation = EffectiveRidgeEquation.of(measured(s, mpmath), *number)
        high = equation.bracket[1]
        if lam == 0 and len(s) <= T:
            assert high[0] == 0
            return
        assert equation.local(high, rough=False)[0][0] > 0
        if float(T).is_integer():  # a control: the bound is not idle
            assert equation.local(high / (8 * len(s) + 8), rough=False)[0][0] < 0
        xs = [high * mpmath.mpf(2) ** -k for k in range(6)]
        slopes = [equation.local(x, rough=False)[1][0] for x in xs]
        assert all(a >= b for a, b in pairwise(slopes))  # convex
    rough = EffectiveRidgeEquation.of(measured(s), np.array([T]), np.array([lam]))
    found = find_root(rough)
    assert found.status is Status.SETTLED
    assert found.steps < 80


@settings(max_examples=60, deadline=None, derandomize=True)
@given(PROBLEMS, st.floats(0.01, 20) | st.integers(1, 9).map(float))
def test_the_start_of_random_features_is_above_the_root(problem, m):
    s, T, lam = problem
    if lam == 0:
        return
    with mpmath.workdps(120):
        few, many, ridge = (np.array([mpmath.mpf(x)], dtype=object) for x in (min(T, m), max(T, m), lam))
        equation = RandomFeaturesEquation(measured(s, mpmath), few, many, ridge, solve_effective_ridge)
        floor, high = equation.bracket
        assert equation.local(high, rough=False)[0][0] >= 0
        assert equation.local(floor, rough=False)[0][0] <= 0
        slopes = [equation.local(floor + (high - floor) * k / 4, rough=False)[1][0] for k in range(5)]
        assert all(a <= b * (1 + mpmath.mpf(10) ** -90) for a, b in pairwise(slopes))  # convex


def test_integrals_agree_between_arithmetics():
    s, counts, energies = np.array([2.0, 1.0, 0.5]), np.array([1, 4, 2]), np.array([1.0, 0.25, 3.0])
    measure = Measure({COMMON: s}, counts, energies)
    exact = measure.mapped(np.vectorize(mpmath.mpf, otypes=[object]))
    for f in (lambda x: x / (x + 1), lambda x: np.stack([x, x**2])):
        for of, same in ((measure.trace, exact.trace), (measure.form, exact.form)):
            np.testing.assert_allclose(of(f(s)), np.asarray(same(f(exact.nodes))).astype(float), rtol=1e-15)
    assert measure.trace(1j * s) == 1j * (counts @ s)
    assert measure.trace(3.0) == 21 == measure.trace(np.array([3.0]))
    with pytest.raises(ct.DomainError, match="target"):
        Measure({COMMON: s}, counts).form(s)
