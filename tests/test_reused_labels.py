"""Labels of a sample as a source: self-distillation and signed mixing, closed forms, runs by the definition, bad input."""

import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf

import collapse_theory as ct
from collapse_theory.describe.recognise import (
    chain,
    increments,
    is_least_squares,
    one_design,
    one_labeller_each,
    own_inputs,
    sole_labeller,
)
from tests import naive
from tests import reference as ref
from tests.two_sizes import ENERGY, GRID, LARGE, SMALL, SPREAD, D, S


def distilled(xi, T, lam, sigma, rounds=1):
    pipe = ct.Pipeline()
    real = pipe.sample(T=T, noise=sigma)
    model = pipe.fit(real, ridge=lam)
    for _ in range(rounds):
        soft = pipe.sample(design=real, source=(1 - xi) * real.labels + xi * model)
        model = pipe.fit(soft, ridge=lam)
    return pipe


@given(st.floats(-3, 3), st.integers(4, 40), st.floats(1e-2, 2), st.floats(0.1, 1))
@settings(max_examples=5)
def test_one_distillation_is_the_quadratic_of_the_slope_along_the_ridge(xi, T, lam, sigma):
    """R + xi lam R' + xi^2 lam^2 Q as section 15 of the theory writes it, in fifty digits."""
    s, w2, x, lam, var = ref.numbers(S), ref.numbers(ENERGY), mpf(xi), mpf(lam), mpf(sigma) ** 2
    k = ref.kappa(s, T, lam)

    def form(a, b):
        return mp.fsum(e**a * w / (e + k) ** b for e, w in zip(s, w2, strict=True))

    left = 1 - mp.fsum((e / (e + k)) ** 2 for e in s) / T
    N = k**2 * form(1, 2) + var
    b1, b2 = k * form(2, 3), form(3, 4)
    e1, e2 = (mp.fsum(e**2 / (e + k) ** p for e in s) / T for p in (3, 4))
    slope = 2 * (b1 * left - N * e1) / left**3
    Q = (b2 * left**2 - 2 * b1 * e1 * left + N * e2 * left + 2 * N * e1**2) / left**5
    want = N / left - var + x * lam * slope + (x * lam) ** 2 * Q
    err = ct.test_error(distilled(sp.Rational(xi), T, float(lam), sigma))  # 1 - xi is exact then
    assert ref.relative(err.evaluate(digits=30, **SMALL), want) < 1e-26
    assert ref.relative(err.evaluate(**SMALL), want) < 1e-10
    assert Q > 0


def test_distilled_for_ever_it_is_one_fit_with_a_larger_ridge():
    """The fixed point of w = A[(1-xi) y + xi X w] is ridge regression at lam/(1-xi)."""
    T, lam, sigma, xi = 9, 0.3, 0.5, 0.4
    want = ct.catalog["ridge-clean"].error.evaluate(T=T, lam=lam / (1 - xi), sigma=sigma, **SMALL)
    apart = [ct.test_error(distilled(xi, T, lam, sigma, n)).evaluate(**SMALL) / want - 1 for n in (1, 3, 8)]
    assert abs(apart[2]) < 1e-4
    assert abs(apart[2]) < abs(apart[1]) < abs(apart[0])


def test_least_squares_learn_nothing_from_their_own_predictions():
    """Exactly, at finite size: a projection returns what it returned before, and relabelling cancels."""
    for xi in (-1.5, 0.3, 1.0):
        err = ct.test_error(distilled(sp.Rational(xi), 40, 0, 0.5))
        assert err.regime == "exact"
        assert err.evaluate(**SMALL) == pytest.approx(0.25 * D / (40 - D - 1), rel=1e-13)


