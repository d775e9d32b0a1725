"""Random features: against the engine on the whole expression, simulation, limits and 50 digits; the size of the model."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf
from sympy import Identity, Symbol, sqrt
from threadpoolctl import threadpool_limits

import collapse_theory as ct
from collapse_theory.numerics.feature_ridge import exact_features
from collapse_theory.numerics.measure import COMMON, Measure
from collapse_theory.symbols import T, d, lam
from tests import naive
from tests import reference as ref

PLAIN, STRONG = ct.catalog["random-features-ridge"], ct.catalog["random-features-strong-collapse"]
D = 60
S = np.arange(1, D + 1) ** -1.1
DELTA = 0.3 * np.linspace(1, 2, D)
SPECTRUM, TARGET = ct.Eigenvalues(S), ct.Energies(np.full(D, 1.0))
FAMILY = {"Sigma": SPECTRUM, "Delta": ct.Eigenvalues(DELTA)}

# ---------------------------------------------------------------------- the engine, from the expression alone
m, T1, T2 = (Symbol(name, integer=True, positive=True) for name in ("m", "T1", "T2"))
Sigma, one = ct.Covariance("Sigma", d), Identity(d)
F = ct.GaussianMatrix("S", d, m) / sqrt(m)


def gram(name, rows):
    X = ct.GaussianMatrix(name, rows, d) * ct.sqrt(Sigma)
    return X.T * X


def fitted(G):
    """Return Q with w_hat = Q X'y / T."""
    return F * (F.T * G * F + lam * Identity(m)).inv() * F.T


G = gram("Z", T) / T
BIAS = ct.deterministic_equivalent((G * fitted(G) - one) * Sigma * (fitted(G) * G - one))
NOISE = ct.deterministic_equivalent(fitted(G) * Sigma * fitted(G) * G / T)
G1, G2 = (gram(name, rows) / (T1 + T2) for name, rows in (("Z1", T1), ("Z2", T2)))
OFFSET = ct.deterministic_equivalent(G2 * fitted(G1 + G2) * Sigma * fitted(G1 + G2) * G2)


@pytest.mark.parametrize("rows", [30, 59, 61, 150])
@pytest.mark.parametrize("width", [20, 60, 90, 400])
def test_the_theorem_is_the_engine_on_the_whole_expression(rows, width):
    got = PLAIN.error.evaluate(spectrum=SPECTRUM, target=TARGET, T=rows, m=width, lam=0.05, sigma=0.5, terms=True)
    how = {"spectrum": SPECTRUM, "T": rows, "m": width, "lam": 0.05}
    assert got["bias"] == pytest.approx(BIAS.evaluate(**how).sum(), rel=1e-9)
    assert got["variance"] == pytest.approx(0.25 * NOISE.evaluate(**how).sum(), rel=1e-9)
    assert got["bias"] != pytest.approx(1.001 * BIAS.evaluate(**how).sum(), rel=1e-9)


@pytest.mark.parametrize(("real", "fake", "width"), [(20, 40, 30), (60, 30, 90), (45, 45, 200), (80, 20, 50)])
def test_zeta_is_the_engine_on_two_pooled_samples(real, fake, width):
    """The mean-labeller argument against the expression in both samples."""
    N = real + fake
    zeta = STRONG.error.evaluate(
        spectrum=FAMILY, target=TARGET, N=N, m=width, p1=real / N, p2=fake / N, lam=0.05, sigma=0.5, terms=True
    )["synthetic_variance"]
    want = OFFSET.evaluate(spectrum=SPECTRUM, T1=real, T2=fake, m=width, lam=0.05) @ DELTA
    assert zeta == pytest.approx(want, rel=1e-9)


# ---------------------------------------------------------------------- simulation
@threadpool_limits.wrap(limits=1)
def simulated(rows, width, **how):
    """Return mean and standard error of naive runs."""
    errors = naive.feature_errors(S, np.ones(D), DELTA, rows=rows, width=width, ridge=0.1, runs=1500, **how)
    return errors.mean(), errors.std(ddof=1) / np.sqrt(len(errors))


@pytest.mark.parametrize(("rows", "width"), [(80, 40), (50, 120), (60, 60)])
def test_simulation_agrees_and_rejects_a_mutant(rows, width):
    mean, sem = simulated(rows, width, noise=4.0, synthetic=0, seed=3)
    terms = PLAIN.error.evaluate(spectrum=SPECTRUM, target=TARGET, T=rows, m=width, lam=0.1, sigma=4, terms=True)
    allowance = 0.02 * sum(terms.values())  # of order 1/(T - df2)
    assert abs(mean - sum(terms.values())) < 4 * sem + allowance
    for mutant in (1.15 * sum(terms.values()), terms["bias"], terms["variance"]):
        assert abs(mean - mutant) > 4 * sem + allowance


