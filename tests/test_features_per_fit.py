"""Fits on random features: chains against the generation operator at 50 digits, shared features against the engine, and runs."""

from functools import cache

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mpf
from sympy import Identity, Symbol, oo, sqrt
from sympy import Rational as Q

import collapse_theory as ct
from collapse_theory.numerics import float64
from collapse_theory.symbols import d, lam
from tests import naive

D = 24
S, W2 = np.arange(1, D + 1) ** -1.2, np.arange(1, D + 1) ** -0.4
AT = {"spectrum": ct.Eigenvalues(S), "target": ct.Energies(W2)}


def chain(stages):
    """Return the pipeline of fits (T, m, ridge, noise); m None sees the inputs."""
    pipe, last = ct.Pipeline(), ct.TRUTH
    for T, m, ridge, noise in stages:
        last = pipe.fit(pipe.sample(T=T, noise=noise, source=last), ridge=ridge, features=m)
    return pipe


# ---------------------------------------------------------------------- the generation operator, written out
@cache
def effective_ridge(T, m, ridge, size=D, beta=1.2):
    """Return the largest root of ``lam = kappa (1 - df1/T)(1 - df1/m)``, above the one of ``df1 = min(T, m)``, by bisection."""
    s, least = np.arange(1, size + 1) ** -beta, min(T, m)
    if ridge == 0 and least >= size:
        return mpf(0)

    def below(x):
        df1 = (s / (s + x)).sum()
        return df1 > least or x * (1 - df1 / T) * (1 - df1 / m) < ridge

    low, high = 1e-40, 1e6
    for _ in range(200):
        middle = np.sqrt(low * high)
        low, high = (middle, high) if below(middle) else (low, middle)
    exact = [mpf(float(e)) for e in s]

    def residual(x):
        df1 = mpmath.fsum(e / (e + x) for e in exact)
        return x * (1 - df1 / T) * (1 - df1 / m) / ridge - 1 if ridge else df1 - least

    return mpmath.findroot(residual, (mpf(high), mpf(high) * (1 + mpf(10) ** -8)), tol=mpf(10) ** -60)


def reference(stages, w2=W2, **spectrum):
    """Return bias and variance; the ridgeless cases are forms of their own, not limits."""
    with mpmath.workdps(40):
        s = [mpf(float(x)) for x in np.arange(1, len(w2) + 1) ** -spectrum.get("beta", 1.2)]
        w2 = [mpf(float(x)) for x in w2]
        M, u, variance = list(s), list(s), mpf(0)

        def tr(*factors):
            return mpmath.fsum(mpmath.fprod(x) for x in zip(*factors, strict=True))

        for T, m, ridge, noise in reversed(stages):
            m = mpmath.inf if m is None else m
            k = effective_ridge(T, m, mpf(ridge), **spectrum)
            g = [(e + k) ** -2 for e in s]
            df2, per_unit = tr(s, s, g), tr(s, g)  # df2 and tr Sigma g
            if ridge == 0 and m < T and m < len(s):
                a, left, per_m = k, T - m, k / per_unit
            elif k == 0 or m == mpmath.inf:
                a, left, per_m = mpf(0), T - df2, mpf(0)
            else:
                per_m = k**2 / (m - df2)
                a = per_m * per_unit
                left = T - df2 - a * per_unit
                if ridge == 0:
                    left = (T - df2) * (m - T) / (m - df2)
            drift, t = per_m * tr(M, g), tr(M, s, g) + a * tr(M, g)
            answer = t / left
            variance += mpf(noise) ** 2 * answer
            M = [
                e * e * x * (y + drift) + answer * (k * k * e * x + a * e * e * x)
                for e, x, y in zip(s, g, M, strict=True)
            ]
            u = [x * e / (e + k) for x, e in zip(u, s, strict=True)]
        bias = mpmath.fsum(w * (e - 2 * x + y) for w, e, x, y in zip(w2, s, u, M, strict=True))
    return bias, variance


