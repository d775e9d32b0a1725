r"""Accumulate with fresh inputs: :math:`E_n=\sigma^2d\sum_{i\le n}1/[i(iT-d-1)]`, in digamma form, with its limit."""

import mpmath
import numpy as np
import sympy as sp
from transcript import step

import collapse_theory as ct
from collapse_theory.symbols import T, d, n, sigma

# 1. Telescoping: with H_n the Gram matrix of all rows, H_n w_n = H_n w_{n-1} + X_n' eps_n. Three rounds by lstsq on everything:
rng = np.random.default_rng(1)
labeller, rows, labels = rng.standard_normal(3), np.empty((0, 3)), np.empty(0)
for k in range(1, 4):
    X, eps = rng.standard_normal((6, 3)), rng.standard_normal(6)
    rows, labels = np.vstack([rows, X]), np.concatenate([labels, X @ labeller + eps])
    fit = np.linalg.lstsq(rows, labels, rcond=None)[0]
    step(f"round {k}: H (w_k - w_(k-1)) = X_k' eps_k", np.allclose(rows.T @ rows @ (fit - labeller), X.T @ eps))
    labeller = fit

# 2. All rows are exchangeable: E[H^-1 X_n'X_n H^-1] is the share 1/n of E[H^-1 H H^-1] = E H^-1 (checked on the sum over rounds).
grams = [g.T @ g for g in np.split(rows, 3)]
H = np.linalg.inv(sum(grams))
step("the shares of the rounds add up to H^-1", np.allclose(sum(H @ g @ H for g in grams), H))

# 3. With E tr[Sigma H_i^-1] = d/(iT - d - 1) (see ols_replace.py) round i adds sigma^2 (1/i) d/(iT - d - 1): in partial fractions
i = sp.Symbol("i", positive=True)
summand = d / (i * (i * T - d - 1))
parts = d / (d + 1) * (1 / (i - (d + 1) / T) - 1 / i)
step("d/(i(iT-d-1)) = d/(d+1) [1/(i-c) - 1/i], c = (d+1)/T", sp.simplify(summand - parts) == 0)

# 4. sum_{i<=n} 1/(i - c) = psi(n+1-c) - psi(1-c), by psi(x+1) = psi(x) + 1/x; the package's closed form obeys the recursion:
error = ct.catalog["ols-accumulate"].error
values = {d: 10, T: 15, sigma: 1}
closed = [sp.nsimplify(error.subs({"n": k}).doit().expr.subs(values).expand(func=True)) for k in range(1, 8)]
rounds = [summand.subs(values).subs(i, k) for k in range(1, 8)]
step("closed form(1) = first round", sp.simplify(closed[0] - rounds[0]) == 0)
for k in range(1, 7):
    step(
        f"closed form({k + 1}) - closed form({k}) = round {k + 1}",
        sp.simplify(closed[k] - closed[k - 1] - rounds[k]) == 0,
    )

# 5. As n grows, psi(n+1-c) - psi(n+1) -> 0, which leaves the limit.
limit = ct.catalog["ols-accumulate-limit"].error.evaluate(spectrum=ct.Isotropic(10), T=15, sigma=1)
series = mpmath.nsum(lambda j: mpmath.mpf(10) / (j * (15 * j - 11)), [1, mpmath.inf])
step("the series converges to the limit theorem", abs(limit - series) < 1e-12)
step("n stays a symbol", n in error.free_symbols)
