r"""Strong collapse: a share p1 of real rows, a share p2 labelled with an offset; the published :math:`\zeta`."""

import numpy as np
import sympy as sp
from transcript import step

import collapse_theory as ct
from collapse_theory.algebra.effective import EffectiveRidge, ResidualDegrees
from collapse_theory.algebra.integrals import SpectralTrace, df
from collapse_theory.symbols import N, T, d, eigenvalue, eigenvalue_of, lam, p1, p2

T1, T2 = (sp.Symbol(name, integer=True, positive=True) for name in ("T1", "T2"))
Sigma, one, rows = ct.Covariance("Sigma", d), sp.Identity(d), T1 + T2
X1, X2 = (ct.GaussianMatrix(name, count, d) * ct.sqrt(Sigma) for name, count in (("Z1", T1), ("Z2", T2)))
S1, S2 = X1.T * X1 / rows, X2.T * X2 / rows
R = (S1 + S2 + lam * one).inv()
s, k, explained = eigenvalue, sp.Symbol("kappa", positive=True), sp.Symbol("df2", positive=True)

# 1. The offset delta of the synthetic labeller, E delta = 0 and independent of w0, adds E delta'(R S2)'Sigma (R S2) delta; the
#    cross terms with w0 vanish. So zeta = tr[Delta F] with F the equivalent of S2 R Sigma R S2, straight from the engine.
equivalent = ct.deterministic_equivalent(S2 * R * Sigma * R * S2).expr
kappa = EffectiveRidge(rows, lam)
F = equivalent.xreplace({df(2, kappa): explained}).xreplace({kappa: k})
step("one effective ridge, that of all rows", equivalent.atoms(EffectiveRidge) == {kappa})

# 2. The published form (Dohmatob et al. 2024): u = df2/N / (1 - df2/N).
u = explained / rows / (1 - explained / rows)
q1, q2 = T1 / rows, T2 / rows
published = (q2**2 * (1 + q1 * u) * s**3 + q2 * u * s * (q1 * s + k) ** 2) / (s + k) ** 2
step("the engine's F is the published integrand", (F - published).factor() == 0)

# 3. The mean-labeller theorem groups them as G[Sigma] for the mean offset p2 delta, and the disagreement as noise.
transported = (s / (s + k)) ** 2 * s + k**2 * u * s / (s + k) ** 2
step("= p2^2 G[Sigma] + p1 p2 u Sigma", (published - q2**2 * transported - q1 * q2 * u * s).factor() == 0)

# 4. The package: three eigenvalues s_j and offsets Delta_j, exact rationals.
zeta = ct.catalog["strong-collapse"].error.terms["synthetic_variance"]
offset, ridge = eigenvalue_of("Delta"), EffectiveRidge(N, lam)
rng = np.random.default_rng(11)
for _ in range(3):
    values, offsets = ([sp.Rational(int(x), 7) for x in rng.integers(1, 40, 3)] for _ in range(2))
    point = {
        N: sp.Integer(9),
        p1: sp.Rational(2, 9),
        p2: sp.Rational(7, 9),
        k: sp.Rational(int(rng.integers(1, 40)), 5),
    }
    df2 = sum((x / (x + k)) ** 2 for x in values)
    traces = {
        t: sum(t.integrand.xreplace({s: x, offset: y}) for x, y in zip(values, offsets, strict=True))
        for t in zeta.atoms(SpectralTrace)
    }
    got = zeta.xreplace(traces).xreplace({ResidualDegrees(N, lam): N - df2, ridge: k}).subs(point)
    F_at = published.subs({T1: 2, T2: 7})
    want = sum(y * F_at.subs({explained: df2}).subs(s, x) for x, y in zip(values, offsets, strict=True)).subs(point)
    step("the theorem's zeta is the published one, in exact rationals", got == want)

# 5. A floor: as rows are added at fixed shares (here 2 : 7), kappa and u vanish and zeta tends to p2^2 tr[Delta Sigma] > 0.
limit = published.subs({T1: 2 * T, T2: 7 * T, k: 0}).limit(T, sp.oo)
step("zeta tends to p2^2 tr[Delta Sigma]", limit == sp.Rational(7, 9) ** 2 * s)
