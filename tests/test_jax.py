"""Predictors on JAX arrays: the values and gradients of the other arithmetics, and nothing wrong where nothing can be raised."""

import functools
import pickle

import mpmath
import numpy as np
import pytest

import collapse_theory as ct
from collapse_theory import symbols
from tests.points import MEASURE, POINTS

jax = pytest.importorskip("jax", reason='backend="jax" is the optional extra jax')

VALUE, GRADIENT = 1e-12, 1e-9
ONE = {"spectrum": MEASURE["spectrum"]["Sigma"], "target": MEASURE["target"]}
LAW = {"spectrum": ct.PowerLaw(300, beta=1.3), "target": ct.SourceTarget(r=0.6)}
CLEAN = ct.catalog["ridge-clean"].error
REPLACE = {"T0": 700, "n": 2, "sigma": 0.5, "sigma0": 0.2}


@functools.cache
def compiled(slug, law=False):
    return ct.catalog[slug].error.compile(**(LAW if law else ONE), backend="jax")


def measure_of(slug):
    """Return a measure on which a theorem of the catalogue holds."""
    if slug.endswith("strong-collapse") or slug == "domain-mixture":
        return MEASURE
    return {"spectrum": ct.Isotropic(12)} if ct.catalog[slug].error.isotropic else ONE


def agree(error, measure, values, still=()):
    """Hold value, terms' sum and gradient, traced, against NumPy's values and the derived derivatives."""
    predict = error.compile(**measure, backend="jax")
    moving = {k: float(v) for k, v in values.items() if k not in {*still, *(x.name for x in predict.counts)}}
    with jax.enable_x64(True):
        value, slopes = jax.value_and_grad(lambda v: predict(**{**values, **v}))(moving)
    assert float(value) == pytest.approx(error.evaluate(**measure, **values), rel=VALUE)
    for name, slope in slopes.items():
        want = error.diff(name).evaluate(**measure, **values)
        assert float(slope) == pytest.approx(want, rel=GRADIENT, abs=1e-14), name


QUICK = ("ridge-replace", "minnorm-fresh-mix")  # to compile one takes seconds
UNCOVERED = {"flow-replace"}  # a contour around the spectrum
NO_SLOPE = {"regular-fresh-real"}  # its derivative by n is a complex number where n is none


@pytest.mark.parametrize("slug", QUICK)
def test_values_and_gradients(slug):
    agree(ct.catalog[slug].error, measure_of(slug), POINTS[slug].values)


@pytest.mark.heavy
@pytest.mark.parametrize("slug", sorted({*ct.catalog} - {*QUICK} - UNCOVERED))
def test_values_and_gradients_of_the_whole_catalogue(slug):
    still = ("n",) if slug in NO_SLOPE else ()
    agree(ct.catalog[slug].error, measure_of(slug), POINTS[slug].values, still)


def test_a_batch_over_the_domain():
    rng, size, d = np.random.default_rng(0), 4000, 300
    T = np.exp(rng.uniform(np.log(1e-2), np.log(1e5), size))
    T[:40] = d + np.arange(40) % 3 - 1  # at the rank and beside it
    lam = np.exp(rng.uniform(np.log(1e-14), np.log(1e6), size))
    lam[20:400] = 0
    values = {"T": T, "lam": lam, **REPLACE}
    predict = compiled("ridge-replace", law=True)
    want = ct.catalog["ridge-replace"].error.compile(**LAW)(**values)
    np.testing.assert_allclose(predict(**values), want, rtol=VALUE)
    with jax.enable_x64(True):
        traced = np.asarray(jax.jit(lambda v: predict(**v, **REPLACE))({"T": T, "lam": lam}))
    limits = (lam == 0) & (d == T)  # the limit is infinite: JAX says nothing of it
    assert np.isnan(traced[limits]).all()
    assert limits.any()
    np.testing.assert_allclose(traced[~limits], want[~limits], rtol=VALUE)


