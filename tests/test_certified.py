"""Intervals that contain the exact value: of every theorem, of pipelines, at limits; and a wrong ball is noticed."""

import math
import pickle
import sys
import threading

import flint
import mpmath
import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

import collapse_theory as ct
from collapse_theory import symbols
from collapse_theory.derive.formula import ErrorFormula
from collapse_theory.numerics import balls
from collapse_theory.numerics.ball_numbers import ball_context, enclosure_of
from collapse_theory.numerics.jets import counted
from collapse_theory.numerics.measure import Measure
from tests import reference
from tests.helpers import call, call_json, drawn, theorem, three_rounds
from tests.points import POINTS

KAPPA = sympy.Symbol("kappa", positive=True)
RADIUS = mpmath.mpf(10) ** -25
CHAIN = ct.catalog["ridge-replace"].error
AT = {"T0": 40, "n": 3, "sigma": 0.4, "sigma0": 0.2}
INPUTS = {"spectrum": ct.PowerLaw(12, beta=1.5), "target": ct.SourceTarget(r=0.5)}


QUICK = {
    "ridge-replace", "ridge-replace-same-design", "random-features-ridge", "ols-strong-collapse", "minnorm-label-mix",
    "gaussian-accumulate", "gaussian-accumulate-subsample", "token-total-collapse", "regular-fresh-real-golden",
}  # fmt: skip
"""A theorem of each kind."""


def inside(err, **arguments):
    """Return whether the interval has its digits and contains the value to 60, a confirmed one of mpmath."""
    box = err.evaluate(certified=True, **arguments)
    exact = err.evaluate(digits=60, **arguments)
    assert box.radius <= RADIUS * abs(box.mid)
    return exact in box


@pytest.mark.parametrize("slug", [s if s in QUICK else pytest.param(s, marks=pytest.mark.heavy) for s in POINTS])
def test_every_theorem(slug):
    err, spectra, values = theorem(slug)
    inputs = {} if spectra is None else {"spectrum": spectra, "target": ct.Energies(np.linspace(1, 2, 12))}
    assert inside(err, **inputs, **values)


@pytest.mark.parametrize("seed", [0, 2, 3, pytest.param(range(4, 24), marks=pytest.mark.heavy)])
def test_drawn_pipelines(seed):
    for one in [seed] if isinstance(seed, int) else seed:
        err, spectra, values = drawn(one)
        assert inside(err, spectrum=spectra, target=ct.Energies(np.linspace(1, 2, 12)), **values)


STAGE, FEW = ct.Stage(T=30, noise=0.5, ridge=0.1), ct.Stage(T=8, noise=0.3)


def test_pipelines_with_and_without_a_ridge():
    flows = ct.workflows
    for pipe in (
        flows.replace(2, FEW, STAGE),
        flows.accumulate(2, ct.Stage(T=30, noise=0.5)),
        flows.last_k(2, STAGE, 2),
    ):
        assert inside(ct.test_error(pipe), **INPUTS)
    assert inside(ct.test_error(flows.replace(2, STAGE, STAGE)).corrected(), **INPUTS)
    below = ct.test_error(flows.keep_real(1, FEW, ct.Stage(T=5, noise=0.2)), method="free-probability")
    assert inside(below, spectrum=ct.PowerLaw(30, beta=1.2), target=INPUTS["target"])
    assert inside(ct.catalog["ridge-replace"].error.diff("lam"), **INPUTS, **POINTS["ridge-replace"].values)


@pytest.mark.heavy
def test_more_pipelines_and_derivatives():
    flows = ct.workflows
    for pipe in (
        three_rounds(T=30, ridge=0.1),
        flows.label_mix(2, STAGE, 0.4),
        flows.accumulate(2, STAGE, design="fixed"),
    ):
        assert inside(ct.test_error(pipe), **INPUTS)
    for slug, name in (("random-features-ridge", "m"), ("ridge-keep-real", "lam")):
        assert inside(ct.catalog[slug].error.diff(name), **INPUTS, **POINTS[slug].values)
    assert inside(
        ct.test_error(flows.replace(1, STAGE, STAGE)), spectrum=ct.Spiked(12, [9, 3]), target=ct.RandomTarget()
    )


