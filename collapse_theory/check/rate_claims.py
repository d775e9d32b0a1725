r"""Is a claimed rate the rate of a test error? Exponents are compared exactly, case by case, where the rate is derived.

A claim such as :math:`T^{-2r\beta/(1+2r\beta)}` says :math:`E\asymp T^{-c}(\log T)^k` on power laws, at the best ridge unless the
ridge exponent is in the claim or given. Its order is read off the formula: the larger exponent wins a sum, exponents add in a
product. In every case of the rate that :mod:`collapse_theory.derive.rates` derives it is compared in exact arithmetic at random
rational points: two exponents, rational functions of a low degree, agree at all of them only if they are one function.

Where no rate is derived, or all else is fixed at values, local slopes of the error are followed at drawn points as T grows: a wrong
exponent leaves a gap that does not shrink.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from sympy import Add, Dummy, Expr, Integer, Mul, Piecewise, Pow, Rational, S, Symbol, cancel, log
from sympy.logic.boolalg import Boolean

from collapse_theory import symbols
from collapse_theory.check.claim_verdict import Case, ClaimCheck
from collapse_theory.check.drawn_points import DrawnPoint, drawn_points, plain_number
from collapse_theory.core.errors import CollapseTheoryError, DomainError, ParseError, nearest, shown
from collapse_theory.derive.formula import ErrorFormula
from collapse_theory.derive.rates import EXPONENTS, Rates, rates
from collapse_theory.derive.scales import INFINITE, given_exponent
from collapse_theory.describe import grammar
from collapse_theory.describe.recipe import located

__all__ = ["RATE_NAMES", "check_rate"]

RATE_NAMES = EXPONENTS | {"beta", "r"}
"""Scale exponents, by name; in a claim they are the symbols of the rate."""

_TRIES = 20  # draws for each point that is wanted
_GRID = 997  # of rational points, prime: away from the boundaries of cases
_FAR = (10, 20, 40)  # logarithms to base 2 of the factors by which T grows
_SHRINKS = (
    0.45  # of a gap between these; one that falls like 1/log T, as of a wrong power of log T, keeps more than half
)
_NONE = 1e-6  # a gap of slopes that is round-off
_SLOPES = 8  # points at which slopes are followed


def check_rate(
    claim: Expr,
    about: ErrorFormula,
    text: str,
    *,
    along: str | None = None,
    spectrum: Any = None,
    target: Any = None,
    draws: int = 60,
    seed: int = 0,
    given: Mapping[str, Any],
) -> ClaimCheck:
    r"""Return whether a test error falls as claimed.

    Args:
        claim: Powers of T (or ``along``) and its logarithm, with exponents in beta, r, ell and the other scale exponents.
        about: The test error.
        text: The claim as it was given.
        along: Another symbol that grows, all else fixed; its slopes are followed.
        spectrum: Eigenvalues, for slopes.
        target: Energies, for slopes.
        draws: Points in every case.
        seed: Seed of the points.
        given: Scale exponents by name, and ``scales``, as :func:`~collapse_theory.derive.rates.rates` takes them; or values of the
            error's symbols, at which all else is fixed as T grows and slopes are followed; and constants of the claim.

    Raises:
        ParseError: If the claim has no order, or a symbol that nothing binds.
        DomainError: If no rate is derived and there are no numbers to follow slopes at.
    """
    exponents = {k: _exact(v, k) for k, v in given.items() if k in {*RATE_NAMES, "scales"}}
    own = {x.name for x in about.free_symbols} | {symbols.d.name}
    constants = {k: given_exponent(_exact(v, k), k) for k, v in given.items() if k not in exponents and k not in own}
    fixed = {k: plain_number(v, k) for k, v in given.items() if k not in exponents and k not in constants}
    for name in sorted(set(constants) - {x.name for x in claim.free_symbols}):
        raise ParseError(f"{about.name} has no symbol {shown(name)}{nearest(name, {*own, *RATE_NAMES})}")
    claim = claim.xreplace({x: constants[x.name] for x in claim.free_symbols if x.name in constants})
    if claim == 0:
        raise ParseError(
            f"a rate needs a positive power of T, got {shown(text)}, which is zero; write for example T^(-1/2)"
        )
    if fixed and exponents:
        name = min(fixed)
        raise DomainError(
            f"a rate needs scale exponents, or values at which all else is fixed, got both {name}={shown(fixed[name])} and "
            f"{min(exponents)}; for {name} = T**c give scales={{{name!r}: c}}"
        )
    open_names = {x.name for x in claim.free_symbols} & (EXPONENTS - {"ell"}) - {x.name for x in about.all_symbols}
    if along is None and not fixed:
        if not {x.name for x in about.all_symbols} & {"T", "N", *exponents.get("scales", ())}:
            raise DomainError(
                f"{about.name} needs rows that grow with T, got numbers only; describe it with the symbol T"
            )
        wanted = {name: symbols.scale_exponent(name) for name in open_names if name not in exponents}
        try:
            found = rates(about, **{**exponents, **wanted})
        except DomainError:
            if exponents or {x.name for x in claim.free_symbols} & RATE_NAMES:
                raise
        else:
            return _by_cases(claim, found, text, draws, seed)
    return _by_slopes(claim, about, text, along or symbols.T.name, spectrum, target, seed, fixed)


def _exact(value: Any, name: str) -> Any:
    """Return a scale exponent given as text as what it says, others as they are."""
    if isinstance(value, Mapping):
        return {k: _exact(v, f"the scale of {k}") for k, v in value.items()}
    if not isinstance(value, str):
        return value
    with located(name):
        return grammar.formula(value, {x: symbols.scale_exponent(x) for x in EXPONENTS - {"ell"}})


# ---------------------------------------------------------------------- by cases
def _by_cases(claim: Expr, found: Rates, text: str, draws: int, seed: int) -> ClaimCheck:
    """Compare exponents and powers of the logarithm in every case of the derived rate."""
    rate = _in_powers(claim, found)
    chosen = found.scales.inner is not None and symbols.ell not in rate.free_symbols
    exponent, logs = (found.optimal_exponent, found.optimal_log) if chosen else (found.exponent, found.log)
    cases: list[Case] = []
    for where in _cases(exponent):
        for point in _points(found, where, draws, seed, chosen=chosen):
            true, power = (e.xreplace(point).doit() for e in (exponent, logs))
            claimed = _order(rate.xreplace(point))
            if claimed is None:
                raise ParseError(
                    f"the claim {shown(text)} needs terms whose leading powers do not cancel; write a product"
                )
            at = {x.name: v for x, v in sorted(point.items(), key=lambda item: item[0].name)}
            cases.append(_rate_case(at, claimed, (true, power)))
    if not cases:
        raise DomainError(
            f"no point was found in the cases of the rate of {found.formula.name}; give numbers for exponents"
        )
    return _verdict(cases, text, found.formula.name, "scaling")


def _cases(exponent: Expr) -> list[Boolean]:
    return [x.cond for x in exponent.args] if isinstance(exponent, Piecewise) else [S.true]


def _points(found: Rates, where: Boolean, draws: int, seed: int, *, chosen: bool) -> Iterator[dict[Symbol, Rational]]:
    """Yield rational points of the scale exponents in one case; fewer where it is thin, one where there are no symbols."""
    scales = found.scales
    free = [x for x in scales.symbols if not (chosen and x == scales.inner)]
    rng = random.Random(seed)  # noqa: S311 - a draw, no secret
    left = draws if free else 1
    for _ in range(_TRIES * draws):
        if not left:
            return
        point = {x: _rational(rng, 1 if x == symbols.beta else 0, 4 if x == symbols.beta else 2) for x in free}
        if scales.inner in point:
            point[scales.inner] = _rational(rng, 0, 1) * scales.laws.beta.xreplace(point)
        inside = all(fact.xreplace(point) >= 0 for fact in scales.facts if not fact.free_symbols - set(point))
        if inside and where.xreplace(point) == S.true:
            left -= 1
            yield point


def _rational(rng: random.Random, low: int, high: int) -> Rational:
    return low + (high - low) * Rational(rng.randint(1, _GRID - 1), _GRID)


def _in_powers(claim: Expr, found: Rates) -> Expr:
    """Return a claim in T and the symbols of a rate, every other symbol as the power of T that it is.

    Raises:
        ParseError: If a symbol is none of the rate's.
    """
    laws = found.scales.laws
    powers: dict[Symbol, Expr | None] = {**laws.scales, symbols.d: laws.dimension}
    named = {x.name: e for x, e in powers.items()}
    own: dict[str, Expr] = {x.name: x for x in found.scales.symbols} | {"beta": laws.beta, "r": laws.r}
    given = {k: v for k, v in found.arguments.items() if k in EXPONENTS and v is not None}
    change: dict[Symbol, Any] = {}
    for x in symbols.ordered(claim.free_symbols):
        if x.name == "T":
            change[x] = symbols.T
        elif x.name in own:
            change[x] = own[x.name]
        elif x.name in given:
            change[x] = given_exponent(given[x.name], x.name, infinite=True)
        elif x.name in named:
            e = named[x.name]
            if e is None or e.has(INFINITE):
                raise ParseError(
                    f"the claim has {x.name}, which is zero or infinite at these scales; write it as a power of T"
                )
            change[x] = x if e == 0 else symbols.T**e
        else:
            known = {*own, *given, *named, "T"}
            raise ParseError(
                f"the claim has the symbol {shown(x.name)} that nothing binds{nearest(x.name, known)}; write powers of T"
            )
    return claim.xreplace(change)


def _order(e: Expr) -> tuple[Expr, Expr] | None:
    """Return the exponents of T and log T of the largest part; None if largest parts may cancel.

    Raises:
        ParseError: If it is no sum or product of powers.
    """
    T = symbols.T
    if T not in e.free_symbols:
        return None if e == 0 else (S.Zero, S.Zero)
    if e == T:
        return (S.One, S.Zero)
    if isinstance(e, log):
        inner = _order(e.args[0])
        return None if inner is None or inner[0] == 0 else (S.Zero, S.One)
    if isinstance(e, Pow) and T not in e.exp.free_symbols:
        inner = _order(e.base)
        return None if inner is None else (inner[0] * e.exp, inner[1] * e.exp)
    if isinstance(e, Mul | Add):
        parts = [_order(x) for x in e.args]
        known = [x for x in parts if x is not None]
        if len(known) < len(parts):
            return None
        if isinstance(e, Mul):
            return Add(*(x for x, _ in known)), Add(*(k for _, k in known))
        top = max(known)
        leading = [x for x, order in zip(e.args, known, strict=True) if order == top]
        return None if len({x.could_extract_minus_sign() for x in leading}) > 1 else top
    raise ParseError(f"a rate needs powers of T and log(T), got {shown(e)}; write for example T^(-1/2)")


def _rate_case(at: Mapping[str, Any], claimed: tuple[Expr, Expr], true: tuple[Expr, Expr]) -> Case:
    """Return one comparison, of exponents c of ``T**-c``; equal ones are told apart by their logarithms."""
    c = -claimed[0]
    gap = cancel(c - true[0])
    if gap == 0 and claimed[1] != true[1]:
        return Case(at, float(c), float(true[0]), math.copysign(math.ulp(0.0), true[1] - claimed[1]))
    return Case(at, float(c), float(true[0]), float(gap))


def _verdict(cases: list[Case], text: str, about: str, regime: str) -> ClaimCheck:
    slower, faster = all(c.gap <= 0 for c in cases), all(c.gap >= 0 for c in cases)
    side = "both" if slower and faster else "upper" if slower else "lower" if faster else ""
    verdict = "holds" if side == "both" else "bound" if side else "fails"
    worst = max(cases, key=lambda c: abs(c.gap))
    return ClaimCheck(text, "has-rate", about, verdict, len(cases), worst, side, regime)


# ---------------------------------------------------------------------- by slopes
def _by_slopes(
    claim: Expr,
    about: ErrorFormula,
    text: str,
    along: str,
    spectrum: Any,
    target: Any,
    seed: int,
    fixed: Mapping[str, Any],
) -> ClaimCheck:
    """Follow local slopes at drawn values, all else fixed while one symbol grows."""
    grows = about.symbol(along)
    known = {x.name for x in about.free_symbols} | {symbols.d.name, along}
    loose = sorted({x.name for x in claim.free_symbols} - known)
    if loose:
        raise ParseError(
            f"the claim has the symbol {shown(loose[0])} that nothing binds: no rate of {about.name} is derived here, and slopes "
            f"are followed for numbers; write a number"
        )
    order = _order(
        claim.xreplace({x: symbols.T if x.name == along else Dummy(positive=True) for x in claim.free_symbols})
    )
    if order is None:
        raise ParseError(f"the claim {shown(text)} needs terms whose leading powers do not cancel; write a product")
    cases = []
    for point in drawn_points((about,), _SLOPES, seed, spectrum=spectrum, target=target, fixed=fixed):
        gaps = _gaps(about, point, grows.name, order)
        if gaps is not None:
            small = all(abs(b) <= max(_SHRINKS * abs(a), _NONE) for a, b in pairwise(gaps))
            cases.append(Case(point.shown(), float(-order[0]), float(-order[0]) - gaps[-1], 0.0 if small else gaps[-1]))
    if not cases:
        raise DomainError(f"{about.name} has no value as {along} grows; give a spectrum and values")
    return _verdict(cases, text, about.name, about.regime)


def _gaps(about: ErrorFormula, point: DrawnPoint, along: str, order: tuple[Expr, Expr]) -> list[float] | None:
    """Return observed less claimed slopes of log E as a symbol grows; None where the error has no finite positive value."""
    own = {x.name for x in about.free_symbols}
    values = {k: v for k, v in point.values.items() if k in own}
    start = max(2, math.ceil(values.get(along, 2)))

    def error(size: int) -> float:
        at = {**values, along: size}
        return float(about.evaluate(spectrum=point.spectrum, target=point.target, **at))

    gaps = []
    for k in _FAR:
        size = int(Integer(start) * 2**k)
        try:
            first, second = error(size), error(2 * size)
        except CollapseTheoryError:
            return None
        if not (0 < first < math.inf and 0 < second < math.inf):
            return None
        slope = math.log2(second / first) - float(order[1]) * math.log2(math.log(2 * size) / math.log(size))
        gaps.append(slope - float(order[0]))
    return gaps
