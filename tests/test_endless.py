"""Power laws without an end and with very many directions, in theorems and pipelines."""

import math
import pickle

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mpf

import collapse_theory as ct
from collapse_theory.describe import spectra
from collapse_theory.numerics.measure import Measure
from tests import reference as ref
from tests.points import POINTS

ENDLESS = ct.PowerLaw(math.inf, beta=1.5)
AT = {"spectrum": ENDLESS, "target": ct.SourceTarget(0.4)}
CLEAN = ct.catalog["ridge-clean"].error
RIDGE = {
    slug: point.values
    for slug, point in POINTS.items()
    if slug.startswith(("ridge-", "minnorm-label", "random-features-ridge")) and slug != "ridge-replace"
}


@pytest.mark.parametrize(
    ("beta", "T", "lam"), [(1.5, 1e3, 0.0), (1.3, 40.0, 1e-2), (2.5, 1e6, 1e-9), (5.0, 300.0, 0.0)]
)
def test_effective_ridge_against_mpmath(beta, T, lam):
    got = ct.effective_ridge(ct.PowerLaw(math.inf, beta), T=T, lam=lam)
    with mpmath.workdps(30):

        def excess(x):
            return x * (1 - ref.endless_sum(mpf(beta), x, 1, 1, 0) / T) - mpf(lam)

        want = mpmath.findroot(excess, (got * (1 - mpf(10) ** -6), got * (1 + mpf(10) ** -6)), tol=1e-50)
        assert abs(got / want - 1) < 4e-15


@pytest.mark.heavy
def test_effective_ridge_takes_arrays_of_every_depth():
    T, lam = np.array([1e3, 1e12, 1e100, 1e150]), np.array([0, 1e-5, 0, 0])
    together = ct.effective_ridge(ENDLESS, T=T, lam=lam)
    for t, x, kappa in zip(T, lam, together, strict=True):
        assert ct.effective_ridge(ENDLESS, T=t, lam=x) == pytest.approx(kappa, rel=4e-15)
    lead = mpmath.pi / 1.5 / mpmath.sin(mpmath.pi / 1.5)
    assert together[3] == pytest.approx(float((lead / mpf(1e150)) ** mpf(1.5)), rel=1e-13)
    # scale and ridge together change nothing but the unit
    assert ct.effective_ridge(ct.PowerLaw(math.inf, 1.5, scale=1e-100), T=1e3, lam=0) == pytest.approx(
        1e-100 * together[0], rel=4e-15
    )
    assert ct.degrees_of_freedom(ENDLESS, 0.0) == math.inf


# ---------------------------------------------------------------------- the same theorems on listed eigenvalues
@pytest.mark.parametrize("slug", sorted(RIDGE))
def test_a_quadrature_gives_what_listed_eigenvalues_give(slug, monkeypatch):
    error, target = ct.catalog[slug].error, ct.SourceTarget(0.3)
    for beta in (1.1, 2.5):
        law = ct.PowerLaw(3000, beta)
        want = error.evaluate(spectrum=law, target=target, terms=True, **RIDGE[slug])
        with monkeypatch.context() as patched:
            patched.setattr(spectra, "_LONG", 1000)
            assert Measure.of(law, target).size < 1200
            got = error.evaluate(spectrum=law, target=target, terms=True, **RIDGE[slug])
        assert got == pytest.approx(want, rel=2e-13)


@pytest.mark.parametrize("slug", sorted(RIDGE))
def test_many_directions_tend_to_infinitely_many(slug):
    error, target = ct.catalog[slug].error, ct.SourceTarget(0.6)
    values = RIDGE[slug]
    endless, *long = (
        error.evaluate(spectrum=ct.PowerLaw(d, 3), target=target, terms=True, **values)
        for d in (math.inf, 2**53, 10**9, 10**5)
    )
    for found, gap in zip(long, (2e-13, 2e-13, 1e-6), strict=True):  # the sum of what is cut is about d^(1 - beta) / 2
        assert found == pytest.approx(endless, rel=gap)


