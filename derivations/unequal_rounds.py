r"""Accumulation with unequal rounds: :math:`\sum_i\sigma_i^2\frac{T_i}{N_i}\frac d{N_i-d-1}`, and with a constant penalty."""

import numpy as np
import sympy as sp
from transcript import step

import collapse_theory as ct

# 1. (H_k + L)(w_k - w_(k-1)) = X_k'e_k whatever the rows of a round, and for k = 1 the bias -L w0 besides.
rng = np.random.default_rng(9)
rows, truth, ridge = (4, 7, 3), rng.standard_normal(3), 0.7
gram, moment, last, designs = ridge * np.eye(3), np.zeros(3), truth, []
for k, T in enumerate(rows, start=1):
    X, e = rng.standard_normal((T, 3)), rng.standard_normal(T)
    gram, moment = gram + X.T @ X, moment + X.T @ (X @ last + e)
    fit = np.linalg.solve(gram, moment)
    bias = ridge * truth if k == 1 else 0
    step(
        f"round {k}: (H + L)(w_{k} - w_{k - 1}) = X'e" + " - L w0" * (k == 1),
        np.allclose(gram @ (fit - last), X.T @ e - bias),
    )
    last, designs = fit, [*designs, X]

# 2. The rows of H_k are exchangeable, so X_k has the share T_k/N_k of E tr[Sigma (H+L)^-1 H (H+L)^-1]. The shares add up:
K = np.linalg.inv(gram)
shares = [K @ X.T @ X @ K for X in designs]
step("the shares of the rounds add up", np.allclose(sum(shares), K @ (gram - ridge * np.eye(3)) @ K))
total, part = 0.0, 0.0
for _ in range(4000):
    Z = rng.standard_normal((sum(rows), 3))
    Q = np.linalg.inv(Z.T @ Z + ridge * np.eye(3))
    total, part = total + np.trace(Q @ Z.T @ Z @ Q), part + np.trace(Q @ Z[:7].T @ Z[:7] @ Q)
step("each in proportion to its rows", abs(part / total - 7 / 14) < 0.02)

# 3. Without a penalty E tr[Sigma H^-1] = d/(N - d - 1) (ols_replace.py), as th.at has it, with symbols for rows and noises.
T1, T2, T3 = sp.symbols("T1:4", positive=True)
s1, s2, s3 = sp.symbols("sigma1:4", nonnegative=True)
N2, N3, d = T1 + T2, T1 + T2 + T3, ct.symbols.d
want = s1**2 * d / (T1 - d - 1) + s2**2 * d * T2 / (N2 * (N2 - d - 1)) + s3**2 * d * T3 / (N3 * (N3 - d - 1))
got = ct.catalog["ols-accumulate"].at(3, T=[T1, T2, T3], sigma=[s1, s2, s3])
step("ols-accumulate at three rounds", got.expr - want == 0)
equal = got.expr.subs({T2: T1, T3: T1, s2: s1, s3: s1})
step("equal rounds are the theorem", sp.cancel(equal - sum(s1**2 * d / (i * (i * T1 - d - 1)) for i in (1, 2, 3))) == 0)

# 4. With a constant penalty the clean ridge formulas stand for d/(N - d - 1), and the bias is that of round one.
err = ct.catalog["ridge-accumulate-constant"].at(3, T=[60, 35, 70], sigma=[0.5, 0.9, 0.2], lam=0.1)
at = {"spectrum": ct.PowerLaw(40, beta=1.1), "target": ct.SourceTarget(r=0.4)}
clean = ct.catalog["ridge-clean"].error
first = clean.evaluate(**at, T=60, lam=0.1, sigma=0, terms=True)["bias"]
variances = [clean.evaluate(**at, T=N, lam=6 / N, sigma=s, terms=True)["variance"] * T / N
             for T, N, s in ((60, 60, 0.5), (35, 95, 0.9), (70, 165, 0.2))]  # fmt: skip
step("ridge-accumulate-constant at three rounds", abs(err.evaluate(**at) / (first + sum(variances)) - 1) < 1e-12)
engine = ct.test_error(err.pipeline()).evaluate(**at)
step("and the engine, which does not know that it telescopes", abs(engine / err.evaluate(**at) - 1) < 1e-11)
