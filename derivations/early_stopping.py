r"""Early stopping over generations: the generation operator of a filter as a contour integral."""

import numpy as np
import sympy as sp
from transcript import step

import collapse_theory as ct
from collapse_theory.algebra.effective import EffectiveRidge, ResidualDegrees
from collapse_theory.derive.operator import shrinkage
from collapse_theory.symbols import T, eigenvalue, lam

# 1. By Cauchy, f(S) is an integral over resolvents around the spectrum, and E f(S) one over their equivalents,
# c = kappa/(s + kappa). For a ridge f(z)/z = 1/(z + lam), and the contour opens to the residues outside:
# 1 at infinity, where c = 1, and c at z = -lam.
z, ridge, kappa = sp.symbols("z lambda kappa", positive=True)
f = z / (z + ridge)
lost = kappa / (eigenvalue + kappa)
outside = sp.limit(f, z, sp.oo) - sp.residue(f / z, z, -ridge) * lost
step("of a ridge the contour integral is the mean fit operator", sp.simplify(outside - shrinkage(kappa)) == 0)

# 2. The noise of the labels meets h^2 S = f^2/z; the double pole at -lam gives the derivative of c by lam.
effective = EffectiveRidge(T, lam)
slope = lost.xreplace({kappa: effective}).diff(lam)
per_noise = eigenvalue / (eigenvalue + effective) ** 2 / ResidualDegrees(T, lam)
step("of a ridge the noise is s/(s + kappa)^2/(T - df2)", sp.simplify(slope / T - per_noise) == 0)

# 3. Two resolvents at different ridges, derived by the engine, are c1 c2 times M + s tr[...]/(T - tr[...]), here with M = Sigma.
d, rows = (sp.Symbol(x, positive=True, integer=True) for x in ("d", "T"))
l1, l2 = sp.symbols("l1 l2", positive=True)
Z, Sigma = ct.GaussianMatrix("Z", rows, d), ct.Covariance("Sigma", d)
X = Z * ct.sqrt(Sigma)
first, second = ((X.T * X / rows + x * sp.Identity(d)).inv() for x in (l1, l2))
s = np.array([2.0, 1.0, 0.5, 0.1])
got = ct.deterministic_equivalent(l1 * l2 * first * Sigma * second).evaluate(
    spectrum=ct.Eigenvalues(s), T=7, l1=0.3, l2=0.05
)


def image(M, k1, k2, T):
    """Return the equivalent of lam1 lam2 R1 M R2 on the eigenvalues."""
    both = 1 / ((s + k1) * (s + k2))
    seen, shared = ((x * both).sum(axis=-1, keepdims=True) for x in (M * s, s**2))
    return k1 * k2 * both * (M + s * seen / (T - shared))


k1, k2 = (ct.effective_ridge(ct.Eigenvalues(s), T=7, lam=x) for x in (0.3, 0.05))
step("so is the equivalent of two resolvents", np.allclose(got, image(s, k1, k2, 7), rtol=1e-12))


# 4. The ridges continue to the plane, where f is entire: a circle around the spectrum, and Newton's iteration from far away.
def nodes(T, count=240):
    """Return the nodes of a circle, the measure dz/(2 pi i), and the effective ridges."""
    edge = s.max() * (1 + np.sqrt(len(s) / T)) ** 2  # at least the upper edge of the spectrum
    radius = 0.6 * edge
    turn = np.exp(2j * np.pi * (np.arange(count) + 0.5) / count)
    k = -1e6 * turn
    for far in np.geomspace(1e6, radius, 60):
        z = edge / 2 + far * turn
        for _ in range(4):
            share = s / (s + k[:, None])
            k = k - (k + z - k * share.sum(axis=1) / T) / (1 - (share**2).sum(axis=1) / T)
    return z, radius * turn / count, k


z6, dz, k6 = nodes(6)
explained = (s**2 / abs(s + k6[:, None]) ** 2).sum(axis=1)
step("the ridges are on the physical sheet", explained.max() < 6 and np.allclose(k6[::-1], k6.conj()))


# 5. A chain of two fits by gradient flow, by the double integral: M goes backwards, and every fit adds its noise.
def backwards(M, kept, T, t):
    """Return G[M], A times what was kept, and a'[M]."""
    z, dz, k = nodes(T)
    weight = -np.expm1(-t * z) / z * dz
    mean = ((weight * k) @ (1 / (s + k[:, None]))).real
    noise = ((weight**2 / dz * k) @ (1 / (s + k[:, None]))).real
    whole = sum(a * (weight[:, None] * image(M, x, k[:, None], T)).sum(axis=0) for a, x in zip(weight, k, strict=True))
    return whole.real, kept * mean, (M * noise).sum() / T


M1, u1, noise1 = backwards(s, s, 9, 3.0)
M0, u0, noise0 = backwards(M1, u1, 6, 5.0)
w2 = np.array([1.0, 0.5, 2.0, 1.0])
pipe = ct.Pipeline()
m = pipe.fit(pipe.sample(T=6, noise=0.4), filter=ct.GradientFlow(time=5.0))
pipe.fit(pipe.sample(T=9, noise=0.2, source=m), filter=ct.GradientFlow(time=3.0))
terms = ct.test_error(pipe).evaluate(spectrum=ct.Eigenvalues(s), target=ct.Energies(w2), terms=True)
step("bias of the package = w0'(Sigma - 2 u + M)w0", np.isclose(terms["bias"], w2 @ (s - 2 * u0 + M0), rtol=1e-9))
step("variance = sum of the noises", np.isclose(terms["variance"], 0.04 * noise1 + 0.16 * noise0, rtol=1e-9))

# 6. The theorem is the same chain, n symbolic.
value = ct.catalog["flow-replace"].error.evaluate(
    spectrum=ct.Eigenvalues(s), target=ct.Energies(w2), n=1, T=9, T0=6, t=3.0, t0=5.0, sigma=0.2, sigma0=0.4
)
step("flow-replace at n = 1 is that chain", np.isclose(value, sum(terms.values()), rtol=1e-12))
