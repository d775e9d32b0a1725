"""Workflows against their definitions, written out node by node."""

import pytest
import sympy as sp

import collapse_theory as ct
from collapse_theory import symbols

W = ct.workflows
A, B = ct.Stage(T=40, noise=0.5, ridge=0.25), ct.Stage(T=60, noise=0.25, ridge=0.5)


def shape(pipe):
    """Return who labels each sample and which samples each fit pools."""
    return [repr(s.source) for s in pipe.samples], [[s.index for s in f.samples] for f in pipe.fits]


def test_replace():
    assert shape(W.replace(2, A, B)) == (["TRUTH", "m1", "m2"], [[0], [1], [2]])
    assert shape(W.replace(0, downstream=B)) == (["TRUTH"], [[0]])
    assert [s.T for s in W.replace(2, A, B).samples] == [40, 40, 60]


def test_accumulate():
    pipe = W.accumulate(3, A, ridge_scaling="constant", design="fixed")
    assert shape(pipe) == (["TRUTH", "m1", "m2"], [[0], [0, 1], [0, 1, 2]])
    assert [float(f.ridge * f.N) for f in pipe.fits] == [10, 10, 10]
    assert {s.inputs for s in pipe.samples} == {pipe.samples[0]}
    assert len({s.inputs for s in W.accumulate(3, A).samples}) == 3
    assert {f.ridge for f in W.accumulate(3, A).fits} == {sp.Float(0.25)}


def test_keep_and_fresh_real():
    assert shape(W.keep_real(2, A, B)) == (["TRUTH", "m1", "m2"], [[0], [0, 1], [0, 2]])
    assert shape(W.fresh_real(2, A, B)) == (["TRUTH", "TRUTH", "m1", "TRUTH", "m2"], [[0], [1, 2], [3, 4]])


def test_the_weight_is_the_real_share_of_the_total():
    fit = W.fresh_real(1, A, B, weight=symbols.w).fits[-1]
    parts = [a * s.T for a, s in zip(fit.weights, fit.samples, strict=True)]
    assert sp.simplify(parts[0] / sum(parts)) == symbols.w
    assert sp.simplify(sum(parts)) == fit.N


def test_windows_and_pools():
    assert shape(W.last_k(3, A, k=2)) == (["TRUTH", "m1", "m2"], [[0], [0, 1], [1, 2]])
    assert shape(W.random_past(3, A))[0] == ["TRUTH", "one_of(TRUTH, m1)", "one_of(TRUTH, m1, m2)"]
    pipe = W.accumulate_subsample(3, ct.Stage(T=9))
    assert [len(s.pool) for s in pipe.samples] == [0, 0, 2, 0, 3]
    assert [f.N for f in pipe.fits] == [9, 9, 9]


def test_label_mix():
    pipe = W.label_mix(2, A, weight=symbols.w)
    assert shape(pipe) == (["TRUTH", "w*TRUTH + (1 - w)*m1", "w*TRUTH + (1 - w)*m2"], [[0], [1], [2]])
    assert len({s.inputs for s in pipe.samples}) == 1
    assert (
        sp.expand(pipe.samples[1].noise ** 2 / pipe.samples[0].noise ** 2 - (2 * symbols.w**2 - 2 * symbols.w + 1)) == 0
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda: W.replace(-1, A, B),
        lambda: W.replace(1.5, A, B),
        lambda: W.replace(symbols.n, A, B),
        lambda: W.replace(1, downstream=B),
        lambda: W.replace(1, A),
        lambda: W.replace(1, 40, B),
        lambda: W.accumulate(0, A),
        lambda: W.accumulate(1, A, ridge_scaling="none"),
        lambda: W.accumulate(1, A, design="same"),
        lambda: W.accumulate(float("nan"), A),
        lambda: W.keep_real(1, A, None),
        lambda: W.fresh_real(1, A, B, weight=1.5),
        lambda: W.fresh_real(1, A, B, weight=-0.5),
        lambda: W.last_k(3, A, k=0),
        lambda: W.label_mix(1, A, weight=2),
        lambda: W.random_past(0, A),
        lambda: W.accumulate_subsample(True, A),
    ],
)
def test_bad_workflows(make):
    with pytest.raises(ct.PipelineError, match="got"):
        make()
