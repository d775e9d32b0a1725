"""Rates on power laws: the theory of one fit and of replacement, other procedures, constants, and local slopes far out."""

import math
import pickle
import random
from fractions import Fraction

import numpy as np
import pytest
import sympy as sp

import collapse_theory as ct
from collapse_theory.algebra.collect import spread
from collapse_theory.derive.asymptotics import Asymptotics
from collapse_theory.derive.regimes import unfolded_terms
from collapse_theory.symbols import beta, ell, r

oo, Q = sp.oo, sp.Rational
CLEAN, REPLACE = ct.catalog["ridge-clean"], ct.catalog["ridge-replace"]


def at(e, **values):
    """Return an exponent at numbers, whatever the assumptions of its symbols."""
    return sp.S(e).subs({x: values[x.name] for x in sp.S(e).free_symbols})


# ---------------------------------------------------------------- one fit
def test_clean_rates_are_those_of_the_textbook():
    found = ct.rates(CLEAN)
    saturated = sp.Min(r, 1)
    for b, s in [(Q(3, 2), Q(1, 2)), (Q(2), Q(3)), (Q(4), Q(1, 5)), (Q(5, 4), Q(1))]:
        known = {"beta": b, "r": s}
        best = b / (1 + 2 * saturated.subs(r, s) * b)
        assert at(found.optimal_ell, **known) == best
        assert at(found.optimal_exponent, **known) == 2 * saturated.subs(r, s) * best
        for share in (Q(0), Q(1, 3), Q(2, 3), Q(1)):
            e = share * b
            want = min(2 * saturated.subs(r, s) * e, 1 - e / b)
            assert at(found.exponent, **known, ell=e) == want


def test_the_logarithm_of_the_saturated_source():
    found = ct.rates(CLEAN, beta=2, r=1)
    assert at(found.log, ell=Q(1, 5)) == 1
    assert at(found.log, ell=1) == 0
    assert found.optimal_log == 1
    assert [x.log for x in ct.rates(CLEAN).crossovers if x.at == sp.Eq(r, 1, evaluate=False)] == [1]


def test_conditions_are_complete_and_disjoint():
    a, b = sp.symbols("a b", positive=True)
    found = ct.rates(REPLACE, beta=2, r=Q(1, 2), a=a, b=b)
    rng = random.Random(0)
    for e in (found.exponent, found.optimal_exponent, found.optimal_ell):
        for _ in range(60):
            small, more = Q(rng.randint(1, 30), 12), Q(rng.randint(0, 30), 12)
            point = {a: small, b: small + more, ell: Q(rng.randint(0, 24), 12)}
            assert sum(condition.subs(point) == sp.true for _, condition in e.args) == 1


# ---------------------------------------------------------------- replace
def test_everything_scales_under_replacement():
    """The level of noise is one exponent, and the spectrum may end before the best ridge."""
    rng = random.Random(1)
    for _ in range(25):
        b, s = Q(rng.randint(9, 32), 8), Q(rng.randint(1, 12), 8)
        a = Q(rng.randint(1, 16), 8)
        rows0 = a + Q(rng.randint(0, 8), 8)
        gammas = [Q(rng.randint(0, 16), 8) for _ in range(2)]
        found = ct.rates(REPLACE, beta=b, r=s, a=a, b=rows0, gamma_sigma=gammas[0], gamma_0=gammas[1])
        saturated = min(s, 1)
        gamma = min(gammas[0], gammas[1] + rows0 - max(1, a))
        best = max(min(b, (1 + gamma) * b / (1 + 2 * saturated * b)), 0)
        want = 2 * saturated * best if a >= best / b else 1 + gamma - a
        if s > 1 and a < best / b:
            continue  # with an exhausted spectrum, below
        assert found.optimal_exponent == want, (b, s, a, rows0, gammas)


