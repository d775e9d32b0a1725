"""Opaque scalars: every class keeps what SymPy expects of an expression."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
import sympy as sp
from sympy.core.function import ArgumentIndexError
from sympy.core.symbol import Str

import collapse_theory as ct
from collapse_theory.algebra.atomic_ridge import AtomicResidual, AtomicRidge
from collapse_theory.algebra.atomic_spectrum import AtomicFeatureResidual, AtomicFeatureRidge
from collapse_theory.algebra.effective import EffectiveRidge, ResidualDegrees
from collapse_theory.algebra.feature_scalars import FeatureResidual, FeatureRidge
from collapse_theory.algebra.implicit_root import ImplicitRoot
from collapse_theory.algebra.integrals import OffsetForm, QuadraticForm, SpectralTrace, df
from collapse_theory.algebra.named_lines import NamedLines
from collapse_theory.algebra.opaque import Opaque, OpaqueFunction
from collapse_theory.algebra.secular import SecularSum
from collapse_theory.algebra.special import DigammaDifference, GammaRatio, GeometricSum
from collapse_theory.derive.atomic_chain import AtomicChain
from collapse_theory.derive.corrected import CorrectedBias, CorrectedVariance
from collapse_theory.derive.filter_chain import FilterBias, FilterVariance
from collapse_theory.derive.labeller import LabelledRows, PooledStage
from collapse_theory.derive.labeller_scalars import ChainBias, ChainVariance, PooledBias, PooledVariance
from collapse_theory.derive.pooled import pooled_system
from collapse_theory.derive.pooled_scalars import PipelineBias, PipelineVariance
from collapse_theory.derive.rounds import RoundTerm
from collapse_theory.derive.slopes import Slope, slope
from collapse_theory.engine.guard import Existence
from collapse_theory.symbols import (
    T0,
    SecularRoot,
    T,
    eigenvalue,
    lam,
    lam0,
    line_name,
    m,
    n,
    perturbation,
    sigma,
    sigma0,
    unknown_name,
)

LINE, X, Y = line_name("x"), unknown_name("x"), unknown_name("y")
BLOCKS = ((T0, lam0, sigma0, n), (T, lam, sigma, 1))
STOPPED = ((T0, (Str("GradientFlow"), lam0 + 1), sigma0, n), (T, (Str("GradientFlow"), lam + 1), sigma, 1))
STAGES = (
    PooledStage(T0, lam0, sigma0**2, (LabelledRows(1, 1, 0, {}),)),
    PooledStage(
        T,
        lam,
        sigma**2,
        (LabelledRows(sp.Rational(1, 3), 1, 0, {}), LabelledRows(sp.Rational(2, 3), 0, sigma, {0: 1 - sigma})),
    ),
)


def shared():
    pipe = ct.Pipeline()
    real = pipe.sample(T=T, noise=sigma)
    first = pipe.fit(real, ridge=lam)
    last = pipe.fit([real, pipe.sample(T=T0, noise=sigma, source=first)], ridge=lam)
    return pooled_system(pipe, last).args()


def indefinite():
    d = ct.symbols.d
    return (sp.Identity(d) + lam * ct.GaussianMatrix("G", d, d) / sp.sqrt(d)).inv()


def keep_real():
    (term,) = ct.catalog["ridge-keep-real"].error.parts["bias"].atoms(RoundTerm)
    return term


# One object of every class.
SAMPLES = [
    SpectralTrace(eigenvalue / (eigenvalue + lam)),
    QuadraticForm(eigenvalue / (eigenvalue + lam) ** 2),
    OffsetForm(eigenvalue / (eigenvalue + lam), Str("w1"), Str("w0")),
    EffectiveRidge(T, lam),
    ResidualDegrees(T, lam),
    AtomicChain(ChainBias(*BLOCKS), ((3, 1, 1), (1, 5, 2))),
    SecularSum(SecularRoot() ** n, SecularRoot(), ((lam, 1), (0, 2))),
    AtomicRidge(T, 3, 1, 1, 5, lam),
    AtomicResidual(T, 3, 1, 1, 5, lam),
    AtomicFeatureRidge(T, m, 3, 5, lam),
    AtomicFeatureResidual(T, m, 3, 5, lam),
    FeatureRidge(T, m, lam),
    FeatureResidual(T, m, lam),
    DigammaDifference(T, lam),
    GammaRatio(T, lam),
    GeometricSum(lam / (1 + lam), n),
    ChainBias(*BLOCKS),
    ChainVariance(*BLOCKS),
    CorrectedBias(*BLOCKS),
    CorrectedVariance(*BLOCKS),
    FilterBias(*STOPPED),
    FilterVariance(*STOPPED),
    PooledBias.of(STAGES),
    PooledVariance.of(STAGES),
    PipelineBias(*shared()),
    PipelineVariance(*shared()),
    slope(ChainBias(*BLOCKS), lam),
    Existence(indefinite()),
    keep_real(),
    NamedLines(((LINE, EffectiveRidge(T, lam) + 1), (line_name("y"), LINE**2)), LINE * line_name("y") * T),
    ImplicitRoot(((X, lam + X * df(1, X) / T + Y / T), (Y, lam0 + SpectralTrace(eigenvalue * X / (X + Y)) / T)), 1),
]
every = pytest.mark.parametrize("x", SAMPLES, ids=[type(x).__name__ for x in SAMPLES])

NUMBERS = {"T": 30, "T0": 25, "lam": 0.3, "lam0": 0.2, "sigma": 0.4, "sigma0": 0.3, "n": 2, "m": 20}
KW = {
    "spectrum": ct.PowerLaw(9, beta=1.0),
    "target": {"w0": ct.RandomTarget(), "w1": ct.RandomTarget(2), ("w0", "w1"): 0.5},
}


def leaves(cls):
    below = cls.__subclasses__()
    return {leaf for c in below for leaf in leaves(c)} if below else {cls}


def value(e):
    formula = ct.ErrorFormula({"bias": e}, "exact")
    return formula.evaluate(**KW, **{k: v for k, v in NUMBERS.items() if k in {x.name for x in formula.free_symbols}})


def test_every_class_is_here():
    of_formulas = {c for c in leaves(Opaque) if not c.__module__.startswith("collapse_theory.present")}
    assert {type(x) for x in SAMPLES} == of_formulas  # what is only printed has no value


@every
def test_is_its_class_of_its_arguments_and_pickles(x):
    assert x.func(*x.args) == x
    assert hash(x.func(*x.args)) == hash(x)
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        copy = pickle.loads(pickle.dumps(x, protocol))
        assert copy == x
        assert copy.free_symbols == x.free_symbols


@every
def test_sympify_and_replacing_what_is_not_there_change_nothing(x):
    other = sp.Symbol("other")
    assert sp.sympify(x, strict=True) is x
    assert x.subs(other, 3) == x == x.xreplace({other: sp.Integer(3)})
    assert x.xreplace({x: other}) == x.subs(x, other) == other
    assert x.diff(other) == 0
    assert x.evalf(30) == x


@every
def test_symbols_are_replaced_in_the_arguments(x):
    (free, *_) = sorted(x.free_symbols & {T, lam}, key=str)
    new = sp.Symbol("other", positive=True, integer=free.is_integer)
    moved = x.xreplace({free: new})
    assert type(moved) is type(x)
    assert moved.free_symbols == x.free_symbols - {free} | {new}
    assert moved == x.subs(free, new)
    assert moved.xreplace({new: free}) == x


@every
def test_bound_symbols_are_out_of_reach(x):
    for bound in (eigenvalue, perturbation):
        assert bound not in x.free_symbols
        assert x.diff(bound) == 0
        if x._binds is not None and isinstance(bound, x._binds):
            assert x.subs(bound, 3) == x == x.xreplace({bound: sp.Integer(3)})
            for replace in (x.subs, lambda old, new: x.xreplace({old: new})):
                with pytest.raises(ct.DomainError, match="capture"):
                    replace(lam, bound)


@every
def test_latex_takes_an_exponent_and_a_factor(x):
    plain, squared, product = (sp.latex(e) for e in (x, x**2, T * x))
    assert squared != plain
    assert squared.count("^{2}") > plain.count("^{2}")
    assert squared.count("{") == squared.count("}")
    assert squared.count(r"\left") == squared.count(r"\right")
    assert plain in product
    assert str(x)


@every
def test_assumptions_hold_for_the_value(x):
    assert x.is_commutative
    assert x.is_extended_real
    got = value(x)
    assert np.isfinite(got)
    for claim, holds in (("nonnegative", got >= 0), ("positive", got > 0), ("negative", got < 0), ("zero", got == 0)):
        assert getattr(x, f"is_{claim}") in (None, holds), claim


@every
def test_derivatives_are_those_of_the_value(x):
    if isinstance(x, Slope):
        with pytest.raises(ct.DomainError, match="written out"):
            x.diff(lam)
        return
    if lam not in x.free_symbols or isinstance(x, Existence):
        assert x.diff(lam) == 0
        return
    h = 1e-5
    up, down = (value(x.subs(lam, lam + e)) for e in (sp.Float(h), -sp.Float(h)))
    assert value(x.diff(lam)) == pytest.approx((up - down) / (2 * h), rel=1e-5)


@every
def test_text_is_refused_as_an_argument(x):
    if x.args:
        with pytest.raises((sp.SympifyError, ct.DomainError, TypeError)):
            x.func(*["__import__('os').getpid()"] * len(x.args)).doit()


@pytest.mark.parametrize("x", [x for x in SAMPLES if isinstance(x, OpaqueFunction)], ids=lambda x: type(x).__name__)
@pytest.mark.parametrize("place", [0, 7])
def test_an_argument_that_does_not_exist_has_no_derivative(x, place):
    with pytest.raises(ArgumentIndexError):
        x.fdiff(place)


def test_a_number_of_rounds_has_no_derivative():
    for x in (ChainBias(*BLOCKS), keep_real()):
        with pytest.raises(ct.DomainError, match="number of"):
            x.diff(n)


def test_values_of_functions_of_numbers():
    tiny = sp.Rational(1, 10**40)
    assert GeometricSum(tiny, 7).evalf(30) == pytest.approx(7, rel=1e-28)
    assert float(GeometricSum(1, 9).evalf()) == 1
    assert DigammaDifference(tiny**-1, sp.Rational(1, 3)).evalf(20) == pytest.approx(float(tiny) / 3, rel=1e-15)
    assert GammaRatio(sp.Rational(7, 2), 3).evalf(20) == pytest.approx(3.5 * 4.5 * 5.5, rel=1e-15)
    assert EffectiveRidge(3, sp.Rational(1, 2)).evalf() == EffectiveRidge(3, sp.Rational(1, 2))  # it needs a spectrum


def test_pickles_cross_processes():
    """A bound symbol that is made anew, such as SymPy's dummies, would differ there."""
    script = (
        "import pickle,sys; from collapse_theory.symbols import lam, eigenvalue as s;"
        "from collapse_theory.algebra.integrals import SpectralTrace;"
        "x = pickle.load(sys.stdin.buffer); sys.exit(x[0] != SpectralTrace(s / (s + lam)))"
    )
    done = subprocess.run([sys.executable, "-c", script], input=pickle.dumps(SAMPLES), check=False)
    assert done.returncode == 0
