"""Deterministic equivalents: published closed forms, Monte Carlo with mutants, and every example of auto-fpt."""

import pickle

import mpmath
import numpy as np
import pytest
from scipy.optimize import brentq
from sympy import Identity, Rational, Symbol, groebner, numer, rem, sqrt, together
from threadpoolctl import threadpool_limits

import collapse_theory as ct
from collapse_theory.algebra.effective import EffectiveRidge
from collapse_theory.algebra.integrals import SpectralTrace, df
from collapse_theory.symbols import T, d, eigenvalue, lam, sigma
from tests import reference as ref
from tests.matrices import R, S, Sigma, X, Z

s = eigenvalue
kappa = EffectiveRidge(T, lam)
REST = T / (T - df(2, kappa))


# ---------------------------------------------------------------------- closed forms, from the expression alone
CLOSED = {
    "resolvent": (R, kappa / lam / (s + kappa)),
    "prediction": (R * S, s / (s + kappa)),
    "two resolvents": (R * Sigma * R, (kappa / lam) ** 2 * s / (s + kappa) ** 2 * REST),
    "bias": ((R * S - Identity(d)) * Sigma * (S * R - Identity(d)), kappa**2 * s / (s + kappa) ** 2 * REST),
    "noise": (X * R * Sigma * R * X.T, None),
}


@pytest.mark.parametrize("case", [c for c, (_, want) in CLOSED.items() if want is not None])
def test_closed_forms(case):
    expression, want = CLOSED[case]
    assert (ct.deterministic_equivalent(expression).expr - want).factor() == 0


def test_ridge_bias_and_variance_as_a_theorem():
    """The two sides of the clean test error, the variance through the space of the rows."""
    variance = ct.deterministic_equivalent(sigma**2 * X * R * Sigma * R * X.T / T**2)
    assert (variance.trace() - sigma**2 * df(2, kappa) / (T - df(2, kappa))).factor() == 0
    bias = ct.deterministic_equivalent(CLOSED["bias"][0]).quadratic_form()
    assert "w0" in str(bias)


def test_three_resolvents_share_one_effective_ridge():
    equivalent = ct.deterministic_equivalent(R * Sigma * R * Sigma * R)
    assert equivalent.expr.atoms(EffectiveRidge) == {kappa}
    assert len(equivalent.equations) == 1


def test_marchenko_pastur():
    """tau_1 = 1 + t/T with t the trace of the resolvent obeys the quadratic of Marchenko and Pastur."""
    equivalent = ct.deterministic_equivalent((Z.T * Z / T + lam * Identity(d)).inv())
    (equation,) = equivalent.equations
    (unknown,) = equation.free_symbols - {T, d, lam}
    g = Symbol("g")
    residual = numer(together((equation.lhs - equation.rhs).subs(unknown, 1 / g - lam)))
    quadratic = lam * d * g**2 + (T * (1 + lam * 0) - d + T * lam) * g - T  # phi lam g^2 + (1 - phi + lam) g - 1 = 0
    ratio = (residual / quadratic).cancel()
    assert ratio.is_number or g not in ratio.free_symbols, ratio
    got = equivalent.evaluate(T=50, d=80, lam=0.1)
    phi = 80 / 50
    np.testing.assert_allclose(phi * 0.1 * got**2 + (1 - phi + 0.1) * got - 1, 0, atol=1e-12)


def test_subordination_with_two_covariances():
    T1, T2 = (Symbol(n, integer=True, positive=True) for n in ("T1", "T2"))
    S1, S2 = ct.commuting(ct.Covariance("Sigma1", d), ct.Covariance("Sigma2", d))
    X1, X2 = ct.GaussianMatrix("Z1", T1, d) * ct.sqrt(S1), ct.GaussianMatrix("Z2", T2, d) * ct.sqrt(S2)
    equivalent = ct.deterministic_equivalent((X1.T * X1 + X2.T * X2 + lam * Identity(d)).inv())
    a, b = S1.eigenvalue, S2.eigenvalue
    t1, t2 = (eq.lhs for eq in equivalent.equations)
    g = 1 / (lam + t1 * a + t2 * b)
    assert equivalent.expr == g
    for eq, rows, weight in zip(equivalent.equations, (T1, T2), (a, b), strict=True):
        assert eq.rhs == rows / (1 + SpectralTrace(weight * g))


