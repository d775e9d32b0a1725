r"""Is a formula that somebody claims true? It is compared with the theory at drawn points, in digits, and as sizes grow.

A claim says what its formula is to a theorem's error or a pipeline's: equal to it, above it, below it, asymptotic to it, or the
rate at which it falls (:mod:`collapse_theory.check.rate_claims`).
Points are drawn inside the conditions of both. Where the two agree to round-off they are compared again to 30 digits, so a
small gap is not taken for none. The limit of large systems is taken along :math:`d,T\to c\,d,c\,T` with the spectrum's law fixed
(or along one symbol), and a gap that falls like a power of :math:`c` is "leading order".

Drawn points refute a claim for certain, and support it without proving it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

from sympy import Expr, Float, Symbol

from collapse_theory import symbols
from collapse_theory.algebra.naming import ridge_names
from collapse_theory.check.claim_verdict import KINDS, Case, ClaimCheck
from collapse_theory.check.drawn_points import DrawnPoint, drawn_points, plain_number
from collapse_theory.check.rate_claims import RATE_NAMES, check_rate
from collapse_theory.core.arguments import instance
from collapse_theory.core.errors import (
    CollapseTheoryError,
    DomainError,
    ParseError,
    PipelineError,
    ValidationWarning,
    nearest,
    shown,
)
from collapse_theory.core.numbers import integer
from collapse_theory.derive.formula import ErrorFormula
from collapse_theory.derive.read_latex import read_latex
from collapse_theory.derive.test_error import test_error
from collapse_theory.describe import grammar
from collapse_theory.describe.pipeline import Pipeline
from collapse_theory.describe.spectra import Spectrum
from collapse_theory.describe.targets import Target
from collapse_theory.numerics.measure import check_pair
from collapse_theory.simulate.trials import simulate
from collapse_theory.theorems.catalog import catalog
from collapse_theory.theorems.theorem import Theorem

__all__ = ["check_claim", "read_claim"]

_DIGITS = 30
_CLOSE = 1e-9  # relative gap in float64 below which digits decide
_SAME = 1e-25  # relative gap that is none, in digits
_ROUNDED = 1e-14  # the same where a formula has decimals, which are rounded to doubles
_GROWTH = (1, 8, 64, 512)  # sizes at which the limit is looked at
_FALLS = 0.6  # a gap that falls by less than this factor at each step is not taken to vanish
_SMALL = 0.02  # what is left of it at the largest size
_DIRECTIONS = 1 << 20  # of the largest system
_LIMITS = 8  # points at which the limit is looked at
_NOTED = {"beta", "r", "ell"}  # scale exponents that are in the notation table
_PRINTED = {"gamma_0": r"\gamma_0", "gamma_sigma": r"\gamma_\sigma"}
_COARSE = 0.1  # relative error that a simulation should see
_CHANCE = 4.0  # standard errors that chance alone explains


def check_claim(
    claim: str | Expr | ErrorFormula,
    about: str | Theorem | ErrorFormula | Pipeline,
    kind: str = "equals",
    *,
    family: Any = None,
    term: str | None = None,
    along: str | None = None,
    notation: Mapping[str, str] | None = None,
    spectrum: Any = None,
    target: Target | None = None,
    draws: int = 60,
    seed: int = 0,
    trials: int = 400,
    **values: Any,
) -> ClaimCheck:
    r"""Return whether a formula is what it is claimed to be.

    Args:
        claim: A text formula, LaTeX, or an expression. :math:`\kappa` is the effective ridge that the theory's own print calls so.
        about: A catalogue slug, a theorem, a formula or a pipeline. A pipeline that no theory covers is simulated at the given
            spectrum, target and values.
        kind: "equals", "upper-bounds", "lower-bounds", "asymptotic-to", or "has-rate": the formula is a rate such as
            ``T^(-2*r*beta/(1+2*r*beta))``, at the best ridge unless ``ell`` is in it or given.
        family: The family of models of a pipeline; linear regression if None.
        term: Compare with one term of the error ("bias", "variance", ...) instead of the whole.
        along: The symbol that grows in a limit; by default the dimension and all rows grow in proportion.
        notation: Printed name by code name, for LaTeX.
        spectrum: Eigenvalues, instead of drawn ones.
        target: Energies, instead of drawn ones.
        draws: Number of points, positive.
        seed: Seed of the points, >= 0.
        trials: Runs of the simulation, where there is no theory.
        **values: Values of symbols that are not drawn; for a rate its scale exponents, as ``ct.rates`` takes them.

    Raises:
        ParseError: If the formula is not readable, or has a symbol that nothing binds.
        DomainError: If no point is inside the conditions.

    >>> verdict = check_claim("sigma^2*d/(T-d-1)*Sum(1/i^2,(i,1,n))", "ols-accumulate")
    >>> verdict.verdict, verdict.side, verdict.worst.gap > 0
    ('bound', 'upper', True)
    """
    kind = _given(kind, "claim", KINDS)
    if kind != "has-rate":
        values = {k: plain_number(v, k) for k, v in values.items()}
    _measure(spectrum, target)
    draws, seed = integer(draws, "draws", least=1, most=10_000), integer(seed, "seed", least=0)
    theory, name = _theory(about, family)
    if theory is None:
        if not isinstance(about, Pipeline):
            raise AssertionError("what is not covered by theory is a pipeline")
        formula = read_claim(claim, None, notation, values)
        return _simulated(formula, about, kind, shown_claim(claim), spectrum, target, trials, seed, values, family)
    if theory.regime in {"upper bound", "lower bound"} and kind not in {"equals", f"{theory.regime.split()[0]}-bounds"}:
        raise DomainError(
            f"{name} is itself an {theory.regime}, got the claim {kind!r}; claim that it equals or {theory.regime}s it"
        )
    if term is not None:
        theory = replace(theory, parts={_given(term, "term", theory.parts): theory.parts[term]})
    if kind == "has-rate":
        names = {x: symbols.declared(x) for x in values} | {x: symbols.scale_exponent(x) for x in RATE_NAMES - _NOTED}
        rate = _parsed(claim, theory, notation, names)
        if not isinstance(rate, Expr):
            raise ParseError(f"a rate needs one expression, got lines {shown_claim(claim)}; write for example T^(-1/2)")
        how: dict[str, Any] = {"spectrum": spectrum, "target": target, "draws": draws, "seed": seed, "given": values}
        return check_rate(rate, theory, shown_claim(claim), along=along, **how)
    if along is not None:
        _given(along, "along", [x.name for x in theory.free_symbols])
    formula = read_claim(claim, theory, notation, values)
    _no_others(values, formula, theory)
    points = list(drawn_points((theory, formula), draws, seed, spectrum=spectrum, target=target, fixed=values))
    cases = [c for c in (_case(formula, theory, p) for p in points) if c is not None]
    if not cases:
        raise DomainError(f"{name} has no finite value at {draws} drawn points; give a spectrum and values")
    side = _side(cases)
    order = None
    asymptotic = side == "both"
    if side != "both" and all(c.claimed is not None for c in cases):
        asymptotic, order = _limit(formula, theory, points[:_LIMITS], along, kind)
    return ClaimCheck(
        shown_claim(claim), kind, name, _verdict(kind, side, asymptotic=asymptotic), len(cases), _worst(cases, kind), side,
        theory.regime, order,
    )  # fmt: skip


def _given(value: Any, name: str, valid: Iterable[str]) -> str:
    """Return one of a few words."""
    valid = sorted(valid)
    if not isinstance(value, str) or value not in valid:
        hint = nearest(value, valid) if isinstance(value, str) else f"; choose one of {', '.join(valid)}"
        raise ParseError(f"{name} needs to be one of {', '.join(valid)}, got {shown(value)}{hint}")
    return value


def _measure(spectrum: Any, target: Any) -> None:
    several = isinstance(spectrum, Mapping) and spectrum
    for x in spectrum.values() if several else [spectrum]:
        instance(x, Spectrum | None, "spectrum", "write ct.Eigenvalues(values)", DomainError)
    instance(target, Target | None, "target", "write ct.Energies(values)", DomainError)
    if target is not None and spectrum is None:
        raise DomainError("a target needs its spectrum, got none; pass spectrum= too")
    if spectrum is not None:
        check_pair(spectrum, target)


def shown_claim(claim: Any) -> str:
    """Return a claim as it was given, for a message."""
    return claim if isinstance(claim, str) else shown(claim)


def read_claim(
    claim: Any, theory: ErrorFormula | None, notation: Mapping[str, str] | None, values: Mapping[str, Any]
) -> ErrorFormula:
    """Return a claim as a formula in the symbols of the theory.

    Raises:
        ParseError: If it is not readable, or has a symbol that nothing binds.
    """
    read = _parsed(claim, theory, notation, {x: symbols.declared(x) for x in values})
    formula = read if isinstance(read, ErrorFormula) else ErrorFormula({"claim": read}, "exact", name="the claim")
    if theory is None:
        bound = {*values, symbols.d.name}
    else:
        own = {x.name: x for x in theory.free_symbols}
        ridges = {x.name: ridge for ridge, x in ridge_names(theory.expr).items()}
        change: dict[Symbol, Any] = {
            x: own.get(x.name, ridges.get(x.name, x)) for x in formula.free_symbols if x.name in own or x.name in ridges
        }
        formula = formula.mapped(lambda e: e.xreplace(change))
        bound = {*own, *values, symbols.d.name}
    loose = sorted({x.name for x in formula.free_symbols} - bound)
    if loose:
        raise ParseError(
            f"the claim has the symbol {shown(loose[0])} that nothing binds{nearest(loose[0], bound)}; give it a value"
        )
    return formula


def _parsed(
    claim: Any, theory: ErrorFormula | None, notation: Mapping[str, str] | None, names: Mapping[str, Expr]
) -> Expr | ErrorFormula:
    """Return text or LaTeX as what it says; names are those of the theory's symbols and others."""
    read = claim
    if isinstance(claim, str):
        latex = "\\" in claim or "{" in claim
        declared = {x.name: x for x in (() if theory is None else theory.free_symbols)}
        own = {x: _PRINTED.get(x, x) for x in names if x not in symbols.NOTATION}
        if own and isinstance(notation, Mapping | None):
            notation = {**own, **(notation or {})}
        read = read_latex(claim, notation) if latex else grammar.formula(claim, {**names, **declared})
    if not isinstance(read, Expr | ErrorFormula):
        raise ParseError(f"claim needs text, LaTeX or an expression, got {shown(claim)}; quote it")
    return read


