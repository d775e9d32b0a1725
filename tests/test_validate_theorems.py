"""Every theorem against simulation, and the same comparison against the theorem 5 % larger and smaller.

Each theorem has a point here, at a size where the comparison is cheap and can see 5 %; a new theorem without one fails.
"""

import math
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest

import collapse_theory as ct
from collapse_theory.check.verdict import Validation
from collapse_theory.simulate.trials import Simulation
from tests import naive

OFF = 0.05
POWER = {"spectrum": ct.PowerLaw(40, 1.0), "target": ct.RandomTarget()}
ROUND = {"spectrum": ct.Isotropic(40)}
UNIT = {**ROUND, "target": ct.RandomTarget(), "rho2": 1}
TOKENS = {"family": ct.Categorical(np.full(20, 0.05), relative=True)}
VECTORS = {"family": ct.Gaussian(20)}


@dataclass(frozen=True)
class Location:
    """Vectors N(theta, I): maximum likelihood is the mean, its leading order exact. Many directions, so little noise."""

    q: int = 100

    @property
    def truth(self):
        return np.zeros(self.q)

    @property
    def information(self):
        return np.eye(self.q)

    def sample(self, theta, T, rng):
        return theta + rng.standard_normal((T, self.q))

    def fit(self, rows, weights):
        return weights @ rows / weights.sum()


MEANS = {"family": ct.Regular(Location()), "extrapolate": True}
FRESH = {"T": 20, "T0": 30, "n": 2, "w": 0.6}


def golden():
    w = (math.sqrt(5) - 1) / 2
    return ct.workflows.fresh_real(8, ct.Stage(T=10), ct.Stage(T=10), weight=w)


def least_squares_generator(N=60, T0=80, p1=0.5, sigma=0.3, lam=0.1, sigma0=1.0):
    """Return a mixture whose synthetic half is labelled by least squares: an offset that does not depend on the truth."""
    pipe = ct.Pipeline()
    generator = pipe.fit(pipe.sample(T=T0, noise=sigma0))
    real, fake = pipe.sample(T=int(p1 * N), noise=sigma), pipe.sample(T=N - int(p1 * N), noise=sigma, source=generator)
    pipe.fit([real, fake], ridge=lam)
    return pipe


OFFSET = {"Sigma": ct.PowerLaw(40, 1.0), "Delta": ct.Eigenvalues(np.arange(1, 41) / (80 - 40))}
"""The generator's covariance, sigma0^2 Sigma^-1/(T0 - d), to leading order as the rest of the mixture."""

