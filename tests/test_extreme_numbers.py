"""Numbers at the ends of float64: underflow, overflow, cancellation and sizes, against references that know no bounds."""

import math
import time
from concurrent.futures import ThreadPoolExecutor

import mpmath
import numpy as np
import pytest
import sympy as sp
from mpmath import mpf

import collapse_theory as ct
from tests import reference as ref

CLEAN, OLS = ct.catalog["ridge-clean"].error, ct.catalog["ols-replace"].error


# ---------------------------------------------------------------------- spectra and targets
def test_a_power_law_keeps_its_rank_where_eigenvalues_underflow():
    kw = {"spectrum": ct.PowerLaw(300, beta=150), "T": 400, "T0": 400, "n": 1, "sigma": 1, "sigma0": 1}
    assert kw["spectrum"].rank == 300
    assert OLS.evaluate(**kw) == pytest.approx(600 / 99, rel=1e-15)
    assert ref.relative(OLS.evaluate(digits=40, **kw), mpf(600) / 99) < 1e-40


def test_what_underflows_is_refused_in_float64_and_exact_with_digits():
    s, w2 = [mpf(j) ** -150 for j in range(1, 301)], [mpf(j) ** -1 for j in range(1, 301)]
    kw = {
        "spectrum": ct.PowerLaw(300, beta=150),
        "target": ct.SourceTarget(r=0.5),
        "T": 400,
        "lam": 1e-200,
        "sigma": 0.1,
    }
    with pytest.raises(ct.DomainError, match=r"d=300.*from j=113 on.*digits="):
        CLEAN.evaluate(**kw)
    with pytest.raises(ct.DomainError, match="j=113"):
        kw["spectrum"].eigenvalues  # noqa: B018
    with mpmath.workdps(60):
        want = sum(ref.chain(s, w2, [(mpf(400), mpf(1e-200), mpf(0.1))]))
        assert ref.relative(CLEAN.evaluate(digits=30, **kw), want) < 1e-29


def test_a_power_law_whose_powers_leave_float64_while_its_eigenvalues_do_not():
    got = ct.PowerLaw(2, beta=1500, scale=1e300).eigenvalues[1]
    assert ref.relative(got, mpf(1e300) * mpf(2) ** -1500) < 1e-15
    for spectrum in (
        ct.PowerLaw(3, beta=1, scale=sp.Integer(10) ** 400),
        ct.Isotropic(3, scale=sp.Integer(10) ** -400),
    ):
        with pytest.raises(ct.DomainError, match="float64"):
            spectrum.nodes  # noqa: B018


@pytest.mark.parametrize(
    "target", [ct.Coefficients([1e200, 1]), ct.Coefficients([1e-200, 1e-190]), ct.RandomTarget(1e-320)]
)
def test_energies_that_float64_does_not_hold_are_refused(target):
    with pytest.raises(ct.DomainError, match="rescale"):
        CLEAN.evaluate(spectrum=ct.Isotropic(2), target=target, T=5, lam=0.1, sigma=0.1)
    assert CLEAN.evaluate(spectrum=ct.Isotropic(2), target=target, T=5, lam=0.1, sigma=0.1, digits=20) > 0


def test_an_energy_that_underflows_counts_where_nothing_else_does():
    w = np.array([1e-170, 1.0])  # the square of the first underflows; its direction is the only one the ridge touches
    s = np.array([1e300, 1e-300])
    got = CLEAN.evaluate(spectrum=ct.Eigenvalues(s), target=ct.Coefficients(w), T=7, lam=1e300, sigma=0.0)
    want = ref.chain(ref.numbers(s), [mpf(x) ** 2 for x in w], [(mpf(7), mpf(1e300), mpf(0))])[0]
    assert ref.relative(got, want) < 1e-14


