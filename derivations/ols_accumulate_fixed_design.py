r"""Accumulate on the same inputs: :math:`E_n=\frac{\sigma^2d}{T-d-1}\sum_{i\le n}i^{-2}\le\frac{\sigma^2d}{T-d-1}\frac{\pi^2}6`."""

import numpy as np
import sympy as sp
from transcript import step

import collapse_theory as ct
from collapse_theory.symbols import T, d, n, sigma

# 1. On one design least squares averages the labels: w_n = w_{n-1} + (1/n) (X'X)^-1 X' eps_n, by lstsq on the stacked rows.
rng = np.random.default_rng(2)
X, labeller, labels = rng.standard_normal((7, 3)), rng.standard_normal(3), []
for k in range(1, 5):
    eps = rng.standard_normal(7)
    labels.append(X @ labeller + eps)
    fit = np.linalg.lstsq(np.vstack([X] * k), np.concatenate(labels), rcond=None)[0]
    step(
        f"round {k}: w_k - w_(k-1) = (1/{k}) (X'X)^-1 X' eps",
        np.allclose(fit - labeller, np.linalg.solve(X.T @ X, X.T @ eps) / k),
    )
    labeller = fit

# 2. The noises are independent, so the factors 1/k^2 add, in units of the clean risk sigma^2 d/(T-d-1) (see ols_replace.py).
error, clean = ct.catalog["ols-accumulate-fixed-design"].error, sigma**2 * d / (T - d - 1)
for k in range(1, 6):
    factor = sum(sp.Rational(1, j**2) for j in range(1, k + 1))
    step(f"factor({k}) = {factor}", sp.simplify(error.expr.subs(n, k).doit() - clean * factor) == 0)

# 3. The sum tends to zeta(2).
limit = ct.catalog["ols-accumulate-fixed-design-limit"].error.expr
step("limit = clean * pi^2/6", sp.simplify(limit - clean * sp.pi**2 / 6) == 0)
step(
    "pi^2/6 = sum 1/k^2",
    sp.summation(
        1 / sp.Symbol("k", positive=True, integer=True) ** 2, (sp.Symbol("k", positive=True, integer=True), 1, sp.oo)
    )
    == sp.pi**2 / 6,
)
