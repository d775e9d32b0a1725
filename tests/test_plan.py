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
from collapse_theory.symbols import d, lam, sigma
from tests.points import POINTS

D = 12
SPECTRUM, OTHER = ct.PowerLaw(D, beta=1.2), ct.Eigenvalues(np.linspace(2, 0.2, D))
TARGET = ct.Energies(np.linspace(1, 2, D))


def theorem(slug):
    """Return a theorem's formula, its spectra and the values of its test point."""
    err = ct.catalog[slug].error
    needs = err.family is None
    spectra = {"Sigma": SPECTRUM} | ({"Delta": OTHER} if slug.endswith("strong-collapse") else {})
    return err, spectra if needs else None, POINTS[slug].values


def drawn(seed):
    """Return the formula of a drawn pipeline: chains, pooled fits and reused inputs, on one covariance or two."""
    rng = np.random.default_rng([seed, 13])
    pipe, samples, fits = ct.Pipeline(), [], []
    for _ in range(rng.integers(1, 4)):
        source = 0.7 * fits[-1] + 0.3 * ct.TRUTH if fits and rng.random() < 0.5 else fits[-1] if fits else ct.TRUTH
        where = {"T": int(rng.choice([8, 20, 35]))}
        if seed % 4 == 3:
            where["covariance"] = str(rng.choice(["Sigma", "Sigma1"]))
        if samples and rng.random() < 0.3:
            where = {"design": samples[0]}
        samples.append(pipe.sample(noise=sigma, source=source, **where))
        pooled = [samples[-1]] if seed % 4 == 0 else [samples[i] for i in {0, len(samples) - 1}]
        fits.append(pipe.fit(pooled, ridge=lam if rng.random() < 0.5 else 0.1))
    pipe.fit(pipe.sample(T=18, noise=sigma, source=fits[-1]), ridge=lam)
    spectra = {"Sigma": SPECTRUM, "Sigma1": OTHER} if seed % 4 == 3 else {"Sigma": SPECTRUM}
    return ct.test_error(pipe), spectra, {"lam": 0.07, "sigma": 0.3}


def bound(err, values):
    """Return the values of all symbols of a formula, exactly."""
    known = {x: values[x.name] for x in err.free_symbols if x.name in values}
    return known | dict(err.numbers) | ({d: D} if d in err.free_symbols else {})


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


def counted(slug, **values):
    err, spectra, point = theorem(slug)
    return count_operations(compile_plan(err.parts), Measure.of(spectra, TARGET), bound(err, point | values))


def test_counts_of_a_closed_form_do_not_depend_on_the_number_of_generations():
    assert counted("ridge-replace", n=2) == counted("ridge-replace", n=50)


def test_counts_of_a_recursion_grow_with_it_by_the_same_amount():
    totals = [sum(counted("ridge-chain", n=n).values()) for n in (2, 3, 4)]
    assert totals[2] - totals[1] == totals[1] - totals[0] > 0


def test_a_solve_is_counted_once_for_each_effective_ridge():
    count = counted("ridge-replace")
    assert count["solves"] == 1
    assert count["nodes"] == D * count["integrals"]


def test_counts_of_a_pooled_system_grow_with_the_directions():
    err, _, values = drawn(2)
    plan = compile_plan(err.parts)
    counts = [
        count_operations(
            plan, Measure.of(ct.PowerLaw(size, beta=1.2), ct.RandomTarget()), bound(err, values) | {d: size}
        )
        for size in (6, 12, 18)
    ]
    totals = [c["multiplications"] for c in counts]
    assert totals[2] - totals[1] == totals[1] - totals[0] > 0
    assert counts[0]["solves"] == counts[1]["solves"]


def test_slopes_are_plans_too():
    err, spectra, values = drawn(2)
    evaluated, digits, count = three_ways(err.diff("lam"), spectra, values)
    assert evaluated == pytest.approx(float(digits), rel=1e-10)
    assert "slope along" in str(compile_plan(err.diff("lam").parts))
    assert sum(count.values()) > sum(three_ways(err, spectra, values)[2].values())
