"""Exponents that are compared exactly: proofs of signs, sums of orders, chambers with complete and disjoint conditions."""

import itertools

import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st

from collapse_theory.algebra.exponents import Chamber, Order, total
from collapse_theory.algebra.inequalities import combination_exists, implied
from collapse_theory.symbols import beta, ell, r

x, y = sp.symbols("x y", positive=True)


def test_a_proof_exists_where_the_implication_is_affine_and_true():
    _, a, b, c = sp.ring("a b c", sp.QQ)
    facts = [a - b, b - c, c - 1]
    assert implied(a - 1, facts)
    assert implied(2 * a + b - 3 * c, facts)
    assert not implied(a - 2, facts)
    assert not implied(c - b, facts)
    assert not implied(-a.ring.one, facts)
    assert implied(-a.ring.one, [a - 1, -a])  # facts that contradict each other imply anything
    assert implied(a * b - 1, [a - 1, b - 1])
    assert not combination_exists([a - 1, b - 1], a * b - 1)


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3), st.integers(-3, 3)), min_size=1, max_size=4))
def test_what_is_proved_holds_at_every_point_at_which_the_facts_hold(rows):
    _, a, b = sp.ring("a b", sp.QQ)
    *facts, claim = [p * a + q * b + s for p, q, s in rows]
    if not implied(claim, facts):
        return
    for p, q in itertools.product(range(-6, 7), repeat=2):
        if all(f(p, q) >= 0 for f in facts):
            assert claim(p, q) >= 0


def chamber(*facts, inner=None, infinite=None):
    return Chamber.of([beta, r, ell, x, y], [beta - 1, *facts], inner=inner, infinite=infinite)


def test_signs_that_are_known_and_those_that_are_not():
    known = chamber(x - 2 * y)
    e = known.element
    assert known.sign(e(beta - 1)) == 1
    assert known.sign(e(y - x)) == -1
    assert known.sign(e(x / beta - x / beta)) == 0
    assert known.sign(e((2 * y - x) / (beta * x))) == -1
    with pytest.raises(Exception, match="x"):
        known.sign(e(x - 3 * y))


def test_an_infinite_symbol_is_larger_than_the_rest():
    known = chamber(infinite=x)
    e = known.element
    assert known.sign(e(x - 1000 * beta)) == 1
    assert known.sign(e(r - x)) == -1
    assert known.sign(e(beta + x - x)) == 1


def test_the_larger_order_wins_a_sum_and_equal_ones_add_their_constants():
    known = chamber()
    e = known.element
    small, large = Order(e(-2), 0, sp.Integer(5)), Order(e(-1), 0, sp.Integer(2))
    assert total([small, large], known) == large
    assert total([large, large], known).constant == 4
    assert total([large, Order(e(-1), 1, sp.Integer(1))], known).log == 1
    assert total([Order(None), small], known) == small
    assert total([], known).vanishes


def test_terms_of_one_order_and_both_signs_are_decided_by_constants_or_not_at_all():
    known = chamber()
    e = known.element
    three, two = Order(e(-1), 0, sp.Integer(3)), Order(e(-1), 0, sp.Integer(2))
    assert total([three, two.negative], known) == Order(e(-1), 0, sp.Integer(1))
    assert total([two, three.negative], known).sign == -1
    assert not total([two, two.negative], known).exact
    unknown = Order(e(-1))
    assert not total([two, unknown.negative], known).exact
    assert total([two, Order(e(-1), exact=False)], known).exact  # a bound of the same sign adds to what is attained
    with pytest.raises(ValueError, match="bounded"):
        total([two, two.negative], known).power(sp.Integer(-1))


def test_products_and_powers():
    known = chamber()
    e = known.element
    a, b = Order(e(-2), 1, sp.Integer(3)), Order(e(x), 0, sp.Integer(2), -1)
    assert a * b == Order(e(x - 2), 1, sp.Integer(6), -1)
    assert b.power(sp.Integer(2)) == Order(e(2 * x), 0, sp.Integer(4), 1)
    assert (a * Order(None)).vanishes
    with pytest.raises(ValueError, match="logarithm"):
        a.power(sp.Rational(1, 2))
    with pytest.raises(ValueError, match="negative"):
        b.power(sp.Rational(1, 2))
