"""Compressed spectra and their tables against sums over all eigenvalues, and against digits of mpmath over the whole domain."""

import math
import pickle
import tracemalloc

import mpmath
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mpmath import mpf

import collapse_theory as ct
from collapse_theory.numerics import compression, fast
from collapse_theory.numerics import octaves as octaves_module
from collapse_theory.numerics.compression import ORDER, compress
from collapse_theory.numerics.feature_ridge import solve_features
from collapse_theory.numerics.integrand_shape import is_product_of_few
from collapse_theory.numerics.measure import Measure
from collapse_theory.numerics.octaves import Octaves, Rows, RowsOnFeatures
from collapse_theory.symbols import Eigenvalue, eigenvalue, kappa, n, sigma
from tests import reference as ref

EPS = 2.0**-52
REPLACE = ct.catalog["ridge-replace"].error


def sums(s, weights, x, a, b):
    """Return the sum of a product of b resolvents with a of their numerators, and that with absolute weights."""
    terms = weights * (1 / (1 + x / s)) ** a * (1 / (1 + s / x)) ** (b - a)
    return math.fsum(terms), math.fsum(np.abs(terms))


# ---------------------------------------------------------------- nodes
@st.composite
def spectra(draw):
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    d, scale = draw(st.integers(1, 500)), 10.0 ** draw(st.sampled_from([-150, -12, 0, 150]))
    kind = draw(st.sampled_from(["power", "wide", "narrow", "few"]))
    if kind == "power":
        s = np.arange(1, d + 1) ** -draw(st.floats(0.3, 4))
    elif kind == "wide":
        s = 10.0 ** -rng.uniform(0, 30, d)
    else:
        s = 1 + 1e-7 * rng.random(d) if kind == "narrow" else rng.choice([1.0, 1e-3, 1e-20], d)
    return scale * s, rng.standard_normal(d) ** 3


@settings(max_examples=40, deadline=None, derandomize=True)
@given(spectra(), st.floats(-3, 33), st.integers(0, ORDER), st.integers(0, ORDER), st.booleans())
def test_sums_of_products_of_resolvents_are_kept(problem, place, a, b, short):
    s, weights = problem
    a, b, x = min(a, b), max(a, b), s.max() * 10.0**-place
    sizes = compression._CHUNK, compression._LONG
    try:
        if short:  # as of a list so long that neighbours are compressed on the way
            compression._CHUNK, compression._LONG = 40, 4
        nodes = compress(s, np.ones(s.size, dtype=np.int64), weights)
    finally:
        compression._CHUNK, compression._LONG = sizes
    for given_, kept in zip((np.ones(s.size), weights), nodes.weights, strict=True):
        want, size = sums(s, given_, x, a, b)
        assert abs(sums(nodes.values, kept, x, a, b)[0] - want) <= 5e-15 * size
    assert nodes.sizes.sum() == s.size
    assert [int(k) for k in nodes.sizes] == [int(((s >= low) & (s < 4 * low)).sum()) for low in nodes.floors]


def test_one_order_more_than_is_promised_is_told_apart():
    """The check is sharp: with half the nodes it fails."""
    s, x = np.linspace(1, 4, 500), 1e-3
    nodes = compress(s, np.ones(500))
    thin = compress(s[::100], np.full(5, 100.0))
    want, size = sums(s, np.ones(500), x, 0, 4)
    assert abs(sums(nodes.values, nodes.weights[0], x, 0, 4)[0] - want) <= 5e-15 * size
    assert abs(sums(thin.values, thin.weights[0], x, 0, 4)[0] - want) > 1e-3 * size


def test_few_atoms_stay_and_their_number_is_exact():
    s = np.array([4.0, 1.0, 1.0, 1e-8, 1e-8, 1e-8])
    nodes = compress(s, np.ones(6, dtype=np.int64))
    assert nodes.values.tolist() == [1e-8, 1.0, 4.0]
    assert nodes.weights[0].tolist() == [3, 2, 1]
    measure = Measure.of(ct.PowerLaw(5000, 1.5)).compressed
    assert measure.size < 250
    assert measure.rank == 5000
    assert measure.split(np.array([0.0, 1e9]))[1].tolist() == [5000, 0]


def test_a_long_list_takes_little_memory():
    s = np.arange(1, 10**6 + 1) ** -1.2
    spectrum, target = ct.Eigenvalues(s), ct.Energies(s)
    tracemalloc.start()
    measure = Measure.of(spectrum, target).compressed
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert measure.size < 400
    assert peak < 1.5 * s.nbytes


