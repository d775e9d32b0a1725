r"""Accumulated data: every family keeps a finite variance, by one recursion and two row laws.

Theorems ``gaussian-accumulate``, ``token-accumulate``, ``regular-accumulate`` and their limits (sinc, pi^2/6).
"""

from sympy import Function, Rational, gamma, oo, pi, simplify, sin, sqrt, summation, symbols, zeta

import collapse_theory as ct
from collapse_theory.families import closed_forms
from collapse_theory.families.calculus import RowLaw
from collapse_theory.symbols import T, n

# 1. Round k fits the average of k samples; sample k is the model before plus fresh noise xi_k, so the average moves by xi_k/k.
k = symbols("k", integer=True, positive=True)
before, noise = Function("theta")(k - 1), Function("xi")(k)
assert simplify(((k - 1) * before + (before + noise)) / k - (before + noise / k)) == 0
print("1. theta_k = theta_{k-1} + xi_k/k")

# 2. Regular models: Var xi = 1/T, so c_n = sum 1/k^2 / T, which converges.
regular = summation(1 / (T * k**2), (k, 1, oo))
assert regular == pi**2 / 6 / T == zeta(2) / T
assert ct.catalog["regular-accumulate-limit"].error.expr == T * regular
print("2. regular-accumulate:", closed_forms.accumulate(RowLaw.CONSTANT).variance, "->", regular)

# 3. Tokens and Gaussians: Var xi = (1 - c_{k-1})/T, so 1 - c loses the factor 1 - 1/(T k^2) in round k.
c = symbols("c")
after = c + (1 - c) / (T * k**2)
assert simplify((1 - after) - (1 - c) * (1 - 1 / (T * k**2))) == 0
print("3. 1 - c_k = (1 - c_{k-1}) (1 - 1/(T k^2))")

# 4. The factors have roots +-1/sqrt T in k: their product is a ratio of Gamma functions, the limit Euler's sine product.
x = 1 / sqrt(T)
left = gamma(n + 1 - x) * gamma(n + 1 + x) / gamma(n + 1) ** 2 / (gamma(1 - x) * gamma(1 + x))
for rounds in range(1, 5):
    direct = 1
    for j in range(1, rounds + 1):
        direct *= 1 - Rational(1, 7 * j * j)
    assert abs((left.subs({n: rounds, T: 7}) - direct).evalf(30)) < 1e-28
limit = sin(pi / sqrt(T)) * sqrt(T) / pi
assert abs((left.subs({n: Rational(20001, 2), T: 7}) - limit.subs(T, 7)).evalf(20)) < 1e-4
print("4. product and its limit", limit)

# 5. This is what the package gives, for any pipeline of the kind and in closed form.
theorem = ct.catalog["gaussian-accumulate"].error.expr
assert abs((1 - theorem - left).subs({n: 9, T: 5}).evalf(30)) < 1e-28
assert simplify(1 - ct.catalog["gaussian-accumulate-limit"].error.expr - limit) == 0
pipe = ct.workflows.accumulate(4, ct.Stage(T=T))
assert simplify(ct.Gaussian().covariance_factor(pipe) - (1 - ct.covariances(pipe, family=ct.Gaussian())[-1, -1])) == 0
print("5. gaussian-accumulate agrees")
