r"""The effective ridge: :math:`\kappa-\lambda=\kappa\,\mathrm{df}_1(\kappa)/T`, its derivatives and its ridgeless limit."""

import mpmath
import numpy as np
import sympy as sp
from transcript import step

import collapse_theory as ct
from collapse_theory.algebra.effective import EffectiveRidge, ResidualDegrees
from collapse_theory.symbols import T, lam

# 1. Leave one row out (Sherman-Morrison): x'(S + lam)^-1 x = y/(1 + y/T) with y = x'(S_- + lam)^-1 x.
rng = np.random.default_rng(4)
X = rng.standard_normal((8, 5))
R = np.linalg.inv(X.T @ X / 8 + 0.3 * np.eye(5))
R_without = np.linalg.inv(X[1:].T @ X[1:] / 8 + 0.3 * np.eye(5))
y = X[0] @ R_without @ X[0]
step("x'Rx = y/(1 + y/T)", np.isclose(X[0] @ R @ X[0], y / (1 + y / 8)))

# 2. y concentrates at tr[Sigma R], which closes the equation: R = (a Sigma + lam)^-1 with a (1 + tr[Sigma R]/T) = 1, kappa = lam/a.
#    For one eigenvalue: multiply out, and it is the equation of kappa.
a, s, k, m = sp.symbols("a s kappa m", positive=True)
closed = a * (1 + m * s / (a * s + a * k) / T) - 1
equation = (k - lam) - k * (m * s / (s + k)) / T
step("a(1 + tr[Sigma R]/T) = 1 is kappa - lam = kappa df1/T", sp.simplify(closed.subs(a, lam / k) * k + equation) == 0)

# 3. The residual is convex and its slope at the root is 1 - df2/T.
x = sp.Symbol("x", positive=True)
gap = x - lam - x * (m * s / (s + x)) / T
step("slope = 1 - df2/T", sp.simplify(gap.diff(x) - (1 - m * s**2 / (s + x) ** 2 / T)) == 0)
step("convex", sp.simplify(gap.diff(x, 2) - 2 * m * s**2 / (s + x) ** 3 / T) == 0)

# 4. The derivatives of the package against 50-digit differences of an independent root.
mpmath.mp.dps = 50
eigenvalues = [mpmath.mpf(j) ** -1.5 for j in range(1, 21)]


def root(rows, ridge):
    """Return the root by mpmath's own solver."""
    return mpmath.findroot(
        lambda z: z - ridge - z * mpmath.fsum(e / (e + z) for e in eigenvalues) / rows,
        (0.01, 2),
        solver="anderson",
        tol=1e-90,
    )


h = mpmath.mpf(10) ** -15
here = root(30, mpmath.mpf("0.1"))
residual = 30 - mpmath.fsum((e / (e + here)) ** 2 for e in eigenvalues)
step("dkappa/dlam = T/(T - df2)", abs((root(30, 0.1 + h) - root(30, 0.1 - h)) / (2 * h) / (30 / residual) - 1) < 1e-14)
step("as the package has it", EffectiveRidge(T, lam).diff(lam) == T / ResidualDegrees(T, lam))
step(
    "dkappa/dT = -(kappa - lam)/(T - df2)",
    abs((root(30 + h, 0.1) - root(30 - h, 0.1)) / (2 * h) / (-(here - 0.1) / residual) - 1) < 1e-14,
)
step("and its value", abs(ct.effective_ridge(ct.PowerLaw(20, 1.5), T=30, lam=0.1) / here - 1) < 1e-14)

# 5. Without ridge: zero for T >= d, the root of df1 = T below.
step("kappa = 0 for T >= d", ct.effective_ridge(ct.PowerLaw(20, 1.5), T=20, lam=0) == 0)
below = ct.effective_ridge(ct.PowerLaw(20, 1.5), T=12, lam=0)
step("df1(kappa) = T for T < d", abs(ct.degrees_of_freedom(ct.PowerLaw(20, 1.5), below) - 12) < 1e-12)
