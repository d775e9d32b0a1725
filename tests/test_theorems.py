"""The menu every catalogue entry passes, drawn from the registry; the points are in :mod:`tests.points`."""

import pickle
from dataclasses import replace
from itertools import pairwise

import mpmath
import numpy as np
import pytest
import sympy as sp
from mpmath import mpf

import collapse_theory as ct
from tests import naive
from tests import reference as ref
from tests.points import EIGENVALUES, ENERGIES, MEASURE, OFFSETS, POINTS, D

ISOTROPIC = {"spectrum": ct.Isotropic(D, scale=0.7), "target": ct.Energies(ENERGIES)}
SLUGS = list(ct.catalog)
SCALAR = [s for s in SLUGS if s.split("-")[0] in {"token", "gaussian", "regular"}]
SLOW = {"flow-replace"}  # in many digits
IN_DIGITS = [pytest.param(slug, marks=pytest.mark.heavy) if slug in SLOW else slug for slug in SLUGS]
CORE = ["ols-accumulate", "ols-accumulate-fixed-design", "ols-accumulate-fixed-design-limit", "ols-accumulate-limit",
        "ols-mix-fixed-design", "ols-replace", "ridge-accumulate-constant", "ridge-chain", "ridge-clean", "ridge-replace",
        "strong-collapse"]  # fmt: skip


def measure(slug):
    """Return the spectrum and target at which the menu evaluates a theorem."""
    return ISOTROPIC if ct.catalog[slug].error.isotropic else MEASURE


def test_every_theorem_has_a_point_and_no_other():
    assert set(POINTS) == set(SLUGS)
    for slug, point in POINTS.items():
        assert set(point.values) == names_of(ct.catalog[slug].error) == ct.catalog[slug].parameters, slug


def names_of(err):
    return {x.name for x in err.free_symbols if x.name != "d"}


def exact(slug, v):
    """Return the test error to 50 digits by definition: sums over rounds and the literature's operator recursion."""
    s, w2 = ref.numbers(EIGENVALUES), ref.numbers(ENERGIES)
    v = {k: x if k == "n" else mpf(x) for k, x in v.items()}
    one = mpf(D) / (v.get("T", 0) - D - 1)
    match slug:
        case "ols-replace":
            return v["sigma"] ** 2 * one + v["n"] * v["sigma0"] ** 2 * D / (v["T0"] - D - 1)
        case "ols-accumulate":
            return v["sigma"] ** 2 * mpmath.fsum(mpf(D) / (i * (i * v["T"] - D - 1)) for i in range(1, v["n"] + 1))
        case "ols-accumulate-limit":
            return v["sigma"] ** 2 * mpmath.nsum(lambda i: D / (i * (i * v["T"] - D - 1)), [1, mpmath.inf])
        case "ols-accumulate-fixed-design":
            return v["sigma"] ** 2 * one * mpmath.fsum(mpf(1) / i**2 for i in range(1, v["n"] + 1))
        case "ols-accumulate-fixed-design-limit":
            return v["sigma"] ** 2 * one * mpmath.pi**2 / 6
        case "ols-mix-fixed-design":
            f = mpf(1)
            for _ in range(v["n"]):
                f = v["w"] ** 2 + (1 - v["w"]) ** 2 * (1 + f)
            return v["sigma"] ** 2 * one * f
        case "ridge-clean":
            return sum(ref.chain(s, w2, [(v["T"], v["lam"], v["sigma"])]))
        case "ridge-replace":
            return sum(ref.ridge_replace(s, w2, v["n"], v["T"], v["T0"], v["lam"], v["sigma"], v["sigma0"]))
        case "ridge-chain":
            return sum(
                ref.chain(s, w2, [(v["T0"], v["lam0"], v["sigma0"])] * v["n"] + [(v["T"], v["lam"], v["sigma"])])
            )
        case "ridge-accumulate-constant":
            first, *rest = (ref.chain(s, w2, [(i * v["T"], v["lam"] / i, v["sigma"])]) for i in range(1, v["n"] + 1))
            return sum(first) + sum(variance / i for i, (_, variance) in enumerate(rest, start=2))
        case "strong-collapse":
            clean = sum(ref.chain(s, w2, [(v["N"], v["lam"], v["sigma"])]))
            return clean + ref.strong_collapse(s, ref.numbers(OFFSETS), v["N"], v["p1"], v["p2"], v["lam"])


