"""Exact least squares of random small pipelines against matrix algebra, written out here."""

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import collapse_theory as ct
from collapse_theory.derive.exact import affine_closed_form
from collapse_theory.describe.recognise import increments
from collapse_theory.symbols import n

D, T = 4, 11


@st.composite
def one_design_pipelines(draw):
    """Random least-squares fits on one design: sources, weights and noises arbitrary."""
    pipe = ct.Pipeline()
    first = pipe.sample(T=T, noise=draw(st.sampled_from([0, 0.5, 1.5])))
    pipe.fit(first)
    for _ in range(draw(st.integers(1, 3))):
        samples = [first] if draw(st.booleans()) else []
        for _ in range(draw(st.integers(1, 2))):
            w = draw(st.sampled_from([0, 0.3, 0.7, 1]))
            model = draw(st.sampled_from(pipe.fits))
            noise = draw(st.sampled_from([0, 0.25, 1]))
            samples.append(pipe.sample(design=first, noise=noise, source=w * ct.TRUTH + (1 - w) * model))
        pipe.fit(samples, weights=[draw(st.sampled_from([1, 2, 0.5])) for _ in samples])
    return pipe


def labels_of(pipe):
    """Return (share of the truth, gain of each sample's noise) of the last fit, by explicit averages of label vectors."""
    k = len(pipe.samples)
    fits = {}
    for f in pipe.fits:
        total = sum(float(a) for a in f.weights)
        vector = np.zeros(k + 1)
        for s, a in zip(f.samples, f.weights, strict=True):
            labels = np.eye(k + 1)[s.index + 1]
            for m, c in s.source:
                labels = labels + float(c) * (fits[m.index] if isinstance(m, ct.Fit) else np.eye(k + 1)[0])
            vector += float(a) / total * labels
        fits[f.index] = vector
    return vector[0], vector[1:]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(one_design_pipelines())
def test_one_design_agrees_with_averages_of_labels(pipe):
    truth, gains = labels_of(pipe)
    noise = sum(g**2 * float(s.noise) ** 2 for g, s in zip(gains, pipe.samples, strict=True))
    err = ct.test_error(pipe)
    got = err.evaluate(spectrum=ct.PowerLaw(D, 1), target=ct.RandomTarget(3))
    bias = (1 - truth) ** 2 * 3 / D * sum(1 / j for j in range(1, D + 1))
    assert err.regime == "exact"
    assert got == pytest.approx(noise * D / (T - D - 1) + bias, rel=1e-12, abs=1e-25)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(8, 30), st.sampled_from([0, 0.5, 1.0]), st.booleans()), min_size=1, max_size=4))
def test_replace_or_accumulate_in_any_order_telescopes(rounds):
    pipe, last, pool, want = ct.Pipeline(), ct.TRUTH, [], 0.0
    for rows, noise, keep in rounds:
        new = pipe.sample(T=rows, noise=noise, source=last)
        pool = [*pool, new] if keep else [new]
        last = pipe.fit(pool)
        N = sum(int(s.T) for s in pool)
        want += noise**2 * rows / N * D / (N - D - 1)
    assert len(increments(pipe, pipe.fits[-1])) == len(rounds)
    assert ct.test_error(pipe).evaluate(spectrum=ct.Isotropic(D)) == pytest.approx(want, rel=1e-12)


def test_simulation_agrees_on_one_design_and_rejects_mutants():
    pipe = ct.workflows.label_mix(3, ct.Stage(T=T, noise=1.0), weight=0.3)
    kw = dict(spectrum=ct.Isotropic(D), target=ct.RandomTarget())  # noqa: C408
    sim = ct.simulate(pipe, trials=3000, seed=1, **kw)
    theory = ct.test_error(pipe).evaluate(**kw)
    assert abs(sim.mean - theory) < 4 * sim.sem
    assert abs(sim.mean - 1.3 * theory) > 4 * sim.sem


def test_averages_of_labels_stay_averages():
    pipe = ct.Pipeline()
    s = pipe.sample(T=T, noise=1)
    m = pipe.fit(s)
    pipe.fit(pipe.sample(design=s, source=0.7 * ct.TRUTH + 0.3 * m, noise=1))
    assert ct.test_error(pipe).terms["bias"] == 0


def test_random_labellers_on_one_design_are_not_covered():
    pipe = ct.Pipeline()
    s = pipe.sample(T=9)
    m = pipe.fit(s)
    pipe.fit(pipe.sample(design=s, source=ct.one_of(ct.TRUTH, m)))
    with pytest.raises(ct.PipelineError):
        ct.test_error(pipe)


def test_affine_recursions():
    v = [sp.Rational(1)]
    for _ in range(8):
        v.append(sp.Rational(2, 3) * v[-1] + sp.Rational(1, 5))
    closed = affine_closed_form(v[0], v[1], v[2], n)
    assert all(sp.simplify(closed.subs(n, k).doit() - x) == 0 for k, x in enumerate(v))
