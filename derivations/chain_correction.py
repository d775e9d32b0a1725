r"""The first finite-size correction of a chain: one potential, :math:`\mathbb E\log\det(S+\Lambda)`, and its derivatives."""

import math

import numpy as np
import sympy as sp
from scipy.integrate import quad
from scipy.stats import chi2
from transcript import step

import collapse_theory as ct
from collapse_theory.algebra.integrals import SpectralTrace
from collapse_theory.derive.log_determinant import P, moments
from collapse_theory.derive.log_determinant import r as residual
from collapse_theory.numerics.chain_correction import Link, chain_correction
from collapse_theory.numerics.measure import Measure
from collapse_theory.symbols import eigenvalue

# 1. The derivatives of log det are what a fit needs: R_jj, and minus R_jk^2. On a numeric sample:
rng = np.random.default_rng(2)
X, ridges, h = rng.standard_normal((7, 3)), np.array([0.4, 0.5, 0.6]), 1e-4
S = X.T @ X / 7


def log_det(*moves):
    """Return log det(S + Lambda) with some ridges moved by h."""
    return np.linalg.slogdet(S + np.diag(ridges + h * sum(np.eye(3)[j] * x for j, x in moves)))[1]


R = np.linalg.inv(S + np.diag(ridges))
slope = (log_det((0, 1)) - log_det((0, -1))) / (2 * h)
bend = sum(a * b * log_det((0, a), (1, b)) for a in (1, -1) for b in (1, -1)) / (4 * h**2)
step("d_j log det(S + Lambda) = R_jj", np.isclose(slope, R[0, 0], rtol=1e-6))
step("d_j d_k log det(S + Lambda) = -R_jk^2", np.isclose(bend, -(R[0, 1] ** 2), rtol=1e-4))

# 2. With theta = log Lambda and p = a s/(a s + Lambda), T(1 - a) = sum p: dp_i/dtheta_j = v_i (v_j/r - delta_ij), v = p(1-p).
T, a, s1, s2, l1, l2 = sp.symbols("T a s1 s2 l1 l2", positive=True)
shares = [a * s1 / (a * s1 + l1), a * s2 / (a * s2 + l2)]
F = T * (1 - a) - sum(shares)
by_hand = []
for x, y in ((0, 0), (0, 1)):
    ridge = (l1, l2)[y]
    total = shares[x].diff(ridge) - shares[x].diff(a) * F.diff(ridge) / F.diff(a)
    v = [p * (1 - p) for p in shares]
    rule = v[x] * (v[y] / (T - sum(p**2 for p in shares)) - int(x == y))
    on_shell = {T: sum(shares) / (1 - a)}
    by_hand.append(sp.cancel(sp.together((ridge * total - rule).subs(on_shell))) == 0)
step("dp_i/dtheta_j = v_i (v_j/(T - df2) - delta_ij)", all(by_hand))

# 3. So the gradient of log(1 - df2/T)/2 is v_j u_j/r with u = p - rho.
p = sp.symbols("p1 p2", positive=True)
q, v = [1 - x for x in p], [x * (1 - x) for x in p]
r = T - sum(x**2 for x in p)


def along(f, j):
    """Return df/dtheta_j by the rule of step 3."""
    return sum(f.diff(p[i]) * v[i] * (v[j] / r - int(i == j)) for i in range(2))


rho = sum(x * y for x, y in zip(p, v, strict=True)) / r
u = [x - rho for x in p]
gradient = [along(sp.log(1 - sum(x**2 for x in p) / T) / 2, j) for j in range(2)]
step("the gradient is v_j u_j/r", all(sp.cancel(sp.together(gradient[j] - v[j] * u[j] / r)) == 0 for j in range(2)))

# 4. And its second derivatives are a diagonal plus three rank-one terms.
e = [x * (2 * y - x) + 2 * rho * x for x, y in zip(p, q, strict=True)]
K = -rho - 2 * rho**2 - sum(v[i] * p[i] * (2 * q[i] - p[i]) for i in range(2)) / r
for j, k in ((0, 1), (0, 0)):
    low_rank = v[j] * v[k] / r**2 * (e[j] + e[k] + K - 2 * u[j] * u[k])
    diagonal = -int(j == k) * v[j] * ((q[j] - p[j]) * u[j] + v[j]) / r
    difference = along(v[j] * u[j] / r, k) - low_rank - diagonal
    step(f"second derivative, entry {j}{k}", sp.cancel(sp.together(difference)) == 0)

# 5. Without a ridge and with T > d, e + K = -1: the noise 1/(T-d) becomes 1/(T-d) + 1/(T-d)^2, the start of 1/(T-d-1). As a
# fraction, n0/(1 - n1/n0), it is 1/(T-d-1) to the last digit; that is how the package writes it.
step("e + K = -1 at p = 1", sp.simplify((e[0] + K).subs(dict.fromkeys(p, 1))) == -1)
exact = moments(corrected=True).noise
exact = exact.xreplace(dict.fromkeys(exact.atoms(SpectralTrace), sp.S.Zero)).subs(
    {P: 1}
)  # all traces have a factor Q = 0
step("least squares comes out exactly", sp.cancel(exact * eigenvalue - 1 / (residual - 1)) == 0)

# 6. In one dimension S is a chi-square over T, and what the potential leaves out falls like 1/T^2.
missed = []
for rows in (40, 80):
    law = chi2(rows)
    ends = law.ppf(1e-13), law.isf(1e-13)
    exact = quad(lambda c, rows=rows, law=law: math.log(c / rows + 0.3) * law.pdf(c), *ends, epsabs=1e-13, limit=200)[0]
    root = (0.7 - 1 / rows + math.sqrt((0.7 - 1 / rows) ** 2 + 1.2)) / 2  # a + a/(T (a + 0.3)) = 1
    zeroth = math.log(root + 0.3) + rows * (root - 1 - math.log(root))
    missed.append((exact - zeroth, exact - zeroth - math.log(1 - (root / (root + 0.3)) ** 2 / rows) / 2))
step("the zeroth order misses 1/T", math.isclose(missed[0][0] / missed[1][0], 2, rel_tol=0.1))
step("the first order misses 1/T^2", math.isclose(missed[0][1] / missed[1][1], 4, rel_tol=0.1))

# 7. Assembled, A = I - lam R and RSR = R - lam R^2: the package's correction of one fit, from the matrix above.
lam, sigma, rows, s, w2 = 0.2, 0.7, 9, np.array([2.0, 0.5]), np.array([1.0, 3.0])
kappa = lam
for _ in range(500):
    kappa = lam + kappa * (s / (s + kappa)).sum() / rows
at = {T: rows, p[0]: s[0] / (s[0] + kappa), p[1]: s[1] / (s[1] + kappa)}
first = np.array([float((v[j] * u[j] / r).subs(at)) for j in range(2)])  # lam E R_jj
second = np.array(
    [[float(along(v[j] * u[j] / r, k).subs(at)) - int(j == k) * first[j] for k in range(2)] for j in range(2)]
)
bias = w2 @ (-2 * s * first - second @ s) + 2 * w2 @ (s * first)  # E A'MA less twice E A M
plain = s / (s + kappa) ** 2 / float(r.subs(at))
more = (first + second.sum(axis=1)) / (rows * lam)
noise = sigma**2 * s @ (plain**2 / (plain - more) - plain)
got = chain_correction(Measure.of(ct.Eigenvalues(s), ct.Energies(w2)), [Link(rows, lam, sigma)])
step("the package's correction of one fit", math.isclose(got.value, bias + noise, rel_tol=1e-9))