@pytest.mark.parametrize(("rows", "width", "synthetic"), [(80, 40, 40), (60, 120, 45)])
def test_strong_collapse_simulation_agrees_and_rejects_a_mutant(rows, width, synthetic):
    mean, sem = simulated(rows, width, noise=0.3, synthetic=synthetic, seed=4)
    share = synthetic / rows
    terms = STRONG.error.evaluate(
        spectrum=FAMILY, target=TARGET, N=rows, m=width, p1=1 - share, p2=share, lam=0.1, sigma=0.3, terms=True
    )
    total, zeta = sum(terms.values()), terms["synthetic_variance"]
    allowance = 0.02 * total
    assert abs(mean - total) < 4 * sem + allowance
    for mutant in (total - zeta, total + zeta, total - zeta + share**2 * (DELTA @ S)):
        assert abs(mean - mutant) > 4 * sem + allowance


# ---------------------------------------------------------------------- the size of the model
def test_does_a_larger_model_make_collapse_worse():
    """With a small ridge zeta peaks at m = N. A larger model is worse below the threshold and better above it.

    The limit is the value of the model that sees the inputs themselves.
    """
    N = 50
    width = np.array([10, 25, 45, 50, 55, 100, 400, 10**7])
    zeta, ridged = (
        STRONG.error.evaluate(
            spectrum=FAMILY, target=TARGET, N=N, m=width, p1=0.4, p2=0.6, lam=ridge, sigma=0.3, terms=True
        )["synthetic_variance"]
        for ridge in (1e-4, 0.1)
    )
    peak = int(np.argmax(zeta))
    assert width[peak] == N
    assert (np.diff(zeta[: peak + 1]) > 0).all()
    assert (np.diff(zeta[peak:]) < 0).all()
    assert zeta[[1, 3, 5, 7]] == pytest.approx([0.82, 2.18, 1.98, 1.92], abs=0.005)
    assert (abs(ridged[[1, 3, 5, 7]] - 0.2225) < 0.0025).all()
    no_features = ct.catalog["strong-collapse"].error.evaluate(
        spectrum=FAMILY, target=TARGET, N=N, p1=0.4, p2=0.6, lam=1e-4, sigma=0.3, terms=True
    )
    assert zeta[-1] == pytest.approx(no_features["synthetic_variance"], rel=1e-4)


# ---------------------------------------------------------------------- numbers
def pair(s, rows, width, ridge):
    """Return (kappa, kappa_1) by bisection on the one equation for kappa."""
    low, high = ref.kappa(s, min(rows, width), mpf(0)), ridge + sum(s) / rows + sum(s) / width
    for _ in range(200):
        k = (low + high) / 2
        x = mp.fsum(e / (e + k) for e in s)
        low, high = (k, high) if k * (1 - x / rows) * (1 - x / width) < ridge else (low, k)
    return k, k * (1 - x / width)


@given(st.integers(1, 200), st.integers(1, 200), st.floats(1e-8, 1e3))
@settings(max_examples=15, deadline=None)
def test_values_are_those_of_the_published_pair(rows, width, ridge):
    """The risk of random features in df1, df2 and kappa alone, as differences, in 50 digits."""
    s = ref.numbers(S[:20])
    k, _ = pair(s, mpf(rows), mpf(width), mpf(ridge))
    x, y = (mp.fsum((e / (e + k)) ** j for e in s) for j in (1, 2))
    seen = (width * y + x * x - 2 * x * y) / (width - y)
    bias = mp.fsum(k * e / (e + k) - k * (width - x) / (width - y) * e**2 / (e + k) ** 2 for e in s)
    want = bias * rows / (rows - seen) + seen / (rows - seen) / 4
    how = {"spectrum": ct.Eigenvalues(S[:20]), "target": ct.Energies(np.ones(20))}
    at = {"T": rows, "m": width, "lam": ridge, "sigma": 0.5}
    assert ref.relative(PLAIN.error.evaluate(**how, **at), want) < 1e-11
    assert ref.relative(PLAIN.error.evaluate(digits=20, **how, **at), want) < 1e-18


@pytest.mark.parametrize(
    ("rows", "width"), [(40, 60), (60, 40), (40, 50), (50, 40), (100, 80), (80, 100), (70, 70), (60, 90)]
)
def test_without_a_ridge_it_is_the_limit(rows, width):
    how = {"spectrum": SPECTRUM, "target": TARGET, "T": rows, "m": width, "sigma": 0.5}
    small = PLAIN.error.evaluate(lam=[0, 1e-13], **how)
    if rows == min(width, D):
        assert np.isinf(small[0])
    else:
        assert small[0] == pytest.approx(small[1], rel=1e-6)


