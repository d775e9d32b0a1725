"""Where a test error equals another one, against exact arithmetic, independent roots and simulation."""

import itertools
import math

import numpy as np
import pytest
import sympy
from mpmath import mp
from scipy.optimize import brentq

import collapse_theory as ct
from collapse_theory import symbols as S
from collapse_theory.algebra.closed_roots import closed_roots
from collapse_theory.algebra.integrals import SpectralTrace
from collapse_theory.numerics.crossings import crossings
from collapse_theory.numerics.minimise import Curves, Interval

K = sympy.Symbol("k", nonnegative=True)
ISO = {"spectrum": ct.Isotropic(20), "target": ct.RandomTarget(norm2=1.0)}
CLEAN = ct.catalog["ridge-clean"].error
REPLACE = ct.catalog["ridge-replace"].error


def synthetic_rows():
    """Least squares on T real rows and k more, labelled by a generator fit on T0 real rows of its own; exact."""
    pooled = ct.catalog["ols-strong-collapse"].error.subs({"p1": S.T / (S.T + K), "p2": K / (S.T + K), "N": S.T + K})
    generator = ct.catalog["ols-replace"].error.parts["synthetic_variance"] / S.n
    return pooled.mapped(lambda e: e.replace(lambda a: isinstance(a, SpectralTrace), lambda _: generator))


def exact_error(k, T, T0, d, sigma, sigma0):
    """The error of pooled least squares, written from its formula."""
    N = mp.mpf(T + k)
    tau = (N - 2 + N * (N * d - 2) / (N - d - 1)) / ((N + 2) * (N - 1))
    v = mp.mpf(sigma0) ** 2 * d / (T0 - d - 1)
    p2 = k / N
    return v * (p2**2 + tau * p2 * (1 - p2)) + d * mp.mpf(sigma) ** 2 / (N - d - 1)


# ------------------------------------------------------------------ the value of synthetic rows
@pytest.mark.parametrize(
    ("sigma0", "count", "helps_at_first"), [(0.5, 0, True), (2.3, 1, True), (3.0, 2, False), (5.0, 0, False)]
)
def test_synthetic_rows_help_hurt_or_both(sigma0, count, helps_at_first):
    err, rest = synthetic_rows(), {"T": 30, "T0": 60, "sigma": 1.0, "sigma0": sigma0}
    found = err.break_even("k", level={"k": 0}, spectrum=ISO["spectrum"], **rest)

    def gain(k):
        return exact_error(k, 30, 60, 20, 1.0, sigma0) - exact_error(0, 30, 60, 20, 1.0, sigma0)

    grid = np.geomspace(1e-3, 1e7, 3000)
    signs = np.array([int(mp.sign(gain(k))) for k in grid])
    turns = np.flatnonzero(signs[1:] != signs[:-1])
    assert len(found.value) == len(turns) == count
    for value, i in zip(found.value, turns, strict=True):
        root = mp.findroot(gain, (grid[i], grid[i + 1]), solver="anderson")
        assert value == pytest.approx(float(root), rel=1e-8)
    for k, sign in zip(grid, signs, strict=True):
        assert any(a < k < b for a, b in found.below) == (sign < 0)
    assert any(a == 0 for a, _ in found.below) == helps_at_first
    assert found.at == 0


def test_rows_labelled_by_ones_own_fit_never_help_least_squares():
    """A generator fit on the same real rows: E(k) - E(0) = sigma^2 d k/(N (N-d-1))."""
    pipe = ct.Pipeline()
    real = pipe.sample(T=S.T, noise=S.sigma)
    fake = pipe.sample(T=S.k, noise=S.sigma, source=pipe.fit(real))
    pipe.fit([real, fake])
    alone = ct.Pipeline()
    alone.fit(alone.sample(T=S.T, noise=S.sigma))
    err, level = ct.test_error(pipe), ct.test_error(alone)
    assert err.regime == level.regime == "exact"
    N = S.T + S.k
    assert sympy.cancel(err.expr - level.expr - S.sigma**2 * S.d * S.k / (N * (N - S.d - 1))) == 0
    found = err.break_even("k", level=level, spectrum=ISO["spectrum"], T=30, sigma=1.0)
    assert (found.value, found.below) == ((), ())


def test_how_good_the_generator_must_be_in_closed_form():
    found = synthetic_rows().break_even(
        "sigma0", level={"k": 0}, spectrum=ISO["spectrum"], T=30, T0=60, k=10, sigma=1.0
    )
    at = {S.T: 30, S.T0: 60, K: 10, S.sigma: 1, S.d: 20}
    values = [float(e.subs(at)) for e in found.roots]
    assert found.value[0] == pytest.approx(max(values), rel=1e-12)
    error = exact_error(10, 30, 60, 20, 1.0, found.value[0])
    assert float(error) == pytest.approx(float(exact_error(0, 30, 60, 20, 1.0, 1.0)), rel=1e-12)


