"""Spectra as measures: eigenvalues, atoms, ranks, exact nodes and what is refused."""

import pickle

import mpmath
import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import collapse_theory as ct
from collapse_theory import symbols

SPECTRA = [
    ct.Isotropic(5, scale=sp.Rational(1, 3)),
    ct.PowerLaw(7, beta=1.3, scale=2),
    ct.Spiked(6, spikes=[20, sp.Rational(7, 3)], bulk=0.1),
    ct.Eigenvalues([0.3, 2.0, 0.0, 0.1]),
]


@pytest.mark.parametrize("s", SPECTRA, ids=repr)
def test_views_of_one_measure_agree(s):
    atoms = s.atoms()
    assert sum(a.multiplicity for a in atoms) == s.d == s.dimension == s.eigenvalues.size == s.counts.sum()
    np.testing.assert_allclose(s.nodes, [float(a.eigenvalue) for a in atoms], rtol=4e-16)
    assert s.rank == np.count_nonzero(s.eigenvalues)
    again = pickle.loads(pickle.dumps(s))
    np.testing.assert_array_equal(again.eigenvalues, s.eigenvalues)


# The power law has its own test below: SymPy rounds j**-beta with a float beta to 15 digits in the atoms.
@pytest.mark.parametrize("s", [s for s in SPECTRA if not isinstance(s, ct.PowerLaw)], ids=repr)
def test_exact_nodes_have_fifty_digits(s):
    with mpmath.workdps(60):
        want = [mpmath.mpf(a.eigenvalue.evalf(60)._to_mpmath(200)) for a in s.atoms()]
        got = s.exact_nodes(mpmath.mp)
        assert all(abs(g - w) <= abs(w) * mpmath.mpf(10) ** -50 for g, w in zip(got, want, strict=True))


def test_exact_nodes_of_a_power_law_against_mpmath():
    with mpmath.workdps(50):
        want = [2 * mpmath.mpf(j) ** -mpmath.mpf(1.3) for j in range(1, 8)]
        assert all(
            abs(a / b - 1) < mpmath.mpf(10) ** -48 for a, b in zip(SPECTRA[1].exact_nodes(mpmath.mp), want, strict=True)
        )
        rounded = [mpmath.mpf(x) for x in SPECTRA[1].nodes]
        assert any(
            abs(a / b - 1) > mpmath.mpf(10) ** -30 for a, b in zip(rounded, want, strict=True)
        )  # doubles would not do


@given(st.integers(1, 200), st.floats(0.1, 4))
@settings(max_examples=40, deadline=None)
def test_power_law(d, beta):
    np.testing.assert_allclose(ct.PowerLaw(d, beta).eigenvalues, [j**-beta for j in range(1, d + 1)], rtol=1e-14)


def test_order_is_kept():
    np.testing.assert_array_equal(ct.Eigenvalues([1.0, 3.0, 2.0]).eigenvalues, [1, 3, 2])
    np.testing.assert_array_equal(ct.Spiked(3, spikes=[1, 5], bulk=2).eigenvalues, [1, 5, 2])


def test_values_cannot_be_written_to():
    values = np.array([1.0, 2.0])
    s = ct.Eigenvalues(values)
    values[0] = 7
    assert s.eigenvalues[0] == 1
    with pytest.raises(ValueError, match="read-only"):
        s.nodes[0] = 3


def test_symbols_are_allowed_until_numbers_are_asked_for():
    s = ct.Isotropic(symbols.d)
    assert s.atoms()[0].multiplicity == symbols.d
    with pytest.raises(ct.DomainError, match="d=d"):
        _ = s.dimension
    with pytest.raises(ct.DomainError, match="free symbols"):
        _ = ct.Spiked(4, spikes=[symbols.r]).nodes
    with pytest.raises(ct.DomainError, match="needs numbers"):
        _ = ct.PowerLaw(4, beta=symbols.beta).nodes


@pytest.mark.parametrize(
    "make",
    [
        lambda: ct.Isotropic(0),
        lambda: ct.Isotropic(-3),
        lambda: ct.Isotropic(2.5),
        lambda: ct.Isotropic(True),
        lambda: ct.Isotropic("3"),
        lambda: ct.Isotropic(float("nan")),
        lambda: ct.Isotropic(3, scale=0),
        lambda: ct.Isotropic(3, scale=float("inf")),
        lambda: ct.PowerLaw(3, beta=0),
        lambda: ct.PowerLaw(3, beta=1j),
        lambda: ct.PowerLaw(0, beta=1),
        lambda: ct.Spiked(2, spikes=[1, 2, 3]),
        lambda: ct.Spiked(3, spikes=[-1]),
        lambda: ct.Spiked(3, spikes=[0], bulk=0),
        lambda: ct.Eigenvalues([]),
        lambda: ct.Eigenvalues([0.0, 0.0]),
        lambda: ct.Eigenvalues([1.0, -1e-20]),
        lambda: ct.Eigenvalues([1.0, float("nan")]),
        lambda: ct.Eigenvalues([[1.0]]),
        lambda: ct.Eigenvalues(["a"]),
    ],
)
def test_bad_spectra(make):
    with pytest.raises(ct.DomainError):
        make()


@pytest.mark.parametrize("values", [np.array([1 + 2j, 2]), ["1", "2"], [True, False], [[1], [2, 3]]])
def test_what_is_not_a_list_of_real_numbers_is_refused(values):
    with pytest.raises(ct.DomainError, match="eigenvalues needs to be an array of real numbers"):
        ct.Eigenvalues(values)
