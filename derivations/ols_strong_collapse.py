r"""One least-squares fit on rows of several labellers: what their disagreement costs, :math:`\tau`, exactly."""

import numpy as np
import sympy as sp
from transcript import step

import collapse_theory as ct
from collapse_theory.derive.exact import disagreement
from collapse_theory.symbols import N, d

# 1. Given the inputs, the fit is off from the mean labeller by H^-1 sum_a x_a x_a' u_a; equal u_a are fitted exactly.
rng = np.random.default_rng(5)
X, u = rng.standard_normal((9, 3)), rng.standard_normal((9, 3))
H = X.T @ X
fit = np.linalg.lstsq(X, np.sum(X * u, axis=1), rcond=None)[0]
step("fit = H^-1 sum_a x_a x_a' u_a", np.allclose(fit, np.linalg.solve(H, X.T @ np.sum(X * u, axis=1))))
step("equal labellers are fitted exactly", np.allclose(np.linalg.lstsq(X, X @ u[0], rcond=None)[0], u[0]))

# 2. One row out of H: x'H^-2 x = x'H'^-2 x/(1 + q)^2 with q = x'H'^-1 x.
x, rest = X[0], H - np.outer(X[0], X[0])
q = x @ np.linalg.solve(rest, x)
square = x @ np.linalg.matrix_power(np.linalg.inv(rest), 2) @ x / (1 + q) ** 2
step("x'H^-2 x = x'H'^-2 x/(1 + q)^2", np.isclose(x @ np.linalg.matrix_power(np.linalg.inv(H), 2) @ x, square))

# 3. The first row of H'^-1 is m (1, -b), b the coefficients of the first column on the others.
inverse = np.linalg.inv(rest)
b = np.linalg.solve(rest[1:, 1:], rest[1:, 0])
step("(H'^-1)_1. = m (1, -b)", np.allclose(inverse[0], inverse[0, 0] * np.r_[1, -b]))

# 4. The second moment of a Beta variable of d/2 and (N - d)/2, by its density.
z = sp.Symbol("z", positive=True)
density = z * (1 - z) ** 2  # d = 4, N = 10
moment = sp.integrate(z**2 * density, (z, 0, 1)) / sp.integrate(density, (z, 0, 1))
step("E B^2 = d (d + 2)/(N (N + 2))", moment == sp.Rational(4 * 6, 10 * 12))

# 5. So tau, as the package has it.
tau = (N - 2 + N * (N * d - 2) / (N - d - 1)) / ((N + 2) * (N - 1))
step("tau = [N - 2 + N (N d - 2)/(N - d - 1)]/[(N + 2)(N - 1)]", sp.simplify(disagreement(N) - tau) == 0)

# 6. A naive simulation: four rows of one labeller, six of another, their weighted mean zero.
rows = np.repeat([[0.6, 0.0], [-0.4, 0.0]], [4, 6], axis=0)
runs = []
for Z in rng.standard_normal((20000, 10, 2)):
    w = np.linalg.solve(Z.T @ Z, Z.T @ np.sum(Z * rows, axis=1))
    runs.append(w @ w)
want = float(disagreement(N).subs({N: 10, d: 2})) * 0.24
gap, allowed = abs(np.mean(runs) - want), 4 * np.std(runs) / len(runs) ** 0.5
step("and so says simulation", gap < allowed < 0.1 * want)
theorem = ct.catalog["ols-strong-collapse"].error
step("the theorem is exact", theorem.regime == "exact")