def _theory(about: Any, family: Any) -> tuple[ErrorFormula | None, str]:
    if family is not None and not isinstance(about, Pipeline):
        raise DomainError(f"family belongs to a pipeline, got {shown(family)} about {shown(about)}; leave it out")
    if isinstance(about, str):
        about = catalog[about]
    if isinstance(about, Theorem):
        return about.error, about.slug
    if isinstance(about, ErrorFormula):
        return about, about.name
    if isinstance(about, Pipeline):
        try:
            return test_error(about, family=family), "the pipeline"
        except PipelineError:
            return None, "the pipeline"
    raise DomainError(
        f"about needs a theorem, a formula or a pipeline, got {shown(about)}; write for example 'ols-replace'"
    )


def _no_others(values: Mapping[str, Any], formula: ErrorFormula, theory: ErrorFormula) -> None:
    known = {x.name for f in (formula, theory) for x in f.free_symbols} | {symbols.d.name}
    for name in values:
        if name not in known:
            raise ParseError(f"{theory.name} has no symbol {shown(name)}{nearest(name, known)}")


# ---------------------------------------------------------------------- at a point
def _case(formula: ErrorFormula, theory: ErrorFormula, point: DrawnPoint) -> Case | None:
    """Return the comparison at a point, to 30 digits where float64 sees no gap; None where the theory has no finite value."""
    try:
        true = _value(theory, point)
    except CollapseTheoryError:
        return None
    if not math.isfinite(true):
        return None
    try:
        claimed = _value(formula, point)
    except CollapseTheoryError:
        return Case(point.shown(), None, true, math.inf)
    if not math.isfinite(claimed):
        return Case(point.shown(), None, true, math.inf)
    if true == 0:
        return Case(point.shown(), claimed, true, 0.0 if claimed == 0 else math.copysign(math.inf, claimed))
    gap = (claimed - true) / abs(true)
    if abs(gap) < _CLOSE:
        gap = _exact_gap(formula, theory, point, gap)
    return Case(point.shown(), claimed, true, gap)


