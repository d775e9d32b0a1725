"""The law of one token where counts are left out, against sums over every count written down here."""

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

import collapse_theory as ct
from collapse_theory.families import token_lattice
from collapse_theory.families.binomial import mean_absolute_distance
from collapse_theory.families.token_errors import total_variations
from collapse_theory.families.token_law import mean_deviation, survival

W, Stage = ct.workflows, ct.Stage


def transition(T, q):
    """Return Pr(Bin(T, q_i) = j), rows i."""
    return binom.pmf(np.arange(T + 1)[None, :], T, np.asarray(q)[:, None])


def keep_real_deviation(T0, T, generations, p):
    """E|f - p| by summing over every pair (real count, newest count)."""
    real = np.arange(T0 + 1)
    state = np.zeros((T0 + 1, T + 1))
    state[:] = binom.pmf(real, T0, p)[:, None] * transition(T, real / T0)
    steps = transition(T, np.arange(T0 + T + 1) / (T0 + T))
    for _ in range(generations - 1):
        state = np.stack([state[r] @ steps[r : r + T + 1] for r in real])
    frequency = (real[:, None] + np.arange(T + 1)) / (T0 + T)
    return (np.abs(frequency - p) * state).sum()


def accumulate_deviation(T, rounds, p):
    """E|f - p| by summing over every running count."""
    law = binom.pmf(np.arange(T + 1), T, p)
    for k in range(1, rounds):
        steps = transition(T, np.arange(k * T + 1) / (k * T))
        new = np.zeros((k + 1) * T + 1)
        for c, weight in enumerate(law):
            new[c : c + T + 1] += weight * steps[c]
        law = new
    return (np.abs(np.arange(len(law)) / (rounds * T) - p) * law).sum()


@pytest.mark.parametrize("p", [0.004, 0.3, 0.62])
def test_keep_real_and_accumulate_against_sums_over_every_count(p):
    pipe = W.keep_real(2, Stage(T=150), Stage(T=120))
    assert mean_deviation(pipe, [pipe.model()], np.array([p]))[0] == pytest.approx(
        keep_real_deviation(150, 120, 2, p), rel=1e-9
    )
    pipe = W.accumulate(4, Stage(T=100))
    assert mean_deviation(pipe, [pipe.model()], np.array([p]))[0] == pytest.approx(
        accumulate_deviation(100, 4, p), rel=1e-9
    )


def thirds(T):
    """Half the real token and half of two models of unequal rows: a source with the truth in it, and weights."""
    pipe = ct.Pipeline()
    m = pipe.fit(pipe.sample(T=T))
    mixed = pipe.sample(T=T + 40, source=0.5 * ct.TRUTH + 0.5 * m)
    pipe.fit([pipe.sample(T=T), mixed], weights=[2, 1])
    return pipe


def test_a_source_with_the_truth_in_it_and_weights():
    T, p = 150, 0.35
    pipe = thirds(T)
    m, real = np.arange(T + 1), np.arange(T + 1)
    mixed = binom.pmf(m, T, p) @ transition(T + 40, 0.5 * p + 0.5 * m / T)
    f = (2 * real[:, None] + np.arange(T + 41)) / (2 * T + T + 40)
    want = (np.abs(f - p) * np.outer(binom.pmf(real, T, p), mixed)).sum()
    assert mean_deviation(pipe, [pipe.model()], np.array([p]))[0] == pytest.approx(want, rel=1e-9)


def test_counts_are_left_out_of_these_sums_and_too_few_of_them_show(monkeypatch):
    """Otherwise the tests above compare the same sums, or could not see a stride that is too long."""
    pipe, p = W.keep_real(2, Stage(T=500), Stage(T=400)), np.array([0.3])
    strides = []
    plain = token_lattice.thinned

    def seen(*args, **options):
        found = plain(*args, **options)
        strides.extend(x.stride for x in found.values())
        return found

    monkeypatch.setattr("collapse_theory.families.token_law.thinned", seen)
    want = pytest.approx(keep_real_deviation(500, 400, 2, 0.3), rel=1e-9)
    assert mean_deviation(pipe, [pipe.model()], p)[0] == want
    assert min(strides) >= 3
    monkeypatch.setattr(token_lattice, "_PER_WIDTH", 0.4)
    wrong = mean_deviation(pipe, [pipe.model()], p)[0]
    assert wrong is None or wrong != want


