"""Special functions of the exact theory: derivatives, sums and digits by their definition."""

import math

import mpmath
import pytest
import sympy as sp

from collapse_theory.algebra.special import DigammaDifference, GammaRatio, GeometricSum, sum_of_simple_poles
from collapse_theory.numerics.kernels import float64_kernels


@pytest.mark.parametrize(("f", "names"), [(DigammaDifference, "x h"), (GeometricSum, "x n")])
def test_derivatives_are_those_of_the_definition(f, names):
    a, b = sp.symbols(names, positive=True)
    at = {a: sp.Rational(1, 3), b: sp.Rational(7, 2)}
    for x in (a, b):
        assert sp.N(f(a, b).diff(x).doit().subs(at) - f(a, b).doit().diff(x).subs(at), 30) == pytest.approx(
            0, abs=1e-25
        )


def test_sums_of_simple_poles():
    i, n = sp.Symbol("i"), sp.Symbol("n")
    total = sum_of_simple_poles(1 / (i * (i + sp.Rational(1, 2))), i, n)
    for k in (1, 2, 6):
        want = sum(1 / (j * (j + sp.Rational(1, 2))) for j in range(1, k + 1))
        assert sp.N(total.subs(n, k).doit() - want, 30) == pytest.approx(0, abs=1e-25)
    for bad in (1 / i, 1 / i**2):
        with pytest.raises(ValueError, match=r"pole|decay"):
            sum_of_simple_poles(bad, i, n)


@pytest.mark.parametrize("x", [0.5, 15.9, 16.0, 1e3, 1e6, 1e12])
@pytest.mark.parametrize("h", [-0.4, -1e-9, 0.5, 1.3, 10.5])
def test_gamma_ratio_does_not_lose_what_cancels_between_two_logarithms(x, h):
    with mpmath.workdps(60):
        want = mpmath.gammaprod([mpmath.mpf(x) + mpmath.mpf(h)], [mpmath.mpf(x)])
        if x > 1e5:
            want = mpmath.exp(mpmath.loggamma(mpmath.mpf(x) + mpmath.mpf(h)) - mpmath.loggamma(mpmath.mpf(x)))
        for got in (float64_kernels()["GammaRatio"](x, h), float(GammaRatio(sp.Float(x), sp.Float(h)).evalf(20))):
            # The recurrence has 16 factors; the logarithm of the ratio, h log x, is rounded once or twice.
            assert abs(got - want) <= want * 2.0**-52 * (16 + 2 * abs(h) * math.log(x + 2))