CHAINS = {
    "one": [(30, 15, 1e-2, 0.5)],
    "small then large": [(60, 10, 1e-2, 0.3), (30, 60, 1e-2, 0.1)],
    "between fits on the inputs": [(40, None, 0.1, 0.2), (20, 15, 1e-3, 0.3), (50, None, 1e-2, 0.1)],
    "more features than directions": [(15, 8, 0.1, 0.3), (30, 60, 1e-2, 0), (60, 15, 1e-3, 0.3), (20, 40, 0.3, 0.2)],
    "near as many rows as features": [(15, 16, 1e-6, 0.3), (16, 15, 1e-6, 0.2)],
    "no ridge, m < T": [(30, 8, 0, 0.3), (20, 15, 0, 0.2)],
    "no ridge, T < m": [(8, 30, 0, 0.3), (10, 15, 0, 0.2)],
    "no ridge, all directions": [(40, 30, 0, 0.3), (30, 10**6, 0, 0.2)],
}


@pytest.mark.parametrize("name", CHAINS)
def test_chains_are_products_of_generation_operators(name):
    want = reference(CHAINS[name])
    err = ct.test_error(chain(CHAINS[name]))
    assert err.method == "operator"
    recursion = ct.test_error(chain(CHAINS[name]), method="free-probability")
    for formula in (err, recursion):
        got = formula.evaluate(**AT, terms=True)
        for value, exact in zip((got["bias"], got["variance"]), want, strict=True):
            assert abs(value - exact) < 1e-12 * (exact + 1e-3 * sum(want))
            assert abs(value * (1 + 1e-9) - exact) > 1e-12 * exact or exact == 0


@pytest.mark.parametrize("name", ["small then large", "no ridge, T < m"])
def test_digits_are_those_of_the_operator(name):
    """Floats are their binary values to both."""
    got = ct.test_error(chain(CHAINS[name])).evaluate(**AT, digits=30)
    assert abs(got / sum(reference(CHAINS[name])) - 1) < 1e-29


def test_of_three_roots_the_largest_is_the_ridge():
    s = np.arange(1, 101) ** -1.0
    stages = [(30, 40, 1e-3, 0.4)]
    with mpmath.workdps(40):
        k = effective_ridge(30, 40, mpf(1e-3), size=100, beta=1.0)
    assert k == pytest.approx(0.0729, abs=1e-4)
    at = {"spectrum": ct.Eigenvalues(s), "target": ct.RandomTarget()}
    want = sum(reference(stages, np.full(100, 0.01), size=100, beta=1.0))
    assert ct.test_error(chain(stages)).evaluate(**at) == pytest.approx(float(want), rel=1e-12)


def test_one_fit_is_the_theorem():
    err = ct.catalog["random-features-ridge"].error
    for T, m, ridge in ((30, 15, 1e-2), (10, 40, 0), (40, 10, 0), (60, 30, 1e-4)):
        got = ct.test_error(chain([(T, m, ridge, 0.3)])).evaluate(**AT, terms=True)
        want = err.evaluate(**AT, T=T, m=m, lam=ridge, sigma=0.3, terms=True)
        assert got == pytest.approx(want, rel=1e-13)


def test_as_many_features_and_rows_as_one_likes():
    stages = [(30, 15, 1e-2, 0.3), (20, 12, 0.05, 0.2)]
    plain = ct.test_error(chain([(T, None, ridge, noise) for T, _, ridge, noise in stages])).evaluate(**AT)
    many = [ct.test_error(chain([(T, 10**k, *rest) for T, _, *rest in stages])).evaluate(**AT) for k in (6, 9)]
    assert abs(many[0] / plain - 1) < 1e-4
    assert abs(many[1] / plain - 1) < 1e-7
    rows = ct.test_error(chain([(10**12, 15, 1e-9, 0.3)])).evaluate(**AT)  # what the features miss
    k = ct.effective_ridge(AT["spectrum"], T=15, lam=0)
    assert rows == pytest.approx(k * (W2 * S / (S + k)).sum(), rel=1e-5)


