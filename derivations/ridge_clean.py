r"""Ridge regression on real data: bias and variance of one fit from the generation operator."""

import sympy as sp
from transcript import step

import collapse_theory as ct
from collapse_theory import symbols
from collapse_theory.algebra.atomic_ridge import AtomicResidual, AtomicRidge

# For two eigenvalues s1, s2 everything is explicit in kappa; T and kappa determine lam.
s1, s2, w1, w2, k, T, sigma = sp.symbols("s1 s2 w1 w2 kappa T sigma", positive=True)
pairs = ((s1, w1), (s2, w2))
df2 = sum((s / (s + k)) ** 2 for s, _ in pairs)

# 1. w_hat - w0 = (A - I) w0 + noise: the bias is w0'(Sigma - 2 Sigma A + A' Sigma A) w0 with G for the last term.
answer = sum(s**2 / (s + k) ** 2 for s, _ in pairs) / (T - df2)
bias = sum(w * (s - 2 * s * s / (s + k) + (s / (s + k)) ** 2 * s + k**2 * answer * s / (s + k) ** 2) for s, w in pairs)

# 2. The first three terms are a square: s (1 - s/(s+kappa))^2 = kappa^2 s/(s+kappa)^2.
square = sum(w * k**2 * s / (s + k) ** 2 for s, w in pairs)
step("s - 2 s r + s r^2 = kappa^2 s/(s+kappa)^2", sp.simplify(bias - square - square * answer) == 0)

# 3. a' at M = Sigma is df2/(T - df2), so the two terms are one: B = kappa^2 w0' Sigma (Sigma+kappa)^-2 w0 / (1 - df2/T).
step("a'[Sigma] = df2/(T - df2)", sp.simplify(answer - df2 / (T - df2)) == 0)
step("B = square/(1 - df2/T)", sp.simplify(bias - square / (1 - df2 / T)) == 0)

# 4. The package, with the same two eigenvalues as spikes and kappa left as a symbol.
terms = ct.catalog["ridge-clean"].error.doit(ct.Spiked(2, [s1, s2])).terms
stage = (symbols.T, s1, 1, s2, 1, symbols.lam)
name = {AtomicRidge(*stage): k, AtomicResidual(*stage): T - df2, symbols.T: T, symbols.sigma: sigma}
name |= {symbols.energy("1"): w1, symbols.energy("2"): w2}
step("the package's bias", sp.simplify(terms["bias"].xreplace(name) - bias) == 0)
step("the package's variance", sp.simplify(terms["variance"].xreplace(name) - sigma**2 * df2 / (T - df2)) == 0)
