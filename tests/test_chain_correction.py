"""The first finite-size correction: against its own potential in 50 digits, exact small systems, and simulation."""

import math

import mpmath
import numpy as np
import pytest
from mpmath import mpf
from scipy.integrate import quad
from scipy.stats import chi2

import collapse_theory as ct
from collapse_theory.numerics.chain_correction import Link, _Fit, chain_correction
from collapse_theory.numerics.measure import Measure
from tests import naive
from tests import reference as ref

S, W = [2.0, 1.0, 1.0, 0.25, 0.0], [0.5, 1.0, 2.0, 0.3, 7.0]


def correct(s, w2, stages, **links):
    measure = Measure.of(ct.Eigenvalues(s), ct.Energies(w2))
    return chain_correction(measure, [Link(*stage, **links) for stage in stages])


def potential(ridges, s, T, order):
    """Return E log det(S + diag(ridges)) to the zeroth or first order, from the fixed point alone."""

    def gap(a):
        return a * (1 + mpmath.fsum(x / (a * x + r) for x, r in zip(s, ridges, strict=True)) / T) - 1

    a = mpmath.findroot(gap, (mpf("0.5"), mpf("0.6")))
    df2 = mpmath.fsum((a * x / (a * x + r)) ** 2 for x, r in zip(s, ridges, strict=True))
    whole = mpmath.fsum(mpmath.log(a * x + r) for x, r in zip(s, ridges, strict=True))
    whole += T * (a - 1 - mpmath.log(a))
    return whole + (mpmath.log(1 - df2 / T) / 2 if order else 0)


def moments(s, T, lam, order):
    """Return E R_jj and E R_jk^2 as differences of the potential."""
    h, d = mpf(10) ** -10, len(s)

    def at(*moves):
        ridges = [mpf(lam)] * d
        for j, x in moves:
            ridges[j] += x * h
        return potential(ridges, s, T, order)

    first = [(at((j, 1)) - at((j, -1))) / (2 * h) for j in range(d)]
    second = [
        [-(at((j, 1), (k, 1)) - at((j, 1), (k, -1)) - at((j, -1), (k, 1)) + at((j, -1), (k, -1))) / (4 * h**2)
         for k in range(d)] for j in range(d)
    ]  # fmt: skip
    return first, second


def noise_by_moments(T, lam, *, order):
    """Return RSR/T = (R - lam R^2)/T by direction; the first order as ``n0/(1 - n1/n0)``, the same up to its square."""
    each = []
    for o in range(order + 1):
        mean, square = moments(S[:4], T, lam, o)
        each.append([(a - lam * mpmath.fsum(row)) / T for a, row in zip(mean, square, strict=True)])
    return [n[0] if order == 0 else n[0] ** 2 / (2 * n[0] - n[1]) for n in zip(*each, strict=True)]


def chain_by_moments(w2, stages, order):
    """Return the error of a chain from A = 1 - lam R and RSR = R - lam R^2, by definition."""
    s = ref.numbers(S[:4])
    d = len(s)
    M, u, error = list(s), list(s), mpf(0)
    for T, lam, sigma in reversed(stages):
        lam = mpf(lam)
        mean, square = moments(s, T, lam, order)
        noise = noise_by_moments(T, lam, order=order)
        spread = [mpmath.fsum(square[j][k] * M[k] for k in range(d)) for j in range(d)]
        error += mpf(sigma) ** 2 * mpmath.fsum(a * b for a, b in zip(noise, M, strict=True))
        M = [M[j] * (1 - 2 * lam * mean[j]) + lam**2 * spread[j] for j in range(d)]
        u = [u[j] * (1 - lam * mean[j]) for j in range(d)]
    return error + mpmath.fsum(mpf(w) * (s[j] - 2 * u[j] + M[j]) for j, w in enumerate(w2))