def test_what_is_compressed():
    x = eigenvalue / (eigenvalue + kappa)
    few = (
        x,
        x**2 * kappa / (eigenvalue + 2 * sigma),
        eigenvalue * (eigenvalue * kappa + kappa**2) ** 2 / (eigenvalue + kappa) ** 4,
    )
    assert all(is_product_of_few(f) for f in few)
    many = (x**7, x**n, x * Eigenvalue("Delta"), 1 / (eigenvalue - kappa), 1 / (eigenvalue**2 + kappa))
    assert not any(is_product_of_few(f) for f in many)
    assert Measure({"a": np.arange(1.0, 999), "b": np.arange(1.0, 999)}, np.ones(998, dtype=int)).compressed.size == 998


# ---------------------------------------------------------------- ridges
@st.composite
def problems(draw):
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    d, scale = draw(st.integers(1, 6)), 10.0 ** draw(st.sampled_from([-150, 0, 150]))
    s = scale * 10.0 ** -(draw(st.sampled_from([0, 3, 16, 30])) * rng.random(d))
    s = np.append(s, draw(st.sampled_from([[], [0.0], s[:1], s[:1].repeat(3)])))
    rank, count = int((s > 0).sum()), 160
    kinds = [
        np.full(count, rank),
        rank + 10.0 ** rng.uniform(-12, 0, count),
        rank - 10.0 ** rng.uniform(-12, -0.1, count),
        rank * 10.0 ** rng.uniform(-6, 6, count),
        rng.integers(1, rank + 1, count),
    ]
    T = np.choose(rng.integers(0, 5, count), kinds)
    lam = scale * np.where(rng.random(count) < 0.15, 0, 10.0 ** rng.uniform(-40, 12, count))
    return s, T, lam


@settings(max_examples=20, deadline=None, derandomize=True)
@given(problems(), st.integers(0, 10**6))
@example((np.ones(5), np.full(160, 5.0), np.geomspace(1e-300, 1e300, 160)), 0)
def test_many_ridges_at_once_over_the_whole_domain(problem, seed):
    s, T, lam = problem
    got = ct.effective_ridge(ct.Eigenvalues(s), T=T, lam=lam)
    assert np.isfinite(got).all()
    for i in np.random.default_rng(seed).integers(0, T.size, 3):
        want = ref.kappa(s, T[i], lam[i], digits=330)
        assert abs(got[i] - want) <= 24 * EPS * want


@pytest.mark.parametrize("beta", [0.7, 2.0])
def test_many_ridges_of_a_compressed_spectrum(beta):
    d = 600
    s = np.arange(1, d + 1) ** -beta
    T = np.repeat([d, d - 1, d + 1, d - 1e-9, d + 1e-9, 40, 1e-3, 1e6], 20)
    lam = np.tile(np.append(0, np.geomspace(1e-30, 1e9, 19)), 8)
    got = ct.effective_ridge(ct.Eigenvalues(s), T=T, lam=lam)
    for i in range(0, T.size, 23):
        want = ref.kappa(s, T[i], lam[i], digits=60)
        assert abs(got[i] - want) <= 24 * EPS * want


def test_a_gap_keeps_the_exact_number_of_directions_above_it():
    """T as many as the directions above a gap of thirty decades: their number in a panel of 200 atoms may not be rounded."""
    s = np.concatenate([np.linspace(2, 3, 200), 1e-30 * np.linspace(1, 2, 300)])
    lam = np.geomspace(1e-32, 1e-8, 150)
    got = ct.effective_ridge(ct.Eigenvalues(s), T=200, lam=lam)
    for i in range(0, 150, 30):
        want = ref.kappa(s, 200, lam[i], digits=90)
        assert abs(got[i] - want) <= 24 * EPS * want


def test_the_check_rejects_a_table_that_is_slightly_wrong(monkeypatch):
    s, lam = np.arange(1, 9) ** -1.0, np.full(200, 1e-2)
    want = ref.kappa(s, 5.0, 1e-2)
    spectrum = ct.Eigenvalues(s)
    unit = Measure.of(spectrum).unit[0]
    unit.octaves.complement[0] *= 1 + 1e-13
    got = ct.effective_ridge(spectrum, T=5.0, lam=lam)[0]
    assert abs(got - want) > 24 * EPS * want


def test_the_spread_of_degrees_of_freedom_is_relative_to_itself():
    measure = Measure.of(ct.Eigenvalues([1.0, 1e-3, 1e-30])).unit[0]
    octaves = Octaves.of(measure)
    for x in (1e-60, 1e-31, 1e-16, 3e-4, 0.7, 12.0, 1e9):
        want = sum(mpf(e) * x / (mpf(e) + x) ** 2 for e in measure.nodes.tolist())
        assert ref.relative(octaves.spread(np.array([x]))[0], want) < 16 * EPS


