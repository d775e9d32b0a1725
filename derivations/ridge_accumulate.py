r"""Accumulate with a ridge: a constant penalty telescopes, a ridge on the mean loss does not and is left to the engine."""

import numpy as np
import sympy as sp
from transcript import step

import collapse_theory as ct
from collapse_theory.derive.labeller import chain_risk
from collapse_theory.derive.operator import Generation
from collapse_theory.symbols import T, d, lam, sigma

# 1. Constant penalty L: (H_k + L) w_k = sum_(i<=k) X_i'y_i with H_k the Gram matrix of all rows and y_k = X_k w_(k-1) + e_k.
#    Subtracting the equation of round k-1 telescopes. Three rounds of two rows in d = 3, exact rationals:
rng = np.random.default_rng(12)


def integers(*shape):
    """Return a random matrix of small integers."""
    return sp.Matrix(*shape, [int(i) for i in rng.integers(-5, 6, int(np.prod(shape)))])


w0, penalty = integers(3, 1), sp.Rational(7, 3) * sp.eye(3)
gram, moment, fits, noises, designs = sp.zeros(3), sp.zeros(3, 1), [w0], [], []
for k in range(1, 4):
    X, e = integers(2, 3), integers(2, 1)
    gram, moment = gram + X.T * X, moment + X.T * (X * fits[-1] + e)
    fits.append((gram + penalty).LUsolve(moment))
    designs.append(X)
    noises.append(e)
    if k > 1:
        step(
            f"round {k}: (H_{k} + L)(w_{k} - w_{k - 1}) = X_{k}'e_{k}",
            (gram + penalty) * (fits[-1] - fits[-2]) == X.T * e,
        )
H1 = designs[0].T * designs[0]
step(
    "round 1: (H_1 + L)(w_1 - w0) = X_1'e_1 - L w0, the only bias",
    (H1 + penalty) * (fits[1] - w0) == designs[0].T * noises[0] - penalty * w0,
)

# 2. The rows of H_i are exchangeable and X_i has the share 1/i of them: (H_i + L)^-1 X_i'e has 1/i of the variance of a clean fit
#    on iT rows with ridge L/(iT). The shares add up:
K = (gram + penalty).inv()
parts = [K * X.T * X * K for X in designs]
step("sum_i (H+L)^-1 X_i'X_i (H+L)^-1 = (H+L)^-1 H (H+L)^-1", parts[0] + parts[1] + parts[2] == K * gram * K)

# 3. So E_n = B(T, L/T) + sum_(i<=n) V(iT, L/(iT))/i: the package at n = 3, and the engine, which does not know it.
clean = ct.catalog["ridge-clean"].error
telescoped = clean.terms["bias"] + sum(chain_risk([Generation(i * T, lam / i, sigma)])[1] / i for i in (1, 2, 3))
constant = ct.catalog["ridge-accumulate-constant"]
step("ridge-accumulate-constant at n = 3", sp.expand(constant.at(3).expr - telescoped) == 0)
spectrum, target = ct.PowerLaw(40, beta=1.1), ct.SourceTarget(r=0.4)
at = {"T": 25, "lam": 0.05}
inputs = {"spectrum": spectrum, "target": target, **at, "sigma": 0.4}
pipe = ct.workflows.accumulate(3, ct.Stage(T=T, noise=sigma, ridge=lam), ridge_scaling="constant")
engine = ct.test_error(pipe).evaluate(**inputs)
step("the engine on three rounds", abs(engine / constant.error.evaluate(**inputs, n=3) - 1) < 1e-11)

# 4. With a ridge on the mean loss the penalty grows by T lam a round and leaves -T lam w_1 behind. Two rounds as plain matrices:
#    w1 = R1 X1'y1/T, w2 = R2 [X1'y1 + X2'(X2 w1 + e2)]/(2T), and K = R2 (1 + G2 R1/T)/(2T) carries the first labels.
Sigma, one = ct.Covariance("Sigma", d), sp.Identity(d)
X1, X2 = (ct.GaussianMatrix(name, T, d) * ct.sqrt(Sigma) for name in ("Z1", "Z2"))
G1, G2 = X1.T * X1, X2.T * X2
R1, R2 = (G1 / T + lam * one).inv(), ((G1 + G2) / (2 * T) + lam * one).inv()
K = R2 * (one + G2 * R1 / T) / (2 * T)
P = K * G1 - one
bias = ct.deterministic_equivalent(P.T * Sigma * P).evaluate(spectrum=spectrum, **at) @ target.energies(spectrum)
noise = sigma**2 * (K * G1 * K.T + R2 * G2 * R2 / (2 * T) ** 2) * Sigma
variance = ct.deterministic_equivalent(noise).evaluate(spectrum=spectrum, **at, sigma=0.4).sum()
pipe = ct.workflows.accumulate(2, ct.Stage(T=T, noise=sigma, ridge=lam))
got = ct.test_error(pipe).evaluate(**inputs, terms=True)
step("bias of ct.test_error", abs(got["bias"] / bias - 1) < 1e-11)
step("variance of ct.test_error", abs(got["variance"] / variance - 1) < 1e-11)
theorem = ct.catalog["ridge-accumulate"].error.evaluate(**inputs, n=2)
step("ridge-accumulate at n = 2", abs(theorem / (bias + variance) - 1) < 1e-11)
step("which is not the telescoped error", abs(constant.error.evaluate(**inputs, n=2) / theorem - 1) > 0.01)