@pytest.mark.parametrize("slug", CORE)
def test_values_agree_with_the_definition_to_fifty_digits(slug):
    err, values = ct.catalog[slug].error, POINTS[slug].values
    want = exact(slug, values)
    assert ref.relative(err.evaluate(**measure(slug), **values), want) < 1e-12
    assert ref.relative(err.evaluate(digits=40, **measure(slug), **values), want) < (
        1e-38 if slug != "strong-collapse" else 1e-15
    )
    assert ref.relative(err.evaluate(**measure(slug), **values) * 1.0001, want) > 1e-5


@pytest.mark.parametrize("slug", SCALAR)
def test_families_agree_with_their_recursion_to_fifty_digits(slug):
    err, values = ct.catalog[slug].error, POINTS[slug].values
    kind, workflow = slug.split("-", 1)
    if slug == "token-total-collapse":
        T, n = mpf(values["T"]), values["n"]
        want = (1 - 1 / T) ** (n + 1) / (1 - (1 - 1 / T) ** 2 - 1 / T**2)
    elif slug == "regular-fresh-real-golden":
        want = (mpmath.sqrt(5) - 1) / 2
    elif workflow.endswith("-limit"):  # the theorem of finitely many rounds has passed this test
        finite = ct.catalog[slug.removesuffix("-limit")].error
        want = finite.evaluate(digits=60, n=10**35, **values)
    else:
        want = ref.family_error(workflow, kind, **values)
    assert ref.relative(err.evaluate(digits=40, **values), want) < 1e-30
    assert ref.relative(err.evaluate(**values), want) < 1e-11


@pytest.mark.parametrize("slug", IN_DIGITS)
def test_floats_agree_with_digits(slug):
    err, values = ct.catalog[slug].error, POINTS[slug].values
    for name, want in err.evaluate(digits=40, terms=True, **measure(slug), **values).items():
        assert ref.relative(err.evaluate(terms=True, **measure(slug), **values)[name], want) < 1e-11, name


@pytest.mark.parametrize("slug", SLUGS)
def test_builds_states_and_cites(slug):
    th = ct.catalog[slug]
    assert th.error.regime in {"exact", "proportional", "upper bound", "lower bound", "leading order", "scaling"}
    assert th.error.name == slug
    assert all(key in th.bibtex for key in th.sources)
    for text in (th.statement(), th.error.latex()):
        assert balanced(text)
        assert not any(
            word in text for word in ("SpectralTrace", "Quadratic", "Effective", "Digamma", "Geometric", "Lambda")
        )


def balanced(text):
    plain = text.replace(r"\{", "").replace(r"\}", "")
    depths = np.cumsum([(c == "{") - (c == "}") for c in plain])
    return depths[-1] == 0 and (depths >= 0).all() and text.count(r"\left") == text.count(r"\right")


@pytest.mark.parametrize("slug", SLUGS)
def test_every_condition_is_printed(slug):
    """What is printed behind "for" allows the points that the conditions allow, and no others."""
    err = ct.catalog[slug].error
    if not err.conditions:
        return
    symbols = sorted({x for c in err.conditions for x in c.free_symbols}, key=str)
    printed = ct.read_latex(r"E = 1 \\ \text{for } " + err.latex().split(r"\text{for } ")[1].split("\n")[0]).conditions
    rng = np.random.default_rng(7)
    seen = set()
    for _ in range(2000):
        at = {
            x: sp.Integer(rng.integers(0, 7)) if rng.uniform() < 0.7 else sp.Rational(rng.integers(0, 9), 4)
            for x in symbols
        }
        if any(x.is_positive and not v > 0 for x, v in at.items()) or any(
            x.is_integer and not v.is_integer for x, v in at.items()
        ):
            continue
        own = all(bool(c.subs(at)) for c in err.conditions)
        by_name = {x.name: v for x, v in at.items()}
        assert own == all(bool(c.subs({x: by_name[x.name] for x in c.free_symbols})) for c in printed), at
        seen.add(own)
    assert True in seen or any(isinstance(c, sp.Eq) for c in err.conditions)


@pytest.mark.parametrize("slug", SLUGS)
def test_latex_when_squared(slug):
    for e in ct.catalog[slug].error.parts.values():
        for node in {
            *e.atoms(sp.Function),
            *(x for x in sp.preorder_traversal(e) if type(x).__module__.startswith("collapse_theory")),
        }:
            if isinstance(node, sp.Expr) and not isinstance(node, sp.Symbol):
                assert balanced(sp.latex(node**2))
                assert "^{2}" in sp.latex(node**2)


