"""The generation operator: identities that need no simulation."""

import mpmath
import numpy as np
import pytest

import collapse_theory as ct
from collapse_theory.algebra.effective import ResidualDegrees
from collapse_theory.algebra.integrals import df
from collapse_theory.derive.labeller import chain_risk
from collapse_theory.derive.labeller_scalars import ChainBias, ChainVariance
from collapse_theory.derive.operator import Generation, response
from collapse_theory.numerics import generations
from collapse_theory.numerics.effective_ridge import residual_degrees, solve_effective_ridge
from collapse_theory.numerics.generations import Generations
from collapse_theory.numerics.measure import COMMON, Measure
from collapse_theory.symbols import T0, T, eigenvalue, lam, lam0, n, sigma, sigma0

FIRST, LAST = Generation(T0, lam0, sigma0), Generation(T, lam, sigma)


def test_response_to_the_covariance():
    assert response(eigenvalue, LAST) == df(2, LAST.kappa) / ResidualDegrees(T, lam)


def test_opaque_chains_unfold_to_the_explicit_ones():
    blocks = ((T0, lam0, sigma0, 1), (T, lam, sigma, 1))
    assert (ChainBias(*blocks).doit(), ChainVariance(*blocks).doit()) == chain_risk([FIRST, LAST])
    with pytest.raises(ct.DomainError, match="integer counts"):
        ChainBias((T0, lam0, sigma0, n)).doit()


def test_short_chains_are_written_out_and_longer_ones_are_not():
    for rounds in range(6):
        pipe = ct.workflows.replace(rounds, ct.Stage(T0, sigma0, lam0), ct.Stage(T, sigma, lam))
        error = ct.test_error(pipe, method="operator")
        parts = (error.terms["bias"], error.terms["variance"])
        opaque = [e.has(ChainBias, ChainVariance) for e in parts]
        assert opaque == [rounds > 2] * 2
        unfolded = chain_risk([FIRST] * rounds + [LAST])
        assert tuple(e.doit() if rounds > 2 else e for e in parts) == unfolded


def test_minimum_norm_generators_are_projections():
    """Isotropic, lam = 0, T0 < d: the signal is kept by T0/d per generation, the noise by the same factor."""
    pipe = ct.workflows.replace(2, ct.Stage(T=30, noise=0.5), ct.Stage(T=30, noise=0.5))
    terms = ct.test_error(pipe, method="operator").evaluate(
        spectrum=ct.Isotropic(100), target=ct.RandomTarget(), terms=True
    )
    assert terms["bias"] == pytest.approx(1 - 0.3**3, rel=1e-12)
    assert terms["variance"] == pytest.approx(0.25 * 30 / 70 * (1 + 0.3 + 0.09), rel=1e-12)


def test_methods_disagree_only_by_the_constant():
    pipe = ct.workflows.replace(0, downstream=ct.Stage(T=40, noise=1))
    kw = {"spectrum": ct.Isotropic(10), "target": ct.RandomTarget()}
    assert ct.test_error(pipe).evaluate(**kw) == pytest.approx(10 / 29, rel=1e-13)
    assert ct.test_error(pipe, method="operator").evaluate(**kw) == pytest.approx(10 / 30, rel=1e-13)
    with pytest.raises(ct.PipelineError, match="method"):
        ct.test_error(pipe, method="guess")


def test_without_remainders_a_chain_is_a_product_of_shrinkages():
    """Directions that count for nothing in the traces: what is lost is ``1 - prod s/(s + kappa)``, of fits of any number."""
    s = np.array([3.0, 1.0, 0.2])
    measure = Measure({COMMON: s}, np.zeros(3), np.array([1.0, 2.0, 5.0]))
    runs = [(0.5, 1.0, 0.01, 1), (0.25, 1.0, 0.01, 3), (2.0, 1.0, 0.01, 1)]  # kappa, residual, noise and length
    kept = s / (s + 0.5) * (s / (s + 0.25)) ** 3 * s / (s + 2.0)
    bias, variance = Generations((None, None, None)).run(measure, [x for run in runs for x in run])
    assert bias == pytest.approx((s * (1 - kept) ** 2) @ measure.energies, rel=1e-14)
    assert variance == 0


def many_equal_fits(kappa, residual, noise, count):
    """Return bias and variance of a run of equal fits by the recursion itself, in mpmath."""
    with mpmath.workdps(40):
        s, e = [list(map(mpmath.mpf, x)) for x in (NODES, WEIGHTS)]
        kappa, residual, noise = map(mpmath.mpf, (kappa, residual, noise))
        lost = [kappa / (x + kappa) for x in s]
        kept, target, own = [mpmath.mpf(1)] * len(s), [mpmath.mpf(0)] * len(s), [mpmath.mpf(0)] * len(s)
        for _ in range(count):
            signal = sum(w * x * (c * k) ** 2 for w, x, c, k in zip(e, s, lost, kept, strict=True))
            moved = [sum(m * c**2 * h for m, c, h in zip(COUNTS, lost, f, strict=True)) for f in (target, own)]
            target = [(1 - c) ** 2 * (h + (signal + moved[0]) / residual) for c, h in zip(lost, target, strict=True)]
            own = [(1 - c) ** 2 * (h + (noise + moved[1]) / residual) for c, h in zip(lost, own, strict=True)]
            kept = [(1 - c) * k for c, k in zip(lost, kept, strict=True)]
        bias = sum(w * x * (1 - k) ** 2 for w, x, k in zip(e, s, kept, strict=True))
        return [a + sum(m * h for m, h in zip(COUNTS, f, strict=True)) for a, f in ((bias, target), (0, own))]


