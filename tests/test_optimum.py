"""The optimal ridge, and the optimum over any argument, against an independent minimisation."""

import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp
from scipy.optimize import minimize_scalar

import collapse_theory as ct
from collapse_theory import symbols as S
from collapse_theory.numerics.minimise import Curves, Interval, minimise

REPLACE = ct.catalog["ridge-replace"].error
CLEAN = ct.catalog["ridge-clean"].error
STRONG = ct.catalog["strong-collapse"].error
CHAIN = ct.catalog["ridge-chain"].error
ISO = {"spectrum": ct.Isotropic(40), "target": ct.RandomTarget(norm2=1.0)}


def reference(s, w2, T, T0, n, sigma, sigma0, digits=40):
    """The optimal ridge of replace, written from its formula: the error as a function of kappa, minimised by golden section."""
    with mp.workdps(digits):
        s, w2 = [mp.mpf(float(x)) for x in s], [mp.mpf(float(x)) for x in w2]
        T, T0, sigma, sigma0 = (mp.mpf(float(x)) for x in (T, T0, sigma, sigma0))
        pairs, d = list(zip(s, w2, strict=True)), len(s)

        def lam(k):
            return k - k * sum(x / (x + k) for x in s) / T

        def error(k):
            df2 = sum((x / (x + k)) ** 2 for x in s)
            bias = k**2 * sum(w * x / (x + k) ** 2 for x, w in pairs) / (1 - df2 / T)
            tail = k**2 * sum((x + k) ** -2 for x in s) * df2 / (T - df2)
            return bias + sigma**2 * df2 / (T - df2) + n * sigma0**2 / (T0 - d - 1) * (df2 + tail)

        start = minimize_scalar(lambda t: float(error(mp.exp(t))), bounds=(-12, 6), method="bounded")
        k = mp.exp(mp.findroot(lambda t: mp.diff(lambda y: error(mp.exp(y)), t), start.x))
        return float(lam(k)), float(error(k))


@settings(max_examples=12, deadline=None)
@given(
    st.integers(3, 12),
    st.floats(1.3, 6),
    st.floats(1.5, 6),
    st.integers(0, 9),
    st.floats(0.2, 2),
    st.floats(0, 2),
    st.floats(0, 2),
)
def test_it_is_the_minimum_of_an_independent_formula(d, rows, rows0, n, sigma, sigma0, beta):
    T, T0 = rows * d, rows0 * d + 3
    s = np.arange(1, d + 1.0) ** -beta
    best = REPLACE.optimum(
        spectrum=ct.Eigenvalues(s), target=ct.RandomTarget(norm2=1.0), T=T, T0=T0, n=n, sigma=sigma, sigma0=sigma0
    )
    lam, error = reference(s, np.ones(d) / d, T, T0, n, sigma, sigma0)
    assert best.value == pytest.approx(lam, rel=1e-8)
    assert best.error == pytest.approx(error, rel=1e-12)
    assert best.minima == (best.value,)
    assert best.stationary
    assert best.value >= best.clean_value * (1 - 1e-8)


@pytest.mark.parametrize("T", [25, 40, 90])
def test_the_isotropic_optimum_is_the_closed_one(T):
    """lam* = (sigma^2 phi + C h(kappa*))/rho^2, and sigma^2 phi/rho^2 without synthetic labels."""
    d, T0, n, sigma, sigma0 = 40, 90, 4, 0.3, 0.5
    best = REPLACE.optimum(**ISO, n=n, T=T, T0=T0, sigma=sigma, sigma0=sigma0)
    phi, C = d / T, n * sigma0**2 * d / (T0 - d - 1)
    k = ct.effective_ridge(ISO["spectrum"], T=T, lam=best.value)
    h = 1 + phi * ((k - 2) * (1 + k) ** 2 + phi) / (1 + k) ** 3
    assert best.value == pytest.approx(sigma**2 * phi + C * h, rel=1e-8)
    assert best.clean_value == pytest.approx(sigma**2 * phi, rel=1e-8)
    k = ct.effective_ridge(ISO["spectrum"], T=T, lam=best.clean_value)
    h = 1 + phi * ((k - 2) * (1 + k) ** 2 + phi) / (1 + k) ** 3
    assert best.first_order == pytest.approx(sigma**2 * phi + C * h, rel=1e-7)
    assert best.excess > 0
    assert best.clean_error == pytest.approx(CLEAN.evaluate(**ISO, T=T, sigma=sigma, lam=sigma**2 * phi), rel=1e-14)


