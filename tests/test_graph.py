"""Every relation between theorems, at drawn parameters, spectra and targets; a relation that says a little more is rejected."""

from dataclasses import replace
from functools import partial
from itertools import combinations

import numpy as np
import pytest
import sympy as sp

import collapse_theory as ct
from collapse_theory.derive.formula import ErrorFormula
from collapse_theory.present.theorem_map import draw_theorems
from collapse_theory.symbols import NOTATION, eigenvalue, error
from collapse_theory.theorems.graph import edges, incoming, outgoing
from tests.helpers import call, call_json

D = 12
EDGES = edges()
ROWS = {"T", "T0", "N"}
FEW, MANY = (
    (5, 8, 9, 10),
    (*range(13, 40), 100, 200, 400),
)  # no multiple of any is d: there, fits without a ridge diverge
SMALL = {
    "ridge-accumulate",
    "ridge-keep-real",
    "ridge-same-design",
    "ridge-label-mix",
    "self-distillation-repeated",
}  # a derivation per number of rounds
EXPONENTIAL = {"flow-replace"}  # what is left to learn: soon below any number of digits


def name(edge):
    return f"{edge.source}-{edge.relation.kind.replace(' ', '-')}-{edge.target}-{EDGES.index(edge) if edge in EDGES else 0}"


# ---------------------------------------------------------------- drawing
def draw(rng, edge):
    """Return values of all symbols of both theorems; where a bound is strict is told at few rounds and no noise too."""
    edges_too = edge.relation.kind == "bounded by"
    n = int(rng.integers(0 if edges_too else 2, 4 if {edge.source, edge.target} & SMALL else 7))
    m, p1 = int(rng.integers(3, 60)), rng.uniform(0.1, 0.9)
    return {
        "n": n,
        "m": m,
        "m0": 62 - m,
        "p1": p1,
        "p2": 1 - p1,
        "w": rng.uniform(0.3 if edges_too else 0.8, 0.95),
        "rho2": rng.uniform(0.5, 2),
        "d": D,
        **{k: int(rng.choice(FEW if rng.uniform() < 0.3 else MANY)) for k in sorted(ROWS)},
        **{k: 10 ** rng.uniform(-2, 0) for k in ("lam", "lam0")},
        **{k: rng.uniform(0.3, 1) * (rng.uniform() > 0.2 * edges_too) for k in ("sigma", "sigma0")},
        "k": 10 ** rng.uniform(-1, 1),
        **{k: 10 ** rng.uniform(-0.5, 1) for k in ("t", "t0")},
        "K": int(rng.integers(1 if edges_too else 2, 5)),
        "xi": rng.uniform(0.1, 0.2),
        "theta": 1 - 2 * p1,
    }


def matrices(rng, edge):
    """Return eigenvalues, energies and eigenvalues of the offset."""
    isotropic = edge.relation.isotropic or any(ct.catalog[s].error.isotropic for s in (edge.source, edge.target))
    s = np.full(D, 0.8) if isotropic else np.arange(1, D + 1) ** -rng.uniform(0.5, 1.5)
    energy = rng.uniform(0.5, 2, D)
    if edge.relation.kind == "bounded by":  # a bound is not for targets that lie where the inputs do
        s = s**2
        energy = 10 ** rng.uniform(-2, 0) * rng.exponential(size=D) ** 3 / s ** rng.uniform(0, 2)
    return s, energy, rng.uniform(0.05, 0.3, D)


def number(value, env, about):
    """Return the value of an expression in the symbols, integrals of the spectrum and the target among them."""
    parts = {"value": sp.S(value)}
    used = {x.name: env[x.name] for x in parts["value"].free_symbols if x.name != "d"}
    value = ErrorFormula(parts, "exact").evaluate(**about, **used)
    return int(value) if float(value).is_integer() else float(value)


def scaled(matrix, c):
    """Return the system c times as large: every eigenvalue c times, the energies of target and offset spread over them."""
    s, energy, offset = (np.repeat(x, c) for x in matrix)
    return s, energy / c, offset / c


def covariance(f, env, s):
    """Return the eigenvalues of a covariance that is a function of Sigma."""
    at = {x: sp.S(env[x.name]) for x in f.free_symbols if x != eigenvalue}
    return np.array([float(f.xreplace({**at, eigenvalue: x})) for x in s])


