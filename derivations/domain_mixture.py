r"""Two domains in one fit, the second labelled by another truth: when do its rows help?"""

import numpy as np
import sympy as sp
from sympy.core.symbol import Str
from transcript import step

import collapse_theory as ct
from collapse_theory.algebra.effective import EffectiveRidge
from collapse_theory.algebra.integrals import OffsetForm, QuadraticForm, df
from collapse_theory.symbols import eigenvalue, lam, sigma

T1, T2 = (sp.Symbol(name, integer=True, positive=True) for name in ("T1", "T2"))
N, s = T1 + T2, eigenvalue
p1, p2, kappa = T1 / N, T2 / N, EffectiveRidge(T1 + T2, lam)
w0, w1 = (Str(name) for name in ("w0", "w1"))

# 1. The pipeline: T1 rows of the tested domain, T2 of another, w1 = w0 + v, one ridge.
pipe = ct.Pipeline()
own, other = pipe.sample(T=T1, noise=sigma), pipe.sample(T=T2, noise=sigma, source=pipe.truth("w1"))
pipe.fit([own, other], ridge=lam)
err = ct.test_error(pipe)

# 2. For the risk these are rows of the mean labeller w0 + p2 v, and p1 p2 |v|^2 of disagreement is noise (mean_labeller.py).
#    A fit keeps s/(s + kappa) of the mean labeller, so that it is off by kappa/(s + kappa) w0 - s/(s + kappa) p2 v on average;
#    its fluctuations are those of a fit on N rows of the mean labeller.
lost, kept = kappa / (s + kappa), s / (s + kappa)
free = 1 - df(2, kappa) / N


def form(f, g):
    """Return the form of f w0 + g v with itself, and a function of Sigma between."""
    return lambda m: QuadraticForm(m * f**2) + 2 * OffsetForm(m * f * g, w0, w1) + OffsetForm(m * g**2, w1, w1)


missed = form(lost, -p2 * kept)(s)
seen = form(lost, p2 * lost)(s)  # what the mean labeller leaves unexplained on its own rows
apart = p1 * p2 * OffsetForm(s, w1, w1)
bias = missed + (seen + apart) * df(2, kappa) / N / free

rng = np.random.default_rng(4)
d = 30
tasks = {"w0": ct.Coefficients(rng.standard_normal(d)), "w1": ct.Coefficients(rng.standard_normal(d))}
inputs = {"spectrum": ct.PowerLaw(d, beta=1.1), "target": tasks, "T1": 35, "T2": 20, "lam": 0.05, "sigma": 0.4}
got = err.evaluate(**inputs, terms=True)
found = ct.ErrorFormula({"bias": bias}, "proportional").evaluate(**{k: x for k, x in inputs.items() if k != "sigma"})
step("the mean labeller gives the bias", abs(found / got["bias"] - 1) < 1e-11)
clean = ct.Pipeline()
clean.fit(clean.sample(T=N, noise=sigma), ridge=lam)
variance = ct.test_error(clean).evaluate(**inputs, terms=True)["variance"]
step("the variance is that of N rows of one domain", abs(got["variance"] / variance - 1) < 1e-11)

# 3. Without a ridge, N > d: kappa = 0, nothing is lost, and with D = |v|^2 in the norm of Sigma and phi = d/N
#    E = p2^2 D + (p1 p2 D + sigma^2) phi/(1 - phi).
D, phi, noise = sp.symbols("D phi noise", positive=True)
a, b = sp.symbols("a b", positive=True)  # rows over d, so that phi = 1/(a + b)
answer = phi / (1 - phi)
error = (b / (a + b)) ** 2 * D + (a * b / (a + b) ** 2 * D + noise) * answer
error = error.subs(phi, 1 / (a + b))
gram = {"T1": 90, "T2": 60, "sigma": 0.4}
v = np.asarray(tasks["w1"].values) - np.asarray(tasks["w0"].values)
distance = float(inputs["spectrum"].eigenvalues @ v**2)
least = ct.test_error(pipe).subs({"lam": 0}).evaluate(spectrum=inputs["spectrum"], target=tasks, **gram)
step("least squares", abs(float(error.subs({a: 3, b: 2, D: distance, noise: 0.16})) / least - 1) < 1e-11)

# 4. The first rows of the other domain help iff the slope at b = 0 is negative: iff D < sigma^2/(1 - d/T1)... exactly
slope = sp.factor(error.diff(b).subs(b, 0))
threshold = sp.solve(slope, D)
step("the first rows help iff D < sigma^2 a/(a - 1), the error of a new label", threshold == [a * noise / (a - 1)])

# 5. However many there are, all together help iff D is below one threshold: with endless ones the error without them.
gain = sp.factor(sp.together(error.subs(b, 0) - error))
limit = sp.solve(gain.args and sp.numer(gain), D)
step("all rows pay iff D is below one threshold", len(limit) == 1)
step("of few rows it is the one of the slope", sp.simplify(sp.limit(limit[0], b, 0) - a * noise / (a - 1)) == 0)
step("of many it is the error of the own rows alone", sp.simplify(sp.limit(limit[0], b, sp.oo) - noise / (a - 1)) == 0)

# 6. The theorem of the catalogue: w1 = theta w0 + delta, delta independent of w0. Then v = (theta - 1) w0 + delta, and
#    on average forms with one v are (theta - 1) times those of w0, with two (theta - 1)^2 times them plus traces with Delta.
theorem = ct.catalog["domain-mixture"].error
energies, spread = rng.random(d), rng.random(d)
sizes = {"lam": 0.05, "sigma": 0.4}
for theta in (0.6, -0.4, 1.3):
    other = {"w0": ct.Energies(energies), "w1": ct.Energies(theta**2 * energies + spread)}
    two = err.evaluate(
        spectrum=inputs["spectrum"], target=other, overlaps={("w0", "w1"): theta * energies}, T1=35, T2=20, **sizes
    )
    spectra = {"Sigma": inputs["spectrum"], "Delta": ct.Eigenvalues(spread)}
    one = theorem.evaluate(
        spectrum=spectra, target=ct.Energies(energies), N=55, p1=35 / 55, p2=20 / 55, theta=theta, **sizes
    )
    step(f"the theorem is the pipeline of two truths at theta = {theta}", abs(one / two - 1) < 1e-11)

# 7. At a fixed number of rows the error is a quadratic in the share of the other domain, so that the best share is in closed form:
#    three values give it, and it helps at all iff the slope at no rows of it is negative.
near = {"Sigma": inputs["spectrum"], "Delta": ct.Eigenvalues(0.02 * spread)}
at = {**sizes, "spectrum": near, "target": ct.Energies(energies), "N": 55, "theta": 1.1, "sigma": 0.8}
whole = theorem.subs({"p1": 1 - ct.symbols.p2})
none, half, full = (whole.evaluate(**at, p2=x) for x in (0.0, 0.5, 1.0))
square = 2 * (none + full - 2 * half)
slope = full - none - square
quarter = none + slope / 4 + square / 16
step("the error is a quadratic in the share", abs(whole.evaluate(**at, p2=0.25) / quarter - 1) < 1e-11)
best = min(max(-slope / (2 * square), 0.0), 1.0)
found = whole.optimum("p2", **at, between=(0, 1))
step("its vertex is the best share", abs(found.value - best) < 1e-7 and (found.value > 0) == (slope < 0))
