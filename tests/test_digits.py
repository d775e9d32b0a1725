"""Values of any number of digits: given when two precisions agree."""

import math

import mpmath
import pytest

import collapse_theory as ct
from collapse_theory.numerics.digits import _agree, evaluate_digits, limit_at_threshold
from collapse_theory.numerics.plan import compile_plan
from collapse_theory.symbols import kappa


def test_digits_are_given_when_two_precisions_agree_on_two_more():
    with mpmath.workdps(60):
        one, off = mpmath.mpf(3), mpmath.mpf(10) ** -22
        assert _agree(mpmath, one * (1 + off / 2), one, 20, "0")
        assert not _agree(mpmath, one * (1 + off * 2), one, 20, "0")
        assert not _agree(mpmath, one * (1 - off * 2), one, 20, "0")
        assert _agree(mpmath, off, mpmath.mpf(0), 20, "1e-22")
        assert not _agree(mpmath, off, mpmath.mpf(0), 20, "1e-23")


def test_digits_that_do_not_settle_are_shown_with_three_of_them():
    plan = compile_plan({"bias": kappa})
    with pytest.raises(ct.ConvergenceError, match=r"last bias = \d\.\d+e-\d+; a term may vanish") as caught:
        evaluate_digits(plan, lambda mp, octaves: None, lambda mp: {kappa: mp.mpf(2) ** -mp.prec}, 20)
    assert len(str(caught.value)) < 120


@pytest.mark.parametrize("digits", [5, 40])
def test_limits_at_a_threshold_have_their_digits_too(digits):
    err, where = ct.catalog["ridge-replace"].error, {"T0": 40, "n": 3, "sigma": 0.5, "sigma0": 0.25, "lam": 0}
    inputs = {"spectrum": ct.PowerLaw(12, beta=1.5), "target": ct.SourceTarget(r=0.5)}
    at = err.evaluate(T=12, terms=True, digits=digits, **inputs, **where)
    assert (at["bias"], at["variance"]) == (0, math.inf)
    with mpmath.workdps(
        digits + 10
    ):  # one generator alone: its noise times d/(T0 - d - 1), and nothing of it is spread
        want = mpmath.mpf(3) / 16 * 12 / 27
        assert abs(at["synthetic_variance"] - want) <= want * mpmath.mpf(10) ** -digits
    assert err.evaluate(T=12, digits=digits, **inputs, **where) == math.inf
    below = {"T": 5, "lam": 0, "sigma": 0.5, **inputs}
    assert ct.catalog["random-features-ridge"].error.evaluate(m=5, digits=digits, **below) == math.inf


def test_a_limit_that_does_not_settle_is_refused():
    ridges = iter([1, 2])
    with pytest.raises(ct.ConvergenceError, match="did not settle to 20 digits"):
        limit_at_threshold(compile_plan({"x": kappa}), lambda *_: None, lambda mp: {kappa: mp.mpf(next(ridges))}, 20)