def test_random_features_end_in_two_coupled_equations():
    """Adlam and Pennington's pair: tau1 = tr K^-1 / T and tau2 = tr (X X' / d) K^-1 / T of the linearised features."""
    m = Symbol("m", integer=True, positive=True)
    gamma, eta, zeta = (Symbol(n, positive=True) for n in ("gamma", "eta", "zeta"))
    W, Theta = ct.GaussianMatrix("W", d, m), ct.GaussianMatrix("Theta", T, m)
    F = sqrt(zeta / d) * Z * W + sqrt(eta - zeta) * Theta
    K = (F * F.T / m + gamma * Identity(T)).inv()
    first, second = ct.deterministic_equivalent(K), ct.deterministic_equivalent(K * Z * Z.T / d)
    (one, two), g1, g2 = first.equations, first.expr, second.expr
    a, b = one.lhs, two.lhs  # normalised traces of the resolvent on the side of the rows and of the features
    assert first.equations == second.equations
    # (1) the side of the features is eliminated by tau2 = tau1 / (1 + (T/d) zeta tau1 b)
    assert (g2 - g1 / (1 + T / d * zeta * a * b)).cancel() == 0
    tau1, tau2 = Symbol("t1", positive=True), Symbol("t2", positive=True)
    eliminated = (d / T) * (tau1 - tau2) / (zeta * tau1 * tau2)
    phi, psi = d / T, d / m
    published = (
        zeta * tau1 * tau2 * (gamma * tau1 - 1) + phi * (tau1 - tau2) * (zeta * (tau2 - tau1) + eta * tau1),
        phi * (zeta * tau2 * tau1 + phi * (tau2 - tau1)) + zeta * tau1 * tau2 * psi * (gamma * tau1 - 1),
    )
    residuals = [numer(together((eq.lhs - eq.rhs).xreplace({a: tau1, b: eliminated}))).expand() for eq in (one, two)]
    assert rem(residuals[0], numer(together(published[0])), tau1) == 0
    ideal = [numer(together(p)).expand() for p in published]
    sample = {T: 3, d: 2, m: 4, gamma: Rational(1, 10), eta: Rational(89, 100), zeta: Rational(16, 25)}
    basis = groebner([p.subs(sample) for p in ideal], tau1, tau2)
    assert basis.contains(residuals[1].subs(sample) * tau1 * tau2)
    # (2) the numbers obey both published equations
    values = {"T": 300, "d": 200, "m": 400, "gamma": 0.1, "eta": 0.89, "zeta": 0.64}
    numbers = {T: 300, d: 200, m: 400, gamma: 0.1, eta: 0.89, zeta: 0.64}
    got = {tau1: float(first.evaluate(**values)), tau2: float(second.evaluate(**values))}
    for p in published:
        assert abs(float(p.subs(numbers).subs(got))) < 1e-13


# ---------------------------------------------------------------------- Monte Carlo
@threadpool_limits.wrap(limits=1)
def simulate(build, eigenvalues, rows, trials, seed):
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(trials):
        x = rng.standard_normal((rows, eigenvalues.size)) * np.sqrt(eigenvalues)
        out.append(np.diag(build(x, x.T @ x / rows)))
    return np.array(out)


def z_score(samples, want, weights):
    projected = samples @ weights
    return (projected.mean() - want @ weights) / (projected.std(ddof=1) / np.sqrt(len(projected)))


@pytest.mark.parametrize("mutant", [False, True])
@pytest.mark.parametrize("case", ["two resolvents", "bias", "three resolvents"])
def test_monte_carlo(case, mutant):
    """The equivalent is within sampling error; without the factor T/(T - df2) the same check must fail."""
    eigenvalues, rows, ridge = np.arange(1, 121) ** -0.7, 150, 0.3
    unit = np.eye(120)

    def r(x, gram):
        return np.linalg.inv(gram + ridge * unit)

    def value(x, gram):
        inverse = r(x, gram)
        if case == "two resolvents":
            return inverse @ np.diag(eigenvalues) @ inverse
        if case == "bias":
            error = inverse @ gram - unit
            return error @ np.diag(eigenvalues) @ error.T
        return inverse @ np.diag(eigenvalues) @ inverse @ np.diag(eigenvalues) @ inverse

    expression = R * Sigma * R * Sigma * R if case == "three resolvents" else CLOSED[case][0]
    want = ct.deterministic_equivalent(expression).evaluate(spectrum=ct.Eigenvalues(eigenvalues), T=rows, lam=ridge)
    if mutant:
        k = ref.float_kappa(eigenvalues, rows, ridge)
        want = want * (1 - ((eigenvalues / (eigenvalues + k)) ** 2).sum() / rows)
    score = z_score(simulate(value, eigenvalues, rows, 100, 3), want, eigenvalues)
    assert (abs(score) > 5) == mutant, score