def test_values_against_thirty_digits():
    predict = compiled("ridge-replace", law=True)
    T, lam = np.array([3.0, 299, 300, 301, 5e4]), np.array([1e-3, 0, 1e-9, 0, 30])
    got = predict(T=T, lam=lam, **REPLACE)
    for value, rows, ridge in zip(got, T, lam, strict=True):
        want = ct.catalog["ridge-replace"].error.evaluate(**LAW, T=rows, lam=ridge, **REPLACE, digits=30)
        assert abs(mpmath.mpf(float(value)) / want - 1) < 1e-13


def test_transformations_compose():
    predict, lams = compiled("ridge-clean", law=True), np.geomspace(1e-6, 1, 5)
    fixed = {"T": 40, "sigma": 0.5}
    second = CLEAN.diff("lam").diff("lam").evaluate(**LAW, **fixed, lam=lams)
    with jax.enable_x64(True):
        one = lambda lam: predict(lam=lam, **fixed)  # noqa: E731 - a name for what is transformed
        np.testing.assert_allclose(jax.jit(jax.vmap(one))(lams), predict(lam=lams, **fixed), rtol=1e-14)
        np.testing.assert_allclose(jax.vmap(jax.grad(jax.grad(one)))(lams), second, rtol=GRADIENT)
        summed = jax.jit(jax.grad(lambda lam: predict(lam=lam, **fixed).sum()))(lams)
    np.testing.assert_allclose(summed, CLEAN.diff("lam").evaluate(**LAW, **fixed, lam=lams), rtol=GRADIENT)


def test_terms_and_test_noise():
    predict, values = compiled("ridge-clean", law=True), {"T": 40, "lam": 0.1, "sigma": 0.5}
    want = CLEAN.evaluate(**LAW, **values, terms=True, test_noise=0.3)
    got = predict(**values, terms=True, test_noise=0.3)
    assert got.keys() == want.keys()
    assert [float(x) for x in got.values()] == pytest.approx([float(x) for x in want.values()], rel=VALUE)
    assert float(predict(**values, test_noise=0.3)) == pytest.approx(sum(want.values()), rel=VALUE)


@pytest.mark.parametrize("value", [np.empty(0), np.full((2, 3), 0.1), [0.1, 0.2], np.float32(0.5)])
def test_shapes_are_those_of_the_other_predictor(value):
    predict, plain = compiled("ridge-clean", law=True), CLEAN.compile(**LAW)
    got, want = (f(T=40, lam=value, sigma=0.5) for f in (predict, plain))
    assert np.shape(got) == np.shape(want)
    np.testing.assert_allclose(got, want, rtol=VALUE)


def test_test_noise_is_checked():
    with pytest.raises(ct.DomainError, match="test_noise needs to be finite and >= 0"):
        compiled("ridge-clean", law=True)(T=40, lam=0.1, sigma=0.5, test_noise=-1)


def test_the_global_flag_is_left_alone():
    before = jax.config.jax_enable_x64
    value = compiled("ridge-clean", law=True)(T=40, lam=0.1, sigma=0.5)
    assert jax.config.jax_enable_x64 == before
    assert type(value) is float
    with jax.enable_x64(True):
        assert isinstance(compiled("ridge-clean", law=True)(T=40, lam=0.1, sigma=0.5), jax.Array)


def test_traced_values_of_fewer_digits_are_refused():
    predict = compiled("ridge-clean", law=True)
    with (
        jax.enable_x64(False),
        pytest.raises(
            ct.DomainError, match=r"lam needs to be traced in float64, got float32; .* jax.enable_x64\(True\)"
        ),
    ):
        jax.grad(lambda lam: predict(T=40, lam=lam, sigma=0.5))(0.1)
    with jax.enable_x64(True), pytest.raises(ct.DomainError, match="lam needs to be traced in float64, got bool"):
        jax.jit(lambda lam: predict(T=40, lam=lam, sigma=0.5))(True)


