"""``err.corrected()``: against simulations, exact errors and the allowance of ``validate``; and as a formula like any other."""

import math
import pickle
from dataclasses import dataclass
from functools import lru_cache

import mpmath
import numpy as np
import pytest
from mpmath import mpf
from sympy import S, series

import collapse_theory as ct
from collapse_theory.algebra.integrals import SpectralTrace
from collapse_theory.derive.corrected import CorrectedBias, CorrectedScalar
from collapse_theory.derive.log_determinant import P, Q, moments, r
from collapse_theory.numerics import chain_correction as chain_corrections
from collapse_theory.numerics.chain_correction import Link, chain_correction
from collapse_theory.numerics.measure import Measure
from collapse_theory.symbols import eigenvalue, lam, sigma
from tests import naive
from tests import reference as ref

KW = {"spectrum": ct.PowerLaw(12, beta=1.2), "target": ct.SourceTarget(r=0.5)}
CHAIN = ct.catalog["ridge-chain"].error
VALUES = {"T": 30, "T0": 25, "lam": 0.1, "lam0": 0.05, "sigma": 0.3, "sigma0": 0.4, "n": 3}
CHAINS = {"ridge-clean", "ridge-replace", "ridge-chain", "ridge-replace-overparametrized"}


def chain(stages):
    """Return the pipeline of fits ``(T, lam, sigma)``, each labelled by the one before."""
    pipe, last = ct.Pipeline(), ct.TRUTH
    for T, ridge, noise in stages:
        last = pipe.fit(pipe.sample(T=T, noise=noise, source=last), ridge=ridge)
    return pipe


# ---------------------------------------------------------------- the derivation
def test_without_a_ridge_the_noise_becomes_that_of_one_row_less():
    noise = moments(corrected=True).noise
    dead = {t: S.Zero for t in noise.atoms(SpectralTrace) if t.integrand.has(Q)}
    assert dead.keys() == noise.atoms(SpectralTrace)  # Q = 0 takes all traces with it
    least_squares = noise.xreplace(dead).subs({P: 1}) * eigenvalue
    assert (least_squares - 1 / (r - 1)).cancel() == 0
    x = ct.symbols.phi  # to first order: 1/r + 1/r^2
    assert series(least_squares.subs(r, 1 / x), x, 0, 3).removeO() == x + x**2
    for moment in (moments(corrected=True).lost, moments(corrected=True).drift):
        assert moment.has(Q)
        assert moment.xreplace(dict.fromkeys(moment.atoms(SpectralTrace), S.Zero)).subs({Q: 0}) == 0


def test_leading_order_is_the_generation_operator():
    plain = moments(corrected=False)
    assert (plain.mean, plain.lost, plain.kept, plain.drift) == (P, Q, P**2, 0)
    assert plain.spread == ((P * Q / r, P * Q),)
    assert plain.noise == P**2 / eigenvalue / r


# ---------------------------------------------------------------- what it covers
def test_exactly_the_chains_of_the_catalogue_have_one():
    found = set()
    for slug, theorem in ct.catalog.items():
        err = theorem.error
        if err.regime == "exact":
            assert err.corrected() is err
            continue
        try:
            corrected = err.corrected()
        except ct.DomainError as e:
            assert "correction" in str(e)  # noqa: PT017
            continue
        found.add(slug)
        assert corrected.regime == "proportional"
        assert corrected.method == "corrected"
        assert list(corrected.parts) == list(err.parts)
        assert corrected.conditions == err.conditions
        assert corrected.corrected() is corrected
    assert found == CHAINS


def test_other_pipelines_are_refused_with_a_remedy():
    stage = ct.Stage(T=30, noise=0.3, ridge=0.1)
    for pipe in (
        ct.workflows.accumulate(2, stage),
        ct.workflows.keep_real(1, stage, stage),
        ct.workflows.fresh_real(1, stage, stage),
    ):
        with pytest.raises(ct.DomainError, match="extrapolate=True"):
            ct.test_error(pipe).corrected()
    with pytest.raises(ct.DomainError, match="then differentiate"):
        CHAIN.diff("lam").corrected()
    with pytest.raises(ct.DomainError, match="regime"):
        ct.catalog["regular-replace"].error.corrected()


# ---------------------------------------------------------------- against what is known otherwise
def test_least_squares_and_isotropic_minimum_norm_come_out_exactly():
    iso = {"spectrum": ct.Isotropic(12), "target": ct.RandomTarget()}
    for T, exact in ((14, 12 / 1), (40, 12 / 27), (5, 5 / 6)):
        parts = ct.test_error(chain([(T, 0, 1)]), method="operator").corrected().evaluate(**iso, terms=True)
        assert parts["variance"] == pytest.approx(exact, rel=1e-12)
        assert parts["bias"] == pytest.approx(max(0, 1 - T / 12), rel=1e-12)
    replaced = ct.test_error(chain([(40, 0, 0.5)] * 3))
    assert replaced.regime == "exact"
    operator = ct.test_error(chain([(40, 0, 0.5)] * 3), method="operator").corrected()
    assert operator.evaluate(**KW) == pytest.approx(replaced.evaluate(**KW), rel=1e-12)