def sides(edge, env, matrix, *, far=None, grown=1, digits=None):
    """Return ``of`` the error at the source, the error at the target, and whether a bound is strict; None outside the domain."""
    r = edge.relation
    formulas = [ct.catalog[slug].error for slug in (edge.source, edge.target)]
    s, energy, offset = scaled(matrix, grown if formulas[0].family is None else 1)
    env = {**env, "d": len(s), **{k: grown * env[k] for k in ROWS}}
    env |= {k: far if r.at[k] == sp.oo else 1 / sp.Integer(far) for k in r.approached}
    common = ct.Isotropic(len(s), scale=s[0]) if any(f.isotropic for f in formulas) else ct.Eigenvalues(s)
    about = {"spectrum": common, "target": ct.Energies(energy)}
    fixed = {k: v for k, v in r.at.items() if k not in r.approached and k in NOTATION}
    here = env | {k: number(v, env, about) for k, v in fixed.items()}
    there = here | {k: number(v, here, about) for k, v in r.there.items()}
    inside = [holds(c, values) for f, values in zip(formulas, (here, there), strict=True) for c in f.conditions]
    # without label noise there is no unit to measure in
    if (
        not all(inside)
        or not all(holds(c, here) for c in r.where)
        or (r.of.has(ct.symbols.sigma) and here["sigma"] == 0)
    ):
        return None
    if "Delta" in r.at:
        offset = covariance(r.at["Delta"], here, s)
    about["spectrum"] = {"Sigma": common, "Delta": ct.Eigenvalues(offset)}
    left, right = (value(f, v, about, digits) for f, v in zip(formulas, (here, there), strict=True))
    units = [x for x in r.of.free_symbols if x != error]
    of = sp.lambdify([error, *units], r.of, "mpmath" if digits else "math")
    return of(left, *(here[x.name] for x in units)), right, holds(r.strict, here)


def value(err, values, about, digits):
    used = {x.name: values[x.name] for x in err.free_symbols if x.name != "d"}
    return err.evaluate(**about, **used, **({"digits": digits} if digits else {}))


def holds(condition, values):
    at = {x: sp.S(values[x.name]) for x in condition.free_symbols}
    if isinstance(condition, sp.Eq):
        return abs(condition.lhs.xreplace(at) - condition.rhs.xreplace(at)) < 1e-12
    return bool(condition.subs(at))


# ---------------------------------------------------------------- what each kind means
def close(a, b, rel):
    return abs(a - b) <= rel * max(abs(a), abs(b))


def equal(at):
    a, b, _ = at()
    return close(a, b, 1e-11)


def tends(at, steps, digits=40):
    """From afar it differs, and the gap falls at least like the inverse of the distance."""
    gap, end = (abs(a - b) / max(abs(a), abs(b)) for a, b, _ in (at(far=far, digits=digits) for far in steps))
    return gap > 1e-30 and end < (2e-4 if steps[1] > 1e6 else 1e-3) * gap


def bounded(at):
    a, b, strict = at(digits=30)
    return a < b and not close(a, b, 1e-20) if strict else close(a, b, 1e-20)


def alike(at, scalar):
    """The relative gap falls like one over the size."""
    small, large = (10**3, 10**4) if scalar else (16, 160)
    gaps = [float(a / b - 1) for a, b, _ in (at(grown=c, digits=40 if scalar else None) for c in (small, large))]
    return 9 < gaps[0] / gaps[1] < 11 if all(gaps) else False


def verdicts(edge, seed, draws):
    """Yield whether the relation holds, at so many draws inside its domain."""
    rng, left = np.random.default_rng(seed), draws
    for _ in range(25 * draws):
        at = partial(sides, edge, draw(rng, edge), matrices(rng, edge))
        match edge.relation.kind:
            case "tends to":
                rounds, slow = "n" in edge.relation.approached, edge.source in SMALL
                steps = ((1, 6) if slow else (3, 10**8)) if rounds else (10**4, 10**8)
                exactly = partial(tends, steps=steps)
                soon = partial(tends, steps=(3, 10**8), digits=None)
                inside, check = at(far=steps[0]), soon if edge.source in EXPONENTIAL else exactly
            case "same limit":
                inside, check = at(), partial(alike, scalar=ct.catalog[edge.source].error.family is not None)
            case kind:
                inside, check = at(), {"equals": equal, "bounded by": bounded}[kind]
        if inside is not None and (edge.relation.kind == "bounded by" or inside[1]):
            yield check(at)
            left -= 1
        if not left:
            return


