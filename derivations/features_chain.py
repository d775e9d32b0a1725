r"""A fit on random features as a generation operator: a response to the rows, and a drift of the features."""

import numpy as np
import sympy as sp
from transcript import step

import collapse_theory as ct
from collapse_theory.algebra.feature_scalars import misfit
from collapse_theory.algebra.integrals import SpectralTrace
from collapse_theory.derive.operator import Generation, drift, response, spread
from collapse_theory.symbols import T, eigenvalue, lam, m, sigma

s = eigenvalue
stage = Generation(T, lam, sigma, m)
kappa = stage.kappa

# 1. With W = FF', F(F'SF + x)^-1 F' = (Sigma + x W^-1)^-1 =: Q for infinitely many rows at the features' ridge x. The labels that
#    the features miss are x^2 (M + x)^-2, M = Sigma^1/2 W Sigma^1/2.
rng = np.random.default_rng(3)
F, Sigma, x = rng.standard_normal((4, 7)) / np.sqrt(7), np.diag([1.0, 0.7, 0.3, 0.2]), 0.4
W, root = F @ F.T, np.sqrt(Sigma)
Q = F @ np.linalg.solve(F.T @ Sigma @ F + x * np.eye(7), F.T)
step("F(F'SF + x)^-1 F' = (Sigma + x W^-1)^-1", np.allclose(Q, np.linalg.inv(Sigma + x * np.linalg.inv(W))))
missed = (np.eye(4) - Sigma @ Q) @ Sigma @ (np.eye(4) - Q @ Sigma)
M = root @ W @ root
R = np.linalg.inv(M + x * np.eye(4))
step("(1 - SQ) S (1 - QS) = S^1/2 x^2 (M + x)^-2 S^1/2", np.allclose(missed, root @ (x * x * R @ R) @ root))

# 2. Q ~ (Sigma + kappa)^-1 with kappa - x = kappa tr[Sigma (Sigma + kappa)^-1]/m. With Sigma + zN for Sigma, at one x, the slope of
#    kappa by implicit differentiation, on two eigenvalues:
s1, s2, n1, n2, k, size, z = sp.symbols("s1 s2 n1 n2 kappa m z", positive=True)
both = ((s1, n1), (s2, n2))
equation = k - x - k / size * sum((a + z * b) / (a + z * b + k) for a, b in both)
slope = (-equation.diff(z) / equation.diff(k)).subs(z, 0)
df2, weighted = sum((a / (a + k)) ** 2 for a, _ in both), sum(b / (a + k) ** 2 for a, b in both)
step("kappa' = kappa^2 tr[N (Sigma + kappa)^-2]/(m - df2)", sp.simplify(slope - k**2 * weighted / (size - df2)) == 0)
step(
    "the package's drift",
    drift(s**3, stage) == kappa**2 * SpectralTrace(s**3 / (s + kappa) ** 2) / stage.left_over,
)

# 3. So Q N Q = -dQ/dz ~ (Sigma + kappa)^-1 (N + kappa'[N]) (Sigma + kappa)^-1, and what the features miss is what the theorem of
#    one fit derives from a derivative in x.
whole, rest = misfit(m, Generation(T, lam, sigma, m).left_over.args[1])
g = (s + kappa) ** -2
step("missed = kappa^2 Sigma g + kappa'[Sigma] Sigma^2 g", sp.simplify(whole - kappa**2 * s * g) == 0)
difference = rest - drift(s, stage) * s**2 * g
step("its second part, from the features alone", sp.simplify(difference) == 0)

# 4. Rows see the features through their covariance F'Sigma F: with t[N] = tr[N Q Sigma Q] the response is t/(T - t[Sigma]).
N = s**2
t = SpectralTrace(N * s * g) + drift(s, stage) * SpectralTrace(N * g)
step("the package's response", sp.expand(response(N, stage) * stage.residual - t) == 0)
answer = sp.Symbol("answer")
terms = spread([(sp.S.One, N)], answer, stage)
want = answer * (kappa**2 * s * g + drift(s, stage) * s**2 * g) + drift(N, stage) * s**2 * g
step("the package's operator", sp.expand(sp.Add(*(c * h for c, h in terms)) - want) == 0)

# 5. Assembled, E[A'NA] on samples agrees with G[Sigma] in size d = 60 within 3 per cent, and not without the drift.
d, rows, width, ridge = 60, 90, 50, 0.1
e = np.linspace(0.5, 2, d)
total, trials = np.zeros(d), 60
for _ in range(trials):
    X, F = rng.standard_normal((rows, d)) * np.sqrt(e), rng.standard_normal((d, width)) / np.sqrt(width)
    S = X.T @ X / rows
    A = F @ np.linalg.solve(F.T @ S @ F + ridge * np.eye(width), F.T @ S)
    total += np.einsum("ij,i,ij->j", A, e, A) / trials
at = {"spectrum": ct.Eigenvalues(e), "target": ct.Energies(np.ones(d)), "T": rows, "m": width, "lam": ridge, "sigma": 0}
bias = ct.catalog["random-features-ridge"].error.evaluate(**at)  # tr[Sigma - 2 Sigma A + G[Sigma]]
k = np.geomspace(1e-3, 10, 400_001)
df1 = sum(y / (y + k) for y in e)
k = k[np.argmin(np.where(df1 < width, abs(k * (1 - df1 / rows) * (1 - df1 / width) - ridge), np.inf))]
operator = bias - (e - 2 * e * e / (e + k)).sum()
step("Monte Carlo within 3 %", abs(total.sum() / operator - 1) < 0.03)
shrunk = (e * (e / (e + k)) ** 2).sum()
step("and shrinkage alone is rejected", abs(total.sum() / shrunk - 1) > 0.03)