def _exact_gap(formula: ErrorFormula, theory: ErrorFormula, point: DrawnPoint, rough: float) -> float:
    try:
        claimed, true = (_value(f, point, digits=_DIGITS) for f in (formula, theory))
    except CollapseTheoryError:  # a limit, or digits that do not settle: what float64 cannot tell apart is equal
        return 0.0 if abs(rough) < _CLOSE else rough
    gap = float((claimed - true) / abs(true)) if true else float(claimed)
    decimals = bool(theory.numbers) or any(e.has(Float) for e in formula.parts.values())
    return 0.0 if abs(gap) < (_ROUNDED if decimals else _SAME) else gap


def _value(f: ErrorFormula, point: DrawnPoint, digits: int | None = None) -> Any:
    own = {x.name for x in f.free_symbols}
    values = {k: v for k, v in point.values.items() if k in own}
    return f.evaluate(spectrum=point.spectrum, target=point.target, digits=digits, **values)


def _side(cases: list[Case]) -> str:
    if any(c.claimed is None for c in cases):
        return ""
    above, below = all(c.gap >= 0 for c in cases), all(c.gap <= 0 for c in cases)
    return "both" if above and below else "upper" if above else "lower" if below else ""


def _worst(cases: list[Case], kind: str) -> Case:
    """Return the case that speaks most against a claim."""
    against = {"upper-bounds": lambda c: -c.gap if c.claimed is not None else math.inf, "lower-bounds": lambda c: c.gap}
    return max(cases, key=against.get(kind, lambda c: abs(c.gap)))


