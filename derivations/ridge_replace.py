r"""Replace: least-squares generators, ridge downstream; the clean error plus :math:`\operatorname{tr}[C\,\mathcal G[\Sigma]]`."""

import sympy as sp
from transcript import step

import collapse_theory as ct
from collapse_theory.algebra.atomic_ridge import AtomicResidual, AtomicRidge
from collapse_theory.symbols import T0, T, lam, n, sigma0

# 1. The last generator is w0 + delta, E delta = 0, E delta delta' = C = n sigma0^2 Sigma^-1/(T0-d-1) (see ols_replace.py):
#    the cross terms vanish, and the extra error of the fit is E delta' A' Sigma A delta = tr[C G[Sigma]]. For two eigenvalues:
s1, s2, k = sp.symbols("s1 s2 kappa", positive=True)
spectrum = (s1, s2)
df2 = sum((s / (s + k)) ** 2 for s in spectrum)
operator = [(s / (s + k)) ** 2 * s + k**2 * df2 / (T - df2) * s / (s + k) ** 2 for s in spectrum]
noise = n * sigma0**2 / (T0 - 3)
extra = sum(noise / s * g for s, g in zip(spectrum, operator, strict=True))

# 2. Sigma^-1 cancels one Sigma in each term.
closed = noise * (df2 + k**2 * sum((s + k) ** -2 for s in spectrum) * df2 / (T - df2))
step(
    "tr[C G[Sigma]] = n sigma0^2/(T0-d-1) [df2 + kappa^2 tr(Sigma+kappa)^-2 df2/(T-df2)]",
    sp.simplify(extra - closed) == 0,
)

# 3. The package.
term = ct.catalog["ridge-replace"].error.doit(ct.Spiked(2, [s1, s2])).terms["synthetic_variance"]
fit = (T, s1, 1, s2, 1, lam)
name = {AtomicRidge(*fit): k, AtomicResidual(*fit): T - df2}
step("the package's synthetic variance", sp.simplify(term.xreplace(name) - closed) == 0)

# 4. Without generations it is the clean theorem.
step("n = 0 is ridge-clean", ct.catalog["ridge-replace"].error.expr.subs(n, 0) == ct.catalog["ridge-clean"].error.expr)
