"""Chains of spectral filters: references of their own, limits that link them to ridge and null model, refusals."""

import mpmath
import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy.core.symbol import Str

import collapse_theory as ct
from collapse_theory.derive.filter_chain import RIDGE, FilterBias, FilterVariance
from collapse_theory.derive.formula import ErrorFormula
from collapse_theory.numerics.filtered_fits import FilteredFits
from tests import naive

D = 12
SPECTRUM, TARGET = np.arange(1, D + 1) ** -1.2, np.linspace(1, 2, D)
ABOUT = {"spectrum": ct.Eigenvalues(SPECTRUM), "target": ct.Energies(TARGET)}
FLOW, DESCENT = ct.GradientFlow, ct.GradientDescent


def chain(*fits, **options):
    """Return the error of the last of fits (T, filter or ridge, noise), each labelled by the one before."""
    pipe, last = ct.Pipeline(), ct.TRUTH
    for T, how, noise in fits:
        ridge = {"ridge": how} if isinstance(how, (int, float, sp.Expr)) else {"filter": how}
        last = pipe.fit(pipe.sample(T=T, noise=noise, source=last), **ridge)
    return ct.test_error(pipe, **options)


def value(*fits, **options):
    return chain(*fits).evaluate(**ABOUT, **options)


# ---------------------------------------------------------------- an independent reference
def marchenko_pastur(T, learned, noise):
    """Return bias and variance of one fit on isotropic inputs by the known density of the eigenvalues, with mpmath."""
    gamma = mpmath.mpf(D) / T
    low, high = (1 - mpmath.sqrt(gamma)) ** 2, (1 + mpmath.sqrt(gamma)) ** 2
    none = max(0, 1 - 1 / gamma)  # the share of directions that no row sees

    def mean(f):
        def density(x):
            return mpmath.sqrt((high - x) * (x - low)) / (2 * mpmath.pi * gamma * x) * f(x)

        return mpmath.quad(density, [low, (low + high) / 2, high])

    bias = mean(lambda x: (1 - learned(x)) ** 2) + none
    return bias, noise**2 * D / T * mean(lambda x: learned(x) ** 2 / x)


@pytest.mark.parametrize("T", [7, 31])
@pytest.mark.parametrize(
    ("how", "learned"),
    [
        (FLOW(0.3), lambda x: 1 - mpmath.exp(-0.3 * x)),
        (FLOW(40), lambda x: 1 - mpmath.exp(-40 * x)),
        (DESCENT(0.25, 7), lambda x: 1 - (1 - x / 4) ** 7),
        (DESCENT(0.25, 150), lambda x: 1 - (1 - x / 4) ** 150),
    ],
)
def test_one_fit_on_isotropic_inputs_is_an_integral_over_the_marchenko_pastur_law(T, how, learned):
    got = chain((T, how, 0.5)).evaluate(spectrum=ct.Isotropic(D), target=ct.RandomTarget(), terms=True)
    bias, variance = marchenko_pastur(T, learned, mpmath.mpf(0.5))
    assert abs(got["bias"] - bias) < 1e-11 * (bias + variance)
    assert abs(got["variance"] - variance) < 1e-11 * variance


@pytest.mark.parametrize("count", [0, 1, 5, 3000])
def test_a_ridge_as_a_filter_is_the_operator_theory(count):
    T, T0, lam, lam0, sigma, sigma0, n = (
        getattr(ct.symbols, x) for x in ("T", "T0", "lam", "lam0", "sigma", "sigma0", "n")
    )
    blocks = ((T0, (Str(RIDGE), lam0), sigma0, n), (T, (Str(RIDGE), lam), sigma, 1))
    err = ErrorFormula({"bias": FilterBias(*blocks), "variance": FilterVariance(*blocks)}, "proportional")
    at = {"n": count, "T": 30, "T0": 9, "lam": 0.1, "lam0": 0.01, "sigma": 0.3, "sigma0": 0.2, **ABOUT}
    assert err.evaluate(**at) == pytest.approx(ct.catalog["ridge-chain"].error.evaluate(**at), rel=1e-12)


