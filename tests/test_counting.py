"""Counts of operations say how an evaluation grows with rounds, effective ridges and directions."""

import collapse_theory as ct
from collapse_theory.numerics.counting import count_operations
from collapse_theory.numerics.measure import Measure
from collapse_theory.numerics.plan import compile_plan
from collapse_theory.symbols import d
from tests.helpers import TARGET, bound, drawn, theorem
from tests.points import D


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
