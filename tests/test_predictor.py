"""From values by name to numbers: what binds, broadcasts and is refused, threads, and batches of any length."""

import math
import pickle
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import sympy as sp
from mpmath import mpf

import collapse_theory as ct
from collapse_theory.symbols import T0, T

W, Stage = ct.workflows, ct.Stage
CLEAN = ct.catalog["ridge-clean"].error


def test_ranges_of_symbolic_rows_noise_ridge_and_weights_are_checked():
    lam, lam0, sigma, sigma0, w = (getattr(ct.symbols, x) for x in ("lam", "lam0", "sigma", "sigma0", "w"))
    how = {"spectrum": ct.Isotropic(5), "target": ct.RandomTarget()}
    pipe = ct.Pipeline()
    a, b = pipe.sample(T=T - 20, noise=sigma - sigma0), pipe.sample(T=30, noise=sigma)
    pipe.fit([a, b], weights=[w, 1 - w], ridge=lam - lam0)
    err = ct.test_error(pipe)
    right = {"T": 60, "sigma": 0.5, "sigma0": 0.5, "lam": 0.5, "lam0": 0.2, "w": 0.9}
    assert err.evaluate(**how, **right) > 0
    for bad in ({"T": 20}, {"sigma0": 0.500001}, {"lam0": 0.500001}, {"w": 1.000001}):
        with pytest.raises(ct.DomainError, match="needs"):
            err.evaluate(**how, **{**right, **bad})


@pytest.mark.parametrize("family", [ct.Regular(), ct.Gaussian(), ct.Categorical([0.5, 0.5])])
def test_rows_of_the_scalar_families_are_at_least_one(family):
    err = ct.test_error(W.replace(1, Stage(T=T0), Stage(T=T)), family=family)
    assert err.evaluate(T=1, T0=1) > 0
    for bad in ({"T": 0.5, "T0": 1}, {"T": 1, "T0": 0.5}):
        with pytest.raises(ct.DomainError, match=">= 1"):
            err.evaluate(**bad)


@pytest.mark.parametrize("slug", ["ridge-replace", "ridge-chain", "random-features-ridge", "strong-collapse"])
def test_a_long_batch_is_its_points_in_order(slug):
    """More entries than one block of work: pieces are joined in the order of the arguments, the last one shorter."""
    err = ct.catalog[slug].error
    d = 3000
    grid = np.geomspace(1e-4, 10, 47)
    measure = {"spectrum": ct.PowerLaw(d, 1.1), "target": ct.RandomTarget()}
    if slug == "strong-collapse":
        measure["spectrum"] = {"Sigma": ct.PowerLaw(d, 1.1), "Delta": ct.Isotropic(d, 0.001)}
    fixed = {
        "T": 700,
        "T0": 4000,
        "n": 2,
        "sigma": 0.5,
        "sigma0": 0.3,
        "lam0": 0.1,
        "m": 900,
        "N": 800,
        "p1": 0.25,
        "p2": 0.75,
    }
    fixed = {x.name: fixed[x.name] for x in err.free_symbols if x.name not in {"lam", "d"}}
    got = err.evaluate(**measure, **fixed, lam=grid, terms=True)
    for i in (0, 1, 9, 10, 11, 20, 33, 45, 46):
        one = err.evaluate(**measure, **fixed, lam=float(grid[i]), terms=True)
        assert {k: float(v[i]) for k, v in got.items()} == pytest.approx(one, rel=1e-12)
    total = err.evaluate(**measure, **fixed, lam=grid.reshape(47, 1), test_noise=np.array([0.0, 1.0]))
    assert total.shape == (47, 2)
    np.testing.assert_allclose(total, sum(got.values())[:, None] + [0.0, 1.0], rtol=1e-12)


OLS = {"spectrum": ct.Isotropic(50), "T": 80, "T0": 90, "n": 3, "sigma": 0.5, "sigma0": 0.4}