def test_a_root_that_is_not_found_is_no_root():
    """Rows that are not a number cannot have one: no value comes out."""
    octaves = Measure.of(ct.Isotropic(3)).unit[0].octaves
    assert np.isnan(octaves.solve(Rows(np.array([np.nan, 2.0]), np.ones(2)))).tolist() == [True, False]


# ---------------------------------------------------------------- formulas at many points
MANY = {
    "ridge-clean": {"T": 70, "sigma": 0.5},
    "ridge-replace": {"T": 70, "T0": 500, "n": 3, "sigma": 0.5, "sigma0": 0.2},
    "ridge-label-mix-limit": {"T": 70, "sigma": 0.5, "w": 0.4},
    "random-features-ridge": {"T": 70, "m": 90, "sigma": 0.5},
}


@pytest.mark.parametrize("slug", sorted(MANY))
@pytest.mark.parametrize("slope", [False, True])
def test_many_points_agree_with_digits(slug, slope):
    err = ct.catalog[slug].error
    err = err.diff("lam") if slope else err
    lam = np.append(np.geomspace(1e-9, 1e5, 199), 0.0)
    how = {"spectrum": ct.PowerLaw(90, 1.5), "target": ct.SourceTarget(0.4)}
    got = err.evaluate(**how, **MANY[slug], lam=lam)
    for i in (0, 60, 110, 150, 198, 199):
        assert got[i] == pytest.approx(err.evaluate(**how, **MANY[slug], lam=lam[i]), rel=1e-13)
    want = err.evaluate(digits=20, **how, **MANY[slug], lam=lam[80])
    assert abs(got[80] - want) <= 1e-13 * abs(want)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.integers(1, 300), st.integers(1, 300), st.floats(-12, 3), st.integers(-150, 150))
@example(100, 100, -12.0, 0)
@example(40, 40, 0.0, 150)
@example(200, 150, -9.0, -150)
def test_random_features_in_one_unknown(T, m, place, decade):
    """As many features, rows or directions as there may be: both ridges solve their equations."""
    scale, d = 10.0**decade, 100
    s = scale * np.arange(1, d + 1) ** -1.2
    lam = scale * 10.0**place
    measure = Measure.of(ct.Eigenvalues(s))
    y = solve_features(measure, *(np.array([float(x)]) for x in (T, m, lam)))[0][0]
    with mpmath.workdps(60):
        x = ref.kappa(s, m, y, digits=60)
        df1 = mpmath.fsum(mpf(e) / (mpf(e) + x) for e in s)
        # lam = y (1 - df1/T): its relative error, over the derivative of its logarithm by that of y, which is at least one
        assert abs(y * (1 - df1 / T) / mpf(lam) - 1) <= 1e-13 * max(1, y / mpf(lam))


def test_large_batches_and_single_points_agree():
    how = {"spectrum": ct.PowerLaw(3000, 1.3), "target": ct.SourceTarget(0.4)}
    predict = REPLACE.compile(**how)
    rng = np.random.default_rng(0)
    T, lam = 10 ** rng.uniform(1, 5, 20_000), 10 ** rng.uniform(-8, 2, 20_000)
    rest = {"T0": 9000, "n": 3, "sigma": 0.5, "sigma0": 0.2}
    got = predict(T=T, lam=lam, **rest)
    for i in (0, 777, 16_383, 16_384, 19_999):
        at = {"T": float(T[i]), "lam": float(lam[i]), **rest}
        assert predict(**at) == pytest.approx(got[i], rel=1e-13)
        assert predict.evaluate(**at) == pytest.approx(got[i], rel=1e-13)


# ---------------------------------------------------------------- single points
@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.floats(0.5, 200), st.floats(-20, 10), st.integers(0, 9), st.floats(0, 3))
def test_single_points_agree_with_the_general_evaluation(T, place, rounds, noise):
    at = {"T": T, "lam": 10.0**place, "n": rounds, "sigma": noise, "sigma0": 0.3, "T0": 200}
    assert PREDICT(**at) == pytest.approx(PREDICT.evaluate(**at), rel=1e-13)
    got, want = PREDICT(terms=True, **at), PREDICT.evaluate(terms=True, **at)
    assert list(got) == list(want)
    assert got == pytest.approx(want, rel=1e-13)


