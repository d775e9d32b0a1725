"""What is no array of real numbers is refused wherever an array may be given, and nothing is converted silently."""

from __future__ import annotations

import datetime
from decimal import Decimal
from fractions import Fraction

import mpmath
import numpy as np
import pytest
import sympy

import collapse_theory as ct
from collapse_theory.core.numbers import real, real_array, real_values

N, D = 12, 3
RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((N, D)), RNG.standard_normal(N)
K = X @ X.T + np.eye(N)
POSITIVE = np.linspace(0.1, 1, D)


def structured(a):
    return np.array(
        list(map(tuple, np.atleast_2d(a))), dtype=[(f"c{i}", float) for i in range(np.atleast_2d(a).shape[1])]
    )


def with_one(a, entry):
    objects = a.astype(object)
    objects.flat[0] = entry
    return objects


# Each turns an array of numbers into something that is none.
SPOIL = {
    "complex": lambda a: a + 0j,
    "complex with imaginary parts": lambda a: a + 1j,
    "masked": lambda a: np.ma.masked_less(a, np.median(a)),
    "mask without masked entries": np.ma.asarray,
    "a list of masked rows": lambda a: [np.ma.masked_less(a, 0.5)],
    "truth values": lambda a: a > 0,
    "text": lambda a: a.astype(str),
    "bytes": lambda a: a.astype(bytes),
    "dates": lambda a: np.full(a.shape, np.datetime64("2020-01-01")),
    "time differences": lambda a: np.full(a.shape, np.timedelta64(3, "s")),
    "structured": structured,
    "objects with a truth value": lambda a: with_one(a, True),
    "objects with text": lambda a: with_one(a, "1"),
    "objects with None": lambda a: with_one(a, None),
    "objects with a complex number": lambda a: with_one(a, 1j),
    "objects with a date": lambda a: with_one(a, datetime.date(2020, 1, 1)),
    "objects with a symbol": lambda a: with_one(a, sympy.Symbol("x")),
    "a list with a truth value": lambda a: with_one(a, True).tolist(),
    "a list with text": lambda a: with_one(a, "1").tolist(),
    "a ragged list": lambda a: [[1.0], [1.0, 2.0]],
    "a huge integer": lambda a: with_one(a, 10**400).tolist(),
    "NaN": lambda a: with_one(a, np.nan).astype(float),
    "a set": lambda a: set(a.ravel().tolist()),
    "a mapping": lambda a: dict(enumerate(a.ravel().tolist())),
    "a generator": lambda a: iter(a.tolist()),
    "None": lambda a: None,
    "a string": lambda a: "1,2,3",
}


def chain():
    pipe = ct.Pipeline()
    pipe.fit(pipe.sample(T=8, noise=0.1), ridge=ct.symbols.lam)
    return pipe


def two_samples(weights):
    pipe = ct.Pipeline()
    return pipe.fit([pipe.sample(T=8), pipe.sample(T=8)], weights=weights)


def engine():
    T, d, lam = ct.symbols.T, ct.symbols.d, ct.symbols.lam
    Z = ct.GaussianMatrix("Z", T, d) * ct.sqrt(ct.Covariance("Sigma", d))
    return ct.deterministic_equivalent((Z.T * Z / T + lam * sympy.Identity(d)).inv())


CLEAN = ct.catalog["ridge-clean"].error
WHERE = {"spectrum": ct.Eigenvalues(POSITIVE), "target": ct.Energies(POSITIVE)}
TOKENS = ct.Categorical([0.5, 0.5])
P = np.array([0.25, 0.25, 0.5])

