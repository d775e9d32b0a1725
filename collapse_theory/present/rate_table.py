"""Rates as tables for people and as data for programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sympy import Expr, Float, Piecewise, S
from sympy.logic.boolalg import Boolean

from collapse_theory.core.errors import DomainError
from collapse_theory.derive.predicted_curve import RateCheck
from collapse_theory.derive.rates import Crossover, Rates
from collapse_theory.symbols import T

__all__ = ["RateTable", "check_data", "rate_data", "rate_tables"]


@dataclass(frozen=True)
class RateTable:
    """A title, a head and rows of text."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def rate_data(found: Rates) -> dict[str, Any]:
    """Return a rate as data.

    A number is a float, and exact under ``exact``, as a fraction in text; what depends on symbols is text that SymPy reads.
    """
    exact = {
        "exponent": found.exponent,
        "log": found.log,
        "optimal_ell": found.optimal_ell,
        "optimal_exponent": found.optimal_exponent,
        "optimal_log": found.optimal_log,
    }
    plateau = _plateau(found)
    return {
        "name": found.formula.name,
        "beta": _number(found.scales.laws.beta),
        "r": _number(found.scales.laws.r),
        "scales": {name: _number(e) for name, e in _scales(found).items()},
        **{name: _number(e) for name, e in exact.items()},
        "optimal_set": _text(found.optimal_set),
        "pieces": [{"exponent": _number(c), "where": _text(where)} for c, where in _pieces(found.exponent)],
        "leading": [{"terms": list(names), "where": _text(where)} for names, where in found.leading_terms],
        "terms": {name: _number(e) for name, e in found.terms.items()},
        "crossovers": [_crossover_data(x) for x in found.crossovers],
        "plateau": {name: _number(e) for name, e in plateau.items()} or None,
        "exact": {name: _text(e) for name, e in exact.items()},
    }


def check_data(check: RateCheck) -> dict[str, Any]:
    """Return observed and predicted slopes as data."""
    return {
        "T": [float(t) for t in check.T],
        "observed": list(check.observed),
        "predicted": check.predicted,
        "gaps": list(check.gaps),
        "passed": check.converges,
    }


def rate_tables(found: Rates) -> Iterator[RateTable]:
    """Yield the tables of a rate: its cases, the best ridge, its terms, crossovers and the plateau."""
    laws = found.scales.laws
    powers = {name: 0 if e == -S.Infinity else e if e == S.Infinity else T**e for name, e in _scales(found).items()}
    at = ", ".join(f"{name} = {e}" for name, e in {"beta": laws.beta, "r": laws.r, **powers}.items() if name != "T")
    yield RateTable(f"{found.formula.name}: E ~ T**-c with {at}", ("c", "where"), _rows(_pieces(found.exponent)))
    if found.log != 0:
        yield RateTable("times (log T)**k", ("k", "where"), _rows(_pieces(found.log)))
    if found.optimal_ell is not None:
        best = {
            "lam = T**-ell": found.optimal_ell,
            "all such ell": found.optimal_set,
            "c": found.optimal_exponent,
            "power of log T": found.optimal_log,
        }
        yield RateTable("the best ridge", ("quantity", "value"), _rows(best.items()))
    leading = {name: [w for names, w in found.leading_terms if name in names] for name in found.terms}
    rows = [
        (
            name,
            "a difference of terms of one order" if e is None else e,
            " or ".join(map(_text, leading[name])) or "never",
        )
        for name, e in found.terms.items()
    ]
    yield RateTable("terms ~ T**-c", ("term", "c", "largest where"), _rows(rows))
    if crossovers := found.crossovers:
        yield RateTable(
            "crossovers",
            ("at", "where", "below", "above", "power of log T", "T"),
            _rows(
                (f"{x.at.lhs} = {x.at.rhs}", x.where, x.before, x.after, x.log, "" if x.time is None else x.time)
                for x in crossovers
            ),
        )
    if plateau := _plateau(found):
        yield RateTable("plateau at fixed T0, variance = n*sigma0**2/T0", ("quantity", "value"), _rows(plateau.items()))


def _plateau(found: Rates) -> dict[str, Expr | None]:
    try:
        plateau = found.plateau
        quantities = {"exponent": plateau.exponent, "optimal_ell": plateau.optimal_ell, "reached": plateau.reached}
    except DomainError:  # no generators, or no plateau at these scales
        return {}
    return quantities


def _scales(found: Rates) -> dict[str, Expr]:
    """Return the exponents of what changes with T beside the spectrum and the target."""
    laws = found.scales.laws
    named: dict[str, Expr] = {"d": S.Infinity if laws.dimension is None else laws.dimension}
    named |= {x.name: -S.Infinity if e is None else e for x, e in laws.scales.items() if e != 0}
    return named


def _pieces(e: Expr) -> list[tuple[Expr, Boolean]]:
    return [(x.expr, x.cond) for x in e.args] if isinstance(e, Piecewise) else [(e, S.true)]


def _crossover_data(x: Crossover) -> dict[str, Any]:
    return {
        "at": _text(x.at),
        "where": _text(x.where),
        "before": _side(x.before),
        "after": _side(x.after),
        "log": _number(x.log),
        "T": None if x.time is None else _text(x.time),
    }


def _side(value: Any) -> Any:
    """Return what leads on one side of a crossover: the names of terms, or a rate."""
    return list(value) if isinstance(value, tuple) else _number(value)


def _number(e: Any) -> Any:
    """Return a number as a float, and anything else as text."""
    if e is None:
        return None
    e = S(e)
    if e.is_Integer:
        return int(e)
    return float(e) if e.is_number and (e.is_Rational or isinstance(e, Float)) else _text(e)


def _text(e: Any) -> str:
    if e is None:
        return "none"
    if isinstance(e, tuple):
        return ", ".join(f"{x[0]} where {x[1]}" if isinstance(x, tuple) else str(x) for x in e)
    return "everywhere" if e == S.true else str(e)


def _rows(rows: Iterable[Iterable[Any]]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(map(_text, row)) for row in rows)