# ---------------------------------------------------------------- the domain
@st.composite
def spectra(draw):
    """A dozen eigenvalues over up to 100 octaves, zeros and repeats among them, of any scale."""
    scale = draw(st.sampled_from([0, 400, -400]))
    values = [2.0 ** (x + scale) for x in draw(st.lists(st.floats(-100, 0), min_size=1, max_size=12))]
    return ct.Eigenvalues([*values, *draw(st.lists(st.sampled_from([0.0, values[0]]), max_size=3))])


DOMAIN = {
    "spectrum": spectra(),
    "rows": st.one_of(st.floats(-6, 3).map(lambda x: 10**x), st.integers(-2, 2).map(float)),
    "ridge": st.one_of(st.just(0.0), st.floats(-40, 40).map(lambda x: 10**x)),
}


def check_kappa(spectrum, rows, ridge):
    """Check the effective ridge at so many times the rank, or one or two rows from it, and a ridge in units of the trace."""
    T = spectrum.rank + rows if rows == int(rows) else spectrum.rank * rows
    lam = ridge * float(spectrum.nodes.sum())
    if T <= 0 or (lam == 0 and spectrum.rank == T) or not 0 <= lam < math.inf:
        return
    with ball_context(128) as context:
        arithmetic, measure = balls.Balls(context), Measure.listed(spectrum, None, context)
        kappa, residual = map(enclosure_of, arithmetic.ridge(measure, context.mpf(T), context.mpf(lam)))
    want = reference.kappa(spectrum.nodes, T, lam, digits=120)
    with mpmath.workdps(120):
        df2 = mpmath.fsum((mpmath.mpf(s) / (s + want)) ** 2 for s in spectrum.nodes if s > 0)
        own = mpmath.mpf(10) ** -60  # relative errors of the reference
        assert abs(want - kappa.mid) <= kappa.radius + own * want
        assert want * (1 + mpmath.mpf(10) ** -35) not in kappa or want == 0
        assert abs(T - df2 - residual.mid) <= residual.radius + own * max(T, df2)


@settings(max_examples=25)
@given(**DOMAIN)
def test_effective_ridges_over_the_domain(spectrum, rows, ridge):
    check_kappa(spectrum, rows, ridge)


@pytest.mark.heavy
@settings(max_examples=2000)
@given(**DOMAIN)
def test_effective_ridges_over_the_whole_domain(spectrum, rows, ridge):
    check_kappa(spectrum, rows, ridge)


@pytest.mark.heavy
@settings(max_examples=100)
@given(slug=st.sampled_from(sorted(s for s in POINTS if s.startswith(("ridge", "random", "minnorm-l")))), **DOMAIN)
def test_theorems_over_the_domain(slug, spectrum, rows, ridge):
    err, _, values = theorem(slug)
    moved = {"T": max(1, round(spectrum.rank * rows)), "lam": ridge * float(spectrum.nodes.sum())}
    values = {k: moved.get(k, v) for k, v in values.items()}
    try:
        want = err.evaluate(spectrum=spectrum, target=ct.RandomTarget(), digits=60, **values)
    except ct.CollapseTheoryError:  # outside the conditions, at a threshold, or digits that do not settle
        return
    assert want in err.evaluate(spectrum=spectrum, target=ct.RandomTarget(), certified=True, **values)


@pytest.mark.parametrize(
    ("T", "lam"),
    [(12 + 1e-9, 0), (12 - 1e-9, 0), (12, 1e-30), (11, 0), (13, 0), (13, 1e-300), (1e9, 0.1), (1e-6, 0.1), (5, 1e12)],
)
def test_near_a_threshold_and_far_away(T, lam):
    where = {**AT, "T": T, "lam": lam}
    box = CHAIN.evaluate(certified=True, terms=True, **INPUTS, **where)
    exact = CHAIN.evaluate(digits=60, terms=True, **INPUTS, **where)
    assert all(exact[name] in box[name] for name in exact)


