"""Powers of a generation operator on a few eigenvalues: by secular roots as printed, by the recursion as evaluated."""

import pickle

import mpmath
import numpy as np
import pytest
import sympy as sp

import collapse_theory as ct
from collapse_theory.algebra.secular import RankOneUpdate, SecularSum
from collapse_theory.derive.atomic_chain import AtomicChain
from collapse_theory.symbols import SecularRoot, d

a, b = sp.symbols("a b", positive=True)
VALUES = {"T": 40, "T0": 25, "lam": 0.05, "lam0": 0.2, "sigma": 0.5, "sigma0": 0.7}
ATOMS = {"d": 30, "a": 5.0, "b": 2.0, "w2_1": 0.7, "w2_2": 0.4, "w2_bulk": 2.5}
CHAIN = ct.catalog["ridge-chain"].error
OVER = ct.catalog["ridge-replace-overparametrized"].error


def closed_values(closed, **values):
    return {k: v for k, v in {**VALUES, **ATOMS, **values}.items() if k in {x.name for x in closed.free_symbols}}


def numbers(err, spikes, **values):
    """Return the value of a formula on the spectrum in numbers."""
    own = {x.name for x in err.free_symbols}
    spectrum = ct.Spiked(30, [ATOMS[str(x)] for x in spikes])
    heads = [ATOMS[f"w2_{j + 1}"] for j in range(len(spikes))]
    rest = 30 - len(spikes)
    target = ct.Energies([*heads, *[ATOMS["w2_bulk"] / rest] * rest])
    given = {k: v for k, v in {**VALUES, **values}.items() if k in own}
    return err.evaluate(spectrum=spectrum, target=target, **given)


@pytest.mark.parametrize("err", [CHAIN, OVER], ids=["chain", "over"])
@pytest.mark.parametrize("spikes", [[a], [a, b]], ids=["two", "three"])
def test_a_chain_on_few_eigenvalues_keeps_its_number_of_fits(err, spikes):
    closed = err.doit(ct.Spiked(d, spikes))
    assert closed.expr.has(AtomicChain)
    assert ct.symbols.n in closed.free_symbols
    for n in (0, 1, 7, 10**6):
        assert closed.evaluate(**closed_values(closed, n=n)) == pytest.approx(numbers(err, spikes, n=n), rel=1e-13)
    many = closed.evaluate(**closed_values(closed, n=[0, 1, 7]))
    np.testing.assert_allclose(many, [numbers(err, spikes, n=n) for n in (0, 1, 7)], rtol=1e-13)


def exactly(e, at):
    """Return an expression at numbers, in 40 digits, evaluated by a plan of its own."""
    formula = ct.ErrorFormula({"x": e}, "exact")
    return formula.evaluate(digits=40, **{k: v for k, v in at.items() if k in {x.name for x in formula.free_symbols}})


@pytest.mark.parametrize("n", [0, 1, 30])
def test_what_is_printed_is_what_is_evaluated_on_two_eigenvalues(n):
    """The written-out roots, in 40 digits, against the recursion."""
    closed = CHAIN.doit(ct.Spiked(d, [a]))
    written = closed.expr.doit()
    assert not written.has(AtomicChain, SecularSum)
    at = closed_values(closed, n=n)
    assert float(exactly(written, at)) == pytest.approx(closed.evaluate(**at), rel=1e-13)


def test_on_three_eigenvalues_too():
    """The printed sum, over the roots of the printed equation that mpmath finds."""
    closed = CHAIN.doit(ct.Spiked(d, [a, b]))
    at = closed_values(closed, n=6)
    out = closed.parts["variance"].doit()
    (part,) = out.atoms(SecularSum)
    summand, e, poles = part.args
    x = sp.Symbol("x", positive=True)
    with mpmath.workdps(40):
        pairs = [tuple(exactly(y, at) for y in pole) for pole in poles]
        diagonal = mpmath.diag([D for D, _ in pairs])
        z = mpmath.matrix([mpmath.sqrt(y) for _, y in pairs])
        roots = list(mpmath.eigsy(diagonal + z * z.T, eigvals_only=True))
        assert len(roots) == 3
        assert all(0 < y < 1 for y in roots)
        assert all(abs(1 - sum(y / (root - D) for D, y in pairs)) < 1e-30 for root in roots)
        total = sum(exactly(summand.xreplace({e: x}), {**at, "x": root}) for root in roots)
        value = exactly(out.xreplace({part: x}), {**at, "x": total})
    assert float(value) == pytest.approx(closed.evaluate(terms=True, **at)["variance"], rel=1e-13)


def test_the_sum_over_roots_is_the_power_of_the_matrix():
    diagonal, column, row, M = [0.5, 0.2], [0.3, 0.1], [0.4, 0.7], [1.0, 2.0]
    matrix = np.diag(diagonal) + np.outer(column, row)
    operator = RankOneUpdate(*([sp.Rational(str(x)) for x in y] for y in (diagonal, column, row)), SecularRoot())
    vector = [sp.Rational(str(x)) for x in M]
    got = [float(x.doit()) for x in operator.power(vector, sp.Integer(5))]
    np.testing.assert_allclose(got, np.linalg.matrix_power(matrix, 5) @ M, rtol=1e-13)
    total = sum(np.array(row) @ np.linalg.matrix_power(matrix, k) @ M for k in range(5))
    assert float(operator.measured_sum(vector, sp.Integer(5)).doit()) == pytest.approx(total, rel=1e-13)
    assert float(operator.measured_sum(vector, sp.Integer(4)).doit()) != pytest.approx(total, rel=1e-3)


def test_eigenvalues_may_meet():
    """A spike that is one of the bulk is no spike, by value and by substitution."""
    closed = CHAIN.doit(ct.Spiked(d, [a]))
    at = closed_values(closed, n=5, a=1.0)
    want = CHAIN.evaluate(spectrum=ct.Isotropic(30), target=ct.Energies([0.7, *[2.5 / 29] * 29]), n=5, **VALUES)
    assert closed.evaluate(**at) == pytest.approx(want, rel=1e-13)
    del at["a"]
    assert closed.subs({"a": 1}).evaluate(**at) == pytest.approx(want, rel=1e-13)


def test_generators_without_ridge_and_with_many_rows():
    closed = CHAIN.doit(ct.Spiked(d, [a]))
    at = closed_values(closed, n=50, lam0=0.0, T0=60)
    assert closed.evaluate(**at) == pytest.approx(numbers(CHAIN, [a], n=50, lam0=0.0, T0=60), rel=1e-13)


def test_derivatives_are_those_of_the_formula_and_none_by_the_spectrum():
    closed = CHAIN.doit(ct.Spiked(d, [a]))
    for name in ("lam", "lam0", "T0", "sigma0"):
        got = closed.diff(name).evaluate(**closed_values(closed, n=4))
        assert got == pytest.approx(numbers(CHAIN.diff(name), [a], n=4), rel=1e-12)
    with pytest.raises(ct.DomainError, match="no derivative by its spectrum"):
        closed.diff("a")


def test_it_prints_the_secular_equation_and_pickles():
    closed = CHAIN.doit(ct.Spiked(d, [a]))
    printed = closed.latex()
    assert r"1 &= \frac{g_{1} h_{1}}{e - D_{1}} + \frac{g_{2} h_{2}}{e - D_{2}}" in printed
    assert r"\sum_{e} \frac{e^{n}" in printed
    assert r"\mathcal{G}" not in printed
    again = pickle.loads(pickle.dumps(closed))
    assert again.expr == closed.expr
    assert again.latex() == printed
