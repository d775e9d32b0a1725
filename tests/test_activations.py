"""Coefficients of activations, against closed forms, Hermite polynomials and mpmath."""

import math
import pickle

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import collapse_theory as ct

CLOSED = {
    "relu": (1 / math.sqrt(2 * math.pi), 0.5, 0.25 - 1 / (2 * math.pi)),
    "erf": (0, 2 / math.sqrt(3 * math.pi), 2 / math.pi * math.asin(2 / 3) - 4 / (3 * math.pi)),
}


@pytest.mark.parametrize("name", CLOSED)
def test_closed_forms(name):
    phi = ct.Activation(name)
    assert (phi.mean, phi.linear, phi.residual**2) == pytest.approx(CLOSED[name], abs=1e-13)


def by_mpmath(f, kinks=()):
    """Return the three coefficients in 30 digits."""
    with mpmath.workdps(30):
        points = [-mpmath.inf, *sorted({0, *kinks}), mpmath.inf]

        def mean(g):
            return mpmath.quad(lambda u: g(u) * mpmath.npdf(u), points)

        constant, linear = mean(f), mean(lambda u: u * f(u))
        return float(constant), float(linear), float(mpmath.sqrt(mean(lambda u: (f(u) - constant - linear * u) ** 2)))


def test_functions_against_mpmath():
    for phi, want in (
        (ct.Activation("tanh"), by_mpmath(mpmath.tanh)),
        (ct.Activation(lambda u: np.clip(u, -1, 1.5)), by_mpmath(lambda u: min(max(u, -1), 1.5), (-1, 1.5))),
        (ct.Activation(lambda u: u / (1 + np.exp(-u))), by_mpmath(lambda u: u / (1 + mpmath.exp(-u)))),
    ):
        assert (phi.mean, phi.linear, phi.residual) == pytest.approx(want, abs=1e-10)


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=5))
@settings(max_examples=15, deadline=None)
def test_polynomials_are_their_hermite_coefficients(given):
    powers = [given[0], 1 + abs(given[0]), *given[1:]]
    hermite = np.polynomial.hermite_e.poly2herme(powers)
    if abs(hermite[1]) < 0.01:
        return
    phi = ct.Activation(powers)
    rest = sum(math.factorial(k) * c * c for k, c in enumerate(hermite) if k > 1)
    assert (phi.mean, phi.linear) == pytest.approx((hermite[0], hermite[1]), abs=1e-9)
    assert phi.residual**2 == pytest.approx(rest, abs=1e-9)
    np.testing.assert_allclose(phi(np.array([0.5, -2.0])), np.polynomial.polynomial.polyval([0.5, -2.0], powers))


def test_equivalents_and_copies():
    phi = ct.Activation("tanh")
    assert phi.equivalent.gaussian
    assert (phi.equivalent.linear, phi.equivalent.residual) == (phi.linear, phi.residual)
    assert ct.Activation.of(phi) is phi
    assert repr(ct.Activation([0, 2]).equivalent) == "Activation([0.0, 2.0]).equivalent"
    assert pickle.loads(pickle.dumps(phi)) == phi


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("rely", "did you mean 'relu'"),
        (3, "polynomial or a function"),
        ([1.0, 0.0, 1.0], "linear part"),
        (np.cos, "linear part"),
        ([1.0, float("nan")], "finite"),
        ([], "activation"),
        (math.sin, "NumPy"),
        (lambda u: u[:0], "shape"),
        (lambda u: 1 / np.abs(u - 0.5), "activation needs"),
        (lambda u: np.exp(u * u), "finite"),
    ],
)
def test_bad_input(wrong, message):
    with pytest.raises(ct.PipelineError, match=message):
        ct.Activation(wrong)