def test_an_independent_reference_of_a_chain():
    s, w2 = np.array([2.0, 1.0, 0.25, 0.0]), np.array([1.0, 0.5, 2.0, 1.0])
    stages = [(3, 0.125, 0.5), (2, 0.0, 0.25), (5, 0.375, 0.75)]
    pipe, source = ct.Pipeline(), ct.TRUTH
    for T, lam, sigma in stages:
        source = pipe.fit(pipe.sample(T=T, noise=sigma, source=source), ridge=lam)
    box = ct.test_error(pipe).evaluate(spectrum=ct.Eigenvalues(s), target=ct.Energies(w2), terms=True, certified=True)
    assert all(x in box[name] for name, x in zip(("bias", "variance"), reference.chain(s, w2, stages), strict=True))


def test_a_power_law_means_its_powers_and_an_array_its_floats():
    law = CHAIN.evaluate(certified=True, **INPUTS, **AT, T=20, lam=0.1)
    rounded = {"spectrum": ct.Eigenvalues(INPUTS["spectrum"].eigenvalues), "target": ct.Energies(
        INPUTS["target"].energies(INPUTS["spectrum"]))}  # fmt: skip
    floats = CHAIN.evaluate(certified=True, **rounded, **AT, T=20, lam=0.1)
    assert law.upper < floats.lower or floats.upper < law.lower
    assert abs(law.mid - floats.mid) < 1e-14 * law.mid


# ---------------------------------------------------------------- wrong balls are noticed
@pytest.mark.parametrize("slug", ["ridge-replace", "random-features-ridge", "ridge-keep-real"])
def test_a_root_that_is_off_is_noticed(monkeypatch, slug):
    right, off = balls.Balls._narrowed, 1 + flint.fmpq(1, 2**110)
    monkeypatch.setattr(balls.Balls, "_narrowed", lambda *a: right(*a) * off)
    assert not inside(ct.catalog[slug].error, **INPUTS, **POINTS[slug].values)


def test_a_ball_that_is_too_small_is_noticed(monkeypatch):
    whole = balls.Balls._narrowed

    def smaller(*a):
        return np.array([flint.arb(ball.mid(), ball.rad() / 2**20) for ball in whole(*a)], dtype=object)

    def check():
        for i in range(20):
            check_kappa(ct.Eigenvalues(INPUTS["spectrum"].nodes), 0.3 + i / 7, 0.1)

    check()
    monkeypatch.setattr(balls.Balls, "_narrowed", smaller)
    with pytest.raises(AssertionError):
        check()


def test_a_proposal_that_is_wrong_is_not_believed(monkeypatch):
    right = balls.solve_effective_ridge
    monkeypatch.setattr(balls, "solve_effective_ridge", lambda m, T, lam: right(m, T, lam) + 0.1 * (T.dtype != object))
    assert inside(CHAIN, **INPUTS, **AT, T=20, lam=0.1)  # mpmath proposes another
    monkeypatch.setattr(balls, "solve_effective_ridge", lambda *a: right(*a) + 0.1)
    monkeypatch.setattr(balls, "_MOST_BITS", 256)
    with pytest.raises(ct.ConvergenceError, match="an effective ridge; move the values"):
        CHAIN.evaluate(certified=True, **INPUTS, **AT, T=20, lam=0.1)


def test_two_precisions_overlap(monkeypatch):
    for slug in ("ridge-replace", "random-features-ridge", "ridge-keep-real", "gaussian-accumulate"):
        err, spectra, values = theorem(slug)
        inputs = {} if spectra is None else {"spectrum": spectra, "target": INPUTS["target"]}
        wide = err.evaluate(certified=True, **inputs, **values)
        with monkeypatch.context() as patch:
            patch.setattr(balls, "_BITS", 320)
            narrow = err.evaluate(certified=True, **inputs, **values)
        assert narrow.radius < 1e-50 * wide.radius
        assert wide.lower <= narrow.upper
        assert narrow.lower <= wide.upper
        assert narrow.mid in wide


# ---------------------------------------------------------------- precision, and what is refused
def test_bits_are_added_where_a_difference_cancels():
    lost = ErrorFormula({"x": symbols.T - (symbols.T**4 - symbols.lam) ** sympy.Rational(1, 4)}, "exact")
    assert inside(lost, T=1000, lam=1e-40)
    zero = ErrorFormula({"x": sympy.sqrt(symbols.T) ** 3 - symbols.T * sympy.sqrt(symbols.T + symbols.lam)}, "exact")
    box = zero.evaluate(T=2, lam=0, certified=True)
    assert 0 in box
    assert box.radius < 1e-100