@pytest.mark.parametrize(
    "value",
    [
        "80",
        None,
        math.nan,
        math.inf,
        1j,
        [80, None],
        True,
        sp.Symbol("x"),
        sp.I,
        {},
        [80, [81]],
        np.array(80 + 0j),
        b"8",
    ],
)
@pytest.mark.filterwarnings("error")
def test_what_is_not_a_finite_real_number_is_refused(value):
    with pytest.raises(ct.DomainError, match="T"):
        CLEAN.evaluate(spectrum=ct.Isotropic(5), target=ct.RandomTarget(), T=value, lam=0.1, sigma=0.1)
    with pytest.raises(ct.DomainError, match="T"):
        ct.effective_ridge(ct.Isotropic(5), T=value, lam=0.1)


@pytest.mark.parametrize(
    "value", [80.0, np.float32(80), np.int64(80), sp.Integer(80), Fraction(80), Decimal(80), mpf(80), np.array(80)]
)
def test_every_kind_of_real_number_counts(value):
    want = ct.catalog["ols-replace"].error.evaluate(**OLS)
    assert ct.catalog["ols-replace"].error.evaluate(**{**OLS, "T": value}) == want


@pytest.mark.parametrize(("change", "words"), [
    ({"T": 51}, ("T >= d + 2", "51", "operator")), ({"T0": 51.5}, ("T0 >= d + 2", "51.5")), ({"n": -1}, ("n", ">= 0")),
    ({"n": 2.5}, ("integer", "2.5")), ({"sigma": -1}, ("sigma", "-1")), ({"n": [1, 2], "T": [80, 81, 82]}, ("broadcast",)),
    ({"spectrum": [1, 2]}, ("ct.Eigenvalues",)), ({"target": 3}, ("ct.Energies",)), ({"test_noise": -1}, ("test_noise",)),
    ({"test_noise": math.nan}, ("test_noise",)), ({"d": 3}, ("spectrum",)), ({"sgima": 1}, ("sigma",)),
    ({"spectrum": None}, ("spectrum",)),
])  # fmt: skip
def test_errors_name_argument_condition_value_and_remedy(change, words):
    with pytest.raises(ct.DomainError) as caught:
        ct.catalog["ols-replace"].error.evaluate(**{**OLS, **change})
    assert all(w in str(caught.value) for w in words), caught.value


def test_the_noise_of_the_test_point_adds_its_square_with_digits_too():
    plain, noisy = (ct.catalog["ols-replace"].error.evaluate(digits=30, test_noise=s, **OLS) for s in (0, 0.5))
    assert abs(noisy - plain - 0.25) < 1e-28


def test_shapes_broadcast():
    err = ct.catalog["ols-replace"].error
    assert type(err.evaluate(**OLS)) is float
    assert err.evaluate(**{**OLS, "n": np.arange(6).reshape(2, 1, 3), "T": [[80], [90]]}).shape == (2, 2, 3)
    assert err.evaluate(**{**OLS, "n": np.zeros((0, 3))}).shape == (0, 3)
    terms = err.evaluate(terms=True, test_noise=0.5, **{**OLS, "n": [1, 2]})
    assert np.allclose(sum(terms.values()), err.evaluate(**{**OLS, "n": [1, 2]}) + 0.25)


def test_predictors_pickle_and_run_in_threads():
    predict = pickle.loads(pickle.dumps(CLEAN.compile(spectrum=ct.PowerLaw(20, 1.5), target=ct.RandomTarget())))
    lams = np.logspace(-3, 1, 32)
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda lam: predict(T=30, lam=lam, sigma=0.1), lams))
    assert np.allclose(got, predict(T=30, lam=lams, sigma=0.1), rtol=1e-14)


def test_terms_are_given_when_they_are_asked_for():
    at = {"T": 30, "lam": 0.1, "sigma": 0.5}
    predict = CLEAN.compile(spectrum=ct.PowerLaw(20, 1.5), target=ct.RandomTarget())
    terms = predict(terms=True, **at)
    assert isinstance(predict(**at), float)
    assert predict(**at) == predict(terms=False, **at) == pytest.approx(sum(terms.values()))
