"""Pipelines at many points at once: each value is that of thirty digits at its point, over the whole domain."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import collapse_theory as ct
from collapse_theory.numerics import pooled_float64

D = 8
T, SIGMA, LAM, W = ct.symbols.T, ct.symbols.sigma, ct.symbols.lam, ct.symbols.w
SPECTRA = {
    "isotropic": np.ones(D),
    "power law": np.arange(1, D + 1) ** -1.0,
    "condition 1e30": 10.0 ** -np.linspace(0, 30, D),
    "repeated": np.repeat([1.0, 1e-3], D // 2),
}
ROWS = [1, D / 2, D - 1, D, D + 1, D + 0.5, 3 * D, 1e4]
RIDGES = [0, 1e-30, 1e-12, 1e-3, 1, 1e12]


def shared(weight=None):
    """Three fits on two common samples, one of them with other labels, and a mixture that adds up to 0.9."""
    weights = None if weight is None else [1, weight]
    pipe = ct.Pipeline()
    a, b = pipe.sample(T=T, noise=SIGMA), pipe.sample(T=2 * T, noise=0.2)
    first = pipe.fit([a, b], ridge=LAM, weights=weights)
    second = pipe.fit([pipe.sample(T=T, noise=0.3, source=first), b], ridge=LAM)
    pipe.fit([pipe.sample(design=a, noise=0.1, source=0.5 * first + 0.4 * second), b], ridge=3 * LAM)
    return ct.test_error(pipe, method="free-probability")


ERRORS = {"one ridge each": shared(), "weights": shared(W)}


@pytest.mark.parametrize("name", ERRORS)
@settings(max_examples=3, deadline=None, derandomize=True)
@given(
    st.sampled_from(sorted(SPECTRA)),
    st.sampled_from([1e-150, 1.0, 1e150]),
    st.sampled_from([0, D // 2, D]),
    st.integers(0, 2**32 - 1),
)
def test_values_are_those_of_thirty_digits(name, spectrum, unit, zeros, seed):
    """Rows, ridges, noises and weights vary by point; targets may have no energy in some or all directions."""
    rng = np.random.default_rng(seed)
    size = 60
    at = {"T": rng.choice(ROWS, size), "lam": rng.choice(RIDGES, size) * unit, "sigma": rng.choice([0, 0.3, 1e3], size)}
    if name == "weights":
        at["w"] = rng.choice([0, 0.5, 1, 100], size)
    keep = (at["lam"] > 0) | ~np.isin(3 * at["T"] if name == "one ridge each" else at["T"], [D, 3 * D, D / 2, 2 * D])
    at = {key: x[keep] for key, x in at.items()}
    how = {
        "spectrum": ct.Eigenvalues(unit * SPECTRA[spectrum]),
        "target": ct.Energies(np.where(np.arange(D) < zeros, 0, rng.exponential(size=D)) / unit),
    }
    got = ERRORS[name].evaluate(**how, **at, terms=True)
    for i in rng.permutation(int(keep.sum()))[:2]:
        want = ERRORS[name].evaluate(**how, **{key: float(x[i]) for key, x in at.items()}, terms=True, digits=30)
        for term, exact in want.items():
            assert abs(got[term][i] - exact) <= 1e-12 * exact
            assert exact == 0 or abs(got[term][i] * (1 + 1e-11) - exact) > 1e-12 * exact  # the mutant control


@pytest.mark.parametrize(("name", "by"), [("one ridge each", "lam"), ("weights", "T"), ("weights", "w")])
def test_slopes_are_those_of_thirty_digits(name, by):
    slope = ERRORS[name].diff(by)
    rows, ridges = np.array([3.0, D - 1, D, 20]), np.array([[1e-9], [0.2]])
    how = {"spectrum": ct.Eigenvalues(SPECTRA["power law"]), "target": ct.RandomTarget(), "sigma": 0.4}
    if name == "weights":
        how["w"] = 0.7
    got = slope.evaluate(**how, T=rows, lam=ridges)
    for i, j in ((0, 1), (1, 2)):
        want = slope.evaluate(**how, T=rows[j], lam=ridges[i, 0], digits=30)
        assert abs(got[i, j] - want) <= 1e-10 * abs(want)
        assert abs(got[i, j] * (1 + 1e-9) - want) > 1e-10 * abs(want)  # the mutant control


def test_float64_suffices_for_all_points(monkeypatch):
    """Below, near and above the rank, with and without a ridge: no point is computed on its own."""

    def refused(*_):
        raise AssertionError("a point left float64")

    monkeypatch.setattr(pooled_float64, "_extended", refused)
    rows = np.array([1, 2, D - 1, D + 1, 2 * D - 1, 1e3])[:, None, None]
    ridges, weights = np.array([0, 1e-12, 1e-4, 1.0])[:, None], np.array([0.2, 1, 7])
    how = {"spectrum": ct.Eigenvalues(SPECTRA["power law"]), "target": ct.RandomTarget(), "sigma": 0.4}
    found = ERRORS["weights"].evaluate(**how, T=rows, lam=ridges, w=weights)
    assert found.shape == (6, 4, 3)
    assert (found > 0).all()


def test_points_of_different_open_designs_and_weights_of_zero():
    """Covariances without variance in some directions: which rows interpolate depends on the point."""
    first = np.where(np.arange(D) < 5, 1.0, 0.0)
    spectra = {"Sigma": ct.Isotropic(D), "A": ct.Eigenvalues(first), "B": ct.Eigenvalues(np.linspace(0.2, 2, D))}
    pipe = ct.Pipeline()
    a, b = pipe.sample(T=T, noise=0.3, covariance="A"), pipe.sample(T=2, noise=0.2, covariance="B")
    generator = pipe.fit([a, b], ridge=LAM, weights=[1, W])
    pipe.fit([pipe.sample(T=11, noise=0.3, source=generator), b, a], ridge=LAM)
    error = ct.test_error(pipe)
    how = {"spectrum": spectra, "target": ct.RandomTarget()}
    rows, ridges, weights = (np.ravel(x) for x in np.meshgrid([2.0, 4, 7, 30], [0, 1e-7, 0.1], [0, 0.5]))
    got = error.evaluate(**how, T=rows, lam=ridges, w=weights)
    for i in (0, 7, 12, 19):
        want = error.evaluate(**how, T=rows[i], lam=ridges[i], w=weights[i], digits=25)
        assert abs(got[i] - want) <= 1e-12 * want


def test_a_threshold_among_the_points_is_refused():
    error = ct.test_error(ct.workflows.accumulate(2, ct.Stage(T, 0.3, LAM)), method="free-probability")
    how = {"spectrum": ct.Isotropic(D), "target": ct.RandomTarget()}
    with pytest.raises(ct.DomainError, match=f"rows != rank, got {D} rows"):
        error.evaluate(**how, T=np.array([3.0, D, 20.0]), lam=0)


@pytest.mark.parametrize("unit", [1.0, 1e150])
def test_a_slope_that_vanishes_is_zero(unit):
    """Least-norm fits with isotropic inputs: an infinitesimal ridge moves the variance and not the bias."""
    error = ct.test_error(ct.workflows.accumulate(2, ct.Stage(T, 0.3, LAM)), method="free-probability").diff("lam")
    how = {"spectrum": ct.Eigenvalues(unit * np.ones(D)), "target": ct.Energies(np.ones(D) / unit), "T": 5}
    found = error.evaluate(**how, lam=0, terms=True)
    near = error.evaluate(**how, lam=1e-9 * unit, terms=True)
    assert found["bias"] == 0
    assert 0 < near["bias"] * unit < 1e-6
    assert near["variance"] == pytest.approx(found["variance"], rel=1e-6)
