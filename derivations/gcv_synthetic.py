r"""Cross-validation on synthetic labels estimates the distance to the labeller: training error, its optimism, and the distance."""

from itertools import pairwise

import sympy as sp
from transcript import step

import collapse_theory as ct
from collapse_theory.symbols import T, d, lam

Sigma, one = ct.Covariance("Sigma", d), sp.Identity(d)
X = ct.GaussianMatrix("Z", T, d) * ct.sqrt(Sigma)
S = X.T * X / T
G = (S + lam * one).inv()

# 1. With labels X w_lab + noise the residuals are y - Xw = lam X G w_lab + (1 - X G X'/T) noise. In an eigendirection of S:
x = sp.symbols("x", positive=True)
fit = x / (x + lam)
step("the signal leaves x (lam/(x + lam))^2", sp.simplify(x * (1 - fit) ** 2 - lam**2 * x / (x + lam) ** 2) == 0)
step("the noise (lam/(x + lam))^2", sp.simplify((1 - fit) ** 2 - lam**2 / (x + lam) ** 2) == 0)

# 2. Their equivalents by the engine on the matrices, for a labeller given once and for all:
spectrum, target = ct.PowerLaw(30, beta=1.0), ct.SourceTarget(r=0.4)
at = {"T": 25, "lam": 0.05}
energies, noise = target.energies(spectrum), 0.4
signal = ct.deterministic_equivalent(lam**2 * G * S * G).evaluate(spectrum=spectrum, **at) @ energies
filled = ct.deterministic_equivalent(lam**2 * G * G).evaluate(spectrum=spectrum, **at).sum()  # d directions of the T
training = signal + noise**2 / 25 * (filled + (25 - 30))
pipe = ct.Pipeline()
m = pipe.fit(pipe.sample(T=25, noise=noise), ridge=0.05)
about = {"spectrum": spectrum, "target": target}
step("the training error", abs(ct.training_error(pipe, m).evaluate(**about) / training - 1) < 1e-9)

# 3. The error relative to the labeller, and the noise of its labels: D. The residuals keep the share lam/kappa of it, which is
#    also the share 1 - df1/T of the rows that no degree of freedom takes: cross-validation divides by its square.
kappa = float(ct.effective_ridge(spectrum, T=25, lam=0.05))
D = ct.test_error(pipe).evaluate(**about) + noise**2
step("training error = (lam/kappa)^2 D", abs(training / ((0.05 / kappa) ** 2 * D) - 1) < 1e-9)
df1 = float(ct.degrees_of_freedom(spectrum, kappa))
step("lam/kappa = 1 - df1/T", abs(0.05 / kappa - (1 - df1 / 25)) < 1e-12)
step("cross-validation = D", abs(ct.gcv(pipe, m).evaluate(**about) / D - 1) < 1e-10)

# 4. The fit never sees more of its labeller than labels, so D holds for a labeller that is itself a fit, averaged over it.
values = {"T": 25, "T0": 35, "lam": 0.05, "lam0": 0.1, "sigma": 0.4, "sigma0": 0.6}
theorem = ct.catalog["gcv-synthetic"]
pipe = theorem.pipeline(**values)
m1, m2 = pipe.fits
seen = theorem.error.evaluate(**about, **values)
step(
    "the theorem is the distance to the labeller and the noise",
    abs(seen / (ct.distance(pipe, m1, m2).evaluate(**about) + 0.4**2) - 1) < 1e-10,
)
step("and what cross-validation gives", abs(seen / ct.gcv(pipe, m2).evaluate(**about) - 1) < 1e-10)

# 5. Collapse is invisible: generation after generation the test error grows and what is seen does not.
long = ct.workflows.replace(3, ct.Stage(T=60, noise=0.5, ridge=0.02), ct.Stage(T=60, noise=0.5, ridge=0.02))
truth = [ct.test_error(long, model=f).evaluate(**about) for f in long.fits]
inside = [ct.gcv(long, f).evaluate(**about) for f in long.fits]
step("the error grows", all(a < b for a, b in pairwise(truth)))
step("cross-validation falls", all(a > b for a, b in pairwise(inside)))
