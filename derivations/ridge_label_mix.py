r"""Mixing fresh real labels into synthetic ones on one design: the stationary error, and the golden ratio."""

import numpy as np
import sympy as sp
from transcript import step

import collapse_theory as ct
from collapse_theory.algebra.effective import EffectiveRidge, ResidualDegrees, shared_degrees
from collapse_theory.algebra.integrals import SpectralTrace
from collapse_theory.symbols import T, d, eigenvalue, lam, sigma, w

x, k1, k2, v = sp.symbols("x kappa1 kappa2 v", positive=True)  # x: an eigenvalue of S = X'X/T
Sigma, one = ct.Covariance("Sigma", d), sp.Identity(d)
X = ct.GaussianMatrix("Z", T, d) * ct.sqrt(Sigma)
S = X.T * X / T
R = (S + lam * one).inv()
A = R * S
fresh = w**2 + (1 - w) ** 2  # variance of w * (real noise) + (1-w) * (synthetic noise), over sigma^2

# 1. w_(k+1) = A (w w0 + (1-w) w_k) + R X'e/T. One round after the clean fit, by the engine on the plain matrices:
P = w * A + (1 - w) * A * A - one
bias = ct.deterministic_equivalent(P.T * Sigma * P)
variance = ct.deterministic_equivalent(sigma**2 / T * (fresh * R * S * R + (1 - w) ** 2 * A * R * S * R * A) * Sigma)
spectrum, target = ct.PowerLaw(40, beta=1.1), ct.SourceTarget(r=0.4)
at = {"T": 30, "lam": 0.05, "w": 0.7}
inputs = {"spectrum": spectrum, "target": target, **at, "sigma": 0.4}
by_hand = bias.evaluate(spectrum=spectrum, **at) @ target.energies(spectrum)
by_hand += variance.evaluate(spectrum=spectrum, **at, sigma=0.4).sum()
mix = ct.catalog["ridge-label-mix"].error
step("the theorem at n = 1", abs(mix.evaluate(**inputs, n=1) / by_hand - 1) < 1e-11)

# 2. All fits are functions of the one S and commute, so that for ever is a fixed point per eigenvalue x. The mean factor m:
a = x / (x + lam)
m = sp.solve(sp.Eq(v, a * (w + (1 - w) * v)), v)[0]
step("m = x/(x + lam/w): the clean bias at lam/w", sp.simplify(m - x / (x + lam / w)) == 0)

# 3. The covariance c, in units of sigma^2/T:
c = sp.solve(sp.Eq(v, (1 - w) ** 2 * a**2 * v + fresh * x / (x + lam) ** 2), v)[0]
step("c = v x/[(w x + lam)((2-w) x + lam)]", sp.simplify(c - fresh * x / ((w * x + lam) * ((2 - w) * x + lam))) == 0)

# 4. It is a difference of two resolvents of the same S at z1 = lam/w and z2 = lam/(2-w), each with an effective ridge of its own.
z1, z2 = lam / w, lam / (2 - w)
split = fresh / (w * (2 - w)) * (z1 / (x + z1) - z2 / (x + z2)) / (z1 - z2)
step("c = v/(w(2-w)) [z1 R(z1) - z2 R(z2)]/(z1 - z2)", sp.simplify(c - split) == 0)

# 5. z R(z) = kappa (Sigma+kappa)^-1, and T (kappa - z) = kappa df1(kappa) for both: for two directions s1, s2, with
#    M = tr Sigma^2/((Sigma+kappa1)(Sigma+kappa2)),
values = sp.symbols("s1 s2", positive=True)
M = sum(s**2 / ((s + k1) * (s + k2)) for s in values)
difference = sum(s * (k1 / (s + k1) - k2 / (s + k2)) for s in values)
z = [k * (1 - sum(s / (s + k) for s in values) / T) for k in (k1, k2)]
step(
    "tr Sigma [kappa1/(Sigma+kappa1) - kappa2/(Sigma+kappa2)] = (kappa1 - kappa2) M",
    (difference - (k1 - k2) * M).factor() == 0,
)
step("T (z1 - z2) = (kappa1 - kappa2)(T - M)", (T * (z[0] - z[1]) - (k1 - k2) * (T - M)).factor() == 0)
step("so that the trace is M/(T - M), over T", (difference / T / (z[0] - z[1]) - M / (T - M)).factor() == 0)

# 6. The package: shared_degrees returns M, and T - M in a form that does not cancel; the variance is v/(w(2-w)) M/(T - M).
both, residual = shared_degrees(T, lam / w, lam / (2 - w))


def explicit(e):
    """Return an expression of the package over the two directions."""
    for rows, ridge, k in ((T, lam / w, k1), (T, lam / (2 - w), k2)):
        df2 = sum((s / (s + k)) ** 2 for s in values)
        e = e.xreplace({ResidualDegrees(rows, ridge): rows - df2})
    e = e.xreplace({t: sum(t.integrand.xreplace({eigenvalue: s}) for s in values) for t in e.atoms(SpectralTrace)})
    return e.xreplace({EffectiveRidge(T, lam / w): k1, EffectiveRidge(T, lam / (2 - w)): k2})


step("M of the package", (explicit(both) - M).factor() == 0)
step("T - M of the package", (explicit(residual) - (T - M)).factor() == 0)
limit = ct.catalog["ridge-label-mix-limit"].error
got = explicit(limit.terms["variance"])
step("the theorem's variance", (got - sigma**2 * fresh / (w * (2 - w)) * M / (T - M)).factor() == 0)
gap = [abs(mix.evaluate(**inputs, n=n) / limit.evaluate(**inputs) - 1) for n in (2, 4, 6)]
step("to which the rounds settle like (1-w)^(2n)", gap[2] < gap[1] < gap[0] and gap[2] < 1e-4)

# 7. Without a ridge the two effective ridges coincide, and mixing is one factor on the clean variance.
minnorm = ct.catalog["minnorm-label-mix"].error.terms["variance"]
clean = ct.catalog["ridge-clean"].error.terms["variance"].subs(lam, 0)
factor = (minnorm / clean).cancel()
step(
    "minimum norm: (w^2 + (1-w)^2)/(w(2-w)) times the clean variance", sp.simplify(factor - fresh / (w * (2 - w))) == 0
)

# 8. Its stationary points, exactly: w^2 + w - 1 = 0.
golden = (sp.sqrt(5) - 1) / 2
roots = sp.roots(sp.numer(sp.together(factor.diff(w))), w)
step("stationary at the golden ratio, and outside (0, 1)", set(roots) == {golden, -golden - 1})
step("where it is least", sp.simplify(factor.diff(w, 2).subs(w, golden)).is_positive)
step("and equals the golden ratio itself", sp.simplify(factor.subs(w, golden) - golden) == 0)
grid = np.linspace(0.05, 1, 400)
step("on a grid too", abs(grid[np.argmin(sp.lambdify(w, factor)(grid))] - float(golden)) < 0.01)