def test_powers_of_the_operator_are_the_chain():
    at = {"T": 20, "lam": 0.05, "sigma": 0.2, "T0": 30, "lam0": 0.01, "sigma0": 0.3}
    err = ct.catalog["features-chain"].error
    for n in (0, 2, 9):
        want = sum(reference([(30, 10, 0.01, 0.3)] * n + [(20, 15, 0.05, 0.2)]))
        assert err.evaluate(**AT, **at, m=15, m0=10, n=n) == pytest.approx(float(want), rel=1e-12)
    got = (
        ct.catalog["features-chain"]
        .at(2, m0=[10, 12], T0=[30, 25])
        .evaluate(**AT, **{k: x for k, x in at.items() if k != "T0"}, m=15)
    )
    want = sum(reference([(30, 10, 0.01, 0.3), (25, 12, 0.01, 0.3), (20, 15, 0.05, 0.2)]))
    assert got == pytest.approx(float(want), rel=1e-12)


@pytest.mark.parametrize("name", ["lam0", *(pytest.param(x, marks=pytest.mark.heavy) for x in ("T0", "lam", "sigma0"))])
def test_slopes_are_those_of_the_digits(name):
    err = ct.catalog["weak-to-strong"].error
    at = {"T": 20, "lam": 0.05, "sigma": 0.2, "T0": 30, "lam0": 0.01, "sigma0": 0.3, "m0": 10, "m": 15}
    step = mpf(10) ** -15 * at[name]
    with mpmath.workdps(40):
        high, low = (err.evaluate(digits=38, **AT, **{**at, name: at[name] + x}) for x in (step, -step))
        slope = (high - low) / (2 * step)
    got = err.diff(name).evaluate(**AT, **at)
    assert got == pytest.approx(float(slope), rel=1e-10)
    assert 1.001 * got != pytest.approx(float(slope), rel=1e-10)


# ---------------------------------------------------------------------- features and inputs that several fits see
m, T = (Symbol(name, integer=True, positive=True) for name in ("m", "T"))
Sigma, one = ct.Covariance("Sigma", d), Identity(d)
F = ct.GaussianMatrix("S", d, m) / sqrt(m)


def gram(name):
    X = ct.GaussianMatrix(name, T, d) * ct.sqrt(Sigma)
    return X.T * X / T


def test_shared_features_are_the_engine_on_the_whole_expression():
    first, second = (F * (F.T * G * F + lam * Identity(m)).inv() * F.T * G for G in (gram("Z1"), gram("Z2")))
    whole = ct.deterministic_equivalent((second * first - one).T * Sigma * (second * first - one))
    want = whole.evaluate(spectrum=AT["spectrum"], T=30, m=15, lam=0.05) @ W2
    pipe = ct.Pipeline()
    phi = pipe.features(15)
    m1 = pipe.fit(pipe.sample(T=30), ridge=0.05, features=phi)
    pipe.fit(pipe.sample(T=30, source=m1), ridge=0.05, features=phi)
    err = ct.test_error(pipe)
    assert err.evaluate(**AT) == pytest.approx(want, rel=1e-9)
    assert float(err.evaluate(**AT, digits=30)) == pytest.approx(err.evaluate(**AT), rel=1e-12)
    fresh = ct.test_error(chain([(30, 15, 0.05, 0), (30, 15, 0.05, 0)])).evaluate(**AT)
    assert abs(fresh / want - 1) > 0.05


GRID, ENERGY = np.linspace(0.4, 1.6, 40), np.linspace(1.6, 0.4, 40) / 20


def shared(m=40):
    """Two fits on the same features, the second on real and synthetic rows; then one on features of its own."""
    pipe = ct.Pipeline()
    phi = pipe.features(m)
    real = pipe.sample(T=80, noise=0.4)
    first = pipe.fit(real, ridge=0.05, features=phi)
    second = pipe.fit([real, pipe.sample(T=60, noise=0.3, source=first)], ridge=0.05, features=phi)
    pipe.fit(pipe.sample(T=90, noise=0.3, source=second), ridge=0.05, features=60)
    return pipe


