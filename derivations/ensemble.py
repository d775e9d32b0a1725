r"""Ensembles: what differs between exchangeable models averages out, and K times the residual degrees of freedom say so."""

import sympy as sp
from transcript import step

import collapse_theory as ct
from collapse_theory.algebra.effective import ResidualDegrees
from collapse_theory.derive.labeller import chain_risk
from collapse_theory.derive.operator import Generation
from collapse_theory.symbols import K, T, lam, sigma
from collapse_theory.theorems.ensembles import mean_model

# 1. Exchangeable errors e_i have one mean square E1 and one mean product P. The mean of K has
E1, P, count = sp.symbols("E1 P K", positive=True)
mean_square = sp.expand((count * E1 + count * (count - 1) * P) / count**2)
step("E_K = P + (E1 - P)/K", sp.simplify(mean_square - (P + (E1 - P) / count)) == 0)
step("the limit is the mean product of two: E_inf = P", sp.limit(mean_square, count, sp.oo) == P)

# 2. Fits on rows of their own are independent: P is the error of the mean fit. In the theory of one fit all that differs from
#    draw to draw is over T - df2, once:
bias, variance = chain_risk([Generation(T, lam, sigma)])
left = ResidualDegrees(T, lam)
inverse = sp.Dummy()
whole = sp.expand((bias + variance).xreplace({1 / left: inverse}))
step("the error is affine in 1/(T - df2)", sp.Poly(whole, inverse).degree() == 1 and not whole.has(left))
floor = whole.coeff(inverse, 0)
ensemble = ct.catalog["ensemble"].error
step(
    "E_K of the theorem is E_inf + (E1 - E_inf)/K",
    sp.expand(ensemble.expr.xreplace({1 / left: inverse}) - (floor + (whole - floor) / K)) == 0,
)

# 3. The same from the description: K fits on rows of their own, and their mean as the tested model.
about = {"spectrum": ct.PowerLaw(30, beta=1.0), "target": ct.SourceTarget(r=0.4)}
values = {"T": 20, "lam": 0.05, "sigma": 0.5}
for k in (1, 2, 4):
    pipe = ct.catalog["ensemble"].pipeline(K=k, **values)
    described = ct.test_error(pipe, model=mean_model(list(pipe.fits))).evaluate(**about)
    step(f"K = {k}", abs(described / ensemble.evaluate(**about, **values, K=k) - 1) < 1e-11)

# 4. Blocks: N rows dealt to K fits.
blocks = ct.catalog["ensemble-blocks"].error
clear = [blocks.evaluate(**about, N=120, lam=1e-4, sigma=0, K=k) for k in (1, 4)]
step("without noise, one fit on all rows is better", clear[0] < clear[1])
step(
    "the blocks have the error of an ensemble of N/K rows each",
    abs(blocks.evaluate(**about, N=80, lam=0.05, sigma=0.5, K=4) / ensemble.evaluate(**about, **values, K=4) - 1)
    < 1e-12,
)

# 5. A student of the mean of K teachers, by the description.
teachers = ct.catalog["ensemble-teachers"]
values = {"T": 25, "T0": 20, "lam": 0.05, "lam0": 0.1, "sigma": 0.2, "sigma0": 0.5}
for k in (1, 3):
    described = ct.test_error(teachers.pipeline(K=k, **values)).evaluate(**about)
    step(f"K = {k} teachers", abs(described / teachers.error.evaluate(**about, **values, K=k) - 1) < 1e-11)
