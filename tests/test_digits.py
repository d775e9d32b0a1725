"""Values of any number of digits: given when two precisions agree."""

import mpmath
import pytest

import collapse_theory as ct
from collapse_theory.numerics.digits import _agree, evaluate_digits
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