def test_precisions_of_others_are_left_alone():
    before, flint.ctx.prec = flint.ctx.prec, 77
    found = []
    try:
        threads = [
            threading.Thread(target=lambda: found.append(inside(CHAIN, **INPUTS, **AT, T=20, lam=0.1))) for _ in "ab"
        ]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        with pytest.raises(ct.DomainError):
            CHAIN.evaluate(certified=True, **INPUTS, **AT, T=12, lam=0)
        assert (flint.ctx.prec, flint.ctx.cap) == (77, 10)
        assert (mpmath.mp.dps, found) == (50, [True, True])  # 50 digits are the references'
    finally:
        flint.ctx.prec = before


def test_sums_and_implicit_equations():
    i = symbols.summation_index("i")
    total = ErrorFormula({"x": sympy.Sum(symbols.sigma**2 / i**2, (i, 1, symbols.n))}, "exact")
    assert inside(total, n=30, sigma=0.3)
    read = ct.read_latex(ct.catalog["random-features-ridge"].error.latex())
    values = POINTS["random-features-ridge"].values
    box = read.evaluate(certified=True, **INPUTS, **values)
    assert ct.catalog["random-features-ridge"].error.evaluate(digits=60, **INPUTS, **values) in box


def test_the_interval():
    box = CHAIN.evaluate(certified=True, test_noise=0.5, terms=True, **INPUTS, **AT, T=20, lam=0.1)
    assert box["test noise"].lower == box["test noise"].upper == 0.25
    total = CHAIN.evaluate(certified=True, **INPUTS, **AT, T=20, lam=0.1)
    assert total.lower < total.mid < total.upper
    assert float(total) == pytest.approx(CHAIN.evaluate(**INPUTS, **AT, T=20, lam=0.1), rel=1e-14)
    assert pickle.loads(pickle.dumps(total)) == total
    low, high = map(mpmath.mpf, total.printed(20))
    assert low <= total.lower < total.upper <= high


def test_what_is_refused(monkeypatch):
    where = {**INPUTS, **AT, "certified": True}
    with pytest.raises(ct.DomainError, match="away from T = rank"):
        CHAIN.evaluate(T=12, lam=0, **where)
    with pytest.raises(ct.DomainError, match="scalar with certified="):
        CHAIN.evaluate(T=[12, 13], lam=0.1, **where)
    with pytest.raises(ct.DomainError, match="digits=30 too"):
        CHAIN.evaluate(T=12, lam=0.1, digits=30, **where)
    monkeypatch.setitem(sys.modules, "flint", None)
    with pytest.raises(ct.DomainError, match=r"pip install 'collapse-theory\[certified\]'"):
        CHAIN.evaluate(T=20, lam=0.1, **where)


def test_the_command_line():
    arguments = ("predict", "ols-replace", "--spectrum", "isotropic:d=50", "--certified")
    for name, value in {"T": 80, "T0": 90, "n": 3, "sigma": 0.5, "sigma0": 0.25}.items():
        arguments += ("--set", f"{name}={value}")
    out = call_json(*arguments)
    assert (
        mpmath.mpf(out["value"]["lower"])
        <= mpmath.mpf("12.5") / 29 + mpmath.mpf("9.375") / 39
        <= mpmath.mpf(out["value"]["upper"])
    )
    assert set(out["terms"]) == set(ct.catalog["ols-replace"].error.terms)
    assert "0.6714190981432" in call(*arguments).stdout
    assert "scalar" in call(*arguments[:-1], "sigma0=1,2", code=2).output


def test_a_count_or_a_sign_that_may_be_another_is_refused():
    with ball_context(128) as context:
        arithmetic, near = balls.Balls(context), context.mpf(3) + context.ball(1e-30)
        assert (arithmetic.whole(context.mpf(3)), counted(context.mpf(3))) == (3, 3)
        with pytest.raises(balls.TooWideError, match="integer"):
            arithmetic.whole(near)
        with pytest.raises(ct.DomainError, match="integer"):
            counted(near)
        with pytest.raises(balls.TooWideError, match="whether rows is positive"):
            arithmetic._positive(near - 3, "rows")
        with pytest.raises(ct.DomainError, match="needs to be >= 0"):
            arithmetic._positive(-near, "a ridge")
