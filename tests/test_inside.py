"""Training error, cross-validation and the distance of models: closed forms, digits, slopes, runs by the definition, bad input."""

from dataclasses import replace

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf

import collapse_theory as ct
from tests import naive
from tests import reference as ref
from tests.two_sizes import ENERGY, GRID, SMALL, SPREAD, D, S

OTHER = GRID[::-1] ** 2
LARGE = {
    "spectrum": {"Sigma": ct.Eigenvalues(GRID), "Sigma2": ct.Eigenvalues(OTHER)},
    "target": ct.Energies(SPREAD),
}
rows, ridges, noises = st.integers(4, 60), st.floats(1e-3, 2), st.floats(0.1, 1)


def two_generations(T0, lam0, sigma0, T, lam, sigma):
    pipe = ct.Pipeline()
    m1 = pipe.fit(pipe.sample(T=T0, noise=sigma0), ridge=lam0)
    m2 = pipe.fit(pipe.sample(T=T, noise=sigma, source=m1), ridge=lam)
    return pipe, m1, m2


# ---------------------------------------------------------------- closed forms
@given(rows, ridges, noises, rows, ridges, noises)
@settings(max_examples=4)
def test_a_fit_on_labels_of_a_model_sees_its_distance_to_that_model(T0, lam0, sigma0, T, lam, sigma):
    """What the brief calls D, in fifty digits: training error (lam/kappa)^2 D, cross-validation D, distance D - sigma^2."""
    pipe, m1, m2 = two_generations(T0, lam0, sigma0, T, lam, sigma)
    s, w2, T, lam, sigma = ref.numbers(S), ref.numbers(ENERGY), mpf(T), mpf(lam), mpf(sigma)
    k, k0 = ref.kappa(s, T, lam), ref.kappa(s, T0, lam0)
    left = [k * k * e / (e + k) ** 2 for e in s]
    t = mp.fsum(x * e / (e + k0) ** 2 for x, e in zip(left, s, strict=True))
    t /= T0 - mp.fsum((e / (e + k0)) ** 2 for e in s)
    seen = mp.fsum(
        w * ((e / (e + k0)) ** 2 * x + k0**2 * t * e / (e + k0) ** 2) for w, e, x in zip(w2, s, left, strict=True)
    )
    D2 = (seen + mpf(sigma0) ** 2 * t + sigma**2) / (1 - mp.fsum((e / (e + k)) ** 2 for e in s) / T)
    for err, want in (
        (ct.training_error(pipe, m2), (lam / k) ** 2 * D2),
        (ct.gcv(pipe, m2), D2),
        (ct.distance(pipe, m1, m2), D2 - sigma**2),
    ):
        assert ref.relative(err.evaluate(digits=30, **SMALL), want) < 1e-28
        assert ref.relative(err.evaluate(**SMALL), want) < 1e-11
        assert ref.relative(err.evaluate(**SMALL), 1.0001 * want) > 1e-5


@pytest.mark.parametrize("n", [1, 2, 4])
def test_least_squares_that_accumulate(n):
    """The residuals telescope: the mean of their sum of squares is sigma^2 (N - d sum_i T_i/N_i)."""
    T, sigma = 30, 0.7
    pipe = ct.workflows.accumulate(n, ct.Stage(T=T, noise=sigma))
    N = n * T
    left = sigma**2 * (1 - D * sum(1 / i for i in range(1, n + 1)) / N)
    assert ct.training_error(pipe).evaluate(**SMALL) == pytest.approx(left, rel=1e-12)
    assert ct.gcv(pipe).evaluate(**SMALL) == pytest.approx(left / (1 - D / N) ** 2, rel=1e-12)


