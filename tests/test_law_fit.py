"""The practitioners' law: recovery, outliers, coverage of the intervals, and what runs cannot tell."""

import math
import pickle

import numpy as np
import pytest
from scipy.optimize import minimize

import collapse_theory as ct

D = np.geomspace(1e3, 1e9, 13)
N2, D2 = (x.ravel() for x in np.meshgrid(np.geomspace(1e6, 1e10, 6), np.geomspace(1e8, 1e12, 6)))
CHINCHILLA = {"E": 1.69, "A": 406.4, "a": 0.34, "B": 410.7, "b": 0.28}


def law(value, N=None, D=None):
    """The law, typed in."""
    out = value["E"]
    out = out if N is None else out + value["A"] / N ** value["a"]
    return out if D is None else out + value["B"] / D ** value["b"]


def noisy(curve, size, seed):
    return curve * np.exp(size * np.random.default_rng(seed).standard_normal(curve.size))


# ------------------------------------------------------------------ recovery
@pytest.mark.parametrize(
    ("value", "sizes"),
    [
        ({"E": 1.7, "B": 400.0, "b": 0.3}, {"D": D}),
        ({"E": 1e-6, "B": 0.02, "b": 1.4}, {"D": np.geomspace(1, 1e4, 9)}),
        ({"E": 30.0, "A": 1e5, "a": 0.5}, {"N": D}),
        (CHINCHILLA, {"N": N2, "D": D2}),
    ],
)
def test_a_law_without_noise_is_found(value, sizes):
    found = ct.fit_law(law(value, **sizes), **sizes, draws=10)
    assert found.value == pytest.approx(value, rel=1e-6)
    np.testing.assert_allclose(found.predict(**sizes), law(value, **sizes), rtol=1e-10)
    assert found.p_value == 1.0
    assert not found.undetermined
    for low, high in found.intervals.values():
        assert low == pytest.approx(high, rel=1e-6)


def test_units_do_not_matter():
    curve = noisy(law(CHINCHILLA, N2, D2), 0.01, 1)
    one = ct.fit_law(curve, N=N2, D=D2, draws=5)
    other = ct.fit_law(1e-9 * curve, N=1e6 * N2, D=D2, draws=5)
    assert other.value["a"] == pytest.approx(one.value["a"], rel=1e-5)
    assert other.value["E"] == pytest.approx(1e-9 * one.value["E"], rel=1e-5)
    assert other.value["A"] == pytest.approx(1e-9 * 1e6 ** one.value["a"] * one.value["A"], rel=1e-3)


def test_known_errors_weight_the_points_as_an_independent_fit_does():
    """Within Huber's bend the minimum is that of weighted squares of logarithms."""
    relative = np.linspace(0.01, 0.05, D.size)
    curve = law({"E": 1.7, "B": 400, "b": 0.3}, D=D) * (1 + relative * np.sin(3 * np.arange(D.size)))

    def cost(x):
        predicted = math.exp(x[0]) + np.exp(x[1] - math.exp(x[2]) * np.log(D))
        return (((np.log(predicted) - np.log(curve)) / relative) ** 2).sum()

    want = minimize(
        cost, [0.5, 6.0, -1.2], method="Nelder-Mead", options={"xatol": 1e-10, "fatol": 1e-13, "maxiter": 9999}
    )
    found = ct.fit_law(curve, D=D, errors=relative * curve, draws=5)
    assert found.value["b"] == pytest.approx(math.exp(want.x[2]), rel=1e-5)
    assert found.value["E"] == pytest.approx(math.exp(want.x[0]), rel=1e-5)
    unweighted = ct.fit_law(curve, D=D, draws=5)
    assert abs(unweighted.value["b"] / found.value["b"] - 1) > 1e-3


def test_a_failed_run_does_not_decide():
    curve = noisy(law({"E": 1.7, "B": 400, "b": 0.3}, D=D), 0.003, 5)
    spoilt = curve.copy()
    spoilt[4] *= 3
    clean, robust = (ct.fit_law(y, D=D, draws=5).value["b"] for y in (curve, spoilt))
    by_squares = ct.fit_law(spoilt, D=D, errors=spoilt, draws=5).value[
        "b"
    ]  # within such errors Huber's loss is quadratic
    assert abs(robust / clean - 1) < 0.02
    assert abs(by_squares / clean - 1) > 0.05


# ------------------------------------------------------------------ intervals
def covered(runs, draws):
    """How many intervals hold the truth, and how many of half the width do, of all three parameters."""
    value, hits = {"E": 1.7, "B": 400, "b": 0.3}, {1: dict.fromkeys("EBb", 0), 2: dict.fromkeys("EBb", 0)}
    for seed in range(runs):
        found = ct.fit_law(noisy(law(value, D=D), 0.01, seed), D=D, draws=draws, seed=seed)
        for name, (low, high) in found.intervals.items():
            for part in hits:
                hits[part][name] += abs(value[name] - (low + high) / 2) <= (high - low) / 2 / part
    return [list(hits[part].values()) for part in (1, 2)]