def test_crossovers_and_plateau_of_replacement():
    found = ct.rates(REPLACE, beta=2, r=Q(1, 2))
    noise = {x.at.lhs.name: x for x in found.crossovers if x.time is not None}
    assert set(noise) == {"gamma_sigma", "gamma_0"}
    assert all(x.at.rhs == 2 and x.time == ct.symbols.variance ** Q(-1, 2) for x in noise.values())
    symbolic = ct.rates(REPLACE)
    assert at(symbolic.plateau.exponent, beta=3, r=Q(1, 4)) == Q(3, 2) / Q(5, 2)
    assert at(symbolic.plateau.optimal_ell, beta=3, r=Q(1, 4)) == 3 / Q(5, 2)
    assert at(symbolic.plateau.reached, beta=3, r=Q(1, 4), variance=Q(1, 32)) == 32 ** Q(2, 5)
    short = ct.rates(REPLACE, beta=2, r=Q(1, 2), a=Q(1, 4)).plateau
    assert short.exponent == 1 - Q(1, 4)  # d / T0


def test_beyond_the_crossover_the_noise_is_not_felt():
    found = ct.rates(CLEAN, beta=2, r=Q(1, 2), gamma_sigma=5)
    assert (found.optimal_ell, found.optimal_exponent) == (2, 2)
    flat = ct.rates(CLEAN, beta=2, r=Q(1, 2), a=Q(1, 8))
    assert flat.optimal_set == sp.Interval(Q(9, 16), 2)


# ---------------------------------------------------------------- other procedures
RATE = {"beta": 2, "r": Q(1, 2)}


@pytest.mark.parametrize(
    ("slug", "arguments", "best", "rate"),
    [
        ("ridge-accumulate-constant", {}, Q(2, 3), Q(2, 3)),
        ("ridge-label-mix-limit", {}, Q(2, 3), Q(2, 3)),
        ("minnorm-label-mix", {}, None, 0),
        ("ridge-chain", {"scales": {"lam0": -1}}, Q(2, 3), Q(2, 3)),
        ("ridge-chain", {"scales": {"lam0": Q(-1, 2)}}, Q(1, 2), Q(1, 2)),
        ("ridge-chain", {"b": Q(1, 4), "scales": {"lam0": -oo}}, Q(1, 6), Q(1, 6)),
        ("ridge-replace-overparametrized", {}, Q(2, 3), Q(2, 3)),
        ("ridge-replace-overparametrized-limit", {"gamma_0": 2}, 0, 0),
        ("ridge-replace-same-design", {"b": 2}, Q(2, 3), Q(2, 3)),
        ("strong-collapse", {"scales": {"Delta": 0}}, 0, 0),
        ("strong-collapse", {"scales": {"Delta": 0, "p2": Q(-1, 4)}}, Q(1, 2), Q(1, 2)),
        ("random-features-ridge", {"scales": {"m": Q(1, 4)}}, Q(1, 2), Q(1, 2)),
        ("random-features-ridge", {"scales": {"m": Q(1, 2)}}, Q(2, 3), Q(2, 3)),
        ("ridge-accumulate", {}, Q(2, 3), Q(2, 3)),
        ("ridge-keep-real", {"b": 2}, Q(2, 3), Q(2, 3)),
        ("ridge-label-mix", {}, Q(2, 3), Q(2, 3)),
        ("ridge-same-design", {"scales": {"lam0": Q(-1, 2)}}, Q(1, 2), Q(1, 2)),
        ("ols-replace", {"a": Q(1, 2), "b": Q(2, 3)}, None, Q(1, 6)),
        ("ols-accumulate", {"a": Q(1, 2)}, None, Q(1, 2)),
        ("ols-accumulate-fixed-design", {"a": Q(1, 2)}, None, Q(1, 2)),
        ("token-replace", {}, None, 1),
    ],
)
def test_rates_of_other_procedures(slug, arguments, best, rate):
    found = ct.rates(ct.catalog[slug], **RATE, **arguments)
    assert found.optimal_exponent == rate
    if best is not None:
        assert found.optimal_ell == best


