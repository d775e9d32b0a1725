"""Tail cutting: sums against the binomial theorem, generators against enumeration and simulation, and the laws far out."""

import math
import pickle
from fractions import Fraction
from itertools import product

import mpmath
import numpy as np
import pytest
import sympy as sp

import collapse_theory as ct
from collapse_theory.families.tails import _law


# ------------------------------------------------------------------ exact sums
def by_binomial_theorem(beta, T, width=None):
    """The sum over infinitely many tokens: an alternating sum of zeta functions."""
    with mpmath.workdps(40 + T // 3):  # the largest terms have about 0.3 T digits
        b = mpmath.mpf(beta)
        w = b if width is None else mpmath.mpf(width)
        terms = ((-1) ** m * mpmath.binomial(T, m) * mpmath.zeta(b + m * w) / mpmath.zeta(w) ** m for m in range(T + 1))
        return mpmath.fsum(terms) / mpmath.zeta(b)


def token_by_token(beta, T, width, cut, vocabulary=math.inf):
    with mpmath.workdps(30):
        b, w = mpmath.mpf(beta), mpmath.mpf(width)
        q = [mpmath.mpf(i) ** -w for i in range(1, cut + 1)]
        p = [mpmath.mpf(i) ** -b for i in range(1, cut + 1)]
        lost = mpmath.zeta(b, cut + 1)
        if vocabulary < math.inf:
            lost = mpmath.fsum(mpmath.mpf(i) ** -b for i in range(cut + 1, vocabulary + 1))
        Q, P = mpmath.fsum(q), mpmath.fsum(p) + lost
        return (lost + mpmath.fsum(x * (1 - y / Q) ** T for x, y in zip(p, q, strict=True))) / P


@pytest.mark.parametrize(
    ("beta", "T", "width"),
    [
        (2, 300, None),
        (1.03, 60, None),
        (1.1, 100, None),
        (3.5, 120, None),
        (6, 100, None),
        (40, 30, None),
        (2, 300, 3),
        (1.2, 90, 4.7),
    ],
)
def test_infinitely_many_tokens_by_the_binomial_theorem(beta, T, width):
    want = by_binomial_theorem(beta, T, width)
    found = ct.Tails(beta, narrowed=width).error(T)
    assert abs(found / want - 1) < 1e-12
    assert abs(ct.Tails(beta * (1 + 1e-7), narrowed=width and width * (1 + 1e-7)).error(T) / want - 1) > 1e-10


@pytest.mark.parametrize(
    ("beta", "T", "width", "cut", "vocabulary"),
    [
        (1.5, 100, 1.5, 50, math.inf),
        (1.5, 5000, 2, 2000, math.inf),
        (0.7, 3000, 0.7, 2500, 2500),
        (1, 900, 1.3, 1500, 4000),
    ],
)
def test_finitely_many_tokens_one_by_one(beta, T, width, cut, vocabulary):
    found = ct.Tails(beta, cut=cut, narrowed=width, vocabulary=vocabulary).error(T)
    assert abs(found / token_by_token(beta, T, width, cut, vocabulary) - 1) < 1e-12


def test_the_cost_does_not_depend_on_the_vocabulary():
    nodes = _law(1.5, 1.5, 2**53, 2**53, 128)
    assert nodes.training.size < 3000
    huge, endless = ct.Tails(1.5, vocabulary=2**53), ct.Tails(1.5)
    lost = 2 / (math.sqrt(2**53) * float(sp.zeta(1.5)))
    assert huge.error(1e4) == pytest.approx((endless.error(1e4) - lost) / (1 - lost), rel=1e-8)
    assert huge.error(1e4) != pytest.approx(endless.error(1e4), rel=1e-7)


@pytest.mark.parametrize(
    "settings", [{"T": 40.0}, {"T": 1e30}, {"T": 300.0, "T0": 200, "n": 3}, {"T": 2e5, "T0": 10**6, "n": 1}]
)
def test_the_slope_is_the_derivative(settings):
    tails, step = ct.Tails(1.7, cut=10**6), 1e-4
    others = {k: x for k, x in settings.items() if k != "T"}
    low, high = (math.log(tails.error(settings["T"] * math.exp(x), **others)) for x in (-step, step))
    assert tails.slope(**settings) == pytest.approx((high - low) / (2 * step), rel=1e-6, abs=1e-9)


def test_arrays_keep_their_shape():
    T = np.array([[1.0, 10.0], [100.0, math.inf]])
    for found in (
        ct.Tails(2).error(T, T0=50, n=2),
        ct.Tails(2).leading(T, T0=50, n=2),
        ct.Tails(2).slope(T, T0=50, n=2),
    ):
        assert found.shape == (2, 2)
    tails = pickle.loads(pickle.dumps(ct.Tails(2, cut=9)))
    assert tails == ct.Tails(2, cut=9)
    assert tails.error(5) == ct.Tails(2, cut=9).error(5)


# ------------------------------------------------------------------ generators
def enumerated(p, T, T0, n):
    """The error by enumeration of all texts of all generators."""
    total = Fraction(0)
    for text in product(range(len(p)), repeat=T0):
        chance = math.prod(p[i] for i in text)
        frequency = [Fraction(text.count(i), T0) for i in range(len(p))]
        total += chance * (enumerated_from(p, frequency, T, T0, n - 1))
    return total


def enumerated_from(p, q, T, T0, n):
    if n == 0:
        return sum(x * (1 - y) ** T for x, y in zip(p, q, strict=True))
    total = Fraction(0)
    for text in product(range(len(p)), repeat=T0):
        chance = math.prod(q[i] for i in text)
        if chance:
            total += chance * enumerated_from(p, [Fraction(text.count(i), T0) for i in range(len(p))], T, T0, n - 1)
    return total


@pytest.mark.parametrize(("T", "T0", "n"), [(2, 3, 1), (5, 3, 2), (1, 2, 3), (4, 4, 2)])
def test_generators_by_enumeration(T, T0, n):
    weights = [Fraction(1, i**2) for i in (1, 2, 3)]
    p = [x / sum(weights) for x in weights]
    want = float(enumerated(p, T, T0, n))
    tails = ct.Tails(2, vocabulary=3)
    assert tails.error(T, T0=T0, n=n) == pytest.approx(want, rel=1e-13)
    assert abs(tails.error(T, T0=T0, n=n + 1) / want - 1) > 1e-3 or T == 1


@pytest.mark.parametrize(("T", "T0", "n"), [(7, 5, 1), (3, 6, 2), (9, 4, 3)])
def test_generators_of_infinitely_many_tokens(T, T0, n):
    """The chance to stay unknown is a polynomial in the probability; its powers sum to zeta functions."""
    x = sp.Symbol("x")
    f = (1 - x) ** T
    for _ in range(n):
        f = sum(sp.binomial(T0, m) * x**m * (1 - x) ** (T0 - m) * f.subs(x, sp.Rational(m, T0)) for m in range(T0 + 1))
    coefficients = reversed(sp.Poly(sp.expand(f), x).all_coeffs())
    with mpmath.workdps(40):
        b = mpmath.mpf(1.4)
        Z = mpmath.zeta(b)
        want = mpmath.fsum(
            mpmath.mpf(c.p) / c.q * mpmath.zeta(b * (k + 1)) / Z ** (k + 1) for k, c in enumerate(coefficients)
        )
    assert ct.Tails(1.4).error(T, T0=T0, n=n) == pytest.approx(float(want), rel=1e-12)


@pytest.mark.parametrize(("T0", "n"), [(7, 1), (600, 5), (10**4, 1)])
def test_frequencies_are_a_martingale(T0, n):
    """One token more, and two, need the first two moments of a frequency alone: q, and q^2 + (1 - (1 - 1/T0)^n) q (1 - q)."""
    z1, z2, z3 = (float(sp.zeta(1.6 * k)) for k in (1, 2, 3))
    pq, pqq = z2 / z1**2, z3 / z1**3
    spread = -math.expm1(n * math.log1p(-1 / T0))
    assert ct.Tails(1.6).error(1, T0=T0, n=n) == pytest.approx(1 - pq, rel=1e-12)
    assert ct.Tails(1.6).error(2, T0=T0, n=n) == pytest.approx(1 - 2 * pq + pqq + spread * (pq - pqq), rel=1e-12)


@pytest.mark.parametrize(("T0", "n"), [(50, 1), (10**6, 4), (10**12, 2)])
def test_the_plateau_of_generators_is_the_error_of_the_last(T0, n):
    tails = ct.Tails(1.6)
    assert tails.error(math.inf, T0=T0, n=1) == pytest.approx(tails.error(T0), rel=1e-12)
    assert tails.error(math.inf, T0=T0, n=n + 1) == pytest.approx(tails.error(T0, T0=T0, n=n), rel=1e-12)


def test_generators_agree_with_the_survival_of_tokens():
    p = np.arange(1.0, 41) ** -1.3
    p /= p.sum()
    family = ct.Categorical(p)
    want = sum(x * (1 - family.survival_probability(i, T=30, generations=4)) for i, x in enumerate(p))
    assert ct.Tails(1.3, vocabulary=40).error(30, T0=30, n=3) == pytest.approx(want, rel=1e-11)


def test_a_cut_that_loses_nothing_known_changes_nothing():
    """Counts that are left out of a long chain carry less than round-off: the chain of all counts says the same."""
    assert ct.Tails(2).error(500.0, T0=1500, n=3) == pytest.approx(full_chain(2, 500, 1500, 3), rel=1e-12)


def full_chain(beta, T, T0, n):
    from scipy.stats import binom

    m = np.arange(T0 + 1)
    f = (1 - m / T0) ** T
    step = binom.pmf(m[None, :], T0, m[:, None] / T0)
    for _ in range(n - 1):
        f = step @ f
    q = _law(beta, beta, math.inf, math.inf, 64)
    return float(q.truth @ (binom.pmf(m[None, :], T0, q.training[:, None]) @ f))


def simulated(tails, T, T0, n, runs, seed):
    rng = np.random.default_rng(seed)
    ranks = np.arange(1, tails.vocabulary + 1.0)
    p = ranks ** -float(tails.beta)
    p /= p.sum()
    q = np.where(ranks <= tails.cut, ranks ** -float(tails.narrowed), 0)
    q /= q.sum()
    found = []
    for _ in range(runs):
        law = q
        for _ in range(n):
            law = rng.multinomial(T0, law) / T0
        found.append(p[rng.multinomial(T, law) == 0].sum())
    return np.mean(found), np.std(found) / math.sqrt(runs)


@pytest.mark.parametrize(("T", "T0", "n"), [(60, None, 0), (60, 80, 2), (200, 50, 4)])
def test_simulated_texts_agree_and_a_wrong_number_of_generators_does_not(T, T0, n):
    tails = ct.Tails(1.4, cut=300, narrowed=1.5, vocabulary=500)
    mean, error = simulated(tails, T, T0 or 1, n, runs=1500, seed=7)
    assert abs(mean - tails.error(T, T0=T0, n=n)) < 4 * error
    assert abs(mean - tails.error(T, T0=T0 or 60, n=n + 1)) > 6 * error


# ------------------------------------------------------------------ laws
RNG = np.random.default_rng(3)
DRAWN = [(1 + b, (1 + b) * (1 + x)) for b, x in zip(RNG.uniform(0.05, 4, 50), RNG.uniform(0, 1, 50), strict=True)]


@pytest.mark.parametrize(("beta", "width"), DRAWN)
def test_exponents_far_out(beta, width):
    tails = ct.Tails(beta, narrowed=width)
    c = (beta - 1) / width
    assert float(tails.exponent) == pytest.approx(c)
    assert tails.slope(1e100) == pytest.approx(-c, abs=1e-3 if c < 0.05 else 1e-10)
    assert tails.error(1e100) == pytest.approx(float(tails.constant) * 1e100**-c, rel=1e-9)
    assert abs(tails.slope(1e100) + c * 1.01) > 1e-4


def test_constants_are_exact():
    beta = sp.Rational(3, 2)
    assert sp.simplify(ct.Tails(beta).constant - sp.zeta(beta) ** (-1 / beta) * sp.gamma(1 - 1 / beta) / beta) == 0
    assert ct.Tails(2, narrowed=3).exponent == sp.Rational(1, 3)


@pytest.mark.parametrize("beta", [1.3, 2, 3.5])
def test_a_cut_leaves_a_floor(beta):
    floors = {k: ct.Tails(beta, cut=k).error(math.inf) for k in (10**6, 10**7)}
    assert math.log10(floors[10**7] / floors[10**6]) == pytest.approx(-(beta - 1), abs=1e-5)
    assert floors[10**7] == pytest.approx(1e7 ** -(beta - 1) / ((beta - 1) * float(sp.zeta(beta))), rel=1e-5)
    tails = ct.Tails(beta, cut=10**7)
    there = tails.crossover()
    assert float(ct.Tails(beta).constant) * there ** -float(tails.exponent) == pytest.approx(
        floors[10**7],
        rel=1e-6 + 2 * floors[10**7],  # the sums of the cut law are so much shorter
    )
    T = np.geomspace(there / 1e5, there * 1e5, 9)
    np.testing.assert_allclose(tails.error(T), tails.leading(T), rtol=2e-2 * (there / 1e5) ** -0.1)
    assert tails.slope(there / 1e5) < -0.9 * float(tails.exponent)
    assert abs(tails.slope(there * 1e5)) < 1e-3


def test_generators_leave_a_plateau_that_grows_with_their_number():
    tails, T0 = ct.Tails(2.5), 10**10
    c = float(tails.exponent)
    assert tails.crossover(T0=T0, n=1) == pytest.approx(T0, rel=1e-12)
    for n in (1, 2, 5, 20):
        for T in (1e9, 1e10, 1e13, math.inf):
            assert tails.error(T, T0=T0, n=n) == pytest.approx(tails.leading(T, T0=T0, n=n), rel=1e-5)
        assert tails.slope(1e15, T0=T0, n=n) == pytest.approx(0, abs=1e-4)
    plateau = {n: tails.leading(math.inf, T0=T0, n=n) for n in (10**4, 10**5)}
    assert math.log10(plateau[10**5] / plateau[10**4]) == pytest.approx(c, abs=1e-3)
    assert plateau[10**5] == pytest.approx(float(tails.constant) * (2 * T0 / 1e5) ** -c, rel=1e-3)
    rates = [
        math.log10(tails.error(math.inf, T0=10**k, n=1) / tails.error(math.inf, T0=10 ** (k + 1), n=1)) for k in (9, 11)
    ]
    assert rates == pytest.approx([c, c], abs=1e-4)


@pytest.mark.parametrize(("beta", "width", "n"), [(2, None, 1), (1.4, 2, 3)])
def test_a_generator_cuts_at_a_rank(beta, width, n):
    tails = ct.Tails(beta, narrowed=width)
    k = tails.equivalent_cut(10**12, n=n)
    left = ct.Tails(beta, cut=round(k)).error(math.inf)
    assert left == pytest.approx(tails.error(math.inf, T0=10**12, n=n), rel=1e-3)
    assert math.log10(tails.equivalent_cut(10**13, n=n) / k) == pytest.approx(1 / (width or beta), abs=1e-9)


# ------------------------------------------------------------------ bad input
@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: ct.Tails(1), "beta needs to be > 1 where the vocabulary is infinite"),
        (lambda: ct.Tails(-2, vocabulary=9), "beta needs to be > 0"),
        (lambda: ct.Tails(101), "beta needs to be <= 100"),
        (lambda: ct.Tails(2, narrowed=1.5), "narrowed needs to be >= beta"),
        (lambda: ct.Tails(2, cut=0), "cut needs to be an integer >= 1"),
        (lambda: ct.Tails(2, vocabulary=2.5), "vocabulary needs to be an integer"),
        (lambda: ct.Tails(2).error(0), "T needs to be between 0 and"),
        (lambda: ct.Tails(2).error(1e260), "T needs to be between 0 and"),
        (lambda: ct.Tails(2).error(10, n=2), "T0 is needed for n=2"),
        (lambda: ct.Tails(2).error(10, T0=5), "T0 needs a generator"),
        (lambda: ct.Tails(2).error(10, T0=10**9, n=2), "need a chain of"),
        (lambda: ct.Tails(0.5, vocabulary=9).leading(10), "the leading order needs beta > 1"),
        (lambda: ct.Tails(0.5, vocabulary=9).constant, "the leading order needs beta > 1"),
        (lambda: ct.Tails(2, cut=5).equivalent_cut(10), "equivalent_cut needs an infinite vocabulary"),
        (lambda: ct.Tails(2, vocabulary=9).slope(1e9), "slope needs an error that float64 holds"),
    ],
)
def test_bad_input(call, said):
    with pytest.raises(ct.DomainError, match=said):
        call()


def test_no_plateau_without_a_cut():
    assert ct.Tails(2).crossover() == math.inf
    assert ct.Tails(2).error(math.inf) == 0
