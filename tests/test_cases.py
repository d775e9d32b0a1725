"""Computations in chambers: conditions that are complete and disjoint, and right at points."""

import itertools
import random

import pytest
import sympy as sp

from collapse_theory.algebra.cases import Split, boundaries, cases, explored, swept
from collapse_theory.algebra.exponents import Chamber, Order, total
from collapse_theory.symbols import beta, ell, r

x, y = sp.symbols("x y", positive=True)


def chamber(inner=None):
    return Chamber.of([beta, r, ell, x, y], [beta - 1], inner=inner)


def largest(known, *exponents):
    return total([Order(known.element(e)) for e in exponents], known).exponent


@pytest.mark.parametrize("seed", range(3))
def test_cases_are_complete_and_disjoint_and_right(seed):
    """A maximum of affine functions of three symbols against the maximum at points."""
    rng = random.Random(seed)
    forms = [sum(rng.randint(-3, 3) * v for v in (x, y, r)) + rng.randint(-2, 2) for _ in range(4)]
    known = chamber()
    tree = explored(lambda where: largest(where, *forms), known)
    found = cases(tree, known.shown, known)
    for _ in range(60):
        at = {v: sp.Rational(rng.randint(1, 40), rng.randint(1, 12)) for v in (x, y, r)}
        hold = [e for e, condition in found if condition.subs(at) == sp.true]
        assert len(hold) == 1
        assert hold[0].subs(at) == max(f.subs(at) for f in forms)


def test_the_inner_symbol_is_cut_at_the_exact_roots():
    known = chamber(inner=ell)
    e = known.element

    def run(where):
        return largest(where, -2 * ell, -ell - 1, ell / beta - 1)

    tree = explored(lambda where: swept(run, where, e(0), e(beta)), known)
    assert not isinstance(tree, Split)
    ends = [(known.shown(p.low), known.shown(p.high), known.shown(p.value)) for p in tree]
    root = beta / (2 * beta + 1)
    assert sp.simplify(ends[0][1] - root) == 0
    assert [e for *_, e in ends] == [-2 * ell, (ell - beta) / beta]
    assert ends[-1][1] == beta


def test_boundaries_name_what_changes_on_each_side():
    known = chamber()
    tree = explored(lambda where: largest(where, x, 2 * y), known)
    ((polynomial, where, below, above),) = boundaries(tree, known.shown, known)
    assert polynomial.as_expr() == x - 2 * y
    assert (where, below, above) == (sp.true, 2 * y, x)


def test_too_many_cases_are_refused_in_words(monkeypatch):
    monkeypatch.setattr("collapse_theory.algebra.cases._MOST", 5)
    symbols = sp.symbols("z0:6", positive=True)
    many = Chamber.of(symbols, [])
    with pytest.raises(ValueError, match="fewer symbols"):
        explored(lambda where: [where.sign(where.element(a - b)) for a, b in itertools.pairwise(symbols)], many)