def test_random_features_against_one_large_draw():
    rng = np.random.default_rng(0)
    rows, features, width = 300, 200, 400
    x, w, theta = (rng.standard_normal(shape) for shape in ((rows, features), (features, width), (rows, width)))
    f = 0.8 / np.sqrt(features) * x @ w + 0.5 * theta
    k = np.linalg.inv(f @ f.T / width + 0.1 * np.eye(rows))
    m, a, b, gamma = Symbol("m", integer=True, positive=True), *(Symbol(n, positive=True) for n in ("a", "b", "gamma"))
    F = a / sqrt(d) * Z * ct.GaussianMatrix("W", d, m) + b * ct.GaussianMatrix("Theta", T, m)
    K = (F * F.T / m + gamma * Identity(T)).inv()
    values = {"T": rows, "d": features, "m": width, "a": 0.8, "b": 0.5, "gamma": 0.1}
    np.testing.assert_allclose(ct.deterministic_equivalent(K).evaluate(**values), np.trace(k) / rows, rtol=1e-2)
    got = ct.deterministic_equivalent(K * Z * Z.T / d).evaluate(**values)
    np.testing.assert_allclose(got, np.trace(k @ x @ x.T) / features / rows, rtol=1e-2)


# ---------------------------------------------------------------------- evaluation
def test_numbers_follow_the_closed_form():
    """The numeric path never sees the closed form; both agree to round-off."""
    equivalent = ct.deterministic_equivalent(R * Sigma * R * Sigma * R)
    how = {"spectrum": ct.PowerLaw(80, beta=1.0), "T": 50, "lam": 0.1}
    formula = ct.ErrorFormula({"trace": equivalent.trace()}, "proportional")
    np.testing.assert_allclose(equivalent.evaluate(**how).sum(), formula.evaluate(**how), rtol=1e-11)


def test_coupled_traces_follow_the_closed_form():
    """Rows with a covariance of their own: the derivatives of both effective ridges solve one linear system."""
    A, B = ct.Covariance("A", T), ct.Covariance("B", d)
    Y = ct.sqrt(A) * ct.GaussianMatrix("Y", T, d) * ct.sqrt(B)
    Q = (Y.T * Y + lam * Identity(d)).inv()
    equivalent = ct.deterministic_equivalent(Q * B * Q)
    a, b, ridge = np.linspace(2, 0.5, 6), np.arange(1, 7) ** -1.0, 0.3
    how = {"spectrum": {"A": ct.Eigenvalues(a), "B": ct.Eigenvalues(b)}, "lam": ridge}

    def unexplained(t):
        return t - (a / (1 + a * (b / (t * b + ridge)).sum())).sum()

    (unknown,) = (equation.lhs.name for equation in equivalent.equations)
    root = brentq(unexplained, 0, a.sum(), xtol=1e-300, rtol=1e-15)
    formula = ct.ErrorFormula({"trace": equivalent.trace()}, "proportional")
    np.testing.assert_allclose(equivalent.evaluate(**how).sum(), formula.evaluate(**how, **{unknown: root}), rtol=1e-11)


def test_values_keep_the_order_of_the_spectrum_and_broadcast():
    equivalent = ct.deterministic_equivalent(R)
    got = equivalent.evaluate(spectrum=ct.Spiked(5, spikes=[3, 9]), T=20, lam=[0.1, 0.2, 0.3])
    assert got.shape == (3, 5)
    assert (got[:, 1] < got[:, 0]).all()
    assert (got[:, 0] < got[:, 2]).all()
    np.testing.assert_allclose(got[:, 2:], got[:, 2:3] * np.ones(3))


def test_residuals_are_reported():
    solved = ct.deterministic_equivalent(R).solve(spectrum=ct.PowerLaw(1000, beta=1.5), T=300, lam=1e-8)
    assert solved.residual < 1e-12


def test_the_ridgeless_limit_is_a_limit():
    lam0 = ct.symbols.lam
    ridge = (X.T * X / T + lam0 * Identity(d)).inv()
    equivalent = ct.deterministic_equivalent(ridge)
    eigenvalues = np.array([3.0, 2.0, 1.0])
    got = equivalent.evaluate(spectrum=ct.Eigenvalues(eigenvalues), T=6, lam=0)
    np.testing.assert_allclose(got, 1 / (eigenvalues * (1 - 3 / 6)), rtol=1e-12)
    with pytest.raises(ct.DomainError, match="diverges"):
        equivalent.evaluate(spectrum=ct.Eigenvalues(eigenvalues), T=2, lam=0)