@pytest.mark.parametrize(("T", "lam"), [(1e3, 1e-3), (1e6, 1e-6), (1e12, 1e-9), (1e12, 0.0)])
def test_float64_agrees_with_digits(T, lam):
    got = CLEAN.evaluate(T=T, lam=lam, sigma=0.3, terms=True, **AT)
    want = CLEAN.evaluate(T=T, lam=lam, sigma=0.3, terms=True, digits=20, **AT)
    assert all(ref.relative(got[name], want[name]) < 1e-14 for name in want)


def test_slow_decay_and_weak_sources_keep_their_digits():
    chain = ct.catalog["ridge-chain"].error
    at = {"spectrum": ct.PowerLaw(math.inf, 1.02), "target": ct.SourceTarget(0.05)}
    values = {"T": 1e3, "T0": 1e4, "lam": 1e-2, "lam0": 1e-3, "sigma": 0.3, "sigma0": 0.2, "n": 3}
    got, want = chain.evaluate(**at, **values, terms=True), chain.evaluate(**at, **values, terms=True, digits=16)
    assert all(ref.relative(got[name], want[name]) < 1e-13 for name in want)


@pytest.mark.heavy
def test_a_rate_far_into_the_asymptotic_regime():
    # bias ~ kappa^(2r) Gamma(2r) Gamma(2 - 2r)/beta / (1 - df2/T), variance ~ sigma^2 df2/T, kappa ~ lam
    r, beta, T, lam = mpf(2) / 5, mpf(3) / 2, mpf(10) ** 100, mpf(10) ** -60
    got = CLEAN.evaluate(T=T, lam=lam, sigma=0, terms=True, digits=30, **{**AT, "target": ct.SourceTarget(0.4)})
    r = mpf(0.4)
    with mpmath.workdps(40):
        want = lam ** (2 * r) * mpmath.gamma(2 * r) * mpmath.gamma(2 - 2 * r) / beta
        assert abs(got["bias"] / want - 1) < mpf(10) ** -25


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.floats(1.05, 6), st.floats(0.05, 3), st.floats(1, 12), st.floats(0, 1))
def test_numbers_are_finite_and_fall_with_the_rows(beta, r, log_T, ell):
    at = {"spectrum": ct.PowerLaw(math.inf, beta), "target": ct.SourceTarget(r)}
    T, lam = 10.0**log_T, 10.0 ** (-ell * log_T)
    errors = CLEAN.evaluate(T=np.array([1, 10]) * T, lam=lam, sigma=0.1, **at)
    assert np.isfinite(errors).all()
    assert errors[1] < errors[0]


# ---------------------------------------------------------------------- very many directions
def test_rows_about_as_many_as_directions():
    d, law = 10**12, ct.PowerLaw(10**12, 1.5)
    assert ct.effective_ridge(law, T=d, lam=0) == 0 == ct.effective_ridge(law, T=d + 1, lam=0)
    # far below the smallest eigenvalue kappa (T - d + kappa tr Sigma^-1) = T lam
    inverse = mpmath.fsum(
        [mpf(d) ** 2.5 / 2.5, mpf(d) ** 1.5 / 2, mpf(1.5) * mpf(d) ** 0.5 / 12]
    )  # Euler and Maclaurin's formula for the sum of j^1.5
    for more, lam in ((0, 1e-45), (1000, 1e-45), (10**6, 1e-30)):
        T = d + more
        half = mpf(more) / 2
        want = mpf(T) * lam / (half + mpmath.sqrt(half**2 + inverse * T * lam))
        got = ct.effective_ridge(law, T=T, lam=lam)
        assert abs(got / want - 1) < 1e-6
    assert ct.effective_ridge(law, T=d - 1, lam=0) > 0
    exact = ct.effective_ridge(ct.PowerLaw(2**17, 1.5), T=2**17 + 1, lam=1e-12)
    assert ct.effective_ridge(ct.PowerLaw(2**17 + 1, 1.5), T=2**17 + 2, lam=1e-12) == pytest.approx(exact, rel=1e-4)


