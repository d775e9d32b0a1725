"""The menu every catalogue entry passes, drawn from the registry."""

import pickle
from dataclasses import replace

import mpmath
import numpy as np
import pytest
import sympy as sp
from mpmath import mpf

import collapse_theory as ct
from tests import reference as ref

D = 12
S = np.arange(1, D + 1) ** -1.2
W = np.linspace(1, 2, D)
MEASURE = {"spectrum": ct.Eigenvalues(S), "target": ct.Energies(W)}
VALUES = {"T": 40, "T0": 37, "N": 60, "n": 2, "lam": 0.05, "lam0": 0.1, "sigma": 0.5, "sigma0": 0.7, "w": 0.6}
SLUGS = [s for s in ct.catalog if {x.name for x in ct.catalog[s].error.free_symbols} <= {*VALUES, "d"}]
CORE = ["ols-accumulate", "ols-accumulate-fixed-design", "ols-accumulate-fixed-design-limit", "ols-accumulate-limit",
        "ols-mix-fixed-design", "ols-replace", "ridge-chain", "ridge-clean", "ridge-replace"]  # fmt: skip


def settings_of(err):
    return {x.name: VALUES[x.name] for x in err.free_symbols if x.name != "d"}


def exact(slug, v):
    """Return the test error to 50 digits by definition: sums over rounds and the literature's operator recursion."""
    s, w2 = ref.numbers(S), ref.numbers(W)
    v = {k: x if k == "n" else mpf(x) for k, x in v.items()}
    one = mpf(D) / (v["T"] - D - 1)
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


@pytest.mark.parametrize("slug", CORE)
def test_values_agree_with_the_definition_to_fifty_digits(slug):
    err = ct.catalog[slug].error
    want = exact(slug, settings_of(err))
    assert ref.relative(err.evaluate(**MEASURE, **settings_of(err)), want) < 1e-12
    assert ref.relative(err.evaluate(digits=40, **MEASURE, **settings_of(err)), want) < 1e-38
    assert ref.relative(err.evaluate(**MEASURE, **settings_of(err)) * 1.0001, want) > 1e-5


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
    count = {"n": 2} if "n" in {x.name for x in th.error.free_symbols} else {}
    assert th.pipeline(**count).fits


def balanced(text):
    plain = text.replace(r"\{", "").replace(r"\}", "")
    depths = np.cumsum([(c == "{") - (c == "}") for c in plain])
    return depths[-1] == 0 and (depths >= 0).all() and text.count(r"\left") == text.count(r"\right")


@pytest.mark.parametrize("slug", SLUGS)
def test_latex_when_squared(slug):
    for e in ct.catalog[slug].error.parts.values():
        for node in {
            *e.atoms(sp.Function),
            *(x for x in sp.preorder_traversal(e) if type(x).__module__.startswith("collapse_theory")),
        }:
            if not isinstance(node, sp.Symbol):
                assert balanced(sp.latex(node**2))
                assert "^{2}" in sp.latex(node**2)


@pytest.mark.parametrize("slug", SLUGS)
def test_derivatives_are_the_slopes_of_finite_differences(slug):
    err = ct.catalog[slug].error
    for x in sorted(err.free_symbols, key=str):
        if x.is_integer:
            continue
        values = settings_of(err)
        h = mpf(10) ** -25
        at = [err.evaluate(digits=60, **MEASURE, **{**values, x.name: mpf(values[x.name]) + e}) for e in (h, -h)]
        with mpmath.workdps(60):
            want = (at[0] - at[1]) / (2 * h)
        assert ref.relative(err.diff(x.name).evaluate(**MEASURE, **values), want) < 1e-9, x
        assert err.diff(x).pipeline is None


@pytest.mark.parametrize("slug", SLUGS)
def test_pickles_and_unfolds(slug):
    th = ct.catalog[slug]
    again = pickle.loads(pickle.dumps(th.error))
    values = settings_of(th.error)
    want = th.error.evaluate(**MEASURE, **values)
    assert again.evaluate(**MEASURE, **values) == want
    assert sp.sympify(again) == th.error.expr
    if "n" in values:
        n = values.pop("n")
        assert th.at(n=n).evaluate(**MEASURE, **values) == pytest.approx(want, rel=1e-11)


@pytest.mark.parametrize("slug", SLUGS)
def test_every_condition_guards_the_domain(slug):
    err = ct.catalog[slug].error
    for condition in err.conditions:
        x = min(condition.free_symbols & (err.free_symbols - {ct.symbols.d}), key=str)
        for bad in (D + 1, 0, 1.5):
            if condition.subs({x: bad, ct.symbols.d: D}) == sp.false:
                with pytest.raises(ct.DomainError, match=x.name):
                    err.evaluate(**MEASURE, **{**settings_of(err), x.name: bad})
                break
        else:
            raise AssertionError(f"no value violates {condition}")