def _verdict(kind: str, side: str, *, asymptotic: bool) -> str:
    if side == "both" or (kind, side) in {("upper-bounds", "upper"), ("lower-bounds", "lower")}:
        return "holds"
    if asymptotic:
        return "holds" if kind == "asymptotic-to" else "leading-order"
    bound = side and kind in {"equals", "asymptotic-to"}
    return "bound" if bound else "fails"


# ---------------------------------------------------------------------- in a limit
def _limit(
    formula: ErrorFormula, theory: ErrorFormula, points: list[DrawnPoint], along: str | None, kind: str
) -> tuple[bool, float | None]:
    """Return whether the gap vanishes at all points as they grow, and the slowest power of 1/size with which it falls."""
    slowest, vanishes, seen = math.inf, True, False
    for point in points:
        gaps = []
        for c in _GROWTH if (point.d or 1) * _GROWTH[-1] <= _DIRECTIONS else ():
            case = _case(formula, theory, _grown(point, c, along, theory))
            if case is None:
                break
            gaps.append(abs(case.gap))
        if len(gaps) < len(_GROWTH):
            continue
        seen = True
        falls = all(b <= _FALLS * a for a, b in pairwise(gaps[1:]))  # digits decide small gaps, so they are not noise
        vanishes &= falls and gaps[-1] < _SMALL
        if 0 < gaps[-1] < math.inf and 0 < gaps[-2] < math.inf:
            slowest = min(slowest, math.log(gaps[-2] / gaps[-1]) / math.log(_GROWTH[-1] / _GROWTH[-2]))
    if not seen and kind == "asymptotic-to":
        raise DomainError(
            f"{theory.name} has no value at larger sizes to take a limit of; give a smaller spectrum or other values"
        )
    vanishes &= seen
    return vanishes, slowest if vanishes and math.isfinite(slowest) else None


def _grown(point: DrawnPoint, c: int, along: str | None, theory: ErrorFormula) -> DrawnPoint:
    if along is None:
        return point.scaled(c)
    if along not in point.values:
        raise DomainError(f"along needs a symbol of {theory.name} that is drawn or given, got {along}")
    return replace(point, values={**point.values, along: max(point.values[along], 1) * c})


# ---------------------------------------------------------------------- without theory
def _simulated(
    formula: ErrorFormula,
    pipe: Pipeline,
    kind: str,
    claim: str,
    spectrum: Any,
    target: Target | None,
    trials: int,
    seed: int,
    values: Mapping[str, Any],
    family: Any,
) -> ClaimCheck:
    """Return the comparison with a simulation at one point: chance may explain four standard errors.

    One point refutes, and what it supports it supports there: equality, never a bound at all points.
    """
    if kind in {"asymptotic-to", "has-rate"}:
        raise DomainError(f"{kind} needs theory, got a pipeline that only a simulation covers; claim what it equals")
    trials = integer(trials, "trials", least=2, remedy="one run says nothing about chance")
    used = {x.name for x in pipe.free_symbols}
    point = DrawnPoint(dict(values), spectrum, target)
    run = simulate(
        pipe,
        family=family,
        spectrum=spectrum,
        target=target,
        trials=trials,
        seed=seed,
        **{k: v for k, v in values.items() if k in used},
    )
    claimed = float(_value(formula, point))
    chance, gap = _CHANCE * run.sem, claimed - run.mean
    relative, detectable = (
        (x / run.mean if run.mean else math.copysign(math.inf, x) if x else 0.0) for x in (gap, chance)
    )
    if detectable > _COARSE:
        warnings.warn(
            f"this simulation could not have seen a relative error of the formula below {detectable:.0%}; use more trials",
            ValidationWarning,
            stacklevel=3,
        )
    true = {"equals": abs(gap) <= chance, "upper-bounds": gap >= -chance, "lower-bounds": gap <= chance}[kind]
    side = "both" if abs(gap) <= chance else "upper" if gap > 0 else "lower"
    case = Case(point.shown(), claimed, run.mean, relative)
    verdict = "holds" if true else "fails"
    return ClaimCheck(claim, kind, "the pipeline", verdict, 1, case, side, "simulation", detectable=detectable)
