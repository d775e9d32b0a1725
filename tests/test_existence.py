"""Where a deterministic equivalent exists: accepted and right against plain simulation, or refused with the reason."""

import warnings

import numpy as np
import pytest
from sympy import Identity, Rational, Symbol, sqrt

import collapse_theory as ct
from collapse_theory.symbols import T, d, lam
from tests.matrices import Sigma, X, Z, dense

ONE = Identity(d)
Z1, Z2 = (ct.GaussianMatrix(name, T, d) for name in ("Z1", "Z2"))
G, G2 = ct.GaussianMatrix("G", d, d), ct.GaussianMatrix("G2", d, d)
S, S1, S2 = Z.T * Z / T, Z1.T * Z1 / T, Z2.T * Z2 / T
H, H2 = (G + G.T) / sqrt(2 * d), (G2 + G2.T) / sqrt(2 * d)
R, N = (S + lam * ONE).inv(), (Z1.T * Z2 / T + lam * ONE).inv()
third = Rational(1, 3)


def ginibre(c):
    return c * G / sqrt(d)


# expression, then T, d, lam; whether lam lies outside the spectrum is known from the edges of the classical laws
EXISTS = {
    "ridge": (R, 600, 400, 0.1),
    "ridge below the threshold": (R, 200, 400, 0.1),
    "below the spectrum": ((S - lam * ONE).inv(), 2000, 400, 0.1),
    "above the spectrum": ((S - lam * ONE).inv(), 2000, 400, 2.5),
    "in the gap at zero": ((S - lam * ONE).inv(), 160, 800, 0.5),
    "semicircle": ((3 * ONE + H).inv(), 1, 400, 0),
    "semicircle at 2.1": ((Rational(21, 10) * ONE + H).inv(), 1, 400, 0),
    "negative semicircle": ((H - 3 * ONE).inv(), 1, 400, 0),
    "a right factor": ((3 * ONE + H).inv() * (ONE - H), 1, 400, 0),
    "a left factor": ((ONE + H) * (3 * ONE + H).inv(), 1, 400, 0),
    "a nested factor": (((4 * ONE + H).inv() * (ONE - H) + 2 * ONE).inv() * (ONE + H), 1, 400, 0),
    "two letters": ((4 * ONE + H).inv() * (ONE - H2) * (4 * ONE - H).inv() * (ONE - H2), 1, 400, 0),
    "ginibre": ((ONE + ginibre(Rational(1, 2))).inv(), 1, 400, 0),
    "ginibre squared": (ginibre(third) * (ONE + ginibre(third)).inv() * ginibre(third).T, 1, 400, 0),
    "elliptic": ((2 * ONE + (G + third * G.T) / sqrt(d)).inv(), 1, 400, 0),
    "products outside the disc": (N, 600, 400, 1.0),
    "difference, large shift": ((S1 - S2 + lam * ONE).inv(), 600, 400, 4.0),
    "sum of resolvents": (R + lam * N, 600, 400, 1.0),
    "S R S": (S * R * S, 300, 400, 0.2),
    "resolvent of a resolvent": ((R + ONE).inv() * S, 300, 400, 0.5),
    "semicircle and covariance": ((Sigma + 3 * ONE + H).inv(), 1, 400, 0),
    "signed ridge": (X * (X.T * X / T + lam * ONE).inv() * X.T / T, 300, 400, 0.3),
}
FAILS = {
    "Z1'Z2": (N, 600, 400, 0.1),
    "Z1'Z2 near the disc": (N, 600, 400, 0.7),
    "hidden in a sum": (R + N / 10, 600, 400, 0.1),
    "hidden in a product": (R * N * S, 600, 400, 0.1),
    "ginibre": ((ONE + ginibre(2)).inv(), 1, 400, 0),
    "ginibre at 1.1": ((ONE + ginibre(Rational(11, 10))).inv(), 1, 400, 0),
    "difference": ((S1 - S2 + lam * ONE).inv(), 600, 400, 0.1),
    "inside the bulk": ((S - lam * ONE).inv(), 2000, 400, 0.5),
    "inside the bulk, few rows": ((S - lam * ONE).inv(), 400, 2000, 5.0),
    "inside the semicircle": ((ONE + H).inv(), 1, 400, 0),
    "at the edge from inside": ((Rational(19, 10) * ONE + H).inv(), 1, 400, 0),
    "elliptic inside": ((ONE + (G + third * G.T) / sqrt(d)).inv(), 1, 400, 0),
    "a right factor of no use": ((ONE + H).inv() * (ONE - H), 1, 400, 0),
}


