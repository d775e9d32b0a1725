"""A law is found where there is one, and only there."""

import pytest
from sympy import Integer, Tuple
from sympy.abc import i, n, x, y

from collapse_theory.algebra.progressions import Stretch, law, runs, written_out


def sequences(build, counts=(4, 5, 6, 7)):
    return {c: build(c) for c in counts}


def test_numbers_are_affine_in_every_index_or_one_over_that():
    places = [(a, c) for c in (3, 4, 5) for a in range(2, c)]
    values = {(a, c): (2 * a - c + 5) * x + y ** (a + 3) / (c + a) for a, c in places}
    assert law(values, (i, n)) == (2 * i - n + 5) * x + y ** (i + 3) / (n + i)
    assert law({**values, places[-1]: values[places[-1]] + x}, (i, n)) is None
    assert law({(a,): a**2 * x for a in range(2, 6)}, (i,)) is None
    assert law({(2,): x + y, (3,): x * y}, (i,)) is None
    assert law({(2,): x, (3,): y}, (i,)) is None


def test_the_ends_may_differ():
    found = runs(sequences(lambda c: [Tuple(x), *(Tuple(x * j, c) for j in range(2, c + 1)), Tuple(y * c)]), i, n)
    assert found == (
        Stretch(Integer(1), Tuple(x), Integer(1), Integer(1)),
        Stretch(i, Tuple(x * i, n), Integer(2), n),
        Stretch(n + 1, Tuple(y * n), n + 1, n + 1),
    )
    assert written_out(found, n, 3) == [Tuple(x), Tuple(2 * x, 3), Tuple(3 * x, 3), Tuple(3 * y)]
    assert written_out(found, n, 0) is None  # the last place is the first


def test_an_end_that_obeys_the_law_belongs_to_it():
    (only,) = runs(sequences(lambda c: [j * x for j in range(1, c + 1)]), i, n)
    assert (only.element, only.first, only.last) == (i * x, 1, n)


def test_sequences_of_one_length_have_a_law_each():
    found = runs(sequences(lambda c: [c * x, y]), i, n)
    assert [(run.index, run.element) for run in found] == [(1, n * x), (2, y)]


@pytest.mark.parametrize(
    "build",
    [
        lambda c: [x * (j if c < 7 else j + 1) for j in range(1, c + 1)],  # the check fails
        lambda c: [x * j**2 for j in range(1, c + 1)],
        lambda c: [x] * (2 * c),  # two a round
        lambda c: [x * 2**c, *([x] * c)],
    ],
)
def test_there_need_not_be_one(build):
    assert runs(sequences(build), i, n) is None
