r"""Mixing labels of unequal precision: :math:`v\leftarrow w^2+(1-w)^2(1/k+v)`, its limit, and the best share: it is the error."""

import numpy as np
import sympy as sp
from transcript import step

import collapse_theory as ct
from collapse_theory.symbols import T, d, k, n, sigma, w
from collapse_theory.theorems.mixing import best_share

unit = sigma**2 * d / (T - d - 1)

# 1. On one design the fit is the average of the labels' coefficients plus what the noises add; the two noises are independent.
rng = np.random.default_rng(8)
X, truth, model = rng.standard_normal((7, 3)), rng.standard_normal(3), rng.standard_normal(3)
real, fake, share = rng.standard_normal(7), rng.standard_normal(7), 0.4
fit = np.linalg.lstsq(X, share * (X @ truth + real) + (1 - share) * (X @ model + fake), rcond=None)[0]
A = np.linalg.pinv(X)
step(
    "w_(j+1) - w0 = (1-w)(w_j - w0) + A (w eps + (1-w) eps0)",
    np.allclose(fit - truth, (1 - share) * (model - truth) + A @ (share * real + (1 - share) * fake)),
)

# 2. In units of a clean fit, with eps0 of variance sigma^2/k: v' = w^2 + (1-w)^2 (1/k + v), v_0 = 1.
factor = ct.catalog["ols-mix-precision"].error.expr / unit
v = sp.Integer(1)
for j in range(5):
    step(f"factor({j}) solves the recursion", sp.cancel(factor.subs(n, j).doit() - v) == 0)
    v = sp.expand(w**2 + (1 - w) ** 2 * (1 / k + v))

# 3. Its fixed point is the limit.
limit = ct.catalog["ols-mix-precision-limit"].error.expr / unit
step("the limit is the fixed point", sp.cancel(limit - (w**2 + (1 - w) ** 2 * (1 / k + limit))) == 0)

# 4. The slope has the sign of k w^2 + w - 1: it is negative at 0 and k at 1, with one positive root by Descartes' rule.
slope = sp.cancel(limit.diff(w))
quadratic = k * w**2 + w - 1
step("slope = 2 (k w^2 + w - 1)/(k w^2 (2-w)^2)", sp.cancel(slope - 2 * quadratic / (k * w**2 * (2 - w) ** 2)) == 0)
step("-1 at w = 0, k at w = 1", (quadratic.subs(w, 0), quadratic.subs(w, 1)) == (-1, k))
best = best_share()
step("its positive root is 2/(1 + sqrt(1 + 4k))", sp.expand(quadratic.subs(w, best)).together().simplify() == 0)
step("which is (sqrt(1 + 4k) - 1)/(2k)", sp.expand(best * 2 * k - (sp.sqrt(1 + 4 * k) - 1)).together().simplify() == 0)

# 5. There the factor is the share itself: limit - w is a multiple of the quadratic.
step("limit - w vanishes with it", sp.rem(sp.numer(sp.cancel(limit - w)), quadratic, w) == 0)
least = ct.catalog["ols-mix-precision-best"].error.expr / unit
step("so the least factor is w*", sp.simplify(least - best) == 0)
step("the golden ratio at k = 1", sp.simplify(best.subs(k, 1) - (sp.sqrt(5) - 1) / 2) == 0)
