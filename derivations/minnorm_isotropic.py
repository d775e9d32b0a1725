r"""Minimum-norm fits on isotropic inputs, exactly: one identity for one design, least-squares generators and mixed labels.

Theorems ``minnorm-same-design``, ``minnorm-replace``, ``minnorm-fresh-mix`` and its limit.
"""

import numpy as np
import sympy as sp
from transcript import step

import collapse_theory as ct
from collapse_theory.symbols import T0, T, d, n, rho2, sigma, sigma0, w

# 1. A minimum-norm fit is P w + X^+ eps with P the projection on the span of the rows; |w0 - P w|^2 splits at that span.
rng = np.random.default_rng(4)
X, w0, label, eps = rng.standard_normal((3, 7)), rng.standard_normal(7), rng.standard_normal(7), rng.standard_normal(3)
P = np.linalg.pinv(X) @ X
fit = np.linalg.lstsq(X, X @ label + eps, rcond=None)[0]
step("fit = P w + X^+ eps", np.allclose(fit, P @ label + np.linalg.pinv(X) @ eps))
lost, kept = (np.eye(7) - P) @ w0, P @ (w0 - label)
step(
    "|w0 - P w|^2 = |(1-P) w0|^2 + |P (w0 - w)|^2",
    np.isclose((w0 - P @ label) @ (w0 - P @ label), lost @ lost + kept @ kept),
)

# 2. For isotropic inputs the span is uniformly random: E P = (T/d) I. So E |w0 - P w|^2 = (1-eta) |w0|^2 + eta |w0 - w|^2.
spans = [np.linalg.qr(rng.standard_normal((7, 3)))[0] for _ in range(4000)]
step("E P = (T/d) I", np.allclose(np.mean([Q @ Q.T for Q in spans], axis=0), 3 / 7 * np.eye(7), atol=0.03))
eta = T / d
noise = T / (d - T - 1)

# 3. One design: P P = P and P X^+ = X^+, so the projection acts once and the noises add.
again = np.linalg.lstsq(X, X @ fit + 2 * eps, rcond=None)[0]
step("the bias is paid once", np.allclose(again, P @ label + np.linalg.pinv(X) @ (3 * eps)))
want = (1 - T0 / d) * rho2 + (n + 1) * sigma0**2 * T0 / (d - T0 - 1)
step("minnorm-same-design", sp.simplify(ct.catalog["minnorm-same-design"].error.expr - want) == 0)

# 4. Least-squares generators are off by n sigma0^2 d/(T0-d-1), of which the share eta is kept: no peak at T = d.
want = (1 - eta) * rho2 + eta * n * sigma0**2 * d / (T0 - d - 1) + sigma**2 * noise
replace = ct.catalog["minnorm-replace"].error
step("minnorm-replace", sp.simplify(replace.expr - want) == 0)
step(
    "the synthetic term is continuous at T = d",
    sp.cancel(replace.parts["synthetic_variance"].subs(T, d) - n * sigma0**2 * d / (T0 - d - 1)) == 0,
)
step(
    "the label noise diverges at T = d - 1",
    sp.limit(replace.parts["variance"].subs({d: 10, sigma: 1}), T, 9, "-") == sp.oo,
)

# 5. Mixed labels, fresh inputs: the labeller is off by (1-w)^2 E. The recursion of E, and that of the first two moments.
mix, limit = ct.catalog["minnorm-fresh-mix"].error, ct.catalog["minnorm-fresh-mix-limit"].error
E = (1 - eta) * rho2 + sigma**2 * noise
m, q = eta, eta * rho2 + sigma**2 * noise
for j in range(4):
    step(f"minnorm-fresh-mix({j}) solves the recursion", sp.cancel(mix.expr.subs(n, j).doit() - E) == 0)
    step("and that of mean and second moment", sp.cancel(E - (1 - 2 * m) * rho2 - q) == 0)
    E = (1 - eta) * rho2 + eta * (1 - w) ** 2 * E + (w**2 + (1 - w) ** 2) * sigma**2 * noise
    q = eta * ((w**2 + 2 * w * (1 - w) * m) * rho2 + (1 - w) ** 2 * q) + (w**2 + (1 - w) ** 2) * sigma**2 * noise
    m = eta * (w + (1 - w) * m)

# 6. For ever: m = eta w/(1 - eta (1-w)) and the q of the fixed point.
m = eta * w / (1 - eta * (1 - w))
q = (eta * (w**2 + 2 * w * (1 - w) * m) * rho2 + (w**2 + (1 - w) ** 2) * sigma**2 * noise) / (1 - eta * (1 - w) ** 2)
step("E = (1 - 2m) |w0|^2 + q", sp.cancel(limit.expr - (1 - 2 * m) * rho2 - q) == 0)