def simulated(case, draws):
    """Normalised traces of independent draws, the covariance 1 and 2 on half of the directions each."""
    e, rows, columns, ridge = case
    rng = np.random.default_rng(5)
    out = []
    for _ in range(draws):
        values = {T: rows, d: columns, lam: ridge, "Sigma": np.diag(np.repeat([1.0, 2.0], columns // 2))}
        values |= {name: rng.standard_normal((rows, columns)) for name in ("Z", "Z1", "Z2")}
        values |= {name: rng.standard_normal((columns, columns)) for name in ("G", "G2")}
        m = dense(e, values)
        out.append(np.trace(m) / len(m))
    return np.array(out)


def evaluated(case):
    e, rows, columns, ridge = case
    equivalent = ct.deterministic_equivalent(e)
    given = {x.name: v for x, v in ((T, rows), (d, columns), (lam, ridge)) if x.name in equivalent.symbols}
    if e.has(Sigma):
        given["spectrum"] = ct.Eigenvalues(np.repeat([1.0, 2.0], columns // 2))
        given.pop("d", None)
    return float(np.mean(equivalent.evaluate(**given)))


@pytest.mark.parametrize("name", EXISTS)
def test_values_that_exist_are_those_of_a_large_matrix(name):
    want, got = simulated(EXISTS[name], 3).mean(), evaluated(EXISTS[name])
    assert abs(got / want - 1) < 0.02, (got, want)
    assert abs(1.05 * got / want - 1) > 0.02  # mutant control


@pytest.mark.parametrize("name", FAILS)
def test_values_that_do_not_exist_are_refused(name):
    with pytest.raises(ct.DomainError, match="second-moment radius"):
        evaluated(FAILS[name])


@pytest.mark.parametrize("name", ["Z1'Z2", "difference", "inside the semicircle", "ginibre"])
def test_what_is_refused_does_not_settle(name):
    """Draws of one size differ among themselves far more than those of an expression that has an equivalent."""
    e, rows, columns, ridge = FAILS[name]
    draws = simulated((e, max(1, rows // 4), columns // 4, ridge), 40)
    assert draws.std() > 0.05
    settled = simulated((EXISTS["ridge"][0], 150, 100, 0.1), 40)
    assert settled.std() < 0.05


def test_close_to_the_threshold_float64_does_not_guess():
    x = Symbol("x", positive=True)
    equivalent = ct.deterministic_equivalent((ONE + x * G / sqrt(d)).inv())
    assert equivalent.evaluate(d=50, x=1 - 1e-6) == 1
    with pytest.raises(ct.ConvergenceError, match="threshold"):
        equivalent.evaluate(d=50, x=1 - 1e-9)
    with pytest.raises(ct.DomainError, match="radius"):
        equivalent.evaluate(d=50, x=1 + 1e-6)


def test_the_radius_of_a_ridge_regression_is_df2_over_T():
    """On the resolvent of a covariance the map exchanges two traces, and the square of its radius is df2/T."""
    from collapse_theory.engine.fixed_point import solve
    from collapse_theory.numerics.entries import tabulate
    from collapse_theory.numerics.existence import VerifiedArithmetic, verified_expressions
    from collapse_theory.numerics.measure import Measure

    values = np.arange(1, 41) ** -0.8
    structure = ct.deterministic_equivalent((X.T * X / T + lam * ONE).inv()).structure
    spaces = {d: Measure({"Sigma": values}, np.ones(40)), T: Measure({}, np.array([30.0]))}
    numbers = {d: 40.0, T: 30.0, lam: 0.05}
    arithmetic = VerifiedArithmetic(spaces, tabulate(verified_expressions(structure), spaces, numbers))
    solve(structure, arithmetic)
    kappa = ct.effective_ridge(ct.Eigenvalues(values), T=30, lam=0.05)
    np.testing.assert_allclose(arithmetic.radius**2, np.sum((values / (values + kappa)) ** 2) / 30, rtol=1e-12)


# ---------------------------------------------------------------------- limits and cancellation
LIMITS = {
    "lam R": (lam * R, 120, 0.4),
    "R S": (R * S, 120, 0.6),
    "S R": (S * R, 120, 0.6),
    "lam^2 R^2": (lam**2 * R * R, 120, 0.4),
    "R S R": (R * S * R, 120, 0.9),  # the sum of 1/s over the spectrum: (T/d) (T/d) / (1 - T/d)
    "what a fit leaves of its rows": (Identity(T) - Z * R * Z.T / T, 120, 0.0),
    "lam R with many rows": (lam * R, 300, 0.0),
    "R with many rows": (R, 300, 3.0),
    "lam R at the threshold": (lam * R, 200, 0.0),
}


@pytest.mark.parametrize("name", LIMITS)
def test_limits_without_a_ridge(name):
    e, rows, want = LIMITS[name]
    got = ct.deterministic_equivalent(e).evaluate(T=rows, d=200, lam=0.0)
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-9 if want == 0 else 0)


@pytest.mark.parametrize(("e", "rows"), [(R, 120), (R, 200), (R * R, 120), (R * S * R, 200)])
def test_limits_that_diverge_are_refused(e, rows):
    with pytest.raises(ct.DomainError, match="diverges"):
        ct.deterministic_equivalent(e).evaluate(T=rows, d=200, lam=0.0)


def test_a_limit_that_depends_on_the_direction_is_refused():
    a, b = Symbol("a", nonnegative=True), Symbol("b", nonnegative=True)
    e = a * (S + (a + b) * ONE).inv()
    with pytest.raises(ct.DomainError, match="from every side"):
        ct.deterministic_equivalent(e).evaluate(T=120, d=200, a=0.0, b=0.0)
    assert ct.deterministic_equivalent(e).evaluate(T=120, d=200, a=0.0, b=0.1) == 0


@pytest.mark.parametrize("ridge", [1e-3, 1e-8, 1e-12, 1e-20, 1e-40, 1e-100])
def test_tiny_ridges_do_not_cancel(ridge):
    """R S = 1 - lam R and lam R S R exactly; in float64 the recursion alone would lose every digit."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = {"T": 120, "d": 200, "lam": ridge}
        got = [float(ct.deterministic_equivalent(e).evaluate(**values)) for e in (R * S, R * S * R, lam * R)]
    phi = 200 / 120
    root = np.sqrt((ridge + phi - 1) ** 2 + 4 * ridge)
    kappa = (ridge + phi - 1 + root) / 2
    product = kappa / (1 + kappa)  # lam R
    slope = (1 + (ridge + phi + 1) / root) / 2 / (1 + kappa) ** 2  # its derivative: R - lam R^2 = R S R
    np.testing.assert_allclose(got, [1 / (1 + kappa), slope, product], rtol=1e-11)


# ---------------------------------------------------------------------- closed forms
def test_a_closed_form_is_refused_where_there_is_no_equivalent():
    """Every way from a closed form to a number: a formula in float64 and with digits, and substitution in SymPy."""
    equivalent = ct.deterministic_equivalent(N)
    formula = ct.ErrorFormula({"trace": equivalent.trace()}, "proportional")
    assert formula.evaluate(T=600, d=400, lam=1.0) == pytest.approx(400)
    assert formula.evaluate(T=600, d=400, lam=1.0, digits=20) == pytest.approx(400)
    assert equivalent.expr.subs({T: 600, d: 400, lam: 1}) == 1
    np.testing.assert_allclose(formula.evaluate(T=600, d=400, lam=np.array([1.0, 2.0])), [400, 200])
    for attempt in (
        lambda: formula.evaluate(T=600, d=400, lam=0.1),
        lambda: formula.evaluate(T=600, d=400, lam=np.array([1.0, 0.1])),
        lambda: formula.evaluate(T=600, d=400, lam=0.1, digits=20),
        lambda: formula.subs({"lam": 0.1}).evaluate(T=600, d=400),
        lambda: equivalent.expr.subs({T: 600, d: 400, lam: Rational(1, 10)}),
        lambda: ct.deterministic_equivalent((ONE + ginibre(2)).inv()).expr.subs(d, 10),
    ):
        with pytest.raises(ct.DomainError, match="radius"):
            attempt()
    assert r"\rho" in equivalent.latex()
    assert "Existence" not in equivalent.latex()


def test_a_closed_form_over_a_covariance_is_refused_where_there_is_no_equivalent():
    hidden = (X.T * X / T + lam * ONE).inv() + lam * N
    equivalent = ct.deterministic_equivalent(hidden)
    how = {"spectrum": ct.Spiked(40, spikes=[3.0]), "T": 60}
    for e in (equivalent.trace(), equivalent.quadratic_form()):
        formula = ct.ErrorFormula({"value": e}, "proportional")
        assert formula.evaluate(**how, target=ct.RandomTarget(), lam=1.0) > 0
        with pytest.raises(ct.DomainError, match="radius"):
            formula.evaluate(**how, target=ct.RandomTarget(), lam=0.1)
    np.testing.assert_allclose(
        ct.ErrorFormula({"value": equivalent.trace()}, "proportional").evaluate(**how, lam=1.0),
        equivalent.evaluate(**how, lam=1.0).sum(),
    )


def test_closed_forms_that_always_exist_carry_no_condition():
    from collapse_theory.engine.guard import Existence

    W = ct.GaussianMatrix("W", d, T)
    for e in (R, S * R, (X.T * X / T + lam * ONE).inv(), (Z * W * W.T * Z.T / d + lam * Identity(T)).inv(), G * G.T):
        assert not ct.deterministic_equivalent(e).expr.has(Existence)
    for e in (N, (S - lam * ONE).inv(), (ONE + H).inv(), (S1 - S2 + lam * ONE).inv()):
        assert Existence(e).has(Existence)
