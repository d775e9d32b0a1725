"""Pipelines that Hypothesis draws: theory against a naive simulation of the same pipeline, and a formula 5 % off is rejected.

Shared samples, reused inputs, weights, label mixes and own covariances for regression; mixtures of labellers, averaged labellers,
subsamples and reuse for the families of densities. A few examples run always, a hundred of each in the heavy suite.
"""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import collapse_theory as ct
from tests import naive

few = settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
many = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))

# ---------------------------------------------------------------- linear regression
S = np.linspace(0.4, 1.6, 30)
OTHER = np.linspace(2.0, 0.5, 30)
ENERGY = np.linspace(1.6, 0.4, 30) / 30
MEASURE = {"spectrum": {"Sigma": ct.Eigenvalues(S), "Sigma2": ct.Eigenvalues(OTHER)}, "target": ct.Energies(ENERGY)}


@st.composite
def regressions(draw):
    """Up to three fits on one to three samples each; every fit has a ridge, so that a few hundred rows are many."""
    pipe, samples, fits = ct.Pipeline(), [], []
    for _ in range(draw(st.integers(1, 3))):
        for _ in range(draw(st.integers(1, 2))):
            labellers = [ct.TRUTH, *fits]
            share = draw(st.sampled_from([0.3, 0.5, 0.8, 1]))
            source = share * draw(st.sampled_from(labellers)) + (1 - share) * draw(st.sampled_from(labellers))
            noise = draw(st.sampled_from([0, 0.4, 0.8]))
            if samples and draw(st.integers(0, 2)) == 0:
                samples.append(pipe.sample(design=draw(st.sampled_from(samples)), noise=noise, source=source))
            else:
                covariance = draw(st.sampled_from([None, None, "Sigma2"]))
                rows = draw(st.sampled_from([120, 180, 240]))
                samples.append(pipe.sample(T=rows, noise=noise, source=source, covariance=covariance))
        chosen = draw(st.lists(st.sampled_from(samples), min_size=0, max_size=2, unique=True))
        chosen = list(dict.fromkeys([samples[-1], *chosen]))
        weights = [draw(st.sampled_from([0.5, 1.0, 2.0])) for _ in chosen]
        fits.append(pipe.fit(chosen, weights=weights, ridge=draw(st.sampled_from([0.1, 0.3, 1.0]))))
    return pipe


def check_regression(pipe, runs=1500):
    value = ct.test_error(pipe).evaluate(**MEASURE)
    sample = naive.errors(pipe, naive.Linear(S, ENERGY, {"Sigma2": OTHER}), runs, seed=3)
    spread = sample.std() / sample.mean() / 0.01  # the mutant control needs a standard error of one per cent
    if spread**2 > runs:
        sample = naive.errors(pipe, naive.Linear(S, ENERGY, {"Sigma2": OTHER}), int(spread**2), seed=3)
    verdict(sample, value, 0.004 + 0.006 * len(pipe.ancestors(pipe.fits[-1])))


def verdict(sample, value, allowance=0.0):
    """Agreement, and the same check rejects 5 % more than the allowance leaves: exact theory is held to 5 % itself."""
    assert naive.agrees(sample, value, allowance), (
        sample.mean() / value - 1,
        sample.std() / len(sample) ** 0.5 / value,
    )
    assert not naive.agrees(sample, (1.05 + allowance) * value, allowance)
    assert not naive.agrees(sample, (0.95 - allowance) * value, allowance)


@few
@given(regressions())
def test_regression(pipe):
    check_regression(pipe)


@pytest.mark.heavy
@many
@given(regressions())
def test_many_regressions(pipe):
    check_regression(pipe)


# ---------------------------------------------------------------- densities
P = np.linspace(1, 2, 30) / 45


