r"""Samples with different labellers in one fit: for the risk they are rows of the mean labeller, and disagreement is noise."""

import numpy as np
import sympy as sp
from transcript import step

import collapse_theory as ct
from collapse_theory.algebra.effective import EffectiveRidge, ResidualDegrees
from collapse_theory.algebra.integrals import QuadraticForm, SpectralTrace, df
from collapse_theory.derive.operator import Generation, response
from collapse_theory.symbols import T0, d, eigenvalue, lam, lam0, sigma, sigma0

T1, T2 = (sp.Symbol(name, integer=True, positive=True) for name in ("T1", "T2"))
Sigma, one, N = ct.Covariance("Sigma", d), sp.Identity(d), T1 + T2
p1, p2 = T1 / N, T2 / N
X1, X2 = (ct.GaussianMatrix(name, rows, d) * ct.sqrt(Sigma) for name, rows in (("Z1", T1), ("Z2", T2)))
S1, S2 = X1.T * X1 / N, X2.T * X2 / N
R = (S1 + S2 + lam * one).inv()

# 1. With wbar = p1 w1 + p2 w2 the labels are X_i wbar + u_i, u_i = X_i (w_i - wbar) + e_i, and the fit is A wbar + R sum X_i'u_i/N.
#    For delta = w1 - w2 the deviations are w1 - wbar = p2 delta and w2 - wbar = -p1 delta: together B delta, B = R (p2 S1 - p1 S2).
rng = np.random.default_rng(10)
x, y, v1, v2 = (rng.standard_normal(shape) for shape in ((6, 3), (4, 3), 3, 3))
s1, s2 = x.T @ x / 10, y.T @ y / 10
r = np.linalg.inv(s1 + s2 + 0.2 * np.eye(3))
fit = r @ (x.T @ x @ v1 + y.T @ y @ v2) / 10
mean = 0.6 * v1 + 0.4 * v2
step("w = A wbar + B delta", np.allclose(fit, r @ (s1 + s2) @ mean + r @ (0.4 * s1 - 0.6 * s2) @ (v1 - v2)))

# 2. Inputs independent of the labellers: B vanishes on average and is uncorrelated with A. No cross terms.
equivalent = ct.deterministic_equivalent
A, B = R * (S1 + S2), R * (p2 * S1 - p1 * S2)
step("B = 0 to first order", equivalent(B).expr == 0)
step("A'Sigma B = 0", equivalent(A.T * Sigma * B).expr == 0)

# 3. Its square is that of label noise with the variance of delta'x: per row p1 |p2 delta|^2 + p2 |p1 delta|^2 in the norm of Sigma,
#    passed on as any noise, by tr[Sigma R S R]/N = df2/(N - df2).
square = equivalent(B.T * Sigma * B).expr
explained = df(2, EffectiveRidge(N, lam))
answer = explained / (N - explained)
disagreement = (p1 * p2**2 + p2 * p1**2) * eigenvalue
step("B'Sigma B = (p1 p2^2 + p2 p1^2) df2/(N - df2) Sigma", (square - disagreement * answer).factor() == 0)
step("p1 p2^2 + p2 p1^2 = p1 p2", sp.simplify(p1 * p2**2 + p2 * p1**2 - p1 * p2) == 0)
noise = equivalent(R * (S1 + S2) * R * Sigma / N).trace()
step("noise is passed on alike", (noise - answer).factor() == 0)
step("as the generation operator has it", response(eigenvalue, Generation(N, lam, sigma)).doit() == answer)

# 4. Two fits: a on T0 real rows with ridge lam0, then one on T1 rows of the truth and T2 rows of a. By hand:
s, k0, k = eigenvalue, EffectiveRidge(T0, lam0), EffectiveRidge(N, lam)
first, second = ResidualDegrees(T0, lam0), ResidualDegrees(N, lam)
g0, g, c0, c = s / (s + k0) ** 2, s / (s + k) ** 2, k0 / (s + k0), k / (s + k)
x0 = {"bias": k0**2 * QuadraticForm(g0) / first, "variance": sigma0**2 / first}  # E a = (1 - c0) w0, Cov a = x0 g0
means = {  # |E wbar|^2 weighted by g, |w0 - E a|^2, and |w0 - E w|^2: squares of means belong to the bias
    "bias": (
        QuadraticForm(g * (1 - p2 * c0) ** 2),
        QuadraticForm(s * c0**2),
        QuadraticForm(s * (p2 * (1 - c) * c0 + c) ** 2),
    ),
    "variance": (0, 0, 0),
}
parts = {}
for term, fresh in (("bias", 0), ("variance", sigma**2)):
    mean_square, apart, lost = means[term]
    spread = k**2 * (mean_square + p2**2 * x0[term] * SpectralTrace(g * g0))
    noises = fresh + p1 * p2 * (apart + x0[term] * SpectralTrace(s * g0))
    inherited = p2**2 * x0[term] * SpectralTrace(s * (1 - c) ** 2 * g0)
    parts[term] = lost + inherited + (spread + noises) / second * SpectralTrace(s * g)

# 5. The package's derivation for pipelines whose inputs are used once, and the engine, which knows nothing of the theorem.
pipe = ct.Pipeline()
a = pipe.fit(pipe.sample(T=T0, noise=sigma0), ridge=lam0)
pipe.fit([pipe.sample(T=T1, noise=sigma), pipe.sample(T=T2, noise=sigma, source=a)], ridge=lam)
inputs = {"spectrum": ct.PowerLaw(40, beta=1.1), "target": ct.SourceTarget(r=0.4)}
inputs |= {"T0": 30, "T1": 35, "T2": 20, "lam0": 0.2, "lam": 0.05, "sigma0": 0.3, "sigma": 0.4}
want = ct.ErrorFormula(parts, "proportional").evaluate(**inputs, terms=True)
for method in ("operator", "free-probability"):
    got = ct.test_error(pipe, method=method).evaluate(**inputs, terms=True)
    step(f'method="{method}"', all(abs(got[term] / want[term] - 1) < 1e-11 for term in parts))