@pytest.mark.parametrize(
    ("how", "word"),
    [
        ({"T": 50}, "lam"),
        ({"T": 50, "lam": 0.1, "sgima": 1}, "sgima"),
        ({"T": 50, "lam": -0.1}, ">= 0"),
        ({"T": 0, "lam": 0.1}, "T"),
        ({"T": 50, "lam": 0.1, "d": 4}, "length of the spectrum"),
        ({"T": [1, 2], "lam": [0.1, 0.2, 0.3]}, "broadcast"),
    ],
)
def test_bad_values(how, word):
    with pytest.raises(ct.DomainError, match=word):
        ct.deterministic_equivalent(R).evaluate(spectrum=ct.Isotropic(3), **how)


def test_spectra_must_match_the_covariances():
    equivalent = ct.deterministic_equivalent(R)
    with pytest.raises(ct.DomainError, match="Sigma"):
        equivalent.evaluate(T=50, lam=0.1)
    with pytest.raises(ct.DomainError, match="Other"):
        equivalent.evaluate(spectrum={"Other": ct.Isotropic(3)}, T=50, lam=0.1)


def test_theorem_in_print():
    equivalent = ct.deterministic_equivalent(R * Sigma * R)
    text = equivalent.latex()
    assert r"\Sigma \left(\Sigma + \kappa I\right)^{-2}" in text
    assert r"\mathrm{df}_{2}(\kappa)" in text
    assert text.count(r"\\") == 1  # the statement, and one equation
    assert "Z" in str(equivalent.pencil)
    assert pickle.loads(pickle.dumps(equivalent)).expr == equivalent.expr


def test_values_that_are_not_numbers_and_spectra_without_a_covariance_are_refused():
    Z = ct.GaussianMatrix("Z", T, d)
    white = ct.deterministic_equivalent((Z.T * Z / T + lam * Identity(d)).inv())
    with pytest.raises(ct.DomainError, match="lam finite"):
        white.evaluate(T=30, d=20, lam=float("nan"))
    with pytest.raises(ct.DomainError, match="no covariance"):
        white.evaluate(spectrum=ct.Isotropic(20), T=30, d=20, lam=0.1)
    assert white.evaluate(T=30, d=20, lam=0.1) > 0


# ---------------------------------------------------------------------- digits
def test_digits_agree_with_an_equation_solved_to_fifty_digits():
    """RSR at lambda of the exact binary value, on j^-1.3 itself: kappa by bisection in mpmath."""
    equivalent = ct.deterministic_equivalent(R * Sigma * R)
    found = equivalent.evaluate(ct.PowerLaw(20, beta=Rational(13, 10)), T=15, lam=0.1, digits=40)
    mp = mpmath.MPContext()
    mp.dps = 60
    spectrum, ridge = [mp.mpf(j) ** (-mp.mpf(13) / 10) for j in range(1, 21)], mp.mpf(0.1)
    effective = mp.findroot(
        lambda k: k - ridge - k / 15 * sum(x / (x + k) for x in spectrum), (0.1, 2), solver="anderson"
    )
    df2 = sum((x / (x + effective)) ** 2 for x in spectrum)
    for x, got in zip(spectrum, found, strict=True):
        want = (effective / ridge) ** 2 * x / (x + effective) ** 2 * 15 / (15 - df2)
        assert abs(got - want) < mp.mpf(10) ** -39 * want


def test_digits_keep_the_order_and_the_zeros_of_a_spectrum():
    equivalent = ct.deterministic_equivalent(R * Sigma * R)
    spectrum = ct.Eigenvalues([0.0, 1.0, 1.0, 2.0])
    found = equivalent.evaluate(spectrum, T=3, lam=mpmath.mpf("0.3"), digits=25)
    assert found.dtype == object
    np.testing.assert_allclose(found.astype(float), equivalent.evaluate(spectrum, T=3, lam=0.3), rtol=1e-14)


@pytest.mark.parametrize(
    ("digits", "lam", "message"),
    [(30, 0, "no limit is taken, got lam = 0"), (30, [0.1, 0.2], "scalar with digits="), (0, 0.1, "digits needs")],
)
def test_digits_refuse_what_they_cannot_do(digits, lam, message):
    equivalent = ct.deterministic_equivalent(R * Sigma * R)
    with pytest.raises(ct.DomainError, match=message):
        equivalent.evaluate(ct.Isotropic(20), T=15, lam=lam, digits=digits)
