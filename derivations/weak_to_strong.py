r"""Weak to strong: when a student of any size is better than the small teacher that labels for it."""

import numpy as np
import sympy as sp
from transcript import step

import collapse_theory as ct
from collapse_theory.derive.labeller import chain_risk
from collapse_theory.derive.operator import Generation
from collapse_theory.symbols import T0, T, lam, lam0, m, m0, sigma, sigma0

# 1. The theorem is two generation operators, the teacher's first: its formula is that of the pipeline.
theorem = ct.catalog["weak-to-strong"]
step("the pipeline's formula", ct.test_error(theorem.pipeline()).expr == theorem.error.expr)
teacher, student = Generation(T0, lam0, sigma0, m0), Generation(T, lam, sigma, m)
step("two operators", sum(chain_risk([teacher, student])) == theorem.error.expr)

# 2. A noise-free teacher with all rows: kappa0 (1 - df1/m0) = lam0. On two eigenvalues with energies w it misses
#    sum w kappa0^2 s g + kappa0'[Sigma] s^2 g with g = 1/(s + kappa0)^2; without a ridge kappa0'[Sigma] = kappa0.
s1, s2, w1, w2, k0, k, size = sp.symbols("s1 s2 w1 w2 kappa0 kappa m0", positive=True)
pairs = ((s1, w1), (s2, w2))


def tr(f):
    """Return a trace on the two eigenvalues."""
    return sum(f(s) for s, _ in pairs)


def form(f):
    """Return a quadratic form in the target."""
    return sum(w * f(s) for s, w in pairs)


def g(s):
    """Return the square of the resolvent."""
    return (s + k0) ** -2


df1, df2 = tr(lambda s: s / (s + k0)), tr(lambda s: s**2 * g(s))


def drift(f):
    """Return what the teacher's ridge moves by, with m0 = df1: it has no ridge."""
    return k0**2 * tr(lambda s: f(s) * g(s)) / (df1 - df2)


missed = form(lambda s: k0**2 * s * g(s) + drift(lambda s: s) * s**2 * g(s))
plain = form(lambda s: k0 * s / (s + k0))
step("the teacher's error is kappa0 w'Sigma (Sigma + kappa0)^-1 w", sp.simplify(missed - plain) == 0)

# 3. A student of all sizes and rows at ridge kappa: A = r = s/(s + kappa), M = Sigma r^2, then the teacher's operator.
error = form(lambda s: s * (1 - s / (s + k) * s / (s + k0)) ** 2) + drift(lambda s: s**3 / (s + k) ** 2) * form(
    lambda s: s**2 * g(s)
)
step("at kappa = 0 the student is the teacher", sp.simplify(error.subs(k, 0) - plain) == 0)

# 4. So a small ridge helps where the slope at kappa = 0 is negative.
slope = error.diff(k).subs(k, 0)
gap = form(lambda s: s * g(s)) / form(lambda s: s**2 * g(s)) - tr(g) / tr(lambda s: s * g(s))
step(
    "the slope is 2 kappa0 w'Sigma^2 g w [w'Sigma g w / w'Sigma^2 g w - tr g / tr Sigma g]",
    sp.simplify(slope - 2 * k0 * form(lambda s: s**2 * g(s)) * gap) == 0,
)
rng = np.random.default_rng(2)
for _ in range(3):
    point = {x: sp.Rational(int(rng.integers(1, 50)), 7) for x in (s1, s2, k0)}
    step(
        "a target without preferred directions: the slope is not positive (Cauchy and Schwarz)",
        gap.subs({w1: 1, w2: 1}).subs(point) <= 0,
    )

# 5. The theorem, far out, has this slope on either side: a target on the large eigenvalues, and one on the small.
s = np.arange(1, 41) ** -1.5
spectrum, big = ct.Eigenvalues(s), {"T0": 1e14, "T": 1e13, "m": 10**12, "sigma": 0, "sigma0": 0, "lam0": 0, "m0": 10}
kappa0 = ct.effective_ridge(spectrum, T=10, lam=0)
weight = (s + kappa0) ** -2
for energies, helps in ((s**2, True), (s**-2, False)):
    how = {"spectrum": spectrum, "target": ct.Energies(energies), **big}
    alone = kappa0 * (energies * s / (s + kappa0)).sum()
    small = 1e-3 * kappa0
    moved = theorem.error.evaluate(**how, lam=small) - alone
    ratio = (energies * s * weight).sum() / (energies * s**2 * weight).sum() - weight.sum() / (s * weight).sum()
    want = 2 * kappa0 * (energies * s**2 * weight).sum() * ratio * small
    step(f"a small ridge {'helps' if helps else 'harms'}", (moved < 0) == helps and np.isclose(moved, want, rtol=0.02))