@pytest.mark.parametrize(("T0", "T"), [(9, 30), (30, 9), (20, 25)])
def test_training_to_the_end_is_ridgeless_and_no_training_is_the_null_model(T0, T):
    ends = chain((T0, 0, 0.3), (T, 0, 0.2), method="operator").evaluate(**ABOUT)
    for long in (FLOW(1e9), DESCENT(0.3, 10**9)):
        assert value((T0, long, 0.3), (T, long, 0.2)) == pytest.approx(ends, rel=1e-11)
    assert value((T0, FLOW(1e-9), 0.3)) == pytest.approx(SPECTRUM @ TARGET, rel=1e-8)
    # small steps are the flow
    assert value((T0, DESCENT(1e-6, 3 * 10**6), 0.3)) == pytest.approx(value((T0, FLOW(3), 0.3)), rel=1e-5)
    assert value((T0, DESCENT(0.3, 10), 0.3)) != pytest.approx(value((T0, FLOW(3), 0.3)), rel=1e-3)


@settings(max_examples=8, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(3, 60),
            st.one_of(
                st.floats(-6, 6).map(lambda x: FLOW(10**x)),
                st.integers(1, 10**6).map(lambda k: DESCENT(0.2, k)),
                st.floats(-4, 1).map(lambda x: 10**x),
            ),
            st.floats(0.05, 2),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_more_nodes_change_nothing(fits):
    err = chain(*fits)
    got = err.evaluate(**ABOUT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("collapse_theory.numerics.filtered_fits._FIRST", 160)
        more = chain(*fits).evaluate(**ABOUT)
    assert got == pytest.approx(more, rel=1e-10)
    assert got > 0


def test_too_few_nodes_are_noticed():
    """The control of the test above: a rule that accepted its first value would be far off."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("collapse_theory.numerics.filtered_fits._FIRST", 4)
        assert value((9, FLOW(30), 0.3)) == pytest.approx(value((9, FLOW(30), 0.3)), rel=1e-10)
        patch.setattr("collapse_theory.numerics.filtered_fits._CLOSE", 1.0)
        rough = value((9, FLOW(30), 0.3))
    assert rough != pytest.approx(value((9, FLOW(30), 0.3)), rel=1e-4)


def test_arrays_broadcast_point_by_point():
    t = ct.symbols.t
    err = chain((9, FLOW(t), 0.3), (30, 0.1, 0.2), (20, FLOW(2 * t), 0.1))
    times = np.geomspace(1e-3, 1e5, 7)  # short and long contours, many nodes and few
    together = err.evaluate(t=times, **ABOUT)
    assert together == pytest.approx([err.evaluate(t=x, **ABOUT) for x in times], rel=1e-11)
    assert err.evaluate(t=times[:, None] * [[1.0, 2.0]], **ABOUT).shape == (7, 2)


@pytest.mark.parametrize("t", [1e-4, 2.0, 300.0])
def test_derivatives_are_slopes(t):
    T, T0, sigma, tau, eta = (sp.Symbol(name, positive=True) for name in ("T", "T0", "sigma", "tau", "eta"))
    err = chain((T0, FLOW(tau), 0.3), (T, DESCENT(eta, 9), sigma), (T, 0.05, 0.1))
    at = {"T": 30.0, "T0": 9.0, "sigma": 0.4, "tau": t, "eta": 0.2}
    for name, x in at.items():
        h = 1e-4 * x
        ends = [err.evaluate(**{**at, name: x + k * h}, **ABOUT) for k in (-2, -1, 1, 2)]
        want = (ends[0] - 8 * ends[1] + 8 * ends[2] - ends[3]) / (12 * h)
        got = err.diff(name).evaluate(**at, **ABOUT)
        assert abs(got - want) < 1e-8 * abs(want) + 1e-11 * ends[0] / x, name


def test_many_equal_fits_are_powers_of_one():
    t, n = ct.symbols.t, ct.symbols.n
    flow = ct.catalog["flow-replace"].error
    at = {"T": 30, "T0": 20, "t": 3.0, "t0": 9.0, "sigma": 0.3, "sigma0": 0.2, **ABOUT}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("collapse_theory.numerics.operator_power._few", lambda nodes: 2)
        powers = flow.evaluate(n=[1, 9, 40], **at), flow.diff("t0").evaluate(n=[1, 9, 40], **at)
    assert powers[0] == pytest.approx(flow.evaluate(n=[1, 9, 40], **at), rel=1e-11)
    assert powers[1] == pytest.approx(flow.diff("t0").evaluate(n=[1, 9, 40], **at), rel=1e-9)
    with pytest.raises(ct.DomainError, match="n in a number of fits"):
        FilterBias((30, (Str(RIDGE), t), 0.1, n)).diff(n)


def test_digits_agree_with_float64():
    about = {"spectrum": ct.Spiked(D, [3]), "target": ct.RandomTarget()}
    err = chain((9, FLOW(0.5), 0.3))
    assert abs(err.evaluate(digits=16, **about) - err.evaluate(**about)) < 1e-14


@pytest.mark.heavy
@pytest.mark.parametrize("how", [FLOW(2), FLOW(300), DESCENT(0.3, 5), DESCENT(0.3, 200)])
def test_chains_agree_with_digits(how):
    fits = (9, how, 0.3), (9, how, 0.3), (30, how, 0.2)
    got, want = chain(*fits).evaluate(terms=True, **ABOUT), chain(*fits).evaluate(terms=True, digits=20, **ABOUT)
    assert got == pytest.approx({k: float(x) for k, x in want.items()}, rel=1e-12)


def test_the_best_stopping_time_is_stationary_and_least():
    t = ct.symbols.t
    err = chain((30, FLOW(3), 0.5), (25, FLOW(t), 1.5))
    best = err.optimum("t", between=(0.01, 1e3), **ABOUT)
    assert best.stationary
    around = err.evaluate(t=best.value * np.array([0.9, 0.99, 1, 1.01, 1.1]), **ABOUT)
    assert around.argmin() == 2
    assert best.clean_value > best.value * 0.1
    assert best.error == pytest.approx(around[2], rel=1e-12)


# ---------------------------------------------------------------- simulation
def test_a_mixed_chain_agrees_with_its_simulation_and_a_wrong_time_does_not():
    fits = [(60, FLOW(4), 0.5), (45, 0.2, 0.4), (80, DESCENT(0.3, 20), 0.3)]
    s, energy = np.linspace(0.4, 1.6, 30), np.full(30, 1 / 30)
    about = {"spectrum": ct.Eigenvalues(s), "target": ct.Energies(energy)}
    pipe = chain(*fits).pipeline()
    sample = naive.errors(pipe, naive.Linear(s, energy), 600, seed=4)
    assert naive.agrees(sample, chain(*fits).evaluate(**about), allowance=0.01)
    assert not naive.agrees(sample, chain((60, FLOW(2), 0.5), *fits[1:]).evaluate(**about), allowance=0.01)
    own = ct.simulate(pipe, trials=60, seed=1, **about)
    assert naive.agrees(sample, own.mean, sem=own.sem)


# ---------------------------------------------------------------- refusals
def test_a_step_beyond_the_edge_diverges():
    edge = (1 + np.sqrt(D / 48)) ** 2
    about = {"spectrum": ct.Isotropic(D), "target": ct.RandomTarget()}
    err = chain((48, DESCENT(sp.Symbol("eta", positive=True), 6), 0.3))
    assert err.evaluate(eta=1.999 / edge, **about) > 0
    for steps in ({}, {"digits": 20}):
        with pytest.raises(ct.DomainError, match=r"step .* 0\.888889, got 0\.889.*: gradient descent diverges"):
            err.evaluate(eta=2.001 / edge, **about, **steps)


def test_what_is_no_chain_is_refused():
    pipe = ct.Pipeline()
    a, b = pipe.sample(T=9, noise=1), pipe.sample(T=9, noise=1)
    m = pipe.fit(a, filter=FLOW(1))
    both = pipe.fit([a, b], filter=FLOW(1))
    for refused in (
        lambda: ct.test_error(pipe, model=both),
        lambda: ct.training_error(pipe, m),
        lambda: ct.test_error(pipe, model=0.5 * m + 0.5 * both),
        lambda: ct.test_error(pipe, model=m, method="exact"),
        lambda: ct.test_error(pipe, model=m, test_covariance="Sigma2"),
    ):
        with pytest.raises(
            ct.PipelineError, match=r"a filter is covered in a chain.*; describe a chain, or fit with a"
        ):
            refused()


def test_row_weights_scale_the_time():
    pipe = ct.Pipeline()
    pipe.fit(pipe.sample(T=9, noise=0.3), weights=[2], filter=FLOW(3))
    assert ct.test_error(pipe).evaluate(**ABOUT) == pytest.approx(value((9, FLOW(6), 0.3)), rel=1e-12)


def test_an_endless_spectrum_is_refused():
    with pytest.raises(ct.DomainError, match="a filter needs a spectrum that is listed"):
        chain((9, FLOW(3), 0.3)).evaluate(spectrum=ct.PowerLaw(np.inf, 2), target=ct.SourceTarget(0.5))


# ---------------------------------------------------------------- text
def test_a_file_has_filters(tmp_path):
    path = tmp_path / "early.toml"
    path.write_text(
        'spectrum = "isotropic:d=12"\n[[sample]]\nname = "real"\nT = 30\nnoise = 0.5\n'
        '[[fit]]\nname = "m"\ndata = ["real"]\nfilter = "flow:time=2*t"\n'
        '[[sample]]\nname = "fake"\nT = 20\nnoise = 0.1\nsource = "m"\n'
        '[[fit]]\nname = "last"\ndata = ["fake"]\nfilter = "descent:step=1/10,steps=30"\n'
    )
    pipe, _ = ct.load(path)
    assert [f.filter for f in pipe.fits] == [FLOW(2 * ct.symbols.t), DESCENT(sp.Rational(1, 10), 30)]
    about = {"spectrum": ct.Isotropic(12), "target": ct.RandomTarget()}
    want = chain((30, FLOW(3), 0.5), (20, DESCENT(0.1, 30), 0.1)).evaluate(**about)
    assert ct.test_error(pipe).evaluate(t=1.5, **about) == pytest.approx(want, rel=1e-12)
    path.write_text(path.read_text().replace("flow:time", "flew:time"))
    with pytest.raises(ct.ParseError, match=r"filter needs a known kind, got 'flew'.*did you mean 'flow'"):
        ct.load(path)


def test_it_prints_contours():
    text = chain((9, FLOW(ct.symbols.t), 0.3), (30, 0.1, 0.2)).latex()
    for part in (
        r"f_{0}(z) = 1 - e^{-t z}",
        r"f(z) = \frac{z}{0.1 + z}",
        r"\oint\!\oint \frac{f_{0}(z_{1}) f_{0}(z_{2})}{z_{1} z_{2}}",
        r"R(z) = \left(\Sigma + \kappa(z) I\right)^{-1}",
        r"\kappa(z) &= -z +",
    ):
        assert part in text


def test_the_plan_says_what_it_runs():
    assert str(FilteredFits(("GradientFlow", RIDGE))) == "fits by GradientFlow, Ridge"
