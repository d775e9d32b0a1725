"""The next powers of T: sums with a remainder, sums over the spectrum, and curves laid over the theory."""

from fractions import Fraction

import pytest
import sympy as sp

import collapse_theory as ct
from collapse_theory.algebra.power_sums import PowerSum

oo, Q = sp.oo, sp.Rational
T = sp.Symbol("T", positive=True)
CLEAN = ct.catalog["ridge-clean"]


# ---------------------------------------------------------------- sums of powers
def test_powers_are_binomial_series():
    x = PowerSum({Fraction(1): sp.S(4), Fraction(0): sp.S(1)})  # 4 T + 1
    root = x.power(Q(1, 2), Fraction(3))
    half = Fraction(1, 2)
    assert root.terms == {half: 2, half - 1: Q(1, 4), half - 2: Q(-1, 64)}
    assert root.error == half - 3
    assert x.power(2, Fraction(5)).terms == {2: 16, 1: 8, 0: 1}
    assert (x * x.power(-1, Fraction(4))).terms == {0: 1}


def test_a_remainder_hides_what_is_below_it():
    x = PowerSum({Fraction(1): sp.S(1)}, Fraction(0))
    assert (x + PowerSum({Fraction(-1): sp.S(7)})).terms == {1: 1}
    assert (x * x).error == 1
    gone = PowerSum({Fraction(0): sp.sqrt(2) * sp.sqrt(3)}) + PowerSum({Fraction(0): -sp.sqrt(6)})
    assert gone.vanishes
    with pytest.raises(ct.DomainError, match="cancel"):
        PowerSum({}, Fraction(0)).lead  # noqa: B018


# ---------------------------------------------------------------- curves
def test_the_closed_form_at_beta_two():
    r"""Up to what is exponentially small df1 = pi/2 kappa^(-1/2) - 1/2 and df2 = pi/4 kappa^(-1/2) - 1/2.

    Without a ridge df1 = T; with s w^2 = s the bias is kappa^2 tr Sigma (Sigma + kappa)^-2 = kappa (df1 - df2).
    """
    curve = ct.rates(CLEAN, beta=2, r=Q(1, 4), scales={"lam": -oo}, gamma_sigma=oo).leading(T, powers=3)
    kappa = (sp.pi / 2 / (T + Q(1, 2))) ** 2
    second = (T + Q(1, 2)) / 2 - Q(1, 2)
    exact = kappa * (T - second) / (1 - second / T)
    for rows in (10**3, 10**6):
        assert abs(sp.N((curve / exact - 1).subs(T, rows), 30)) < 10 / Q(rows) ** 3


NOISY = {"n": 2, "sigma": Q(1, 2), "sigma0": Q(1, 2)}
LAWS = [
    ("ridge-clean", {"beta": 2, "r": Q(1, 3)}, Q(2, 3), {"sigma": Q(1, 2)}),
    ("ridge-clean", {"beta": Q(5, 2), "r": Q(1, 3)}, Q(2, 3), {"sigma": Q(1, 2)}),
    ("ridge-clean", {"beta": Q(5, 2), "r": Q(7, 3)}, Q(2, 3), {"sigma": Q(1, 2)}),
    ("ridge-clean", {"beta": Q(5, 2), "r": Q(1, 3), "scales": {"lam": -oo}}, None, {"sigma": Q(1, 2)}),
    ("ridge-chain", {"beta": 3, "r": Q(1, 4), "scales": {"lam0": Q(-1, 2)}}, Q(3, 4), NOISY),
    ("ridge-chain", {"beta": Q(7, 3), "r": Q(1, 4), "b": Q(4, 5), "scales": {"lam0": Q(-3, 4)}}, Q(5, 4), NOISY),
    ("ridge-replace", {"beta": Q(7, 3), "r": Q(1, 3), "a": Q(1, 2), "b": Q(4, 3)}, Q(1, 2), {**NOISY, "n": 3}),
]  # fmt: skip


def gaps(found, values, share=1):
    """Return how far the theory is at two T from a curve of one power, and from it with a share of the next power."""
    curve = found.curve(**values)
    one, two = (found.leading(T, powers=k, **values) for k in (1, 2))
    exact = {rows: curve.value(rows, None) for rows in (10**4, 10**8)}
    return [
        [abs(float(y / sp.N(e.subs(T, rows), 30)) - 1) for rows, y in exact.items()]
        for e in (one, one + share * (two - one))
    ]


def improves(first, second):
    """Whether the second gap is smaller and falls faster."""
    return second[1] < 0.05 * first[1] and second[1] * first[0] < 0.5 * first[1] * second[0]


@pytest.mark.parametrize(("slug", "arguments", "ridge", "values"), LAWS)
def test_with_the_next_power_the_gap_falls_at_the_next_order(slug, arguments, ridge, values):
    found = ct.rates(ct.catalog[slug], **arguments, ell=ridge)
    assert improves(*gaps(found, values))
    assert not improves(*gaps(found, values, share=1.1))
    assert not improves(*gaps(found, values, share=0.9))


@pytest.mark.parametrize(
    ("slug", "arguments", "message"),
    [
        ("ridge-clean", {"beta": 2, "r": Q(1, 3), "ell": 2}, "two scales are of one order"),
        ("ridge-clean", {"beta": 2, "r": 1, "ell": Q(2, 3)}, "logarithm"),
        ("ridge-clean", {"beta": 2, "r": Q(1, 2), "a": Q(1, 2), "ell": 1}, "two scales are of one order"),
        ("ridge-label-mix-limit", {"beta": 2, "r": Q(1, 3), "ell": Q(2, 3)}, "two scales are of one order"),
        ("random-features-ridge", {"beta": 2, "r": Q(1, 3), "scales": {"m": Q(3, 4)}, "ell": 1}, "no expansion"),
    ],
)
def test_what_has_no_next_power_is_refused(slug, arguments, message):
    values = {"sigma": Q(1, 2)} | ({"w": Q(2, 5)} if "mix" in slug else {})
    with pytest.raises(ct.DomainError, match=message):
        ct.rates(ct.catalog[slug], **arguments).leading(T, powers=2, **values)


def test_curves_of_numbers_have_the_next_power_too():
    found = ct.rates(CLEAN, beta=2, r=Q(1, 3), ell=Q(2, 3))
    want = found.leading(T, powers=2, sigma=Q(1, 2)).subs(T, 1000)
    assert found.leading(1000.0, powers=2, sigma=0.5) == pytest.approx(float(want), rel=1e-14)
    with pytest.raises(ct.DomainError, match="powers"):
        found.leading(1000.0, powers=0, sigma=0.5)
