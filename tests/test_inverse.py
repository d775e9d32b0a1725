"""The inverse question: recovery, coverage of the intervals on simulated curves, and what a curve cannot tell apart."""

import itertools
import math
import pickle

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import chi2, f, norm

import collapse_theory as ct
from collapse_theory import symbols as S
from collapse_theory.study.confounded import confounded
from tests import naive

OLS = ct.catalog["ols-replace"].error
REPLACE = ct.catalog["ridge-replace"].error
D = 8
ROWS = np.array([12, 16, 24, 40, 80])
KNOWN = {"spectrum": ct.Isotropic(D), "T": ROWS, "T0": 20, "sigma": 0.5}
LAM = np.geomspace(1e-3, 1, 6)
RIDGE = {"spectrum": ct.PowerLaw(30, beta=1.2), "target": ct.RandomTarget(), "T": 60, "T0": 90, "lam": LAM}


def ols(sigma0, n=2, sigma=0.5, T=ROWS, T0=20):
    """The error of replace, typed in."""
    return sigma**2 * D / (T - D - 1) + n * sigma0**2 * D / (T0 - D - 1)


def chi_squared(curve, relative, sigma0):
    return (((np.log(curve) + relative**2 / 2 - np.log(ols(sigma0))) / relative) ** 2).sum()


# ------------------------------------------------------------------ recovery
P2 = ct.catalog["strong-collapse"].error.subs({"p1": 1 - S.p2})
DELTA = {"Sigma": ct.PowerLaw(30, beta=1.2), "Delta": ct.Isotropic(30, scale=0.2)}
MIX = ct.catalog["ols-mix-fixed-design"].error


@pytest.mark.parametrize(
    ("err", "about", "truth"),
    [
        (REPLACE, {**RIDGE, "sigma": 0.3, "n": 3}, {"sigma0": 0.4}),
        (REPLACE, {**RIDGE, "sigma": 0.3, "sigma0": 0.4, "n": 3}, {"T0": 90.0}),
        (REPLACE, {**RIDGE, "n": 3}, {"sigma": 0.3, "sigma0": 0.4}),
        (REPLACE, {**RIDGE, "sigma0": 0.4}, {"n": 17, "sigma": 0.2}),
        (REPLACE, {**RIDGE, "sigma": 0.3, "n": 3}, {"sigma0": 0.4, "test_noise": 0.6}),
        (P2, {"spectrum": DELTA, "target": ct.RandomTarget(), "N": 90, "sigma": 0.5, "lam": LAM}, {"p2": 0.3}),
        (MIX, {"spectrum": ct.Isotropic(D), "T": 30, "sigma": 0.5, "n": np.arange(1, 7)}, {"w": 0.2}),
        (OLS, {**KNOWN, "sigma0": 0.4}, {"n": 0}),
        (OLS, {**KNOWN, "sigma0": 0.4}, {"n": 61}),
    ],
)
def test_a_curve_without_noise_gives_back_what_made_it(err, about, truth):
    known = {k: v for k, v in about.items() if k not in truth}
    curve = err.evaluate(**{**known, **truth})
    found = ct.infer(err, curve, over=list(truth), errors=1e-4 * curve, **known)
    assert found.value == pytest.approx(truth, rel=1e-4)
    np.testing.assert_allclose(found.predicted, curve, rtol=1e-5)
    assert found.chi2 < 1e-3


def test_the_shape_of_the_curve_is_kept_and_the_door_leads_here():
    T, T0 = ROWS[:, None], np.array([20.0, 30.0])
    curve = OLS.evaluate(spectrum=ct.Isotropic(D), T=T, T0=T0, n=2, sigma=0.5, sigma0=0.4)
    found = OLS.infer(curve, "sigma0", errors=0.1 * curve, spectrum=ct.Isotropic(D), T=T, T0=T0, n=2, sigma=0.5)
    assert found.predicted.shape == found.residuals.shape == (5, 2)
    assert found.value["sigma0"] == pytest.approx(0.4, rel=1e-2)
    assert pickle.loads(pickle.dumps(found)).interval() == found.interval()
    assert "sigma0 = 0.4" in repr(found)