def test_an_isotropic_measure_is_one_atom_whatever_its_size():
    start = time.perf_counter()
    kw = {"lam": 0.1, "sigma": 0.3}
    small = CLEAN.evaluate(spectrum=ct.Isotropic(10), target=ct.RandomTarget(), T=25, **kw)
    for d in (10**8, 10**12):
        assert CLEAN.evaluate(spectrum=ct.Isotropic(d), target=ct.RandomTarget(), T=2.5 * d, **kw) == pytest.approx(
            small, rel=1e-14
        )
        assert ct.Isotropic(d).rank == d
    with pytest.raises(ct.DomainError, match="9007199254740992"):
        ct.Isotropic(10**20)
    for listed in (ct.Isotropic(10**12), ct.PowerLaw(10**9, 1.5)):
        with pytest.raises(ct.DomainError, match="GB"):
            listed.eigenvalues  # noqa: B018
    with pytest.raises(ct.DomainError, match="GB"):
        ct.test_error(ct.workflows.replace(0, downstream=ct.Stage(T=10, ridge=0.1)), test_covariance="Other").evaluate(
            spectrum={"Sigma": ct.PowerLaw(10**8, 1.5), "Other": ct.PowerLaw(10**8, 1.2)}, target=ct.RandomTarget()
        )
    assert time.perf_counter() - start < 5


# ---------------------------------------------------------------------- overflow, underflow
@pytest.mark.parametrize(("sigma", "T", "lam"), [(1e160, 20, 0.1), (1e160, 7, 0.0)])
def test_overflow_is_called_overflow(sigma, T, lam):
    kw = {"spectrum": ct.Isotropic(10), "target": ct.RandomTarget(), "T": T, "lam": lam, "sigma": sigma}
    with pytest.raises(ct.DomainError, match=r"variance.*overflow.*rescale.*digits="):
        CLEAN.evaluate(**kw)
    assert CLEAN.evaluate(digits=15, **kw) > mpf(10) ** 318


def test_infinity_is_left_to_limits():
    kw = {"spectrum": ct.Isotropic(10), "target": ct.RandomTarget(), "T": 10, "lam": 0}
    assert CLEAN.evaluate(sigma=1e-100, **kw) == math.inf
    with pytest.raises(ct.DomainError, match=r"test noise.*overflow"):
        CLEAN.evaluate(test_noise=1e160, **{**kw, "T": 20}, sigma=1)


@pytest.mark.parametrize("T", [5e-324, 1e-300, 1e-20, 1e300])
@pytest.mark.parametrize("lam", [0, 5e-324, 1e-300, 1e300])
def test_few_and_many_rows(T, lam):
    s, w2 = [2.0, 0.5], [1.0, 3.0]
    got = CLEAN.evaluate(spectrum=ct.Eigenvalues(s), target=ct.Energies(w2), T=T, lam=lam, sigma=0.5, terms=True)
    with mpmath.workdps(720):
        k = ref.kappa(s, T, lam, digits=720)
        df2 = sum((x / (x + k)) ** 2 for x in ref.numbers(s))
        rest = mpf(T) * mpf(lam) / k + k * sum(x / (x + k) ** 2 for x in ref.numbers(s)) if k else mpf(T) - 2
        bias = mpf(T) * k**2 * sum(w * x / (x + k) ** 2 for w, x in zip(w2, ref.numbers(s), strict=True)) / rest
        for name, want in (("bias", bias), ("variance", mpf(0.25) * df2 / rest)):
            assert abs(got[name] - want) <= 1e-14 * abs(want) + mpf(10) ** -307, name


# ---------------------------------------------------------------------- derivatives
DERIVATIVES = dict.fromkeys((("T",), ("lam", "lam"), ("lam", "T"), ("lam", "sigma")), CLEAN)
for names in DERIVATIVES:
    for x in names:
        DERIVATIVES[names] = DERIVATIVES[names].diff(x)


