"""Plans are data, and every arithmetic interprets every plan."""

import pickle
from dataclasses import fields, is_dataclass

import mpmath
import numpy as np
import pytest
from sympy import Basic

import collapse_theory as ct
from collapse_theory.numerics.counting import count_operations
from collapse_theory.numerics.digits import Digits
from collapse_theory.numerics.interpreter import interpret
from collapse_theory.numerics.measure import Measure
from collapse_theory.numerics.plan import compile_plan
from collapse_theory.symbols import lam
from tests.helpers import TARGET, bound, drawn, theorem


def three_ways(err, spectra, values):
    """Return the value of a formula's plan in float64, in digits, and its count of operations."""
    plan = compile_plan(err.parts)
    target = None if spectra is None else TARGET
    evaluated = err.evaluate(spectrum=spectra, target=target, **values)
    context = mpmath.MPContext()
    context.dps = 40
    digits = Digits(context)
    exact = None if spectra is None else Measure.exact(spectra, target, context)
    inputs = bound(err, values)
    found = interpret(plan, digits, exact, {x: digits.number(v) for x, v in inputs.items()})
    measure = None if spectra is None else Measure.of(spectra, target)
    return evaluated, context.fsum(found.values()), count_operations(plan, measure, inputs)


def is_data(x):
    """Say whether something is made of symbols, numbers, names and tuples alone."""
    if x is None or isinstance(x, (Basic, str, int, bool)):
        return True
    if isinstance(x, tuple):
        return all(map(is_data, x))
    return is_dataclass(x) and all(is_data(getattr(x, f.name)) for f in fields(x))


CASES = {slug: (theorem, slug) for slug in ct.catalog} | {f"pipeline {seed}": (drawn, seed) for seed in range(20)}


@pytest.mark.parametrize("name", CASES)
def test_every_plan_is_data_and_interpreted_in_three_arithmetics(name):
    make, key = CASES[name]
    err, spectra, values = make(key)
    plan = compile_plan(err.parts)
    assert is_data(plan)
    again = pickle.loads(pickle.dumps(plan))
    assert again == plan
    assert hash(again) == hash(plan)
    assert str(plan).count("\n") == len(plan.steps) + len(plan.outputs) - 1
    evaluated, digits, count = three_ways(err, spectra, values)
    assert evaluated == pytest.approx(float(digits), rel=1e-12)
    assert evaluated * (1 + 1e-9) != pytest.approx(float(digits), rel=1e-12)
    assert sum(count.values()) > 0
    assert three_ways(err, spectra, values)[2] == count


def test_what_is_no_data_is_seen():
    assert not is_data((lam, abs))
    assert not is_data(np.ones(2))


def test_equal_formulas_have_equal_plans():
    first, other = (compile_plan(ct.catalog[slug].error.parts) for slug in ("ridge-replace", "ridge-chain"))
    assert compile_plan(ct.catalog["ridge-replace"].error.parts) == first != other


def test_slopes_are_plans_too():
    err, spectra, values = drawn(2)
    evaluated, digits, count = three_ways(err.diff("lam"), spectra, values)
    assert evaluated == pytest.approx(float(digits), rel=1e-10)
    assert "slope along" in str(compile_plan(err.diff("lam").parts))
    assert sum(count.values()) > sum(three_ways(err, spectra, values)[2].values())