def test_the_correction_is_of_first_order():
    """Its distance to the optimum falls as the square of the synthetic noise variance."""
    rest = {
        "spectrum": ct.PowerLaw(60, beta=1.3),
        "target": ct.RandomTarget(norm2=1.0),
        "n": 2,
        "T": 90,
        "T0": 150,
        "sigma": 0.4,
    }
    best = REPLACE.optimum(**rest, sigma0=np.array([0.04, 0.02]))
    gap = np.abs(best.value - best.first_order)
    assert gap[0] / gap[1] == pytest.approx(16, rel=0.1)
    assert (gap < 0.2 * (best.value - best.clean_value)).all()


def test_without_synthetic_labels_it_is_the_clean_one():
    best = REPLACE.optimum(**ISO, n=0, T=60, T0=90, sigma=0.5, sigma0=np.array([0.5, 1.0]))
    assert best.value == pytest.approx(np.full(2, 0.25 * 40 / 60), rel=1e-8)
    assert best.excess == pytest.approx(0, abs=1e-15)
    small = REPLACE.optimum(**ISO, n=1, T=60, T0=90, sigma=0.5, sigma0=1e-6)
    assert small.value == pytest.approx(small.clean_value, rel=1e-8)


def test_it_is_vectorised_and_broadcasts():
    sigma, n = np.array([0.2, 0.4, 0.8])[:, None], np.arange(4)
    best = REPLACE.optimum(**ISO, T=60, T0=90, sigma=sigma, sigma0=0.3, n=n)
    assert best.value.shape == best.error.shape == best.clean_value.shape == best.first_order.shape == (3, 4)
    for i in range(3):
        for j in range(4):
            one = REPLACE.optimum(**ISO, T=60, T0=90, sigma=float(sigma[i, 0]), sigma0=0.3, n=j)
            assert best.value[i, j] == pytest.approx(one.value, rel=1e-8)
            assert best.clean_value[i, j] == pytest.approx(one.clean_value, rel=1e-8)
    assert isinstance(one.value, float)
    assert pickle.loads(pickle.dumps(best)).error.shape == (3, 4)


def test_the_condition_is_the_derivative_at_the_optimum():
    best = CLEAN.optimum(**ISO, T=60, sigma=0.5)
    assert best.condition.lhs == CLEAN.diff("lam").expr
    assert best.condition.rhs == 0
    ratio = best.correction
    assert ratio is not None
    assert {x.name for x in ratio.free_symbols} == {"T", "lam", "sigma"}


def test_labels_without_noise_want_no_ridge():
    for T in (20, 40, 60):
        best = CLEAN.optimum(**ISO, T=T, sigma=0)
        assert (best.value, best.stationary, best.minima) == (0.0, False, ())
        assert best.error == pytest.approx(max(0, 1 - T / 40), abs=1e-15)
        assert math.isnan(best.first_order)


def test_a_tiny_and_a_huge_optimum_are_found():
    for sigma in (1e-8, 1e-5, 1e3):
        best = CLEAN.optimum(**ISO, T=60, sigma=sigma)
        assert best.value == pytest.approx(sigma**2 * 40 / 60, rel=1e-8)


# ------------------------------------------------------------------ other arguments
def test_the_golden_ratio():
    best = ct.catalog["minnorm-label-mix"].error.optimum("w", **ISO, T=20, sigma=0.5)
    assert best.value == pytest.approx((math.sqrt(5) - 1) / 2, rel=1e-8)
    same = ct.catalog["ols-mix-fixed-design"].error.optimum("w", spectrum=ct.Isotropic(20), T=100, sigma=0.5, n=60)
    assert same.value == pytest.approx((math.sqrt(5) - 1) / 2, rel=1e-8)


