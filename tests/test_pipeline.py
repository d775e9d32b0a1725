"""The pipeline as a graph: what it records, what it answers, and what it refuses."""

import pickle

import pytest
import sympy as sp

import collapse_theory as ct
from collapse_theory import symbols


def two_fits():
    pipe = ct.Pipeline()
    real = pipe.sample(T=600, noise=0.5)
    m1 = pipe.fit(real, ridge=symbols.lam)
    fake = pipe.sample(T=symbols.T, noise=0.5, source=0.6 * ct.TRUTH + 0.4 * m1)
    return pipe, real, m1, fake, pipe.fit([real, fake], weights=[1.5, 0.75], ridge=0.1)


def test_nodes_record_what_was_said():
    pipe, real, m1, fake, m2 = two_fits()
    assert pipe.nodes == (real, m1, fake, m2)
    assert m2.samples == (real, fake)
    assert m2.N == 600 + symbols.T
    assert fake.labellers == (ct.TRUTH, m1)
    assert pipe.free_symbols == {symbols.lam, symbols.T}
    assert pipe.model() == m2
    assert pipe.ancestors(m2) == (m1, m2)
    same = pipe.sample(design=real)
    again = pipe.sample(design=same)
    assert again.inputs == same.inputs == real


def test_nodes_are_immutable_and_compare_by_identity():
    _, real, m1, *_ = two_fits()
    with pytest.raises(AttributeError):
        real.T = 3
    assert two_fits()[2] != m1


def test_sources_add_and_scale():
    _, _, m1, *_ = two_fits()
    assert ct.Source.of(ct.TRUTH) == 2 * ct.TRUTH - ct.TRUTH
    assert (ct.TRUTH + m1) / 2 == sp.Rational(1, 2) * ct.TRUTH + m1 / 2
    assert (m1 - m1).coefficients == ()
    assert repr((1 - symbols.w) * m1) == "(1 - w)*m1"
    for bad in (lambda: ct.TRUTH + 1, lambda: "m1" * ct.TRUTH, lambda: m1 / 0, lambda: float("nan") * m1):
        with pytest.raises(ct.PipelineError):
            bad()


def test_pickling_keeps_the_graph_also_of_long_chains():
    stage = ct.Stage(T=10, noise=0.1)
    pipe = ct.workflows.replace(2000, stage, stage)
    again = pickle.loads(pickle.dumps(pipe))
    assert [*again.parameters()] == [*pipe.parameters()]
    assert again.nodes == pipe.nodes
    assert again.samples[-1].labellers == (again.fits[-2],)


def test_replaced_rewrites_parameters_and_keeps_structure():
    pipe, *_ = two_fits()
    out = pipe.replaced({symbols.lam: sp.Integer(2)})
    assert out.fits[0].ridge == 2
    assert [n.name for n in out.nodes] == [n.name for n in pipe.nodes]
    assert repr(out.samples[1].source) == repr(pipe.samples[1].source)


BAD = {
    "no rows": lambda p, s, m: p.sample(T=0),
    "negative rows": lambda p, s, m: p.sample(T=-5),
    "fractional rows": lambda p, s, m: p.sample(T=2.5),
    "nan rows": lambda p, s, m: p.sample(T=float("nan")),
    "infinite rows": lambda p, s, m: p.sample(T=float("inf")),
    "rows as text": lambda p, s, m: p.sample(T="10"),
    "rows missing": lambda p, s, m: p.sample(),
    "rows and design": lambda p, s, m: p.sample(T=10, design=s),
    "negative symbol": lambda p, s, m: p.sample(T=-symbols.T),
    "negative noise": lambda p, s, m: p.sample(T=10, noise=-0.1),
    "nan noise": lambda p, s, m: p.sample(T=10, noise=float("nan")),
    "complex noise": lambda p, s, m: p.sample(T=10, noise=1j),
    "negative ridge": lambda p, s, m: p.fit(s, ridge=-1e-9),
    "infinite ridge": lambda p, s, m: p.fit(s, ridge=float("inf")),
    "few weights": lambda p, s, m: p.fit([s, p.sample(T=3)], weights=[1]),
    "many weights": lambda p, s, m: p.fit(s, weights=[1, 2]),
    "negative weight": lambda p, s, m: p.fit(s, weights=[-1]),
    "zero weights": lambda p, s, m: p.fit(s, weights=[0]),
    "no samples": lambda p, s, m: p.fit([]),
    "weights a number": lambda p, s, m: p.fit([s, p.sample(T=3)], weights=1),
    "sample twice": lambda p, s, m: p.fit([s, s]),
    "fit on a fit": lambda p, s, m: p.fit(m),
    "source a sample": lambda p, s, m: p.sample(T=3, source=s),
    "source of another pipeline": lambda p, s, m: p.sample(T=3, source=two_fits()[2]),
    "mixed source of another": lambda p, s, m: p.sample(T=3, source=0.5 * m + 0.5 * two_fits()[2]),
    "one_of another": lambda p, s, m: p.sample(T=3, source=ct.one_of(m, two_fits()[2])),
    "sample of another pipeline": lambda p, s, m: p.fit(two_fits()[1]),
    "design of another pipeline": lambda p, s, m: p.sample(design=two_fits()[1]),
    "model of another pipeline": lambda p, s, m: p.model(two_fits()[2]),
    "covariance of a design": lambda p, s, m: p.sample(design=s, covariance="Sigma1"),
    "covariance not a name": lambda p, s, m: p.sample(T=3, covariance="a b"),
    "name twice": lambda p, s, m: p.sample(T=3, name="s1"),
    "name truth": lambda p, s, m: p.fit(s, name="truth"),
    "pool too small": lambda p, s, m: p.subsample(s, T=601),
    "pool empty": lambda p, s, m: p.subsample([], T=1),
    "one_of nothing": lambda p, s, m: ct.one_of(),
    "one_of a mixture": lambda p, s, m: ct.one_of(0.5 * m),
    "no fit": lambda p, s, m: ct.Pipeline().model(),
    "stage without rows": lambda p, s, m: ct.Stage(T=0),
    "stage with negative ridge": lambda p, s, m: ct.Stage(T=3, ridge=-1),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_pipelines_leave_the_pipeline_as_it_was(case):
    pipe, real, m1, *_ = two_fits()
    before = pipe.fits
    with pytest.raises(ct.PipelineError, match=r"got|at least"):
        BAD[case](pipe, real, m1)
    assert pipe.fits == before
