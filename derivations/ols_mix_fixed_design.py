r"""Mixing on a fixed design: :math:`v_{k+1}=w^2+(1-w)^2(1+v_k)`, its solution, its limit and the golden ratio."""

import numpy as np
import sympy as sp
from transcript import step

import collapse_theory as ct
from collapse_theory.symbols import T, d, n, sigma, w

# 1. The fit is linear in the labels: w_{k+1} - w0 = (1-w)(w_k - w0) + A eps with A = (X'X)^-1 X'.
rng = np.random.default_rng(3)
X, truth, model, eps = (
    rng.standard_normal((7, 3)),
    rng.standard_normal(3),
    rng.standard_normal(3),
    rng.standard_normal(7),
)
share = 0.4
fit = np.linalg.lstsq(X, X @ (share * truth + (1 - share) * model) + eps, rcond=None)[0]
step(
    "w_(k+1) - w0 = (1-w)(w_k - w0) + A eps",
    np.allclose(fit - truth, (1 - share) * (model - truth) + np.linalg.pinv(X) @ eps),
)

# 2. The noise of the mixed labels has variance (w^2 + (1-w)^2) sigma^2: v_{k+1} = (1-w)^2 v_k + w^2 + (1-w)^2, v_0 = 1.
factor = ct.catalog["ols-mix-fixed-design"].error.expr / (sigma**2 * d / (T - d - 1))
v = sp.Integer(1)
for k in range(6):
    step(f"factor({k}) solves the recursion", sp.cancel(factor.subs(n, k).doit() - v) == 0)
    v = sp.expand(w**2 + (1 - w) ** 2 * (1 + v))

# 3. The fixed point, and its minimum at the golden ratio, where the factor equals the weight.
fixed = (w**2 + (1 - w) ** 2) / (1 - (1 - w) ** 2)
step("the fixed point solves v = w^2 + (1-w)^2 (1+v)", sp.cancel(fixed - (w**2 + (1 - w) ** 2 * (1 + fixed))) == 0)
golden = (sp.sqrt(5) - 1) / 2
step("stationary at (sqrt 5 - 1)/2", sp.simplify(fixed.diff(w).subs(w, golden)) == 0)
step("where the factor equals the weight", sp.simplify(fixed.subs(w, golden) - golden) == 0)
at_infinity = ct.catalog["ols-mix-fixed-design"].error.evaluate(
    spectrum=ct.Isotropic(10), T=15, sigma=1, w=0.3, n=10**9
)
step("and the package tends to it", abs(at_infinity - 2.5 * float(fixed.subs(w, sp.Rational(3, 10)))) < 1e-12)
