"""What the helpers around the theorems return, each against its definition in numbers."""

import math

import numpy as np
import pytest
import sympy as sp

import collapse_theory as ct
from collapse_theory.families.efficiency import (
    best_stationary_weight,
    effective_sample_size,
    largest_synthetic,
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


# ---------------------------------------------------------------- collapse of Gaussians and tokens
@pytest.mark.parametrize("d", [1, 2, 5])
@pytest.mark.parametrize("below", [0.5, 0.01])
def test_typical_collapse_time_is_the_first_round_whose_mean_logarithm_is_below(d, below):
    """Per direction, from the mean log-determinant of an explicit chain; the mean variance takes longer."""
    family = ct.Gaussian(d)
    m = family.collapse_time(T=20, below=below, typical=True)

    def per_direction(rounds):
        return float(family.expected_log_determinant(W.replace(rounds - 1, Stage(T=20), Stage(T=20)))) / d

    assert per_direction(m) <= math.log(below)
    assert m == 1 or per_direction(m - 1) > math.log(below)
    mean = family.collapse_time(T=20, below=below)
    assert (1 - 1 / 20) ** mean <= below < (1 - 1 / 20) ** (mean - 1)
    assert m < mean


def test_collapse_time_at_the_edges():
    assert ct.Gaussian().collapse_time(T=1) == 1
    assert ct.Gaussian(3).collapse_time(T=4, typical=True) >= 1
    for call in (
        lambda: ct.Gaussian(3).collapse_time(T=3, typical=True),
        lambda: ct.Gaussian().collapse_time(T=1, typical=True),
        lambda: ct.Gaussian().collapse_time(T=5, below=1),
        lambda: ct.Gaussian().collapse_time(T=5, below=0),
        lambda: ct.Gaussian(3).expected_log_determinant(W.replace(0, downstream=Stage(T=3))),
    ):
        with pytest.raises(ct.DomainError):
            call()
    assert math.isfinite(float(ct.Gaussian(3).expected_log_determinant(W.replace(0, downstream=Stage(T=4)))))


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


# ---------------------------------------------------------------- conditions of pipelines with symbols
def test_ranges_of_symbolic_rows_noise_ridge_and_weights_are_checked():
    lam, lam0, sigma, sigma0, w = (getattr(ct.symbols, x) for x in ("lam", "lam0", "sigma", "sigma0", "w"))
    how = {"spectrum": ct.Isotropic(5), "target": ct.RandomTarget()}
    pipe = ct.Pipeline()
    a, b = pipe.sample(T=T - 20, noise=sigma - sigma0), pipe.sample(T=30, noise=sigma)
    pipe.fit([a, b], weights=[w, 1 - w], ridge=lam - lam0)
    err = ct.test_error(pipe)
    right = {"T": 60, "sigma": 0.5, "sigma0": 0.5, "lam": 0.5, "lam0": 0.2, "w": 0.9}
    assert err.evaluate(**how, **right) > 0
    for bad in ({"T": 20}, {"sigma0": 0.500001}, {"lam0": 0.500001}, {"w": 1.000001}):
        with pytest.raises(ct.DomainError, match="needs"):
            err.evaluate(**how, **{**right, **bad})


@pytest.mark.parametrize("family", [ct.Regular(), ct.Gaussian(), ct.Categorical([0.5, 0.5])])
def test_rows_of_the_scalar_families_are_at_least_one(family):
    err = ct.test_error(W.replace(1, Stage(T=T0), Stage(T=T)), family=family)
    assert err.evaluate(T=1, T0=1) > 0
    for bad in ({"T": 0.5, "T0": 1}, {"T": 1, "T0": 0.5}):
        with pytest.raises(ct.DomainError, match=">= 1"):
            err.evaluate(**bad)


# ---------------------------------------------------------------- long batches
@pytest.mark.parametrize("slug", ["ridge-replace", "ridge-chain", "random-features-ridge", "strong-collapse"])
def test_a_long_batch_is_its_points_in_order(slug):
    """More entries than one block of work: pieces are joined in the order of the arguments, the last one shorter."""
    err = ct.catalog[slug].error
    d = 3000
    grid = np.geomspace(1e-4, 10, 47)
    measure = {"spectrum": ct.PowerLaw(d, 1.1), "target": ct.RandomTarget()}
    if slug == "strong-collapse":
        measure["spectrum"] = {"Sigma": ct.PowerLaw(d, 1.1), "Delta": ct.Isotropic(d, 0.001)}
    fixed = {
        "T": 700,
        "T0": 4000,
        "n": 2,
        "sigma": 0.5,
        "sigma0": 0.3,
        "lam0": 0.1,
        "m": 900,
        "N": 800,
        "p1": 0.25,
        "p2": 0.75,
    }
    fixed = {x.name: fixed[x.name] for x in err.free_symbols if x.name not in {"lam", "d"}}
    got = err.evaluate(**measure, **fixed, lam=grid, terms=True)
    for i in (0, 1, 9, 10, 11, 20, 33, 45, 46):
        one = err.evaluate(**measure, **fixed, lam=float(grid[i]), terms=True)
        assert {k: float(v[i]) for k, v in got.items()} == pytest.approx(one, rel=1e-12)
    total = err.evaluate(**measure, **fixed, lam=grid.reshape(47, 1), test_noise=np.array([0.0, 1.0]))
    assert total.shape == (47, 2)
    np.testing.assert_allclose(total, sum(got.values())[:, None] + [0.0, 1.0], rtol=1e-12)


# ---------------------------------------------------------------- tokens: what is asked, and the chain behind it
@pytest.mark.parametrize("bad", [1.5, math.inf, math.nan, -1, [2, 2.5], "3", [1, -1], True])
def test_generations_are_counts(bad):
    family = ct.Categorical([0.5, 0.5])
    for ask in (family.total_collapse_probability, family.expected_survivors, family.collapse_time_probability):
        with pytest.raises(ct.DomainError, match="generations"):
            ask(T=5, generations=bad)
    whole = family.expected_survivors(T=5, generations=np.array([0.0, 2.0]))
    np.testing.assert_array_equal(whole, family.expected_survivors(T=5, generations=[0, 2]))


@pytest.mark.parametrize("T", [40, 5_000, 300_000])
def test_the_resampling_chain_keeps_rows_and_means(T):
    """A probability matrix on its states, whatever the blocks it is built in; the mean count stays, its variance is binomial."""
    from collapse_theory.families.wright_fisher import chain

    c = chain(T)
    assert c.step.shape == (len(c.states), len(c.states))
    share = c.states / T
    np.testing.assert_allclose(c.step @ np.ones(len(c.states)), 1, rtol=1e-9)
    np.testing.assert_allclose(c.step @ share, share, rtol=1e-6, atol=1e-12)
    spread = c.step @ (share**2) - share**2
    np.testing.assert_allclose(spread, share * (1 - share) / T, rtol=0.05, atol=1e-14)


@pytest.mark.parametrize("T", [40, 5_000])
def test_the_resampling_chain_does_not_depend_on_the_blocks(T, monkeypatch):
    from collapse_theory.families import wright_fisher

    whole = wright_fisher.chain(T)
    monkeypatch.setattr(wright_fisher, "_BLOCK", 5 * T)
    f, p = np.sqrt(whole.states / T), np.linspace(0, 1, 30)
    np.testing.assert_allclose(wright_fisher.chain.__wrapped__(T).step @ f, whole.step @ f, rtol=1e-12)
    starts = [(whole.start(x) @ f).item() for x in p[:, None]]
    np.testing.assert_allclose(whole.start(p) @ f, starts, rtol=1e-12)


def test_nodes_of_a_picture_are_coloured_by_kind():
    from matplotlib.colors import to_hex

    pipe = ct.Pipeline()
    pool = pipe.sample(T=9)
    pipe.fit(pipe.subsample(pool, T=5))
    patches = [p for p in pipe.draw().axes[0].patches if type(p).__name__ in {"Circle", "FancyBboxPatch"}]
    colours = {type(p).__name__: set() for p in patches}
    for p in patches:
        colours[type(p).__name__].add(to_hex(p.get_facecolor()))
    assert len(colours["Circle"]) == 1
    assert len(colours["FancyBboxPatch"]) == 3  # the truth, a sample, a subsample
    assert not colours["Circle"] & colours["FancyBboxPatch"]
    assert colours["Circle"] != {to_hex("C0")}
