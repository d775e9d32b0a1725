r"""The optimal ridge of an isotropic design: the clean one, what synthetic labels change, and why they always raise it."""

import sympy as sp
from transcript import step

import collapse_theory as ct
from collapse_theory.algebra.atomic_ridge import AtomicResidual, AtomicRidge
from collapse_theory.symbols import T0, T, lam, n, rho2, sigma, sigma0

# 1. The package's formula on an isotropic design, with phi = d/T and C = n sigma0^2 d/(T0-d-1), in terms of kappa and
#    D = (1+kappa)^2 - phi. Its degrees of freedom are df2 = d/(1+kappa)^2.
k, phi = sp.symbols("kappa phi", positive=True)
C = sp.symbols("C", nonnegative=True)
D = (1 + k) ** 2 - phi
E = (rho2 * k**2 + sigma**2 * phi) / D + C * (D + phi * k**2) / ((1 + k) ** 2 * D)
package = ct.catalog["ridge-replace"].error.doit(ct.Spiked(2, [1, 1])).expr
fit = (T, 1, 2, lam)  # both eigenvalues are one
names = {AtomicRidge(*fit): k, AtomicResidual(*fit): T - 2 / (1 + k) ** 2}
energies = {x: rho2 / 2 for x in package.free_symbols if x.name.startswith("w2_")}
at = {phi: 2 / T, C: n * sigma0**2 * 2 / (T0 - 3)}
step("the package's error at d = 2", sp.simplify(package.xreplace(names).xreplace(energies) - E.subs(at)) == 0)

# 2. lam = kappa (1 - phi/(1+kappa)) rises with kappa wherever lam >= 0: its slope is D/(1+kappa)^2, and lam >= 0 is
#    1 + kappa >= phi, so that D > 0 for phi > 1 (kappa > 0 for phi <= 1). The optimum in lam is that in kappa.
ridge = k * (1 - phi / (1 + k))
step("dlam/dkappa = D/(1+kappa)^2", sp.simplify(ridge.diff(k) - D / (1 + k) ** 2) == 0)

# 3. The clean optimum: dE/dkappa has the sign of rho^2 lam - sigma^2 phi.
clean = E.subs(C, 0)
step(
    "dE0/dkappa = 2 (1+kappa)(rho^2 lam - sigma^2 phi)/D^2, so lam* = sigma^2 phi/rho^2",
    sp.simplify(clean.diff(k) - 2 * (1 + k) * (rho2 * ridge - sigma**2 * phi) / D**2) == 0,
)

# 4. The synthetic part falls with slope -2 (1+kappa) C h/D^2.
h = 1 + phi * ((k - 2) * (1 + k) ** 2 + phi) / (1 + k) ** 3
step(
    "dE/dkappa = 2 (1+kappa)(rho^2 lam - sigma^2 phi - C h)/D^2, so lam* = (sigma^2 phi + C h(kappa*))/rho^2",
    sp.simplify(E.diff(k) - 2 * (1 + k) * (rho2 * ridge - sigma**2 * phi - C * h) / D**2) == 0,
)

# 5. h > 0 for kappa > 0. With a = 1 + kappa, h a^3 = phi^2 + phi a^2 (a-3) + a^3, a quadratic in phi. For a >= 3 every term is
#    positive; for 1 < a < 4 its discriminant a^3 (a-1)^2 (a-4) is negative.
a = sp.Symbol("a", positive=True)
quadratic = phi**2 + phi * a**2 * (a - 3) + a**3
step("h a^3 is a quadratic in phi", sp.expand(sp.simplify(h.subs(k, a - 1) * a**3) - quadratic) == 0)
step(
    "its discriminant is a^3 (a-1)^2 (a-4)",
    sp.expand(sp.discriminant(quadratic, phi) - a**3 * (a - 1) ** 2 * (a - 4)) == 0,
)

# 6. So synthetic noise always raises the optimum: where C > 0, dE/dkappa < 0 as long as rho^2 lam <= sigma^2 phi, and every
#    stationary point, the global minimum among them, has rho^2 lam = sigma^2 phi + C h > sigma^2 phi.
below = E.diff(k).subs(sigma**2, rho2 * ridge / phi)
step("at the clean optimum dE/dkappa = -2 (1+kappa) C h/D^2 < 0", sp.simplify(below + 2 * (1 + k) * C * h / D**2) == 0)

# 7. Over its denominator the condition is a polynomial of degree four in kappa.
condition = sp.Poly(sp.numer(sp.cancel(rho2 * ridge - sigma**2 * phi - C * h)), k)
step("kappa* is a root of a quartic", condition.degree() == 4)

# 8. To first order in C the optimum moves by C h/rho^2, h taken at the clean optimum: by the implicit function theorem it moves
#    by minus the slope of the synthetic part over the curvature of the clean error.
slope = D / (1 + k) ** 2  # dlam/dkappa
synthetic = (E - clean).diff(k) / slope
curvature = (clean.diff(k) / slope).diff(k) / slope
shift = (-synthetic / curvature).subs(sigma**2, rho2 * ridge / phi)
step("-E_syn'/E_clean'' = C h/rho^2 at the clean optimum", sp.simplify(shift - C * h / rho2) == 0)

# 9. With few features (phi -> 0) the correction is C/rho^2.
step("h -> 1 as phi -> 0", h.subs(phi, 0) == 1)

# 10. The numeric optimum of the package fulfils the condition.
best = ct.optimal_ridge(
    ct.catalog["ridge-replace"].error, spectrum=ct.Isotropic(100), target=ct.RandomTarget(norm2=2.0),
    n=4, T=160, T0=250, sigma=0.3, sigma0=0.5,
)  # fmt: skip
values = {phi: 100 / 160, C: 4 * 0.25 * 100 / 149, rho2: 2.0, sigma: 0.3}
at_best = {k: ct.effective_ridge(ct.Isotropic(100), T=160, lam=best.value)}
closed = ((sigma**2 * phi + C * h) / rho2).subs(values).subs(at_best)
step("the numeric optimum is the closed one", abs(float(closed) / best.value - 1) < 1e-8)
