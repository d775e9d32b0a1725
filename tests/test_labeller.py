"""The mean-labeller theorem: against the operator on chains, against an explicit recursion, and against simulation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import collapse_theory as ct
from collapse_theory.derive.labeller import pooled_risk, pooled_stages
from collapse_theory.derive.labeller_scalars import PooledBias, pooled_scalars
from collapse_theory.derive.pooled import pooled_system
from collapse_theory.describe.literals import without_literals

SPECTRUM, TARGET = ct.PowerLaw(60, beta=1.1), ct.RandomTarget(norm2=1.0)


@st.composite
def pipelines(draw, fits=3):
    """Random pipelines whose samples have inputs of their own: mixed labellers, several samples per fit, any ridge."""
    pipe = ct.Pipeline()
    rows, noise = st.integers(15, 120), st.floats(0.05, 1)
    for _ in range(draw(st.integers(1, fits))):
        samples = []
        for _ in range(draw(st.integers(1, 3))):
            source = ct.Source(())
            for labeller in (ct.TRUTH, *pipe.fits):
                if draw(st.booleans()):
                    source = source + draw(st.floats(-1, 1).filter(lambda x: abs(x) > 0.01)) * labeller
            samples.append(pipe.sample(T=draw(rows), noise=draw(noise), source=source))
        ridge = draw(st.sampled_from([0, 1e-3, 0.05, 1.0]))
        if sum(int(s.T) for s in samples) == SPECTRUM.rank:
            ridge = 0.05
        pipe.fit(samples, ridge=ridge)
    return pipe


@given(pipelines(fits=2))  # three written out take seconds
@settings(max_examples=12, deadline=None)
def test_explicit_and_opaque_forms_agree_and_are_not_negative(pipe):
    copy, fit, _ = without_literals(pipe, pipe.fits[-1])
    formula = ct.test_error(pipe, method="operator")
    bias, variance = PooledBias.of(pooled_stages(pooled_system(copy, fit))).both
    opaque = replace(formula, parts={"bias": bias, "variance": variance})
    a = formula.evaluate(spectrum=SPECTRUM, target=TARGET, terms=True)
    b = opaque.evaluate(spectrum=SPECTRUM, target=TARGET, terms=True)
    for name in a:
        assert a[name] >= 0
        assert b[name] == pytest.approx(a[name], rel=1e-10, abs=1e-14)


@given(st.integers(0, 3), st.sampled_from([0, 0.01, 0.5]), st.sampled_from([0, 0.1]))
@settings(max_examples=20, deadline=None)
def test_chains_agree_with_the_generation_operator(n, ridge, generator_ridge):
    pipe = ct.workflows.replace(
        n, ct.Stage(T=45, noise=0.3, ridge=generator_ridge), ct.Stage(T=90, noise=0.2, ridge=ridge)
    )
    chain = ct.test_error(pipe, method="operator")
    copy, fit, _ = without_literals(pipe, pipe.fits[-1])
    bias, variance = pooled_risk(pooled_stages(pooled_system(copy, fit)))
    pooled = replace(chain, parts={"bias": bias, "variance": variance})
    a, b = (f.evaluate(spectrum=SPECTRUM, target=TARGET, terms=True) for f in (chain, pooled))
    assert b["bias"] == pytest.approx(a["bias"], rel=1e-12)
    assert b["variance"] == pytest.approx(a["variance"], rel=1e-12)


def test_a_combination_equal_to_the_truth_is_the_truth():
    def error(split):
        pipe = ct.Pipeline()
        samples = [pipe.sample(T=40, noise=0.3, source=c * ct.TRUTH) for c in ([1, 1] if split else [1])]
        if not split:
            samples = [pipe.sample(T=80, noise=0.3)]
        pipe.fit(samples, ridge=0.1)
        return ct.test_error(pipe, method="operator").evaluate(spectrum=SPECTRUM, target=TARGET)

    assert error(split=True) == pytest.approx(error(split=False), rel=1e-13)


def mixed():
    pipe = ct.Pipeline()
    a = pipe.fit(pipe.sample(T=180, noise=0.2), ridge=0.1)
    b = pipe.fit(pipe.sample(T=120, noise=0.3), ridge=0.01)
    labels = [(140, 0.5 * a + 0.3 * b + 0.2 * ct.TRUTH), (100, a - 0.5 * b), (80, ct.TRUTH)]
    pipe.fit([pipe.sample(T=T, noise=0.1, source=source) for T, source in labels], ridge=0.05)
    return pipe


def test_against_simulation_with_a_mutant():
    """200 directions: the finite-size gap is below the Monte Carlo error; without the disagreement noise it fails."""
    spectrum = ct.PowerLaw(200, beta=1.0)
    pipe = mixed()
    theory = ct.test_error(pipe).evaluate(spectrum=spectrum, target=TARGET)
    simulation = ct.simulate(pipe, spectrum=spectrum, target=TARGET, trials=200, seed=4)
    assert abs(simulation.mean - theory) < 4 * simulation.sem, str(simulation)
    agreeing = ct.Pipeline()  # the mutant: the same mean labeller, but all labels from it, so that nothing disagrees
    fits = [agreeing.fit(agreeing.sample(T=T, noise=s), ridge=r) for T, s, r in ((180, 0.2, 0.1), (120, 0.3, 0.01))]
    p = np.array([140, 100, 80]) / 320
    mean = (0.5 * p[0] + p[1]) * fits[0] + (0.3 * p[0] - 0.5 * p[1]) * fits[1] + (0.2 * p[0] + p[2]) * ct.TRUTH
    agreeing.fit(agreeing.sample(T=320, noise=0.1, source=mean), ridge=0.05)
    mutant = ct.test_error(agreeing).evaluate(spectrum=spectrum, target=TARGET)
    assert abs(simulation.mean - mutant) > 4 * simulation.sem


def test_long_pipelines_stay_small_and_symbolic():
    real, synthetic = ct.Stage(T=80, noise=0.3, ridge=0.1), ct.Stage(T=120, noise=0.2, ridge=ct.symbols.lam)
    pipe = ct.workflows.fresh_real(12, real, synthetic)
    formula = ct.test_error(pipe)
    assert formula.expr.count_ops() < 100
    assert formula.free_symbols == {ct.symbols.lam}
    values = formula.evaluate(spectrum=SPECTRUM, target=TARGET, lam=[0.0, 0.1, 1.0])
    assert values.shape == (3,)
    exact = formula.evaluate(spectrum=SPECTRUM, target=TARGET, lam=0.1, digits=25)
    assert float(exact) == pytest.approx(values[1], rel=1e-12)


def test_pooled_scalars_unfold():
    pipe = ct.workflows.fresh_real(3, ct.Stage(T=80, noise=0.3, ridge=0.1), ct.Stage(T=120, noise=0.2, ridge=0.05))
    copy, fit, _ = without_literals(pipe, pipe.fits[-1])
    bias, variance = pooled_scalars(pooled_system(copy, fit))
    assert (bias.doit(), variance.doit()) == pooled_risk(pooled_stages(pooled_system(copy, fit)))


def test_shared_inputs_and_row_weights_are_refused():
    keep = ct.workflows.keep_real(1, ct.Stage(T=40, ridge=0.1), ct.Stage(T=40, ridge=0.1))
    with pytest.raises(ct.PipelineError, match="operator"):
        ct.test_error(keep, method="operator")
    weighted = ct.workflows.fresh_real(1, ct.Stage(T=40, ridge=0.1), ct.Stage(T=60, ridge=0.1), weight=0.3)
    with pytest.raises(ct.PipelineError, match="operator"):
        ct.test_error(weighted, method="operator")


def unbiased(fits):
    """Return ridgeless fits on more rows than directions, most labelled by an average of the truth and the fit before."""
    pipe = ct.Pipeline()
    last = pipe.fit([pipe.sample(T=135), pipe.sample(T=120)], ridge=0)
    for _ in range(fits - 1):
        labels = [(120, ct.TRUTH), (135, 0.7 * last + 0.3 * ct.TRUTH), (80, 0.7 * last + 0.3 * ct.TRUTH)]
        last = pipe.fit([pipe.sample(T=T, noise=0.3, source=source) for T, source in labels], ridge=0)
    return ct.test_error(pipe, method="operator")


@pytest.mark.parametrize("fits", [1, 2, 3, 5])
def test_what_is_unbiased_has_no_bias_to_the_last_bit(fits):
    """Shares such as 20/55 and 35/55 do not sum to one in any arithmetic with rounding."""
    formula = unbiased(fits)
    assert formula.parts["bias"].has(PooledBias) == (fits > 3)
    terms = formula.evaluate(spectrum=SPECTRUM, target=TARGET, terms=True)
    exact = formula.evaluate(spectrum=SPECTRUM, target=TARGET, terms=True, digits=30)
    assert terms["bias"] == exact["bias"] == 0
    assert float(exact["variance"]) == pytest.approx(terms["variance"], rel=1e-13)
    assert (terms["variance"] > 0) == (fits > 1)


def test_rows_of_equal_labellers_are_one_sample():
    def error(split):
        pipe = ct.Pipeline()
        first = pipe.fit(pipe.sample(T=45, noise=0.3), ridge=0.1)
        sizes = [30, 50] if split else [80]
        samples = [pipe.sample(T=T, noise=0.2, source=0.6 * first + 0.1 * ct.TRUTH) for T in sizes]
        pipe.fit(samples, ridge=0.1)
        return ct.test_error(pipe, method="operator")

    assert error(split=True).evaluate(spectrum=SPECTRUM, target=TARGET) == pytest.approx(
        error(split=False).evaluate(spectrum=SPECTRUM, target=TARGET), rel=1e-14
    )


@pytest.mark.parametrize("ridge", [0.0, 0.03])
def test_a_run_of_fits_is_its_fits_one_by_one(ridge):
    """The two directions of the recursion, and a run against as many stages, in one batch with runs of other lengths."""
    kw = {"spectrum": SPECTRUM, "target": TARGET, "terms": True}
    chain = ct.catalog["ridge-chain"].error
    values = {"T": 80, "T0": 90, "lam": 0.2, "lam0": ridge, "sigma": 0.3, "sigma0": 0.2}
    counts = [0, 3, 1, 6]
    batch = chain.evaluate(**kw, **values, n=counts)
    for i, n in enumerate(counts):
        backwards = chain.subs({"n": n}).doit() if n < 4 else None
        pipe = ct.workflows.replace(n, ct.Stage(T=90, noise=0.2, ridge=ridge), ct.Stage(T=80, noise=0.3, ridge=0.2))
        copy, fit, _ = without_literals(pipe, pipe.fits[-1])
        bias, variance = PooledBias.of(pooled_stages(pooled_system(copy, fit))).both
        pooled = replace(ct.test_error(pipe, method="operator"), parts={"bias": bias, "variance": variance})
        one_by_one = pooled.evaluate(**kw)
        for name in ("bias", "variance"):
            assert batch[name][i] == pytest.approx(one_by_one[name], rel=1e-13, abs=1e-300)
            if backwards is not None:
                used = {k: v for k, v in values.items() if k in {x.name for x in backwards.free_symbols}}
                assert batch[name][i] == pytest.approx(backwards.evaluate(**kw, **used)[name], rel=1e-12)
    assert batch["variance"][1] != pytest.approx(batch["variance"][3], rel=1e-3)


def test_long_runs_stay_cheap_and_settle():
    """Without a ridge a million fits add as much noise each; with one the noise settles."""
    chain = ct.catalog["ridge-chain"].error
    values = {"T": 80, "T0": 90, "lam": 0.2, "lam0": 0, "sigma": 0.3, "sigma0": 0.2}
    runs = [10**6, 2 * 10**6]
    got = chain.evaluate(spectrum=SPECTRUM, target=TARGET, terms=True, **values, n=[0, *runs])
    added = got["variance"][1:] - got["variance"][0]
    assert added[1] == pytest.approx(2 * added[0], rel=1e-14)
    settled = chain.evaluate(spectrum=SPECTRUM, target=TARGET, terms=True, **values | {"lam0": 0.5}, n=[10**5, 10**7])
    assert settled["variance"][0] == settled["variance"][1]