# Every way in for an array: its good value and the call.
ENTRIES = {
    "Eigenvalues": (POSITIVE, ct.Eigenvalues),
    "Energies": (POSITIVE, ct.Energies),
    "Coefficients": (POSITIVE, ct.Coefficients),
    "Spiked": (POSITIVE, lambda a: ct.Spiked(9, spikes=a)),
    "Categorical": (P, ct.Categorical),
    "from_data X": (X, lambda a: ct.from_data(a, Y)),
    "from_data y": (Y, lambda a: ct.from_data(X, a)),
    "from_kernel K": (K, lambda a: ct.from_kernel(a, Y)),
    "from_kernel y": (Y, lambda a: ct.from_kernel(K, a)),
    "diagnose": (X, lambda a: ct.diagnose(a, T=8, lam=0.1)),
    "simulate inputs": (X, lambda a: ct.simulate(chain(), inputs=a, targets=Y, trials=2, lam=0.1)),
    "simulate targets": (Y, lambda a: ct.simulate(chain(), inputs=X, targets=a, trials=2, lam=0.1)),
    "simulate kernel": (K, lambda a: ct.simulate(chain(), kernel=a, targets=Y, trials=2, lam=0.1)),
    "evaluate": (POSITIVE, lambda a: CLEAN.evaluate(**WHERE, T=8, sigma=0.1, lam=a)),
    "compile": (POSITIVE, lambda a: CLEAN.compile(**WHERE)(T=8, sigma=0.1, lam=a)),
    "test_noise": (POSITIVE, lambda a: CLEAN.evaluate(**WHERE, T=8, sigma=0.1, lam=1, test_noise=a)),
    "effective_ridge T": (POSITIVE, lambda a: ct.effective_ridge(WHERE["spectrum"], T=a, lam=1)),
    "effective_ridge lam": (POSITIVE, lambda a: ct.effective_ridge(WHERE["spectrum"], T=8, lam=a)),
    "degrees_of_freedom": (POSITIVE, lambda a: ct.degrees_of_freedom(WHERE["spectrum"], a)),
    "engine": (POSITIVE, lambda a: engine().evaluate(WHERE["spectrum"], T=8, lam=a)),
    "generations": (np.arange(3), lambda a: TOKENS.total_collapse_probability(T=4, generations=a)),
    "expected_survivors": (np.arange(3), lambda a: TOKENS.expected_survivors(T=4, generations=a)),
    "weights": (np.array([1.0, 0.5]), two_samples),
}  # fmt: skip
# "None" means a default, or "test_noise" would; a test error without label noise.
MEANS_SOMETHING = {("test_noise", "None"), ("weights", "None")}
# Sequences of scalars, which may be anything that iterates.
SEQUENCES = {"Spiked", "weights"}
NUMBERS_THERE = {"a generator", "objects with a symbol", "a huge integer"}


SPOILED = [
    (entry, kind)
    for entry in ENTRIES
    for kind in SPOIL
    if (entry, kind) not in MEANS_SOMETHING and not (entry in SEQUENCES and kind in NUMBERS_THERE)
]


@pytest.mark.parametrize(("entry", "kind"), SPOILED)
def test_no_entry_converts_what_is_no_array_of_numbers(entry, kind):
    good, call = ENTRIES[entry]
    with pytest.raises(ct.CollapseTheoryError) as caught:
        call(SPOIL[kind](np.asarray(good)))
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("entry", ENTRIES)
def test_every_entry_takes_numbers_of_every_kind(entry):
    good, call = ENTRIES[entry]
    call(good)
    call(good.tolist())
    call(good.astype(object))
    if good.ndim == 1:
        call(tuple(good))
        call([sympy.Rational(x) for x in good.tolist()])
        call([Fraction(x) for x in good.tolist()])
        call([Decimal(x) for x in good.tolist()])
        call([mpmath.mpf(x) for x in good.tolist()])


def test_a_matrix_is_an_array_of_two_dimensions():
    matrix = np.array([[1.0, 5.0], [-1.0, 5.0]]).view(np.matrix)
    np.testing.assert_allclose(ct.from_data(matrix, [2.0, -2.0])[0].eigenvalues, [1.0, 0.0], rtol=1e-15)
    with pytest.raises(ct.DomainError, match="one-dimensional"):
        ct.Eigenvalues(matrix)


def test_the_caller_keeps_the_array_and_cannot_change_what_was_checked():
    given = np.array([2.0, 1.0])
    spectrum = ct.Eigenvalues(given)
    given[0] = -1.0
    assert spectrum.eigenvalues.tolist() == [2.0, 1.0]
    with pytest.raises(ValueError, match="read-only"):
        spectrum.nodes[0] = -1.0


def test_a_list_that_contains_itself_is_refused():
    endless = []
    endless += [endless, endless]
    with pytest.raises(ct.DomainError, match="nested"):
        real_values(endless, "T")


@pytest.mark.parametrize(
    "value",
    ["x" * 10**6, [1j] * 10**5, {i: i for i in range(10**5)}, -(10**5000)],
    ids=["text", "list", "mapping", "int"],
)
def test_messages_are_short_whatever_comes_in(value):
    for check in (lambda: real(value, "T", positive=True), lambda: real_array(value, "T")):
        with pytest.raises(ct.DomainError) as caught:
            check()
        assert len(str(caught.value)) < 600