@pytest.mark.parametrize(
    "stages", [[(9, 0.5, 0.7)], [(3, 0.4, 0.3)], [(9, 0.5, 0.7), (3, 0.8, 0.2), (12, 0.3, 0.5)]], ids=str
)
def test_the_correction_is_made_of_the_derivatives_of_log_det(stages):
    with mpmath.workdps(40):
        want = chain_by_moments(W[:4], stages, 1) - chain_by_moments(W[:4], stages, 0)
    got = correct(S, W, stages).value  # a zero eigenvalue counts for nothing
    assert ref.relative(got, want) < 1e-9
    assert ref.relative(got * 1.0001, want) > 1e-5


def test_least_squares_is_exact_and_counts_no_remainder():
    got = correct(S, W, [(9, 0, 0.7), (12, 0, 0.5)])
    want = 4 * (0.49 * (1 / 4 - 1 / 5) + 0.25 * (1 / 7 - 1 / 8))
    assert got.value == pytest.approx(want, rel=1e-12)
    assert got.remainder == 0
    least = correct(S, W, [(6, 0, 0.7)])  # the fewest rows with a finite error
    assert (least.value, least.remainder) == (pytest.approx(4 * 0.49 * (1 - 1 / 2), rel=1e-12), 0)
    # A vanishing ridge comes to the same, but the remainder cannot know.
    near = correct(S, W, [(9, 1e-9, 0.7)])
    assert near.value == pytest.approx(4 * 0.49 * (1 / 4 - 1 / 5), rel=1e-6)
    assert near.remainder == pytest.approx(near.value / 4, rel=1e-6)
    # A formula that takes its least-squares fits exactly needs nothing more.
    done = correct(S, W, [(9, 0, 0.7)], exact=True)
    assert done.value == 0
    assert done.included == pytest.approx(4 * 0.49 * (1 / 4 - 1 / 5), rel=1e-12)


def test_minimum_norm_in_the_isotropic_case_meets_the_exact_error():
    """(1 - T/d) |w|^2 + sigma^2 T/(d - T - 1): the bias needs no correction, the noise has its exact one."""
    d, T = 30, 12
    clean = correct([1.0] * d, [1.0] * d, [(T, 0, 0)])
    noisy = correct([1.0] * d, [0.0] * d, [(T, 0, 1)])
    assert abs(clean.value) < 1e-12 * d
    assert noisy.value == pytest.approx(T / (d - T - 1) - T / (d - T), rel=1e-9)
    # and the ridgeless forms continue those of a small ridge
    power = np.arange(1, d + 1) ** -1.5
    limit, near = (correct(power, power, [(T, lam, 0.3)] * 2).value for lam in (0, 1e-11))
    assert limit == pytest.approx(near, rel=1e-6)


def one_direction(T, lam, sigma):
    """Return the exact test error in one dimension, where S is a chi-square over T."""
    x = chi2(T)
    low, high = x.ppf(1e-14), x.isf(1e-14)

    def risk(c):
        return (lam**2 + sigma**2 * c / T / T) / (c / T + lam) ** 2 * x.pdf(c)

    return quad(risk, low, high, epsabs=0, epsrel=1e-12, limit=400)[0]


@pytest.mark.parametrize(("lam", "sigma"), [(0.3, 0.0), (0.3, 1.0), (0.1, 0.0), (2.0, 1.0)])
def test_in_one_dimension_the_error_left_is_of_second_order(lam, sigma):
    left = {}
    for T in (40, 80):
        exact, got = one_direction(T, lam, sigma), correct([1.0], [1.0], [(T, lam, sigma)])
        plain = float(sum(ref.chain([mpf(1)], [mpf(1)], [(T, mpf(lam), mpf(sigma))])))
        left[T] = (abs(plain - exact) / exact, abs(plain + got.value - exact) / exact, got.remainder / exact)
    assert left[40][0] / left[80][0] == pytest.approx(2, rel=0.15)  # before: first order
    assert left[40][1] / left[80][1] == pytest.approx(4, rel=0.25)  # after: second
    assert left[40][1] < left[40][0] / 8