PREDICT = REPLACE.compile(spectrum=ct.PowerLaw(60, 1.5), target=ct.SourceTarget(0.4))
POINT = {"T": 90, "lam": 0.1, "n": 2, "sigma": 0.5, "sigma0": 0.3, "T0": 200}


def test_single_points_take_no_arrays_and_survive_a_pickle():
    assert PREDICT.one_point is not None
    assert PREDICT.one_point(POINT) is not None
    assert type(PREDICT(**POINT)) is float
    again = pickle.loads(pickle.dumps(PREDICT))
    assert again(**POINT) == PREDICT(**POINT)
    assert PREDICT(**{**POINT, "lam": np.float64(0.1)}) == PREDICT(**POINT)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lam": -1}, "lam"),
        ({"lam": math.nan}, "lam"),
        ({"T": 0}, "T"),
        ({"n": 2.5}, "integer"),
        ({"T0": 61}, "T0"),
        ({"T0": math.inf}, "T0"),
        ({"sigma": True}, "sigma"),
        ({"sigma": "0.5"}, "sigma"),
        ({"sigma": 1e200}, "overflow"),
        ({"other": 1}, "other"),
    ],
)
def test_what_is_refused_is_refused_at_single_points_too(change, message):
    with pytest.raises(ct.DomainError, match=message):
        PREDICT(**{**POINT, **change})


def test_limits_and_lost_digits_are_left_to_the_general_evaluation():
    assert PREDICT.one_point({**POINT, "lam": 0, "T": 60}) is None
    assert PREDICT(**{**POINT, "lam": 0, "T": 60}) == math.inf
    assert PREDICT.one_point({**POINT, "lam": 1e-200}) is None
    assert PREDICT(**{**POINT, "lam": 1e-200}) == pytest.approx(PREDICT(**{**POINT, "lam": 0}), rel=1e-12)


# ---------------------------------------------------------------- threads and compiled loops
def test_threads_give_what_one_does():
    rng = np.random.default_rng(1)
    at = {**POINT, "T": 10 ** rng.uniform(1, 3, 40_000), "lam": 10 ** rng.uniform(-8, 2, 40_000)}
    np.testing.assert_array_equal(PREDICT(jobs=2, **at), PREDICT(**at))
    assert PREDICT(jobs=2, **POINT) == pytest.approx(PREDICT(**POINT), rel=1e-14)
    with pytest.raises(ct.DomainError, match="jobs"):
        PREDICT(jobs=0, **at)


@pytest.mark.parametrize("compiled", [True, False])
def test_loops_over_points_give_what_arrays_give(compiled, monkeypatch):
    if compiled:
        pytest.importorskip("numba")
    monkeypatch.setattr(octaves_module, "_MANY", 1)
    if not compiled:
        monkeypatch.setattr(octaves_module, "compiled_roots", lambda: fast.roots)
        monkeypatch.setattr(octaves_module, "compiled_polynomial", lambda: fast.polynomial)
    s = np.append(np.arange(1, 400) ** -1.5, [1e-20, 1e-20])
    T = np.repeat([401.0, 400.5, 399, 1e-3, 1e6, 20], 200)
    T, lam = T[:: 1 if compiled else 29], np.tile(np.geomspace(1e-40, 1e12, 200), 6)[:: 1 if compiled else 29]
    octaves = Measure.of(ct.Eigenvalues(s)).unit[0].octaves
    problems_ = (Rows(T, lam), RowsOnFeatures(np.minimum(T, 300), np.maximum(T, 300), lam))
    found = [octaves.solve(p) for p in problems_]
    spread = octaves.spread(found[0])
    monkeypatch.setattr(octaves_module, "_MANY", 10**9)
    for p, got in zip(problems_, found, strict=True):
        np.testing.assert_allclose(got, octaves.solve(p), rtol=8 * EPS)
    np.testing.assert_allclose(spread, octaves.spread(found[0]), rtol=8 * EPS)


def test_loops_compile_where_nothing_can_be_kept_on_disk(monkeypatch):
    """A package and a home that are read-only: numba has no place for its cache."""
    caching = pytest.importorskip("numba.core.caching")
    monkeypatch.setattr(caching.FunctionCache._impl_class, "_locator_classes", [])
    loop = fast._compiled.__wrapped__(fast.polynomial)
    table, z = np.arange(6.0).reshape(3, 2), np.array([0.5, -2.0])
    np.testing.assert_allclose(
        loop(table, np.array([0, 1]), z), [0 + 2 * 0.5 + 4 * 0.25, 1 - 3 * 2 + 5 * 4], rtol=1e-15
    )