def test_the_best_number_of_rows_without_a_ridge():
    """Isotropic, minimum norm, T < d: E = 1 - T/d + sigma^2 T/(d - T) is least at d - T = sigma sqrt(d) sqrt(d)."""
    best = CLEAN.optimum("T", **ISO, lam=0, sigma=0.5, between=(2, 39))
    assert best.value == pytest.approx(20, rel=1e-8)


def test_a_fixed_budget_of_rows():
    """The rows of the generator and of the tested fit add up; the condition of the theorem bounds the range."""
    shared = REPLACE.subs({"T0": 1000 - S.T})
    best = shared.optimum("T", **ISO, lam=0.1, n=2, sigma=0.5, sigma0=0.3)
    grid = np.linspace(1, 955, 2000)
    errors = shared.evaluate(**ISO, lam=0.1, n=2, sigma=0.5, sigma0=0.3, T=grid)
    assert best.error <= errors.min()
    assert best.value == pytest.approx(grid[errors.argmin()], abs=1)


def test_a_curve_with_two_minima():
    """Double descent: few rows, or as many as there may be; which is better depends on where the range ends."""
    rest = {**ISO, "lam": 1e-4, "sigma": 0.7}
    few = CLEAN.optimum("T", **rest, between=(1, 60))
    many = CLEAN.optimum("T", **rest, between=(1, 400))
    assert few.stationary
    assert few.value < 40
    assert (many.value, many.stationary) == (400.0, False)
    assert many.minima == pytest.approx(few.minima, rel=1e-8)
    assert few.error > many.error


def test_a_design_with_two_optimal_ridges():
    """Strong directions with little signal, weak ones with much: a ridge for each; noise decides which is better."""
    about = {"spectrum": ct.Eigenvalues([1.0] * 8 + [1e-3] * 8), "target": ct.Energies([0.1] * 8 + [100.0] * 8)}
    best = CLEAN.optimum(**about, T=32, sigma=np.array([0.5, 2.0, 3.0]))
    assert [len(m) for m in best.minima][-1] == 2
    for i, sigma in enumerate((0.5, 2.0, 3.0)):
        errors = CLEAN.evaluate(**about, T=32, sigma=sigma, lam=np.geomspace(1e-6, 1e3, 4001))
        assert best.error[i] <= errors.min()
        assert best.error[i] == pytest.approx(errors.min(), rel=1e-5)
        slopes = CLEAN.diff("lam").evaluate(
            **about, T=32, sigma=sigma, lam=np.outer([1 - 1e-7, 1 + 1e-7], best.minima[i])
        )
        assert (slopes[0] < 0).all()
        assert (slopes[1] > 0).all()


def test_a_minimum_of_fourth_order_is_found_to_what_round_off_leaves():
    """For an isotropic random target distillation gains nothing at the best ridge, and makes up for a wrong one."""
    at = {"spectrum": ct.Isotropic(100), "target": ct.RandomTarget(), "T": 150, "sigma": 0.5}
    distilled = ct.catalog["self-distillation-best"].error
    best, plain = distilled.optimum("lam", **at), ct.catalog["ridge-clean"].error.optimum("lam", **at)
    assert best.error == pytest.approx(plain.error, rel=1e-14)
    assert best.value == pytest.approx(plain.value, rel=1e-3)
    assert distilled.evaluate(**at, lam=1.05 * plain.value) < plain.error * (1 + 1e-5)


@pytest.mark.parametrize(("power", "found"), [(4, True), (2, False)])
def test_a_derivative_that_round_off_blurs_is_no_minimum_unless_the_error_is_level(power, found):
    """A derivative known to 1e-9 alone leaves 1e-9 of a root, and 1e-3 of one of order three: only there is the error level."""
    rng = np.random.default_rng(0)

    def slope(x, _, *, rough):
        exact = power * (x - 2) ** (power - 1)
        return exact + (1e-13 if power == 4 else 1e-4) * rng.standard_normal(x.shape)

    curves = Curves(lambda x, _: 1 + (x - 2) ** power, slope, 1)
    interval = Interval(np.zeros(1), np.full(1, np.inf), np.ones(1, bool), np.zeros(1, bool), np.ones(1))
    if not found:
        with pytest.raises(ct.ConvergenceError, match="stationary point"):
            minimise(curves, interval)
        return
    assert minimise(curves, interval).value[0] == pytest.approx(2, abs=1e-3)


