"""Letters and expressions of the engine: they are SymPy's, and what does not fit is named."""

import pickle

import pytest
from sympy import Integer, MatrixSymbol, Rational, Symbol, Trace, exp, sin

import collapse_theory as ct
from collapse_theory.symbols import T, d
from tests.matrices import R, Sigma, X, Z


def test_expressions_survive_sympy():
    e = R * Sigma * R
    assert e.doit() == e
    assert pickle.loads(pickle.dumps(e)) == e
    assert e.func(*e.args) == e
    assert R.T == R
    S1, _ = ct.commuting(ct.Covariance("Sigma1", d), ct.Covariance("Sigma2", d))
    assert pickle.loads(pickle.dumps(S1)).commuting_with == ("Sigma1", "Sigma2")
    assert ct.Covariance("Sigma1", d) != S1


BAD = {
    "rectangular result": (lambda: Z, ct.DomainError, "square matrix"),
    "unknown matrix": (lambda: R * MatrixSymbol("unknown", d, d), ct.DomainError, "unknown"),
    "two roles": (lambda: R * ct.GaussianMatrix("Sigma", d, d), ct.DomainError, "'Sigma'"),
    "transcendental": (lambda: exp(R), ct.DomainError, "exp"),
    "elementwise": (lambda: R.applyfunc(sin), ct.DomainError, "integer powers"),
    "root of a random matrix": (lambda: R ** Rational(1, 2), ct.DomainError, "roots"),
    "matrix power": (lambda: R**Sigma, ct.DomainError, "Sigma"),
    "inverse of a rectangle": (Z.inv, ct.DomainError, "T x d"),
    "square of a rectangle": (lambda: (Z * Z) * Z.T, ct.DomainError, "power 2"),
    "product that does not fit": (lambda: X.T * X * X, ct.DomainError, "columns"),
    "sum that does not fit": (lambda: R + Z, ct.DomainError, "one shape"),
    "matrix inside a scalar": (lambda: Trace(R) * R, ct.DomainError, "Trace"),
    "singular": (lambda: Sigma * (X.T * X).inv(), ct.DomainError, "(Sigma**(1/2)*Z.T*Z*Sigma**(1/2))**(-1)"),
    "not a matrix": (lambda: Integer(3), ct.DomainError, "matrix expression"),
    "two covariances": (lambda: R * ct.Covariance("Omega", d), ct.NonCommutingError, "Omega"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_expressions_are_named(case):
    build, kind, words = BAD[case]
    with pytest.raises(kind, match="deterministic_equivalent needs") as error:
        ct.deterministic_equivalent(build())
    assert words in str(error.value)


@pytest.mark.parametrize(
    "build",
    [
        lambda: ct.GaussianMatrix("not a name", T, d),
        lambda: ct.GaussianMatrix("Z", 0, d),
        lambda: ct.GaussianMatrix("Z", 2.5, d),
        lambda: ct.Covariance("Sigma", d, T),
        lambda: ct.sqrt(Symbol("x")),
        lambda: ct.commuting(Sigma, Sigma),
        lambda: ct.commuting(Sigma, Z),
        lambda: ct.commuting(Sigma, ct.Covariance("Other", T)),
    ],
)
def test_bad_letters(build):
    with pytest.raises(ct.CollapseTheoryError):
        build()
