r"""Fresh real rows pooled with rows of the model before: :math:`v\leftarrow v[p_2^2+\tau p_1p_2]+` noise, exactly."""

import numpy as np
import sympy as sp
from transcript import step

import collapse_theory as ct
from collapse_theory.derive.exact import disagreement
from collapse_theory.symbols import N, T, d, n, sigma, sigma0

# 1. The fit is off from the mean labeller by H^-1 sum_a x_a x_a' u_a. On average over the rows that is nothing: exchangeable rows
#    have E[H^-1 x_a x_a'] = I/N, and the deviations u_a sum to zero. So an earlier error meets that of the mean labeller only.
rng = np.random.default_rng(6)
X = rng.standard_normal((9, 3))
H = np.linalg.inv(X.T @ X)
step("sum_a H^-1 x_a x_a' = I", np.allclose(sum(H @ np.outer(x, x) for x in X), np.eye(3)))

# 2. With the error e of the model before, the labellers of a round are off by 0 and e, their mean by (1-w) e, with w = T/N.
e, w = sp.symbols("e w")
apart = sp.expand(w * ((1 - w) * e) ** 2 + (1 - w) * (e - (1 - w) * e) ** 2)
step("sum_i p_i |w_i - mean|^2 = w (1-w) e^2", sp.expand(apart - w * (1 - w) * e**2) == 0)

# 3. So a round keeps (1-w)^2 + tau w (1-w) of the error and adds its noise (tau: see ols_strong_collapse.py).
theorem = ct.catalog["ols-fresh-real"].error
kept = ((1 - w) ** 2 + disagreement(N) * w * (1 - w)).subs(w, T / N)
added = d * (T * sigma**2 + (N - T) * sigma0**2) / (N * (N - d - 1))
fraction = sp.Rational
points = [
    {N: 30, d: 4, T: 12, sigma: fraction(1, 2), sigma0: fraction(2, 3)},
    {N: 90, d: 11, T: 15, sigma: 2, sigma0: fraction(1, 7)},
]
for at in points:
    v = (sigma**2 * d / (T - d - 1)).subs(at)
    for j in range(5):
        step(f"theorem({j}) solves the recursion, exactly", theorem.expr.subs(n, j).subs(at).doit() == v)
        v = v * kept.subs(at) + added.subs(at)

# 4. The limit is the fixed point. It is reached: tau (1-w) < 2 - w wherever T >= d + 2, so that a round keeps less than all.
limit = ct.catalog["ols-fresh-real-limit"].error.expr
for at in points:
    v = limit.subs(at)
    step("the limit is the fixed point", v == v * kept.subs(at) + added.subs(at))
ratio = sp.lambdify((N, d, T), kept)
grid = [
    (real + synthetic, D, real)
    for D in (1, 2, 5, 30, 300)
    for real in (D + 2, 2 * D + 3, 9 * D)
    for synthetic in (1, 4, 50, 9000)
    if real > D + 1
]
step("a round keeps less than all", all(0 < ratio(*at) < 1 for at in grid))

# 5. A naive simulation of two rounds, and a round that would forget the disagreement.
D, real, synthetic = 2, 6, 4
runs = []
for _ in range(20000):
    Z, noise = rng.standard_normal((real, D)), rng.standard_normal(real)
    fit = np.linalg.solve(Z.T @ Z, Z.T @ noise)
    for _ in range(2):
        Z, noise = rng.standard_normal((real + synthetic, D)), rng.standard_normal(real + synthetic)
        noise[real:] += Z[real:] @ fit
        fit = np.linalg.solve(Z.T @ Z, Z.T @ noise)
    runs.append(fit @ fit)
at = {"T": real, "N": real + synthetic, "sigma": 1, "sigma0": 1}
want, gap = theorem.evaluate(spectrum=ct.Isotropic(D), n=2, **at), 4 * np.std(runs) / len(runs) ** 0.5
step("and so says simulation", abs(np.mean(runs) - want) < gap)
forgetful = 2 / 3
for _ in range(2):
    forgetful = forgetful * (synthetic / (real + synthetic)) ** 2 + 2 / 7
step("which rejects rounds without disagreement", abs(np.mean(runs) - forgetful) > gap)