def test_exact_least_squares_count_a_reused_noise_once():
    pipe = ct.Pipeline()
    real = pipe.sample(T=40, noise=0.5)
    m1 = pipe.fit(real)
    soft = pipe.sample(design=real, noise=0.3, source=1.5 * real.labels - 0.5 * ct.TRUTH)
    more = pipe.sample(design=real, noise=0.2, source=0.25 * soft.labels + 0.75 * m1)
    pipe.fit([real, more], weights=[3, 1])
    # with e the noise of real: soft 1.5 e + f, more 0.25 (1.5 e + f) + 0.75 e + g, the fit 3/4 e + 1/4 more
    e = 0.75 + 0.25 * (0.375 + 0.75)
    want = (e**2 * 0.25 + (0.25 * 0.25) ** 2 * 0.09 + 0.25**2 * 0.04) * D / (40 - D - 1)
    exact = ct.test_error(pipe)
    assert exact.regime == "exact"
    assert exact.evaluate(**SMALL) == pytest.approx(want, rel=1e-13)
    limit = ct.test_error(pipe, method="free-probability").evaluate(**SMALL)
    assert limit == pytest.approx(want * (40 - D - 1) / (40 - D), rel=1e-11)


@given(st.floats(-2, 2), st.floats(-2, 2), st.integers(5, 30))
@settings(max_examples=5)
def test_labels_are_a_source_like_their_parts(a, b, T):
    """Without noise, labels are what labelled them; and labels of labels resolve to those."""

    def pipeline(reuse):
        pipe = ct.Pipeline()
        real = pipe.sample(T=T)
        m = pipe.fit(real, ridge=0.2)
        soft = pipe.sample(design=real, source=a * (real.labels if reuse else ct.TRUTH) + b * m)
        parts = soft.labels if reuse else a * ct.TRUTH + b * m
        pipe.fit(pipe.sample(design=real, noise=0.3, source=0.5 * parts + 0.5 * ct.TRUTH), ridge=0.1)
        return ct.test_error(pipe, method="free-probability").evaluate(**SMALL)

    assert pipeline(reuse=True) == pytest.approx(pipeline(reuse=False), rel=1e-9)


def cases():
    yield "one distillation", distilled(-1.2, 60, 0.5, 0.7)
    pipe = ct.Pipeline()
    real = pipe.sample(T=60, noise=0.7)
    m = pipe.fit(real, ridge=0.2)
    soft = pipe.sample(design=real, noise=0.3, source=1.8 * real.labels - 0.8 * m)
    pipe.fit([real, soft, pipe.sample(T=30, noise=0.5, source=m)], weights=[-0.5, 1.5, 1.0], ridge=0.1)
    yield "pooled with signed weights", pipe
    pipe = ct.Pipeline()
    real = pipe.sample(T=60, noise=0.7)
    m = pipe.fit(real, ridge=0.2)
    soft = pipe.sample(design=real, noise=0.3, source=0.5 * real.labels + 0.5 * m)
    pipe.fit(pipe.sample(design=real, source=0.5 * soft.labels + 0.5 * pipe.fit(soft, ridge=0.3)), ridge=0.1)
    yield "labels of labels", pipe


CASES = dict(cases())


@pytest.mark.parametrize("what", CASES)
def test_runs_by_the_definition_agree_and_reject_a_slightly_wrong_formula(what):
    sample = naive.errors(CASES[what], naive.Linear(GRID, SPREAD), 1500, 6)
    err = ct.test_error(CASES[what])
    value = err.evaluate(**LARGE)
    assert naive.agrees(sample, value, 0.015), sample.mean() / value
    assert not naive.agrees(sample, 1.07 * value, 0.015)
    assert not naive.agrees(sample, 0.93 * value, 0.015)


def test_runs_of_the_package_reject_labels_drawn_again():
    """The mutant: fresh noise of the same size instead of the noise that the labels have."""
    again = ct.Pipeline()
    real = again.sample(T=60, noise=0.7)
    m = again.fit(real, ridge=0.5)
    again.fit(again.sample(design=real, noise=2.2 * 0.7, source=2.2 * ct.TRUTH - 1.2 * m), ridge=0.5)
    sim = ct.simulate(CASES["one distillation"], trials=300, seed=3, **LARGE)
    right, wrong = (ct.test_error(p).evaluate(**LARGE) for p in (CASES["one distillation"], again))
    assert abs(sim.mean - right) < 4 * sim.sem + 0.015 * right
    assert abs(sim.mean - wrong) > 8 * sim.sem


