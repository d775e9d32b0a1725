"""The effective ridge: root, limits, homogeneity, monotonicity, derivatives; degrees of freedom."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mpf

import collapse_theory as ct
from collapse_theory.algebra.effective import EffectiveRidge, ResidualDegrees
from collapse_theory.algebra.integrals import df
from collapse_theory.symbols import T, lam
from tests import reference as ref


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.floats(-9, 3).map(lambda x: 10.0**x), min_size=1, max_size=9), st.floats(0.5, 20), st.floats(-12, 6))
def test_agrees_with_bisection_to_fifty_digits(s, rows, log_lam):
    for ridge in (0.0, 10.0**log_lam):
        if ridge == 0 and abs(rows - len(s)) < 1e-6:
            continue
        got = ct.effective_ridge(ct.Eigenvalues(s), T=rows, lam=ridge)
        assert ref.relative(got, ref.kappa(ref.numbers(s), mpf(rows), mpf(ridge))) < 1e-12


def test_isotropic_at_the_threshold_is_the_root_of_a_quadratic():
    """At T = d, ``kappa**2 = lam*(s + kappa)``, the upper end of the bracket itself; the golden ratio at ``lam = s``."""
    lam = np.array([1e-9, 0.01, 0.5, 1, 4, 100, 1e9])
    for s in (0.7, 1.0, 3.0):
        got = ct.effective_ridge(ct.Eigenvalues([s] * 6), T=6, lam=s * lam)
        np.testing.assert_allclose(got, s * (lam + np.sqrt(lam**2 + 4 * lam)) / 2, rtol=1e-15)


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_is_homogeneous(scale):
    s = np.arange(1, 101) ** -1.5
    one = ct.effective_ridge(ct.Eigenvalues(s), T=40, lam=[0, 1e-3])
    assert np.allclose(
        ct.effective_ridge(ct.Eigenvalues(scale * s), T=40, lam=[0, scale * 1e-3]), scale * one, rtol=1e-13
    )


def test_derivatives():
    assert EffectiveRidge(T, lam).diff(lam) == T / ResidualDegrees(T, lam)
    kappa = EffectiveRidge(T, lam)
    assert EffectiveRidge(T, lam).diff(T) == -kappa * df(1, kappa) / (T * ResidualDegrees(T, lam))


def test_shapes_and_bad_values():
    assert ct.effective_ridge(ct.Isotropic(5), T=[[3], [8]], lam=[0, 1, 2]).shape == (2, 3)
    assert ct.effective_ridge(ct.Isotropic(5), T=np.zeros((0, 2)), lam=1).shape == (0, 2)
    assert np.array_equal(ct.degrees_of_freedom(ct.Isotropic(8), [0, 1], order=2), [8, 2])
    for change in ({"T": 0}, {"lam": -1}, {"T": [1, 2], "lam": [1, 2, 3]}):
        with pytest.raises(ct.DomainError, match=r"T|lam|broadcast"):
            ct.effective_ridge(ct.Isotropic(5), **{"T": 3, "lam": 1, **change})
    with pytest.raises(ct.DomainError, match="spectrum"):
        ct.effective_ridge([1, 2], T=3, lam=1)