def test_the_allowance_of_a_validation_is_the_same_correction():
    measure = Measure.of(KW["spectrum"], KW["target"])
    for stages in (
        [(30, 0.1, 0.3)],
        [(25, 0, 0.4)] * 2 + [(30, 0.1, 0.3)],
        [(6, 0, 0.4), (9, 0.02, 0.1), (30, 0.1, 0.3)],
    ):
        err = ct.test_error(chain(stages), method="operator")
        added = err.corrected().evaluate(**KW) - err.evaluate(**KW)
        assert added == pytest.approx(chain_correction(measure, [Link(*x) for x in stages]).value, rel=1e-9)
    err, values = ct.catalog["ridge-replace"].error, {k: v for k, v in VALUES.items() if k != "lam0"}
    links = [Link(25, 0, 0.4, exact=True)] * 3 + [Link(30, 0.1, 0.3)]
    added = err.corrected().evaluate(**KW, **values) - err.evaluate(**KW, **values)
    assert added == pytest.approx(chain_correction(measure, links).value, rel=1e-9)


def drawn(seed, d, rows, ridges):
    rng = np.random.default_rng([seed, d])
    s = np.arange(1, d + 1) ** -rng.choice([0, 0.5, 1.2, 2.0])
    w2 = np.arange(1, d + 1) ** -rng.uniform(0, 1.5)
    stages = [
        (int(rng.choice(rows)), float(rng.choice(ridges)), float(rng.choice([0, 0.2, 0.5])))
        for _ in range(rng.integers(1, 5))
    ]
    return s, w2, stages


@dataclass(frozen=True)
class Compared:
    """A simulated mean with its standard error, and theory with and without the correction."""

    mean: float
    sem: float
    corrected: float
    plain: float

    def rejects(self, theory):
        return abs(self.mean - theory) > 3 * self.sem

    @property
    def size(self):
        """The correction in standard errors."""
        return abs(self.corrected - self.plain) / self.sem


@lru_cache
def compared(seed, d, rows, ridges, runs):
    s, w2, stages = drawn(seed, d, rows, ridges)
    pipe = chain(stages)
    errors = naive.errors(pipe, naive.Linear(s, w2), runs, seed)
    err = ct.test_error(pipe, method="operator").corrected()
    plain = float(sum(ref.chain(ref.numbers(s), ref.numbers(w2), [(T, mpf(a), mpf(b)) for T, a, b in stages], 30)))
    value = err.evaluate(spectrum=ct.Eigenvalues(s), target=ct.Energies(w2))
    return Compared(errors.mean(), errors.std() / math.sqrt(runs), value, plain)


SMALL = (12, (6, 18, 30, 40), (0.01, 0.1, 0.3), 4000)
LARGE = (60, (30, 45, 75, 90, 150), (1e-3, 0.01, 0.1), 3000)


def check(found):
    """No allowance for what the first order leaves out; the control is the formula without its correction."""
    assert not found.rejects(found.corrected)
    if found.size >= 3:
        assert abs(found.mean - found.corrected) < abs(found.mean - found.plain)
    if found.size >= 6:
        assert found.rejects(found.plain)


@pytest.mark.parametrize("seed", range(14))
def test_fourteen_chains_of_twelve_dimensions(seed):
    check(compared(seed, *SMALL))


def test_the_control_is_no_empty_one():
    assert sum(compared(seed, *SMALL).size >= 6 for seed in range(14)) >= 6


@pytest.mark.heavy
@pytest.mark.parametrize("seed", range(14))
def test_fourteen_chains_of_sixty_dimensions(seed):
    check(compared(seed, *LARGE))


# ---------------------------------------------------------------- a formula like any other
def test_digits_broadcasting_pickle_and_compiled_predictors():
    err = CHAIN.corrected()
    value = err.evaluate(**KW, **VALUES)
    assert ref.relative(err.evaluate(**KW, **VALUES, digits=30), mpf(value)) < 1e-13
    many = err.evaluate(**KW, **{**VALUES, "n": [0, 1, 3], "lam": [0.2, 0.3, 0.1]})
    one_by_one = [err.evaluate(**KW, **{**VALUES, "n": n, "lam": x}) for n, x in ((0, 0.2), (1, 0.3), (3, 0.1))]
    assert many == pytest.approx(one_by_one, rel=1e-13)
    assert many[2] == pytest.approx(value, rel=1e-13)
    predict = pickle.loads(pickle.dumps(err.compile(**KW)))
    assert predict(**VALUES) == value
    assert pickle.loads(pickle.dumps(err)).expr == err.expr
    assert sum(err.evaluate(**KW, **VALUES, terms=True).values()) == pytest.approx(value, rel=1e-14)


