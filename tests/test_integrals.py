"""Spectral integrals: linear, canonical, and opaque to everything that could touch the bound eigenvalue."""

import pickle

import pytest
import sympy as sp

import collapse_theory as ct
from collapse_theory.algebra.integrals import QuadraticForm, SpectralTrace, df
from collapse_theory.symbols import Eigenvalue, T, d, kappa
from collapse_theory.symbols import eigenvalue as s

E = SpectralTrace(s / (s + kappa)) * SpectralTrace(s / (s + kappa) ** 2) + QuadraticForm(s / (s + kappa))


def test_equal_integrands_are_equal_objects():
    assert SpectralTrace(1 - kappa / (s + kappa)) == df(1, kappa)
    assert SpectralTrace(3 * T * s) == 3 * T * SpectralTrace(s)
    assert SpectralTrace(0) == 0
    assert SpectralTrace(1) == d
    assert SpectralTrace(s) != QuadraticForm(s)


def test_differentiates_under_the_integral():
    assert df(1, kappa).diff(kappa) == -SpectralTrace(s / (s + kappa) ** 2)
    assert df(1, kappa).diff(s) == 0


@pytest.mark.parametrize("name", ["Sigma", sp.Symbol("Sigma"), sp.Symbol("Sigma", positive=True), s])
def test_nothing_reaches_the_bound_symbol(name):
    assert E.subs(name, 3) == E
    if not isinstance(name, str):
        assert E.xreplace({name: sp.Integer(3)}) == E
    assert not any(isinstance(x, Eigenvalue) for x in E.free_symbols)


def test_capture_is_refused():
    for replace in (lambda: E.subs(kappa, s), lambda: E.xreplace({kappa: s})):
        with pytest.raises(ct.DomainError, match="capture"):
            replace()


def test_substitution_of_free_symbols_recanonicalises():
    assert df(1, kappa).subs(kappa, 0) == d
    assert df(1, kappa).xreplace({kappa: sp.Integer(0)}) == d
    assert E.xreplace({E.args[0]: T}).has(T)


@pytest.mark.parametrize(
    "rewrite", [sp.simplify, sp.expand, sp.together, sp.factor, sp.powsimp, lambda e: e.evalf(), sp.nsimplify]
)
def test_rewriting_leaves_integrals_whole(rewrite):
    assert sp.expand(rewrite(E) - E) == 0


def test_common_subexpressions_do_not_leak():
    definitions, (reduced,) = sp.cse(E)
    assert not any(isinstance(x, Eigenvalue) for _, e in definitions for x in e.free_symbols)
    for x, e in reversed(definitions):
        reduced = reduced.xreplace({x: e})
    assert reduced == E


def test_lambdify_refuses_rather_than_guesses():
    with pytest.raises(Exception, match=r"Unsupported|not implemented|QuadraticForm|SpectralTrace"):
        sp.lambdify([kappa], E)(1.0)


def test_pickles_to_an_equal_object():
    assert pickle.loads(pickle.dumps(E)) == E


def test_latex_also_squared():
    assert sp.latex(df(2, kappa)) == r"\mathrm{df}_{2}(\kappa)"
    assert sp.latex(df(1, kappa) ** 2) == r"\mathrm{df}_{1}(\kappa)^{2}"
    assert sp.latex(QuadraticForm(s) ** 2) == r"\left(w_0^\top \Sigma w_0\right)^{2}"
    assert sp.latex(T * QuadraticForm(s)) == r"T w_0^\top \Sigma w_0"
    assert sp.latex(QuadraticForm(s)) == r"w_0^\top \Sigma w_0"
