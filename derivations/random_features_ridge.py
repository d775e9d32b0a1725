r"""Ridge regression on random features: the engine's coupled pair, in the variables kappa and kappa_1, and the test error."""

import numpy as np
import sympy as sp
from transcript import step

import collapse_theory as ct
from collapse_theory.algebra.effective import EffectiveRidge, ResidualDegrees
from collapse_theory.algebra.feature_scalars import FeatureResidual, FeatureRidge
from collapse_theory.algebra.integrals import QuadraticForm, SpectralTrace, df
from collapse_theory.symbols import T, d, eigenvalue, lam, sigma

s = eigenvalue
m = sp.Symbol("m", integer=True, positive=True)
Sigma, one = ct.Covariance("Sigma", d), sp.Identity(d)
X, S = ct.GaussianMatrix("Z", T, d) * ct.sqrt(Sigma), ct.GaussianMatrix("S", d, m) / sp.sqrt(m)
G = X.T * X / T
Q = S * (S.T * G * S + lam * sp.Identity(m)).inv() * S.T  # w_hat = Q X'y/T

# 1. The engine solves Q in two coupled scalars. It is a multiple of (Sigma + kappa)^-1 with kappa = -1/(tau_1 tau_2).
equivalent = ct.deterministic_equivalent(Q)
first, second = equivalent.equations
tau1, tau2 = first.lhs, second.lhs
kappa, kappa1, df1, df2 = sp.symbols("kappa kappa_1 df1 df2", positive=True)
step(
    "Q = -(T/tau_2) (Sigma - 1/(tau_1 tau_2))^-1", sp.cancel(equivalent.expr + T / tau2 / (s - 1 / (tau1 * tau2))) == 0
)

# 2. Put tau_2 = -T lam/kappa_1, so that lam Q = kappa_1 (Sigma + kappa)^-1. One trace is left, kappa df1(kappa).
change = {tau1: kappa1 / (T * lam * kappa), tau2: -T * lam / kappa1}
step(
    "lam Q = kappa_1 (Sigma + kappa)^-1", sp.cancel(lam * equivalent.expr.xreplace(change) - kappa1 / (s + kappa)) == 0
)
(trace,) = first.atoms(SpectralTrace) | second.atoms(SpectralTrace)
step("the trace is -kappa df1(kappa)", trace.xreplace(change) == -kappa * df(1, kappa))

# 3. Adlam and Pennington's pair becomes one equation for the features and one for the rows.
pair = (kappa - kappa1 - kappa * df1 / m, kappa1 - lam - kappa1 * df1 / T)
for eq, mine, name in zip((first, second), pair, ("features", "rows"), strict=True):
    gap = sp.factor((eq.lhs - eq.rhs).xreplace({trace: -kappa * df1}).xreplace(change))
    quotient = sp.cancel(sp.numer(gap) / sp.numer(sp.together(mine)))
    step(f"the equation of the {name}", not quotient.has(df1))
theorem = ct.catalog["random-features-ridge"].error
m_ = theorem.symbol("m")
ours = [sp.expand(e.subs({df1: df(1, kappa), m: m_})) for e in pair]
names = {x.name: x for eq in theorem.implicit for x in eq.free_symbols if x.name in {"kappa", "kappa_1"}}
shown = [
    sp.expand((eq.lhs - eq.rhs).subs({names["kappa"]: kappa, names["kappa_1"]: kappa1})) for eq in theorem.implicit
]
step("they are the theorem's implicit equations", ours == shown)

# 4. Variance. d(lam Q)/dlam = Q G Q exactly, so V = (sigma^2/T) d/dlam tr[Sigma lam Q] = (sigma^2/T) d(kappa_1 df1)/dlam.
#    Along the pair, with d df1/dkappa = -(df1 - df2)/kappa:
slope, slope1 = sp.symbols("dkappa dkappa_1")
moved = [e.diff(kappa) * slope + e.diff(kappa1) * slope1 + e.diff(df1) * -(df1 - df2) / kappa * slope for e in pair]
moved[1] += pair[1].diff(lam)
answer = sp.solve(moved, [slope, slope1], dict=True)[0]
variance = sp.factor(((slope1 * df1 - kappa1 * (df1 - df2) / kappa * slope) / T).subs(answer))
on_pair = {kappa1: kappa * (1 - df1 / m)}
seen = df2 + (df1 - df2) ** 2 / (m - df2)  # df2 of the features
step("V = sigma^2 seen/(T - seen)", sp.cancel(variance.subs(on_pair) - seen / (T - seen)) == 0)


def explicit(e):
    """Return a term of the package in kappa and degrees of freedom."""
    own = FeatureRidge(T, m_, lam)
    k = EffectiveRidge(m_, own)
    e = e.xreplace({FeatureResidual(T, m_, lam): T - seen, ResidualDegrees(m_, own): m - df2})
    e = e.xreplace({SpectralTrace(s / (s + k) ** 2): (df1 - df2) / kappa, df(2, k): df2})
    return e.xreplace({k: kappa, own: kappa1, m_: m})


step("the theorem's variance", sp.cancel(explicit(theorem.terms["variance"]) - sigma**2 * variance.subs(on_pair)) == 0)

# 5. Bias. Given S, the part of the labels outside the features' span is independent noise; with infinitely many rows the error is
#    -kappa_1^2 d/dkappa_1 of w0' Sigma (kappa/kappa_1)(Sigma + kappa)^-1 w0, where dkappa/dkappa_1 = m/(m - df2).
resolvent = s * kappa / kappa1 / (s + kappa)
misfit = -(kappa1**2) * (resolvent.diff(kappa1) + resolvent.diff(kappa) * m / (m - df2))
terms = explicit(theorem.terms["bias"])
forms = {x: x.integrand for x in terms.atoms(QuadraticForm)}
step(
    "on T rows it is T/(T - seen) times that: the theorem's bias",
    sp.cancel(terms.xreplace(forms) - (misfit * T / (T - seen)).subs(on_pair)) == 0,
)

# 6. The engine on the whole expression, both resolvents at once, never sees kappa: the numbers agree.
spectrum, values = ct.PowerLaw(30, beta=1.2), {"T": 20, "m": 25, "lam": 0.1}
target = ct.Energies(np.ones(30))
whole = {
    "bias": (G * Q - one) * Sigma * (Q * G - one),
    "variance": Q * Sigma * Q * G / T,
}
got = theorem.evaluate(spectrum=spectrum, target=target, sigma=1, terms=True, **values)
for name, expression in whole.items():
    want = ct.deterministic_equivalent(expression).evaluate(spectrum=spectrum, **values).sum()
    step(f"{name}: the engine on the two-resolvent expression", np.isclose(got[name], want, rtol=1e-10))

# 7. Many features: kappa_1 and kappa coincide, and it is ridge regression on the inputs.
step("m to infinity: df2 of the features is df2", sp.limit(seen, m, sp.oo) == df2)
clean = ct.catalog["ridge-clean"].error.evaluate(spectrum=spectrum, target=target, T=20, lam=0.1, sigma=1)
wide = theorem.evaluate(spectrum=spectrum, target=target, sigma=1, T=20, m=10**9, lam=0.1)
step("ridge-clean", np.isclose(wide, clean, rtol=1e-7))