def test_many_generations_are_those_of_a_pipeline():
    theorem = CHAIN.corrected().evaluate(**KW, **VALUES)
    pipe = chain([(25, 0.05, 0.4)] * 3 + [(30, 0.1, 0.3)])
    assert ct.test_error(pipe).corrected().evaluate(**KW) == pytest.approx(theorem, rel=1e-13)
    assert CHAIN.subs({"n": 3}).corrected().evaluate(**KW, **{k: v for k, v in VALUES.items() if k != "n"}) == theorem
    halved = CHAIN.subs({"lam0": lam / 2}).corrected()
    assert halved.evaluate(**KW, **{k: v for k, v in VALUES.items() if k != "lam0"}) == pytest.approx(
        theorem, rel=1e-13
    )
    assert CHAIN.corrected().subs({"lam0": lam / 2}).expr == halved.expr
    settled = [CHAIN.corrected().evaluate(**KW, **{**VALUES, "n": n}) for n in (10**4, 10**6)]
    assert settled[0] == pytest.approx(settled[1], rel=1e-12)
    for_ever = ct.catalog["ridge-replace"].error.corrected()
    many = [for_ever.evaluate(**KW, T=30, T0=25, lam=0.1, sigma=0, sigma0=0.4, n=n, terms=True) for n in (1, 10**6)]
    assert many[1]["synthetic_variance"] == pytest.approx(1e6 * many[0]["synthetic_variance"], rel=1e-12)


def test_doubling_is_one_fit_after_the_other(monkeypatch):
    err, slope, counts = CHAIN.corrected(), CHAIN.corrected().diff("lam0"), [3, 65, 131, 200]
    many = [f.evaluate(**KW, **{**VALUES, "n": counts}) for f in (err, slope)]
    exact = [float(err.evaluate(**KW, **{**VALUES, "n": n}, digits=20)) for n in counts]
    assert many[0] == pytest.approx(exact, rel=1e-12)
    monkeypatch.setattr(chain_corrections, "_FEW", 10**9)
    monkeypatch.setattr(chain_corrections, "_ENTRIES", 1)  # and every point on its own
    for f, got in zip((err, slope), many, strict=True):
        assert got == pytest.approx(f.evaluate(**KW, **{**VALUES, "n": counts}), rel=1e-12)


@pytest.mark.parametrize("name", ["T", "T0", "lam", "lam0", "sigma0"])
def test_slopes_are_those_of_fifty_digits(name):
    err = CHAIN.corrected()
    got = err.diff(name).evaluate(**KW, **VALUES)
    with mpmath.workdps(60):
        h = mpf(10) ** -20
        up, down = (err.evaluate(digits=50, **KW, **{**VALUES, name: mpf(VALUES[name]) + e}) for e in (h, -h))
        want = (up - down) / (2 * h)
    assert ref.relative(got, want) < 1e-10
    assert ref.relative(err.diff(name).evaluate(digits=20, **KW, **VALUES), want) < 1e-18


def test_one_fit_is_written_out_and_a_chain_is_not():
    err = ct.catalog["ridge-clean"].error.corrected()
    values = {k: VALUES[k] for k in ("T", "lam", "sigma")}
    written = err.doit()
    assert not any(e.has(CorrectedScalar) for e in written.parts.values())
    assert written.evaluate(**KW, **values) == pytest.approx(err.evaluate(**KW, **values), rel=1e-12)
    with pytest.raises(ct.DomainError, match="one fit"):
        CHAIN.subs({"n": 1}).corrected().doit()
    for spectrum in (ct.Isotropic(12), ct.Spiked(12, [3])):
        with pytest.raises(ct.DomainError, match="one fit"):
            CHAIN.corrected().doit(spectrum)


def test_rows_of_one_labeller_are_one_sample():
    pipe = ct.Pipeline()
    pipe.fit([pipe.sample(T=10, noise=0.6), pipe.sample(T=30, noise=sigma)], weights=[2, 2], ridge=0.2)
    same = chain([(40, 0.1, math.sqrt((10 * 0.36 + 30 * 0.09) / 40))])
    want = ct.test_error(same).corrected().evaluate(**KW)
    assert ct.test_error(pipe).corrected().evaluate(**KW, sigma=0.3) == pytest.approx(want, rel=1e-12)


def test_it_is_refused_where_it_is_as_large_as_what_it_corrects():
    err = ct.test_error(chain([(13, 0, 0.3)]), method="operator").corrected()
    for T in (12, 13):  # at T = d + 1 the mean error is infinite
        err = ct.test_error(chain([(T, 0, 0.3)]), method="operator").corrected()
        with pytest.raises(ct.DomainError, match="residual degree of freedom"):
            err.evaluate(**KW)
    assert ct.test_error(chain([(14, 0, 0.3)]), method="operator").corrected().evaluate(**KW) == pytest.approx(
        0.09 * 12
    )
    # a generator that does not occur need not have one
    assert CHAIN.corrected().evaluate(**KW, **{**VALUES, "n": 0, "T0": 12, "lam0": 1e-9}) > 0


def test_the_print_says_what_it_is():
    printed = CHAIN.corrected().latex()
    assert "finite-size correction" in printed
    assert r"\mathcal{G}_{0}[M] &=" in printed
    assert "finite-size" not in CHAIN.latex()
    assert CorrectedBias in {type(x) for x in CHAIN.corrected().parts["bias"].atoms(CorrectedScalar)}
