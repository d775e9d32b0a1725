"""Rates of collapse against the eigenvalues of the resampling chain, and the leading order of the time they take."""

import math

import numpy as np
import pytest

import collapse_theory as ct
from collapse_theory.families.collapse_rates import eigenvalue
from collapse_theory.families.wright_fisher import chain
from collapse_theory.symbols import T


def test_rates_of_collapse_are_the_eigenvalues_of_the_resampling_chain():
    """Two tokens and six rows: the (T+1)-state chain by its definition."""
    rows = 6
    j = np.arange(rows + 1)
    step = np.array([[math.comb(rows, k) * (i / rows) ** k * (1 - i / rows) ** (rows - k) for k in j] for i in j])
    second, third = np.sort(np.abs(np.linalg.eigvals(step)))[::-1][2:4]
    rates = ct.Categorical([0.5, 0.5]).collapse_rates()
    at = {T: rows}
    assert float(rates.per_generation.subs(at)) == pytest.approx(-math.log(second))
    assert float(rates.half_life.subs(at)) == pytest.approx(math.log(0.5) / math.log(second))
    assert float(rates.onset.subs(at)) == pytest.approx(-math.log(third / second))
    assert rates.error_exponent == 1
    weights = np.array([0.5, 0.3, 0.2])
    leading = ct.Categorical(weights).collapse_rates().collapse_time.subs({T: 100})
    assert float(leading) == pytest.approx(-200 * ((1 - weights) * np.log(1 - weights)).sum())


def test_eigenvalues_of_the_chain():
    rows = 12
    value = np.sort(np.linalg.eigvals(np.asarray(chain(rows).step)).real)[::-1]
    want = [1.0, *(float(eigenvalue(j, rows)) for j in range(1, rows + 1))]
    np.testing.assert_allclose(value, sorted(want, reverse=True), atol=1e-10)


def test_mean_collapse_time_and_its_leading_order():
    fam = ct.Categorical([0.5, 0.3, 0.15, 0.05])
    rates = fam.collapse_rates()
    for rows, rel in ((100, 0.03), (1000, 0.003)):
        assert abs(fam.mean_collapse_time(T=rows) / float(rates.collapse_time.subs({T: rows})) - 1) < rel
    curve = fam.total_collapse_probability(T=30, generations=[300, 301])
    ratio = (1 - curve[1]) / (1 - curve[0])
    assert abs(-math.log(ratio) - float(rates.per_generation.subs({T: 30}))) < 1e-6