# ------------------------------------------------------------------ intervals against their definition
def test_the_interval_is_the_profile_of_an_independent_formula():
    rng = np.random.default_rng(1)
    relative = np.linspace(0.03, 0.08, ROWS.size)
    curve = ols(0.4) * (1 + relative * rng.standard_normal(ROWS.size))
    found = ct.infer(OLS, curve, over="sigma0", errors=relative * curve, **KNOWN, n=2)
    grid = np.linspace(0.2, 0.6, 40001)
    values = [chi_squared(curve, relative, s) for s in grid]
    best, least = grid[np.argmin(values)], min(values)
    assert found.value["sigma0"] == pytest.approx(best, abs=2e-5)
    assert found.chi2 == pytest.approx(least, rel=1e-6)
    assert found.p_value == pytest.approx(chi2.sf(least, 4), rel=1e-6)
    for level in (0.5, 0.9, 0.99):
        quantile = norm.ppf((1 + level) / 2) ** 2
        ends = [
            brentq(lambda s, q=quantile: chi_squared(curve, relative, s) - least - q, a, b)
            for a, b in ((0.05, best), (best, 2))
        ]
        assert found.interval(level)["sigma0"] == pytest.approx(ends, rel=1e-4)
    step = 1e-4
    slope = (np.log(ols(best + step)) - np.log(ols(best - step))) / (2 * step) / relative
    assert found.covariance[0, 0] == pytest.approx(1 / (slope**2).sum(), rel=1e-3)


def test_unknown_noise_is_estimated_and_widens_the_interval_as_f_does():
    rng = np.random.default_rng(2)
    curve = ols(0.4) * (1 + 0.05 * rng.standard_normal(ROWS.size))
    found = ct.infer(OLS, curve, over="sigma0", **KNOWN, n=2)

    def total(s):
        return ((np.log(curve) - np.log(ols(s))) ** 2).sum()

    best = found.value["sigma0"]
    least, degrees = total(best), ROWS.size - 1
    assert (found.p_value, found.degrees) == (None, degrees)
    assert found.scatter == pytest.approx(math.sqrt(least / degrees))
    allowed = least * (1 + f.ppf(0.9, 1, degrees) / degrees)
    ends = [brentq(lambda s: total(s) - allowed, a, b) for a, b in ((0.05, best), (best, 2))]
    assert found.interval()["sigma0"] == pytest.approx(ends, rel=1e-4)


def test_correlated_errors_are_whitened():
    """A common factor of all points says nothing about the shape: with it the estimate is that of generalised least squares."""
    rng = np.random.default_rng(3)
    relative = 0.02**2 * np.eye(ROWS.size) + 0.3**2
    curve = ols(0.4) * np.exp(rng.multivariate_normal(np.zeros(ROWS.size), relative))
    covariance = relative * np.outer(curve, curve)
    found = ct.infer(OLS, curve, over="sigma0", errors=covariance, **KNOWN, n=2)
    inverse = np.linalg.inv(relative)

    def total(s):
        r = np.log(curve) + np.diag(relative) / 2 - np.log(ols(s))
        return r @ inverse @ r

    grid = np.linspace(0.2, 0.8, 6001)
    assert found.value["sigma0"] == pytest.approx(grid[np.argmin([total(s) for s in grid])], abs=2e-4)
    alone = ct.infer(OLS, curve, over="sigma0", errors=np.sqrt(np.diag(covariance)), **KNOWN, n=2)
    width, naive_width = (np.ptp(x.interval()["sigma0"]) for x in (found, alone))
    assert width < naive_width / 2


def test_an_integer_has_the_set_of_integers_that_fit():
    curve = ols(0.4, n=20)
    found = ct.infer(OLS, curve, over="n", errors=0.2 * curve, **KNOWN, sigma0=0.4)
    values = {n: (((np.log(curve) + 0.02 - np.log(ols(0.4, n=n))) / 0.2) ** 2).sum() for n in range(101)}
    best = min(values, key=values.get)
    inside = [n for n, v in values.items() if v <= values[best] + norm.ppf(0.95) ** 2]
    assert found.value == {"n": best}
    assert found.interval(0.9)["n"] == (min(inside), max(inside))
    assert all(found.profile[n] == pytest.approx(values[n], rel=1e-6) for n in found.profile)


def test_a_noise_that_may_be_absent_has_an_interval_from_zero():
    rng = np.random.default_rng(4)
    curve = ols(0.0) * (1 - 0.03 * np.abs(rng.standard_normal(ROWS.size)))
    found = ct.infer(OLS, curve, over="sigma0", errors=0.05 * curve, **KNOWN, n=2)
    low, high = found.interval()["sigma0"]
    assert (found.value["sigma0"], low, found.covariance) == (0.0, 0.0, None)
    excess = chi_squared(curve, 0.05, high) - chi_squared(curve, 0.05, 0.0)
    assert excess == pytest.approx(norm.ppf(0.95) ** 2, rel=1e-3)


