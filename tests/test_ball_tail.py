"""Certified values on power laws that are not listed: the Taylor series of the tail, and the bound of what it leaves out."""

import math

import mpmath
import pytest

import collapse_theory as ct
from collapse_theory.numerics import ball_tail, balls
from collapse_theory.numerics.ball_numbers import BallContext, ball_context, enclosure_of
from collapse_theory.numerics.ball_tail import TailFunction, TailMoments, tailed_measure
from collapse_theory.numerics.measure import Measure
from tests.points import POINTS

CLEAN, SOURCE = ct.catalog["ridge-clean"].error, ct.SourceTarget(r=0.5)
AT = {"T": 60, "lam": 0.03, "sigma": 0.4}
STAGE = ct.Stage(T=60, noise=0.5, ridge=0.1)


def inside(err, **arguments):
    box = err.evaluate(certified=True, **arguments)
    assert box.radius <= mpmath.mpf(10) ** -25 * box.mid
    return err.evaluate(digits=50, **arguments) in box


LAWS = [
    (ct.PowerLaw(math.inf, beta=1.5), SOURCE, {}),
    (ct.PowerLaw(math.inf, beta=2.25, scale=3), ct.SourceTarget(r=0.125), {"lam": 0}),  # energies with no sum
    (ct.PowerLaw(10**7, beta=1), ct.RandomTarget(), {}),  # a moment of j**-1
    (ct.PowerLaw(10**6, beta=0.75), ct.SourceTarget(r=0.5), {"lam": 20}),  # one that no endless law has
    (ct.PowerLaw(math.inf, beta=2), ct.SourceTarget(r=0.25), {"T": 600, "lam": 1e-7}),
]


@pytest.mark.heavy
@pytest.mark.parametrize(("law", "target", "moved"), LAWS)
def test_one_fit_to_fifty_digits(law, target, moved):
    assert inside(CLEAN, spectrum=law, target=target, **{**AT, **moved})


@pytest.mark.parametrize(("law", "target", "moved"), LAWS[:4])
def test_two_lengths_of_the_tail_and_two_precisions_overlap(monkeypatch, law, target, moved):
    values = {"spectrum": law, "target": target, **AT, **moved}
    wide = CLEAN.evaluate(certified=True, **values)
    monkeypatch.setattr(balls, "_BITS", 192)
    monkeypatch.setattr(balls, "_OCTAVES", 1)
    narrow = CLEAN.evaluate(certified=True, **values)
    assert narrow.radius < 1e-15 * wide.radius < 1e-40
    assert narrow.mid in wide
    assert float(wide) == pytest.approx(CLEAN.evaluate(**values), rel=1e-13)


@pytest.mark.heavy
def test_chains_pipelines_features_and_derivatives():
    inputs = {"spectrum": ct.PowerLaw(math.inf, beta=1.5), "target": SOURCE}
    assert inside(ct.test_error(ct.workflows.replace(30, STAGE, STAGE)), **inputs)
    assert inside(ct.test_error(ct.workflows.accumulate(3, STAGE)), **inputs)
    values = POINTS["random-features-ridge"].values
    assert inside(ct.catalog["random-features-ridge"].error, **inputs, **values)
    assert inside(ct.catalog["random-features-ridge"].error.diff("lam"), **inputs, **values)


def test_a_law_listed_and_not():
    law = ct.PowerLaw(3000, beta=1.5)
    with ball_context(128) as context:
        whole, tailed = Measure.listed(law, SOURCE, context), tailed_measure("Sigma", law, SOURCE, context, 0)
        assert tailed.size < 300
        ridge = context.mpf(0.5)
        for power in (1, 2):
            for integral in ("trace", "form"):
                listed, short = (getattr(m, integral)((m.nodes / (m.nodes + ridge)) ** power) for m in (whole, tailed))
                assert listed.overlaps(short)
                assert short.rel_accuracy_bits() > 110


@pytest.mark.parametrize("bound", [True, False])
def test_a_short_series_has_a_wide_ball_and_none_without_its_bound(monkeypatch, bound):
    whole = BallContext.__init__

    def short(self, prec):
        whole(self, prec)
        self.terms = 5

    monkeypatch.setattr(BallContext, "__init__", short)
    if not bound:
        monkeypatch.setattr(TailFunction, "rest", 0)
    law = ct.PowerLaw(math.inf, beta=1.5)
    with ball_context(128) as context:
        m = tailed_measure("Sigma", law, None, context, 0)
        box = enclosure_of(m.trace((m.nodes / (m.nodes + context.mpf(0.5))) ** 2))
    with mpmath.workdps(40):
        s = [mpmath.mpf(j) ** -1.5 for j in range(1, 4000)]
        exact = mpmath.fsum((x / (x + 0.5)) ** 2 for x in s) + 4 * mpmath.zeta(3, 4000) - 16 * mpmath.zeta(4.5, 4000)
        exact += 48 * mpmath.zeta(6, 4000) - 128 * mpmath.zeta(7.5, 4000) + 320 * mpmath.zeta(9, 4000)
    assert (exact in box) == bound


def test_comparisons_say_yes_where_it_is_certain():
    with ball_context(128) as context:
        s = tailed_measure("Sigma", ct.PowerLaw(math.inf, beta=1.5), None, context, 0).nodes[-1]
        assert s > 0
        assert s * s > 0
        assert not -s > 0
        assert not s - context.mpf(s.series[1]) / 2 > 0  # it changes its sign
        assert not any([0 * s > 0, s > 1, s < 1, s == s * 1, s >= 1])


def test_what_has_no_integral_is_refused():
    with ball_context(128) as context:
        measure = tailed_measure("Sigma", ct.PowerLaw(math.inf, beta=1.5), SOURCE, context, 0)
        with pytest.raises(ct.DomainError, match="d=oo, where it diverges"):
            measure.trace(1 + measure.nodes)
        with pytest.raises(ct.DomainError, match="d=oo, where it diverges"):
            measure.trace(context.mpf(1))
        with pytest.raises(ct.DomainError, match="denominators that do not vanish"):
            measure.trace(measure.nodes**2 / measure.nodes)
        with pytest.raises(ct.DomainError, match="whole powers"):
            measure.nodes ** context.mpf(0.5)
        moments = TailMoments(context, 10, 20, context.mpf(1))
        assert enclosure_of(moments.moment(0)).lower <= 11 <= enclosure_of(moments.moment(0)).upper
    with pytest.raises(ct.DomainError, match="first 131072 eigenvalues"):
        CLEAN.evaluate(
            spectrum=ct.PowerLaw(math.inf, beta=1.125), target=SOURCE, certified=True, **{**AT, "T": 10**7, "lam": 1e-9}
        )
    err = ct.test_error(ct.workflows.replace(1, STAGE, STAGE)).corrected()
    with pytest.raises(ct.DomainError, match="denominators that do not vanish"):
        err.evaluate(spectrum=ct.PowerLaw(math.inf, beta=1.5), target=SOURCE, certified=True)


def test_a_flat_law_is_listed(monkeypatch):
    monkeypatch.setattr(ball_tail, "_MOST", 1 << 9)
    monkeypatch.setattr(ball_tail, "_LISTED", 1 << 10)
    with ball_context(128) as context:
        measure = tailed_measure("Sigma", ct.PowerLaw(1000, beta=0.125), ct.RandomTarget(), context, 4)
        assert (measure.extent, measure.size) == (None, 1000)
        with pytest.raises(ct.DomainError, match="first 512 eigenvalues"):
            tailed_measure("Sigma", ct.PowerLaw(2000, beta=0.125), ct.RandomTarget(), context, 4)
