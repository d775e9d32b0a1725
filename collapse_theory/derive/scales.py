"""What every symbol of a formula is as a power of T: the scale exponents a user gives, and those the names imply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sympy import QQ, Add, Dummy, Expr, Float, Ge, Gt, Le, Lt, Rational, S, Symbol, oo
from sympy.logic.boolalg import Boolean

from collapse_theory import symbols
from collapse_theory.algebra.integrals import SpectralIntegral
from collapse_theory.core.arguments import instance
from collapse_theory.core.errors import DomainError, nearest, shown
from collapse_theory.core.numbers import real
from collapse_theory.derive.asymptotics import PowerLaws
from collapse_theory.derive.formula import ErrorFormula
from collapse_theory.derive.pooled_scalars import PipelineScalar
from collapse_theory.symbols import is_literal

__all__ = ["INFINITE", "Scales", "covariances", "given_exponent", "scaled"]

INFINITE = Dummy("Omega", positive=True)
"""The exponent of a symbol that is infinite: larger than every other."""

_ROWS = {"T", "N"}
_VARIANCES = {"sigma": "gamma_sigma", "sigma0": "gamma_0"}
_FIXED = {"n", "w", "p1", "p2", "phi", "phi0", "rho2"}


@dataclass(frozen=True)
class Scales:
    """A formula on power laws.

    Attributes:
        laws: What every symbol is.
        symbols: The symbols in the exponents.
        facts: Polynomials in them that are not negative.
        inner: The symbol of the ridge exponent, which ranges over ``[0, beta]``; None if it is given or there is no ridge.
    """

    laws: PowerLaws
    symbols: tuple[Symbol, ...]
    facts: tuple[Expr, ...]
    inner: Symbol | None


def given_exponent(value: Any, name: str, *, infinite: bool = False) -> Expr:
    """Return an exponent as a SymPy expression, a float as the decimal it prints as.

    Raises:
        DomainError: If it is no real number or expression; infinity is one where ``infinite`` says so.
    """
    if infinite and isinstance(value, (float, Expr)) and value in (oo, -oo):
        return oo if value > 0 else -oo
    number = real(value, name)
    if number.has(Float):
        number = number.xreplace({x: Rational(str(float(x))) for x in number.atoms(Float)})
    found = symbols.ordered(number.free_symbols)
    try:
        rational = QQ.frac_field(*found).from_sympy(number) is not None if found else number.is_Rational
    except (ValueError, ArithmeticError):
        rational = False
    if not rational:
        raise DomainError(
            f"{name} needs to be rational, or rational in symbols, got {shown(value)}; give a nearby fraction, or a symbol"
        )
    return number


def scaled(
    formula: ErrorFormula,
    beta: Any,
    r: Any,
    *,
    a: Any = None,
    b: Any = 1,
    gamma_sigma: Any = 0,
    gamma_0: Any = 0,
    ell: Any = None,
    scales: Mapping[Any, Any] | None = None,
) -> Scales:
    """Return the scales of a formula, checked.

    Raises:
        DomainError: If an exponent is out of range, unknown or missing, or a condition of the formula fails at these scales.
    """
    if formula.isotropic:
        raise DomainError(
            f"{formula.name} holds for isotropic inputs only, which have no power law; use the theorem for every spectrum"
        )
    beta = symbols.beta if beta is None else given_exponent(beta, "beta")
    r = symbols.r if r is None else given_exponent(r, "r")
    if r.is_positive is False or beta.is_positive is False:
        raise DomainError(f"rates needs beta > 0 and r > 0, got beta={beta}, r={r}; change them")
    given = _by_symbol(formula, scales)
    dimension = _dimension(formula, a)
    if dimension is None and beta.is_number and beta <= 1:
        raise DomainError(f"rates needs beta > 1 where d = oo, got beta={beta}; give d = T**a by a=")
    own: dict[str, Expr] = {"T0": given_exponent(b, "b", infinite=True), **dict.fromkeys(_ROWS, S.One)}
    for name, value in (("sigma", gamma_sigma), ("sigma0", gamma_0)):
        own[name] = -given_exponent(value, _VARIANCES[name], infinite=True) / 2
    ridge, inner = _ridge(ell, beta)
    own["lam"] = -ridge
    powers = _powers(formula, own, given)
    lam = [x for x in powers if x.name == "lam" and x not in given]
    inner = inner if lam else None
    fixed = frozenset(x for x, e in powers.items() if (e == 0 and x not in given) or x in formula.numbers)
    finite = {x: _finite(e) for x, e in powers.items()}
    if sum(e is not None and e.has(INFINITE) for e in finite.values()) > 1:
        raise DomainError(f"{formula.name} needs at most one infinite scale, got several; give the others an exponent")
    laws = PowerLaws(beta, r, dimension, finite, fixed, formula.conditions)
    facts = [beta - 1 if beta.free_symbols else S.One, r if r.free_symbols else S.One]
    facts += _presupposed(formula, laws)
    if dimension is not None and dimension.free_symbols:
        facts.append(dimension)
    used = set().union(*(e.free_symbols for e in (beta, r, dimension or S.Zero, *filter(None, finite.values()))))
    return Scales(
        laws, symbols.ordered(used | ({inner} if inner else set())), tuple(x for x in facts if x.free_symbols), inner
    )


def _powers(formula: ErrorFormula, own: Mapping[str, Expr], given: Mapping[Symbol, Expr]) -> dict[Symbol, Expr]:
    """Return the exponent of every symbol: the given one, that of its name, or 0 for numbers and shares.

    Raises:
        DomainError: If one has none of these.
    """
    powers, lost = {}, []
    for x in (*covariances(formula).values(), *symbols.ordered(formula.all_symbols)):
        if x in given:
            powers[x] = given[x]
        elif is_literal(x) or x in formula.numbers or x.name in _FIXED:
            powers[x] = S.Zero
        elif x.name in own:
            powers[x] = own[x.name]
        elif x != symbols.d:
            lost.append(x.name)
    if lost:
        raise DomainError(
            f"{formula.name} needs the scale of {', '.join(lost)}, got none; pass scales={{{lost[0]!r}: c}} for {lost[0]} = T**c"
            " (0: it does not change, -oo: it is zero; for a covariance: T**c times the identity)"
        )
    return powers


def _finite(e: Expr) -> Expr | None:
    """Return an exponent without infinities: None for a symbol that is zero."""
    return None if e == -oo else INFINITE if e == oo else e


def covariances(formula: ErrorFormula) -> dict[str, Symbol]:
    """Return the covariances in a formula other than that of the inputs, by name."""
    found = {x for e in formula.parts.values() for y in e.atoms(SpectralIntegral) for x in y.bound_symbols}
    names = {x.name: x for x in found if x != symbols.eigenvalue}
    for scalar in (x for e in formula.parts.values() for x in e.atoms(PipelineScalar)):
        names |= {
            name: symbols.eigenvalue_of(name) for name in scalar.system.covariances if name != symbols.eigenvalue.name
        }
    return names


def _by_symbol(formula: ErrorFormula, scales: Mapping[Any, Any] | None) -> dict[Symbol, Expr]:
    scales = {} if scales is None else instance(scales, Mapping, "scales", "write {'m': 0.5}", DomainError)
    known = {x.name: x for x in formula.all_symbols} | covariances(formula)
    known.pop(symbols.d.name, None)
    out = {}
    for key, value in scales.items():
        name = key.name if isinstance(key, Symbol) else key
        if not isinstance(name, str) or name not in known:
            raise DomainError(f"{formula.name} has no symbol {shown(key)} to scale{nearest(name, known)}")
        out[known[name]] = given_exponent(value, f"the scale of {name}", infinite=True)
    return out


def _dimension(formula: ErrorFormula, a: Any) -> Expr | None:
    """Return the exponent of ``d``, by default infinite unless the formula presupposes at most as many features as rows."""
    if a is None:
        return S.One if symbols.d in formula.all_symbols and not _few_rows(formula) else None
    value = given_exponent(a, "a", infinite=True)
    if value == oo:
        return None
    if value == -oo or value.is_negative:
        raise DomainError(f"a needs to be >= 0, got {value}; d = T**a is at least 1")
    return value


def _few_rows(formula: ErrorFormula) -> bool:
    """Return whether ``d`` occurs in conditions only, and only as the larger side."""
    if any(symbols.d in e.free_symbols for e in formula.parts.values()):
        return False
    sides = [_sides(c) for c in formula.conditions if symbols.d in c.free_symbols]
    return all(symbols.d in large.free_symbols for large, _ in sides)


def _sides(c: Boolean) -> tuple[Expr, Expr]:
    """Return the larger and the smaller side of a condition, without negative terms."""
    if not isinstance(c, (Ge, Gt, Le, Lt)):
        return S.Zero, S.Zero
    difference = (c.lhs - c.rhs if isinstance(c, (Ge, Gt)) else c.rhs - c.lhs).expand()
    terms = Add.make_args(difference)
    large = [x for x in terms if not x.could_extract_minus_sign()]
    return Add(*large), Add(*(-x for x in terms if x not in large))


def _presupposed(formula: ErrorFormula, laws: PowerLaws) -> list[Expr]:
    """Return what the conditions say of the exponents: those of the smaller side are not above that of the larger."""
    facts = []
    for c in formula.conditions:
        large, small = _sides(c)
        upper = _exponent_of(large, laws)
        for term in Add.make_args(small):
            lower = _exponent_of(term, laws)
            if lower is None or upper is None or upper == lower or INFINITE in (upper, lower):
                if lower is INFINITE and upper is not INFINITE:
                    raise _violated(formula, c, large, term)
                continue
            if (upper - lower).is_negative:
                raise _violated(formula, c, large, term)
            facts.append(upper - lower)
    return facts


def _violated(formula: ErrorFormula, c: Boolean, large: Expr, small: Expr) -> DomainError:
    return DomainError(
        f"{formula.name} needs {c}, got a smaller power of T for {large} than for {small}; change a= or b="
    )


def _exponent_of(e: Expr, laws: PowerLaws) -> Expr | None:
    """Return the exponent of a single symbol or constant; None for anything else."""
    if e == symbols.d:
        return INFINITE if laws.dimension is None else laws.dimension
    if isinstance(e, Symbol):
        return laws.scales.get(e)
    return S.Zero if e.is_number and e != 0 else None


def _ridge(ell: Any, beta: Expr) -> tuple[Expr, Symbol | None]:
    if ell is None:
        return symbols.ell, symbols.ell
    value = given_exponent(ell, "ell")
    if value == symbols.ell:
        return value, symbols.ell
    if value.is_negative or (beta - value).is_negative:
        raise DomainError(
            f"ell needs to be in [0, beta] = [0, {beta}], got {value}; larger values are those of beta: no ridge is felt"
        )
    return value, None