def test_cross_validation_misses_the_distance_where_real_rows_are_kept():
    T, sigma = 40, 0.7
    stage = ct.Stage(T=T, noise=sigma)
    pipe = ct.workflows.keep_real(1, stage, stage)
    phi = D / (2 * T)
    m1, m2 = pipe.fits
    to_truth = ct.test_error(pipe, method="free-probability").evaluate(**SMALL)
    apart = (to_truth + ct.distance(pipe, m1, m2).evaluate(**SMALL)) / 2 + sigma**2
    assert apart == pytest.approx(sigma**2 * (1 + phi / (1 - 2 * phi) + phi / (2 * (1 - phi))), rel=1e-12)
    assert ct.gcv(pipe).evaluate(**SMALL) == pytest.approx(sigma**2 * (1 - 1.5 * phi) / (1 - phi) ** 2, rel=1e-12)


def test_two_ridges_on_one_design_are_apart_by_the_two_resolvent_form():
    pipe, T, sigma = ct.Pipeline(), 9, 0.4
    real = pipe.sample(T=T, noise=sigma)
    a, b = pipe.fit(real, ridge=0.3), pipe.fit(real, ridge=0.02)
    s, w2 = ref.numbers(S), ref.numbers(ENERGY)

    def product(l1, l2):
        k1, k2 = ref.kappa(s, T, l1), ref.kappa(s, T, l2)
        M = mp.fsum(e * e / (e + k1) / (e + k2) for e in s)
        seen = mp.fsum(w * k1 * k2 * e / (e + k1) / (e + k2) for w, e in zip(w2, s, strict=True))
        return (T * seen + mpf(sigma) ** 2 * M) / (T - M)

    want = product(0.3, 0.3) + product(0.02, 0.02) - 2 * product(0.3, 0.02)
    assert ref.relative(ct.distance(pipe, a, b).evaluate(digits=30, **SMALL), want) < 1e-28
    assert ref.relative(ct.distance(pipe, a, b).evaluate(**SMALL), want) < 1e-10


@given(st.integers(4, 10), noises, st.booleans())
@settings(max_examples=8)
def test_without_a_ridge_an_interpolating_fit_has_the_limit_of_a_small_one(T, sigma, kept):
    def pipeline(ridge):
        pipe = ct.Pipeline()
        real = pipe.sample(T=30, noise=sigma)
        m1 = pipe.fit(real, ridge=0.1)
        fake = pipe.sample(T=T, noise=sigma, source=m1)
        few = pipe.sample(T=2, noise=0.5)
        pipe.fit([few, fake] if kept else fake, ridge=ridge)
        return pipe

    if T + 2 * kept == D:  # there a fit without a ridge diverges
        return
    at = ct.gcv(pipeline(0)).evaluate(**SMALL)
    near = ct.gcv(pipeline(1e-14)).evaluate(digits=40, **SMALL)
    assert ref.relative(at, near) < 1e-9
    if T + 2 * kept < D:
        assert ct.training_error(pipeline(0)).evaluate(**SMALL) == 0


# ---------------------------------------------------------------- any pipeline
def pipelines(ridge=0.1):
    """Yield a name and a pipeline: shared inputs, row weights, several samples on one design, a covariance of its own."""
    pipe = ct.Pipeline()
    real = pipe.sample(T=60, noise=0.6)
    m1 = pipe.fit(real, ridge=ridge)
    pipe.fit([real, pipe.sample(T=40, noise=0.3, source=m1)], weights=[1.5, 0.5], ridge=ridge)
    yield "kept and weighted", pipe

    pipe = ct.Pipeline()
    real = pipe.sample(T=60, noise=0.6)
    m1 = pipe.fit(real, ridge=ridge)
    again = pipe.sample(design=real, noise=0.5, source=0.4 * ct.TRUTH + 0.5 * m1)
    pipe.fit([real, again], weights=[1.0, 2.0], ridge=ridge)
    yield "two samples on one design", pipe

    pipe = ct.Pipeline()
    real = pipe.sample(T=60, noise=0.6)
    m1 = pipe.fit(real, ridge=ridge)
    soft = pipe.sample(design=real, noise=0.3, source=1.7 * real.labels - 0.6 * m1)
    pipe.fit([real, soft], weights=[-0.4, 1.2], ridge=ridge)
    yield "reused labels and a negative weight", pipe

    pipe = ct.Pipeline()
    real = pipe.sample(T=60, noise=0.6)
    m1 = pipe.fit(real, ridge=ridge)
    moved = pipe.sample(T=50, noise=0.3, source=m1, covariance="Sigma2")
    pipe.fit([real, moved, pipe.sample(design=moved, noise=0.7)], ridge=ridge)
    yield "another covariance", pipe

    yield "accumulate", ct.workflows.accumulate(3, ct.Stage(T=50, noise=0.5, ridge=ridge))