@pytest.mark.parametrize("slug", IN_DIGITS)
def test_derivatives_are_the_slopes_of_finite_differences(slug):
    err, values = ct.catalog[slug].error, POINTS[slug].values
    moving = {x for e in err.parts.values() for x in e.free_symbols} & err.free_symbols
    # the conditions put aside: shares that sum to one move one at a time
    free = replace(err, conditions=())
    for x in sorted(moving - {ct.symbols.d}, key=str):
        if x.is_integer:
            continue
        used = {k: v for k, v in values.items() if k in names_of(err)}
        got = err.diff(x.name).evaluate(**measure(slug), **used)
        h = mpf(10) ** -25
        at = [free.evaluate(digits=60, **measure(slug), **{**used, x.name: mpf(used[x.name]) + e}) for e in (h, -h)]
        with mpmath.workdps(60):
            want = (at[0] - at[1]) / (2 * h)
        assert abs(got - want) < 1e-9 * max(abs(want), abs(at[0])), x
        assert err.diff(x).pipeline is None


@pytest.mark.parametrize("slug", SLUGS)
def test_pickles_and_unfolds(slug):
    th, values = ct.catalog[slug], dict(POINTS[slug].values)
    want = th.error.evaluate(**measure(slug), **values)
    again = pickle.loads(pickle.dumps(th.error))
    assert again.evaluate(**measure(slug), **values) == want
    assert sp.sympify(again) == th.error.expr
    assert pickle.loads(pickle.dumps(th)) is th
    if "n" in values:
        n = values.pop("n")
        assert th.at(n=n).evaluate(**measure(slug), **values) == pytest.approx(want, rel=1e-11)
        other = th.error.evaluate(**measure(slug), **values, n=n + 1)
        assert abs(other / want - 1) > 1e-5
        assert th.at(n=n + 1).evaluate(**measure(slug), **values) == pytest.approx(other, rel=1e-11)


@pytest.mark.parametrize("slug", SLUGS)
def test_the_edges_of_the_domain(slug):
    """Just outside is refused by name, just inside has a finite value or one that is said to diverge: never NaN."""
    err, point = ct.catalog[slug].error, POINTS[slug]
    for name, outside, inside in point.each_edge():
        # where each number of rounds is derived on demand, the refusal of a round that is none comes from its workflow
        on_demand = name == "n" and slug in {"ridge-accumulate", "ridge-accumulate-constant"}
        words = r"\bn\b|generations|False" if on_demand else rf"\b{name}\b"
        with pytest.raises(ct.CollapseTheoryError, match=words):
            err.evaluate(**measure(slug), **{**point.values, name: outside})
        with pytest.raises(ct.CollapseTheoryError, match=f"{words}|digits"):
            err.evaluate(digits=20, **measure(slug), **{**point.values, name: outside})
        value = err.evaluate(**measure(slug), **{**point.values, name: inside})
        assert value >= 0


@pytest.mark.parametrize("slug", SLUGS)
def test_every_condition_has_an_edge(slug):
    """Each condition is violated by one of the listed edges and by no accepted one."""
    err, point = ct.catalog[slug].error, POINTS[slug]
    for c in err.conditions:
        outcomes = []
        for name, *ends in point.each_edge():
            at = [{**point.values, "d": D, name: x} for x in ends]
            outcomes.append([holds(c, v) for v in at])
        same = [x for x in err.conditions if x != c and x.free_symbols == c.free_symbols]
        weaker = [x for x in same if isinstance(x, sp.StrictLessThan | sp.StrictGreaterThan)]
        assert any(not out for out, _ in outcomes) or weaker, c
        assert all(inside for _, inside in outcomes), c


def holds(condition, values):
    at = {x: sp.Rational(values[x.name]) for x in condition.free_symbols}
    if isinstance(condition, sp.Eq):
        return abs(condition.lhs.subs(at) - condition.rhs.subs(at)) < 1e-12
    return bool(condition.subs(at))


# ---------------------------------------------------------------- simulation
SIMULATED = [slug for slug, point in POINTS.items() if point.simulated is not None]


def test_what_is_not_simulated_is_a_limit_of_what_is_or_a_bound():
    limits = {r.to for slug in SIMULATED for r in ct.catalog[slug].relations if r.kind == "tends to"}
    assert set(SLUGS) - set(SIMULATED) - limits == {"token-total-collapse"}


