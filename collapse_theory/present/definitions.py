"""A pipeline's error line by line: each line defines one name by names below it, or is the equation of one implicit scalar."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sympy import Eq, Expr, Float, Mul, Rational, Symbol

from collapse_theory import symbols
from collapse_theory.algebra.effective import effective_ridge_equation
from collapse_theory.algebra.integrals import SpectralIntegral
from collapse_theory.algebra.printing import matrix_function
from collapse_theory.derive.fit_recursion import fit_recursion
from collapse_theory.derive.pooled import PooledSystem
from collapse_theory.derive.written_out import replaced, write_out
from collapse_theory.present.recursion_lines import recursion_lines, takes_an_index
from collapse_theory.symbols import Eigenvalue

__all__ = ["broken", "definition_lines", "packed", "width"]

_WIDE = 88  # characters of a line
_SHORT = 24  # of a definition that is inserted where it is used once
_ONE_BY_ONE = 4  # fits up to which every entry of the recursion has its line: a page


def definition_lines(system: PooledSystem, numbers: Mapping[Symbol, Expr], printer: Any) -> list[str]:
    """Return the lines of an ``aligned`` block, the first of which defines the error.

    Args:
        system: The pooled fits.
        numbers: The number behind each symbol that stands for one.
        printer: A SymPy LaTeX printer.
    """
    given = {x: _decimal(value) for x, value in numbers.items()}
    readable = len(system.fits) > _ONE_BY_ONE and not any(map(takes_an_index, system.symbols))
    recursion = fit_recursion(system) if readable else None
    if recursion is not None:
        return recursion_lines(recursion.mapped(given), printer)
    written = write_out(system)
    ridges = {x.xreplace(given): None for x in written.ridges}
    names = dict(zip(ridges, _ridge_names(len(ridges)), strict=True))

    def shown(e: Expr) -> Expr:
        return replaced(replaced(e, given), names)

    definitions = {x: shown(e) for x, e in written.definitions.items()}
    (result,) = written.results
    error = definitions.pop(result, None)
    definitions, error = _inserted(definitions, shown(result) if error is None else error)
    lines = [_defined("E", error, printer)]
    lines += [_defined(printer.doprint(x), e, printer) for x, e in reversed(definitions.items())]
    lines += [_defined(printer.doprint(x), shown(eq.rhs), printer) for x, eq in written.equations.items()]
    for ridge, name in names.items():
        equation = effective_ridge_equation(name, *ridge.args)
        lines.append(_defined(printer.doprint(name), _alone(equation, name), printer))
    return packed(lines)


def _ridge_names(count: int) -> list[Symbol]:
    return [symbols.kappa] if count == 1 else [symbols.indexed(symbols.kappa, k + 1) for k in range(count)]


def _alone(equation: Eq, name: Symbol) -> Expr:
    """Return the right-hand side of an equation ``kappa - ridge = ...`` with kappa alone on the left."""
    return equation.rhs + (name - equation.lhs)


def _decimal(value: Expr) -> Expr:
    """Return a number as the decimal fraction that was written."""
    return Rational(str(float(value))) if isinstance(value, Float | Rational) else value


def _inserted(definitions: dict[Symbol, Expr], error: Expr) -> tuple[dict[Symbol, Expr], Expr]:
    """Insert what is short and used once where it is used."""
    for x in list(definitions):
        users = [y for y, e in definitions.items() if x in _symbols(e)]
        last = x in _symbols(error)
        if len(users) + last == 1 and definitions[x].count_ops() <= _SHORT // 4:
            change = {x: definitions.pop(x)}
            if last:
                error = replaced(error, change)
            else:
                definitions[users[0]] = replaced(definitions[users[0]], change)
    return definitions, error


def _symbols(e: Expr) -> set[Any]:
    return e.atoms(Symbol) | {x for f in e.atoms(SpectralIntegral) for x in _symbols(f.integrand)}


def _defined(name: str, e: Expr, printer: Any) -> str:
    return f"{name} &= {broken(e, printer)}"


def broken(e: Expr, printer: Any) -> str:
    """Return the LaTeX of an expression, a wide sum over several rows."""

    def printed(x: Expr) -> str:
        has_matrix = any(isinstance(y, Eigenvalue) for y in x.free_symbols)
        return matrix_function(x, printer) if has_matrix else str(printer.doprint(x))

    whole = printed(e)
    if width(whole) <= _WIDE:
        return whole
    prefix, total = _outer_sum(e)
    if total is None:
        return whole
    rows, row = [], ""
    for term in _signed(total.args, printed):
        if row and width(row + term) > _WIDE - 8:
            rows.append(row)
            row = ""
        row += term
    rows.append(row)
    rows[0] = (
        rows[0].removeprefix(" + ").replace(" - ", "-", 1) if rows[0].startswith(" - ") else rows[0].removeprefix(" + ")
    )
    body = " \\\\\n&\\qquad ".join(rows)
    return body if prefix == 1 else rf"{printed(prefix)} \bigl({body}\bigr)"


def _outer_sum(e: Expr) -> tuple[Expr, Expr | None]:
    """Return the factors before the longest sum of a product, and the sum."""
    if e.is_Add:
        return e / e, e
    sums = [x for x in Mul.make_args(e) if x.is_Add]
    if not sums:
        return e, None
    longest = max(sums, key=lambda x: x.count_ops())
    return Mul(*(x for x in Mul.make_args(e) if x is not longest)), longest


def _signed(terms: Iterable[Expr], printed: Callable[[Expr], str]) -> Iterable[str]:
    for term in terms:
        negative = term.could_extract_minus_sign()
        body = printed(-term if negative else term)
        if (-term if negative else term).is_Add:
            body = rf"\left({body}\right)"
        yield (" - " if negative else " + ") + body


def packed(lines: Iterable[str]) -> list[str]:
    """Return lines with short definitions side by side."""
    out: list[str] = []
    for line in lines:
        alone = "\\\\" in line
        joined = f"{out[-1]},\\quad {line.replace(' &= ', ' = ', 1)}" if out else ""
        if out and not alone and "\\\\" not in out[-1] and width(joined) <= _WIDE and not out[-1].startswith("E "):
            out[-1] = joined
        else:
            out.append(line)
    return out


def width(latex: str) -> float:
    r"""Return about how many characters wide a formula is.

    >>> width(r"\frac{a}{b + c}"), width(r"T_{0} + \operatorname{tr}\left[\Sigma\right]")
    (3.0, 7.6)
    """
    text = latex
    fraction = re.compile(r"\\frac\{([^{}]*)\}\{([^{}]*)\}")
    script = re.compile(r"[_^]\{([^{}]*)\}|[_^](\\?\w)")
    size = 0.0
    text = re.sub(r"\\(left|right|bigl|bigr|quad|qquad)\b|\\[,;!]|&|\s", "", text)
    text = re.sub(r"\\(?:operatorname|mathrm|text)\{(\w+)\}", r"\1", text)
    text = re.sub(r"\\(?!frac\b)[a-zA-Z]+", "x", text)
    while True:
        m = script.search(text)
        inner = None if m is None else (m[1] if m[1] is not None else m[2])
        if m is not None and inner is not None and "\\frac" not in inner:
            size += 0.6 * len(inner)
            text = text[: m.start()] + text[m.end() :]
            continue
        f = fraction.search(text)
        if f is None:
            break
        text = text[: f.start()] + max(f[1], f[2], key=len) + text[f.end() :]
    return round(size + len(re.sub(r"[{}]", "", text)), 1)