@pytest.mark.parametrize("slug", ["ridge-chain", "ridge-replace-overparametrized", "ridge-accumulate-constant"])
def test_exponents_do_not_depend_on_the_number_of_generations(slug):
    scales = {"lam0": Q(-1, 2)} if slug == "ridge-chain" else None
    found = ct.rates(ct.catalog[slug], **RATE, scales=scales)
    regimes = type(found.regimes)(slug, unfolded_terms(found.formula, 3), found.scales)
    assert [(p.low, p.high, p.value.exponent) for p in regimes.tree.pieces] == [
        (p.low, p.high, p.value.exponent) for p in found.regimes.tree.pieces
    ]


def test_pipelines_of_a_user():
    T, lam, sigma = ct.symbols.T, ct.symbols.lam, ct.symbols.sigma
    pipe = ct.Pipeline()
    first = pipe.fit(pipe.sample(T=T, noise=sigma), ridge=lam)
    pipe.fit(pipe.sample(T=2 * T, noise=sigma, source=0.6 * ct.TRUTH + 0.4 * first), ridge=lam / 3)
    found = ct.rates(ct.test_error(pipe), **RATE)
    assert (found.optimal_ell, found.optimal_exponent) == (Q(2, 3), Q(2, 3))
    rows = sp.Symbol("rows", positive=True)
    pipe = ct.Pipeline()
    pipe.fit(pipe.sample(T=rows, noise=0.5), ridge=lam)
    found = ct.rates(ct.test_error(pipe), **RATE, scales={"rows": 2})
    assert found.optimal_exponent == 2 * ct.rates(CLEAN, **RATE).optimal_exponent


# ---------------------------------------------------------------- constants and slopes
def test_constants_are_those_of_the_mellin_transform():
    T = sp.Symbol("T", positive=True)
    curve = ct.rates(CLEAN, beta=3, r=Q(1, 4), ell=Q(3, 4)).leading(T, sigma=Q(1, 2))
    b, s = 3, Q(1, 4)
    df2 = (1 - Q(1, b)) * (sp.pi / b) / sp.sin(sp.pi / b)
    bias = sp.gamma(2 * s) * sp.gamma(2 - 2 * s) / b
    want = bias * T ** (-2 * s * Q(3, 4)) + df2 * T ** (Q(3, 4) / b - 1) / 4
    assert abs((curve / want - 1).subs(T, 10**5).evalf(30)) < 1e-25
    saturated = ct.rates(CLEAN, beta=2, r=2, ell=Q(1, 4)).leading(T, sigma=0)
    assert (saturated * sp.sqrt(T)).simplify() == sp.zeta(5)


@pytest.mark.parametrize(
    ("slug", "arguments", "ridge", "values"),
    [
        ("ridge-clean", {"beta": 2, "r": Q(1, 2)}, Q(2, 3), {"sigma": 0.5}),
        ("ridge-clean", {"beta": 3, "r": 2}, Q(1, 2), {"sigma": 0.5}),
        ("ridge-replace", {"beta": 2, "r": Q(1, 2), "a": Q(1, 2)}, Q(1, 2), {"sigma": 0.5, "sigma0": 0.5, "n": 3}),
        ("ridge-chain", {"beta": 3, "r": Q(1, 4), "scales": {"lam0": Q(-1, 2)}}, Q(3, 4), {"n": 2, "sigma": 0.5, "sigma0": 0.5}),
        ("random-features-ridge", {"beta": 2, "r": Q(1, 4), "scales": {"m": Q(3, 4)}}, Q(3, 4), {"sigma": 0.5}),
    ],
)  # fmt: skip
def test_predicted_curves_are_approached_by_the_theory(slug, arguments, ridge, values):
    found = ct.rates(ct.catalog[slug], **arguments, ell=ridge)
    gaps = relative_gaps(found, values, (1e4, 1e12))
    assert gaps[1] < 0.02
    assert gaps[1] < 0.3 * gaps[0]


