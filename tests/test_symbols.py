"""The symbols of the theory."""

from collapse_theory import symbols


def test_symbols_have_the_range_of_what_they_stand_for():
    """No symbol excludes zero that may be zero, none is of unknown sign; counts are integers."""
    at_least_zero = ("sigma", "sigma0", "lam", "lam0", "n", "m", "w", "p1", "p2", "kappa", "ell")
    positive = ("d", "T", "T0", "N", "k", "phi", "phi0", "beta", "r")
    for name in at_least_zero:
        x = getattr(symbols, name)
        assert (x.name, x.is_nonnegative, x.is_positive) == (name, True, None)
    for name in positive:
        x = getattr(symbols, name)
        assert (x.name, x.is_positive) == (name, True)
    assert {x for x in (*at_least_zero, *positive) if getattr(symbols, x).is_integer} == {"d", "n", "m"}


def test_generated_symbols_of_numbers_that_may_have_any_sign_are_real():
    for make in (symbols.trace_scalar, symbols.implicit_scalar):
        assert make(1).is_real is True
        assert make(1).is_nonnegative is None
