r"""Replace on the same inputs: one relabelling round, written as plain matrix expressions."""

import numpy as np
import sympy as sp
from transcript import step

import collapse_theory as ct
from collapse_theory.symbols import T, d, lam, lam0, sigma, sigma0

Sigma, one = ct.Covariance("Sigma", d), sp.Identity(d)
X = ct.GaussianMatrix("Z", T, d) * ct.sqrt(Sigma)
S = X.T * X / T
R, R0 = (S + lam * one).inv(), (S + lam0 * one).inv()

# 1. w1 = R0 (S w0 + X'e0/T), w2 = R (S w1 + X'e/T): the error is P w0 + R S R0 X'e0/T + R X'e/T with P = R S R0 S - 1.
P = R * S * R0 * S - one
rng = np.random.default_rng(8)
x, w0, e0, e = (rng.standard_normal(shape) for shape in ((5, 4), 4, 5, 5))
gram = x.T @ x / 5
r, r0 = (np.linalg.inv(gram + z * np.eye(4)) for z in (0.3, 0.7))
first = r0 @ x.T @ (x @ w0 + e0) / 5
second = r @ x.T @ (x @ first + e) / 5
explicit = (r @ gram @ r0 @ gram - np.eye(4)) @ w0 + r @ gram @ r0 @ x.T @ e0 / 5 + r @ x.T @ e / 5
step("w2 - w0 = P w0 + R S R0 X'e0/T + R X'e/T", np.allclose(second - w0, explicit))

# 2. Everything is a function of the one S and commutes: relabelling shrinks the same directions again.
step("P = R S R0 S - 1 is symmetric", np.allclose(r @ gram @ r0 @ gram, (r @ gram @ r0 @ gram).T))

# 3. The risk w0'P'Sigma P w0 + tr of the noise part, by the engine on these expressions.
bias = ct.deterministic_equivalent(P.T * Sigma * P)
old, new = R * S * R0, R
variance = ct.deterministic_equivalent(sigma0**2 / T * old * S * old.T * Sigma + sigma**2 / T * new * S * new.T * Sigma)
spectrum, target = ct.PowerLaw(40, beta=1.1), ct.SourceTarget(r=0.4)
at = {"T": 30, "lam": 0.05, "lam0": 0.2}
noises = {"sigma": 0.4, "sigma0": 0.3}
by_hand = {
    "bias": bias.evaluate(spectrum=spectrum, **at) @ target.energies(spectrum),
    "variance": variance.evaluate(spectrum=spectrum, **at, **noises).sum(),
}

# 4. The pipeline, and the theorem at n = 1.
pipe = ct.Pipeline()
real = pipe.sample(T=T, noise=sigma0)
generator = pipe.fit(real, ridge=lam0)
pipe.fit(pipe.sample(design=real, noise=sigma, source=generator), ridge=lam)
inputs = {"spectrum": spectrum, "target": target, **at, **noises}
got = ct.test_error(pipe).evaluate(**inputs, terms=True)
for term, value in by_hand.items():
    step(f"{term} of ct.test_error", abs(got[term] / value - 1) < 1e-11)
theorem = ct.catalog["ridge-same-design"].error.evaluate(**inputs, n=1)
step("the theorem at n = 1", abs(theorem / sum(by_hand.values()) - 1) < 1e-11)

# 5. Fresh inputs for the second fit give another number: the two generations are dependent.
fresh = ct.workflows.replace(1, ct.Stage(T=T, noise=sigma0, ridge=lam0), ct.Stage(T=T, noise=sigma, ridge=lam))
step("which independent inputs do not give", abs(ct.test_error(fresh).evaluate(**inputs) / theorem - 1) > 0.01)
