r"""Replace with minimum-norm generators of :math:`T_0<d` rows: the generation operator, its power, and its limit."""

import numpy as np
import sympy as sp
from transcript import step

import collapse_theory as ct
from collapse_theory.symbols import T0, d, n

theorem, limit = (ct.catalog[f"ridge-replace-overparametrized{end}"] for end in ("", "-limit"))

# 1. A minimum-norm fit of T0 < d rows projects the labeller on the span of its rows: w_k = P w_{k-1} + X^+ eps.
rng = np.random.default_rng(3)
X, w, eps = rng.standard_normal((4, 7)), rng.standard_normal(7), rng.standard_normal(4)
P = X.T @ np.linalg.solve(X @ X.T, X)
fit = np.linalg.lstsq(X, X @ w + eps, rcond=None)[0]
step("w_k = P w_{k-1} + X^+ eps", np.allclose(fit, P @ w + np.linalg.pinv(X) @ eps))
step("P is a projection of rank T0", np.allclose(P @ P, P) and np.isclose(np.trace(P), 4))

# 2. On one eigenvalue df1 = T0 gives r = eta = T0/d, and the operator, r^2 + kappa^2 a'[Sigma] r^2/Sigma^2, is eta as well.
eta, s = sp.symbols("eta s", positive=True)
k = s * (1 - eta) / eta
r = s / (s + k)
residual = eta - r**2  # (T0 - df2)/d
operator = r**2 + k**2 * r**2 / (residual * (s + k) ** 2)
step("r = eta and G_0 = eta", sp.simplify(r - eta) == 0 and sp.simplify(operator - eta) == 0)
step("noise of a generator: eta/(1 - eta) = T0/(d - T0)", sp.simplify(r**2 / residual - eta / (1 - eta)) == 0)

# 3. So after n generators the labeller has mean eta^n w0 and square eta^n |w0|^2 + noise: the closed form of the package.
closed = theorem.error.doit(spectrum=ct.Isotropic(d))
share = T0 / d
bias = closed.parts["synthetic_bias"]
step(
    "the added bias is proportional to 1 - eta^n",
    sp.simplify(bias.subs(n, 3) / bias.subs(n, 1) - (1 - share**3) / (1 - share)) == 0,
)
noise = closed.parts["synthetic_variance"]
step(
    "and so is the added variance", sp.simplify(noise.subs(n, 3) / noise.subs(n, 1) - (1 - share**3) / (1 - share)) == 0
)
perfect = {
    "spectrum": ct.Isotropic(100),
    "target": ct.RandomTarget(),
    "T": 10**9,
    "lam": 0,
    "sigma": 0,
    "T0": 60,
    "sigma0": 0.5,
}
by_hand = 1 - 0.6**4 + 0.25 * 60 / 40 * (1 - 0.6**4) / (1 - 0.6)
step(
    "a perfect last fit sees (1 - eta^n)|w0|^2 + sigma0^2 T0/(d - T0) (1 - eta^n)/(1 - eta)",
    np.isclose(theorem.error.evaluate(n=4, **perfect), by_hand, rtol=1e-7),
)

# 4. Fixed point of H = r^2 (H + x), x = (tr c^2 H + sigma0^2)/(T0 - df2), on two eigenvalues, against many generations.
values = {"spectrum": ct.Eigenvalues([2.0, 0.3, 0.1]), "target": ct.Energies([1.0, 2.0, 1.0])}
values |= {"T": 9, "T0": 2, "lam": 0.1, "sigma": 0.3, "sigma0": 0.4}
for slow, fast in zip(
    theorem.error.evaluate(n=10**6, terms=True, **values).values(),
    limit.error.evaluate(terms=True, **values).values(),
    strict=True,
):
    step("the limit is that of the power", np.isclose(slow, fast, rtol=1e-12))

# 5. Nothing is left of the truth: bias and added bias are the energy of the target.
parts = limit.error.evaluate(terms=True, **values)
step("bias + added bias = |w0|_Sigma^2", np.isclose(parts["bias"] + parts["synthetic_bias"], 2.0 + 0.6 + 0.1))

# 6. The exact sibling, a uniformly random subspace, has E tr (XX')^-1 = T0/(d - T0 - 1) in the place of T0/(d - T0).
exact = ct.catalog["minnorm-replace-isotropic"].error.evaluate(d=100, T0=60, n=3, sigma0=0.5, rho2=1, terms=True)
proportional = theorem.error.evaluate(n=3, terms=True, **{**perfect, "T": 60, "sigma": 0.5})
for name, factor in {"bias": 1, "synthetic_bias": 1, "variance": 40 / 39, "synthetic_variance": 40 / 39}.items():
    step(f"{name}, exact over proportional", np.isclose(exact[name] / proportional[name], factor, rtol=1e-9))
samples = [np.trace(np.linalg.inv(Z @ Z.T)) for Z in rng.standard_normal((4000, 4, 12))]
step("E tr (XX')^-1 = T0/(d - T0 - 1), by simulation", abs(np.mean(samples) - 4 / 7) < 4 * np.std(samples) / 4000**0.5)