@pytest.mark.parametrize("names", DERIVATIVES, ids=" ".join)
@pytest.mark.parametrize(
    ("T", "lam"),
    [(2, 1e-300), (2, 1e-30), (2, 1e-8), (3, 1e-30), (1.5, 1e-100), (5, 1.0), (2, 1e10), (3, 1e100), (1, 1e140)],
)
def test_derivatives_do_not_cancel_at_extreme_ridges(names, T, lam):
    s, w2, sigma = [1.0, 1e-3], [1.0, 2.0], 0.75
    with mpmath.workdps(1500):
        S, W, at = ref.numbers(s), ref.numbers(w2), {"T": mpf(T), "lam": mpf(lam), "sigma": mpf(sigma)}
        h = {name: value * mpf(10) ** -250 for name, value in at.items()}

        def slope(rest, point):
            if not rest:
                return np.array(ref.chain(S, W, [tuple(point.values())], digits=1500))
            x, *rest = rest
            up, down = ({**point, x: point[x] + e} for e in (h[x], -h[x]))
            return (slope(rest, up) - slope(rest, down)) / (2 * h[x])

        want = slope(list(names), at)
    kw = {"spectrum": ct.Eigenvalues(s), "target": ct.Energies(w2), "T": T, "lam": lam, "sigma": sigma}
    if max(abs(want)) > mpf(2) ** 1024:
        with pytest.raises(ct.DomainError, match="overflow"):
            DERIVATIVES[names].evaluate(**kw)
        return
    got = DERIVATIVES[names].evaluate(terms=True, **kw)
    for (name, value), exact in zip(got.items(), want, strict=True):
        assert abs(value - exact) <= 1e-12 * abs(exact) + mpf(10) ** -307, name


# ---------------------------------------------------------------------- digits from threads
def test_threads_with_their_own_digits_agree_and_leave_the_global_precision_alone():
    predict = CLEAN.compile(spectrum=ct.PowerLaw(12, sp.Rational(3, 2)), target=ct.SourceTarget(r=0.5))
    kw = {"T": 20, "lam": sp.sqrt(2) / 10, "sigma": sp.zeta(3) / 10, "test_noise": 0.1}
    jobs = [5, 200, 17, 80, 33, 120, 9, 60] * 3
    with mpmath.workdps(23):
        before = mpmath.mp.prec
        alone = {digits: predict.digits(digits, **kw) for digits in set(jobs)}
        assert mpmath.mp.prec == before
        watched = []
        with ThreadPoolExecutor(8) as pool:

            def run(digits):
                value = predict.digits(digits, **kw)
                watched.append(mpmath.mp.prec)
                return value

            together = list(pool.map(run, jobs))
        assert set(watched) == {before}
        assert all(x._mpf_ == alone[digits]._mpf_ for x, digits in zip(together, jobs, strict=True))
    with mpmath.workdps(250):
        best = alone[200]
        assert all(abs(alone[digits] - best) <= best * mpf(10) ** -digits for digits in set(jobs))


def test_no_part_of_the_package_touches_the_global_precision():
    import pathlib
    import re

    root = pathlib.Path(ct.__file__).parent
    pattern = re.compile(r"workdps|workprec|mpmath\.mp\.(dps|prec)|\bmp\.dps|extradps|extraprec")
    assert [p.name for p in root.rglob("*.py") if pattern.search(p.read_text())] == []


@pytest.mark.parametrize("slug", ["ridge-chain", "ridge-replace"])
def test_generations_whose_variance_is_beyond_float64_are_refused(slug):
    """Finite but about 1e399: not infinite as at a threshold."""
    err = ct.catalog[slug].error
    given = {"T": 14, "T0": 20, "lam": 0.1, "lam0": 0.1, "n": 3, "sigma": 0.1, "sigma0": 1e200}
    values = {x.name: given[x.name] for x in err.free_symbols if x.name in given}
    with pytest.raises(ct.DomainError, match="overflow, about 1e"):
        err.evaluate(spectrum=ct.PowerLaw(10, 1.5), target=ct.RandomTarget(), **values)