PIPELINES = dict(pipelines())


HEAVY = {"another covariance", "accumulate"}
CASES = [pytest.param(what, marks=pytest.mark.heavy if what in HEAVY else ()) for what in PIPELINES]


@pytest.mark.parametrize("what", CASES)
def test_runs_by_the_definition_agree_and_reject_a_slightly_wrong_formula(what):
    pipe = PIPELINES[what]
    family = naive.Linear(GRID, SPREAD, {"Sigma2": OTHER})
    left, validated = naive.inside(pipe, family, 1500, seed=3)
    for sample, err in ((left, ct.training_error(pipe)), (validated, ct.gcv(pipe))):
        value = err.evaluate(**LARGE)
        assert naive.agrees(sample, value, 0.006), (what, sample.mean() / value)
        assert not naive.agrees(sample, 1.05 * value, 0.006)
        assert not naive.agrees(sample, 0.95 * value, 0.006)


@pytest.mark.heavy
@pytest.mark.parametrize("what", PIPELINES)
def test_runs_are_as_far_apart_as_the_distance_says(what):
    pipe = PIPELINES[what]
    first, last = pipe.fits[0], pipe.fits[-1]
    sample = naive.errors(pipe, naive.Linear(GRID, SPREAD, {"Sigma2": OTHER}), 3000, 4, model=ct.TRUTH + first - last)
    value = ct.distance(pipe, first, last).evaluate(**LARGE)
    assert naive.agrees(sample, value, 0.025), (what, sample.mean() / value)
    assert not naive.agrees(sample, 1.1 * value, 0.025)
    assert not naive.agrees(sample, 0.9 * value, 0.025)


@pytest.mark.parametrize("what", CASES)
def test_floats_digits_parts_and_slopes(what):
    pipe = next(p for name, p in pipelines(ct.symbols.lam) if name == what) if what != "accumulate" else PIPELINES[what]
    values = {} if what == "accumulate" else {"lam": 0.1}
    for err in (ct.training_error(pipe), ct.gcv(pipe)):
        for name, want in err.evaluate(digits=30, terms=True, **LARGE, **values).items():
            assert ref.relative(err.evaluate(terms=True, **LARGE, **values)[name], want) < 1e-11
        if values:
            h = mpf(10) ** -15
            up, down = (err.evaluate(digits=50, **LARGE, lam=mpf(0.1) + e) for e in (h, -h))
            assert err.diff("lam").evaluate(**LARGE, **values) == pytest.approx(float((up - down) / (2 * h)), rel=1e-8)


@pytest.mark.parametrize(
    ("what", "ask"), [("kept and weighted", ct.training_error), ("reused labels and a negative weight", ct.gcv)]
)
def test_validates_against_the_simulation_of_the_package(what, ask):
    err = ask(PIPELINES[what])
    about = {"spectrum": ct.Eigenvalues(GRID), "target": ct.Energies(SPREAD), "trials": 500, "seed": 2}
    assert ct.validate(err, **about).passed
    wrong = replace(err, parts={k: sp.Rational(6, 5) * e for k, e in err.parts.items()})
    assert not ct.validate(wrong, **about).passed


