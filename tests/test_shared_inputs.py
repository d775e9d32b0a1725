"""Theorems on shared inputs: against published closed forms typed in here, recursions, limits and simulation."""

from __future__ import annotations

import math
import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

import collapse_theory as ct
from tests import reference as ref

D = 80
S = np.arange(1, D + 1) ** -1.0
SPECTRUM, TARGET = ct.PowerLaw(D, beta=1), ct.RandomTarget(norm2=1.0)
GOLDEN = (math.sqrt(5) - 1) / 2


shares = st.floats(0.02, 0.98)
ridges = st.floats(1e-4, 10)


@given(shares, ridges, st.integers(20, 400), st.floats(0, 2), st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_strong_collapse_is_the_published_formula(p2, lam, N, sigma, seed):
    """Dohmatob et al. 2024: zeta with u = (df2/N)/(1-df2/N)."""
    p1 = 1 - p2
    delta = np.random.default_rng(seed).uniform(0, 1, D)
    k = ref.float_kappa(S, N, lam)
    df2 = ((S / (S + k)) ** 2).sum()
    u = df2 / N / (1 - df2 / N)
    zeta = p2**2 * (1 + p1 * u) * (delta * S**3 / (S + k) ** 2).sum()
    zeta += p2 * u * (delta * S * (p1 * S + k) ** 2 / (S + k) ** 2).sum()
    got = ct.catalog["strong-collapse"].error.evaluate(
        spectrum={"Sigma": SPECTRUM, "Delta": ct.Eigenvalues(delta)},
        target=TARGET, terms=True, N=N, p1=p1, p2=p2, lam=lam, sigma=sigma,
    )  # fmt: skip
    assert got["synthetic_variance"] == pytest.approx(zeta, rel=1e-11)
    assert got["variance"] == pytest.approx(sigma**2 * u, rel=1e-11)


def test_strong_collapse_agrees_with_its_pipeline_without_an_offset_and_checks_the_shares():
    err = ct.catalog["strong-collapse"].error
    values = {"N": 100, "lam": 0.1, "sigma": 0.3}
    spectra = {"Sigma": SPECTRUM, "Delta": ct.Eigenvalues(np.full(D, 1e-300))}
    a = err.evaluate(spectrum=spectra, target=TARGET, p1=0.4, p2=0.6, **values)
    pipe = ct.catalog["strong-collapse"].pipeline(p1=0.4, p2=0.6, **values)
    assert a == pytest.approx(ct.test_error(pipe).evaluate(spectrum=SPECTRUM, target=TARGET), rel=1e-12)
    with pytest.raises(ct.DomainError, match=r"p1 \+ p2"):
        err.evaluate(spectrum=spectra, target=TARGET, p1=0.4, p2=0.5, **values)
    with pytest.raises(ct.DomainError, match="Delta"):
        err.evaluate(spectrum=SPECTRUM, target=TARGET, p1=0.4, p2=0.6, **values)


def test_a_generator_with_a_ridge_is_not_an_independent_offset():
    """Its offset depends on the truth: the pipeline's own theory differs from the closed form by cross terms."""
    pipe = ct.Pipeline()
    generator = pipe.fit(pipe.sample(T=60, noise=0.2), ridge=0.2)
    pipe.fit([pipe.sample(T=100, noise=0.3), pipe.sample(T=50, noise=0.3, source=generator)], ridge=0.05)
    check = ct.validate(ct.test_error(pipe), spectrum=SPECTRUM, target=TARGET, trials=300, seed=1)
    assert abs(check.z) < 4, str(check)
    k = ref.float_kappa(S, 60, 0.2)
    one = ct.catalog["ridge-clean"].error.evaluate(
        spectrum=SPECTRUM, target=TARGET, T=60, lam=0.2, sigma=0.2, terms=True
    )
    shape = S / (S + k) ** 2  # spread of the offset over directions; its size from the generator's own error
    delta = shape * sum(one.values()) / (shape * S).sum()
    naive = ct.catalog["strong-collapse"].error.evaluate(
        spectrum={"Sigma": SPECTRUM, "Delta": ct.Eigenvalues(delta)},
        target=TARGET,
        N=150,
        p1=2 / 3,
        p2=1 / 3,
        lam=0.05,
        sigma=0.3,
    )
    assert abs(naive - check.simulation.mean) > 4 * check.simulation.sem


@given(shares, st.floats(0, 5), st.integers(20, 300).filter(lambda T: T != D))
@settings(max_examples=20, deadline=None)
def test_label_mixing_settles(w, lam, T):
    """The n-th round, by the engine, tends to the stationary closed form like (1-w)^2n."""
    n = min(40, max(1, math.ceil(math.log(1e-9) / (2 * math.log(1 - w)))))
    if n > 12:
        return
    values = {"T": T, "lam": lam, "sigma": 0.4, "w": w}
    limit = ct.catalog["ridge-label-mix-limit"].error.evaluate(spectrum=SPECTRUM, target=TARGET, **values)
    settled = ct.catalog["ridge-label-mix"].error.evaluate(spectrum=SPECTRUM, target=TARGET, n=n, **values)
    assert settled == pytest.approx(limit, rel=1e-6)


@given(st.floats(1e-9, 1), st.floats(1e-9, 10), st.sampled_from([30, 79, 81, 200]))
@settings(max_examples=30, deadline=None)
def test_stationary_mixing_to_fifty_digits(w, lam, T):
    err = ct.catalog["ridge-label-mix-limit"].error
    values = {"T": T, "lam": lam, "sigma": 0.4, "w": w}
    exact = err.evaluate(spectrum=SPECTRUM, target=TARGET, digits=50, **values)
    assert err.evaluate(spectrum=SPECTRUM, target=TARGET, **values) == pytest.approx(float(exact), rel=1e-11)


def test_golden_ratio_and_the_range_of_the_best_weight():
    err = ct.catalog["minnorm-label-mix"].error

    def variance(w):
        return err.evaluate(spectrum=SPECTRUM, target=TARGET, T=40, sigma=0.5, w=w, terms=True)["variance"]

    best = minimize_scalar(variance, bounds=(0.05, 0.99), method="bounded", options={"xatol": 1e-11}).x
    assert best == pytest.approx(GOLDEN, abs=1e-6)
    clean = ct.catalog["ridge-clean"].error.evaluate(
        spectrum=SPECTRUM, target=TARGET, T=40, lam=0, sigma=0.5, terms=True
    )
    factor = (GOLDEN**2 + (1 - GOLDEN) ** 2) / (GOLDEN * (2 - GOLDEN))
    assert variance(GOLDEN) == pytest.approx(factor * clean["variance"], rel=1e-11)
    ridge = ct.catalog["ridge-label-mix-limit"].error
    for lam in (1e-3, 0.1, 1.0):
        grid = np.linspace(0.05, 1, 400)
        found = ridge.evaluate(spectrum=SPECTRUM, target=ct.RandomTarget(norm2=0), T=60, lam=lam, sigma=1, w=grid)
        assert 0.5 <= grid[found.argmin()] <= 1


def test_accumulate_with_a_constant_penalty_telescopes():
    """The engine knows nothing of telescoping: both derivations agree."""
    th = ct.catalog["ridge-accumulate-constant"]
    for T, lam in ((60, 0.1), (90, 0.02), (30, 0.3)):
        values = {"T": T, "lam": lam, "sigma": 0.3}
        for n in (1, 2, 4):
            pipe = th.pipeline(n=n, **values)
            engine = ct.test_error(pipe, method="free-probability").evaluate(spectrum=SPECTRUM, target=TARGET)
            assert th.error.evaluate(spectrum=SPECTRUM, target=TARGET, n=n, **values) == pytest.approx(engine, rel=1e-9)


PER_ROUND = {
    "ridge-accumulate": {"T": 90, "lam": 0.1, "sigma": 0.3},
    "ridge-accumulate-constant": {"T": 90, "lam": 0.1, "sigma": 0.3},
    "ridge-keep-real": {"T": 90, "T0": 120, "lam": 0.1, "sigma": 0.3, "sigma0": 0.2},
    "ridge-same-design": {"T": 90, "lam": 0.1, "lam0": 0.05, "sigma": 0.3, "sigma0": 0.2},
    "ridge-label-mix": {"T": 90, "lam": 0.1, "sigma": 0.3, "w": 0.6},
}


@pytest.mark.parametrize("slug", PER_ROUND)
def test_rounds_are_derived_on_demand(slug):
    err, values = ct.catalog[slug].error, PER_ROUND[slug]
    assert ct.symbols.n in err.free_symbols
    predict = pickle.loads(pickle.dumps(err.compile(spectrum=SPECTRUM, target=TARGET)))
    many = predict(n=[1, 2, 3], **values)
    one = [err.evaluate(spectrum=SPECTRUM, target=TARGET, n=k, **values) for k in (1, 2, 3)]
    np.testing.assert_array_equal(many, one)
    swept = predict(n=2, **{**values, "lam": np.array([0.1, 0.2])})
    assert swept[0] == pytest.approx(one[1], rel=1e-13)
    assert ct.catalog[slug].at(n=2).evaluate(spectrum=SPECTRUM, target=TARGET, **values) == pytest.approx(
        one[1], rel=1e-12
    )
    for bad in (-1, 1.5, math.nan):
        with pytest.raises(ct.DomainError, match="n"):
            predict(n=bad, **values)
    with pytest.raises(ct.DomainError, match="needs a value for n"):
        predict(**values)


ALWAYS = {"ridge-keep-real", "ridge-same-design"}  # the menu of theorems simulates every one
SIMULATED = (*PER_ROUND, "ridge-label-mix-limit")


@pytest.mark.parametrize("slug", [x if x in ALWAYS else pytest.param(x, marks=pytest.mark.heavy) for x in SIMULATED])
def test_against_simulation_with_a_mutant(slug):
    err = ct.catalog[slug].error
    values = PER_ROUND.get(slug, {"T": 90, "lam": 0.1, "sigma": 0.3, "w": 0.6})
    values = {**values, **({"n": 3} if slug in PER_ROUND else {})}
    spectrum = ct.PowerLaw(40, beta=1.0)
    check = ct.validate(err, spectrum=spectrum, target=TARGET, trials=500, seed=7, **values)
    assert check.passed, str(check)
    assert abs(check.relative_gap) < 0.08
    terms = err.evaluate(spectrum=spectrum, target=TARGET, terms=True, **values)
    mutant = terms["bias"] + 2 * terms["variance"]  # noise counted twice
    assert not replace(check, theory=mutant).passed


def test_covariate_shift_and_families_of_covariances():
    pipe = ct.Pipeline()
    a, b = pipe.sample(T=60, noise=0.3, covariance="Sigma1"), pipe.sample(T=80, noise=0.2)
    m = pipe.fit([a, b], ridge=0.1)
    pipe.fit([pipe.sample(T=90, noise=0.1, source=m, covariance="Sigma1"), b], ridge=0.05, weights=[1.5, 0.5])
    spectra = {
        "Sigma": ct.Eigenvalues(np.linspace(1, 2, D)),
        "Sigma1": SPECTRUM,
        "Sigma2": ct.Eigenvalues(np.linspace(0.2, 3, D)),
    }
    errors = {}
    for name in (None, "Sigma1", "Sigma2"):
        err = ct.test_error(pipe, test_covariance=name)
        simulation = ct.simulate(pipe, spectrum=spectra, target=TARGET, trials=200, seed=3, test_covariance=name)
        theory = err.evaluate(spectrum=spectra, target=TARGET)
        assert abs(simulation.mean - theory) < 4 * simulation.sem, (theory, simulation)
        errors[name] = (theory, simulation)
    # The mutant control: the error under one test covariance is rejected as the error under another.
    assert abs(errors[None][1].mean - errors["Sigma1"][0]) > 10 * errors[None][1].sem
    with pytest.raises(ct.DomainError, match="Sigma1"):
        ct.test_error(pipe).evaluate(spectrum={"Sigma": SPECTRUM}, target=TARGET)
    with pytest.raises(ct.DomainError, match="dimension"):
        ct.test_error(pipe).evaluate(spectrum={"Sigma": SPECTRUM, "Sigma1": ct.Isotropic(5)}, target=TARGET)
    with pytest.raises(ct.PipelineError, match="free-probability"):
        ct.test_error(pipe, test_covariance="Sigma1", method="operator")


def test_the_three_paths_agree_on_chains():
    pipe = ct.workflows.replace(2, ct.Stage(T=60, noise=0.3, ridge=0.1), ct.Stage(T=90, noise=0.2, ridge=0.05))
    operator = ct.test_error(pipe, method="operator").evaluate(spectrum=SPECTRUM, target=TARGET)
    engine = ct.test_error(pipe, method="free-probability").evaluate(spectrum=SPECTRUM, target=TARGET)
    assert engine == pytest.approx(operator, rel=1e-10)


# ---------------------------------------------------------------------- the ends of the weight
@pytest.mark.parametrize("ridge", [None, 0.1])
@pytest.mark.parametrize("rows", [(100, 60), (20, 25)])
@pytest.mark.parametrize("share", [0, 1])
def test_a_weight_that_reaches_zero_is_a_weight_of_zero(share, rows, ridge):
    """A symbol at the end of its range gives what the number written into the pipeline gives."""
    w = ct.symbols.w
    stages = [ct.Stage(T=rows[0], noise=0.3, ridge=ridge), ct.Stage(T=rows[1], noise=0.2, ridge=ridge)]
    how = {"spectrum": ct.PowerLaw(40, beta=1.0), "target": ct.RandomTarget(norm2=1.0)}
    symbolic = ct.test_error(ct.workflows.fresh_real(2, *stages, weight=w))
    written = ct.test_error(ct.workflows.fresh_real(2, *stages, weight=share))
    np.testing.assert_allclose(symbolic.evaluate(**how, w=share), written.evaluate(**how), rtol=1e-11)
    near = symbolic.evaluate(**how, w=abs(share - 1e-7))
    if ridge is not None or sum(rows) < 40 or rows[0] > 40:  # an exact zero hides rows that any weight interpolates
        np.testing.assert_allclose(symbolic.evaluate(**how, w=share), near, rtol=1e-5)
    with pytest.raises(ct.DomainError, match="weight 0"):
        symbolic.diff("w").evaluate(**how, w=share)


def test_mixing_without_real_labels_adds_a_term_each_round():
    theorem = ct.catalog["ols-mix-fixed-design"]
    at = {"spectrum": ct.Isotropic(40), "T": 100, "sigma": 0.3}
    clean = theorem.error.evaluate(**at, n=0, w=0.5)
    for n in (0, 1, 3, 10):
        assert theorem.error.evaluate(**at, n=n, w=0) == pytest.approx((n + 1) * clean, rel=1e-14)
        assert theorem.error.evaluate(**at, n=n, w=0, digits=20) == pytest.approx((n + 1) * clean, rel=1e-14)
    for slug in ("ridge-label-mix-limit", "minnorm-label-mix"):
        more = {"lam": 0.1} if slug.startswith("ridge") else {}
        with pytest.raises(ct.DomainError, match="w > 0"):
            ct.catalog[slug].error.evaluate(**at, **more, target=ct.RandomTarget(), w=0)
