"""The calculus of covariances: the order of labellers, random pipelines, symbols, simulation and bad input."""

import pickle

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import collapse_theory as ct
from collapse_theory.families.calculus import RowLaw, moments
from collapse_theory.families.models import Exponential

W, Stage = ct.workflows, ct.Stage
T, T0, w = ct.symbols.T, ct.symbols.T0, ct.symbols.w


@pytest.mark.parametrize("law", list(RowLaw))
@pytest.mark.parametrize("order", [(0, 3, 2), (2, 1, 0), (1, 0, 3), (0, 0, 2), (1, 3, 3, 0)])
def test_the_order_of_labellers_changes_nothing(order, law):
    def covariances(order, source):
        pipe = ct.Pipeline()
        fits = [pipe.fit(pipe.sample(T=t)) for t in (5, 7, 9, 11)]
        pipe.fit(pipe.sample(T=6, source=source([fits[k] for k in order])))
        return moments(pipe, law).covariances

    def mean(models):
        return sum((sp.Rational(1, len(models)) * model for model in models), 0 * ct.TRUTH)

    for source in (mean, lambda models: ct.one_of(*models)):
        got = covariances(order, source)
        assert got == covariances(sorted(order), source)
        assert got[-1, 3] == sp.Rational(order.count(3), len(order)) * got[3, 3]


def random_pipeline(draw, linear):
    """Up to four fits; samples reused, weighted, subsampled, mixed."""
    pipe = ct.Pipeline()
    fits = []
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.integers(0, 3))
        rows = draw(st.integers(2, 6))
        if kind == 1 and fits:
            pipe.sample(T=rows, source=ct.one_of(*[draw(st.sampled_from([ct.TRUTH, *fits])) for _ in range(2)]))
        elif kind == 2 and fits and linear:
            share = draw(st.sampled_from([0.25, 0.5]))
            pipe.sample(T=rows, source=share * ct.TRUTH + (1 - share) * draw(st.sampled_from(fits)))
        else:
            pipe.sample(T=rows, source=draw(st.sampled_from([ct.TRUTH, *fits])))
        if kind == 3 and len(pipe.samples) > 1:
            pool = [s for s in pipe.samples[-2:] if not s.pool]
            pipe.subsample(pool, T=draw(st.integers(1, int(sum(s.T for s in pool)))))
        used = draw(st.lists(st.sampled_from(pipe.samples), min_size=1, max_size=3, unique=True))
        fits.append(pipe.fit(used, weights=[draw(st.sampled_from([0.5, 1.0, 2.0])) for _ in used]))
    return pipe


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_random_pipelines_exact_equals_float_and_is_a_covariance(data):
    pipe = random_pipeline(data.draw, linear=True)
    for fam in (ct.Categorical([0.5, 0.5]), ct.Gaussian(), ct.Regular()):
        exact = np.array(ct.covariances(pipe, family=fam, exact=True).tolist(), dtype=float)
        quick = ct.covariances(pipe, family=fam, exact=False)
        np.testing.assert_allclose(quick, exact, atol=1e-13)
        assert np.linalg.eigvalsh(exact).min() > -1e-12
        if fam.name != "Regular":
            assert (np.diag(exact) < 1 + 1e-12).all()


TOKENS, PAIRS, SIX = ct.Categorical([0.4, 0.3, 0.2, 0.1]), ct.Gaussian(2), Stage(T=6)


@pytest.mark.parametrize(("fam", "build"), [
    (TOKENS, lambda: W.accumulate_subsample(4, SIX)),
    (PAIRS, lambda: W.accumulate(4, SIX)),
    pytest.param(TOKENS, lambda: W.accumulate(4, SIX), marks=pytest.mark.heavy),
    pytest.param(PAIRS, lambda: W.accumulate_subsample(4, SIX), marks=pytest.mark.heavy),
])  # fmt: skip
def test_simulate_and_validate(fam, build):
    err = ct.test_error(build(), family=fam)
    assert err.regime == "exact"
    check = ct.validate(err, trials=3000, seed=3)
    assert check.passed
    sim = check.simulation
    np.testing.assert_array_equal(sim.errors[:40], ct.simulate(build(), family=fam, trials=40, seed=3, jobs=2).errors)
    assert abs(sim.mean - err.evaluate()) < 5 * sim.sem
    assert abs(sim.mean - 1.3 * err.evaluate()) > 4 * sim.sem  # control


def test_symbolic_and_picklable():
    for fam in (ct.Categorical([0.5, 0.5]), ct.Gaussian(), ct.Regular()):
        err = ct.test_error(W.accumulate(2, Stage(T=T)), family=fam)
        assert pickle.loads(pickle.dumps(err)).evaluate(T=5) == err.evaluate(T=5)
        np.testing.assert_allclose(err.evaluate(T=np.array([5, 9])), [
            ct.test_error(W.accumulate(2, Stage(T=t)), family=fam).evaluate() for t in (5, 9)])  # fmt: skip


def test_bad_input():
    fam = ct.Gaussian()
    for stage, word in ((Stage(T=5, noise=0.1), "noise"), (Stage(T=5, ridge=0.1), "ridge")):
        with pytest.raises(ct.PipelineError, match=word):
            ct.test_error(W.accumulate(2, stage), family=fam)
    with pytest.raises(ct.PipelineError, match="design"):
        ct.test_error(W.label_mix(1, Stage(T=5), weight=0.5), family=fam)
    pipe = ct.Pipeline()
    m1 = pipe.fit(pipe.sample(T=5))
    pipe.fit(pipe.sample(T=5, source=0.5 * m1))
    with pytest.raises(ct.PipelineError, match=r"sum to 1.*0\.5"):
        ct.covariances(pipe, family=ct.Regular())
    pipe = ct.Pipeline()
    m1 = pipe.fit(pipe.sample(T=5))
    pipe.fit(pipe.sample(T=5, source=2 * ct.TRUTH - m1))
    assert ct.covariances(pipe, family=ct.Regular())[1, 1] == sp.Rational(2, 5)
    with pytest.raises(ct.PipelineError, match="non-negative"):
        ct.covariances(pipe, family=fam)
    with pytest.raises(ct.PipelineError, match="model"):
        ct.simulate(W.accumulate(2, Stage(T=5)), family=ct.Regular(), trials=2)
    with pytest.raises(ct.PipelineError, match="method"):
        ct.test_error(W.accumulate(2, Stage(T=5)), family=fam, method="operator")


@pytest.mark.parametrize("fam", [ct.Gaussian(), ct.Categorical([0.5, 0.5]), ct.Regular(Exponential(2.0))], ids=repr)
def test_simulations_need_the_values_of_the_symbols_and_no_others(fam):
    pipe = W.accumulate(1, Stage(T=T0))
    how = {"family": fam, "trials": 2}
    for values, got in (({}, "none"), ({"T": 5}, "T"), ({"T0": 5, "T": 5}, "T, T0")):
        with pytest.raises(ct.DomainError, match=rf"each symbol of the pipeline \(T0\), got {got};"):
            ct.simulate(pipe, **how, **values)
    with pytest.raises(ct.DomainError, match=r"\(none\), got T0;"):
        ct.simulate(W.accumulate(1, Stage(T=5)), **how, T0=5)
    assert ct.simulate(pipe, **how, T0=5).mean == ct.simulate(W.accumulate(1, Stage(T=5)), **how).mean
