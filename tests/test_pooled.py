"""Test errors of pipelines by free probability: against simulation, the generation operator, limits and mutants."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import cancel
from threadpoolctl import threadpool_limits

import collapse_theory as ct
from collapse_theory.algebra.effective import EffectiveRidge
from collapse_theory.algebra.integrals import QuadraticForm, df
from collapse_theory.derive.pooled import pooled_system
from collapse_theory.derive.pooled_scalars import PipelineBias, pipeline_scalars
from collapse_theory.numerics.measure import Measure
from collapse_theory.numerics.pooled_float64 import pooled_values
from collapse_theory.symbols import T, d, eigenvalue, lam, sigma
from tests import naive
from tests.naive import agrees

SPECTRUM = np.arange(1, 101) ** -0.8
ENERGIES = np.arange(1, 101) ** -0.5 / (SPECTRUM * np.arange(1, 101) ** -0.5).sum()


SLACK = 0.02  # an allowance of the order of one over the residual degrees of freedom


@threadpool_limits.wrap(limits=1)
def simulate(pipe, trials, seed, **how):
    return naive.errors(pipe, naive.Linear(SPECTRUM, ENERGIES, **how), trials, seed)


def theory(pipe, **how):
    how = {"spectrum": ct.Eigenvalues(SPECTRUM), "target": ct.Energies(ENERGIES)} | how
    return ct.test_error(pipe, method="free-probability").evaluate(**how)


@st.composite
def pipelines(draw):
    """Up to four fits; shared samples, reused inputs, weights, mixed labels."""
    pipe = ct.Pipeline()
    samples, fits = [], []
    number = st.floats(0.1, 1.0)
    for _ in range(draw(st.integers(1, 4))):
        labellers = [ct.TRUTH, *fits]
        for _ in range(draw(st.integers(1, 2))):
            mix = draw(st.sampled_from(labellers)) * draw(number)
            source = mix + draw(st.sampled_from(labellers)) * draw(number)
            noise = draw(st.floats(0, 0.6))
            if samples and draw(st.booleans()):
                samples.append(pipe.sample(design=draw(st.sampled_from(samples)), noise=noise, source=source))
            else:
                samples.append(pipe.sample(T=draw(st.integers(80, 160)), noise=noise, source=source))
        chosen = draw(st.lists(st.sampled_from(samples), min_size=1, max_size=3, unique=True))
        if samples[-1] not in chosen:
            chosen.append(samples[-1])
        weights = [draw(st.floats(0.5, 2.0)) for _ in chosen]
        fits.append(pipe.fit(chosen, weights=weights, ridge=draw(st.floats(0.05, 0.5))))
    return pipe


@settings(max_examples=12, deadline=None, derandomize=True)
@given(pipelines(), st.integers(0, 2**32 - 1))
def test_random_pipelines(pipe, seed):
    assert agrees(simulate(pipe, 60, seed), theory(pipe), SLACK)


@pytest.mark.heavy
@settings(max_examples=150, deadline=None)
@given(pipelines(), st.integers(0, 2**32 - 1))
def test_many_random_pipelines(pipe, seed):
    assert agrees(simulate(pipe, 100, seed), theory(pipe), SLACK)


def shared(design_shared: bool):
    pipe = ct.Pipeline()
    first = pipe.sample(T=90, noise=0.4)
    m1 = pipe.fit(first, ridge=0.05)
    again = (
        pipe.sample(design=first, noise=0.4, source=m1) if design_shared else pipe.sample(T=90, noise=0.4, source=m1)
    )
    pipe.fit(again, ridge=0.05)
    return pipe


@pytest.mark.parametrize("mutant", [False, True])
def test_dependence_is_noticed(mutant):
    """Treating reused inputs as fresh ones is what the same check must reject."""
    errors = simulate(shared(design_shared=True), 100, 5)
    assert agrees(errors, theory(shared(design_shared=not mutant)), SLACK) != mutant


# ---------------------------------------------------------------------- the operator, closed forms, limits
STAGES = st.lists(
    st.tuples(st.integers(40, 300).filter(lambda t: abs(t - 100) > 8), st.sampled_from([0.0, 1e-9, 0.01, 0.3]), st.floats(0, 1)),
    min_size=1, max_size=4,
)  # fmt: skip


@settings(max_examples=25, deadline=None, derandomize=True)
@given(STAGES)
def test_chains_agree_with_the_generation_operator(stages):
    pipe, source = ct.Pipeline(), ct.TRUTH
    for rows, ridge, noise in stages:
        source = pipe.fit(pipe.sample(T=rows, noise=noise, source=source), ridge=ridge)
    how = {"spectrum": ct.Eigenvalues(SPECTRUM), "target": ct.Energies(ENERGIES)}
    want = ct.test_error(pipe, method="operator").evaluate(terms=True, **how)
    got = ct.test_error(pipe, method="free-probability").evaluate(terms=True, **how)
    for name in want:
        np.testing.assert_allclose(got[name], want[name], rtol=1e-8, atol=1e-14)


def test_the_clean_closed_form_comes_out():
    pipe = ct.workflows.replace(0, downstream=ct.Stage(T, sigma, lam))
    bias, variance = (x.doit() for x in pipeline_scalars(pooled_system(pipe)))
    kappa, s = EffectiveRidge(T, lam), eigenvalue
    assert (bias - T * kappa**2 * QuadraticForm(s / (s + kappa) ** 2) / (T - df(2, kappa))).factor() == 0
    assert (variance - sigma**2 * df(2, kappa) / (T - df(2, kappa))).factor() == 0


def test_written_out_and_numeric_paths_agree():
    pipe = ct.workflows.accumulate(2, ct.Stage(T, sigma, lam))
    opaque = ct.test_error(pipe, method="free-probability")
    explicit = ct.ErrorFormula({name: e.doit() for name, e in opaque.parts.items()}, "proportional")
    how = {"spectrum": ct.PowerLaw(60, beta=1.0), "target": ct.RandomTarget(), "T": 40, "sigma": 0.5, "lam": 0.1}
    np.testing.assert_allclose(opaque.evaluate(**how), explicit.evaluate(**how), rtol=1e-10)


def test_equal_fits_share_one_effective_ridge():
    pipe = ct.workflows.label_mix(1, ct.Stage(T, sigma, lam), weight=ct.symbols.w)
    assert pipeline_scalars(pooled_system(pipe))[0].ridges == (EffectiveRidge(T, lam),)


def test_constant_unnormalised_ridge_telescopes():
    """E_n = B(T, lam) + sum_i V(iT, lam/i)/i: the bias stays that of the first fit."""
    spectrum, target, ridge, noise, rows = ct.Eigenvalues(SPECTRUM), ct.Energies(ENERGIES), 0.2, 0.5, 70
    pipe = ct.workflows.accumulate(4, ct.Stage(rows, noise, ridge), ridge_scaling="constant")
    got = ct.test_error(pipe, method="free-probability").evaluate(spectrum=spectrum, target=target, terms=True)

    def clean(i):
        one = ct.workflows.replace(0, downstream=ct.Stage(i * rows, noise, ridge / i))
        return ct.test_error(one).evaluate(spectrum=spectrum, target=target, terms=True)

    np.testing.assert_allclose(got["bias"], clean(1)["bias"], rtol=1e-10)
    np.testing.assert_allclose(got["variance"], sum(clean(i)["variance"] / i for i in range(1, 5)), rtol=1e-10)


@pytest.mark.parametrize("rows", [60, 160])
def test_the_ridgeless_limit(rows):
    """At ridge zero the value is the limit of small ridges, below and above the threshold."""

    def value(ridge):
        return theory(
            ct.workflows.keep_real(2, real=ct.Stage(rows, 0.3, ridge), synthetic=ct.Stage(rows + 7, 0.3, ridge))
        )

    np.testing.assert_allclose(value(0), value(1e-11), rtol=1e-7)


def test_a_threshold_without_ridge_is_refused():
    with pytest.raises(ct.DomainError, match="rank"):
        theory(ct.workflows.keep_real(1, real=ct.Stage(100, 0.3), synthetic=ct.Stage(70, 0.3)))


def test_bias_is_never_negative_nor_noise():
    """Tiny ridges: errors, not coefficients, are propagated, so nothing cancels."""
    pipe = ct.workflows.keep_real(2, real=ct.Stage(150, 0.0, 1e-9), synthetic=ct.Stage(140, 0.0, 1e-9))
    coarse = ct.workflows.keep_real(2, real=ct.Stage(150, 0.0, 1e-8), synthetic=ct.Stage(140, 0.0, 1e-8))
    assert theory(pipe) > 0
    np.testing.assert_allclose(theory(coarse) / theory(pipe), 100, rtol=1e-5)  # quadratic in the ridge


# ---------------------------------------------------------------------- several covariances
def test_covariate_shift_against_simulation():
    other, test = np.linspace(0.2, 1.5, 100), np.full(100, 0.7)
    pipe = ct.Pipeline()
    a, b = pipe.sample(T=90, noise=0.3), pipe.sample(T=110, noise=0.5, covariance="Sigma1")
    m1 = pipe.fit([a, b], weights=[1.3, 0.6], ridge=0.1)
    c = pipe.sample(design=b, noise=0.2, source=0.5 * ct.TRUTH + 0.5 * m1)
    pipe.fit([a, c], ridge=0.2)
    measure = Measure({"Sigma": SPECTRUM, "Sigma1": other, "Target": test}, np.ones(100), ENERGIES)
    got = pooled_values(pooled_system(pipe, test_covariance="Target"), measure, {})
    assert got.error < 1e-12
    errors = simulate(pipe, 100, 11, spectra={"Sigma1": other}, test=test)
    assert agrees(errors, got.bias + got.variance, SLACK)
    assert not agrees(errors, theory(ct.workflows.replace(0, downstream=ct.Stage(200, 0.3, 0.1))), SLACK)


# ---------------------------------------------------------------------- objects
def test_scalars_are_ordinary_expressions():
    bias, _ = pipeline_scalars(pooled_system(ct.workflows.accumulate(2, ct.Stage(T, sigma, lam))))
    assert bias.free_symbols == {T, sigma, lam}
    assert bias.func(*bias.args) == bias
    assert bias.xreplace({lam: lam * 2}) == PipelineBias(*bias.xreplace({lam: lam * 2}).args)
    assert d not in bias.free_symbols
    assert cancel(bias / bias) == 1


def test_print_and_implicit_equations_do_not_grow_with_the_closed_form():
    error = ct.test_error(ct.workflows.accumulate(6, ct.Stage(T, sigma, lam)), method="free-probability")
    assert len(error.implicit) == 6
    assert len(error.latex()) < 3000
    assert error.method == "free-probability"
    assert error.regime == "proportional"


def test_weighted_fits_have_one_equation_of_their_own():
    pipe = ct.Pipeline()
    pipe.fit([pipe.sample(T=90, noise=0.3), pipe.sample(T=70, noise=0.1)], weights=[1.5, 0.5], ridge=0.1)
    error = ct.test_error(pipe, method="free-probability")
    assert [str(eq.lhs) for eq in error.implicit] == ["tau_1"]
    assert agrees(simulate(pipe, 60, 2), theory(pipe), SLACK)


def test_values_broadcast_and_predictors_pickle():
    error = ct.test_error(ct.workflows.keep_real(1, ct.Stage(T, sigma, lam), ct.Stage(T, sigma, lam)))
    predict = pickle.loads(pickle.dumps(error.compile(spectrum=ct.PowerLaw(50, beta=1), target=ct.RandomTarget())))
    ridges = np.array([[0.01], [0.1], [1.0]])
    got = predict(T=[30, 80], sigma=0.5, lam=ridges)
    assert got.shape == (3, 2)
    np.testing.assert_allclose(got[1, 0], predict(T=30, sigma=0.5, lam=0.1), rtol=1e-14)
    np.testing.assert_allclose(float(predict.digits(20, T=30, sigma=0.5, lam=0.1)), got[1, 0], rtol=1e-13)


def test_samples_of_another_kind_are_refused():
    pipe = ct.Pipeline()
    m1 = pipe.fit(pipe.sample(T=10))
    pipe.fit(pipe.sample(T=10, source=ct.one_of(ct.TRUTH, m1)))
    with pytest.raises(ct.PipelineError, match="linear combinations"):
        ct.test_error(pipe, method="free-probability")