DRAWS = {"equals": 3, "tends to": 2, "bounded by": 8, "same limit": 2}


@pytest.mark.parametrize("edge", EDGES, ids=name)
def test_the_relation_holds_wherever_it_claims_to(edge):
    draws = DRAWS[edge.relation.kind]
    assert list(verdicts(edge, 5, draws)) == [True] * draws


# with the synthetic rows fixed as the real ones grow, both sides tend to a clean fit
TRUE_WITHOUT = {"ridge-keep-real": {"T0"}}


def stronger(edge):
    """Yield the relation without one of the values it fixes, or off by a part in a thousand, or turned round."""
    r = edge.relation
    for fixed in ("at", "there"):
        for k in sorted(set(getattr(r, fixed)) - TRUE_WITHOUT.get(edge.source, set())):
            left = {x: v for x, v in getattr(r, fixed).items() if x != k}
            yield replace(edge, relation=replace(r, **{fixed: left}))
    for c in () if "Delta" in r.at else r.where:  # an offset of no size is none
        yield replace(edge, relation=replace(r, where=tuple(x for x in r.where if x != c)))
    if r.isotropic:
        yield replace(edge, relation=replace(r, isotropic=False))
    if r.kind == "bounded by":
        yield replace(edge, relation=replace(r, of=2 * r.of))
        yield replace(edge, relation=replace(r, strict=sp.Not(r.strict)))
    else:
        yield replace(edge, relation=replace(r, of=r.of * sp.Rational(1001, 1000)))


# the families have their relations from one list: one family stands for the others
ONCE = [e for e in EDGES if not e.source.startswith(("token-", "gaussian-"))]
AGAIN = [pytest.param(e, marks=pytest.mark.heavy) for e in EDGES if e not in ONCE]


@pytest.mark.parametrize("edge", ONCE + AGAIN, ids=name)
@pytest.mark.heavy
def test_the_relation_says_no_more_than_is_true(edge):
    for claim in stronger(edge):
        found = list(until_false(verdicts(claim, 7, 40 if edge.relation.kind == "bounded by" else 12)))
        assert not all(found) or not found, claim.words()


def test_no_theorem_stands_alone_and_neighbours_run_both_ways():
    assert {s for edge in EDGES for s in (edge.source, edge.target)} == set(ct.catalog)
    assert sum(len(incoming(s)) for s in ct.catalog) == sum(len(outgoing(s)) for s in ct.catalog) == len(EDGES)
    names = {x.name for x in NOTATION.values()} | {"Delta"}
    for edge in EDGES:
        r = edge.relation
        assert {*r.at, *r.there} <= names
        assert (r.kind == "tends to") == bool(r.approached)
        assert edge in outgoing(edge.source)
        assert edge in incoming(edge.target)
    with pytest.raises(ct.DomainError, match="ridge-clean"):
        incoming("ridge-claen")


def test_the_graph_is_listed_and_drawn(tmp_path):
    listed = call("list", "--graph").stdout.splitlines()
    assert "ridge-replace at n = 0 equals ridge-clean: no generation" in listed
    assert len(listed) == len(EDGES)
    path = tmp_path / "theorems.svg"
    data = call_json("list", "--graph", "-o", str(path))
    assert [(e["from"], e["to"], e["kind"]) for e in data] == [(e.source, e.target, e.relation.kind) for e in EDGES]
    assert path.read_text().startswith("<?xml")
    assert "svg" in call("list", "--graph", "-o", str(tmp_path / "theorems.txt"), code=2).stderr
    call("list", "-o", str(path), code=2)


def test_no_name_in_the_picture_touches_another():
    figure = draw_theorems(EDGES, ct.catalog)
    figure.canvas.draw()
    boxes = [text.get_bbox_patch().get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == len(ct.catalog)
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))


def until_false(found):
    for x in found:
        yield x
        if not x:
            return
