"""How many rows synthetic ones are worth: efficiency, the most rows allowed, the best weight, each against its definition."""

import math

import numpy as np
import pytest
import sympy as sp

import collapse_theory as ct
from collapse_theory.families.efficiency import (
    best_stationary_weight,
    effective_sample_size,
    largest_synthetic,
    optimal_weights,
    relative_efficiency,
)
from collapse_theory.symbols import T0, T
from tests import reference as ref

W, Stage = ct.workflows, ct.Stage


def unequal():
    """Three fits on 20, 50 and 20 + 50 rows, so that no two row counts can stand for each other."""
    pipe = ct.Pipeline()
    first = pipe.sample(T=20)
    m1 = pipe.fit(first)
    second = pipe.sample(T=50, source=m1)
    m2 = pipe.fit(second)
    return pipe, m1, m2, pipe.fit([first, second])


def test_efficiency_is_the_variance_of_a_clean_fit_on_the_first_rows_over_that_of_the_model():
    pipe, m1, m2, m3 = unequal()
    variances = {m1: 1 / 20, m2: 1 / 20 + 1 / 50, m3: 1 / 20 + (5 / 7) ** 2 / 50}
    for model, variance in variances.items():
        assert effective_sample_size(pipe, ct.Regular(), model) == pytest.approx(1 / variance)
        assert relative_efficiency(pipe, ct.Regular(), model) == pytest.approx(1 / 20 / variance)
    assert relative_efficiency(pipe, ct.Regular()) == pytest.approx(1 / 20 / variances[m3])
    tokens = 1 - (1 - 1 / 20) * (1 - 1 / 50)
    assert effective_sample_size(pipe, ct.Categorical([0.5, 0.5]), m2) == pytest.approx(1 / tokens)


def test_efficiency_with_symbols():
    pipe = W.replace(1, Stage(T=T0), Stage(T=T))
    assert sp.simplify(effective_sample_size(pipe, ct.Regular()) - T * T0 / (T + T0)) == 0
    assert sp.simplify(relative_efficiency(pipe, ct.Regular()) - T / (T + T0)) == 0


@pytest.mark.parametrize("kind", ["regular", "token"])
@pytest.mark.parametrize("generations", [1, 2, 7])
def test_largest_synthetic_after_some_rounds_by_trying_every_number(kind, generations):
    family = ct.Regular() if kind == "regular" else ct.Categorical([0.5, 0.5])

    def error(rows):
        return ref.family_error("keep-real", kind, T=30, n=generations, T0=rows) * (1 if kind == "regular" else 30)

    most = max(float(error(rows)) for rows in range(1, 200))
    for factor in (1.0, 1.1, (1 + most) / 2):
        allowed = next((rows - 1 for rows in range(1, 200) if error(rows) > factor + 1e-12), math.inf)
        assert largest_synthetic(family, T=30, factor=factor, generations=generations) == allowed
    assert largest_synthetic(family, T=30, factor=most + 0.001, generations=generations) == math.inf
    assert largest_synthetic(family, T=30, factor=1.0, generations=generations, real_data="fresh") == math.inf


def test_largest_synthetic_takes_a_factor_that_is_met_exactly():
    """With m = oo the factor of fixed real data is ``1 + T0/(T + 2 T0)``."""
    factors = [1 + sp.Rational(rows, 10 + 2 * rows) for rows in (1, 2, 3)]
    assert [largest_synthetic(ct.Regular(), T=10, factor=f) for f in factors] == [1, 2, 3]
    assert [largest_synthetic(ct.Regular(), T=10, factor=f - sp.Rational(1, 10**6)) for f in factors] == [0, 1, 2]


@pytest.mark.parametrize(("change", "word"), [
    ({"T": 1}, "T needs"), ({"T": T}, "T needs"), ({"factor": 0.99}, "factor"), ({"real_data": "old"}, "real_data"),
    ({"generations": 0}, "generations"), ({"generations": 1.5}, "generations"),
])  # fmt: skip
def test_largest_synthetic_refuses(change, word):
    with pytest.raises(ct.DomainError, match=word):
        largest_synthetic(ct.Regular(), **{"T": 30, "factor": 1.2, **change})


@pytest.mark.parametrize("kind", ["regular", "token"])
@pytest.mark.parametrize("rows", [(100, 100), (100, 30), (40, 200)])
def test_best_weight_of_fresh_real_data_has_the_least_limit(kind, rows):
    family = ct.Regular() if kind == "regular" else ct.Categorical([0.5, 0.5])
    best = float(best_stationary_weight(family).subs({T: rows[0], T0: rows[1]}))
    at = [
        ref.family_error("fresh-real", kind, T=rows[0], T0=rows[1], n=200, w=best + step) for step in (-0.01, 0, 0.01)
    ]
    assert 0 < best < 1
    assert at[1] < min(at[0], at[2])
    assert abs(at[0] - at[2]) < 0.2 * (at[0] - at[1])


def test_efficiency():
    pipe = W.accumulate(3, Stage(T=100))
    assert abs(effective_sample_size(pipe, ct.Regular()) - 100 * 36 / 49) < 1e-10
    assert abs(relative_efficiency(pipe, ct.Regular()) - 36 / 49) < 1e-12
    best = optimal_weights(W.fresh_real(40, Stage(T=100), Stage(T=100)), ct.Regular())
    assert abs(best.shares[-1][0] - (5**0.5 - 1) / 2) < 1e-9
    # every schedule: no other weights do better
    pipe = ct.Pipeline()
    last, rng = ct.TRUTH, np.random.default_rng(0)
    for rows in (10, 40, 20):
        last = pipe.fit([pipe.sample(T=rows), pipe.sample(T=2 * rows, source=last)])
    least = optimal_weights(pipe, ct.Regular()).variances[-1]
    for _ in range(50):
        other, last = ct.Pipeline(), ct.TRUTH
        for rows in (10, 40, 20):
            last = other.fit(
                [other.sample(T=rows), other.sample(T=2 * rows, source=last)], weights=rng.random(2) + 0.01
            )
        assert least <= float(ct.covariances(other, family=ct.Regular())[-1, -1]) + 1e-12


def test_largest_synthetic():
    for fam in (ct.Regular(), ct.Categorical([0.5, 0.5])):
        rows = largest_synthetic(fam, T=100, factor=1.25)
        for size, within in ((rows, True), (rows + 1, False)):
            c = ct.covariances(W.keep_real(400, Stage(T=100), Stage(T=int(size))), family=fam)[-1, -1]
            assert bool(c * 100 <= 1.25 + 1e-12) is within
        assert largest_synthetic(fam, T=100, factor=1) == 0
        assert largest_synthetic(fam, T=100, factor=1.5) == float("inf")
        assert largest_synthetic(fam, T=100, factor=1, real_data="fresh") == float("inf")
