"""Linear systems solved without subtractions keep every digit."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from collapse_theory.numerics.complements import eliminate


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(1, 5), st.integers(0, 2**32 - 1), st.floats(-30, 0))
def test_elimination_without_subtractions(size, seed, exponent):
    """Nearly singular M-matrices: residual zero in exact arithmetic, where plain elimination has no digit left."""
    from fractions import Fraction

    rng = np.random.default_rng(seed)
    entries = rng.uniform(size=(size, size))
    v, slack = rng.uniform(0.5, 2, size), rng.uniform(size=size) * 10**exponent
    off = {(i, j): float(entries[i, j]) for i in range(size) for j in range(size) if i != j}
    right = rng.uniform(0.1, 1, size)
    exact = eliminate(
        {k: Fraction(x) for k, x in off.items()}, *([Fraction(float(x)) for x in y] for y in (v, slack, right))
    )
    np.testing.assert_allclose(eliminate(off, list(v), list(slack), list(right)), [float(x) for x in exact], rtol=1e-14)
    matrix = [
        [
            (Fraction(slack[i]) + sum(Fraction(off[i, n]) * Fraction(v[n]) for n in range(size) if n != i))
            / Fraction(v[i])
            if i == j
            else -Fraction(off[i, j])
            for j in range(size)
        ]
        for i in range(size)
    ]
    assert [sum(a * x for a, x in zip(row, exact, strict=True)) for row in matrix] == [Fraction(x) for x in right]