def test_known_values_are_checked():
    predict = compiled("ridge-clean", law=True)
    with pytest.raises(ct.DomainError, match="needs lam to be >= 0, got -1"):
        predict(T=40, lam=-1, sigma=0.5)
    with pytest.raises(ct.DomainError, match="has no symbol"):
        predict(T=40, lam=1, sigma=0.5, tau=1)
    with jax.enable_x64(True), pytest.raises(ct.DomainError, match="needs T to be > 0, got 0"):
        jax.jit(lambda lam: predict(T=0, lam=lam, sigma=0.5))(0.1)


@pytest.mark.parametrize(("T", "lam"), [(40.0, -0.1), (-40.0, 0.1), (300.0, 0.0), (40.0, np.inf), (40.0, 1e-200)])
def test_what_cannot_be_told_is_nan_and_so_is_its_slope(T, lam):
    predict = compiled("ridge-clean", law=True)
    with jax.enable_x64(True):
        value, slopes = jax.value_and_grad(lambda v: predict(**v, sigma=0.5))({"T": T, "lam": lam})
    assert np.isnan(value)
    assert np.isnan([float(x) for x in slopes.values()]).all()


def test_what_float64_has_no_digits_for_is_computed_where_it_is_known():
    predict, plain = compiled("ridge-clean", law=True), CLEAN.compile(**LAW)
    values = {"T": np.array([300, 40, 40]), "lam": np.array([0, 1e-200, 0.1]), "sigma": 0.5}
    np.testing.assert_allclose(predict(**values), plain(**values), rtol=VALUE)
    with jax.enable_x64(True):
        inside = jax.jit(lambda x: x * predict(**values))(2.0)
    np.testing.assert_allclose(inside, 2 * plain(**values), rtol=VALUE)


def test_a_count_of_fits_is_not_traced():
    predict = compiled("ridge-keep-real")
    values = POINTS["ridge-keep-real"].values
    with jax.enable_x64(True):
        with pytest.raises(ct.DomainError, match=r"needs n to be known, because .* functools.partial\(predict, n=3\)"):
            jax.jit(predict)(**values)
        got = jax.jit(predict, static_argnames="n")(**values)
    assert float(got) == pytest.approx(ct.catalog["ridge-keep-real"].error.evaluate(**ONE, **values), rel=VALUE)


def test_points_of_different_numbers_of_fits():
    values = {**POINTS["ridge-chain"].values, "n": np.array([0, 1, 5, 70]), "lam": np.array([0.0, 0.1, 0.2, 0.05])}
    want = ct.catalog["ridge-chain"].error.evaluate(**ONE, **values)
    np.testing.assert_allclose(compiled("ridge-chain")(**values), want, rtol=VALUE)


def test_it_pickles():
    predict, values = compiled("ridge-clean", law=True), {"T": 40, "lam": 0.1, "sigma": 0.5}
    assert pickle.loads(pickle.dumps(predict))(**values) == predict(**values)


def test_what_it_does_not_take_is_refused():
    with pytest.raises(ct.DomainError, match="needs a finite d, got d=oo"):
        CLEAN.compile(spectrum=ct.PowerLaw(float("inf"), beta=1.5), target=ct.SourceTarget(r=0.5), backend="jax")
    with pytest.raises(ct.DomainError, match=r"needs steps that JAX takes, got .*GradientFlow"):
        ct.catalog["flow-replace"].error.compile(**ONE, backend="jax")


def shared(weight=None, features=None):
    """Return two fits on one sample, the second on labels of the first too."""
    x = symbols
    pipe = ct.Pipeline()
    real = pipe.sample(T=x.T, noise=x.sigma)
    phi = None if features is None else pipe.features(features)
    first = pipe.fit(real, ridge=x.lam, features=phi)
    rows = pipe.sample(T=x.T0, source=first, noise=x.sigma0)
    pipe.fit([real, rows], ridge=x.lam0, features=phi, **({} if weight is None else {"weights": [1, weight]}))
    return ct.test_error(pipe)