@pytest.mark.parametrize("slug", SIMULATED)
def test_simulation_agrees_and_rejects_five_per_cent(slug):
    """A naive simulation of the theorem's own pipeline; a formula 5 % off, or without one of its terms, is rejected."""
    point, th = POINTS[slug], ct.catalog[slug]
    build = point.build or th.pipeline
    sample = naive.errors(build(**point.simulated), point.family(), point.runs, seed=20)
    terms = th.error.evaluate(terms=True, **point.measure, **point.simulated)
    value = sum(terms.values())
    assert naive.agrees(sample, value, point.allowance)
    assert not naive.agrees(sample, 1.05 * value, point.allowance)
    assert not naive.agrees(sample, 0.95 * value, point.allowance)
    for name, part in terms.items():
        assert part == 0 or not naive.agrees(sample, value - part, point.allowance), name


def test_the_bound_on_collapse_is_reached_by_two_rows_and_holds_for_more():
    err = ct.catalog["token-total-collapse"].error
    coin = ct.Categorical([0.5, 0.5])
    for n in (0, 1, 4):
        # two rows of a fair coin: a model that has not collapsed has diversity 1/2, Markov's inequality is an equality
        left = 1 - coin.total_collapse_probability(T=2, generations=n + 1)
        assert err.evaluate(T=2, n=n) * 0.5 == pytest.approx(left, rel=1e-12)
    for T in (3, 6, 20):
        left = 1 - ct.Categorical([0.25] * 4).total_collapse_probability(T=T, generations=13)
        assert left <= err.evaluate(T=T, n=12)


def test_catalogue_suggests_and_lists():
    with pytest.raises(ct.DomainError, match="ridge-replace"):
        ct.catalog["ridge-replce"]
    with pytest.raises(KeyError):
        ct.catalog["nothing"]
    assert set(CORE) <= set(ct.catalog)
    assert len(ct.catalog) == len(list(ct.catalog))
    assert all(a < b for a, b in pairwise(ct.catalog))


def test_chain_takes_parameters_per_generation():
    th = ct.catalog["ridge-chain"]
    got = th.at(n=2, T0=[20, 8], lam0=[0.1, 0], sigma0=[0.2, 0.3]).evaluate(**MEASURE, T=30, lam=0.2, sigma=0.1)
    stages = [(mpf(20), mpf(0.1), mpf(0.2)), (mpf(8), mpf(0), mpf(0.3)), (mpf(30), mpf(0.2), mpf(0.1))]
    assert ref.relative(got, sum(ref.chain(ref.numbers(EIGENVALUES), ref.numbers(ENERGIES), stages))) < 1e-12
    with pytest.raises(ct.PipelineError, match="one value per generation"):
        th.at(n=3, T0=[20, 8])


@pytest.mark.parametrize("slug", SCALAR)
def test_families_agree_with_their_calculus_and_approach_their_limits(slug):
    """Floats equal digits also after many rounds, the pipeline's own calculus agrees, limits are approached."""
    theorem = ct.catalog[slug]
    err = theorem.error
    names = {x.name for x in err.free_symbols}
    at = {k: v for k, v in {"T": 50, "T0": 30, "w": 0.625, "n": 6}.items() if k in names}
    for n in (1, 6, 500):
        point = {**at, "n": n} if "n" in names else at
        value = err.evaluate(**point)
        assert value == pytest.approx(float(err.evaluate(digits=30, **point)), rel=1e-11)
    assert theorem.statement().startswith(r"\begin{theorem}")
    assert theorem.bibtex
    if err.regime != "upper bound" and "n" in names:
        direct = ct.test_error(theorem.pipeline(**at), family=err.family).evaluate()
        assert err.evaluate(**at) == pytest.approx(direct, rel=1e-11)
    for relation in theorem.relations:
        if relation.approached != ("n",):
            continue
        limit = ct.catalog[relation.to].error.evaluate(**{k: v for k, v in at.items() if k != "n"})
        assert err.evaluate(**{**at, "n": 100_000}) == pytest.approx(limit, rel=2e-5)


def test_total_collapse_bound_by_simulation():
    theorem = ct.catalog["token-total-collapse"]
    sim = ct.simulate(theorem.pipeline(T=6, n=20), family=theorem.error.family, trials=1000, seed=2)
    exact = 1 - ct.Categorical([0.25] * 4).total_collapse_probability(T=6, generations=21)
    assert abs(sim.mean - exact) < 4 * sim.sem
    assert exact <= theorem.error.evaluate(T=6, n=20)