def test_newton_does_not_return_to_the_lower_end_of_its_bracket():
    """Two minima; from the right one's upper end a step leads below the bracket, and one from its lower end back."""
    s = [2e-4, 2.4e-4, 3e-4, 3.7e-4, 1.36e-3, 1.4e-3, 8.4e-3, 0.053, 0.13, 0.23, 0.45, 0.65]
    w2 = [1.05e4, 3.9e3, 34, 1.5e3, 125, 6.1, 1.8e-3, 1.76, 38, 0.34, 1.8e-4, 7.2e-4]
    about = {"spectrum": ct.Eigenvalues(s[::-1]), "target": ct.Energies(w2[::-1])}
    best = REPLACE.optimum(**about, n=1, T=76, T0=19, sigma=4.74, sigma0=0.028)
    errors = REPLACE.evaluate(**about, n=1, T=76, T0=19, sigma=4.74, sigma0=0.028, lam=np.geomspace(1e-6, 10, 4001))
    assert len(best.minima) == 2
    assert best.error <= errors.min()


def wild_designs():
    """Eigenvalues and energies over many decades."""
    rng = np.random.default_rng(1)
    for _ in range(60):
        d = int(rng.integers(4, 30))
        s = np.sort(10 ** rng.uniform(-4, 1, d))[::-1]
        w2 = 10 ** rng.uniform(-4, 2, d)
        yield s, w2, rng


def test_every_local_minimum_of_a_seeded_search_is_found():
    """Replace over 10^-4..10 eigenvalues and wild targets: all local minima of a dense grid are found, and the lowest is taken."""
    more = 0
    lam = np.geomspace(1e-8, 1e4, 2001)
    for s, w2, rng in wild_designs():
        d = len(s)
        rest = {"n": int(rng.integers(0, 9)), "T": d * 10 ** rng.uniform(-0.5, 1), "T0": 1.3 * d + 3,
                "sigma": 10 ** rng.uniform(-2, 1), "sigma0": 10 ** rng.uniform(-2, 1)}  # fmt: skip
        about = {"spectrum": ct.Eigenvalues(s), "target": ct.Energies(w2)}
        best = REPLACE.optimum(**about, **rest)
        errors = REPLACE.evaluate(**about, **rest, lam=lam)
        inner = (errors[1:-1] < errors[:-2] * (1 - 1e-13)) & (errors[1:-1] < errors[2:] * (1 - 1e-13))
        more += inner.sum() > 1
        assert len(best.minima) >= inner.sum()
        assert best.error <= errors.min() * (1 + 1e-14)
        assert all(np.abs(np.log(np.array(best.minima) / x)).min() < 0.02 for x in lam[1:-1][inner])
    assert more == 4  # anisotropic designs may have two optimal ridges


def test_two_arguments_at_once():
    rest = {**ISO, "T": 60, "T0": 30, "n": 3, "sigma": 0.5, "sigma0": 0.3}
    best = CHAIN.optimum(["lam", "lam0"], **rest)
    for name in best.value:
        other = {k: v for k, v in best.value.items() if k != name}
        assert CHAIN.optimum(name, **rest, **other).value == pytest.approx(best.value[name], rel=1e-7)
        assert abs(CHAIN.diff(name).evaluate(**rest, **best.value)) < 1e-9
    grid = np.geomspace(1e-3, 10, 25)
    errors = CHAIN.evaluate(**rest, lam=grid[:, None], lam0=grid)
    assert best.error < errors.min()
    assert best.clean_value is None
    assert len(best.condition) == 2


