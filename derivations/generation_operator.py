r"""The generation operator :math:`\mathcal G[M]=\mathbb E[A^\top MA]`, :math:`A=RS`, from one first-order equivalent."""

import numpy as np
import sympy as sp
from transcript import step

from collapse_theory.algebra.effective import EffectiveRidge, ResidualDegrees
from collapse_theory.algebra.integrals import SpectralTrace
from collapse_theory.derive.operator import Generation, response
from collapse_theory.symbols import T, eigenvalue, lam, sigma

# 1. A = RS = I - lam R, and RSR = R - lam R^2: no new random object appears.
rng = np.random.default_rng(5)
X = rng.standard_normal((6, 4))
S, ridge, M = X.T @ X / 6, 0.2, np.diag([1.0, 2, 3, 4])
R = np.linalg.inv(S + ridge * np.eye(4))
step("RS = I - lam R", np.allclose(R @ S, np.eye(4) - ridge * R))
step("RSR = R - lam R^2", np.allclose(R @ S @ R, R - ridge * R @ R))

# 2. R M R is minus the derivative of (S + lam + zM)^-1 at z = 0.
z = 1e-6
slope = (np.linalg.inv(S + ridge * np.eye(4) + z * M) - np.linalg.inv(S + ridge * np.eye(4) - z * M)) / (2 * z)
step("RMR = -d/dz (S + lam + zM)^-1", np.allclose(R @ M @ R, -slope, rtol=1e-6, atol=1e-8))

# 3. The equivalent (a Sigma + lam + zM)^-1 with a(1 + tr[Sigma (...)^-1]/T) = 1: its response a' = da/dz, for two eigenvalues.
s1, s2, m1, m2, a, k, t = sp.symbols("s1 s2 m1 m2 a kappa t", positive=True)
ridge_, zz = sp.symbols("ridge z")
F = a + a / t * sum(s / (a * s + ridge_ + zz * m) for s, m in ((s1, m1), (s2, m2))) - 1
implicit = (-F.diff(zz) / F.diff(a)).subs({zz: 0, ridge_: a * k})
df1, df2 = (sum((s / (s + k)) ** p for s in (s1, s2)) for p in (1, 2))
trace = sum(m * s / (s + k) ** 2 for s, m in ((s1, m1), (s2, m2)))
on_shell = sp.simplify(implicit.subs(t, t) - trace / (t * a + df1 - df2))
step("a' = tr[M Sigma (Sigma+kappa)^-2]/(T a + df1 - df2)", on_shell == 0)
step("and T a + df1 = T on the fixed point", sp.simplify((F.subs({zz: 0, ridge_: a * k}) + 1) * t - (t * a + df1)) == 0)

# 4. So a' = tr[M Sigma (Sigma+kappa)^-2]/(T - df2): the package's response.
kappa = EffectiveRidge(T, lam)
f = eigenvalue**3
want = SpectralTrace(f * eigenvalue / (eigenvalue + kappa) ** 2) / ResidualDegrees(T, lam)
step("the package's response", response(f, Generation(T, lam, sigma)) == want)

# 5. Assembled, E[A'MA] on samples agrees with G[M] in size d = 60 within a few per cent.
d, rows, ridge = 60, 90, 0.1
s = np.linspace(0.5, 2, d)
total, trials = np.zeros(d), 60
for _ in range(trials):
    X = rng.standard_normal((rows, d)) * np.sqrt(s)
    A = np.linalg.solve(X.T @ X / rows + ridge * np.eye(d), X.T @ X / rows)
    total += np.einsum("ij,i,ij->j", A, s, A) / trials
x = 1.0
for _ in range(500):
    x = ridge + x * (s / (s + x)).sum() / rows
g, residual = s / (s + x) ** 2, rows - ((s / (s + x)) ** 2).sum()
operator = (s / (s + x)) ** 2 * s + x**2 * (s * g).sum() / residual * g
step("Monte Carlo within 2 %", abs(total.sum() / operator.sum() - 1) < 0.02)
step(
    "and the operator without its rank-one term is rejected",
    abs(total.sum() / ((s / (s + x)) ** 2 * s).sum() - 1) > 0.02,
)
