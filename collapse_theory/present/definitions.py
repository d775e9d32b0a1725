"""A pipeline's error line by line: each line defines one name by names below it, or is the equation of one implicit scalar."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sympy import Add, Expr, Float, Rational, S, Symbol, factor

from collapse_theory import symbols
from collapse_theory.algebra.integrals import SpectralIntegral
from collapse_theory.algebra.naming import named
from collapse_theory.derive.expressions import replaced
from collapse_theory.derive.fit_recursion import fit_recursion
from collapse_theory.derive.line_slopes import dotted, line_slopes
from collapse_theory.derive.pooled import PooledSystem
from collapse_theory.derive.written_out import write_out
from collapse_theory.present.layout import WIDTH, broken, packed
from collapse_theory.present.printer import derivative_of
from collapse_theory.present.recursion_lines import recursion_lines, takes_an_index
from collapse_theory.present.ridge_lines import ridge_line
from collapse_theory.symbols import Eigenvalue, Generated, intermediate, perturbation

__all__ = ["as_written", "definition_lines"]

_FEW = 6  # operations of a definition that is inserted where it is used once
_ONE_BY_ONE = 4  # fits up to which every entry of the recursion has its line: a page


def definition_lines(
    system: PooledSystem, numbers: Mapping[Symbol, Expr], printer: Any, most: float = WIDTH, by: Symbol | None = None
) -> list[str]:
    """Return the lines of an ``aligned`` block, the first of which defines the error, or its derivative.

    Args:
        system: The pooled fits.
        numbers: The number behind each symbol that stands for one.
        printer: A SymPy LaTeX printer.
        most: Characters of a line.
        by: The symbol by which the derivative is taken that the perturbation in the system stands for; None for the error.
    """
    given = {x: as_written(value) for x, value in numbers.items()}
    readable = len(system.fits) > _ONE_BY_ONE and not any(map(takes_an_index, system.symbols))
    recursion = fit_recursion(_at_rest(system)) if readable else None
    if recursion is not None:
        return recursion_lines(recursion.mapped(given), printer, by=by)
    written = write_out(system)
    ridges = {x.xreplace(given): None for x in written.ridges}
    names = dict(zip(ridges, _ridge_names(len(ridges)), strict=True))

    def shown(e: Expr) -> Expr:
        return replaced(replaced(e, given), names)

    definitions = {x: shown(e) for x, e in written.definitions.items()}
    (result,) = written.results
    error = definitions.pop(result, None)
    error = shown(result) if error is None else error
    equations = {x: shown(eq.rhs) for x, eq in written.equations.items()}
    if by is not None:
        rest = {x.xreplace(_REST): name for x, name in names.items()}
        known = {name: named(x.diff(perturbation).xreplace(_REST), rest) for x, name in names.items()}
        whole = intermediate("E")
        definitions[whole] = error
        dots = {x: dotted(x, printer.doprint(x)) for x in (*known, *equations, *definitions)}
        error, definitions = line_slopes(whole, definitions, equations, known, perturbation, dots)
        equations = {x: e.xreplace(_REST) for x, e in equations.items()}
        names = rest
    definitions, error = _inserted({x: _gathered(e) for x, e in definitions.items()}, _gathered(error))
    lines = [_defined("E" if by is None else derivative_of("E", (by,), printer), error, printer, most)]
    if by is not None:
        lines.append(rf"&\dot{{x}}\text{{: the derivative of }} x \text{{ by }} {printer.doprint(by)}")
    lines += [_defined(printer.doprint(x), e, printer, most) for x, e in reversed(definitions.items())]
    lines += [_defined(printer.doprint(x), e, printer, most) for x, e in equations.items()]
    for ridge, name in names.items():
        T, lam = ridge.args
        lines.append(ridge_line(name, T, lam, (), printer))
    return packed(lines, most)


_REST = {perturbation: S.Zero}


def _at_rest(system: PooledSystem) -> PooledSystem:
    """Return the system without its perturbation."""
    return PooledSystem.of(*(e.xreplace(_REST) for e in system.args()))


def _ridge_names(count: int) -> list[Symbol]:
    return [symbols.kappa] if count == 1 else [symbols.indexed(symbols.kappa, k + 1) for k in range(count)]


def as_written(value: Expr) -> Expr:
    """Return a number as it was written: a float as its decimal fraction, a fraction that is no float as it is.

    >>> as_written(Float(0.3)), as_written(Rational(1, 3))
    (3/10, 1/3)
    """
    is_float = isinstance(value, Float) or (isinstance(value, Rational) and value.q & (value.q - 1) == 0)
    return Rational(str(float(value))) if is_float else value


def _gathered(e: Expr) -> Expr:
    """Return a sum in which what stands with several coefficients stands with their sum."""
    if not e.is_Add:
        return e
    found: dict[Expr, list[Expr]] = {}
    names = e.atoms(Generated, Eigenvalue, SpectralIntegral)
    for term in e.args:
        c, rest = term.as_independent(*names, as_Add=False)
        found.setdefault(rest, []).append(c)
    return Add(*((factor(Add(*c)) if len(c) > 1 else c[0]) * rest for rest, c in found.items()))


def _inserted(definitions: dict[Symbol, Expr], error: Expr) -> tuple[dict[Symbol, Expr], Expr]:
    """Insert what is short and used once where it is used."""
    for x in list(definitions):
        users = [y for y, e in definitions.items() if x in _symbols(e)]
        last = x in _symbols(error)
        if len(users) + last == 1 and definitions[x].count_ops() <= _FEW:
            change = {x: definitions.pop(x)}
            if last:
                error = replaced(error, change)
            else:
                definitions[users[0]] = replaced(definitions[users[0]], change)
    return definitions, error


def _symbols(e: Expr) -> set[Any]:
    return e.atoms(Symbol) | {x for f in e.atoms(SpectralIntegral) for x in _symbols(f.integrand)}


def _defined(name: str, e: Expr, printer: Any, most: float) -> str:
    return f"{name} &= {broken(e, printer, most)}"