def test_simulation_agrees_and_rejects_a_mutant():
    sample = naive.errors(shared(), naive.Linear(GRID, ENERGY), 1200, seed=5)
    want = ct.test_error(shared()).evaluate(spectrum=ct.Eigenvalues(GRID), target=ct.Energies(ENERGY))
    assert naive.agrees(sample, want, 0.02)
    assert not naive.agrees(sample, 1.12 * want, 0.02)
    assert not naive.agrees(sample, 0.88 * want, 0.02)


def test_the_simulator_draws_what_the_theory_is_about():
    how = {"spectrum": ct.Eigenvalues(GRID), "target": ct.Energies(ENERGY), "trials": 400, "seed": 2}
    sim = ct.simulate(shared(), **how)
    sample = naive.errors(shared(), naive.Linear(GRID, ENERGY), 400, seed=9)
    assert abs(sim.mean - sample.mean()) < 4 * np.hypot(sim.sem, sample.std() / 20)


# ---------------------------------------------------------------------- batches, ranges, errors
def test_a_grid_of_sizes_costs_its_rows_and_columns(monkeypatch):
    predict = ct.catalog["weak-to-strong"].error.compile(**AT)
    at = {"T": 20, "lam": 0.05, "sigma": 0.2, "T0": 30, "lam0": 0.01, "sigma0": 0.3}
    m0, m = np.arange(5, 35), np.arange(3, 33)
    whole = predict(**at, m0=m0[:, None], m=m)
    sizes, solve = [], float64.solve_features
    monkeypatch.setattr(float64, "_BLOCK", D * 40)
    monkeypatch.setattr(float64, "solve_features", lambda s, T, *how: sizes.append(T.size) or solve(s, T, *how))
    np.testing.assert_allclose(predict(**at, m0=m0[:, None], m=m), whole, rtol=1e-14)
    assert sizes == [30, 30]
    assert whole[4, 7] == predict(**at, m0=9, m=10)


def test_bad_input():
    pipe = ct.Pipeline()
    real = pipe.sample(T=10)
    for wrong in (0, -3, 2.5):
        with pytest.raises(ct.PipelineError, match="features"):
            pipe.fit(real, features=wrong)
    with pytest.raises(ct.DomainError, match="m >= 1"):
        ct.catalog["random-features-ridge"].error.evaluate(**AT, T=10, m=0, lam=0.1, sigma=0)
    several = ct.Pipeline()
    a, b = several.sample(T=10), several.sample(T=12)
    several.fit([a, b], weights=[1, 2], ridge=0.1, features=9)
    with pytest.raises(ct.PipelineError, match="one row weight"):
        ct.test_error(several)
    moved = ct.Pipeline()
    moved.fit(moved.sample(T=10, covariance="A"), ridge=0.1, features=9)
    with pytest.raises(ct.PipelineError, match="common covariance"):
        ct.test_error(moved)
    equal = chain([(15, 15, 0, 0.2)])
    assert ct.test_error(equal).evaluate(**AT) == oo
    with pytest.raises(ct.DomainError, match="differ"):
        ct.test_error(equal, method="free-probability").evaluate(**AT)
    other = ct.Pipeline()
    with pytest.raises(ct.PipelineError, match="pipeline"):
        other.fit(other.sample(T=5), features=pipe.features(3))


@st.composite
def pipelines(draw):
    """Return a pipeline of one to four fits on inputs, features of their own or shared ones."""
    pipe = ct.Pipeline()
    phi, fits, samples = pipe.features(draw(st.sampled_from([6, 20, 40]))), [], []
    for _ in range(draw(st.integers(1, 4))):
        source = draw(st.sampled_from([ct.TRUTH, *fits]))
        samples.append(
            pipe.sample(T=draw(st.sampled_from([5, 13, 30, 70])), noise=draw(st.sampled_from([0, 0.4])), source=source)
        )
        pooled = draw(st.lists(st.sampled_from(samples), min_size=1, unique=True))
        ridge = draw(st.sampled_from([1e-6, 1e-2, 1.0]))
        fits.append(pipe.fit(pooled, ridge=ridge, features=draw(st.sampled_from([None, 4, 17, 60, phi]))))
    return pipe


