r"""The resolvent :math:`R=(X^\top X/T+\lambda)^{-1}` by the engine: effective ridge, Marchenko-Pastur law, :math:`R\Sigma R`."""

import numpy as np
import sympy as sp
from transcript import step

import collapse_theory as ct
from collapse_theory.algebra.effective import EffectiveRidge, effective_ridge_equation
from collapse_theory.algebra.integrals import SpectralTrace, df
from collapse_theory.symbols import T, d, eigenvalue, lam

Z, Sigma, one = ct.GaussianMatrix("Z", T, d), ct.Covariance("Sigma", d), sp.Identity(d)
X = Z * ct.sqrt(Sigma)
S = X.T * X / T
R = (S + lam * one).inv()
resolvent = ct.deterministic_equivalent(R)
s, kappa = eigenvalue, EffectiveRidge(T, lam)

# 1. Linear in Z once the rows have a variable of their own: y = R x solves lam y + X'r/T = x, r = X y.
step("the pencil has one block of size d and one of size T", sorted(resolvent.pencil.dimensions, key=str) == [T, d])

# 2. G = (F - eta(G))^-1 for them: with q = tr[Sigma g]/T the rows carry 1/(1 + q), and g = 1/(lam + Sigma/(1 + q)).
#    So kappa = lam (1 + q) obeys kappa - lam = lam tr[Sigma g]/T = kappa df1(kappa)/T, whatever the spectrum:
q, k = sp.symbols("q kappa", positive=True)
g = 1 / (lam + s / (1 + q))
step("g = kappa/lam/(Sigma + kappa), kappa = lam (1 + q)", (g - k / lam / (s + k)).subs(k, lam * (1 + q)).cancel() == 0)
one_space = (lam * s * g).subs(q, k / lam - 1).cancel()
step("lam Sigma g = kappa Sigma/(Sigma + kappa)", (one_space - k * s / (s + k)).cancel() == 0)
step("the engine's equivalent", (resolvent.expr - kappa / lam / (s + kappa)).factor() == 0)
step("and its equation", resolvent.equations == (effective_ridge_equation(ct.symbols.kappa, T, lam),))
want = effective_ridge_equation(k, T, lam)
step("which is kappa - lam = kappa df1/T", want.rhs == SpectralTrace(k * s / (s + k)) / T and want.lhs == k - lam)

# 3. Isotropic: m = tr R/d = 1/(lam (1 + 1/kappa)) makes it the quadratic of Marchenko and Pastur, phi = d/T.
phi, m = sp.symbols("phi m", positive=True)
cleared = sp.numer(sp.together((k - lam - phi * k / (1 + k)).subs(k, lam * m / (1 - lam * m))))
quadratic = phi * lam * m**2 + (1 - phi + lam) * m - 1
step("phi lam m^2 + (1 - phi + lam) m - 1 = 0", sp.rem(cleared, quadratic, m) == 0 and sp.degree(cleared, m) == 2)
root = ct.ErrorFormula({"trace": resolvent.trace()}, "proportional").doit(ct.Isotropic(d)).expr.doit() / d
step("the closed form for an isotropic spectrum is a root", sp.simplify(quadratic.subs(m, root).subs(phi, d / T)) == 0)
step("the positive one", root.subs({T: 5, d: 8, lam: sp.Rational(1, 10)}) > 0)

# 4. R Sigma R is minus the derivative of the resolvent along z Sigma, and kappa depends on z too: the factor d kappa/d lam.
second = ct.deterministic_equivalent(R * Sigma * R).expr
a, da = sp.symbols(
    "a da", positive=True
)  # g = 1/(a Sigma + lam + z Sigma) with a (1 + tr[Sigma g]/T) = 1, a = lam/kappa
moved = sp.symbols("tr2", positive=True)  # tr[Sigma^2 g^2]
slope = sp.solve(sp.Eq(da / a - a / T * (1 + da) * moved, 0), da)[0]  # da/dz at z = 0
by_hand = s * (1 + slope) / (a * s + lam) ** 2
by_hand = by_hand.subs(moved, (k / lam) ** 2 * df(2, k)).subs(a, lam / k).xreplace({k: kappa})
step("R Sigma R = (kappa/lam)^2 Sigma (Sigma+kappa)^-2 / (1 - df2/T)", (second - by_hand).factor() == 0)
step(
    "the same from the package's derivative of kappa",
    (second - (kappa / lam) ** 2 * s / (s + kappa) ** 2 * kappa.diff(lam).doit()).factor() == 0,
)

# 5. One draw: traces concentrate.
rng = np.random.default_rng(7)
values = np.linspace(0.2, 2, 300)
x = rng.standard_normal((400, 300)) * np.sqrt(values)
inverse = np.linalg.inv(x.T @ x / 400 + 0.1 * np.eye(300))
at = {"spectrum": ct.Eigenvalues(values), "T": 400, "lam": 0.1}
step("tr R on a sample, within 1 %", abs(np.trace(inverse) / resolvent.evaluate(**at).sum() - 1) < 0.01)
twice = ct.deterministic_equivalent(R * Sigma * R).evaluate(**at)
drawn = np.trace(inverse @ np.diag(values) @ inverse)
step("tr R Sigma R on a sample, within 2 %", abs(drawn / twice.sum() - 1) < 0.02)
step("and without 1/(1 - df2/T) it is rejected", abs(drawn / (values * resolvent.evaluate(**at) ** 2).sum() - 1) > 0.1)
