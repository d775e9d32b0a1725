r"""Fresh real data every round: the golden ratio. And the same real data kept: at most one and a half times the error.

Theorems ``regular-fresh-real``, ``regular-fresh-real-golden``, ``regular-keep-real``.
"""

from sympy import Rational, cancel, diff, limit, oo, simplify, solve, sqrt, symbols

import collapse_theory as ct
from collapse_theory.families.efficiency import best_stationary_weight
from collapse_theory.symbols import T0, T, n, w

# 1. A round averages w (new real data, variance 1/T) and 1 - w (model before plus noise 1/T0), all independent.
c = symbols("c", positive=True)
after = w**2 / T + (1 - w) ** 2 * (c + 1 / T0)
print("1. c' =", after)

# 2. Its fixed point is the limit.
(fixed,) = solve(after - c, c)
theorem = ct.catalog["regular-fresh-real-limit"].error.expr
assert simplify(theorem - T * fixed) == 0
print("2. limit", simplify(fixed))

# 3. Least at w with w T0 (1 + w ...) = ...: for equal rows w^2 + w = 1, the golden ratio, and the least value is w itself.
equal = cancel((T * fixed).subs(T0, T))
golden = (sqrt(5) - 1) / 2
assert simplify(diff(equal, w).subs(w, golden)) == 0
assert simplify(equal.subs(w, golden) - golden) == 0
assert simplify(best_stationary_weight(ct.Regular()).subs(T0, T) - golden) == 0
assert simplify(ct.catalog["regular-fresh-real-golden"].error.expr - golden) == 0
print("3. best share and least relative variance", golden)

# 4. The same real sample kept: the model is the real average plus independent noise, so its covariance with it stays 1/T.
b = T0 / (T + T0)
kept = (1 - b) ** 2 / T + 2 * b * (1 - b) / T + b**2 * (c + 1 / T0)
(stays,) = solve(kept - c, c)
assert simplify(ct.catalog["regular-keep-real-limit"].error.expr - T * stays) == 0
assert limit(T * stays, T0, oo) == Rational(3, 2)
print("4. keep_real tends to", simplify(T * stays), "<= 3/2 for any amount of synthetic data")

# 5. In symbolic n both are geometric; a numeric pipeline agrees.
for slug, build in (
    ("regular-keep-real", lambda: ct.workflows.keep_real(3, ct.Stage(T=8), ct.Stage(T=5))),
    ("regular-fresh-real", lambda: ct.workflows.fresh_real(3, ct.Stage(T=8), ct.Stage(T=5), weight=Rational(2, 3))),
):
    value = ct.catalog[slug].error.expr.subs({n: 3, T: 8, T0: 5, w: Rational(2, 3)})
    assert simplify(value - ct.test_error(build(), family=ct.Regular()).expr) == 0
print("5. the rounds agree with the calculus")
