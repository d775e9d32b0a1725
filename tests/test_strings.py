"""Values, spectra and targets written as strings."""

import numpy as np
import pytest
import sympy as sp

import collapse_theory as ct
from collapse_theory import symbols
from collapse_theory.describe import strings


def test_values():
    assert strings.values("3") == 3
    assert isinstance(strings.values("3"), int)
    assert strings.values("1e-3") == 1e-3
    assert strings.values("1/3") == 1 / 3
    np.testing.assert_array_equal(strings.values("0.01, 0.1,1"), [0.01, 0.1, 1])
    assert strings.values("1,2,3").dtype == np.int64
    np.testing.assert_array_equal(strings.values("0..5"), range(6))
    np.testing.assert_array_equal(strings.values("-2..1"), [-2, -1, 0, 1])
    np.testing.assert_allclose(strings.values("log:1e-4:10:50"), np.geomspace(1e-4, 10, 50), rtol=0)
    np.testing.assert_allclose(strings.values("lin:0:1:11"), np.linspace(0, 1, 11), rtol=0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1,,2",
        "lam",
        "1,lam",
        "lgo:1:2:3",
        "log:0:1:5",
        "log:-1:1:5",
        "lin:0:1",
        "lin:0:1:0",
        "lin:0:1:1.5",
        "lin:0:1:10^9",
        "5..0",
        "0..10000000",
        "0..x",
        "1...3",
        "oo",
        "1e999",
        "a:b",
        "__import__('os')",
        "10^30",
        "0..99999999999999999999",
    ],
)
def test_values_that_are_not(text):
    with pytest.raises(ct.ParseError):
        strings.values(text)


def test_spectra(tmp_path):
    assert strings.spectrum("isotropic:d=300") == ct.Isotropic(300)
    assert strings.spectrum("powerlaw:d=300,beta=1.5") == ct.PowerLaw(300, beta=1.5)
    assert strings.spectrum("powerlaw: d=10, beta=3/2, scale=2") == ct.PowerLaw(10, beta=sp.Rational(3, 2), scale=2)
    assert strings.spectrum("spiked:d=100,spikes=20/10/5") == ct.Spiked(100, spikes=[20, 10, 5])
    assert strings.spectrum("isotropic:d=d").d == symbols.d
    np.save(tmp_path / "s.npy", [3.0, 1.0])
    (tmp_path / "s.csv").write_text("3,1\n0.5\n")
    (tmp_path / "s.txt").write_text("3\n1\n")
    np.testing.assert_array_equal(strings.spectrum("file:s.npy", tmp_path).eigenvalues, [3, 1])
    np.testing.assert_array_equal(strings.spectrum("file:s.csv", tmp_path).eigenvalues, [3, 1, 0.5])
    np.testing.assert_array_equal(strings.spectrum(f"file:{tmp_path / 's.txt'}").eigenvalues, [3, 1])


def test_targets(tmp_path):
    assert strings.target("random:norm2=2") == ct.RandomTarget(norm2=2)
    assert strings.target("random") == ct.RandomTarget()
    assert strings.target("source:r=0.5") == ct.SourceTarget(r=0.5)
    np.save(tmp_path / "e.npy", [1.0, 2.0])
    np.testing.assert_array_equal(strings.target("file:e.npy", tmp_path).energies(ct.Isotropic(2)), [1, 2])


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("isotropc:d=3", "did you mean 'isotropic'"),
        ("powerlaw:d=3,bata=1", "did you mean 'beta'"),
        ("powerlaw:d=3", "needs beta"),
        ("powerlaw", "needs d, beta"),
        ("isotropic:d=3,d=4", "once"),
        ("isotropic:d", "d=VALUE"),
        ("isotropic:d=__import__('os')", "unexpected character"),
        ("file:missing.npy", "exist"),
        ("file:x.pkl", ".npy, .csv or .txt"),
        ("file:words.txt", "numbers"),
        ("file:objects.npy", "numbers"),
        ("file:", "path"),
    ],
)
def test_spectra_that_are_not(text, what, tmp_path):
    (tmp_path / "words.txt").write_text("one two")
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ct.ParseError, match=what):
        strings.spectrum(text, tmp_path)


def test_values_out_of_range_are_domain_errors(tmp_path):
    (tmp_path / "s.txt").write_text("1 -1")
    for text in ("isotropic:d=0", "powerlaw:d=3,beta=-1", "spiked:d=1,spikes=1/2", "file:s.txt"):
        with pytest.raises(ct.DomainError):
            strings.spectrum(text, tmp_path)
    with pytest.raises(ct.DomainError):
        strings.target("random:norm2=-1")
