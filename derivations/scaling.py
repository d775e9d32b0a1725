r"""The rates of one fit and of replacement on power laws, from the asymptotics of their traces to the optimum in closed form."""

import sympy as sp
from transcript import step

import collapse_theory as ct
from collapse_theory.symbols import beta, r

Q, positive = sp.Rational, {"positive": True}
u = sp.Symbol("u", **positive)

# 1. df1 on j**-beta without end: sum_j 1/(1 + kappa j**beta) ~ kappa**(-1/beta) int_0^oo du/(1 + u**beta).
for b in (2, 3, 4):
    integral = sp.integrate(1 / (1 + u**b), (u, 0, sp.oo))
    step(
        f"df1 ~ (pi/beta)/sin(pi/beta) kappa**(-1/beta) at beta = {b}",
        sp.simplify(integral - sp.pi / b / sp.sin(sp.pi / b)) == 0,
    )

# 2. The constants of the package are these: the variance of one fit is sigma**2 df2/T with df2 = (1 - 1/beta) df1 ...
T, sigma = sp.symbols("T sigma", **positive)
for b in (2, 3, 4):
    curve = ct.rates(ct.catalog["ridge-clean"], beta=b, r=3, ell=Q(b, 2)).leading(T, sigma=1)
    variance = curve.coeff(T ** -Q(1, 2))
    df2 = (1 - Q(1, b)) * sp.pi / b / sp.sin(sp.pi / b)
    step(f"the variance has the constant of df2 at beta = {b}", abs((variance - df2).evalf(30)) < 1e-28)

# 3. ... and the bias sum_j j**-(1 + 2 r beta) (kappa/(s_j + kappa))**2 is kappa**(2 r) Gamma(2 r) Gamma(2 - 2 r)/beta below
#    saturation, kappa**2 zeta(1 + 2 (r - 1) beta) above it.
for b, s in ((2, Q(1, 4)), (3, Q(3, 4))):
    bias = ct.rates(ct.catalog["ridge-clean"], beta=b, r=s, ell=Q(1, 2)).leading(T, sigma=0)
    want = sp.gamma(2 * s) * sp.gamma(2 - 2 * s) / b
    step(f"the bias below saturation, r = {s}", abs((bias * T**s - want).evalf(30, subs={T: 7})) < 1e-28)
bias = ct.rates(ct.catalog["ridge-clean"], beta=2, r=2, ell=Q(1, 2)).leading(T, sigma=0)
step("the bias above saturation", sp.simplify(bias * T - sp.zeta(5)) == 0)

# 4. One fit, symbols throughout: E ~ T**(-2 min(r,1) l) + T**-(1 - l/beta), best where both are equal.
clean = ct.rates(ct.catalog["ridge-clean"])
low, high = {beta: Q(5, 2), r: Q(1, 3)}, {beta: Q(5, 2), r: 4}
for at, least in ((low, r), (high, sp.Integer(1))):
    best = (beta / (1 + 2 * least * beta)).subs(at)
    step(f"the best ridge exponent at r = {at[r]}", clean.optimal_ell.subs(at) == best)
    step(f"and its rate at r = {at[r]}", clean.optimal_exponent.subs(at) == (2 * least * best).subs(at))

# 5. Replacement: the noises act as one of variance T**-gamma, gamma = min(gamma_sigma, gamma_0 + b - max(1, a)). On a short
#    spectrum, a < l*/beta, the rate is that of the noise of all directions, 1 + gamma - a, until the bias at l = beta is felt.
g, h = sp.symbols("gamma_sigma gamma_0", nonnegative=True)
for a, b in ((1, 1), (Q(1, 2), Q(3, 4)), (2, 3)):
    found = ct.rates(ct.catalog["ridge-replace"], beta=2, r=Q(1, 2), a=a, b=b, gamma_sigma=g, gamma_0=h)
    holds = True
    for x in (0, Q(1, 2), 1, 2, 4):
        for y in (0, Q(1, 2), 1, 2, 4):
            gamma = min(x, y + b - max(1, a))
            best = min(2, max(0, (1 + gamma) * Q(2, 3)))
            want = best if a >= best / 2 else min(1 + gamma - a, 4 - 2 * a)
            holds = holds and found.optimal_exponent.subs({g: x, h: y}) == want
    step(f"one level of noise at a = {a}, b = {b}", holds)

# 6. The crossover is where the noiseless rate 2 min(r, 1) beta ends: at gamma = 2 r beta, or T = variance**(-1/(2 r beta)).
times = {x.time for x in clean.crossovers if x.time is not None}
v = ct.symbols.variance
step("the crossover of a fixed noise", times == {v ** (-1 / (2 * r * beta)), v ** (-1 / (2 * beta))})

# 7. A fixed T0 leaves a plateau, (n sigma0**2/T0)**(2 r beta/(1 + 2 r beta)), reached at the power -1/(1 + 2 r beta) of it.
plateau = ct.rates(ct.catalog["ridge-replace"]).plateau
step("the plateau", plateau.exponent.subs(low) == (2 * r * beta / (1 + 2 * r * beta)).subs(low))
step("when it is reached", plateau.reached.subs(low) == v ** (-1 / (1 + 2 * r * beta)).subs(low))