def naive_gap(k, T, T0, d, sigma, sigma0, trials, seed):
    """Mean and standard error of the change that k synthetic rows make, by simulation."""
    rng = np.random.default_rng(seed)
    gaps = []
    for _ in range(trials):
        X0, X, Z = (rng.standard_normal((m, d)) for m in (T0, T, k))
        w = np.linalg.lstsq(X0, sigma0 * rng.standard_normal(T0))[0]
        y, z = sigma * rng.standard_normal(T), Z @ w + sigma * rng.standard_normal(k)
        alone = np.linalg.lstsq(X, y)[0]
        both = np.linalg.lstsq(np.vstack([X, Z]), np.concatenate([y, z]))[0]
        gaps.append(both @ both - alone @ alone)
    return np.mean(gaps), np.std(gaps) / math.sqrt(trials)


def test_simulation_agrees_on_where_rows_stop_helping():
    err, rest = synthetic_rows(), {"T": 18, "T0": 20, "sigma": 1.0}
    found = err.break_even("sigma0", level={"k": 0}, spectrum=ct.Isotropic(6), k=12, **rest)
    mean, sem = naive_gap(12, 18, 20, 6, 1.0, found.value[0], 6000, seed=3)
    assert abs(mean) < 3 * sem
    mean, sem = naive_gap(12, 18, 20, 6, 1.0, 1.25 * found.value[0], 6000, seed=3)
    assert mean > 3 * sem  # the check can fail


# ------------------------------------------------------------------ any argument and level
def test_every_ridge_of_an_error():
    """Between the two ridges the error is lower than without one."""
    found = REPLACE.break_even("lam", level={"lam": 0.0}, **ISO, n=3, T=40, T0=60, sigma=0.5, sigma0=0.5)

    def gap(t):
        return REPLACE.evaluate(**ISO, n=3, T=40, T0=60, sigma=0.5, sigma0=0.5, lam=t) - REPLACE.evaluate(
            **ISO, n=3, T=40, T0=60, sigma=0.5, sigma0=0.5, lam=0.0
        )

    (value,) = found.value
    assert value == pytest.approx(brentq(gap, 1e-2, 1e6, xtol=1e-12, rtol=1e-14), rel=1e-8)
    assert found.below == ((0.0, value),)


def test_a_number_a_formula_and_arrays():
    sigma = np.array([0.2, 0.4, 0.8])[:, None]
    level = np.array([0.2, 0.5])
    found = CLEAN.break_even("T", level=level, **ISO, lam=0.1, sigma=sigma)
    for i in range(3):
        for j in range(2):
            for T in found.value[i][j]:
                assert CLEAN.evaluate(**ISO, lam=0.1, sigma=float(sigma[i, 0]), T=T) == pytest.approx(
                    level[j], rel=1e-7
                )
            assert len(found.value[i][j]) == len(found.below[i][j]) == 1
    other = REPLACE.break_even("lam", level=CLEAN.subs({"lam": 1.0}), **ISO, n=1, T=40, T0=60, sigma=0.5, sigma0=0.2)
    errors = REPLACE.evaluate(**ISO, n=1, T=40, T0=60, sigma=0.5, sigma0=0.2, lam=np.array(other.value))
    assert errors == pytest.approx(CLEAN.evaluate(**ISO, T=40, sigma=0.5, lam=1.0), rel=1e-10)
    lam = np.geomspace(1e-6, 1e6, 2001)
    gaps = REPLACE.evaluate(**ISO, n=1, T=40, T0=60, sigma=0.5, sigma0=0.2, lam=lam) - errors[0]
    assert len(other.value) == np.count_nonzero(np.diff(np.sign(gaps)))


def test_two_formulas_that_both_depend_on_the_argument():
    """Two generations against five with a better generator: break-even number of rows of the latter."""
    many = REPLACE.subs({"n": 5, "sigma0": 0.3})
    found = many.break_even(
        "T0", level=REPLACE.subs({"n": 2, "T0": S.T0 + 200}), **ISO, T=40, sigma=0.5, sigma0=0.5, lam=0.1
    )
    assert found.below == ((found.value[0], math.inf),) or found.value == ()
    ratio = 5 * 0.09 / (2 * 0.25)  # of the variances: 0.9/(T0-21) = 1/(T0+179)
    assert ratio < 1
    root = (200 * ratio + 21 * (1 - ratio)) / (1 - ratio)  # from ratio (T0 + 200 - 21) = T0 - 21
    assert found.value[0] == pytest.approx(root, rel=1e-8)


def curve(f, slope):
    return Curves(lambda x, _: f(x), lambda x, _, *, rough: slope(x), 1)


