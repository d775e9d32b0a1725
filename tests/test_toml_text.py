"""Pipelines written as text are the pipelines that are read back."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sympy import Float, Max, Rational

import collapse_theory as ct
from collapse_theory.core.errors import PipelineError

S = ct.symbols
KW = {"spectrum": ct.PowerLaw(20, beta=1.2), "target": ct.RandomTarget(norm2=1.0)}


def back(pipe, folder):
    path = folder / "pipe.toml"
    path.write_text(pipe.to_toml())
    return ct.load(path)[0]


def test_everything_a_linear_pipeline_has_comes_back(tmp_path):
    pipe = ct.Pipeline()
    phi = pipe.features(25, name="phi")
    real = pipe.sample(T=30, noise=0.1 + 0.2, name="real")
    m1 = pipe.fit(real, ridge=S.lam / 3, features=phi)
    soft = pipe.sample(design=real, source=1.5 * real.labels - 0.5 * m1, noise=Rational(1, 3))
    m2 = pipe.fit([real, soft], weights=[1.25, -0.25], ridge=1e-300, features=7)
    pipe.fit(pipe.sample(T=S.T, source=0.1 * ct.TRUTH + 0.9 * m2), ridge=S.lam)
    again = back(pipe, tmp_path)
    assert again.to_toml() == pipe.to_toml()
    values = {"T": 40, "lam": 0.2}
    assert ct.test_error(again).evaluate(**KW, **values) == ct.test_error(pipe).evaluate(**KW, **values)


def test_filters_covariances_and_draws_come_back(tmp_path):
    pipe = ct.Pipeline()
    m = pipe.fit(pipe.sample(T=30, covariance="Sigma1"), filter=ct.GradientFlow(time=S.t))
    pipe.fit(pipe.sample(T=30, source=ct.one_of(m, ct.TRUTH)), filter=ct.GradientDescent(step=0.1, steps=3))
    pipe.fit(pipe.subsample(pipe.samples, T=9))
    assert back(pipe, tmp_path).to_toml() == pipe.to_toml()


@pytest.mark.parametrize("name", [x for x in ct.workflows.__all__ if x != "Stage"])
def test_every_workflow_comes_back(name, tmp_path):
    stage = (
        ct.Stage(T=12)
        if name in {"random_past", "random_past_rounds", "accumulate_subsample"}
        else ct.Stage(T=12, noise=0.3, ridge=0.1)
    )
    calls = {
        "replace": (2, stage, stage), "keep_real": (2, stage, stage), "fresh_real": (2, stage, stage, 0.3),
        "last_k": (3, stage, 2), "label_mix": (2, stage, 0.4),
    }  # fmt: skip
    pipe = getattr(ct.workflows, name)(*calls.get(name, (2, stage)))
    assert back(pipe, tmp_path).to_toml() == pipe.to_toml()


@given(st.floats(1e-300, 1e300))
def test_numbers_come_back_to_the_last_bit(x):
    pipe = ct.Pipeline()
    pipe.fit(pipe.sample(T=5, noise=x))
    assert float(tomllib.loads(pipe.to_toml())["sample"][0]["noise"]) == x


def test_what_text_cannot_say_is_refused():
    pipe = ct.Pipeline()
    pipe.truth("w1")
    with pytest.raises(PipelineError, match="one truth, got w1"):
        pipe.to_toml()
    for value, what in (
        (Float("0.1", 50), "more digits"),
        (Max(S.sigma, S.lam), "Max in"),
    ):
        pipe = ct.Pipeline()
        pipe.fit(pipe.sample(T=5, noise=value))
        with pytest.raises(PipelineError, match=what):
            pipe.to_toml()
