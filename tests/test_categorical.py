"""Tokens: published and simulated values, bounds, edges, and what is no distribution."""

import math

import numpy as np
import pytest

import collapse_theory as ct

P = [0.5, 0.3, 0.15, 0.05]


def test_published_value():
    fam = ct.Categorical(P)
    assert abs(fam.total_collapse_probability(T=20, generations=20) - 0.40112878924530804) < 1e-13


def test_survivors_of_many_tokens_by_simulation():
    p = 1 / np.arange(1.0, 2001)
    p /= p.sum()
    fam, T = ct.Categorical(p), 5000  # compressed chain and grouped tokens
    rng = np.random.default_rng(0)
    runs = []
    for _ in range(60):
        q, seen = p, []
        for _ in range(12):
            q = rng.multinomial(T, q / q.sum()) / T
            seen.append((q > 0).sum())
        runs.append(seen)
    theory = fam.expected_survivors(T=T, generations=np.arange(1, 13))
    mean, sem = np.mean(runs, axis=0), np.std(runs, axis=0, ddof=1) / math.sqrt(60)
    assert (np.abs(mean - theory) < 4.5 * sem).all()
    assert (np.abs(mean - 1.02 * theory) > 4.5 * sem).all()  # control: 2 % off is rejected


def test_poisson_bound_is_tight_for_rare_tokens():
    p = np.full(10**4, 1e-4)
    fam = ct.Categorical(p)
    exact, bound = (f(0, T=10**4, generations=[1, 3, 10]) for f in (fam.survival_probability, fam.survival_lower_bound))
    assert (bound <= exact).all()
    np.testing.assert_allclose(bound, exact, rtol=2e-3)


def test_edges():
    fam = ct.Categorical([1.0, 0.0])
    assert fam.mean_collapse_time(T=5) == 0
    assert fam.total_collapse_probability(T=5, generations=[0, 3]).tolist() == [1, 1]
    assert fam.survival_probability(1, T=5, generations=[0, 1]).tolist() == [0, 0]
    fam = ct.Categorical(P)
    assert fam.total_collapse_probability(T=5, generations=0) == 0
    assert fam.total_collapse_probability(T=1, generations=1) == pytest.approx(1, abs=1e-15)
    assert fam.expected_survivors(T=5, generations=0) == 4
    assert fam.total_collapse_probability(T=5, generations=np.zeros((2, 3), int)).shape == (2, 3)


@pytest.mark.parametrize(("call", "words"), [
    (lambda f: ct.Categorical([0.5, 0.6]), "1.1"),
    (lambda f: ct.Categorical([1.2, -0.2]), "-0.2"),
    (lambda f: ct.Categorical([]), "empty"),
    (lambda f: ct.Categorical([0.5, math.nan]), "finite"),
    (lambda f: f.total_collapse_probability(T=0, generations=1), "T"),
    (lambda f: f.total_collapse_probability(T=2.5, generations=1), "integer"),
    (lambda f: f.expected_survivors(T=5, generations=-1), "generations"),
    (lambda f: f.expected_survivors(T=5, generations=1.5), "generations"),
    (lambda f: f.survival_probability(9, T=5, generations=1), "token"),
    (lambda f: ct.workflows.accumulate(2, ct.Stage(T=0)), "T"),
])  # fmt: skip
def test_bad_input(call, words):
    with pytest.raises(ct.CollapseTheoryError, match=words):
        call(ct.Categorical(P))


def test_negative_weights_and_symbols():
    pipe = ct.Pipeline()
    a, b = pipe.sample(T=3), pipe.sample(T=3)
    with pytest.raises(ct.PipelineError, match="weights"):
        pipe.fit([a, b], weights=[1, -1])
    symbolic = ct.workflows.accumulate(2, ct.Stage(T=ct.symbols.T))
    with pytest.raises(ct.PipelineError, match="T"):
        ct.Categorical(P).total_variation(symbolic)


@pytest.mark.parametrize(
    "p", [[[0.5, 0.5]], "ab", 1, None, {"a": 1.0}, [ct.symbols.T, 0.5], [0.5 + 0j, 0.5], np.array([0.5j, 0.5])]
)
def test_what_is_no_distribution(p):
    with pytest.raises(ct.DomainError, match="p needs"):
        ct.Categorical(p)


def test_symbols_where_a_number_is_needed():
    pipe = ct.workflows.replace(1, ct.Stage(T=ct.symbols.T), ct.Stage(T=5))
    with pytest.raises(ct.PipelineError, match="free symbols T"):
        ct.Categorical(P).diversity(pipe)
    with pytest.raises(ct.DomainError, match="T needs"):
        ct.Gaussian().collapse_time(T=ct.symbols.T)
    with pytest.raises(ct.DomainError, match="T needs"):
        ct.Gaussian().variance_law(ct.symbols.T, 3)
    with pytest.raises(ct.DomainError, match="information"):
        ct.Regular(3)


@pytest.mark.parametrize("bad", [1.5, math.inf, math.nan, -1, [2, 2.5], "3", [1, -1], True])
def test_generations_are_counts(bad):
    family = ct.Categorical([0.5, 0.5])
    for ask in (family.total_collapse_probability, family.expected_survivors, family.collapse_time_probability):
        with pytest.raises(ct.DomainError, match="generations"):
            ask(T=5, generations=bad)
    whole = family.expected_survivors(T=5, generations=np.array([0.0, 2.0]))
    np.testing.assert_array_equal(whole, family.expected_survivors(T=5, generations=[0, 2]))
