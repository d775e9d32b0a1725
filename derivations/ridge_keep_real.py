r"""Keep the real data: one round that pools the real rows with fresh synthetic ones, written as plain matrix expressions."""

import numpy as np
import sympy as sp
from transcript import step

import collapse_theory as ct
from collapse_theory.symbols import T0, T, d, lam, sigma, sigma0

Sigma, one, N = ct.Covariance("Sigma", d), sp.Identity(d), T + T0
X0, X1 = (ct.GaussianMatrix(name, rows, d) * ct.sqrt(Sigma) for name, rows in (("Z0", T), ("Z1", T0)))
G0, G1 = X0.T * X0, X1.T * X1
R1, R2 = (G0 / T + lam * one).inv(), ((G0 + G1) / N + lam * one).inv()

# 1. w1 = R1 X0'(X0 w0 + e0)/T and w2 = R2 [X0'(X0 w0 + e0) + X1'(X1 w1 + e1)]/N. The real labels enter twice:
rng = np.random.default_rng(9)
x0, x1, w0, e0, e1 = (rng.standard_normal(shape) for shape in ((5, 4), (6, 4), 4, 5, 6))
g0, g1 = x0.T @ x0, x1.T @ x1
r1, r2 = np.linalg.inv(g0 / 5 + 0.3 * np.eye(4)), np.linalg.inv((g0 + g1) / 11 + 0.3 * np.eye(4))
first = r1 @ x0.T @ (x0 @ w0 + e0) / 5
second = r2 @ (x0.T @ (x0 @ w0 + e0) + x1.T @ (x1 @ first + e1)) / 11
real = r2 @ (np.eye(4) + g1 @ r1 / 5) / 11
step(
    "w2 - w0 = (K G0 - 1) w0 + K X0'e0 + R2 X1'e1/N, K = R2 (1 + G1 R1/T)/N",
    np.allclose(second - w0, (real @ g0 - np.eye(4)) @ w0 + real @ x0.T @ e0 + r2 @ x1.T @ e1 / 11),
)

# 2. The risk by the engine: K depends on both designs, and R1, R2 are dependent.
K = R2 * (one + G1 * R1 / T) / N
P = K * G0 - one
bias = ct.deterministic_equivalent(P.T * Sigma * P)
variance = ct.deterministic_equivalent(sigma**2 * K * G0 * K.T * Sigma + sigma0**2 / N**2 * R2 * G1 * R2 * Sigma)
spectrum, target = ct.PowerLaw(40, beta=1.1), ct.SourceTarget(r=0.4)
at = {"T": 30, "T0": 25, "lam": 0.05}
noises = {"sigma": 0.4, "sigma0": 0.3}
by_hand = {
    "bias": bias.evaluate(spectrum=spectrum, **at) @ target.energies(spectrum),
    "variance": variance.evaluate(spectrum=spectrum, **at, **noises).sum(),
}

# 3. The pipeline, and the theorem at n = 1.
pipe = ct.workflows.keep_real(1, ct.Stage(T=T, noise=sigma, ridge=lam), ct.Stage(T=T0, noise=sigma0, ridge=lam))
inputs = {"spectrum": spectrum, "target": target, **at, **noises}
got = ct.test_error(pipe).evaluate(**inputs, terms=True)
for term, value in by_hand.items():
    step(f"{term} of ct.test_error", abs(got[term] / value - 1) < 1e-11)
theorem = ct.catalog["ridge-keep-real"].error.evaluate(**inputs, n=1)
step("the theorem at n = 1", abs(theorem / sum(by_hand.values()) - 1) < 1e-11)

# 4. A fresh real sample in the second fit gives another number: keeping the same rows matters.
fresh = ct.workflows.fresh_real(1, ct.Stage(T=T, noise=sigma, ridge=lam), ct.Stage(T=T0, noise=sigma0, ridge=lam))
step("which fresh real rows do not give", abs(ct.test_error(fresh).evaluate(**inputs) / theorem - 1) > 0.01)
