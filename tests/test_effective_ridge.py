"""The effective ridge and its traces to a few units of round-off over the whole domain of float64."""

import mpmath
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mpmath import mpf

import collapse_theory as ct
from collapse_theory.numerics.effective_ridge import residual_degrees
from collapse_theory.numerics.measure import Measure
from tests import reference as ref

CLEAN = ct.catalog["ridge-clean"].error
EPS = 2.0**-52
NORMAL = mpf(2) ** -1022


def exact(s, T, lam):
    """Return the effective ridge with digits for the whole range of float64."""
    return ref.kappa(s, T, lam, digits=720)


@st.composite
def problems(draw):
    d = draw(st.integers(1, 7))
    scale = 10.0 ** draw(st.sampled_from([-150, -12, 0, 0, 12, 150]))
    condition = draw(st.sampled_from([0, 3, 16, 30]))
    s = [scale * 10.0 ** -(condition * draw(st.floats(0, 1))) for _ in range(d)]
    s += draw(st.sampled_from([[], [0.0], s[:1], s[:1] * 3]))
    rank = sum(x > 0 for x in s)
    T = draw(
        st.just(float(rank))
        | st.floats(-14, 0).map(lambda x: rank + 10.0**x)
        | st.floats(-14, -0.1).map(lambda x: rank - 10.0**x)
        | st.floats(-6, 6).map(lambda x: rank * 10.0**x)
        | st.integers(1, rank).map(float)
    )
    ridges = st.sampled_from([0.0, 5e-324, 1e-310, 1e-300, 1e300]) | st.floats(-100, 20).map(lambda x: scale * 10.0**x)
    return s, T, draw(ridges)


@settings(max_examples=120, deadline=None, derandomize=True)
@given(problems())
@example(([1.0] * 5, 5.0, 5e-324))
@example(([1e150] * 3, 3.0, 1e-300))
@example(([1.0, 1e-3, 1e-20, 1e-40], 2.0, 1e-30))
@example(([1.0] * 4 + [1e-30] * 4, 4.0, 0.0))
@example(([5e-324, 1e-323], 1.0, 5e-324))
@example(([1e300, 1e-300], 1.0, 0.0))
def test_a_few_units_of_round_off(problem):
    s, T, lam = problem
    want = exact(s, T, lam)
    got = ct.effective_ridge(ct.Eigenvalues(s), T=T, lam=lam)
    if want < NORMAL:
        assert abs(got - want) <= mpf(5e-324)
        return
    assert abs(got - want) <= 4 * EPS * want
    live = [mpf(x) for x in s if x > 0]
    with mpmath.workdps(60):
        residual = mpf(T) * mpf(lam) / want + want * sum(e / (e + want) ** 2 for e in live)
        numbers = [np.array([x]) for x in (T, lam, got)]
        assert abs(residual_degrees(Measure.of(ct.Eigenvalues(s)), *numbers)[0] - residual) <= 8 * EPS * residual
        for order in (1, 2, 7):
            traces = sum((e / (e + mpf(got))) ** order for e in live)
            value = ct.degrees_of_freedom(ct.Eigenvalues(s), got, order=order)
            assert abs(value - traces) <= (4 + order) * EPS * traces + mpf(10) ** -300


def test_the_check_rejects_a_kappa_wrong_by_nine_units():
    s, T, lam = [1.0, 1e-3, 1e-9], 2.0, 1e-7
    want = exact(s, T, lam)
    assert abs(ct.effective_ridge(ct.Eigenvalues(s), T=T, lam=lam) * (1 + 9 * EPS) - want) > 4 * EPS * want


@pytest.mark.parametrize(("d", "T", "lam"), [(3000, 3000, 0), (3000, 2999, 0), (3000, 700, 1e-4), (3000, 3000, 1e-12)])
def test_many_nodes_do_not_add_round_off(d, T, lam):
    s = np.arange(1, d + 1) ** -2.0
    got = ct.effective_ridge(ct.Eigenvalues(s), T=T, lam=lam)
    with mpmath.workdps(40):
        x = mpf(got)
        if d == T and lam == 0:
            assert got == 0
            return
        for _ in range(2):
            q = [mpf(e) / (mpf(e) + x) for e in s.tolist()]
            x -= (x * (T - mpmath.fsum(q)) - T * mpf(lam)) / (T - mpmath.fsum(e * e for e in q))
        assert abs(got - x) <= 4 * EPS * x


def test_the_last_step_takes_out_the_round_off_of_matrix_products(monkeypatch):
    s, T, lam = np.arange(1, 31) ** -1.5, 12.0, 1e-3
    want, product = exact(s.tolist(), T, lam), np.matmul
    monkeypatch.setattr(np, "matmul", lambda f, w: product(f, w) * (1 + 1e-12))
    assert abs(ct.effective_ridge(ct.Eigenvalues(s), T=T, lam=lam) - want) <= 4 * EPS * want


def test_order_and_repeats_do_not_matter():
    rng = np.random.default_rng(5)
    s = 10.0 ** -rng.uniform(0, 12, 40)
    want = ct.effective_ridge(ct.Eigenvalues(np.sort(s)), T=23, lam=1e-9)
    assert abs(ct.effective_ridge(ct.Eigenvalues(s), T=23, lam=1e-9) - want) <= 2 * EPS * want
    assert ct.effective_ridge(ct.Eigenvalues([2.0] * 6), T=7, lam=0.3) == pytest.approx(
        ct.effective_ridge(ct.Isotropic(6, 2), T=7, lam=0.3), rel=4 * EPS
    )


def test_the_smallest_ridges_converge():
    assert ct.effective_ridge(ct.Isotropic(5), T=5, lam=1e-300) == pytest.approx(1e-150, rel=1e-14)


@pytest.mark.parametrize(
    ("s", "T", "lam"),
    [
        ([1] * 3 + [1e-8] * 4, 3, 0),
        ([1] * 100 + [1e-16] * 100, 100, 0),
        ([1] * 3 + [1e-14] * 4, 3, 1e-20),
        ([1, 1e-3, 1e-20, 1e-40], 2, 1e-30),
        ([1, 1e-3, 1e-20, 1e-40], 3, 1e-45),
        ([1] * 50 + [1e-3] * 50, 49.9999, 1e-4),
    ],
)
def test_a_gap_in_the_spectrum_at_the_last_row(s, T, lam):
    """df1 is then nearly T by itself: T - df1 must not be a difference."""
    got = ct.effective_ridge(ct.Eigenvalues(s), T=T, lam=lam)
    assert ref.relative(got, ref.kappa(ref.numbers(s), mpf(T), mpf(lam))) < 1e-14
    w2 = np.ones(len(s))
    terms = CLEAN.evaluate(spectrum=ct.Eigenvalues(s), target=ct.Energies(w2), terms=True, T=T, lam=lam, sigma=0.5)
    want = ref.chain(ref.numbers(s), ref.numbers(w2), [(mpf(T), mpf(lam), mpf(0.5))])
    assert ref.relative(terms["bias"], want[0]) < 1e-11
    assert ref.relative(terms["variance"], want[1]) < 1e-11


@pytest.mark.parametrize("lam", [1e-60, 1e-30, 1e-8])
def test_a_tiny_ridge_at_the_threshold(lam):
    got = ct.effective_ridge(ct.Isotropic(5), T=5, lam=lam)
    assert ref.relative(got, ref.kappa([mpf(1)] * 5, mpf(5), mpf(lam))) < 1e-14
