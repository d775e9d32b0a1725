"""Mixing recursions in closed form: rounds, limits, the best share and its branch, and the edge where only real labels are left."""

import numpy as np
import pytest
import sympy as sp

import collapse_theory as ct
from collapse_theory.algebra.signs import positive_factors
from collapse_theory.symbols import N, d, k, n, w
from collapse_theory.theorems.affine import for_ever, in_rounds
from collapse_theory.theorems.mixing import best_share

INSIDE = {w: sp.Rational(1, 2)}


def recursion(start, ratio, offset):
    values = [start]
    for _ in range(6):
        values.append(sp.expand(ratio * values[-1] + offset))
    return values


def test_rounds_and_fixed_point():
    values = recursion(sp.Integer(1), (1 - w) ** 2, w**2)
    closed, limit = in_rounds(values[:3], INSIDE), for_ever(values[:3], INSIDE)
    assert all(sp.cancel(closed.subs(n, j).doit() - v) == 0 for j, v in enumerate(values))
    assert sp.cancel(limit - ((1 - w) ** 2 * limit + w**2)) == 0


def test_factors_change_their_sign_and_the_product_its_value_not():
    e = (w - 1) * (d + 1 - N) ** 3 * (w - 2) ** n / (w - 3) + (w - 1) ** (2 * n)
    written = positive_factors(e, {**INSIDE, N: 9, d: 1})
    at = {w: sp.Rational(1, 3), N: 7, d: 2}
    assert all(written.subs(at).subs(n, j) == e.subs(at).subs(n, j) for j in range(4))
    assert not written.has(w - 1)


@pytest.mark.parametrize("precision", [1e-3, 0.3, 1.0, 2.0, 50.0])
def test_the_best_share_is_the_minimum_and_the_error(precision):
    at = {"spectrum": ct.Isotropic(10), "T": 21, "sigma": 1.0, "k": precision}  # a clean fit has error one
    want = (np.sqrt(1 + 4 * precision) - 1) / (2 * precision)
    assert float(best_share().subs(k, precision)) == pytest.approx(want, rel=1e-10)
    found = ct.catalog["ols-mix-precision-limit"].error.optimum("w", **at)
    assert found.value == pytest.approx(want, rel=1e-7)
    assert found.error == pytest.approx(want, rel=1e-9)
    assert ct.catalog["ols-mix-precision-best"].error.evaluate(**at) == pytest.approx(want, rel=1e-9)


@pytest.mark.parametrize(
    ("slug", "by"),
    [("ols-mix-fixed-design", "w"), ("ols-mix-precision", "w"), ("ols-fresh-real", "T"), ("minnorm-fresh-mix", "w")],
)
def test_the_slope_exists_where_all_labels_are_real(slug, by):
    """The ratio of the recursion vanishes there; its power has a slope all the same."""
    err = ct.catalog[slug].error
    values = {"T": 31, "N": 40, "sigma": 1.0, "sigma0": 0.6, "k": 2.0, "rho2": 1.0, "n": 3}
    at = {name: v for name, v in values.items() if name in {x.name for x in err.free_symbols}}
    at = {"spectrum": ct.Isotropic(40 if slug.startswith("minnorm") else 10), **at}
    end = {"w": 1.0, "T": 40.0}[by]
    at.pop(by, None)
    h = 1e-6 * end
    near = [err.evaluate(**at, **{by: end - i * h}) for i in range(3)]
    backwards = (3 * near[0] - 4 * near[1] + near[2]) / (2 * h)
    assert err.diff(by).evaluate(**at, **{by: end}) == pytest.approx(backwards, rel=1e-6)


def test_fresh_inputs_change_the_best_share():
    """On one design the minimum-norm optimum is the golden ratio at any energy; on fresh inputs the bias asks for real labels."""
    forever = ct.catalog["minnorm-fresh-mix-limit"].error
    at = {"spectrum": ct.Isotropic(40), "T": 20, "sigma": 0.5}
    shares = [forever.optimum("w", **at, rho2=energy).value for energy in (0.0, 1.0, 10.0)]
    assert 0.5 < shares[0] < shares[1] < shares[2] <= 1
