r"""Labelling by a random past model: row by row it is as good as keeping all data, round by round it still collapses.

Theorems ``token-random-past``, ``gaussian-random-past``; the variant with one draw per round is
``closed_forms.random_past_rounds``.
"""

from sympy import Rational, gamma, prod, simplify, symbols

import collapse_theory as ct
from collapse_theory.families import closed_forms
from collapse_theory.families.calculus import RowLaw
from collapse_theory.symbols import T, n

# 1. Row by row the sample comes from the mixture q_k of the truth and the models 1...k-1, and Var f = Var q + (1 - Var q)/T.
#    The mixture moves by (model - q)/(k+1), where model = q + noise: 1 - Var q loses the factor 1 - 1/(T (k+1)^2).
k, v = symbols("k v", positive=True)
spread = (1 - v) / T
assert simplify(1 - (v + spread / (k + 1) ** 2) - (1 - v) * (1 - 1 / (T * (k + 1) ** 2))) == 0
print("1. mixture")

# 2. Hence 1 - c_n = prod_{j<=n} (1 - 1/(T j^2)): the law of accumulate.
difference = ct.catalog["token-random-past"].error.expr - ct.catalog["token-accumulate"].error.expr
assert all(abs(difference.subs({n: rounds, T: 7}).evalf(30)) < 1e-28 for rounds in range(1, 6))
pipe = ct.workflows.random_past(4, ct.Stage(T=3))
want = prod(1 - Rational(1, 3 * j * j) for j in range(1, 5))
assert 1 - ct.covariances(pipe, family=ct.Gaussian())[-1, -1] == want
print("2. row by row:", want)

# 3. One model drawn for all rows of a round: 1 - c_{k+1} = (1 - 1/T) mean_{j<=k}(1 - c_j), so k + 1 - 1/T over k + 1 per round.
left = gamma(n + 1 - 1 / T) / (gamma(n + 1) * gamma(1 - 1 / T))
variant = closed_forms.random_past_rounds(RowLaw.TOKENS).variance
for rounds in range(1, 6):
    values = [Rational(1)]
    for _ in range(rounds):
        values.append((1 - Rational(1, 3)) * sum(values) / len(values))
    assert abs((left.subs({n: rounds, T: 3}) - values[-1]).evalf(30)) < 1e-28
    assert abs((1 - variant - left).subs({n: rounds, T: 3}).evalf(30)) < 1e-28
print("3. round by round:", left, "-> 0 like n^(-1/T)")