@st.composite
def density_pipelines(draw, rows, averages=True):
    """Up to four fits; labellers mixed row by row or averaged, samples reused, weighted and subsampled."""
    pipe, fits = ct.Pipeline(), []
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["one", "one_of", "average", "subsample"]))
        T = draw(st.sampled_from(rows))
        labellers = [ct.TRUTH, *fits]
        if kind == "one_of" and fits:
            pipe.sample(
                T=T, source=ct.one_of(*[draw(st.sampled_from(labellers)) for _ in range(draw(st.integers(2, 3)))])
            )
        elif kind == "average" and fits and averages:
            share = draw(st.sampled_from([0.25, 0.5]))
            pipe.sample(T=T, source=share * ct.TRUTH + (1 - share) * draw(st.sampled_from(fits)))
        else:
            pipe.sample(T=T, source=draw(st.sampled_from(labellers)))
        if kind == "subsample" and len(pipe.samples) > 1:
            pool = [s for s in pipe.samples[-2:] if not s.pool]
            total = int(sum(s.T for s in pool))
            pipe.subsample(pool, T=draw(st.sampled_from([total, total // 2, 3 * total // 4])))
        used = draw(st.lists(st.sampled_from(pipe.samples), min_size=0, max_size=2, unique=True))
        used = list(dict.fromkeys([pipe.samples[-1], *used]))
        fits.append(pipe.fit(used, weights=[draw(st.sampled_from([0.5, 1.0, 2.0])) for _ in used]))
    return pipe


def check_tokens(pipe):
    family = ct.Categorical(P)
    value = ct.test_error(pipe, family=family).evaluate() / (1 - (P**2).sum())
    verdict(naive.errors(pipe, naive.Tokens(P), 4000, seed=4), value)
    assert family.diversity(pipe) == pytest.approx((1 - value) * (1 - (P**2).sum()), rel=1e-12)


def check_gaussians(pipe):
    family = ct.Gaussian()
    value = ct.test_error(pipe, family=family).evaluate()
    verdict(naive.errors(pipe, naive.Gaussians(10), 8000, seed=5, chunk=1000), value)
    spread = naive.errors(pipe, naive.Spread(10), 2000, seed=6, chunk=1000)
    verdict(spread, family.covariance_factor(pipe))


def check_regular(pipe):
    value = ct.test_error(pipe, family=ct.Regular()).evaluate()
    unit = float(pipe.samples[0].T)
    verdict(naive.errors(pipe, naive.Locations(20, unit), 2500, seed=7), value, 0.012)


TOKENS, GAUSSIANS = density_pipelines(rows=[6, 10, 15]), density_pipelines(rows=[5, 8, 12])
REGULAR = density_pipelines(rows=[100, 150, 200])


@few
@given(TOKENS)
def test_tokens(pipe):
    check_tokens(pipe)


@few
@given(GAUSSIANS)
def test_gaussians(pipe):
    check_gaussians(pipe)


@few
@given(REGULAR)
def test_regular_models(pipe):
    check_regular(pipe)


@pytest.mark.heavy
@many
@given(TOKENS)
def test_many_tokens(pipe):
    check_tokens(pipe)


@pytest.mark.heavy
@many
@given(GAUSSIANS)
def test_many_gaussians(pipe):
    check_gaussians(pipe)


@pytest.mark.heavy
@many
@given(REGULAR)
def test_many_regular_models(pipe):
    check_regular(pipe)


# ---------------------------------------------------------------- one mistake at a time, by hand
def pooled_twice(ridge_divided=False, swapped=False):
    """A weighted fit on two covariances with two labellers: what each mistake would change."""
    pipe = ct.Pipeline()
    a = pipe.sample(T=180, noise=0.3, covariance="Sigma2" if swapped else None)
    b = pipe.sample(T=180, noise=0.8, source=0.4 * ct.TRUTH, covariance=None if swapped else "Sigma2")
    scale = 1.0 if ridge_divided else 3.0
    pipe.fit([a, b], weights=[3 / 3 * scale, 0.5 / 3 * scale], ridge=0.9)
    return pipe


def mistaken(pipe, other):
    """Return whether the runs of one pipeline reject the theory of the other, and accept its own."""
    sample = naive.errors(pipe, naive.Linear(S, ENERGY, {"Sigma2": OTHER}), 1500, seed=8)
    own, wrong = (ct.test_error(p).evaluate(**MEASURE) for p in (pipe, other))
    return naive.agrees(sample, own, 0.01) and not naive.agrees(sample, wrong, 0.01)


def test_the_check_sees_a_ridge_divided_by_the_row_weight_and_exchanged_covariances():
    assert mistaken(pooled_twice(), pooled_twice(ridge_divided=True))
    assert mistaken(pooled_twice(), pooled_twice(swapped=True))


def test_the_target_pairs_with_sigma_whatever_the_order_of_the_family():
    """Energies belong to the eigenvectors, the test covariance to its name: listing the family backwards changes nothing."""
    pipe = pooled_twice()
    backwards = dict(reversed(MEASURE["spectrum"].items()))
    err = ct.test_error(pipe)
    value = err.evaluate(**MEASURE)
    assert err.evaluate(spectrum=backwards, target=MEASURE["target"]) == pytest.approx(value, rel=1e-12)
    exchanged = {"Sigma": MEASURE["spectrum"]["Sigma2"], "Sigma2": MEASURE["spectrum"]["Sigma"]}
    assert err.evaluate(spectrum=exchanged, target=MEASURE["target"]) != pytest.approx(value, rel=1e-2)
    sim = ct.simulate(pipe, spectrum=backwards, target=MEASURE["target"], trials=400, seed=1)
    assert abs(sim.mean - value) < 4 * sim.sem + 0.01 * value
    shifted = ct.test_error(pipe, test_covariance="Sigma2")
    sample = naive.errors(pipe, naive.Linear(S, ENERGY, {"Sigma2": OTHER}, test=OTHER), 1500, seed=9)
    verdict(sample, shifted.evaluate(**MEASURE), 0.01)


def two_labellers(source):
    pipe = ct.Pipeline()
    m1, m2 = pipe.fit(pipe.sample(T=6)), pipe.fit(pipe.sample(T=6))
    pipe.fit(pipe.sample(T=8, source=source(m1, m2)))
    return pipe


@pytest.mark.parametrize("family", [naive.Tokens(P), naive.Gaussians(10)])
def test_a_mixture_of_labellers_is_not_their_average(family):
    """For tokens the two are one; a Gaussian with averaged parameters is narrower than the mixture, in theory as in the runs."""
    mixed, averaged = two_labellers(ct.one_of), two_labellers(lambda a, b: 0.5 * a + 0.5 * b)
    of = ct.Gaussian() if isinstance(family, naive.Gaussians) else ct.Categorical(P)
    errors = [ct.test_error(p, family=of).evaluate() for p in (mixed, averaged)]
    if isinstance(family, naive.Tokens):
        assert errors[0] == pytest.approx(errors[1], rel=1e-12)
        return
    spreads = [of.covariance_factor(p) for p in (mixed, averaged)]
    assert spreads[0] > 1.05 * spreads[1]
    for pipe, spread in zip((mixed, averaged), spreads, strict=True):
        verdict(naive.errors(pipe, naive.Spread(10), 3000, seed=10, chunk=1000), spread)
        # the package's own simulator draws from the mixture too
        sim = ct.simulate(pipe, family=ct.Gaussian(10), trials=2500, seed=2)
        own = ct.test_error(pipe, family=of).evaluate()
        assert abs(sim.mean - own) < 4 * sim.sem


def test_a_subsample_repeats_no_row():
    """The whole pool drawn without replacement is the pool; with replacement the fit would be twice as noisy."""

    class Rows:
        truth, information = np.zeros(1), np.eye(1)

        def sample(self, theta, T, rng):
            return theta + rng.standard_normal((T, 1))

        def fit(self, rows, weights):
            assert len(np.unique(rows)) == len(rows)
            return np.average(rows, axis=0, weights=weights)

    pipe = ct.Pipeline()
    pool = pipe.sample(T=40)
    clean = pipe.fit(pool)
    again = pipe.fit(pipe.subsample(pool, T=40))
    half = pipe.fit(pipe.subsample(pool, T=20))
    family = ct.Regular(Rows())
    how = {"family": family, "trials": 2000, "seed": 4}
    whole = ct.simulate(pipe, model=clean, **how)
    np.testing.assert_allclose(ct.simulate(pipe, model=again, **how).errors.mean(), whole.mean, rtol=0.15)
    c = ct.covariances(pipe, family=family)
    assert [float(x) for x in np.diag(np.array(c.tolist()))] == pytest.approx([1 / 40, 1 / 40, 1 / 20], rel=0.05)
    assert abs(ct.simulate(pipe, model=half, **how).mean / 2 - whole.mean) < 0.12 * whole.mean
