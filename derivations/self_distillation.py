r"""Self-distillation: the risk is quadratic in the mixing, the best mixing has a sign, and both optima can beat the best ridge."""

import numpy as np
import sympy as sp
from transcript import step

import collapse_theory as ct
from collapse_theory.derive.formula import ErrorFormula
from collapse_theory.symbols import T, d, lam, xi
from collapse_theory.theorems.distillation import best_mixing

x, Q, R, R1, R2, h = sp.symbols("x Q R R1 R2 h", real=True)
Sigma, one = ct.Covariance("Sigma", d), sp.Identity(d)
X = ct.GaussianMatrix("Z", T, d) * ct.sqrt(Sigma)
S = X.T * X / T
G = (S + lam * one).inv()

# 1. On one design everything is a function of S. In its eigendirection of x the fit multiplies by 1/(x + lam), and the fit on
#    (1-xi) y + xi X w by:
first = 1 / (x + lam)
again = first * ((1 - xi) + xi * x * first)
step("w_xi = w + xi lam dw/dlam", sp.simplify(again - (first + xi * lam * first.diff(lam))) == 0)

# 2. So the risk is R + xi lam R' + xi^2 lam^2 Q with Q the mean square of dw/dlam = -G^2 X'y/T. Q by the engine, on the matrices:
signal = ct.deterministic_equivalent(S * G * G * Sigma * G * G * S)
noise = ct.deterministic_equivalent(G * G * S * G * G * Sigma)
spectrum, target = ct.PowerLaw(30, beta=1.2), ct.SourceTarget(r=0.5)
at = {"T": 25, "lam": 0.3}
about = {"spectrum": spectrum, "target": target, **at, "sigma": 0.5}
by_engine = signal.evaluate(spectrum=spectrum, **at) @ target.energies(spectrum)
by_engine += 0.5**2 / 25 * noise.evaluate(spectrum=spectrum, **at).sum()
err = ct.catalog["self-distillation"].error
risk = {c: err.evaluate(**about, xi=c) for c in (-1, 0, 1)}
step("Q of the theorem", abs((risk[1] + risk[-1] - 2 * risk[0]) / (2 * 0.3**2 * by_engine) - 1) < 1e-9)

# 3. R and R' are those of ridge regression.
clean = ct.catalog["ridge-clean"].error
step("R of the theorem", abs(risk[0] / clean.evaluate(**about) - 1) < 1e-12)
step("R' of the theorem", abs((risk[1] - risk[-1]) / (2 * 0.3 * clean.diff("lam").evaluate(**about)) - 1) < 1e-9)

# 4. The sign rule. Q > 0 is the mean square of a vector that is not zero; the stationary mixing is the least:
c = sp.symbols("c", real=True)
quadratic = R + c * lam * R1 + c**2 * lam**2 * Q
star = sp.solve(quadratic.diff(c), c)[0]
step("xi* = -R'/(2 lam Q): the sign of -R'", sp.simplify(star + R1 / (2 * lam * Q)) == 0)
step("with R - R'^2/(4Q)", sp.simplify(quadratic.subs(c, star) - (R - R1**2 / (4 * Q))) == 0)
mixing = ErrorFormula({"xi": best_mixing()}, "proportional")
for ridge in (0.003, 3.0):
    here = {**about, "lam": ridge}
    slope, value = clean.diff("lam").evaluate(**here), mixing.evaluate(**here)
    step(f"at lam = {ridge} the sign is {'positive' if value > 0 else 'negative'}", value * slope < 0)
    near = [err.evaluate(**here, xi=value + e) for e in (-0.01, 0, 0.01)]
    step("and the mixing is the least", near[1] < min(near[0], near[2]))
    best = ct.catalog["self-distillation-best"].error.evaluate(**here)
    step("whose error is that of the theorem", abs(near[1] / best - 1) < 1e-10)

# 5. Both optima. Around the best ridge R' = R'' h and Q moves by a factor 1 + O(h), so that
local = R + R2 * h**2 / 2 - (R2 * h) ** 2 / (4 * Q)
step("R - R'^2/(4Q) has the curvature R''(1 - R''/(2Q))", sp.simplify(local.diff(h, 2) - R2 * (1 - R2 / (2 * Q))) == 0)
#    negative, the best ridge no minimum of it, iff R'' > 2Q. At an isotropic random target ridge is Bayes: R'' = 2Q, no gain.
for r, bayes in ((1.0, False), (None, True)):
    w0 = ct.RandomTarget(norm2=1.0) if bayes else ct.SourceTarget(r=r)
    here = {"spectrum": spectrum, "target": w0, "T": 25, "sigma": 0.5}
    ridge = ct.optimal_ridge(clean, **here).value
    curvature = clean.diff("lam").diff("lam").evaluate(**here, lam=ridge)
    risk = [err.evaluate(**here, lam=ridge, xi=c) for c in (-1, 0, 1)]
    twice = (risk[0] + risk[2] - 2 * risk[1]) / ridge**2
    lams = ridge * np.geomspace(0.5, 2, 41)
    gain = 1 - ct.catalog["self-distillation-best"].error.evaluate(**here, lam=lams).min() / clean.evaluate(
        **here, lam=ridge
    )
    if bayes:
        step("isotropic random target: R'' = 2Q", abs(curvature / twice - 1) < 1e-6)
        step("and nothing to gain", abs(gain) < 1e-9)
    else:
        step("source condition r = 1: R'' > 2Q", curvature > 1.01 * twice)
        step("and the best ridge is beaten", gain > 0.01)

# 6. Repeated for ever: the fixed point of v = ((1-xi) + xi x v)/(x + lam) is ridge regression with lam/(1-xi).
v = sp.symbols("v")
settled = sp.solve(sp.Eq(v, ((1 - xi) + xi * x * v) / (x + lam)), v)[0]
step("for ever: the ridge lam/(1-xi)", sp.simplify(settled - 1 / (x + lam / (1 - xi))) == 0)