POINTS = {
    "ols-replace": {**ROUND, "T": 80, "T0": 90, "n": 2, "sigma": 0.3, "sigma0": 0.4, "trials": 2000},
    "ols-accumulate": {**ROUND, "T": 80, "n": 3, "sigma": 0.3, "trials": 2000},
    "ols-accumulate-fixed-design": {**ROUND, "T": 80, "n": 3, "sigma": 0.3, "trials": 2000},
    "ols-mix-fixed-design": {**ROUND, "T": 80, "n": 3, "sigma": 0.3, "w": 0.4, "trials": 2000},
    "ridge-clean": {**POWER, "T": 50, "lam": 0.1, "sigma": 0.5, "trials": 2500},
    "ridge-replace": {**POWER, "T": 50, "T0": 90, "n": 2, "lam": 0.1, "sigma": 0.3, "sigma0": 0.4, "trials": 2500},
    "ridge-chain": {
        **POWER, "T": 50, "T0": 30, "n": 3, "lam": 0.1, "lam0": 0.05, "sigma": 0.5, "sigma0": 0.4, "trials": 2500,
    },
    "weak-to-strong": {
        **POWER, "T": 50, "T0": 40, "m": 60, "m0": 20, "lam": 0.1, "lam0": 0.05, "sigma": 0.5, "sigma0": 0.4, "trials": 4000,
    },
    "features-chain": {
        **POWER, "T": 50, "T0": 40, "m": 60, "m0": 30, "n": 2, "lam": 0.1, "lam0": 0.1, "sigma": 0.5, "sigma0": 0.4,
        "trials": 4000,
    },
    "features-replace": {
        **POWER, "T": 50, "T0": 40, "m": 30, "n": 2, "lam": 0.1, "lam0": 0.1, "sigma": 0.5, "sigma0": 0.4, "trials": 4000,
    },
    **{
        slug: {**POWER, "T": 80, "T0": 20, "n": 2, "lam": 0.3, "sigma": 0.5, "sigma0": 0.2, "trials": 10000}
        for slug in ("ridge-replace-overparametrized", "ridge-replace-same-design")
    },
    "minnorm-replace-isotropic": {
        "spectrum": ct.Isotropic(40), "target": ct.RandomTarget(), "rho2": 1, "T0": 25, "n": 2, "sigma0": 0.5, "trials": 2500,
    },
    "ols-mix-precision": {**ROUND, "T": 80, "n": 3, "sigma": 0.3, "w": 0.4, "k": 2.5, "trials": 2000},
    "ols-mix-precision-best": {**ROUND, "T": 80, "sigma": 0.3, "k": 2.5, "trials": 2000},
    "ols-fresh-real": {**ROUND, "T": 55, "N": 110, "n": 3, "sigma": 0.3, "sigma0": 0.4, "trials": 2000},
    "minnorm-same-design": {**UNIT, "T0": 25, "n": 2, "sigma0": 0.3, "trials": 2500},
    "minnorm-replace": {**UNIT, "T": 25, "T0": 70, "n": 2, "sigma": 0.5, "sigma0": 0.5, "trials": 2500},
    "minnorm-fresh-mix": {**UNIT, "T": 25, "n": 2, "sigma": 0.6, "w": 0.4, "trials": 2500},
    "flow-replace": {
        **POWER, "T": 100, "T0": 120, "n": 1, "t": 4, "t0": 6, "sigma": 0.8, "sigma0": 0.5, "trials": 5000,
    },
    "ridge-accumulate": {**POWER, "T": 50, "n": 2, "lam": 0.1, "sigma": 0.8, "trials": 3000},
    "ridge-accumulate-constant": {**POWER, "T": 50, "n": 2, "lam": 0.1, "sigma": 0.8, "trials": 3000},
    "ridge-keep-real": {**POWER, "T": 50, "T0": 40, "n": 1, "lam": 0.1, "sigma": 0.8, "sigma0": 0.5, "trials": 5000},
    "ridge-same-design": {
        **POWER, "T": 50, "n": 2, "lam": 0.1, "lam0": 0.05, "sigma": 0.8, "sigma0": 0.5, "trials": 5000,
    },
    "ridge-label-mix": {**POWER, "T": 50, "n": 2, "lam": 0.1, "sigma": 0.8, "w": 0.6, "trials": 3000},
    "ridge-label-mix-limit": {**POWER, "T": 50, "lam": 0.1, "sigma": 0.8, "w": 0.6, "trials": 2500},
    "minnorm-label-mix": {**ROUND, "target": ct.RandomTarget(), "T": 90, "sigma": 0.8, "w": 0.6, "trials": 3000},
    "strong-collapse": {
        "spectrum": OFFSET, "target": ct.RandomTarget(), "N": 60, "p1": 0.5, "p2": 0.5, "lam": 0.1, "sigma": 0.3,
        "pipeline": least_squares_generator, "trials": 8000,
    },
    "ols-strong-collapse": {
        "spectrum": OFFSET | {"Delta": ct.Eigenvalues(np.arange(1, 41) / (80 - 40 - 1))}, "target": ct.RandomTarget(),
        "N": 160, "p1": 0.5, "p2": 0.5, "sigma": 0.3,
        "pipeline": partial(least_squares_generator, N=160, lam=0), "trials": 4000,
    },
    **{f"token-{k}": {**TOKENS, "T": 30, "n": 2, "trials": 4000} for k in ("replace", "accumulate", "random-past",
                                                                         "accumulate-subsample")},
    "token-keep-real": {**TOKENS, "T": 30, "T0": 20, "n": 2, "trials": 4000},
    "token-fresh-real": {**TOKENS, **FRESH, "trials": 4000},
    **{f"gaussian-{k}": {**VECTORS, "T": 30, "n": 2, "trials": 4000} for k in ("replace", "accumulate", "random-past",
                                                                              "accumulate-subsample")},
    "gaussian-keep-real": {**VECTORS, "T": 30, "T0": 20, "n": 2, "trials": 4000},
    "gaussian-fresh-real": {**VECTORS, **FRESH, "trials": 4000},
    **{f"regular-{k}": {**MEANS, "T": 60, "n": 2, "trials": 3000} for k in ("replace", "accumulate", "random-past",
                                                                           "accumulate-subsample")},
    "regular-keep-real": {**MEANS, "T": 60, "T0": 50, "n": 2, "trials": 3000},
    "regular-fresh-real": {**MEANS, "T": 60, "T0": 50, "n": 1, "w": 0.6, "trials": 3000},
    "regular-fresh-real-golden": {**MEANS, "pipeline": golden, "trials": 2500},
}  # fmt: skip
LIMITS = {slug: slug.removesuffix("-limit") for slug in ct.catalog if slug.endswith("-limit") and slug not in POINTS}
BY_HAND = {"random-features-ridge", "random-features-strong-collapse", "token-total-collapse"}
BY_HAND |= {"domain-mixture"}  # its rows of another truth are simulated in test_theorems
# Their pipelines are simulated in test_inside, test_combinations and test_reused_labels.
BY_HAND |= {"ensemble", "ensemble-blocks", "ensemble-teachers", "gcv-synthetic"}
BY_HAND |= {"self-distillation", "self-distillation-best", "self-distillation-repeated"}


