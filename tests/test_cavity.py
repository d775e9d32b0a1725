"""The recursion over fits against operator-valued free probability, in numbers and written out."""

import numpy as np
import pytest

import collapse_theory as ct
from collapse_theory.derive.formula import ErrorFormula
from collapse_theory.derive.pooled import pooled_system
from collapse_theory.derive.written_out import write_out
from tests.pencils import by_free_probability
from tests.recursion_reader import solve_recursion

SPECTRA = {
    "Sigma": ct.PowerLaw(40, beta=1.1),
    "A": ct.Eigenvalues(np.linspace(0.3, 1.7, 40)),
    "Test": ct.Eigenvalues(np.linspace(1.2, 0.1, 40)),
}
TARGET = ct.Energies(np.arange(1, 41) ** -0.3)


def pooled():
    pipe = ct.Pipeline()
    real = pipe.sample(T=60, noise=0.5)
    first = pipe.fit(real, ridge=0.1)
    pipe.fit([real, pipe.sample(T=40, noise=0.3, source=first)], ridge=0.05)
    return pipe


def weighted():
    pipe = ct.Pipeline()
    real = pipe.sample(T=60, noise=0.5)
    first = pipe.fit(real, ridge=0.1)
    pipe.fit([real, pipe.sample(T=40, noise=0.3, source=1.3 * first)], weights=[1.5, 0.4], ridge=0.05)
    return pipe


def relabelled():
    pipe = ct.Pipeline()
    real = pipe.sample(T=60, noise=0.5)
    first = pipe.fit(real, ridge=0.1)
    again = pipe.sample(design=real, noise=0.2, source=0.3 * ct.TRUTH + 0.5 * first)
    pipe.fit(again, ridge=0.2)
    return pipe


def two_covariances():
    pipe = ct.Pipeline()
    real = pipe.sample(T=60, noise=0.5, covariance="A")
    first = pipe.fit(real, ridge=0.1)
    pipe.fit([real, pipe.sample(T=40, noise=0.3, source=first)], ridge=0.05)
    return pipe


@pytest.mark.parametrize("build", [pooled, weighted, relabelled, two_covariances])
def test_free_probability_gives_the_same(build):
    for test in (None, "Test"):
        system = pooled_system(build(), test_covariance=test)
        spectra = {x: SPECTRA[x] for x in system.covariances}
        recursion = ct.test_error(build(), method="free-probability", test_covariance=test)
        got = recursion.evaluate(spectrum=spectra, target=TARGET, terms=True)
        want = by_free_probability(system, {x: s.eigenvalues for x, s in spectra.items()}, TARGET.values)
        for term in ("bias", "variance"):
            assert got[term] == pytest.approx(want[term], rel=1e-11)
            assert got[term] * (1 + 1e-9) != pytest.approx(want[term], rel=1e-11)  # the mutant control


@pytest.mark.parametrize("build", [pooled, relabelled])
def test_the_written_out_error_is_the_sum_of_its_terms(build):
    system = pooled_system(build())
    how = {"spectrum": SPECTRA["Sigma"], "target": TARGET}
    (whole,) = write_out(system).explicit()
    got = ErrorFormula({"error": whole}, "proportional").evaluate(**how)
    assert got == pytest.approx(ct.test_error(build(), method="free-probability").evaluate(**how), rel=1e-12)


def test_a_long_system_is_written_out_line_by_line():
    """Every name is defined by names before it, and each is used."""
    written = write_out(pooled_system(ct.workflows.accumulate(4, ct.Stage(T=40, noise=0.4, ridge=0.1))))
    assert len(written.definitions) < 80
    assert max(e.count_ops() for e in written.definitions.values()) < 400


@pytest.mark.parametrize("rounds", [2, 5])
def test_the_printed_recursion_is_what_is_evaluated(rounds):
    s, w2, T, noise, ridge = SPECTRA["Sigma"].eigenvalues, TARGET.values, 60, 0.4, 0.1
    pipe = ct.workflows.accumulate(rounds, ct.Stage(T=T, noise=noise, ridge=ridge))
    got = ct.test_error(pipe, method="free-probability").evaluate(spectrum=SPECTRA["Sigma"], target=TARGET)
    labels = [np.eye(rounds) - (0 if at is None else np.eye(rounds)[at]) for at in (None, *range(rounds - 1))]
    sees = [[k >= D for k in range(rounds)] for D in range(rounds)]
    total = [T * (k + 1) for k in range(rounds)]
    kappa = [ct.effective_ridge(SPECTRA["Sigma"], T=t, lam=ridge) for t in total]

    def solved(variance):
        return solve_recursion(labels, sees, [T] * rounds, [variance] * rounds, total, kappa, s, w2)

    assert got == pytest.approx(solved(noise**2), rel=1e-11)
    assert got != pytest.approx(solved(noise**2 * 1.001), rel=1e-11)