@given(pipelines())
@settings(max_examples=12, deadline=None)
def test_every_error_is_positive_and_finite(pipe):
    terms = ct.test_error(pipe).evaluate(**AT, terms=True)
    assert all(np.isfinite(x) and x >= 0 for x in terms.values())
    assert sum(terms.values()) > 0


# ---------------------------------------------------------------------- weak to strong
def best_exponent(beta, r, a, c):
    """Return the exponent in m0 of a student with ``T = m0**a``, ``m = m0**c`` of a teacher without noise: a max over a min."""
    theta = np.linspace(0, 1, 100_001)
    r = min(r, 1)
    terms = (
        2 * r * theta,
        2 + 1 / beta - theta * (1 + 1 / beta),
        1 + (a - theta) / beta,
        c / beta + theta * (1 - 1 / beta),
    )
    return beta * np.minimum.reduce(terms).max()


@pytest.mark.parametrize(
    ("beta", "r", "a", "c"), [(2, Q(1), 1, 4), (2, Q(1), 2, Q(6, 5)), (2, Q(3, 10), 4, 8), (3, Q(3, 4), 4, 8)]
)
def test_rates_of_the_student_are_a_max_over_a_min(beta, r, a, c):
    scales = {"m0": Q(1, a), "m": Q(c) / a, "lam0": -oo}
    law = ct.rates(
        ct.catalog["weak-to-strong"].error, beta=beta, r=r, b=Q(4, a), gamma_sigma=oo, gamma_0=oo, scales=scales
    )
    want = best_exponent(beta, float(r), a, float(c))
    assert float(a * law.optimal_exponent) == pytest.approx(want, abs=1e-4)
    assert (want > 1.001 * beta * min(2 * float(r), 1)) == (r > Q(1, 2))


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("beta", "a", "c", "near"), [(2, 1, 4, 0.02), (2, 2, 1.2, 0.02), (2, 4, 4, 0.04), (3, 4, 4, 0.02)]
)
def test_slopes_of_tiny_errors_are_the_predicted_ones(beta, a, c, near):
    """Errors down to 1e-33 at ten and a hundred million features: sums of positive terms."""
    endless = {"spectrum": ct.PowerLaw(np.inf, beta=beta), "target": ct.SourceTarget(r=1)}
    student, teacher, best = ct.catalog["weak-to-strong"].error, [], []
    for m0 in (10**7, 10**8):
        kappa0 = ct.effective_ridge(endless["spectrum"], T=m0, lam=0)
        at = {"T0": m0**4, "m0": m0, "T": m0**a, "m": round(m0**c), "lam0": 0, "sigma": 0, "sigma0": 0}
        best.append(student.evaluate(**endless, **at, lam=kappa0 ** np.linspace(0.5, 1.1, 49)).min())
        how = {"T": m0**4, "m": m0, "lam": 0, "sigma": 0}
        teacher.append(ct.catalog["random-features-ridge"].error.evaluate(**endless, **how))
    assert np.log10(teacher[0] / teacher[1]) == pytest.approx(beta, abs=1e-5)
    assert np.log10(best[0] / best[1]) == pytest.approx(best_exponent(beta, 1, a, c), abs=near)


def test_the_recursion_has_small_biases_too():
    """The error of the recursion over fits, in which nothing cancels either."""
    tiny = {"spectrum": ct.PowerLaw(2000, beta=4), "target": ct.SourceTarget(r=1)}
    stages = [(1000, 300, 1e-12, 0), (900, 800, 1e-11, 0)]
    got = ct.test_error(chain(stages), method="free-probability").evaluate(**tiny)
    want = ct.test_error(chain(stages)).evaluate(**tiny)
    assert want < 1e-8
    assert got == pytest.approx(want, rel=1e-10)