def test_every_theorem_has_a_point():
    assert {*POINTS, *LIMITS, *BY_HAND} == set(ct.catalog)
    assert set(LIMITS.values()) <= set(POINTS)


def compared(slug, factor, **more):
    """Return validate's verdict on ``factor`` times the theorem at its point."""
    point = {**POINTS[slug], **more}
    err = ct.catalog[slug].error
    if "family" in point:
        err = replace(err, family=point.pop("family"))
    if "pipeline" in point:
        build = point.pop("pipeline")
        err = replace(err, pipeline=lambda **_: build())
    return ct.validate(replace(err, parts={k: factor * e for k, e in err.parts.items()}), seed=11, **point)


@pytest.mark.heavy
@pytest.mark.parametrize("slug", sorted(POINTS))
def test_the_theorem_passes_and_five_per_cent_off_fails(slug, tmp_path):
    check = compared(slug, 1, checkpoint=tmp_path / "run.npz")  # the mutants meet the same trials
    assert check.passed, str(check)
    assert check.detectable < OFF, str(check)
    for factor in (1 + OFF, 1 - OFF):
        wrong = compared(slug, factor, checkpoint=tmp_path / "run.npz")
        assert not wrong.passed, str(wrong)


@pytest.mark.parametrize("slug", sorted(LIMITS))
def test_limits_are_those_of_a_theorem_that_is_simulated(slug):
    """A limit has no simulation of its own: its theorem, far out, has to be closer than a mutant would be."""
    point = {k: v for k, v in POINTS[LIMITS[slug]].items() if k not in {"family", "trials", "n", "extrapolate"}}
    far = ct.catalog[LIMITS[slug]].error.evaluate(n=10**7, **point)
    limit = ct.catalog[slug].error.evaluate(**point)
    assert limit == pytest.approx(far, rel=1e-3)
    assert (1 + OFF) * limit != pytest.approx(far, rel=OFF / 2)


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("slug", "p2", "spread"), [("random-features-ridge", 0.0, 0.0), ("random-features-strong-collapse", 0.5, 0.02)]
)
def test_random_features(slug, p2, spread):
    """No pipeline has features here: a naive simulation at two sizes, extrapolated."""
    setting = {"m": 40, "lam": 0.1, "sigma": 0.8}
    rows = {"T": 50} if p2 == 0 else {"N": 50, "p1": 1 - p2, "p2": p2}
    spectrum = ct.PowerLaw(30, 1.0)
    if p2:
        spectrum = {"Sigma": spectrum, "Delta": ct.Eigenvalues(np.full(30, spread))}
    theory = ct.catalog[slug].error.evaluate(spectrum=spectrum, target=ct.RandomTarget(), **rows, **setting)

    def simulated(scale):
        """Every eigenvalue, row and feature ``scale`` times; the offset has the same size."""
        s = np.repeat(np.arange(1, 31) ** -1.0, scale)
        size = {"rows": 50 * scale, "synthetic": round(p2 * 50 * scale), "width": 40 * scale}
        how = {"ridge": 0.1, "noise": 0.8, "runs": 4000, "seed": 3}
        offset = np.full(s.size, spread / scale)
        return Simulation(naive.feature_errors(s, np.full(s.size, 1 / s.size), offset, **size, **how), 3)

    sizes = simulated(1), simulated(2)
    check = Validation(theory, sizes[0], 0.002, 4.0, sizes=sizes)
    assert check.passed, str(check)
    for factor in (1 + OFF, 1 - OFF):
        assert not replace(check, theory=factor * theory).passed


@pytest.mark.heavy
def test_total_collapse_is_the_diversity_over_its_least_value():
    """A bound is not met by a simulation; what it is made of is: Markov's inequality for the simulated diversity."""
    T, n, rng, p = 12, 3, np.random.default_rng(1), np.full(6, 1 / 6)
    models = np.tile(p, (200_000, 1))
    for _ in range(n + 1):
        models = rng.multinomial(T, models) / T
    diversity = 1 - (models**2).sum(axis=1)
    seen = diversity[diversity > 1e-9]
    least = 2 * (T - 1) / T**2
    assert seen.min() == pytest.approx(least)
    bound = ct.catalog["token-total-collapse"].error.evaluate(T=T, n=n)
    assert seen.size / diversity.size < bound
    markov = Simulation(diversity / (1 - p @ p) / least, 1)
    check = Validation(bound, markov, 0.0, 4.0)
    assert check.passed, str(check)
    for factor in (1 + OFF, 1 - OFF):
        assert not replace(check, theory=factor * bound).passed
