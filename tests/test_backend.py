"""Which libraries of arrays a predictor is compiled for, and what is said where there is none."""

import pytest

import collapse_theory as ct
from collapse_theory.numerics import backend

MEASURE = {"spectrum": ct.Isotropic(12), "target": ct.RandomTarget()}


@pytest.mark.parametrize("name", ["JAX", "torch", "", None, 3])
def test_an_unknown_back_end_is_refused(name):
    with pytest.raises(ct.DomainError, match='backend needs to be "numpy" or "jax", got'):
        ct.catalog["ridge-clean"].error.compile(**MEASURE, backend=name)


def test_without_jax_the_remedy_is_said(monkeypatch):
    monkeypatch.setattr(backend, "find_spec", lambda _: None)
    with pytest.raises(
        ct.DomainError, match=r"needs JAX, which is not installed; pip install 'collapse-theory\[jax\]'"
    ) as e:
        ct.catalog["ridge-clean"].error.compile(**MEASURE, backend="jax")
    assert "\n" not in str(e.value)


def test_numpy_is_the_default():
    error, values = ct.catalog["ridge-clean"].error, {"T": 30, "lam": 0.1, "sigma": 0.5}
    plain, named = (error.compile(**MEASURE, **how)(**values) for how in ({}, {"backend": "numpy"}))
    assert plain == named
