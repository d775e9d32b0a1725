r"""Replace with least squares: :math:`E=\sigma^2d/(T-d-1)+n\sigma_0^2d/(T_0-d-1)`, exactly.

Setting. Inputs are rows of :math:`X=Z\Sigma^{1/2}`; fit k solves least squares on labels :math:`X_kw_{k-1}+\varepsilon_k`.
"""

import numpy as np
import sympy as sp
from transcript import step

import collapse_theory as ct
from collapse_theory.symbols import T0, T, d, n, sigma, sigma0

# 1. The normal equations cancel the labeller: w_k - w_{k-1} = (X'X)^{-1} X' eps. On a numeric design:
rng = np.random.default_rng(0)
X, w, eps = rng.standard_normal((9, 3)), rng.standard_normal(3), rng.standard_normal(9)
fit = np.linalg.lstsq(X, X @ w + eps, rcond=None)[0]
step("w_k - w_{k-1} = (X'X)^-1 X' eps", np.allclose(fit - w, np.linalg.solve(X.T @ X, X.T @ eps)))

# 2. Given X its risk is sigma^2 tr[Sigma (X'X)^{-1}], which does not depend on Sigma: with X = Z L,
#    tr[L'L (L'Z'ZL)^{-1}] = tr (Z'Z)^{-1}.
L = rng.standard_normal((3, 3))
whitened = np.trace(np.linalg.inv(X.T @ X))
step("tr[Sigma (X'X)^-1] = tr (Z'Z)^-1", np.isclose(np.trace(L.T @ L @ np.linalg.inv(L.T @ X.T @ X @ L)), whitened))

# 3. A diagonal entry of (Z'Z)^{-1} is one over the squared distance of a column to the span of the others,
#    a chi-square with T - d + 1 degrees of freedom.
others = X[:, 1:]
residual = X[:, 0] - others @ np.linalg.lstsq(others, X[:, 0], rcond=None)[0]
step("[(Z'Z)^-1]_11 = 1/|column - projection|^2", np.isclose(np.linalg.inv(X.T @ X)[0, 0], 1 / (residual @ residual)))

# 4. The mean of one over a chi-square with m degrees of freedom is 1/(m - 2), here 1/(T - d - 1): by its density.
x, m = sp.symbols("x m", positive=True)
for degrees in (3, 4, 7):
    density = (
        x ** (sp.Rational(degrees, 2) - 1)
        * sp.exp(-x / 2)
        / (2 ** sp.Rational(degrees, 2) * sp.gamma(sp.Rational(degrees, 2)))
    )
    step(
        f"E 1/chi2({degrees}) = 1/{degrees - 2}",
        sp.simplify(sp.integrate(density / x, (x, 0, sp.oo)) - sp.Rational(1, degrees - 2)) == 0,
    )

# 5. Noises of different fits are independent with mean zero, so the n + 1 risks add.
by_hand = sigma**2 * d / (T - d - 1) + n * sigma0**2 * d / (T0 - d - 1)
step(
    "E = sigma^2 d/(T-d-1) + n sigma0^2 d/(T0-d-1), as the package has it",
    sp.simplify(ct.catalog["ols-replace"].error.expr - by_hand) == 0,
)
