"""Least squares that pools rows of several labellers, exact in pipelines: against simulation and the operator."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mpf, workdps

import collapse_theory as ct
from tests import naive

D = 6
SPECTRUM, ENERGIES = np.linspace(0.5, 2, D), np.linspace(1, 0.1, D)
AT = {"spectrum": ct.Eigenvalues(SPECTRUM), "target": ct.Energies(ENERGIES)}


@st.composite
def pipelines(draw):
    """Up to four least-squares fits; each pools samples of its own, of mixed labellers that may lose or gain signal."""
    pipe, fits = ct.Pipeline(), []
    for _ in range(draw(st.integers(2, 4))):
        samples = []
        for rows in draw(st.lists(st.integers(6, 14), min_size=1, max_size=3)):
            source = draw(st.sampled_from([ct.TRUTH, *fits])) * 1
            if draw(st.booleans()):
                source = 0.6 * source + draw(st.sampled_from([0.4, 0.2, -0.3])) * draw(
                    st.sampled_from([ct.TRUTH, *fits])
                )
            samples.append(pipe.sample(T=rows, noise=draw(st.sampled_from([0.3, 0.8])), source=source))
        if sum(s.T for s in samples) < D + 6:  # so that the mean square has a variance
            samples.append(pipe.sample(T=D + 6, source=draw(st.sampled_from([ct.TRUTH, *fits]))))
        fits.append(pipe.fit(samples))
    return pipe


@settings(max_examples=15, deadline=None, derandomize=True)
@given(pipelines(), st.integers(0, 2**32 - 1))
@pytest.mark.heavy
def test_random_pipelines_against_simulation(pipe, seed):
    err = ct.test_error(pipe, method="exact")
    assert (err.regime, err.method) == ("exact", "exact")
    assert naive.agrees(naive.errors(pipe, naive.Linear(SPECTRUM, ENERGIES), 3000, seed), err.evaluate(**AT))


def pooled(T0=20, p=(8, 6, 10), noise=0.6):
    """Two generators of one size, and a fit that pools both their rows with real ones."""
    pipe = ct.Pipeline()
    a, b = (pipe.fit(pipe.sample(T=T0, noise=1.0)) for _ in range(2))
    sources = (ct.TRUTH, a, b)
    pipe.fit([pipe.sample(T=T, noise=noise, source=s) for T, s in zip(p, sources, strict=True)])
    return pipe


def test_the_constants_are_exact_and_those_of_the_operator_are_not():
    """Three labellers: the mean labeller's error, tau times their disagreement, and the noise, by hand."""
    pipe, N, v = pooled(), 24, D / (20 - D - 1)
    tau = (N - 2 + N * (N * D - 2) / (N - D - 1)) / ((N + 2) * (N - 1))
    p = np.array([8, 6, 10]) / N
    mean = v * (p[1] ** 2 + p[2] ** 2)
    apart = v * (p[1] + p[2]) - mean  # sum_i p_i |w_i - mean|^2 of independent labellers
    want = mean + tau * apart + 0.36 * D / (N - D - 1)
    exact = ct.test_error(pipe, method="exact").evaluate(**AT)
    assert exact == pytest.approx(want, rel=1e-12)
    runs = naive.errors(pipe, naive.Linear(SPECTRUM, ENERGIES), 20000, seed=4)
    assert naive.agrees(runs, exact)
    assert not naive.agrees(runs, ct.test_error(pipe, method="operator").evaluate(**AT))
    assert not naive.agrees(runs, want + 0.1 * tau * apart)


def test_many_rows_and_directions_are_the_operator():
    """In proportion the exact constants tend to those of the operator, with a gap of the order of one over the size."""
    gaps = []
    for c in (10, 100):
        pipe = pooled(20 * c, tuple(c * T for T in (8, 6, 10)))
        spectrum = ct.Eigenvalues(np.repeat(SPECTRUM, c))
        exact, proportional = (
            ct.test_error(pipe, method=m).evaluate(spectrum=spectrum, target=ct.RandomTarget())
            for m in ("exact", "operator")
        )
        gaps.append(exact / proportional - 1)
    assert gaps[0] / gaps[1] == pytest.approx(10, rel=0.2)


def test_a_labeller_without_signal_leaves_a_bias():
    """Half of the rows have labels of noise alone: E = |w0|^2 (1/4 + tau/4) + noise."""
    pipe, N = ct.Pipeline(), 20
    pipe.fit([pipe.sample(T=10), pipe.sample(T=10, source=0 * ct.TRUTH, noise=0.5)])
    tau = (N - 2 + N * (N * D - 2) / (N - D - 1)) / ((N + 2) * (N - 1))
    got = ct.test_error(pipe, method="exact").evaluate(**AT, terms=True)
    assert got["bias"] == pytest.approx(SPECTRUM @ ENERGIES * (1 + tau) / 4, rel=1e-12)
    assert got["variance"] == pytest.approx(0.125 * D / (N - D - 1), rel=1e-12)


def test_unbiased_labellers_leave_no_bias_to_the_last_bit():
    pipe = ct.workflows.fresh_real(4, ct.Stage(T=12, noise=0.5), ct.Stage(T=9, noise=0.5))
    assert ct.test_error(pipe, method="exact").terms["bias"] == 0


def test_many_rounds_are_the_theorem():
    for n in (0, 1, 7, 40):
        pipe = ct.workflows.fresh_real(n, ct.Stage(T=20, noise=0.5), ct.Stage(T=12, noise=0.8))
        got = ct.test_error(pipe, method="exact").evaluate(**AT)
        theorem = ct.catalog["ols-fresh-real"].error
        assert theorem.evaluate(spectrum=AT["spectrum"], n=n, T=20, N=32, sigma=0.5, sigma0=0.8) == pytest.approx(
            got, rel=1e-12
        )


def test_derivatives_go_through():
    rows, noise = ct.symbols.T0, ct.symbols.sigma
    err = ct.test_error(pooled(T0=rows, noise=noise), method="exact")
    for name, x in (("T0", 20), ("sigma", 0.6)):
        values = {"T0": 20, "sigma": 0.6}
        with workdps(60):
            h = mpf(10) ** -20
            up, down = (err.evaluate(**AT, digits=50, **{**values, name: mpf(x) + e}) for e in (h, -h))
            slope = float((up - down) / (2 * h))
        assert err.diff(name).evaluate(**AT, **values) == pytest.approx(slope, rel=1e-9)


def test_outside_its_domain_it_says_what_holds_there():
    err = ct.test_error(pooled(p=(3, 2, 2)), method="exact")
    with pytest.raises(ct.DomainError, match=r'd \+ 2.*method="operator"'):
        err.evaluate(**AT)
    assert ct.test_error(pooled(p=(3, 2, 1)), method="operator").evaluate(**AT) > 0


def test_fits_that_share_inputs_or_weight_rows_are_not_covered():
    pipe = ct.Pipeline()
    real = pipe.sample(T=20, noise=1)
    m = pipe.fit(real)
    fake = pipe.sample(T=20, noise=1, source=m)
    shared = pipe.fit([real, pipe.sample(T=20, source=0.5 * ct.TRUTH)])
    weighted = pipe.fit([fake, pipe.sample(T=10)], weights=[1, 2])
    pipe.fit([pipe.sample(T=20, source=m), pipe.sample(T=20, source=shared)])
    for model in (weighted, None):
        with pytest.raises(ct.PipelineError, match='method="exact" covers'):
            ct.test_error(pipe, model, method="exact")
