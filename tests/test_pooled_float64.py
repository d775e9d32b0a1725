"""Numbers of pipelines: float64 against more than thirty digits, ridgeless limits at any ranks, units, thresholds."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import collapse_theory as ct
from collapse_theory.derive.pooled import pooled_system
from collapse_theory.numerics.measure import Measure
from collapse_theory.numerics.network import PipelineEquivalent
from collapse_theory.numerics.pooled_float64 import pooled_values
from collapse_theory.numerics.ranks import openness
from collapse_theory.numerics.reals import FLOAT64
from collapse_theory.numerics.resolvents import fit_equations, solve_resolvent
from collapse_theory.numerics.solved_fits import FitNumbers, float64_start

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
from accuracy import draw, reference

HALF = np.arange(100) < 50
FAMILIES = {
    "disjoint": (np.where(HALF, np.arange(1, 101) ** -0.5, 0.0), np.where(HALF, 0.0, 2.0)),
    "nested": (np.where(HALF, np.arange(1, 101) ** -0.5, 0.0), np.linspace(0.2, 2, 100)),
    "overlapping": (np.where(np.arange(100) < 70, 1.0, 0.0), np.where(np.arange(100) < 40, 0.0, 2.0)),
}


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1))
def test_float64_is_right_or_refused(seed):
    point = draw(np.random.default_rng(seed), directions=12)
    equivalent = PipelineEquivalent(pooled_system(point.pipeline, test_covariance=point.test))
    try:
        got = pooled_values(equivalent.system, point.measure, {})
    except ct.DomainError:  # a threshold without ridge
        with pytest.raises(ct.DomainError, match="rows != rank"):
            reference(equivalent, point, 50)
        return
    for term, want in zip((got.bias, got.variance), reference(equivalent, point, 50), strict=True):
        assert abs(term - want) <= 2e-12 * want
        assert want == 0 or abs(term * (1 + 1e-11) - want) > 2e-12 * want  # the mutant control
    assert got.error <= 1e-12


# ---------------------------------------------------------------------- ranks
def on_two_covariances(first, second, ridge):
    """Three fits on two covariances, one with reused inputs."""
    pipe = ct.Pipeline()
    a, b = pipe.sample(T=first, noise=0.3, covariance="A"), pipe.sample(T=second, noise=0.2, covariance="B")
    m1 = pipe.fit([a, b], ridge=ridge)
    m2 = pipe.fit([pipe.sample(T=120, noise=0.3, source=m1), b], ridge=ridge, weights=[1, 2])
    pipe.fit([pipe.sample(design=a, noise=0.1, source=0.5 * m1 + 0.5 * m2), b], ridge=ridge)
    return ct.test_error(pipe)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("rows", [(100, 100), (100, 10), (10, 100), (10, 10), (45, 65)])
def test_ridgeless_fits_on_rank_deficient_families(family, rows):
    """The value without ridge is the limit: its distance to that of a small ridge falls in proportion to the ridge."""
    a, b = FAMILIES[family]
    spectra = {"Sigma": ct.Isotropic(100), "A": ct.Eigenvalues(a), "B": ct.Eigenvalues(b)}

    def value(ridge):
        return on_two_covariances(*rows, ridge).evaluate(spectrum=spectra, target=ct.RandomTarget())

    limit = value(0)
    near, nearer = value(1e-7) - limit, value(1e-8) - limit
    assert near / nearer == pytest.approx(10, rel=0.02)
    assert abs(near) < 1e-2 * limit


def test_the_limit_is_that_of_least_squares():
    """Disjoint halves: 100 rows determine the first, 10 rows interpolate in the second (minimum norm)."""
    a, b = FAMILIES["disjoint"]
    spectra = {"Sigma": ct.Isotropic(100), "A": ct.Eigenvalues(a), "B": ct.Eigenvalues(b)}
    pipe = ct.Pipeline()
    pipe.fit([pipe.sample(T=100, noise=0.5, covariance="A"), pipe.sample(T=10, noise=0.5, covariance="B")])
    got = ct.test_error(pipe).evaluate(spectrum=spectra, target=ct.RandomTarget(norm2=1), terms=True)
    first = 0.25 * (1 / a[:50]).sum() / (100 - 50)
    second = 0.25 * 10 / (50 - 10) / 2
    assert got["bias"] == pytest.approx(0.5 * (1 - 10 / 50), rel=1e-12)
    assert got["variance"] == pytest.approx(first + second, rel=1e-12)
    assert got["variance"] != pytest.approx(first + 1.05 * second, rel=1e-12)


def test_thresholds_of_one_covariance_of_several_are_refused():
    a, b = FAMILIES["disjoint"]
    spectra = {"Sigma": ct.Isotropic(100), "A": ct.Eigenvalues(a), "B": ct.Eigenvalues(b)}
    error = on_two_covariances(50, 80, 0)
    with pytest.raises(ct.DomainError, match="50 rows that see as many directions"):
        error.evaluate(spectrum=spectra, target=ct.RandomTarget())


def test_the_parts_of_a_fit_agree_with_the_rank_of_drawn_rows():
    """A design is closed if another row of it never adds to the rank."""
    rng = np.random.default_rng(3)
    for _ in range(60):
        designs = rng.integers(1, 4)
        support = rng.uniform(size=(designs, 9)) < 0.6
        rows = rng.integers(1, 8, designs)
        drawn = [rng.standard_normal((t, 9)) * s for t, s in zip(rows, support, strict=True)]
        rank = np.linalg.matrix_rank(np.vstack(drawn))
        got = openness(support, Measure({}, np.ones(9, dtype=int)), rows)
        for i in range(designs):
            more = np.linalg.matrix_rank(np.vstack([*drawn, rng.standard_normal((1, 9)) * support[i]]))
            assert got.designs[i] == (more > rank)
        assert (got.threshold == 0) == all(
            np.linalg.matrix_rank(np.vstack([np.delete(x, 0, 0) if j == i else x for j, x in enumerate(drawn)])) == rank
            for i in np.flatnonzero(~got.designs)
        )


# ---------------------------------------------------------------------- thresholds and units
def same_inputs(rows, ridge):
    pipe = ct.Pipeline()
    first = pipe.sample(T=rows, noise=0.3)
    source = pipe.fit(first, ridge=ridge)
    for _ in range(2):
        source = pipe.fit(pipe.sample(design=first, noise=0.3, source=source), ridge=ridge)
    return pipe


def kept(rows, ridge):
    return ct.workflows.keep_real(2, ct.Stage(rows, 0.3, ridge), ct.Stage(rows, 0.2, ridge))


@pytest.mark.parametrize("pipeline", [same_inputs, kept])
def test_at_the_threshold_the_error_is_one_over_the_root_of_the_ridge(pipeline):
    """E sqrt(lam) tends to a constant, with corrections of order sqrt(lam), down to ridges that float64 cannot square."""
    how = {"spectrum": ct.PowerLaw(40, beta=1.0), "target": ct.RandomTarget()}
    ridges = [1e-60, 1e-40, 1e-30, 1e-24, 1e-16]
    scaled = [ct.test_error(pipeline(40, x), method="free-probability").evaluate(**how) * x**0.5 for x in ridges]
    np.testing.assert_allclose(scaled[:4], scaled[0], rtol=1e-10)
    np.testing.assert_allclose(scaled[4], scaled[0], rtol=1e-6)


def test_a_ridge_below_the_normal_numbers():
    how = {"spectrum": ct.PowerLaw(10, beta=1.0), "target": ct.RandomTarget()}
    smallest, tiny = (ct.test_error(kept(10, x), method="free-probability").evaluate(**how) for x in (5e-324, 1e-300))
    assert smallest * 5e-324**0.5 == pytest.approx(tiny * 1e-150, rel=1e-9)


@pytest.mark.parametrize("unit", [1e-300, 1e-160])
def test_a_ridge_whose_ratio_to_the_spectrum_leaves_float64(unit):
    """Nothing is learned: the error with digits is the energy of the target."""
    how = {"spectrum": ct.Eigenvalues(unit * np.array([3.0, 2.0, 1.0])), "target": ct.Energies(np.ones(3))}
    error = ct.test_error(kept(5, 1 / unit), method="free-probability")
    assert float(error.evaluate(**how, digits=25)) == pytest.approx(6 * unit, rel=1e-15)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.floats(1e-12, 1e12), st.sampled_from([0.0, 1e-14, 1e-6, 0.1]), st.sampled_from([25, 39, 40, 41, 90]))
def test_units_do_not_matter(unit, ridge, rows):
    """Covariance and ridge times a unit, energies over it: the same number to round-off."""
    if ridge == 0 and rows == 40:
        ridge = 1e-10
    s, energies = np.arange(1, 41) ** -1.0, np.linspace(1, 2, 40)

    def value(c):
        error = ct.test_error(kept(rows, c * ridge), method="free-probability")
        return error.evaluate(spectrum=ct.Eigenvalues(c * s), target=ct.Energies(energies / c))

    assert value(unit) == pytest.approx(value(1.0), rel=2e-12)


@pytest.mark.parametrize("speed", [1e-8, 1e-4, 1e4, 1e8])
def test_a_slope_is_linear_in_the_speed_of_the_parameter(speed):
    """The derivative by x of a ridge ``speed*x``, whatever the unit of x."""
    lam = ct.symbols.lam
    equivalent = PipelineEquivalent(pooled_system(ct.workflows.accumulate(2, ct.Stage(T=90, noise=0.4, ridge=lam))))
    measure = Measure({"Sigma": np.ones(1)}, np.array([100]), np.ones(1))
    one, got = (pooled_values(equivalent.system, measure, {lam: 0.05}, {lam: x}) for x in (1.0, speed))
    slopes = np.array([got.bias, got.variance]) / speed
    np.testing.assert_allclose(slopes, [one.bias, one.variance], rtol=1e-9)


@pytest.mark.parametrize(("rows", "ridge"), [([30.0, 40.0], 0.0), ([30.0, 400.0], 0.0), ([150.0, 200.0], 0.3)])
def test_more_digits_start_from_the_roots_of_float64_in_the_units_of_the_spectrum(rows, ridge):
    unit, s = 1e6, np.vstack([np.arange(1, 101) ** -0.5, np.linspace(0.2, 2, 100)])
    measure = Measure({}, np.ones(100, dtype=int))
    fit = FitNumbers(unit * s, measure, np.array([1.0, 0.5]), np.array(rows), rows[0] + rows[1] / 2, unit * ridge)
    np.testing.assert_allclose(float64_start(fit), fit.solved(FLOAT64).scale, rtol=1e-9)


@pytest.mark.parametrize("rows", [[30.0, 40.0], [150.0, 200.0]])
def test_what_round_off_does_to_the_roots_depends_on_no_unit(rows):
    s, weights = np.vstack([np.arange(1, 101) ** -0.5, np.linspace(0.2, 2, 100)]), np.array([1.0, 0.5])
    moved = []
    for unit in (2.0**-40, 1.0, 2.0**40):
        given = unit * s, Measure({}, np.ones(100, dtype=int)), weights, np.array(rows), sum(rows), unit * 0.3
        moved.append(fit_equations(*given, FLOAT64).sensitivity(solve_resolvent(*given).scale))
    assert 1e-16 < np.abs(moved).max() < 1e-14
    np.testing.assert_allclose(moved, np.broadcast_to(moved[1], (3, 2)), rtol=0.05)


def test_digits_of_shared_inputs_confirm_themselves():
    error = ct.test_error(same_inputs(40, 1e-30), method="free-probability")
    how = {"spectrum": ct.PowerLaw(40, beta=1.0), "target": ct.RandomTarget()}
    few, many = error.evaluate(digits=20, **how), error.evaluate(digits=45, **how)
    assert abs(few - many) <= 1e-20 * many
    assert error.evaluate(**how) == pytest.approx(float(many), rel=1e-14)


def test_digits_agree_with_the_generation_operator():
    """Two derivations, forty digits: the engine and the operator on a chain."""
    pipe = ct.workflows.replace(2, ct.Stage(30, 0.3, 1e-9), ct.Stage(50, 0.2, 0.1))
    how = {"spectrum": ct.PowerLaw(40, beta=1.0), "target": ct.RandomTarget(), "digits": 40}
    engine, operator = (ct.test_error(pipe, method=m).evaluate(**how) for m in ("free-probability", "operator"))
    assert abs(engine - operator) <= 1e-39 * operator


def test_a_result_beyond_float64_is_refused():
    error = ct.test_error(ct.workflows.accumulate(2, ct.Stage(30, 1e200, 0.1)), method="free-probability")
    how = {"spectrum": ct.Isotropic(10), "target": ct.RandomTarget()}
    with pytest.raises(ct.DomainError, match="digits="):
        error.evaluate(**how)


@pytest.mark.parametrize("rounds", [2, 3])
def test_many_points_are_those_of_one_after_the_other(rounds):
    """Values and slopes, over the threshold T = d and down to tiny ridges, where points leave the batch."""
    T, sigma, lam = ct.symbols.T, ct.symbols.sigma, ct.symbols.lam
    error = ct.test_error(ct.workflows.accumulate(rounds, ct.Stage(T, sigma, lam)), method="free-probability")
    about = {"spectrum": ct.PowerLaw(40, beta=1.1), "target": ct.RandomTarget(), "sigma": 0.4}
    rows, ridges = np.array([20.0, 40.0, 90.0]), np.array([[1e-11], [1e-3], [0.1], [3.0]])
    for formula, promised in ((error, 1e-12), (error.diff("lam"), 1e-10), (error.diff("T"), 1e-10)):
        together = formula.evaluate(**about, T=rows, lam=ridges)
        apart = [[formula.evaluate(**about, T=float(t), lam=float(x)) for t in rows] for x in ridges.ravel()]
        np.testing.assert_allclose(together, apart, rtol=2 * promised)