def test_simulated_without_a_ridge_where_the_fit_interpolates():
    pipe = ct.Pipeline()
    m1 = pipe.fit(pipe.sample(T=60, noise=0.5), ridge=0.1)
    pipe.fit(pipe.sample(T=20, noise=0.5, source=m1))
    about = {"spectrum": ct.Eigenvalues(GRID), "target": ct.Energies(SPREAD)}
    sim = ct.simulate(pipe, measured="cross-validation", trials=400, seed=1, **about)
    assert sim.mean == pytest.approx(ct.gcv(pipe).evaluate(**about), abs=4 * sim.sem, rel=0.01)
    assert ct.simulate(pipe, measured="training error", trials=3, **about).mean < 1e-20


@pytest.mark.parametrize("m", [30, 120])
def test_simulated_on_features_of_its_own(m):
    pipe = ct.Pipeline()
    pipe.fit(pipe.sample(T=60, noise=0.5), ridge=0.1, features=m)
    about = {"spectrum": ct.Eigenvalues(GRID), "target": ct.Energies(SPREAD)}
    sim = ct.simulate(pipe, measured="cross-validation", trials=400, seed=1, **about)
    value = ct.gcv(pipe).evaluate(**about)
    assert abs(sim.mean - value) < 4 * sim.sem + 0.02 * value
    assert abs(sim.mean - 1.15 * value) > 4 * sim.sem + 0.02 * value


def test_simulated_after_early_stopping_by_the_definition():
    """At a time at which a direction is learned by half, half a degree of freedom of each is used up."""
    d, T = 3, 500
    pipe = ct.Pipeline()
    pipe.fit(pipe.sample(T=T, noise=1.0), filter=ct.GradientFlow(time=float(np.log(2))))
    about = {"spectrum": ct.Isotropic(d), "target": ct.RandomTarget(norm2=0), "trials": 20, "seed": 1}
    for ask in (ct.training_error, ct.gcv):
        with pytest.raises(ct.PipelineError, match="filter"):
            ask(pipe)
    left = ct.simulate(pipe, measured="training error", **about)
    validated = ct.simulate(pipe, measured="cross-validation", **about)
    assert validated.mean / left.mean == pytest.approx((1 - d / 2 / T) ** -2, rel=2e-4)


# ---------------------------------------------------------------- bad input
def test_bad_input_is_named():
    pipe, m1, m2 = two_generations(20, 0.1, 0.5, 20, 0.1, 0.5)
    foreign = ct.workflows.replace(1, ct.Stage(T=9), ct.Stage(T=9)).fits[0]
    for ask in (ct.training_error, ct.gcv):
        with pytest.raises(ct.PipelineError, match="model"):
            ask(pipe, foreign)
        with pytest.raises(ct.PipelineError, match="model"):
            ask(pipe, 0.5 * m1 + 0.5 * m2)
        with pytest.raises(ct.CollapseTheoryError, match="pipeline"):
            ask("no pipeline")
        with pytest.raises(ct.DomainError, match="test_noise"):
            ask(pipe).evaluate(**SMALL, test_noise=0.5)
    with pytest.raises(ct.PipelineError, match="model"):
        ct.distance(pipe, m1, foreign)
    with pytest.raises(ct.PipelineError, match="second needs to be another fit"):
        ct.distance(pipe, m1, m1)
    about = {**SMALL, "trials": 2}
    with pytest.raises(ct.PipelineError, match="did you mean 'training error'"):
        ct.simulate(pipe, measured="training", **about)
    with pytest.raises(ct.PipelineError, match="measured"):
        ct.simulate(pipe, model=0.5 * m1 + 0.5 * m2, measured="training error", **about)
    for family in (ct.Gaussian(), ct.Categorical([0.5, 0.5])):
        chain = ct.workflows.replace(1, ct.Stage(T=9), ct.Stage(T=9))
        with pytest.raises(ct.CollapseTheoryError, match="measured"):
            ct.simulate(chain, family=family, measured="training error", trials=2)