def test_tokens_together_models_together_and_a_window_that_is_too_narrow(monkeypatch):
    """Bands, the models on the way to the last, and windows that had to be widened change nothing."""
    pipe = W.keep_real(3, Stage(T=60), Stage(T=80))
    p = np.array([0.001, 0.02, 0.05, 0.3, 0.31, 0.6])
    alone = [[mean_deviation(pipe, [m], np.array([x]))[0][0] for x in p] for m in pipe.fits]
    np.testing.assert_allclose(mean_deviation(pipe, pipe.fits, p), alone, rtol=1e-9)
    monkeypatch.setattr(token_lattice, "_TAIL", 2.0)
    monkeypatch.setattr(token_lattice, "_COUNTS", 2)
    np.testing.assert_allclose(mean_deviation(pipe, pipe.fits, p), alone, rtol=1e-7)


def test_what_costs_too_much_is_not_answered_and_bounds_take_its_place():
    pipe, p = W.keep_real(3, Stage(T=60), Stage(T=80)), np.array([0.7, 0.3])
    answers = mean_deviation(pipe, pipe.fits, p, max_work=20_000)
    assert [a is None for a in answers] == [False, False, False, True]
    found = total_variations(pipe, pipe.fits, p, max_work=20_000)
    assert [x.method for x in found] == ["binomial deviation", "elimination", "elimination", "bounds"]
    whole = total_variations(pipe, pipe.fits, p)
    for x, y in zip(found, whole, strict=True):
        assert y.exact
        assert x.lower <= y.value * (1 + 1e-12) <= x.upper * (1 + 1e-9)


def test_thousands_of_rows_and_tokens_against_simulation():
    """The case that was drawn as a band of a quarter of the value; and the same with 5 % more is refused."""
    p = np.arange(1.0, 1001) ** -1
    family = ct.Categorical(p / p.sum())
    pipe = W.keep_real(1, Stage(T=3000), Stage(T=3000))
    found = family.expected(pipe, measured="total variation")
    assert found.exact
    sim = ct.simulate(pipe, family=family, measured="total variation", trials=40, seed=3)
    assert abs(sim.mean - found.value) < 4 * sim.sem
    assert abs(sim.mean - 1.05 * found.value) > 4 * sim.sem


def test_survival_of_a_token_in_a_chain_of_unequal_rows():
    pipe = ct.Pipeline()
    m = pipe.fit(pipe.sample(T=90))
    pipe.fit(pipe.sample(T=40, source=m))
    p = np.array([0.002, 0.05, 0.6])
    want = [1 - binom.pmf(np.arange(91), 90, x) @ (1 - np.arange(91) / 90) ** 40 for x in p]
    np.testing.assert_allclose(survival(pipe, pipe.model(), p), want, rtol=1e-9)


# ------------------------------------------------------------------ the mean distance of a binomial count from a point
@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(1, 120), st.floats(0, 1), st.floats(-0.2, 1.2))
def test_mean_distance_from_a_point(T, x, share):
    point = share * T
    with mpmath.workdps(50):
        q, t = mpmath.mpf(x), mpmath.mpf(point)
        want = mpmath.fsum(mpmath.binomial(T, k) * q**k * (1 - q) ** (T - k) * abs(k - t) for k in range(T + 1))
    got = mean_absolute_distance(T, np.array([x]), np.array([point]))[0]
    assert got == pytest.approx(float(want), rel=1e-10, abs=1e-12 * T)