def test_directions_add_up():
    measure = Measure.of(ct.PowerLaw(10**12, 1.5), ct.RandomTarget(3))
    assert measure.rank == measure.dimension == 10**12
    assert measure.counts.sum() == pytest.approx(1e12, rel=1e-15)
    assert measure.energies.sum() == pytest.approx(3, rel=1e-15)
    assert measure.split(np.array([0.0, 2.0]))[1].tolist() == [1e12, 0]


# ---------------------------------------------------------------------- what has no limit
@pytest.mark.parametrize("beta", [1, 0.5, 1.0])
def test_eigenvalues_without_a_sum_are_refused(beta):
    with pytest.raises(ct.DomainError, match="beta > 1"):
        ct.PowerLaw(math.inf, beta)


@pytest.mark.parametrize("r", [0, -1])
def test_source_exponents_are_positive(r):
    with pytest.raises(ct.DomainError, match="r needs to be > 0"):
        ct.SourceTarget(r)


def test_what_needs_a_finite_dimension_says_so():
    for target in (ct.RandomTarget(), ct.Energies([1.0, 2.0])):
        with pytest.raises(ct.DomainError, match="finite d"):
            CLEAN.evaluate(spectrum=ENDLESS, target=target, T=10, lam=0.1, sigma=1)
    for slug in ("ridge-replace", "ols-replace"):
        with pytest.raises(ct.DomainError, match=r"T0? >= d \+ 2.*d=inf; take a finite d"):
            ct.catalog[slug].error.evaluate(**AT, **POINTS[slug].values)
    for need in (lambda: ENDLESS.eigenvalues, ENDLESS.atoms, lambda: ENDLESS.dimension):
        with pytest.raises(ct.DomainError, match="finite d"):
            need()
    pipe = ct.workflows.replace(0, downstream=ct.Stage(T=10, ridge=0.1))
    with pytest.raises(ct.DomainError, match="finite d"):
        ct.simulate(pipe, **AT, trials=2, seed=0)


def test_an_integral_that_diverges_is_refused():
    measure = Measure.of(ENDLESS, ct.SourceTarget(0.4))
    s = measure.nodes
    for integral in (measure.trace, measure.form):
        integral(s / (s + 1.0))
        with pytest.raises(ct.DomainError, match="diverges"):
            integral(1 / (s + 1.0))
        with pytest.raises(ct.DomainError, match="diverges"):
            integral(1.0)
    smooth = Measure.of(ENDLESS, ct.SourceTarget(1.0))  # the energies alone have a sum
    assert smooth.form(s / s) == pytest.approx(float(mpmath.zeta(2.5)), rel=1e-14)


def test_descriptions_pickle_and_compare():
    assert pickle.loads(pickle.dumps(ENDLESS)) == ENDLESS
    assert ENDLESS.rank == math.inf
    named = CLEAN.evaluate(spectrum={"Sigma": ENDLESS}, target=ct.SourceTarget(0.4), T=1e3, lam=0.01, sigma=0.1)
    assert named == CLEAN.evaluate(T=1e3, lam=0.01, sigma=0.1, **AT)
    predict = pickle.loads(pickle.dumps(CLEAN.compile(**AT)))
    assert predict(T=1e3, lam=0.01, sigma=0.1) == CLEAN.evaluate(T=1e3, lam=0.01, sigma=0.1, **AT)


@pytest.mark.heavy
def test_slopes_and_optima():
    slope = CLEAN.diff("lam").evaluate(T=1e4, lam=1e-3, sigma=0.5, **AT)
    with mpmath.workdps(30):
        above, below = (
            CLEAN.evaluate(T=10**4, lam=mpf(0.001) * (1 + h * mpf(10) ** -8), sigma=0.5, digits=25, **AT)
            for h in (1, -1)
        )
        assert slope == pytest.approx(float((above - below) / (2 * mpf(0.001) * mpf(10) ** -8)), rel=1e-9)
    best = CLEAN.optimum("lam", T=1e4, sigma=0.5, **AT)
    around = CLEAN.evaluate(T=1e4, lam=best.value * np.array([0.9, 1, 1.1]), sigma=0.5, **AT)
    assert around[1] == around.min()
