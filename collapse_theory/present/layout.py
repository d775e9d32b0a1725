"""Lines of a formula: how wide they are, where a wide one breaks, which short ones stand side by side."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from sympy import Expr, Mul

from collapse_theory.algebra.integrals import SpectralIntegral
from collapse_theory.algebra.printing import matrix_function
from collapse_theory.present.printer import is_negative
from collapse_theory.symbols import Eigenvalue

__all__ = ["WIDTH", "broken", "packed", "width"]

WIDTH = 76
"""Characters of a line that fits a page."""


def broken(e: Expr, printer: Any, most: float = WIDTH) -> str:
    """Return the LaTeX of an expression, a wide sum over several rows.

    Args:
        e: The expression.
        printer: A SymPy LaTeX printer.
        most: The width that fits.
    """
    return " \\\\\n&\\qquad ".join(_rows(e, printer, most))


def _rows(e: Expr, printer: Any, most: float) -> list[str]:
    """Return the rows of an expression: its own print, or terms of its longest sum, brackets open from row to row."""
    whole = _printed(e, printer)
    before, total, behind = _outer_sum(e)
    if width(whole) <= most:
        return [whole]
    if total is None:
        return _rows_of_text(whole, most)
    head = f"{_printed(before, printer)} " if before != 1 else ""
    if before.is_Add:
        head = rf"\left({head.rstrip()}\right) "
    tail = "".join(f" {_printed(x, printer)}" for x in behind)
    size = "bigg" if r"\frac" in whole else "big"
    opening, closing = (rf"{head}\{size}l(", rf"\{size}r){tail}") if head or tail else ("", "")
    rows: list[str] = []
    if head and width(head) > most / 2:  # too little would be left of the row
        rows, opening = [head.rstrip()], opening.replace(head, r"\times ", 1)
    row = opening
    matrices = _has_matrix(total)
    for i, (sign, term) in enumerate(_signed(total.args)):
        scalar = matrices and not _has_matrix(term)
        room = most - _INDENT - (0 if i else width(opening))
        body = [matrix_function(term, printer)] if scalar else _rows(term, printer, room)
        first = f"{sign}{body[0]}" if i else f"{sign.strip().removeprefix('+')}{body[0]}"
        end = closing if i == len(total.args) - 1 else ""
        if row != opening and width(row + first + end) > most - _INDENT * bool(rows):
            rows.append(row)
            row = first.lstrip()
        else:
            row += first
        rows += [row, *body[1:-1]] if len(body) > 1 else []
        row = body[-1] if len(body) > 1 else row
    return [*rows, row + closing]


def _rows_of_text(whole: str, most: float) -> list[str]:
    """Return the rows of a sum that prints as one object, by its signs outside brackets."""
    pieces, depth = [""], 0
    for x in re.split(r"(\{|\}|\\left|\\right| [+-] )", whole):
        depth += (x in {"{", r"\left"}) - (x in {"}", r"\right"})
        pieces = [*pieces, x] if x in {" + ", " - "} and depth == 0 else [*pieces[:-1], pieces[-1] + x]
    rows = [pieces[0]]
    for piece in pieces[1:]:
        if width(rows[-1] + piece) > most - _INDENT * (len(rows) > 1):
            rows.append(piece.lstrip())
        else:
            rows[-1] += piece
    return rows


def _printed(e: Expr, printer: Any) -> str:
    return matrix_function(e, printer) if _has_matrix(e) else str(printer.doprint(e))


def _has_matrix(e: Expr) -> bool:
    return any(isinstance(x, Eigenvalue) for x in e.free_symbols)


def _outer_sum(e: Expr) -> tuple[Expr, Expr | None, list[Expr]]:
    """Return the factors before the longest sum of a product, the sum, and the integrals, which stand behind a bracket."""
    if e.is_Add:
        return e / e, e, []
    factors = Mul.make_args(e)
    sums = [x for x in factors if x.is_Add]
    if not sums:
        return e, None, []
    longest = max(sums, key=lambda x: x.count_ops())
    behind = [x for x in factors if isinstance(x, SpectralIntegral)]
    return Mul(*(x for x in factors if x is not longest and x not in behind)), longest, behind


def _signed(terms: Iterable[Expr]) -> Iterator[tuple[str, Expr]]:
    """Yield the terms of a sum with their signs, one that is not subtracted first."""
    for term in sorted(terms, key=is_negative):
        yield (" - ", -term) if is_negative(term) else (" + ", term)


def packed(lines: Iterable[str], most: float = WIDTH) -> list[str]:
    """Return lines with short definitions side by side."""
    out: list[str] = []
    for line in lines:
        alone = "\\\\" in line
        joined = f"{out[-1]},\\quad {line.replace(' &= ', ' = ', 1)}" if out else ""
        if out and not alone and "\\\\" not in out[-1] and width(joined) <= most and not out[-1].startswith("E "):
            out[-1] = joined
        else:
            out.append(line)
    return out


_INDENT = 4.0  # of the rows below the first

_TOKEN = re.compile(r"\\(?:text|operatorname|mathrm)\{[^{}]*\}|\\[a-zA-Z]+|\\.|\S")
_WIDE = {
    **dict.fromkeys("+-=<>", 2.5), **dict.fromkeys(("\\leq", "\\geq", "\\le", "\\to"), 2.5),
    **dict.fromkeys("()[],", 0.8), **dict.fromkeys(("\\left", "\\right", "\\bigl", "\\bigr", "\\biggl", "\\biggr"), 0.2),
    **dict.fromkeys(("&", "\\,"), 0.3), "\\quad": 2.0, "\\qquad": 4.0, "\\;": 0.5, "\\sqrt": 1.6, "\\sum": 2.4, "\\top": 1.0,
}  # fmt: skip


def width(latex: str) -> float:
    r"""Return about how wide a formula is, in widths of a letter; an index is smaller, a fraction as wide as its longer part.

    >>> width(r"\frac{a}{b + c}"), width(r"T_{0} + \operatorname{tr}\left[\Sigma\right]")
    (5.0, 10.1)
    """
    total, rest = _run(_TOKEN.findall(latex))
    return round(total, 1) if not rest else total


def _run(tokens: list[str]) -> tuple[float, list[str]]:
    """Return the width up to the end of a group, and what follows it."""
    total = 0.0
    while tokens:
        x, *tokens = tokens
        if x == "}":
            return total, tokens
        if x == "{":
            inner, tokens = _run(tokens)
            total += inner
        elif x in {"_", "^"}:
            inner, tokens = _group(tokens)
            total += 0.75 * inner
        elif x == "\\frac":
            above, tokens = _group(tokens)
            below, tokens = _group(tokens)
            total += max(above, below) + 0.5
        else:
            total += _alone(x)
    return total, tokens


def _group(tokens: list[str]) -> tuple[float, list[str]]:
    if tokens[:1] == ["{"]:
        return _run(tokens[1:])
    return (_alone(tokens[0]), tokens[1:]) if tokens else (0.0, [])


def _alone(x: str) -> float:
    if x in _WIDE:
        return _WIDE[x]
    if "{" in x:
        return float(len(x[x.index("{") + 1 : -1]))
    return 1.4 if x[-1].isupper() or x[1:2].isupper() else 1.0