SHARED = {"T": 90, "sigma": 0.4, "lam": 0.05, "T0": 50, "sigma0": 0.2, "lam0": 0.1}
SMALL = {"spectrum": ct.PowerLaw(60, beta=1.2), "target": ct.SourceTarget(r=0.5)}


def test_fits_that_share_inputs():
    agree(shared(), SMALL, SHARED)


@pytest.mark.heavy
@pytest.mark.parametrize(("weight", "features"), [(None, None), (0.3, None), (None, 40)])
def test_fits_that_share_near_their_thresholds(weight, features):
    symbol = {"weight": symbols.w, "features": symbols.m}
    own = {k: v for k, v in {"weight": weight, "features": features}.items() if v is not None}
    error = shared(**{k: symbol[k] for k in own})
    rng, size, d = np.random.default_rng(1), 120, 60
    values = {
        **SHARED,
        **{symbol[k].name: v for k, v in own.items()},
        "T": np.where(rng.random(size) < 0.4, d + rng.integers(-1, 2, size), 10 ** rng.uniform(0, 4, size)),
        "T0": np.where(rng.random(size) < 0.2, d, 10 ** rng.uniform(0, 4, size)),
        "lam": 10 ** rng.uniform(-10, 2, size),
        "lam0": 10 ** rng.uniform(-10, 2, size),
    }
    predict = error.compile(**SMALL, backend="jax")
    with jax.enable_x64(True):
        traced = np.asarray(jax.jit(lambda v: predict(**v))({k: np.asarray(v, float) for k, v in values.items()}))
    np.testing.assert_allclose(traced, error.evaluate(**SMALL, **values), rtol=VALUE)


def test_an_error_that_grows_is_seen(monkeypatch):
    """Two fits whose traces lose digits on purpose: the value is NaN, not wrong."""
    from collapse_theory.numerics import jax_pooled

    trace = jax_pooled.PipelineArrays.trace
    monkeypatch.setattr(
        jax_pooled.PipelineArrays, "trace", lambda self, f: (trace(self, f) + 1e6) - 1e6 * trace(self, 0 * f + 1) / 60
    )
    with jax.enable_x64(True):
        value = shared().compile(**SMALL, backend="jax")(**{**SHARED, "lam": jax.numpy.asarray(0.05)})
        traced = jax.jit(lambda lam: shared().compile(**SMALL, backend="jax")(**{**SHARED, "lam": lam}))(0.05)
    assert float(value) == pytest.approx(shared().evaluate(**SMALL, **SHARED), rel=VALUE)  # by NumPy's predictor
    assert np.isnan(traced)


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("error", "values"),
    [
        (shared(), {**SHARED, "lam": 0.0, "lam0": 0.0}),
        (shared(weight=symbols.w), {**SHARED, "w": 0.3}),
        (shared(features=symbols.m), {**SHARED, "m": 40}),
    ],
    ids=["without a ridge", "weights", "features"],
)
def test_other_fits_that_share(error, values):
    agree(error, SMALL, values)


@pytest.mark.parametrize(
    ("x", "n"), [(0.0, 7.5), (1e-12, 7.5), (1e-6, 40.0), (1e-5, 40.0), (0.3, 5.0), (1.0, 3.0), (1.0, 1.0)]
)
def test_slopes_of_a_geometric_sum(x, n):
    from collapse_theory.numerics.jax_functions import jax_functions

    with jax.enable_x64(True):
        slope = float(jax.grad(jax_functions()["GeometricSum"])(x, n))
    with mpmath.workdps(60):
        if x == 0:
            want = -n * (n - 1) / 2
        else:
            u, k = mpmath.mpf(x), mpmath.mpf(n)
            want = (k * (1 - u) ** (k - 1) * u - (1 - (1 - u) ** k)) / u**2
    assert slope == pytest.approx(float(want), rel=1e-11)