@pytest.mark.heavy
def test_intervals_cover_and_half_as_wide_ones_do_not():
    """Of 120 runs 90 % are 108, give or take 3.3."""
    whole, half = covered(120, draws=100)
    assert min(whole) >= 98
    assert max(whole) <= 118
    assert max(half) < 88


def test_intervals_cover_most_runs():
    whole, half = covered(10, draws=40)
    assert min(whole) >= 6
    assert sum(half) < sum(whole)


def test_known_errors_make_the_intervals():
    curve = law({"E": 1.7, "B": 400, "b": 0.3}, D=D)
    wide, narrow = (ct.fit_law(curve, D=D, errors=x * curve, draws=100, seed=2).intervals["b"] for x in (0.02, 0.01))
    assert (wide[1] - wide[0]) / (narrow[1] - narrow[0]) == pytest.approx(2, rel=0.2)


def test_a_curve_without_a_floor_says_that_none_is_seen():
    found = ct.fit_law(noisy(3 * D**-0.5, 0.02, 3), D=D)
    assert found.intervals["E"][0] == 0
    assert found.undetermined == ("E",)
    assert found.intervals["b"][0] < 0.5 < found.intervals["b"][1]


def test_another_law_is_seen_in_the_residuals():
    D = np.geomspace(1e2, 1e6, 17)
    bent = ct.fit_law(3 * D**-0.5 + 40 * D**-1.2, D=D, draws=20)
    right = [ct.fit_law(noisy(1 + 3 * D**-0.5, 0.01, seed), D=D, draws=1).p_value for seed in range(20)]
    assert bent.p_value < 0.01
    assert np.mean(np.array(right) < 0.1) <= 0.3


def test_results_are_repeated_and_pickle():
    curve = noisy(1 + 3 * D**-0.5, 0.01, 0)
    one, two = (ct.fit_law(curve, D=D, draws=20, seed=4) for _ in range(2))
    np.testing.assert_array_equal(one.draws, two.draws)
    assert pickle.loads(pickle.dumps(one)).value == one.value
    assert f"b = {one.value['b']:.4g} [" in repr(one)


# ------------------------------------------------------------------ against theory
def test_the_fitted_exponent_is_the_rate_of_the_tuned_ridge():
    r"""On an endless power law the best ridge has the rate ``2 r beta/(1 + 2 r beta)``; far out the fit must say so."""
    T = np.geomspace(1e9, 1e15, 9)
    about = {"spectrum": ct.PowerLaw(math.inf, beta=1.5), "target": ct.SourceTarget(r=0.5), "T": T, "sigma": 0.5}
    curve = ct.optimal_ridge(ct.catalog["ridge-clean"].error, **about).error
    assert ct.fit_law(curve, D=T, draws=5).value["b"] == pytest.approx(0.6, abs=1e-3)
    near = np.geomspace(1e2, 1e6, 9)
    found = ct.fit_law(ct.optimal_ridge(ct.catalog["ridge-clean"].error, **{**about, "T": near}).error, D=near, draws=5)
    assert abs(found.value["b"] - 0.6) > 5e-3  # and near by it does not


# ------------------------------------------------------------------ bad input
@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: ct.fit_law([1, 2, 3]), "needs N or D"),
        (lambda: ct.fit_law([3, 2, 1], D=[1, 2, 3]), "more points than its 3 parameters E, B, b, got 3"),
        (lambda: ct.fit_law([3, 2, 2, 1], D=[1, 2, 2, 1]), "D needs at least 3 different values"),
        (lambda: ct.fit_law(np.ones(5), D=np.arange(1, 6), N=np.arange(1, 6)), "more points than its 5 parameters"),
        (lambda: ct.fit_law([3, 2, 0, 1], D=[1, 2, 3, 4]), "loss needs to be a list of numbers > 0"),
        (lambda: ct.fit_law([3, 2, 1, 1], D=[1, 2, 3]), "D needs one value per loss"),
        (lambda: ct.fit_law([3, 2, 1, 1], D=[1, 2, 3, 4], errors=[1, 1]), "errors needs one value per loss"),
        (lambda: ct.fit_law([3, 2, 1, 1], D=[1, 2, 3, 4], level=1), "level needs to be between 0 and 1"),
        (lambda: ct.fit_law(1 + 2 * D**-0.3, D=D, N=20 * D), "cannot tell .* apart"),
        (lambda: ct.fit_law(1 + 2 * D**-0.3, D=D, draws=1).predict(), "predict needs a value of D"),
        (lambda: ct.fit_law(1 + 2 * D**-0.3, D=D, draws=1).predict(N=3, D=3), "predict needs no N"),
        (lambda: ct.fit_law(1 + 2 * D**-0.3, D=D, draws=1).predict(D=-3), "D needs to be > 0"),
    ],
)
def test_bad_input(call, said):
    with pytest.raises(ct.DomainError, match=said):
        call()
