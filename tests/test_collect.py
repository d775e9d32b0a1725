"""Like integrals collected without changing the value."""

import sympy as sp

from collapse_theory.algebra.collect import collected
from collapse_theory.algebra.integrals import QuadraticForm, SpectralTrace, df
from collapse_theory.symbols import T, kappa
from collapse_theory.symbols import eigenvalue as s


def test_collects_like_integrals_without_changing_the_value():
    e = (kappa**2 * QuadraticForm(s / (s + kappa) ** 2) / (T - df(2, kappa))).diff(kappa)
    merged = collected(e)
    at = {kappa: sp.Rational(1, 3), T: sp.Integer(7)}

    def value(x):
        return x.xreplace(
            {
                i: sum(w * i.integrand.xreplace({s: sp.Integer(v)}) for v, w in ((1, 1), (2, 5)))
                for i in x.atoms(SpectralTrace, QuadraticForm)
            }
        ).subs(at)

    assert value(merged) == value(e)
    assert QuadraticForm(s**2 / (s + kappa) ** 3) in merged.atoms(QuadraticForm)
