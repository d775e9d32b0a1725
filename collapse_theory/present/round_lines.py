"""The lines of a theorem that has no closed form in its number of rounds: a sum over the rounds, or the recursion over the fits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import reduce
from typing import Any

from sympy import Add, Expr, Ge, S
from sympy.core.symbol import Str

from collapse_theory import symbols
from collapse_theory.algebra.effective import EffectiveRidge, ResidualDegrees, effective_ridge_equation
from collapse_theory.algebra.naming import named
from collapse_theory.derive.fit_recursion import fit_recursion_in_rounds
from collapse_theory.derive.formula import ErrorFormula
from collapse_theory.derive.pooled import pooled_system
from collapse_theory.derive.rounds import RoundSum, RoundTerm, round_sums, whole_rounds
from collapse_theory.present.differentiated import differentiated
from collapse_theory.present.recursion_lines import recursion_lines, takes_an_index
from collapse_theory.symbols import n as rounds
from collapse_theory.symbols import round_index
from collapse_theory.theorems.catalog import catalog

__all__ = ["round_lines"]


def round_lines(formula: ErrorFormula, terms: Mapping[str, tuple[str, str]], printer: Any) -> list[str] | None:
    """Return the lines of an ``aligned`` block; None if the formula is no whole theorem of this kind, or has no law in ``n``.

    Those of a derivative are the ones of the error, and on the first the derivative of what it defines.

    Args:
        formula: A test error, or a derivative of one.
        terms: Symbol and words of each of its terms.
        printer: A SymPy LaTeX printer.
    """
    if formula.derivative:
        lines = round_lines(error, terms, printer) if (error := _before(formula)) is not None else None
        return None if lines is None else [differentiated(lines[0], formula.derivative, printer), *lines[1:]]
    term = whole_rounds(Add(*formula.parts.values()))
    if term is None or formula.pipeline is None or formula.measured != "test error":
        return None
    rule, _, count, values, _ = term.args
    given = {**dict(zip(rule.parameters, values, strict=True)), rounds: count}
    given = {x: e.xreplace(dict(formula.numbers)) for x, e in given.items()}
    if any(takes_an_index(e) for e in given.values()):
        return None
    sums = round_sums(rule)
    if sums is not None:
        return _sums(sums, terms, given, printer)
    parameters = {x.name: x for x in rule.parameters}
    build = formula.pipeline
    recursion = fit_recursion_in_rounds(lambda c: pooled_system(build(**{**parameters, rounds.name: c})), rule.least)
    if recursion is None:
        return None
    holds = Ge(count, recursion.least) if recursion.least > rule.least else S.true
    known = "" if holds is S.true else rf"}} {printer.doprint(holds)} \text{{"
    return recursion_lines(recursion.mapped(given), printer, known)


def _before(formula: ErrorFormula) -> ErrorFormula | None:
    """Return the error of a theorem of which a formula is the derivative."""
    for x in Add(*formula.parts.values()).atoms(RoundTerm):
        rule, _, count, values, _ = x.args
        parts = {name: RoundTerm(rule, Str(name), count, values) for name in rule.terms}
        error = replace(formula, parts=parts, derivative=(), pipeline=catalog[formula.name].pipeline)
        if reduce(ErrorFormula.diff, formula.derivative, error).parts == formula.parts:
            return error
    return None


def _sums(
    sums: Mapping[str, RoundSum], terms: Mapping[str, tuple[str, str]], given: Mapping[Any, Expr], printer: Any
) -> list[str] | None:
    """Return the terms as sums over the rounds; None if the rounds do not have one effective ridge each."""
    last = printer.doprint(given[rounds])
    i = round_index
    own = {x for sum_ in sums.values() for x in _ridges(sum_.summand)}
    if len(own) != 1:
        return None
    (ridge,) = own
    first = min(x.first for x in sums.values())
    names = {ridge.subs(i, j): symbols.intermediate(rf"\kappa_{{{j}}}") for j in (i, first)}
    if any(x not in names for sum_ in sums.values() for x in _ridges(sum_.before)):
        return None
    lines = [f"E &= {_added(terms)}"]
    for name, (symbol, words) in terms.items():
        parts = []
        if sums[name].before != 0:
            parts.append(printer.doprint(named(sums[name].before, names).xreplace(given)))
        if sums[name].summand != 0:
            summand = named(sums[name].summand, names).xreplace(given)
            parts.append(rf"\sum_{{{i} = {sums[name].first}}}^{{{last}}} {_bracketed(summand, printer)}")
        lines.append(rf"{symbol} &= {' + '.join(parts)} && \text{{({words})}}")
    equation = effective_ridge_equation(names[ridge], *(x.xreplace(given) for x in ridge.args))
    right = printer.doprint(equation.rhs + (names[ridge] - equation.lhs))
    return [*lines, rf"{names[ridge]} &= {right} && \text{{(}} {i} = {first} \text{{ to }} {last} \text{{)}}"]


def _added(terms: Mapping[str, tuple[str, str]]) -> str:
    return " + ".join(symbol for symbol, _ in terms.values())


def _ridges(e: Expr) -> set[Expr]:
    return {EffectiveRidge(*x.args) for x in e.atoms(EffectiveRidge, ResidualDegrees)}


def _bracketed(e: Expr, printer: Any) -> str:
    text = str(printer.doprint(e))
    return rf"\left({text}\right)" if e.is_Add else text