NODES, COUNTS, WEIGHTS = np.array([3.0, 1.0, 0.2, 1e-5]), np.array([1, 2, 4, 9]), np.array([1.0, 2.0, 5.0, 7.0])


@pytest.mark.parametrize(("rows", "ridge"), [(20, 1e-3), (20, 1e-9), (5, 0), (15.99, 1e-6), (16.01, 1e-12), (0.5, 0)])
def test_many_equal_fits_are_a_power_of_the_operator(rows, ridge):
    """Slow and fast decay, near the threshold too: round-off does not grow with the number of fits."""
    measure = Measure({COMMON: NODES}, COUNTS, WEIGHTS)
    kappa = solve_effective_ridge(measure, np.array([rows]), np.array([ridge]))
    residual = residual_degrees(measure, np.array([rows]), np.array([ridge]), kappa)
    counts = [31, 33, 64, 1001]
    column = np.array(counts)[:, None]
    got = Generations((None,)).run(measure, [kappa[:, None], residual[:, None], 0.3, column])
    for i, count in enumerate(counts):
        for value, want in zip(got, many_equal_fits(kappa[0], residual[0], 0.3, count), strict=True):
            assert abs(value[i] / want - 1) < 1e-14
            assert abs(value[i] * (1 + 1e-13) / want - 1) > 5e-14


def test_a_million_generations_are_a_sum_of_decays():
    """On one eigenvalue the operator is a number: a mean that falls like ``r**n`` beside squares that fall like ``p**n``."""
    measure = Measure({COMMON: np.array([2.0])}, np.array([5]), np.array([3.0]))
    kappa, residual, n = 1e-6, 4.0, 10**6
    with mpmath.workdps(40):
        r = mpmath.mpf(2) / (2 + mpmath.mpf(kappa))
        p = r**2 * (1 + 5 * (1 - r) ** 2 / residual)
        want = 6 * (1 - 2 * r**n + p**n), mpmath.mpf(0.3) * 5 * r**2 / residual * (1 - p**n) / (1 - p)
    bias, variance = Generations((None,)).run(measure, [kappa, residual, 0.3, n])
    assert bias == pytest.approx(float(want[0]), rel=1e-14)
    assert variance == pytest.approx(float(want[1]), rel=1e-14)


def test_slopes_and_large_batches_of_powers():
    err = ct.catalog["ridge-chain"].error
    measure = {"spectrum": ct.PowerLaw(12, beta=1.2), "target": ct.RandomTarget()}
    values = {"T0": 20, "T": 30, "lam": 0.1, "sigma": 0.3, "sigma0": 0.2}
    counts = np.array([3, 40, 500, 10**5])
    lam0 = np.linspace(1e-3, 2e-3, 3)[:, None]
    whole = err.diff("lam0").evaluate(**measure, **values, n=counts, lam0=lam0)
    for i in np.ndindex(whole.shape):
        at = {**values, "n": int(counts[i[1]])}
        near = [err.evaluate(**measure, **at, lam0=float(lam0[i[0], 0]) + h) for h in (1e-7, -1e-7)]
        assert whole[i] == pytest.approx((near[0] - near[1]) / 2e-7, rel=1e-5)
    exact = err.diff("lam0").evaluate(digits=20, **measure, **values, n=500, lam0=1e-3)
    assert whole[0, 2] == pytest.approx(float(exact), rel=1e-12)


def test_a_batch_of_powers_is_split_where_its_matrices_are_large(monkeypatch):
    err = ct.catalog["ridge-chain"].error
    at = {"spectrum": ct.PowerLaw(12, beta=1.2), "target": ct.RandomTarget(), "n": np.array([3, 40, 500, 10**5])}
    at |= {"T0": 8, "T": 30, "lam": 0.1, "sigma": 0.3, "sigma0": 0.2, "lam0": np.linspace(0, 0.1, 4)}
    whole, slopes = err.evaluate(**at), err.diff("sigma0").evaluate(**at)
    monkeypatch.setattr(generations, "_ENTRIES", 3 * 12**2)
    # Products of other groups of matrices are summed in another order: the last digit may differ.
    np.testing.assert_allclose(err.evaluate(**at), whole, rtol=4e-16)
    np.testing.assert_allclose(err.diff("sigma0").evaluate(**at), slopes, rtol=4e-16)
