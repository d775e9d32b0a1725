r"""A chain of ridge fits: the composition of generation operators, :math:`M_l=\mathcal G_l[M_{l+1}]`."""

import numpy as np
import sympy as sp
from transcript import step

import collapse_theory as ct
from collapse_theory.algebra.effective import EffectiveRidge, ResidualDegrees
from collapse_theory.algebra.integrals import QuadraticForm, SpectralTrace
from collapse_theory.derive.labeller import chain_risk
from collapse_theory.derive.operator import Generation
from collapse_theory.symbols import T0, T, eigenvalue, lam, lam0, sigma, sigma0

# 1. Two fits, w2 = A1 (A0 w0 + e0) + e1 with independent designs: conditioning on the first applies G1 to Sigma, then G0 to that.
s1, s2, w1, w2, k0, k1 = sp.symbols("s1 s2 w1 w2 kappa0 kappa1", positive=True)
pairs = ((s1, w1), (s2, w2))


def generation(M, k, rows):
    """Return (G[M], a'[M]) on the two eigenvalues."""
    residual = rows - sum((s / (s + k)) ** 2 for s, _ in pairs)
    answer = sum(m * s / (s + k) ** 2 for m, (s, _) in zip(M, pairs, strict=True)) / residual
    return [
        (s / (s + k)) ** 2 * m + k**2 * answer * s / (s + k) ** 2 for m, (s, _) in zip(M, pairs, strict=True)
    ], answer


M1, answer1 = generation([s1, s2], k1, T)
M0, answer0 = generation(M1, k0, T0)
u = [s * s / (s + k1) * s / (s + k0) for s, _ in pairs]
bias = sum(w * (s - 2 * x + m) for (s, w), x, m in zip(pairs, u, M0, strict=True))
variance = sigma**2 * answer1 + sigma0**2 * answer0

# 2. The package keeps the same quantity as a sum of squares; written over the two eigenvalues it is equal (at random rationals).
got = chain_risk([Generation(T0, lam0, sigma0), Generation(T, lam, sigma)])


def explicit(e):
    """Return an expression of the package over the two eigenvalues."""
    ridges = {EffectiveRidge(T, lam): k1, EffectiveRidge(T0, lam0): k0}
    residuals = {
        ResidualDegrees(rows, x): rows - sum((s / (s + k)) ** 2 for s, _ in pairs)
        for rows, x, k in ((T, lam, k1), (T0, lam0, k0))
    }
    e = e.xreplace(residuals)
    e = e.xreplace({x: sum(x.integrand.xreplace({eigenvalue: s}) for s, _ in pairs) for x in e.atoms(SpectralTrace)})
    e = e.xreplace(
        {x: sum(w * x.integrand.xreplace({eigenvalue: s}) for s, w in pairs) for x in e.atoms(QuadraticForm)}
    )
    return e.xreplace(ridges)


rng = np.random.default_rng(6)
for _ in range(3):
    point = {x: sp.Rational(int(rng.integers(1, 50)), 7) for x in (s1, s2, w1, w2, k0, k1, sigma, sigma0)} | {
        T: sp.Integer(11),
        T0: sp.Integer(9),
    }
    step(
        "bias and variance, in exact rationals",
        all(explicit(e).subs(point) == x.subs(point) for e, x in zip(got, (bias, variance), strict=True)),
    )

# 3. With n symbolic the chain stays a power of the operator; unfolded and run on eigenvalues it is the same number.
theorem = ct.catalog["ridge-chain"]
values = {
    "spectrum": ct.PowerLaw(20, 1.5),
    "target": ct.RandomTarget(),
    "T": 30,
    "T0": 12,
    "lam": 0.1,
    "lam0": 0,
    "sigma": 0.3,
    "sigma0": 0.2,
}
step(
    "G^n by recursion = G^n unfolded",
    np.isclose(theorem.error.evaluate(n=3, **values), theorem.at(n=3).evaluate(**values), rtol=1e-12),
)

# 4. Isotropic minimum-norm generators forget the signal by T0/d per generation.
last = ct.test_error(ct.workflows.replace(3, ct.Stage(T=60), ct.Stage(T=60)), method="operator")
kept = 1 - last.evaluate(spectrum=ct.Isotropic(100), target=ct.RandomTarget())
step("error = 1 - (T0/d)^n", np.isclose(kept, 0.6**4, rtol=1e-12))
