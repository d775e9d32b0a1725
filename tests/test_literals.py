"""A symbol for every number, and only the nodes a fit needs."""

import collapse_theory as ct
from collapse_theory.describe.literals import without_literals


def test_numbers_become_symbols_and_only_what_is_needed_is_kept():
    pipe = ct.workflows.replace(3, ct.Stage(T=9, noise=0.5), ct.Stage(T=9, noise=0.5, ridge=0.1))
    copy, fit, numbers = without_literals(pipe, pipe.fits[1])
    assert len(copy.fits) == 2
    assert copy.fits[-1] == fit
    assert sorted(map(str, numbers.values())) == ["0.500000000000000", "9"]