def relative_gaps(found, values, rows, factor=1.0):
    """Return how far the test error is from its predicted curve."""
    laws, gaps = found.scales.laws, []
    for t in rows:
        given = {x.name: t ** float(e) for x, e in laws.scales.items() if x.name not in values}
        d = math.inf if laws.dimension is None else int(t ** float(laws.dimension))
        spectrum, target = ct.PowerLaw(d, beta=laws.beta), ct.SourceTarget(laws.r)
        exact = found.formula.evaluate(spectrum=spectrum, target=target, **given, **values)
        gaps.append(abs(exact / (factor * found.leading(t, **values)) - 1))
    return gaps


def test_a_curve_with_a_wrong_constant_is_not_approached():
    found = ct.rates(CLEAN, beta=2, r=Q(1, 2), ell=Q(2, 3))
    gaps = relative_gaps(found, {"sigma": 0.5}, (1e4, 1e12), factor=1.02)
    assert gaps[1] > 0.3 * gaps[0]


# ---------------------------------------------------------------- slopes far out
LAWS = ("ridge-clean", "ridge-replace", "ridge-chain", "ridge-label-mix-limit", "random-features-ridge")
FAR = 10**100


def drawn(rng):
    """Return a law at random exponents."""
    slug = rng.choice(LAWS)
    b, s = Q(rng.randint(12, 30), 10), Q(rng.randint(2, 20), 10)
    rows0 = Q(rng.randint(4, 20), 10) + Q(1, 37)
    given = {"beta": b, "r": s, "b": rows0, "ell": b * Q(rng.randint(4, 17), 20)}
    given |= {name: Q(rng.randint(0, 20), 10) for name in ("gamma_sigma", "gamma_0")}
    if slug == "ridge-replace":
        given["a"] = min(rows0 - Q(1, 5), Q(rng.randint(3, 6), 10))
    if slug == "ridge-chain":
        given["scales"] = {"lam0": -b * rows0 * Q(rng.randint(2, 12), 10)}
    if slug == "random-features-ridge":
        given["scales"] = {"m": Q(rng.randint(4, 20), 10) + Q(1, 41)}
    return ct.rates(ct.catalog[slug], **given)


def far_enough(found):
    """Return the T at which all else is below 1e-4 of the leading term, none if it has more than 100 digits (15 with finite d).

    The next terms are the other summands, what an effective ridge adds, and what a source near saturation adds: powers of T by
    how far the exponents are from their boundaries.
    """
    regimes = found.regimes
    orders = Asymptotics(found.scales.laws, regimes.chamber, regimes.unfolded.definitions)
    parts = list(regimes.parts.values())
    if found.formula.name.startswith("random-features"):  # two powers in a bias
        parts = [x for e in parts for x in sp.Add.make_args(spread(e).expand())]
    summands = [orders.order(x) for x in parts]
    least, *rest = sorted({-regimes.chamber.shown(x.exponent) for x in summands if not x.vanishes})
    laws, ridge = found.scales.laws, found.arguments["ell"]
    scales = [e for x, e in laws.scales.items() if x.name in {"T", "T0", "m"} and e is not None]
    ends = [*scales, *([] if laws.dimension is None else [laws.dimension])]
    ranks = [ridge / laws.beta, *(-e / laws.beta for x, e in laws.scales.items() if x.name == "lam0" and e is not None)]
    gaps = [e - least for e in rest] + [abs(x - y) for x in ranks for y in ends]
    gaps += [abs(x - y) for i, x in enumerate(ranks) for y in ranks[:i]]
    gaps.append(2 * abs(1 - laws.r) * min(ranks) * laws.beta)  # kappa**(2r) beside kappa**2
    if laws.r == 1 or not all(gaps):
        return None
    # 1e-4, and room for constants and coefficients of the next order
    digits = math.ceil(5 / float(min(gaps)))
    return 10**digits if digits <= (25 if laws.dimension is not None else 100) else None


