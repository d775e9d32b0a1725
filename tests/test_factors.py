"""Factored forms are those of SymPy, found sooner."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import Add, Mul, Rational, expand, factor, fraction, symbols, together

from collapse_theory.present.factors import factored, joined, quotient

X = symbols("x y z", positive=True)
COEFFICIENTS = st.sampled_from([-3, -1, 1, 2, Rational(1, 2), Rational(-4, 3)])
MONOMIALS = st.tuples(COEFFICIENTS, st.tuples(*[st.integers(0, 2)] * 3)).map(
    lambda t: Mul(t[0], *(x**k for x, k in zip(X, t[1], strict=True)))
)
SUMS = st.lists(MONOMIALS, min_size=1, max_size=3).map(lambda terms: Add(*terms))


@given(SUMS, SUMS)
@settings(max_examples=30, deadline=None)
def test_polynomials_are_factored_as_by_sympy(a, b):
    assert factored(expand(a * b)) == factor(expand(a * b))


@given(SUMS, SUMS, SUMS)
@settings(max_examples=20, deadline=None)
def test_quotients_are_factored_as_by_sympy(a, b, c):
    if b == 0 or c == 0:
        return
    e = expand(a) / expand(b) + 1 / expand(c)
    assert quotient(e) == fraction(factor(together(e)))
    assert joined(e) == fraction(together(e))


@pytest.mark.parametrize(
    "e", [X[0] ** 2 - X[1] ** 2, X[0] + 1 / X[0], 2 * X[0] + 2 * X[1], X[0] * X[1] - X[0] - X[1] + 1]
)
def test_what_has_factors_is_not_taken_for_irreducible(e):
    assert factored(e) == factor(e) != e