def test_outside_its_range_nothing_is_claimed():
    for stages in ([(5, 0, 1)], [(4, 0, 1)], [(30, 0.1, 1), (5, 0, 1)]):
        got = correct(S, W, stages)
        assert (got.value, got.remainder) == (0, math.inf)
    with pytest.raises(ct.DomainError, match="target"):
        chain_correction(Measure.of(ct.Isotropic(3)), [Link(9, 0.1, 1)])


def test_repeated_eigenvalues_count_as_often_as_they_occur():
    spread = correct([1.0, 1.0 + 1e-9, 0.3], [1.0, 2.0, 3.0], [(9, 0.1, 0.5), (2, 0.2, 0.3)])
    merged = correct([1.0, 1.0, 0.3], [1.0, 2.0, 3.0], [(9, 0.1, 0.5), (2, 0.2, 0.3)])
    assert spread.value == pytest.approx(merged.value, rel=1e-6)


def simulated(s, w2, stages, trials, seed):
    """Return mean and standard error of naive runs of the chain."""
    pipe, last = ct.Pipeline(), ct.TRUTH
    for T, lam, sigma in stages:
        last = pipe.fit(pipe.sample(T=T, noise=sigma, source=last), ridge=lam)
    errors = naive.errors(pipe, naive.Linear(s, w2), trials, seed)
    return errors.mean(), errors.std() / math.sqrt(trials)


@pytest.mark.parametrize(
    ("s", "stages", "before"),
    [(np.ones(12), [(18, 0.02, 0.5)], 0.06), (np.ones(12), [(18, 0.02, 0.0)], 0.3),
     (np.arange(1, 13) ** -1.2, [(7, 0.01, 0.3), (20, 0.05, 0.3)], 0.03)],
)  # fmt: skip
def test_simulated_small_systems(s, stages, before):
    w2 = np.full(12, 1 / 12)
    mean, sem = simulated(s, w2, stages, 40_000, 1)
    plain = float(sum(ref.chain(ref.numbers(s), ref.numbers(w2), [(T, mpf(a), mpf(b)) for T, a, b in stages])))
    got = correct(s, w2, stages)
    assert mean / plain - 1 > before  # what finite size does
    assert abs(mean - plain - got.value) < 4 * sem + got.remainder
    assert abs(mean - plain) > 4 * sem + got.remainder  # and theory without it is rejected


@pytest.mark.heavy
@pytest.mark.parametrize("seed", range(14))
def test_chains_of_sixty_dimensions(seed):
    """Fourteen chains: any rows, ridges and noises, repeated eigenvalues, more rows than dimensions and fewer."""
    rng = np.random.default_rng(seed)
    s = np.arange(1, 61) ** -rng.choice([0, 0.5, 1.2, 2.0])
    w2 = np.arange(1, 61) ** -rng.uniform(0, 1.5)
    stages = [
        (int(rng.choice([30, 45, 75, 90, 150])), rng.choice([1e-3, 0.01, 0.1]), rng.choice([0, 0.2, 0.5]))
        for _ in range(rng.integers(1, 5))
    ]
    mean, sem = simulated(s, w2, stages, 3000, seed)
    plain = float(sum(ref.chain(ref.numbers(s), ref.numbers(w2), [(T, mpf(a), mpf(b)) for T, a, b in stages])))
    got = correct(s, w2, stages)
    assert abs(mean - plain - got.value) < 3 * sem + got.remainder
    assert abs(mean - 1.05 * plain - got.value) > 3 * sem + got.remainder


def test_least_squares_is_exact_from_two_rows_more_than_directions():
    """Below, the inverse of a Wishart matrix has no mean."""
    measure = Measure.of(ct.Isotropic(5))
    for rows, exact in ((6.5, False), (7, True), (40, True)):
        assert _Fit.of(measure, Link(rows, 0.0, 0.3, False)).least_squares is exact
    assert not _Fit.of(measure, Link(40, 1e-9, 0.3, False)).least_squares
