r"""Tail cutting: what a model does not know of a Zipf vocabulary, and what generators and a cut leave of it.

``ct.Tails``.
"""

import math
from fractions import Fraction
from itertools import product

import numpy as np
from sympy import Rational, Symbol, exp, gamma, integrate, oo, simplify, uppergamma, zeta

import collapse_theory as ct

# 1. A text of T tokens lacks token i with probability (1 - q_i)^T, so that E = sum p_i (1 - q_i)^T: by enumeration of all texts.
p = [Fraction(36, 49), Fraction(9, 49), Fraction(4, 49)]
rows = 4
by_text = sum(
    math.prod(p[i] for i in text) * sum(p[i] for i in range(3) if i not in text)
    for text in product(range(3), repeat=rows)
)
assert by_text == sum(x * (1 - x) ** rows for x in p)
assert math.isclose(ct.Tails(2, vocabulary=3).error(rows), by_text, rel_tol=1e-14)
print("1. E = sum p (1 - q)^T:", by_text)

# 2. For many tokens the sum is an integral over ranks, with exp(-u q) for (1 - q)^T. In y = u q, q = x^(-w)/Z: a gamma function.
y, u, w, beta, Z = (Symbol(name, positive=True) for name in ("y", "u", "w", "beta", "Z"))
x = (u / (Z * y)) ** (1 / w)
c = Symbol("c", positive=True)  # (beta - 1)/w
measure = simplify((x**-beta * -x.diff(y) * y ** (1 - c)).subs(beta, 1 + c * w))
assert simplify(measure.diff(y)) == 0  # x^(-beta) dx is a constant times y^(c - 1) dy
integral = measure * integrate(y ** (c - 1) * exp(-y), (y, 0, oo), conds="none")
assert simplify(integral - (Z / u) ** c * gamma(c) / w) == 0
print("2. C =", (integral * u**c / Symbol("zeta_beta")).simplify())

# 3. The class says the same, and the sum tends to it.
for b, width in ((Rational(3, 2), Rational(3, 2)), (Rational(2), Rational(3))):
    tails = ct.Tails(b, narrowed=width)
    assert (
        simplify(tails.constant - (integral * u**c).subs({c: (b - 1) / width, Z: zeta(width), w: width}) / zeta(b)) == 0
    )
    assert abs(tails.error(1e40) / float(tails.constant * 10 ** (-40 * tails.exponent)) - 1) < 1e-10
print("3. c, C at beta = 2, beta' = 3:", tails.exponent, tails.constant)

# 4. A cut at rank k ends the integral at y = u q_k, and loses k^(1 - beta)/((beta - 1) zeta(beta)).
a = Symbol("a", positive=True)
assert simplify(uppergamma(c, a).diff(a) + a ** (c - 1) * exp(-a)) == 0
assert uppergamma(c, a).subs(c, 2).limit(a, 0) == 1
k = 10**6
assert abs(ct.Tails(2, cut=k).error(math.inf) * k * float(zeta(2)) - 1) < 1e-5
assert abs(ct.Tails(2, cut=k).error(1e12) / ct.Tails(2, cut=k).leading(1e12) - 1) < 1e-5
print("4. floor of a cut at", k, "at beta = 2:", round(ct.Tails(2, cut=k).error(math.inf) * k, 5), "/ k")

# 5. Counts of rare tokens are Poisson. If m rows leave exp(-g m) of a token, a text in which it has the mean t leaves
#    E exp(-g N) = exp(-t (1 - exp(-g))): one more generator takes g to 1 - exp(-g).
g, t, m = Symbol("g", positive=True), Symbol("t", positive=True), 60
series = sum(float(t0**j * math.exp(-t0 - j * 0.7) / math.factorial(j)) for t0 in (1.3,) for j in range(m))
assert math.isclose(series, float(exp(-t * (1 - exp(-g))).subs({t: 1.3, g: 0.7})), rel_tol=1e-14)
tails, T0 = ct.Tails(2), 10**9
for n in (1, 3, 10):
    assert abs(tails.error(math.inf, T0=T0, n=n) / tails.leading(math.inf, T0=T0, n=n) - 1) < 1e-6
print("5. plateau of 1, 3 and 10 generators:", [float(f"{tails.error(math.inf, T0=T0, n=n):.5g}") for n in (1, 3, 10)])

# 6. 1/g grows by one half per generator, since 1/(1 - exp(-g)) = 1/g + 1/2 + O(g): g ~ 2/n, and the plateau grows like n^c.
assert (1 / (1 - exp(-g))).series(g, 0, 1).removeO() == 1 / g + Rational(1, 2)
ratio = tails.leading(math.inf, T0=T0, n=10**6) / tails.leading(math.inf, T0=T0, n=10**4)
assert abs(math.log(ratio, 100) - 0.5) < 1e-3
print("6. growth in n:", round(math.log(ratio, 100), 4))

# 7. A generator and a cut that leave the same: k = (u/zeta)^(1/beta) Gamma(2 - 1/beta)^(-1/(beta - 1)).
for b in (1.5, 2.0, 3.0):
    rank = (T0 / float(zeta(b))) ** (1 / b) * math.gamma(2 - 1 / b) ** (-1 / (b - 1))
    assert np.isclose(ct.Tails(b).equivalent_cut(T0), rank, rtol=1e-12)
print("7. equivalent cut at beta = 2:", round(ct.Tails(2).equivalent_cut(T0)))