@pytest.mark.parametrize("seed", [*range(4), *(pytest.param(k, marks=pytest.mark.heavy) for k in range(4, 70))])
def test_slopes_far_out_are_the_exponents(seed):
    """As far out as the next term is below 1e-4 of the leading one, with infinitely many features or many of them."""
    rng = random.Random(seed)
    found = drawn(rng)
    while (rows := far_enough(found)) is None:
        found = drawn(rng)
    known = {"n": 2, "w": Q(2, 5), "sigma": Q(7, 10), "sigma0": Q(3, 5)}
    values = {x.name: known[x.name] for x in found.scales.laws.fixed if x in found.formula.free_symbols}
    (gap,) = found.check([rows], **values).gaps
    assert abs(gap) < 1e-3, found.arguments


@pytest.mark.parametrize(
    ("arguments", "ridge", "power"),
    [
        ({"beta": 2, "r": 1, "gamma_sigma": oo}, Q(1, 2), 1),  # kappa^2 log(1/kappa)
        pytest.param({"beta": Q(3, 2), "r": 1, "gamma_sigma": 3}, Q(3, 5), 1, marks=pytest.mark.heavy),
        ({"beta": 2, "r": Q(1, 2)}, Q(2, 3), 0),  # bias and variance of one order
        ({"beta": 2, "r": 1}, Q(2, 5), 1),
        pytest.param(
            {"beta": 2, "r": Q(1, 2), "gamma_sigma": 2}, 2, 0, marks=pytest.mark.heavy
        ),  # the effective ridge and lam of one order
    ],
)
def test_on_a_boundary_the_logarithm_is_that_of_the_boundary(arguments, ridge, power):
    """The slope less that of the logarithm; its argument has a constant, felt like 1/log(T)^2."""
    found = ct.rates(CLEAN, **arguments, ell=ridge)
    assert found.log == power
    values = {} if arguments.get("gamma_sigma", 0) != 0 else {"sigma": Q(7, 10)}
    far, farther = found.check([10**50, FAR], **values).gaps
    assert abs(farther) < 1e-3
    assert abs(farther) < max(0.6 * abs(far), 1e-9)
    with_another = farther + (1 if power == 0 else -1) * math.log2(math.log(2 * FAR) / math.log(FAR))
    assert abs(with_another) > 1e-3


def test_a_condition_on_d_holds_in_digits_with_d_infinite():
    """T0 < d = oo: digits are also where float64 hands a point over."""
    error = ct.catalog["ridge-replace-overparametrized"].error
    at = {"spectrum": ct.PowerLaw(math.inf, 1.5), "target": ct.SourceTarget(0.4)}
    at |= {"T": 50, "T0": 30, "lam": 0.01, "n": 2, "sigma": 0.3, "sigma0": 0.2}
    assert float(error.evaluate(**at, digits=16)) == pytest.approx(error.evaluate(**at), rel=1e-13)


def test_local_slopes_converge_to_the_exponent():
    found = ct.rates(CLEAN, beta=2, r=Q(1, 2), a=Q(1, 2))
    check = found.check([10**4, 10**6, 10**8], ell=Q(1, 2), sigma=0.5)
    assert check.predicted == -0.5
    assert check.converges
    assert abs(check.gaps[-1]) < 1e-3
    assert str(check).count("\n") == 3