@pytest.mark.parametrize("slug", SLUGS)
def test_relations_hold(slug):
    for relation in ct.catalog[slug].relations:
        here, there = ct.catalog[slug].error, ct.catalog[relation.to].error
        values = settings_of(here) | {k: (10**8 if v == sp.oo else v) for k, v in relation.at.items()}
        other = {x.name: {**VALUES, **values}[x.name] for x in there.free_symbols if x.name != "d"}
        values = {x.name: values[x.name] for x in here.free_symbols if x.name != "d"}
        left, right = here.evaluate(**MEASURE, **values), there.evaluate(**MEASURE, **other)
        if relation.kind == "equals":
            assert left == pytest.approx(right, rel=1e-12), relation
        elif relation.kind == "same limit":
            assert [relative_gap(here, there, values, other, c) * c for c in (10, 100, 1000)] == pytest.approx(
                [relative_gap(here, there, values, other, 10**5) * 10**5] * 3, rel=0.2
            ), relation
        elif relation.kind == "tends to":
            assert left == pytest.approx(right, rel=1e-6), relation
        else:
            assert relation.kind == "bounded by"
            assert left < right, relation


def relative_gap(here, there, values, other, c):
    """Return the relative gap of two formulas with dimension and rows c times as large: of order 1/c."""

    def at(err, v):
        grown = {k: x * c if k in {"T", "T0", "N"} else x for k, x in v.items()}
        return err.evaluate(spectrum=ct.Isotropic(D * c), target=ct.RandomTarget(), **grown)

    return at(here, values) / at(there, other) - 1


SIMULATED = [slug for slug in CORE if ct.catalog[slug].simulates]


def simulation_agrees(slug, trials, factor, scale=1):
    """Return the verdict of validate on the formula times ``factor``, dimension and rows ``scale`` times as large."""
    err = ct.catalog[slug].error
    values = {**settings_of(err), **{k: v * scale for k, v in (("T", 60), ("T0", 80)) if k in settings_of(err)}}
    mutant = replace(err, parts={k: factor * e for k, e in err.parts.items()})
    measure = {"spectrum": ct.PowerLaw(D * scale, 1.2), "target": ct.RandomTarget()}
    return ct.validate(mutant, trials=trials, seed=5, **measure, **values).passed


@pytest.mark.parametrize("slug", SIMULATED)
def test_simulation_agrees_and_rejects_mutants(slug):
    """Exact theorems against 10 % at any size; proportional ones against 15 %, the size making their allowance small."""
    exact = ct.catalog[slug].error.regime == "exact"
    trials, scale = (4000, 1) if exact else (800, 4)
    off = sp.Rational(1, 10) if exact else sp.Rational(15, 100)
    assert simulation_agrees(slug, trials, 1, scale)
    assert not simulation_agrees(slug, trials, 1 + off, scale)
    assert not simulation_agrees(slug, trials, 1 - off, scale)


@pytest.mark.heavy
@pytest.mark.parametrize("slug", SIMULATED)
def test_simulation_rejects_five_per_cent(slug):
    exact = ct.catalog[slug].error.regime == "exact"
    trials, scale = (20_000, 1) if exact else (1500, 8)
    assert simulation_agrees(slug, trials, 1, scale)
    assert not simulation_agrees(slug, trials, sp.Rational(105, 100), scale)
    assert not simulation_agrees(slug, trials, sp.Rational(95, 100), scale)


@pytest.mark.parametrize("slug", SIMULATED)
def test_no_term_can_be_dropped(slug):
    err, values = ct.catalog[slug].error, settings_of(ct.catalog[slug].error)
    terms = err.evaluate(terms=True, **MEASURE, **values)
    large = max(terms, key=terms.get)
    check = ct.validate(err, trials=600, seed=5, **MEASURE, **values)
    assert not replace(check, theory=check.theory - terms[large]).passed


def test_catalogue_suggests_and_lists():
    with pytest.raises(ct.DomainError, match="ridge-replace"):
        ct.catalog["ridge-replce"]
    with pytest.raises(KeyError):
        ct.catalog["nothing"]
    assert set(CORE) <= set(ct.catalog)
    assert len(ct.catalog) == len(list(ct.catalog))


def test_chain_takes_parameters_per_generation():
    th = ct.catalog["ridge-chain"]
    got = th.at(n=2, T0=[20, 8], lam0=[0.1, 0], sigma0=[0.2, 0.3]).evaluate(**MEASURE, T=30, lam=0.2, sigma=0.1)
    stages = [(mpf(20), mpf(0.1), mpf(0.2)), (mpf(8), mpf(0), mpf(0.3)), (mpf(30), mpf(0.2), mpf(0.1))]
    assert ref.relative(got, sum(ref.chain(ref.numbers(S), ref.numbers(W), stages))) < 1e-12
    with pytest.raises(ct.PipelineError, match="one value per generation"):
        th.at(n=3, T0=[20, 8])
