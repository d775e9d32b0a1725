r"""Generators that relabel one design of :math:`T_0<d` rows: the projection acts once, the noises add."""

import numpy as np
import sympy as sp
from transcript import step

import collapse_theory as ct
from collapse_theory.derive.labeller import chain_risk
from collapse_theory.derive.operator import Generation
from collapse_theory.symbols import T0, T, lam, n, sigma0

theorem = ct.catalog["ridge-replace-same-design"].error

# 1. w_1 = P w_0 + X^+ e_1 and w_k = P w_{k-1} + X^+ e_k with P X^+ = X^+.
rng = np.random.default_rng(4)
X, w0, noises = rng.standard_normal((4, 7)), rng.standard_normal(7), rng.standard_normal((3, 4))
inverse = np.linalg.pinv(X)
P = inverse @ X
step("P X^+ = X^+", np.allclose(P @ inverse, inverse))
w = w0
for e in noises:
    w = np.linalg.lstsq(X, X @ w + e, rcond=None)[0]
step("w_n = P w_0 + X^+ (e_1 + ... + e_n)", np.allclose(w, P @ w0 + inverse @ noises.sum(axis=0)))

# 2. The sum of n independent noises has variance n sigma0^2: one generator with that noise, then the tested fit.
bias, variance = chain_risk([Generation(T0, sp.S.Zero, sp.sqrt(n) * sigma0), Generation(T, lam, sp.S.Zero)])
step("variance added per generation", sp.simplify(theorem.parts["synthetic_variance"] - variance) == 0)
step(
    "bias, paid once: no n in it",
    sp.simplify(theorem.parts["bias"] + theorem.parts["synthetic_bias"] - bias) == 0 and not bias.has(n),
)

# 3. The engine, which knows nothing of projections, on the pipeline itself.
values = {"T": 30, "T0": 8, "lam": 0.1, "sigma": 0.4, "sigma0": 0.5}
measure = {"spectrum": ct.PowerLaw(12, beta=1.1), "target": ct.SourceTarget(r=0.4)}
pipe = ct.catalog["ridge-replace-same-design"].pipeline(n=2, **values)
got = ct.test_error(pipe, method="free-probability").evaluate(**measure)
step("free probability on two generations", np.isclose(got, theorem.evaluate(n=2, **measure, **values), rtol=1e-8))

# 4. Fresh inputs in every generation lose more of the signal.
fresh = ct.catalog["ridge-replace-overparametrized"].error
quiet = {**values, "sigma0": 0}
step(
    "which fresh inputs do not spare",
    theorem.evaluate(n=5, **measure, **quiet) < fresh.evaluate(n=5, **measure, **quiet),
)
