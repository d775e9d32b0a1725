"""Combinations of fits as tested models: ensembles, bagging, extrapolation, and what cannot be combined."""

from dataclasses import replace

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf

import collapse_theory as ct
from collapse_theory.describe.recognise import chain, own_inputs
from tests import naive
from tests import reference as ref
from tests.two_sizes import ENERGY, GRID, LARGE, SMALL, SPREAD, D, S


def independent(count, T=9, sigma=0.5, ridge=0.1):
    pipe = ct.Pipeline()
    return pipe, [pipe.fit(pipe.sample(T=T, noise=sigma), ridge=ridge) for _ in range(count)]


def mean(fits):
    return sum((sp.Rational(1, len(fits)) * f for f in fits[1:]), sp.Rational(1, len(fits)) * fits[0])


@given(st.integers(2, 5), st.integers(3, 40), st.floats(1e-3, 2), st.floats(0, 1))
@settings(max_examples=6)
def test_exchangeable_fits_average_what_differs_between_them(K, T, ridge, sigma):
    """The mean of K has E_inf + (E_1 - E_inf)/K, with E_inf the error of the mean fit."""
    pipe, fits = independent(K, T, sigma, ridge)
    s, w2 = ref.numbers(S), ref.numbers(ENERGY)
    k = ref.kappa(s, T, ridge)
    floor = mp.fsum(w * e * (k / (e + k)) ** 2 for w, e in zip(w2, s, strict=True))
    want = floor + (sum(ref.chain(s, w2, [(T, mpf(ridge), mpf(sigma))])) - floor) / K
    err = ct.test_error(pipe, model=mean(fits))
    assert ref.relative(err.evaluate(digits=30, **SMALL), want) < 1e-28
    assert ref.relative(err.evaluate(**SMALL), want) < 1e-11


def random_pipeline(rng):
    """Return a pipeline of three fits that may share rows, weigh them, and label them by each other."""
    pipe, c = ct.Pipeline(), rng.uniform(0.3, 0.9, 6).round(3)
    real = pipe.sample(T=int(rng.integers(5, 30)), noise=c[0])
    m1 = pipe.fit(real, ridge=c[1])
    second = pipe.sample(T=int(rng.integers(5, 30)), noise=c[2], source=m1) if rng.uniform() < 0.5 else pipe.sample(
        design=real, noise=c[2], source=(1 + c[3]) * real.labels - c[3] * m1
    )  # fmt: skip
    m2 = pipe.fit([real, second], weights=[c[4], 1.0], ridge=0.2)
    m3 = pipe.fit(pipe.sample(T=20, noise=0.3, source=0.5 * m1 + 0.5 * m2), ridge=c[5])
    return pipe, (m1, m2, m3)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=4)
def test_the_error_is_a_quadratic_form_in_the_coefficients(seed):
    """Polarisation: errors of the fits and their distances determine the error of every combination."""
    rng = np.random.default_rng(seed)
    pipe, fits = random_pipeline(rng)
    a = rng.uniform(-1.5, 1.5, 3).round(3)
    gram = np.zeros((3, 3))
    for i, f in enumerate(fits):
        gram[i, i] = ct.test_error(pipe, model=f, method="free-probability").evaluate(**SMALL)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        apart = ct.distance(pipe, fits[i], fits[j]).evaluate(**SMALL)
        gram[i, j] = gram[j, i] = (gram[i, i] + gram[j, j] - apart) / 2
    combined = sum((float(c) * f for c, f in zip(a, fits, strict=True)), float(1 - a.sum()) * ct.TRUTH)
    got = ct.test_error(pipe, model=combined).evaluate(**SMALL)
    assert got == pytest.approx(a @ gram @ a, rel=1e-9)


def test_the_truth_and_shrunken_models_may_be_combined():
    pipe, (m,) = independent(1)
    whole = ct.test_error(pipe, method="free-probability").evaluate(**SMALL)
    assert ct.test_error(pipe, model=0.5 * m + 0.5 * ct.TRUTH).evaluate(**SMALL) == pytest.approx(whole / 4, rel=1e-12)
    # c m - w0 = c (m - w0) - (1-c) w0, and the mean of m is Sigma/(Sigma + kappa) w0
    s, w2, c = ref.numbers(S), ref.numbers(ENERGY), mpf(0.75)
    k = ref.kappa(s, 9, 0.1)
    energy = mp.fsum(w * e for w, e in zip(w2, s, strict=True))
    along = mp.fsum(w * e * e / (e + k) for w, e in zip(w2, s, strict=True))
    want = c**2 * (sum(ref.chain(s, w2, [(9, mpf(0.1), mpf(0.5))])) - energy + 2 * along) - 2 * c * along + energy
    got = ct.test_error(pipe, model=0.75 * m)
    assert ref.relative(got.evaluate(digits=30, **SMALL), want) < 1e-28
    assert ct.test_error(pipe, model=1 * m) == ct.test_error(pipe, model=m)