def test_what_the_data_do_not_bound_has_the_end_of_the_range():
    curve = ols(0.05)
    known = {k: v for k, v in KNOWN.items() if k != "T0"}
    found = ct.infer(OLS, curve, over="T0", errors=0.1 * curve, sigma0=0.05, n=2, **known)
    low, high = found.interval()["T0"]
    assert D + 2 <= low < 20
    assert high == math.inf


# ------------------------------------------------------------------ coverage, on simulations by the definition
SETS, TRIALS = 40, 50


@pytest.fixture(scope="module")
def simulated():
    """Means and standard errors of 40 data sets, of shape (sets, points)."""
    family = naive.Linear(np.ones(D), np.ones(D) / D)
    pipes = [ct.workflows.replace(2, ct.Stage(T=20, noise=0.4), ct.Stage(T=int(T), noise=0.5)) for T in ROWS]
    runs = [naive.errors(p, family, SETS * TRIALS, 10 + i, chunk=1000) for i, p in enumerate(pipes)]
    each = np.stack([r.reshape(SETS, TRIALS) for r in runs], axis=-1)
    return each.mean(axis=1), each.std(axis=1, ddof=1) / math.sqrt(TRIALS)


def inferred(simulated, name, *, with_errors=True, sets=SETS, **known):
    """Return what is inferred from every data set."""
    return [
        ct.infer(OLS, mean, over=name, errors=sem if with_errors else None, **{**KNOWN, **known})
        for mean, sem in itertools.islice(zip(*simulated, strict=True), sets)
    ]


def coverage(found, value):
    """Return the share of the 90 % intervals that hold a value."""
    ends = [x.interval(0.9)[x.over[0]] for x in found]
    return np.mean([low <= value <= high for low, high in ends])


@pytest.mark.parametrize("with_errors", [True, False])
@pytest.mark.heavy
def test_the_intervals_cover_the_truth_and_nothing_else(simulated, with_errors):
    found = inferred(simulated, "sigma0", n=2, with_errors=with_errors)
    assert 0.8 <= coverage(found, 0.4) <= 0.98
    # The mutants: a value that is 15 % off, and a theory with one generation too many.
    assert coverage(found, 0.46) < 0.2
    assert coverage(inferred(simulated, "sigma0", n=3, with_errors=with_errors, sets=10), 0.4) < 0.2


def test_the_number_of_generations_is_found(simulated):
    found = inferred(simulated, "n", sigma0=0.4)
    assert coverage(found, 2) >= 0.9
    assert coverage(found, 3) < 0.2


def test_the_goodness_of_fit_is_uniform_for_the_truth_and_small_for_another_theory(simulated):
    right, wrong = ([x.p_value for x in inferred(simulated, "n", sigma0=0.4, sigma=sigma)] for sigma in (0.5, 0.25))
    assert 0.3 < np.mean(right) < 0.7
    assert np.mean(wrong) < 0.05


def test_generations_and_noise_of_real_digits():
    """Ridge generators, as the digits need: with them Gaussian theory holds for real images."""
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    X, y = X / 4, (y - y.mean()) / y.std()
    spectrum, target = ct.from_data(X, y)
    known = {"spectrum": spectrum, "target": target, "T": 400, "T0": 300, "lam0": 0.05, "sigma": 0.3}
    lam = np.array([0.02, 0.1, 0.5])
    sims = [
        ct.simulate(
            ct.workflows.replace(2, ct.Stage(T=300, noise=0.5, ridge=0.05), ct.Stage(T=400, noise=0.3, ridge=float(x))),
            inputs=X, targets=y, trials=40, seed=i,
        )
        for i, x in enumerate(lam)
    ]  # fmt: skip
    curve, errors = (np.array([getattr(s, k) for s in sims]) for k in ("mean", "sem"))
    err = ct.catalog["ridge-chain"].error
    found = ct.infer(err, curve, over="n", errors=errors, sigma0=0.5, lam=lam, **known)
    assert found.value == {"n": 2}
    found = ct.infer(err, curve, over="sigma0", errors=errors, n=2, lam=lam, **known)
    low, high = found.interval(0.95)["sigma0"]
    assert low <= 0.5 <= high
    assert not low <= 0.6 <= high
    assert found.p_value > 0.01


# ------------------------------------------------------------------ what a curve cannot tell
def test_generations_and_their_noise_are_told_to_be_one():
    curve = ols(0.4, n=3)
    for over in (["n", "sigma0"], ["n", "sigma0", "sigma"]):
        known = {k: v for k, v in KNOWN.items() if k not in over}
        with pytest.raises(ct.DomainError, match=r"n and sigma0 apart: .* only n\*sigma0\*\*2 = 0\.48"):
            ct.infer(OLS, curve, over=over, errors=0.05 * curve, **known)
    with pytest.raises(ct.DomainError, match=r"only n\*sigma0\*\*2 = 0\.4[78]"):
        ct.infer(OLS, curve, over=["n", "sigma0"], **KNOWN)