def test_a_ridge_for_each_generation():
    ridges = [S.indexed(S.lam, i) for i in (1, 2)]
    err = ct.catalog["ridge-chain"].at(2, lam0=ridges)
    rest = {**ISO, "T": 60, "T0": 50, "sigma": 0.5, "sigma0": 0.4}
    best = err.optimum(["lam", "lam_1", "lam_2"], **rest)
    equal = CHAIN.optimum(["lam", "lam0"], **rest, n=2)
    assert best.error <= equal.error * (1 + 1e-12)
    assert max(abs(err.diff(x).evaluate(**rest, **best.value)) for x in best.value) < 1e-9


def test_a_pipeline_of_ones_own():
    pipe = ct.Pipeline()
    real = pipe.sample(T=60, noise=0.5)
    fake = pipe.sample(T=60, noise=0.5, source=pipe.fit(real, ridge=0.1))
    pipe.fit([real, fake], ridge=S.lam)
    err = ct.test_error(pipe)
    best = err.optimum("lam", **ISO)
    ref = minimize_scalar(
        lambda t: err.evaluate(**ISO, lam=math.exp(t)), bounds=(-9, 3), method="bounded", options={"xatol": 1e-9}
    )
    assert best.value == pytest.approx(math.exp(ref.x), rel=1e-6)
    assert best.clean_value == pytest.approx(0.25 * 40 / 120, rel=1e-8)


# ------------------------------------------------------------------ refusals
@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: REPLACE.optimum("lmb", **ISO), "no symbol 'lmb'; did you mean 'lam'"),
        (lambda: CLEAN.optimum("lam0", **ISO, T=60, sigma=1), "no symbol 'lam0'"),
        (lambda: REPLACE.optimum("n", **ISO, T=60, T0=90, lam=1, sigma=1, sigma0=1), "an integer; compare"),
        (lambda: CLEAN.optimum(**ISO, T=60, sigma=1, lam=1), "without a value, got lam=1"),
        (lambda: CLEAN.optimum(**ISO, T=60), "a value for sigma"),
        (lambda: CLEAN.optimum(**ISO, T=60, sigma=1, tau=2), "no symbol 'tau'"),
        (lambda: CLEAN.optimum("T", **ISO, lam=0.1, sigma=1), "keeps falling to its upper end"),
        (lambda: CLEAN.optimum(spectrum=ct.Isotropic(9), target=ct.RandomTarget(norm2=0.0), T=20, sigma=1), "its upper end"),
        (lambda: CHAIN.optimum("lam0", **ISO, n=0, T=60, T0=30, lam=1, sigma=1, sigma0=1), "does not depend on lam0"),
        (lambda: CLEAN.optimum(**ISO, T=np.ones(2) * 60, sigma=np.ones(3)), "shapes that broadcast"),
        (lambda: CLEAN.optimum(**ISO, T=np.ones(0), sigma=1), "at least one point"),
        (lambda: CLEAN.optimum([], **ISO, T=60, sigma=1), "different arguments"),
        (lambda: CLEAN.optimum(["lam", "lam"], **ISO, T=60, sigma=1), "different arguments"),
        (lambda: CLEAN.optimum(**ISO, T=60, sigma=1, between=(2, 1)), "low < high"),
        (lambda: CLEAN.optimum(**ISO, T=60, sigma=1, between={"T": (1, 2)}), "put it into over="),
        (lambda: CLEAN.optimum(["lam", "T"], **ISO, sigma=1, between=(1, 2)), "a mapping by name"),
        (lambda: REPLACE.optimum(**ISO, n=1, T=60, T0=30, sigma=1, sigma0=1), "T0 >= d + 2"),
        (lambda: REPLACE.optimum("T0", **ISO, n=1, T=60, lam=1, sigma=1, sigma0=1, between=(1, 20)), "no range for T0"),
        (lambda: STRONG.optimum("p1", **ISO, N=9, lam=1, p2=0.5, sigma=1), "ties p1 to other arguments"),
        (lambda: ct.optimal_ridge("ridge-clean", **ISO), "err needs"),
    ],
)  # fmt: skip
def test_what_it_refuses(call, words):
    with pytest.raises(ct.DomainError) as caught:
        call()
    assert words in str(caught.value)