@pytest.mark.parametrize("roots", [(), (0.3,), (1e-5, 2.0), (0.5, 0.51, 40.0)])
def test_all_crossings_of_a_polynomial(roots):
    p = np.polynomial.Polynomial.fromroots(roots) if roots else np.polynomial.Polynomial([1.0, 0.0, 1.0])
    interval = Interval(np.zeros(1), np.full(1, np.inf), np.ones(1, bool), np.zeros(1, bool), np.ones(1))
    (found,) = crossings(curve(p, p.deriv()), interval, lambda x, _: np.abs(p(x)) + 1e-12, np.full(1, np.nan))
    assert found.zeros == pytest.approx(roots, rel=1e-8)
    ends = [0.0, *roots, math.inf]
    below = [(a, b) for a, b in itertools.pairwise(ends) if p((a + min(b, a + 1e-6 + a)) / 2) < 0]
    assert np.array(found.below).ravel() == pytest.approx(np.array(below).ravel(), rel=1e-8)


def test_touching_is_no_crossing():
    p = np.polynomial.Polynomial.fromroots([2.0, 2.0])
    interval = Interval(np.zeros(1), np.full(1, np.inf), np.ones(1, bool), np.zeros(1, bool), np.ones(1))
    (found,) = crossings(curve(p, p.deriv()), interval, lambda x, _: np.abs(x) ** 2 + 4, np.full(1, np.nan))
    assert (found.zeros, found.below) == ((), ())


# ------------------------------------------------------------------ closed forms
def test_the_golden_ratio_is_a_root_of_the_derived_condition():
    golden = (sympy.sqrt(5) - 1) / 2
    best = ct.catalog["minnorm-label-mix"].error.optimum("w", **ISO, T=10, sigma=0.5)
    assert best.roots == (golden,)
    assert best.value == pytest.approx(float(golden), rel=1e-8)


@pytest.mark.parametrize("n", [1, 2])
def test_the_best_weight_of_a_few_rounds_on_a_fixed_design(n):
    err = ct.catalog["ols-mix-fixed-design"].at(n)
    best = err.optimum("w", spectrum=ISO["spectrum"], T=60, sigma=0.5)
    w = np.linspace(0, 1, 200_001)
    errors = err.evaluate(spectrum=ISO["spectrum"], T=60, sigma=0.5, w=w)
    assert best.value == pytest.approx(w[errors.argmin()], abs=1e-5)
    if n == 1:
        assert best.roots == (sympy.Rational(2, 3),)


def test_the_best_weight_for_unequal_precisions():
    """k = sigma^2/sigma0^2, one design, labels w real + (1-w) synthetic, without end: w* = (sqrt(1+4k) - 1)/(2k)."""
    w, k = S.w, S.k
    factors = []
    for rounds in range(3):
        pipe = ct.Pipeline()
        last = pipe.fit(pipe.sample(T=S.T, noise=S.sigma))
        for _ in range(rounds):
            noise = S.sigma * sympy.sqrt(w**2 + (1 - w) ** 2 / k)
            labels = w * ct.TRUTH + (1 - w) * last
            last = pipe.fit(pipe.sample(design=pipe.samples[0], noise=noise, source=labels))
        factors.append(ct.test_error(pipe).expr)
    v0, v1, v2 = factors
    limit = sympy.cancel(v0 + (v1 - v0) / (1 - sympy.cancel((v2 - v1) / (v1 - v0))))
    (best,) = (e for e in closed_roots(limit.diff(w), w) if e.subs(k, 1).is_positive)
    assert sympy.simplify(best - (sympy.sqrt(1 + 4 * k) - 1) / (2 * k)) == 0
    factor = limit / v0
    assert sympy.simplify(factor.subs(k, 3) - best.subs(k, 3)).subs(w, best.subs(k, 3)).equals(0)


def test_what_has_no_closed_form_has_no_roots():
    assert CLEAN.optimum(**ISO, T=60, sigma=0.5).roots == ()
    assert CLEAN.break_even("lam", level=0.5, **ISO, T=60, sigma=0.5).roots == ()
    assert CLEAN.break_even("sigma", level=0.5, **ISO, T=60, lam=0.5).roots != ()


# ------------------------------------------------------------------ refusals
@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: REPLACE.break_even("n", level=1.0, **ISO, T=60, T0=90, lam=1, sigma=1, sigma0=1), "an integer; compare"),
        (lambda: CLEAN.break_even("T", level=1.0, **ISO, T=60, sigma=1, lam=1), "without a value"),
        (lambda: CLEAN.break_even("T", level={"tau": 1}, **ISO, sigma=1, lam=1), "no symbol 'tau'"),
        (lambda: CLEAN.break_even("T", level={"T": 10}, **ISO, sigma=1, lam=1, rows=3), "no symbol 'rows'"),
        (lambda: CLEAN.break_even("T", level=CLEAN, **ISO, sigma=1, lam=1), "whose difference depends on T"),
        (lambda: CLEAN.break_even("T", level="much", **ISO, sigma=1, lam=1), "level needs to be"),
        (lambda: CLEAN.break_even("T", level=math.nan, **ISO, sigma=1, lam=1), "level needs to be finite"),
        (lambda: CLEAN.break_even(["T"], level=1.0, **ISO, sigma=1, lam=1), "symbol"),
    ],
)  # fmt: skip
def test_what_it_refuses(call, words):
    with pytest.raises(ct.DomainError) as caught:
        call()
    assert words in str(caught.value)
