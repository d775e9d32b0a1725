"""Rounds that differ: accumulation with rows and noise of each round, against sums by hand and the engine."""

from itertools import accumulate

import numpy as np
import pytest

import collapse_theory as ct
from tests import naive
from tests import reference as ref

ROWS, NOISES = [20, 35, 50], [0.5, 0.9, 0.2]
D = 12


def by_hand(rows, noises):
    return sum(s**2 * D * T / (N * (N - D - 1)) for T, N, s in zip(rows, accumulate(rows), noises, strict=True))


def test_least_squares_sums_the_shares_of_the_new_rows():
    err = ct.catalog["ols-accumulate"].at(3, T=ROWS, sigma=NOISES)
    assert err.regime == "exact"
    assert err.name == "ols-accumulate"
    assert err.evaluate(spectrum=ct.Isotropic(D)) == pytest.approx(by_hand(ROWS, NOISES), rel=1e-13)
    one_noise = ct.catalog["ols-accumulate"].at(3, T=ROWS)
    assert one_noise.evaluate(spectrum=ct.Isotropic(D), sigma=0.7) == pytest.approx(by_hand(ROWS, [0.7] * 3), rel=1e-13)
    with pytest.raises(ct.DomainError, match=r"T >= d \+ 2"):
        err.evaluate(spectrum=ct.Isotropic(19))


def test_equal_rounds_are_the_closed_form():
    for slug, more in (("ols-accumulate", {}), ("ridge-accumulate-constant", {"lam": 0.1})):
        theorem = ct.catalog[slug]
        at = {"spectrum": ct.Isotropic(D), "target": ct.RandomTarget()}
        want = theorem.error.evaluate(**at, n=3, T=40, sigma=0.5, **more)
        assert theorem.at(3, T=[40] * 3, sigma=[0.5] * 3).evaluate(**at, **more) == pytest.approx(want, rel=1e-12)


def test_simulation_agrees_and_rejects_the_rounds_in_another_order():
    err = ct.catalog["ols-accumulate"].at(3, T=ROWS, sigma=NOISES)
    runs = naive.errors(err.pipeline(), naive.Linear(np.ones(D), np.ones(D) / D), 8000, seed=3)
    assert naive.agrees(runs, err.evaluate(spectrum=ct.Isotropic(D)))
    assert not naive.agrees(runs, by_hand(ROWS, NOISES[::-1]))
    assert not naive.agrees(runs, by_hand([35, 35, 35], NOISES))


@pytest.mark.parametrize("rows", [[60, 35, 70], [20, 50, 30]])
def test_a_constant_penalty_telescopes_with_unequal_rounds(rows):
    """The theorem against fifty-digit sums, the engine that does not know it, and bias that is the first round's."""
    spectrum, target = ct.PowerLaw(40, beta=1.1), ct.SourceTarget(r=0.4)
    s, w2 = ref.numbers(spectrum.eigenvalues), ref.numbers(target.energies(spectrum))
    err = ct.catalog["ridge-accumulate-constant"].at(3, T=rows, sigma=NOISES, lam=0.1)
    got = err.evaluate(spectrum=spectrum, target=target, terms=True)
    totals = list(accumulate(rows))
    clean = [
        ref.chain(s, w2, [(N, ref.mpf(0.1) * rows[0] / N, ref.mpf(x))]) for N, x in zip(totals, NOISES, strict=True)
    ]
    want = sum(T * variance / N for T, N, (_, variance) in zip(rows, totals, clean, strict=True))
    assert ref.relative(got["bias"], clean[0][0]) < 1e-12
    assert ref.relative(got["variance"], want) < 1e-12
    engine = ct.test_error(err.pipeline()).evaluate(spectrum=spectrum, target=target)
    assert sum(got.values()) == pytest.approx(engine, rel=1e-11)
    swapped = ct.catalog["ridge-accumulate-constant"].at(3, T=rows[::-1], sigma=NOISES, lam=0.1)
    assert swapped.evaluate(spectrum=spectrum, target=target) != pytest.approx(engine, rel=0.01)


def test_bad_sequences_are_refused_by_name():
    with pytest.raises(ct.PipelineError, match="T needs one value per round \\(3\\), got 2"):
        ct.catalog["ols-accumulate"].at(3, T=[20, 30])
    with pytest.raises(ct.PipelineError, match="ols-accumulate has no parameter 'T0'; valid: T, sigma"):
        ct.catalog["ols-accumulate"].at(2, T=[20, 30], T0=3)
    with pytest.raises(ct.PipelineError, match="lam needs one value, got 2"):
        ct.catalog["ridge-accumulate-constant"].at(2, T=[20, 30], lam=[0.1, 0.2])
    with pytest.raises(ct.PipelineError, match="ols-replace takes one value of T0 for all rounds"):
        ct.catalog["ols-replace"].at(2, T0=[20, 30])