def test_other_unknowns_that_are_one():
    curve = ols(0.4, n=3)
    known = {"spectrum": ct.Isotropic(D), "T": ROWS, "sigma": 0.5, "n": 3}
    with pytest.raises(ct.DomainError, match="cannot tell T0 and sigma0 apart at these points"):
        ct.infer(OLS, curve, over=["T0", "sigma0"], **known)
    with pytest.raises(ct.DomainError, match="cannot tell sigma0 and test_noise apart"):
        ct.infer(OLS, curve, over=["sigma0", "test_noise"], T0=20, **known)
    with pytest.raises(ct.DomainError, match="does not depend on sigma0"):
        ct.infer(OLS, curve, over="sigma0", **{**KNOWN, "n": 0})
    with pytest.raises(ct.DomainError, match="cannot tell"):
        ct.infer(OLS, curve, over=["sigma", "sigma0"], spectrum=ct.Isotropic(D), T=30, T0=20, n=3)


def test_monomials_come_from_the_null_space_at_several_points():
    rng = np.random.default_rng(0)
    x = rng.uniform(1, 2, (9, 2))
    a, b = x.T
    found = confounded(["p", "q", "r"], [np.stack([3 * a, b, a], axis=1)] * 2)
    assert (found.names, found.combination) == (("p", "r"), "p**3*r")
    inverse = confounded(["p", "q"], [np.stack([a, -2 * a], axis=1)] * 2)
    assert inverse.combination == "p*q**(-2)"
    turning = confounded(["p", "q"], [np.stack([a, k * a], axis=1) for k in (1, 2)])
    assert (turning.names, turning.exponents) == (("p", "q"), ())
    assert confounded(["p", "q"], [x, x]) is None
    assert confounded(["p", "q"], [x, np.stack([a, a], axis=1)]) is None


# ------------------------------------------------------------------ bad input
CURVE = ols(0.4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"observed": [1.0, -1.0, 1, 1, 1]}, "observed needs finite test errors > 0"),
        ({"errors": CURVE}, "at most 0.5 of the observed"),
        ({"errors": 0.0}, "standard errors > 0"),
        ({"errors": [0.1, 0.1]}, "errors need the shape of observed"),
        ({"errors": np.ones((5, 5)) * 1e-6}, "positive definite"),
        ({"errors": np.triu(np.ones((5, 5)))}, "symmetric"),
        ({"over": "n"}, "got n=2 too"),
        ({"over": "d"}, "beside the spectrum"),
        ({"over": []}, "different unknowns"),
        ({"over": ["sigma0", "sigma0"]}, "different unknowns"),
        ({"over": "sgima0"}, "did you mean 'sigma0'"),
        ({"over": "test_noise", "sigma0": 0.4, "test_noise": 0.1}, "without a value"),
        ({"between": {"n": (0, 3)}}, "between needs ranges of sigma0"),
        ({"between": (0, 1)}, "ranges by name"),
        ({"T": np.arange(12.0, 15.0)}, "broadcast to the shape of observed"),
        ({"T": 5}, "needs T >= d \\+ 2"),
        ({"observed": [1.0], "T": 20}, "at least 2 points for sigma0 and the noise"),
        ({"test_noise": -1.0}, "test_noise needs to be finite and >= 0"),
    ],
)
def test_bad_input_is_refused_in_words(change, message):
    good = {"observed": CURVE, "over": "sigma0", **KNOWN, "n": 2}
    with pytest.raises(ct.DomainError, match=message):
        ct.infer(OLS, **{**good, **change})


def test_an_integer_beyond_what_was_looked_at_is_refused_until_a_range_is_given():
    curve = ols(0.4, n=700)
    with pytest.raises(ct.DomainError, match=r"improves up to n = 100.*between=\{'n': \(0, 1000\)\}"):
        ct.infer(OLS, curve, over="n", **KNOWN, sigma0=0.4)
    found = ct.infer(OLS, curve, over="n", errors=1e-3 * curve, between={"n": (0, 1000)}, **KNOWN, sigma0=0.4)
    assert found.value == {"n": 700}


def test_levels_are_shares():
    found = ct.infer(OLS, CURVE, over="sigma0", errors=0.1 * CURVE, **KNOWN, n=2)
    for level in (0, 1, 1.5):
        with pytest.raises(ct.DomainError, match="level"):
            found.interval(level)
