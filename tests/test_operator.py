"""The generation operator: identities that need no simulation."""

import numpy as np
import pytest

import collapse_theory as ct
from collapse_theory.algebra.effective import ResidualDegrees
from collapse_theory.algebra.integrals import df
from collapse_theory.derive.labeller import chain_risk
from collapse_theory.derive.labeller_scalars import ChainBias, ChainVariance
from collapse_theory.derive.operator import Generation, response
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
