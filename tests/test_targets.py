"""Targets: energies against the definitions, at any precision, and what is refused."""

import pickle

import mpmath
import numpy as np
import pytest
import sympy as sp

import collapse_theory as ct

POWER = ct.PowerLaw(6, beta=1.3, scale=sp.Rational(3, 2))
TARGETS = [
    ct.Energies([1.0, 0, 2, 3, 0.1, 7]),
    ct.Coefficients([1.0, -2, 0.1, 0, 3, 4]),
    ct.RandomTarget(norm2=2),
    ct.SourceTarget(r=0.4, scale=3),
]


def test_energies():
    np.testing.assert_array_equal(TARGETS[0].energies(POWER), [1.0, 0, 2, 3, 0.1, 7])
    np.testing.assert_allclose(TARGETS[1].energies(POWER), np.array([1.0, -2, 0.1, 0, 3, 4]) ** 2, rtol=1e-15)
    np.testing.assert_allclose(TARGETS[2].energies(POWER), 2 / 6, rtol=1e-15)
    j = np.arange(1, 7)
    np.testing.assert_allclose(
        POWER.eigenvalues * TARGETS[3].energies(POWER), 3 * j ** -(1 + 2 * 0.4 * 1.3), rtol=1e-14
    )


@pytest.mark.parametrize("target", TARGETS, ids=repr)
def test_exact_energies_round_to_the_doubles_and_pickle(target):
    with mpmath.workdps(50):
        exact = [float(x) for x in target.exact_energies(POWER, mpmath.mp)]
    np.testing.assert_allclose(target.energies(POWER), exact, rtol=1e-14)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(target)).energies(POWER), target.energies(POWER))


def test_exact_source_target_against_mpmath():
    with mpmath.workdps(50):
        r, beta = mpmath.mpf(0.4), mpmath.mpf(1.3)
        want = [
            3 * mpmath.mpf(j) ** -(1 + 2 * r * beta) / (mpmath.mpf(3) / 2 * mpmath.mpf(j) ** -beta) for j in range(1, 7)
        ]
        got = TARGETS[3].exact_energies(POWER, mpmath.mp)
        assert all(abs(a / b - 1) < mpmath.mpf(10) ** -47 for a, b in zip(got, want, strict=True))


def test_exact_coefficients_are_squared_exactly():
    with mpmath.workdps(50):
        got = ct.Coefficients([0.1]).exact_energies(ct.Isotropic(1), mpmath.mp)[0]
        assert got == mpmath.mpf(0.1) ** 2
        assert got != mpmath.mpf(0.1**2)


def test_lengths_must_match():
    for target in TARGETS[:2]:
        with pytest.raises(ct.DomainError, match="one energy per eigenvalue"):
            target.energies(ct.Isotropic(5))


def test_a_source_target_needs_a_power_law():
    for spectrum in (ct.Isotropic(6), ct.Eigenvalues(POWER.eigenvalues), ct.Spiked(6, spikes=[2])):
        with pytest.raises(ct.DomainError, match="PowerLaw"):
            TARGETS[3].energies(spectrum)
        with pytest.raises(ct.DomainError, match="PowerLaw"):
            TARGETS[3].exact_energies(spectrum, mpmath.mp)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ct.Energies([-1.0]),
        lambda: ct.Energies([float("nan")]),
        lambda: ct.Energies([]),
        lambda: ct.Energies([[1.0]]),
        lambda: ct.Energies("abc"),
        lambda: ct.Coefficients([float("inf")]),
        lambda: ct.RandomTarget(norm2=-1),
        lambda: ct.RandomTarget(norm2=float("nan")),
        lambda: ct.RandomTarget(norm2=None),
        lambda: ct.SourceTarget(r=0),
        lambda: ct.SourceTarget(r=-1),
        lambda: ct.SourceTarget(r=1, scale=-1),
        lambda: ct.SourceTarget(r="1"),
    ],
)
def test_bad_targets(make):
    with pytest.raises(ct.DomainError):
        make()
