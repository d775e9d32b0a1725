"""The chain of one token's count under resampling: exact, on a grid, in blocks, and where it cannot be built."""

import itertools

import numpy as np
import pytest

import collapse_theory as ct
from collapse_theory.families import wright_fisher
from collapse_theory.families.wright_fisher import chain


@pytest.mark.parametrize("T", [40, 5_000, 300_000])
def test_the_resampling_chain_keeps_rows_and_means(T):
    """A probability matrix on its states, whatever the blocks it is built in; the mean count stays, its variance is binomial."""
    c = chain(T)
    assert c.step.shape == (len(c.states), len(c.states))
    share = c.states / T
    np.testing.assert_allclose(c.step @ np.ones(len(c.states)), 1, rtol=1e-9)
    np.testing.assert_allclose(c.step @ share, share, rtol=1e-6, atol=1e-12)
    spread = c.step @ (share**2) - share**2
    np.testing.assert_allclose(spread, share * (1 - share) / T, rtol=0.05, atol=1e-14)


@pytest.mark.parametrize("T", [40, 5_000])
def test_the_resampling_chain_does_not_depend_on_the_blocks(T, monkeypatch):
    whole = wright_fisher.chain(T)
    monkeypatch.setattr(wright_fisher, "_BLOCK", 5 * T)
    f, p = np.sqrt(whole.states / T), np.linspace(0, 1, 30)
    np.testing.assert_allclose(wright_fisher.chain.__wrapped__(T).step @ f, whole.step @ f, rtol=1e-12)
    starts = [(whole.start(x) @ f).item() for x in p[:, None]]
    np.testing.assert_allclose(whole.start(p) @ f, starts, rtol=1e-12)


@pytest.mark.parametrize("T", [400, 2000])
def test_grid_of_counts_against_the_full_chain(T):
    full, grid = chain(T), chain(T, exact_rows=50)
    assert full.exact
    assert not grid.exact
    x = np.array([0.5, 0.3, 0.01, 1.5 / T])
    for f in (lambda c: (c.states > 0).astype(float), lambda c: (c.states == c.T).astype(float)):
        a, b = f(full), f(grid)
        for _ in range(300):
            a, b = full.step @ a, grid.step @ b
        np.testing.assert_allclose(grid.start(x) @ b, full.start(x) @ a, atol=1e-10)


@pytest.mark.parametrize("exact_rows", [60, 50])
def test_a_chain_is_built_in_blocks_of_bounded_size(exact_rows, monkeypatch):
    whole, sizes = chain(60, exact_rows), []

    def watched(T, x, low, high):
        sizes.append(high - low + 1)
        return binomials(T, x, low, high)

    binomials = wright_fisher._binomials
    monkeypatch.setattr(wright_fisher, "_binomials", watched)
    for block in (1, 70, 122, 200):
        sizes.clear()
        monkeypatch.setattr(wright_fisher, "_BLOCK", block)
        np.testing.assert_allclose(chain.__wrapped__(60, exact_rows).step, whole.step, rtol=1e-14)
        assert all(rows.sum() <= block or len(rows) == 1 for rows in sizes)
        assert all(rows.sum() + following[0] > block for rows, following in itertools.pairwise(sizes))


def test_jump_by_squaring_is_the_walk():
    fam = ct.Categorical([0.6, 0.4])
    far = fam.total_collapse_probability(T=8, generations=[5, 400])
    walk = fam.total_collapse_probability(T=8, generations=np.arange(401))
    np.testing.assert_allclose(far, walk[[5, 400]], atol=1e-13)


def test_a_chain_that_cannot_be_built_is_refused():
    with pytest.raises(ct.DomainError, match=r"T <= 1e\+07.*fewer rows"):
        ct.Categorical([0.5, 0.5]).mean_collapse_time(T=10**9)
