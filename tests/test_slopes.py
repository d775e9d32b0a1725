"""Derivatives of scalars that are evaluated by recursion, against differences of 50 digits."""

import pickle

import mpmath
import pytest

import collapse_theory as ct
from collapse_theory.derive.labeller_scalars import PooledBias
from collapse_theory.derive.slopes import Slope
from collapse_theory.symbols import T, lam, perturbation, sigma

KW = {"spectrum": ct.PowerLaw(12, beta=1.2), "target": ct.SourceTarget(r=0.5)}
VALUES = {"T": 30, "lam": 0.1, "sigma": 0.3}


def pooled(rounds):
    """Return fits that pool a sample of their own with one labelled by the previous fit."""
    pipe = ct.Pipeline()
    last = pipe.fit(pipe.sample(T=T, noise=sigma), ridge=lam)
    for _ in range(rounds):
        last = pipe.fit([pipe.sample(T=T, noise=sigma, source=last), pipe.sample(T=9, noise=sigma)], ridge=lam)
    return ct.test_error(pipe)


def shared():
    """Return two fits that share a sample."""
    pipe = ct.Pipeline()
    real = pipe.sample(T=T, noise=sigma)
    first = pipe.fit(real, ridge=lam)
    pipe.fit([real, pipe.sample(T=20, noise=sigma, source=first)], ridge=2 * lam)
    return ct.test_error(pipe)


CASES = {
    "chain": ct.catalog["ridge-chain"].error.subs({"n": 5, "T0": 8, "lam0": lam, "sigma0": sigma}),
    "pooled": pooled(4),
    "shared": shared(),
}


def difference(err, name, values):
    with mpmath.workdps(60):
        h = mpmath.mpf(10) ** -20
        up, down = (err.evaluate(digits=60, **KW, **{**values, name: mpmath.mpf(values[name]) + e}) for e in (h, -h))
        return (up - down) / (2 * h)


@pytest.mark.parametrize("name", ["T", "lam", "sigma"])
@pytest.mark.parametrize("case", CASES)
def test_slopes_are_those_of_fifty_digits(case, name):
    err = CASES[case]
    got, want = err.diff(name).evaluate(**KW, **VALUES), difference(err, name, VALUES)
    assert float(abs(got / want - 1)) < 1e-11
    assert float(abs(got * 1.0001 / want - 1)) > 1e-5
    assert float(abs(err.diff(name).evaluate(digits=15, **KW, **VALUES) / want - 1)) < 1e-14


def test_the_cases_are_the_three_recursions():
    assert {type(s.scalar).__name__ for err in CASES.values() for e in err.diff("lam").parts.values() for s in e.atoms(Slope)} == {
        "ChainBias", "ChainVariance", "PipelineBias", "PipelineVariance", "PooledBias", "PooledVariance",
    }  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_substitution_and_differentiation_commute(case):
    err = CASES[case]
    chained = err.subs({"lam": 3 * lam}).diff("lam").evaluate(**KW, **{**VALUES, "lam": 0.1 / 3})
    assert chained == pytest.approx(3 * err.diff("lam").evaluate(**KW, **VALUES), rel=1e-12)
    after = err.diff("lam").subs({"lam": 3 * lam}).evaluate(**KW, **{**VALUES, "lam": 0.1 / 3})
    assert after == pytest.approx(err.diff("lam").evaluate(**KW, **VALUES), rel=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_slopes_pickle_broadcast_and_keep_their_symbol_bound(case):
    slope = CASES[case].diff("lam")
    assert pickle.loads(pickle.dumps(slope)).expr == slope.expr
    assert perturbation not in slope.expr.free_symbols
    values = {**VALUES, "lam": [0.1, 0.4]}
    want = [slope.evaluate(**KW, **{**VALUES, "lam": x}) for x in (0.1, 0.4)]
    assert slope.evaluate(**KW, **values) == pytest.approx(want, rel=1e-12)


def test_the_ridgeless_slope_is_one_sided():
    slope = CASES["shared"].diff("lam")
    for rows in (5, 30):
        at_zero, near = (slope.evaluate(**KW, T=rows, lam=x, sigma=0.3) for x in (0, 1e-12))
        assert at_zero == pytest.approx(near, rel=1e-6)


def test_second_derivatives_of_recursions_are_refused():
    with pytest.raises(ct.DomainError, match="written out"):
        CASES["pooled"].diff("lam").diff("lam")
    assert CASES["pooled"].parts["bias"].has(PooledBias)
    assert ct.catalog["ridge-clean"].error.diff("lam").diff("lam").evaluate(**KW, **VALUES) != 0


@pytest.mark.parametrize("ridge", [1e-6, 1e-9, 1e-13])
def test_slopes_near_a_threshold_at_tiny_ridges(ridge):
    """With as many rows as directions the error is like one over the root of the ridge: no step of fixed size resolves it."""
    pipe = ct.Pipeline()
    first = pipe.sample(T=12, noise=0.3)
    pipe.fit(pipe.sample(design=first, noise=0.3, source=pipe.fit(first, ridge=lam)), ridge=lam)
    err = ct.test_error(pipe, method="free-probability")
    got, want = err.diff("lam").evaluate(**KW, lam=ridge), difference(err, "lam", {"lam": ridge})
    assert float(abs(got / want - 1)) < 1e-9
    assert float(abs(got * 1.0001 / want - 1)) > 1e-5
    assert float(abs(err.diff("lam").evaluate(digits=15, **KW, lam=ridge) / want - 1)) < 1e-9