@pytest.mark.parametrize(
    ("slug", "scales", "ridge", "values"),
    [
        ("ridge-keep-real", None, Q(1, 2), {"n": 1, "sigma": 0.5, "sigma0": 0.5}),
        ("ridge-accumulate", None, Q(4, 5), {"n": 2, "sigma": 0.5}),
        ("ridge-same-design", {"lam0": Q(-3, 5)}, Q(4, 5), {"n": 1, "sigma": 0.5, "sigma0": 0.5}),
        ("ridge-label-mix", None, Q(1, 2), {"n": 1, "sigma": 0.5, "w": Q(1, 2)}),
    ],
)
def test_slopes_of_fits_that_share_inputs(slug, scales, ridge, values):
    """The gap falls with every factor of a hundred."""
    found = ct.rates(ct.catalog[slug], **RATE, a=Q(1, 2), ell=ridge, scales=scales)
    first, second, third = found.check([10**6, 10**8, 10**10], **values).gaps
    assert abs(third) < 0.01
    assert abs(third) < 0.75 * abs(second) < 0.75**2 * abs(first)


def test_curves_over_arrays():
    found = ct.rates(CLEAN, beta=2, r=Q(1, 2))
    rows = np.array([10.0, 1e3, 1e5])
    np.testing.assert_allclose(found.leading(rows, sigma=0.5), [found.leading(x, sigma=0.5) for x in rows], rtol=1e-14)


# ---------------------------------------------------------------- what is refused
@pytest.mark.parametrize(
    ("slug", "arguments", "message"),
    [
        ("ridge-clean", {"beta": 1, "r": 1}, "beta > 1"),
        ("ridge-clean", {"beta": 1, "r": 1, "a": 2}, "logarithm"),
        ("ridge-clean", {"beta": 2, "r": 0}, "r > 0"),
        ("ridge-clean", {"beta": 2, "r": 1, "ell": 3}, r"ell needs to be in \[0, beta\]"),
        ("ridge-clean", {"beta": 2, "r": 1, "ell": Q(-1, 2)}, "ell needs"),
        ("ridge-clean", {"beta": sp.sqrt(2), "r": 1}, "rational"),
        ("ridge-clean", {"beta": 2, "r": 1, "c": 1}, "no scale exponent"),
        ("ridge-clean", {"beta": 2, "r": 1, "scales": {"m": 1}}, "no symbol 'm'"),
        ("ridge-clean", {"beta": 2, "r": 1, "a": -1}, "a needs"),
        ("ridge-replace", {"beta": 2, "r": 1, "a": 2, "b": 1}, "smaller power of T for T0"),
        ("ridge-chain", {"beta": 2, "r": 1}, "scale of lam0"),
        ("strong-collapse", {"beta": 2, "r": 1}, "scale of Delta"),
        ("minnorm-replace-isotropic", {"beta": 2, "r": 1}, "isotropic"),
    ],
)
def test_bad_scales_are_refused_in_words(slug, arguments, message):
    with pytest.raises(ct.DomainError, match=message):
        ct.rates(ct.catalog[slug], **arguments).exponent  # noqa: B018


def test_terms_of_either_sign_are_not_guessed():
    found = ct.rates(ct.catalog["ridge-replace-overparametrized"], **RATE)
    assert found.terms["synthetic_bias"] is None
    assert found.exponent is not None
    with pytest.raises(ct.DomainError, match="fixed in T"):
        ct.rates(CLEAN, **RATE).leading(10.0, sigma=1, n=2)
    with pytest.raises(ct.DomainError, match="a value for sigma"):
        ct.rates(CLEAN, **RATE).leading(10.0)
    with pytest.raises(ct.DomainError, match="the symbols beta, r"):
        ct.rates(CLEAN).leading(10.0, sigma=1)
    with pytest.raises(ct.DomainError, match="which has none"):
        ct.rates(CLEAN).plateau  # noqa: B018


def test_floats_are_the_decimals_they_print_as():
    assert ct.rates(CLEAN, beta=1.1, r=0.5).optimal_ell == Fraction(11, 21)
    assert ct.rates(CLEAN, beta=beta, r=0.5).optimal_ell == beta / (beta + 1)


def test_rates_pickle():
    found = ct.rates(CLEAN, **RATE)
    assert pickle.loads(pickle.dumps(found)).optimal_ell == found.optimal_ell