def test_digits_and_slopes_in_the_mixing():
    xi = sp.Symbol("c", real=True)
    err = ct.test_error(distilled(xi, 9, 0.3, 0.5, rounds=2))
    assert ref.relative(err.evaluate(c=-0.7, **SMALL), err.evaluate(c=-0.7, digits=30, **SMALL)) < 1e-11
    h = mpf(10) ** -15
    up, down = (err.evaluate(digits=50, c=mpf(-0.7) + e, **SMALL) for e in (h, -h))
    assert err.diff("c").evaluate(c=-0.7, **SMALL) == pytest.approx(float((up - down) / (2 * h)), rel=1e-8)


# ---------------------------------------------------------------- structure and bad input
def test_no_recogniser_takes_reused_labels_for_a_model():
    for pipe in (*CASES.values(), distilled(0.5, 40, 0, 0.5)):
        last = pipe.fits[-1]
        assert chain(pipe, last) is None
        assert own_inputs(pipe, last) is None
        assert one_labeller_each(pipe, last) is None
        assert increments(pipe, last) is None
        with pytest.raises(ct.PipelineError, match="operator"):
            ct.test_error(pipe, method="operator")
    pipe = ct.Pipeline()
    real = pipe.sample(T=20, noise=0.5)
    copy = pipe.sample(design=real, source=real.labels)
    pipe.fit(copy)
    assert sole_labeller(copy) is None
    assert is_least_squares(pipe.fits)
    assert one_design(pipe, pipe.fits[-1]) == real
    assert ct.test_error(pipe).evaluate(**SMALL) == pytest.approx(0.25 * D / (20 - D - 1), rel=1e-13)


def test_bad_input_is_named():
    pipe = ct.Pipeline()
    real, other = pipe.sample(T=20, noise=0.5), pipe.sample(T=20, noise=0.5)
    foreign = ct.Pipeline().sample(T=20, noise=0.5)
    m = pipe.fit(real, ridge=0.1)
    for how in ({"T": 20, "source": real.labels}, {"design": other, "source": 0.5 * real.labels + 0.5 * m}):
        with pytest.raises(ct.PipelineError, match="inputs"):
            pipe.sample(**how)
    with pytest.raises(ct.PipelineError, match="pipeline"):
        pipe.sample(design=real, source=foreign.labels)
    with pytest.raises(ct.PipelineError, match=r"source|labels"):
        pipe.sample(T=5, source=ct.one_of(real.labels, m))
    soft = pipe.sample(design=real, source=0.5 * real.labels + 0.5 * m)
    for weights in ([1.0, -1.0], [-2.0, 1.0], [0.5, -0.7]):
        with pytest.raises(ct.PipelineError, match="weights"):
            pipe.fit([real, soft], weights=weights, ridge=0.1)
    with pytest.raises(ct.PipelineError, match="weights"):
        pipe.fit([real, other], weights=[2.0, -0.5], ridge=0.1)
    a = sp.Symbol("a", real=True)
    pipe.fit([real, soft], weights=[a, 1], ridge=0.1)
    err = ct.test_error(pipe)
    assert err.evaluate(a=-0.5, **SMALL) > 0
    with pytest.raises(ct.DomainError, match="a"):
        err.evaluate(a=-1.5, **SMALL)


@pytest.mark.parametrize("family", [ct.Regular(), ct.Gaussian(), ct.Categorical([0.5, 0.5])])
def test_other_families_refuse_reused_labels_features_and_filters(family):
    pipe = ct.Pipeline()
    real = pipe.sample(T=9)
    m = pipe.fit(real)
    pipe.fit(pipe.sample(design=real, source=0.5 * real.labels + 0.5 * m))
    on_features, stopped = ct.Pipeline(), ct.Pipeline()
    on_features.fit(on_features.sample(T=9), features=5)
    stopped.fit(stopped.sample(T=9), filter=ct.GradientFlow(time=2.0))
    for bad, words in ((pipe, "label|design|inputs"), (on_features, "features"), (stopped, "filter")):
        with pytest.raises(ct.CollapseTheoryError, match=words):
            ct.test_error(bad, family=family)
        with pytest.raises(ct.CollapseTheoryError, match=words):
            ct.simulate(bad, family=family, trials=2)
