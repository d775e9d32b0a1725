r"""Tokens under replacement: diversity shrinks by exactly 1 - 1/T per resampling, whatever the distribution.

Theorems ``token-replace``, ``token-total-collapse``, ``gaussian-replace``.
"""

from itertools import product

from sympy import Rational, S, Symbol, binomial, expand, factor, simplify

import collapse_theory as ct
from collapse_theory.symbols import T, n

# 1. One row is one-hot with probabilities q, so T rows have frequencies f with E f = q and, entry by entry,
#    E f_a f_b = (1 - 1/T) q_a q_b + (a = b) q_a / T: two rows are independent, a row agrees with itself.
q = Symbol("q", positive=True)
for rows in (1, 2, 3, 4):
    second = sum(binomial(rows, k) * q**k * (1 - q) ** (rows - k) * Rational(k, rows) ** 2 for k in range(rows + 1))
    assert expand(second - ((1 - Rational(1, rows)) * q**2 + q / rows)) == 0
print("1. second moment of a frequency")

# 2. Summed over tokens, the diversity 1 - sum f^2 has the mean (1 - 1/T)(1 - sum q^2): one factor per resampling.
gini = Symbol("g", positive=True)
square = 1 - gini
assert simplify(1 - ((1 - 1 / T) * square + 1 / T) - (1 - 1 / T) * gini) == 0
print("2. one resampling: diversity times 1 - 1/T")

# 3. The squared error follows: E |f|^2 - |p|^2 = (1 - |p|^2) - diversity. So c = 1 - (1 - 1/T)^(n+1) after n + 1 resamplings.
c = 1 - (1 - 1 / T) ** (n + 1)
theorem = ct.catalog["token-replace"].error.expr
assert all(simplify((theorem - c).subs({n: k, T: t})) == 0 for k, t in product(range(4), range(1, 6)))
assert simplify(ct.catalog["gaussian-replace"].error.expr - theorem) == 0
print("3. token-replace:", theorem)

# 4. With two tokens or more left, the counts k and T - k of one token and the rest give at least the diversity of (T-1, 1).
k = Symbol("k", positive=True)
two = 1 - (k / T) ** 2 - ((T - k) / T) ** 2
assert simplify(two.diff(k, 2)) == -4 / T**2  # concave: the least value is at the ends
assert all(simplify(two.subs(k, end) - 2 * (T - 1) / T**2) == 0 for end in (1, T - 1))
print("4. least diversity before total collapse:", factor(two.subs(k, 1)))

# 5. Markov's inequality: Pr(not collapsed) <= E diversity / least diversity, and E diversity <= (1 - 1/T)^(n+1).
bound = (1 - 1 / T) ** (n + 1) / (2 * (T - 1) / T**2)
assert simplify((ct.catalog["token-total-collapse"].error.expr / bound).subs({n: 3, T: 7})) == 1
fam = ct.Categorical([S(1) / 4] * 4)
for t, m in ((5, 10), (5, 30), (20, 100)):
    left = 1 - fam.total_collapse_probability(T=t, generations=m + 1)
    assert left <= float(bound.subs({T: t, n: m}))
print("5. token-total-collapse bounds the exact probability")