def test_least_squares_average_to_the_proportional_error():
    pipe, fits = independent(3, T=40, ridge=0)
    err = ct.test_error(pipe, model=mean(fits))
    assert err.regime == "proportional"
    assert err.evaluate(**SMALL) == pytest.approx(0.25 * D / (40 - D) / 3, rel=1e-12)


def generations():
    pipe = ct.Pipeline()
    m1 = pipe.fit(pipe.sample(T=80, noise=0.6), ridge=0.1)
    m2 = pipe.fit(pipe.sample(T=60, noise=0.6, source=m1), ridge=0.1)
    return pipe, 1.6 * m1 - 0.6 * m2


def teachers():
    pipe, fits = independent(3, T=60, sigma=0.7)
    pipe.fit(pipe.sample(T=100, noise=0.3, source=mean(fits)), ridge=0.1)
    return pipe, pipe.fits[-1]


@pytest.mark.parametrize("build", [generations, teachers])
def test_runs_by_the_definition_agree_and_reject_a_slightly_wrong_formula(build):
    pipe, model = build()
    sample = naive.errors(pipe, naive.Linear(GRID, SPREAD), 2000, 5, model=model)
    value = ct.test_error(pipe, model=model).evaluate(**LARGE)
    assert naive.agrees(sample, value, 0.012), sample.mean() / value
    assert not naive.agrees(sample, 1.06 * value, 0.012)
    assert not naive.agrees(sample, 0.94 * value, 0.012)


def test_validates_and_refuses_a_wrong_formula():
    pipe, model = generations()
    err = ct.test_error(pipe, model=model)
    about = {**LARGE, "trials": 400, "seed": 1}
    assert ct.validate(err, **about).passed
    wrong = replace(err, parts={k: sp.Rational(6, 5) * e for k, e in err.parts.items()})
    assert not ct.validate(wrong, **about).passed


def test_digits_and_slopes_of_symbolic_coefficients():
    pipe = ct.Pipeline()
    lam, w = ct.symbols.lam, ct.symbols.w
    m1 = pipe.fit(pipe.sample(T=20, noise=0.5), ridge=lam)
    m2 = pipe.fit(pipe.sample(T=9, noise=0.5, source=m1), ridge=lam)
    err = ct.test_error(pipe, model=(1 + w) * m1 - w * m2)
    at = {"lam": 0.1, "w": 0.4}
    assert ref.relative(err.evaluate(**SMALL, **at), err.evaluate(digits=30, **SMALL, **at)) < 1e-11
    for x in at:
        h = mpf(10) ** -15
        up, down = (err.evaluate(digits=50, **SMALL, **{**at, x: mpf(at[x]) + e}) for e in (h, -h))
        assert err.diff(x).evaluate(**SMALL, **at) == pytest.approx(float((up - down) / (2 * h)), rel=1e-8)


# ---------------------------------------------------------------- bad input
def test_what_cannot_be_combined_is_named():
    pipe, (a, b) = independent(2)
    foreign = independent(1)[1][0]
    real = pipe.samples[0]
    for model, words in (
        (0.5 * a + 0.5 * foreign, "pipeline"),
        (0.5 * a + 0.5 * real.labels, "labels"),
        (0.5 * a + 0.5 * pipe.truth("w1"), "truths"),
        (1 * ct.TRUTH, "at least one fit"),
    ):
        with pytest.raises(ct.PipelineError, match=words):
            ct.test_error(pipe, model=model)
        with pytest.raises(ct.PipelineError, match=words):
            ct.simulate(pipe, model=model, trials=2, **SMALL)
    for method in ("exact", "operator"):
        with pytest.raises(ct.PipelineError, match="covers the test error of one"):
            ct.test_error(pipe, model=0.5 * a + 0.5 * b, method=method)


@pytest.mark.parametrize("family", [ct.Regular(), ct.Gaussian(), ct.Categorical([0.5, 0.5])])
def test_other_families_test_one_fit(family):
    pipe = ct.Pipeline()
    fits = [pipe.fit(pipe.sample(T=9)) for _ in range(2)]
    combined = 0.5 * fits[0] + 0.5 * fits[1]
    with pytest.raises(ct.CollapseTheoryError, match=r"needs a Fit"):
        ct.test_error(pipe, model=combined, family=family)
    with pytest.raises(ct.CollapseTheoryError, match=r"needs a Fit"):
        ct.simulate(pipe, model=combined, family=family, trials=2)


def test_recognisers_need_a_fit_behind_the_model():
    """A combination is never taken for the chain that one of its fits is."""
    pipe, model = generations()
    for recognise in (chain, own_inputs):
        assert recognise(pipe, pipe.fits[-1]) is not None
        assert recognise(pipe, model) is None
    err = ct.test_error(pipe, model=model)
    assert err.method == "free-probability"
    for uncorrected in (err, ct.gcv(pipe), ct.training_error(pipe), ct.catalog["gcv-synthetic"].error):
        with pytest.raises(ct.DomainError, match="correction"):
            uncorrected.corrected()