def test_thresholds_diverge_without_a_ridge():
    for rows, width in ((40, 40), (D, 90), (D, D)):
        at = {"T": rows, "m": width, "lam": 0, "sigma": 0.5}
        assert np.isinf(PLAIN.error.evaluate(spectrum=SPECTRUM, target=TARGET, **at))
    assert PLAIN.error.evaluate(spectrum=SPECTRUM, target=TARGET, T=80, m=D, lam=0, sigma=1) == pytest.approx(D / 20)


@pytest.mark.parametrize("size", [2.0**100, 2.0**240])
def test_digits_take_no_more_steps_for_larger_problems(size):
    """At a threshold with almost no ridge, where the root is far below every scale; only ratios of sizes enter."""
    with mp.workdps(30):
        ridge = mpf(10) ** -300
        values, counts = np.array([mpf(2), mpf(1)]), np.array([mpf(1), mpf(2)])
        want = exact_features(mp, Measure({COMMON: values}, counts, None), 3, 3, ridge)
        got = exact_features(mp, Measure({COMMON: values}, size * counts, None), 3 * size, 3 * size, ridge)
        assert ref.relative(got[0], want[0]) < 1e-25
        assert ref.relative(got[1] / size, want[1]) < 1e-25


@pytest.mark.parametrize(("rows", "width"), [(3, 4), (4, 3), (3, 9)])
def test_digits_without_a_ridge_are_the_limit(rows, width):
    with mp.workdps(30):
        measure = Measure({COMMON: np.array([mpf(2), mpf(1)])}, np.array([mpf(1), mpf(1)]), None)
        none, small = (exact_features(mp, measure, rows, width, ridge) for ridge in (mpf(0), mpf(10) ** -28))
        for limit, near in zip(none, small, strict=True):
            assert abs(limit - near) < 1e-25


def test_arguments_broadcast():
    got = PLAIN.error.evaluate(
        spectrum=SPECTRUM, target=TARGET, T=[[30], [90]], m=[10, 40, 200], lam=[0.0, 0.1, 1.0], sigma=0.2
    )
    assert got.shape == (2, 3)
    alone = PLAIN.error.evaluate(spectrum=SPECTRUM, target=TARGET, T=90, m=200, lam=1.0, sigma=0.2)
    assert got[1, 2] == pytest.approx(alone, rel=1e-13)


def test_only_real_rows_are_no_collapse():
    at = {"m": 40, "lam": 0.1, "sigma": 0.2}
    mixed = STRONG.error.evaluate(spectrum=FAMILY, target=TARGET, N=70, p1=1, p2=0, **at)
    assert mixed == pytest.approx(PLAIN.error.evaluate(spectrum=SPECTRUM, target=TARGET, T=70, **at), rel=1e-13)


# ---------------------------------------------------------------------- beside the menu of every theorem
@pytest.mark.parametrize("theorem", [PLAIN, STRONG], ids=lambda th: th.slug)
def test_statement(theorem):
    text = theorem.statement()
    assert r"\left(T - \mathrm{df}_{1}(\kappa)\right) \left(m - \mathrm{df}_{1}(\kappa)\right)" in text.replace(
        "N", "T"
    )
    assert "Feature" not in text
    assert "Effective" not in text
    assert all(key in theorem.bibtex for key in theorem.sources)


def test_the_pair_of_implicit_scalars():
    """Two equations: kappa of the inputs, kappa_1 of the features."""
    for theorem in (PLAIN, STRONG):
        first, second = theorem.error.implicit
        names = {x.name for e in (first, second) for x in e.free_symbols}
        assert {"kappa", "kappa_1", "m", "lam"} <= names


def test_the_theorems_are_those_of_pipelines():
    at = {"spectrum": SPECTRUM, "target": TARGET, "m": 20, "lam": 0.1, "sigma": 0.1}
    got = ct.test_error(PLAIN.pipeline()).evaluate(**at, T=50, terms=True)
    assert got == pytest.approx(PLAIN.error.evaluate(**at, T=50, terms=True), rel=1e-13)
    whole = STRONG.error.evaluate(**{**at, "spectrum": FAMILY}, N=50, p1=0.6, p2=0.4, terms=True)
    without = ct.test_error(STRONG.pipeline()).evaluate(**at, N=50, p1=0.6, p2=0.4, terms=True)
    assert without == pytest.approx({k: x for k, x in whole.items() if k in without}, rel=1e-12)


@pytest.mark.parametrize("bad", [{"m": 0}, {"m": 2.5}, {"lam": -1}, {"T": 0}])
def test_bad_values(bad):
    at = {"T": 50, "m": 20, "lam": 0.1, "sigma": 0.1} | bad
    with pytest.raises(ct.DomainError, match=next(iter(bad))):
        PLAIN.error.evaluate(spectrum=SPECTRUM, target=TARGET, **at)
